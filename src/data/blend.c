/* See blend.h. */
#include "data/blend.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 1024 };

static cs_status allocate(cs_blend_spec *s, size_t n, bool ranges, const char *flag, cs_error *err)
{
    s->n = n;
    if (n > UINT16_MAX)
        return cs_fail(err, CS_E_USAGE, "%s: %zu data sets, at most 65535 can be blended", flag, n);
    s->prefix = cs_calloc(n, sizeof *s->prefix);
    s->weight = cs_calloc(n, sizeof *s->weight);
    s->from = ranges ? cs_calloc(n, sizeof *s->from) : NULL;
    s->to = ranges ? cs_calloc(n, sizeof *s->to) : NULL;
    return s->prefix && s->weight && (!ranges || (s->from && s->to)) ? CS_OK : cs_fail_nomem(err, n * 16, flag);
}

static cs_status read_weight(cs_blend_spec *s, size_t i, const char *text, const char *flag, cs_error *err)
{
    if (cs_parse_real(text, &s->weight[i]) && s->weight[i] >= 0 && !isinf(s->weight[i]))
        return CS_OK;
    return cs_fail(err, CS_E_USAGE, "%s: '%s' stands where a weight >= 0 is expected (before '%s')", flag, text, s->prefix[i]);
}

/* Weights that add up to 1, or everything given back. */
static cs_status finish(cs_blend_spec *s, cs_status st, const char *flag, cs_error *err)
{
    double sum = 0;
    for (size_t i = 0; i < s->n && st == CS_OK; i++)
        sum += s->weight[i];
    if (st == CS_OK && !(sum > 0 && !isinf(sum)))
        st = cs_fail(err, CS_E_USAGE, "%s: the weights must have a positive sum", flag);
    if (st != CS_OK) {
        cs_blend_spec_release(s);
        return st;
    }
    for (size_t i = 0; i < s->n; i++)
        s->weight[i] /= sum;
    return CS_OK;
}

cs_status cs_blend_spec_init(cs_blend_spec *s, const cs_strlist *data_path, const char *flag, cs_error *err)
{
    *s = (cs_blend_spec){0};
    if (data_path->n == 0)
        return cs_fail(err, CS_E_USAGE, "%s: missing; give the prefix of a .bin/.idx pair, or weights and prefixes in turn", flag);
    if (data_path->n > 1 && data_path->n % 2 != 0)
        return cs_fail(err, CS_E_USAGE, "%s: %zu values; expected one prefix, or weights and prefixes in turn", flag, data_path->n);
    s->weighted = data_path->n > 1;
    cs_status st = allocate(s, s->weighted ? data_path->n / 2 : 1, false, flag, err);
    for (size_t i = 0; i < s->n && st == CS_OK; i++) {
        s->prefix[i] = data_path->items[s->weighted ? 2 * i + 1 : 0];
        s->weight[i] = 1;
        if (s->weighted)
            st = read_weight(s, i, data_path->items[2 * i], flag, err);
    }
    return finish(s, st, flag, err);
}

/* Cuts the next word off; NULL = none is left. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, " \t\r\n");
    if (*word == '\0')
        return NULL;
    char *end = word + strcspn(word, " \t\r\n");
    *at = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

/* "W FROM:TO P"; changes the text. */
static cs_status read_entry(cs_blend_spec *s, size_t i, char *entry, const char *flag, cs_error *err)
{
    char *at = entry, *weight = next_word(&at), *range = next_word(&at), *prefix = next_word(&at);
    char *colon = range ? strchr(range, ':') : NULL;
    if (!prefix || !colon || next_word(&at))
        return cs_fail(err, CS_E_USAGE, "%s: entry %zu is not of the form 'WEIGHT FROM:TO PREFIX'", flag, i + 1);
    *colon = '\0';
    s->prefix[i] = prefix;
    if (!cs_parse_real(range, &s->from[i]) || !cs_parse_real(colon + 1, &s->to[i]) || !(s->from[i] >= 0 && s->from[i] < s->to[i] && s->to[i] <= 1))
        return cs_fail(err, CS_E_USAGE, "%s: '%s:%s' of %s is no range of shares; expected FROM:TO with 0 <= FROM < TO <= 1", flag, range, colon + 1,
                       prefix);
    return read_weight(s, i, weight, flag, err);
}

