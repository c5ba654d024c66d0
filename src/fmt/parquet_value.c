/* See parquet_value.h. */
#include "fmt/parquet_value.h"

#include "fmt/bytes.h"

#include <string.h>

static const char ended[] = "fewer values in the page than it needs";

static const char *init_runs(cs_values *v, bool boolean)
{
    size_t n = (size_t)(v->end - v->at);
    if (boolean) {
        if (n < 4 || cs_le_get(v->at, 4) > n - 4)
            return "a run-length encoding longer than its page";
        cs_runs_init(&v->runs, v->at + 4, (size_t)cs_le_get(v->at, 4), 1);
        return NULL;
    }
    if (n == 0) { /* a page of nulls */
        cs_runs_init(&v->runs, v->at, 0, 0);
        return NULL;
    }
    if (*v->at > 32)
        return "dictionary indices of more than 32 bits";
    cs_runs_init(&v->runs, v->at + 1, n - 1, *v->at);
    return NULL;
}

/* Lengths come first, then the bytes; with prefixes: their lengths before both. */
static const char *init_lengths(cs_values *v, bool prefixes)
{
    const char *why = NULL;
    if (prefixes) {
        why = cs_deltas_init(&v->deltas, v->at, (size_t)(v->end - v->at));
        why = why ? why : cs_deltas_end(&v->deltas, &v->at);
    }
    why = why ? why : cs_deltas_init(&v->lengths, v->at, (size_t)(v->end - v->at));
    return why ? why : cs_deltas_end(&v->lengths, &v->at);
}

const char *cs_values_init(cs_values *v, const cs_parquet_leaf *leaf, int64_t encoding, const uint8_t *p, size_t n, cs_str *held)
{
    bool text = leaf->type == CS_PARQUET_BYTES, fixed = leaf->type == CS_PARQUET_FIXED;
    bool whole = leaf->type == CS_PARQUET_INT32 || leaf->type == CS_PARQUET_INT64;
    *v = (cs_values){.encoding = encoding, .type = leaf->type, .width = leaf->width, .at = p, .end = p + n, .held = held};
    cs_str_clear(held);
    if (encoding == CS_ENC_PLAIN)
        return NULL;
    if (encoding == CS_ENC_PLAIN_DICTIONARY || encoding == CS_ENC_DICTIONARY)
        return init_runs(v, false);
    if (encoding == CS_ENC_RLE && leaf->type == CS_PARQUET_BOOLEAN)
        return init_runs(v, true);
    if (n == 0) /* nulls alone, whose encoding some writers leave out */
        return NULL;
    if (encoding == CS_ENC_DELTA && whole)
        return cs_deltas_init(&v->deltas, v->at, n);
    if (encoding == CS_ENC_DELTA_LENGTH && text)
        return init_lengths(v, false);
    if (encoding == CS_ENC_DELTA_BYTES && (text || fixed))
        return init_lengths(v, true);
    if (encoding == CS_ENC_SPLIT && leaf->width > 0 && leaf->type != CS_PARQUET_BOOLEAN) {
        v->n_split = n / leaf->width;
        return n % leaf->width == 0 ? NULL : "a split of bytes into streams of unequal lengths";
    }
    return "values in an encoding that their type does not have";
}

static const char *take(cs_values *v, size_t n, cs_view *out)
{
    if (n > (size_t)(v->end - v->at))
        return ended;
    *out = (cs_view){v->at, n};
    v->at += n;
    return NULL;
}

static const char *plain(cs_values *v, cs_view *out)
{
    if (v->type == CS_PARQUET_BOOLEAN) {
        if (v->at == v->end)
            return ended;
        v->word[0] = *v->at >> v->bit & 1;
        v->at += v->bit == 7;
        v->bit = (v->bit + 1) & 7;
        *out = (cs_view){v->word, 1};
        return NULL;
    }
    if (v->width > 0)
        return take(v, v->width, out);
    if (v->end - v->at < 4)
        return ended;
    size_t n = (size_t)cs_le_get(v->at, 4);
    if (n > (size_t)(v->end - v->at) - 4)
        return "a string longer than its page";
    *out = (cs_view){v->at + 4, n};
    v->at += 4 + n;
    return NULL;
}

static const char *from_dictionary(cs_values *v, cs_view *out)
{
    uint32_t i = 0;
    if (!cs_runs_next(&v->runs, &i))
        return ended;
    if (i >= v->n_dict)
        return v->n_dict ? "a dictionary index beyond the dictionary" : "dictionary indices, but no dictionary in front";
    *out = v->dict[i];
    return NULL;
}

static const char *integer(cs_values *v, cs_view *out)
{
    int64_t value = 0;
    const char *why = cs_deltas_next(&v->deltas, &value);
    cs_le_put(v->word, 8, (uint64_t)value);
    *out = (cs_view){v->word, v->width};
    return why;
}

static const char *with_length(cs_values *v, cs_view *out)
{
    int64_t n = 0;
    const char *why = cs_deltas_next(&v->lengths, &n);
    if (why)
        return why;
    return n < 0 ? "a string of negative length" : take(v, (size_t)n, out);
}

/* A part of the value before, then bytes of its own. */
static const char *with_prefix(cs_values *v, cs_view *out)
{
    int64_t n = 0;
    cs_view tail = {0};
    const char *why = cs_deltas_next(&v->deltas, &n);
    why = why ? why : with_length(v, &tail);
    if (why)
        return why;
    if (n < 0 || (uint64_t)n > v->held->len)
        return "a prefix longer than the string before";
    v->held->len = (size_t)n;
    cs_str_append(v->held, tail.p, tail.n);
    *out = (cs_view){(const uint8_t *)v->held->data, v->held->len};
    return v->width > 0 && out->n != v->width ? "a value of another length than the column's" : NULL;
}

static const char *split(cs_values *v, cs_view *out)
{
    if (v->bit >= v->n_split)
        return ended;
    cs_str_clear(v->held);
    for (size_t k = 0; k < v->width; k++)
        cs_str_append(v->held, v->at + k * v->n_split + v->bit, 1);
    v->bit++;
    *out = (cs_view){(const uint8_t *)v->held->data, v->held->len};
    return NULL;
}

const char *cs_values_next(cs_values *v, cs_view *out)
{
    if (v->encoding == CS_ENC_PLAIN)
        return plain(v, out);
    if (v->encoding == CS_ENC_PLAIN_DICTIONARY || v->encoding == CS_ENC_DICTIONARY)
        return from_dictionary(v, out);
    switch (v->encoding) {
    case CS_ENC_RLE: {
        uint32_t b = 0;
        bool ok = cs_runs_next(&v->runs, &b);
        v->word[0] = b & 1;
        *out = (cs_view){v->word, 1};
        return ok ? NULL : ended;
    }
    case CS_ENC_DELTA: return integer(v, out);
    case CS_ENC_DELTA_LENGTH: return with_length(v, out);
    case CS_ENC_DELTA_BYTES: return with_prefix(v, out);
    default: return split(v, out);
    }
}