cs_status cs_blend_spec_parse(cs_blend_spec *s, const char *text, const char *flag, cs_error *err)
{
    const char *colon = strchr(text, ':');
    size_t n = 1, bytes = strlen(text) + 1;
    *s = (cs_blend_spec){0};
    for (const char *c = colon ? strchr(colon, ',') : NULL; c; c = strchr(c + 1, ','))
        n++;
    /* The first ':' ends the name; that of a range has a digit before it and belongs to the second word. */
    if (!colon || strcspn(text + strspn(text, " \t"), " \t") < strcspn(text + strspn(text, " \t"), ":"))
        return cs_fail(err, CS_E_USAGE, "%s '%s': expected \"NAME: WEIGHT FROM:TO PREFIX, ..\"", flag, text);
    cs_status st = allocate(s, n, true, flag, err);
    if (st == CS_OK && !(s->text = cs_malloc(bytes)))
        st = cs_fail_nomem(err, bytes, flag);
    if (st == CS_OK) {
        memcpy(s->text, text, bytes);
        char *entry = s->text + (colon - text) + 1;
        for (size_t i = 0; i < n && st == CS_OK; i++) {
            size_t len = strcspn(entry, ",");
            entry[len] = '\0';
            st = read_entry(s, i, entry, flag, err);
            entry += len + 1;
        }
    }
    s->weighted = true;
    return finish(s, st, flag, err);
}

void cs_blend_spec_release(cs_blend_spec *s)
{
    cs_free((void *)s->prefix);
    cs_free(s->weight);
    cs_free(s->from);
    cs_free(s->to);
    cs_free(s->text);
    *s = (cs_blend_spec){0};
}

int64_t cs_blend_ask(int64_t n, double weight)
{
    return (int64_t)ceil((double)n * weight * 1.005);
}

/* Fills which and before; `given` [n_set] starts at zero. */
static void choose(cs_blend *b, const double *weight, int64_t *given)
{
    for (int64_t i = 0; i < b->size; i++) {
        double at = i > 1 ? (double)i : 1.0, best = 0;
        size_t pick = 0;
        if (i % BLOCK == 0)
            memcpy(b->before + (size_t)(i / BLOCK) * b->n_set, given, b->n_set * sizeof *given);
        for (size_t k = 0; k < b->n_set; k++) {
            double behind = weight[k] * at - (double)given[k];
            if (k == 0 || behind > best) {
                best = behind;
                pick = k;
            }
        }
        b->which[i] = (uint16_t)pick;
        given[pick]++;
    }
}

cs_status cs_blend_init(cs_blend *b, const double *weight, size_t n_set, int64_t size, cs_error *err)
{
    size_t blocks = (size_t)size / BLOCK + 1, counters = 0, bytes = 0;
    double sum = 0;
    *b = (cs_blend){.n_set = n_set, .size = size};
    CS_ASSERT(n_set >= 1 && n_set <= UINT16_MAX && size >= 0);
    double *share = cs_calloc(n_set, sizeof *share);
    int64_t *given = cs_calloc(n_set, sizeof *given);
    if (cs_mul_checked(blocks, n_set, &counters) && cs_mul_checked((size_t)size + 1, sizeof *b->which, &bytes)) {
        b->before = cs_calloc(counters, sizeof *b->before);
        b->which = cs_malloc(bytes);
    }
    bool ok = share && given && b->before && b->which;
    if (ok) {
        for (size_t k = 0; k < n_set; k++)
            sum += weight[k];
        for (size_t k = 0; k < n_set; k++)
            share[k] = weight[k] / sum;
        choose(b, share, given);
    }
    cs_free(share);
    cs_free(given);
    if (ok)
        return CS_OK;
    cs_blend_release(b);
    return cs_fail_nomem(err, bytes, "the blending index");
}

void cs_blend_release(cs_blend *b)
{
    cs_free(b->which);
    cs_free(b->before);
    *b = (cs_blend){0};
}

void cs_blend_at(const cs_blend *b, int64_t i, size_t *set, int64_t *index)
{
    CS_ASSERT(i >= 0 && i < b->size);
    size_t pick = b->which[i];
    int64_t n = b->before[(size_t)(i / BLOCK) * b->n_set + pick];
    for (int64_t j = i / BLOCK * BLOCK; j < i; j++)
        n += b->which[j] == pick;
    *set = pick;
    *index = n;
}
