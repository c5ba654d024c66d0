/* Encoding: added tokens out of the raw text, normalise, added tokens out of the normal form, cut into words, model. The range of the input that an
 * id stands for is carried along when it is asked for. */
#include "text/tok.h"
#include "text/utf8.h"

#include <string.h>

/* Memory and state of one call. */
typedef struct encode_run {
    const cs_tokenizer *t;
    bool parse_special;
    cs_tok_work *work;
    cs_ids *out, *ranges; /* ranges: begin and end of each id, NULL = nobody asked */
    cs_error *err;
} encode_run;

static void put_range(encode_run *r, cs_span s)
{
    cs_ids_append(r->ranges, (int32_t[]){(int32_t)s.begin, (int32_t)s.end}, 2);
}

/* Where the source of byte i of the word begins, for i = word.len where that of the whole word ends. */
static uint32_t source_of(cs_view word, size_t i)
{
    return i < word.len ? word.from[i].begin : word.from[word.len - 1].end;
}

/* Part [begin, end) of the word as SentencePiece reports it: from where its source begins to where that of the next byte begins. Of several parts
 * that stand for one place in the input, such as the bytes of an unknown code point, the last one has all of it, the others nothing. */
static cs_span spm_range(cs_view word, size_t begin, size_t end)
{
    return (cs_span){source_of(word, begin), source_of(word, end)};
}

/* The same as tokenizers does. Text that the model dropped is not counted by it, so that ends may lie too far left, never too far right. */
static cs_span json_range(cs_view word, size_t begin, size_t end)
{
    if (begin == end) {
        uint32_t at = word.from[0].begin + (uint32_t)begin, last = word.from[word.len - 1].end; /* the word may be longer than its source */
        return at < last ? (cs_span){at, at} : (cs_span){last, last};
    }
    return (cs_span){word.from[begin].begin, word.from[end - 1].end};
}

static void put_ranges(encode_run *r, cs_view word)
{
    size_t begin = 0, last = 0;
    for (size_t i = 0; i < r->work->ends.len; i++) {
        size_t end = (size_t)r->work->ends.data[i];
        if (i > 0 && end == last && r->t->is_unigram && r->t->range_rule == CS_RANGE_JSON)
            end = last; /* one of the bytes of an unknown run: all have its range */
        else
            begin = last;
        put_range(r, r->t->range_rule == CS_RANGE_SPM ? spm_range(word, begin, end) : json_range(word, begin, end));
        last = end;
    }
}

static cs_status encode_word(void *context, cs_view word, cs_error *err)
{
    encode_run *r = context;
    const cs_tokenizer *t = r->t;
    cs_ids *ends = r->ranges ? &r->work->ends : NULL;
    if (word.len >= INT32_MAX)
        return cs_fail(err, CS_E_NOMEM, "a text of %zu bytes without a cut is too long to tokenize", word.len);
    cs_ids_clear(&r->work->ends);
    if (t->is_unigram) {
        CS_TRY(cs_unigram_encode(&t->unigram, &r->work->unigram, word.text, word.len, r->out, ends, err));
    } else {
        cs_bpe_encode(&t->bpe, &r->work->bpe, word.text, word.len, r->out, ends);
        if (r->work->bpe.failed)
            return cs_fail_nomem(err, word.len, "tokenization");
    }
    if (ends)
        put_ranges(r, word);
    return CS_OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}

typedef cs_status segment_fn(encode_run *r, cs_view v, bool first);

/* Finds added tokens, longest first from the left; text between them goes to fn. */
static cs_status split_added(encode_run *r, const cs_trie *trie, cs_view v, bool first, segment_fn *fn)
{
    size_t done = 0, n;
    for (size_t i = 0; i < v.len; i += n) {
        int32_t index;
        n = cs_trie_longest(trie, v.text + i, v.len - i, &index);
        if (n == 0) {
            n = 1;
            continue;
        }
        const cs_added *a = &r->t->added[index];
        if (a->special && !r->parse_special)
            continue;
        size_t begin = i, end = i + n;
        while (a->lstrip && begin > done && is_space(v.text[begin - 1]))
            begin--;
        while (a->rstrip && end < v.len && is_space(v.text[end]))
            end++;
        if (begin > done)
            CS_TRY(fn(r, cs_view_part(v, done, begin - done), first && done == 0));
        cs_ids_push(r->out, a->id);
        if (r->ranges)
            put_range(r, (cs_span){v.from[begin].begin, v.from[end - 1].end});
        r->work->bpe.after_unk = false;
        done = end;
        n = end - i;
    }
    return done < v.len ? fn(r, cs_view_part(v, done, v.len - done), first && done == 0) : CS_OK;
}

static cs_status encode_normal(encode_run *r, cs_view v, bool first)
{
    return cs_pretok_run(&r->t->pretok, &r->work->words, v, first, encode_word, r, r->err);
}

static cs_status encode_raw(encode_run *r, cs_view v, bool first)
{
    const cs_tokenizer *t = r->t;
    if (t->norm.n_steps > 0) {
        CS_TRY(cs_normalize(&t->norm, &r->work->norm, v, first, cs_view_at(v, 0).begin, r->err));
        v = cs_mapped_view(&r->work->norm.out);
    }
    r->work->bpe.after_unk = false;
    if (v.len == 0)
        return CS_OK;
    return t->has_norm ? split_added(r, &t->added_norm, v, first, encode_normal) : encode_normal(r, v, first);
}

/* The text with its ranges, and every damaged part made U+FFFD when `repair`. */
static void take_text(const char *text, size_t len, bool repair, cs_mapped *out)
{
    const uint8_t *p = (const uint8_t *)text;
    for (size_t i = 0, n; i < len; i += n) {
        n = out->track ? cs_utf8_decode(p + i, len - i, NULL) : cs_utf8_valid_prefix(p + i, len - i);
        size_t bad = n > 0 ? 0 : repair ? cs_utf8_bad_length(p + i, len - i) : 1;
        cs_span at = {(uint32_t)i, (uint32_t)(i + n + bad)};
        if (bad > 0 && repair)
            cs_mapped_put(out, CS_UTF8_REPLACEMENT, 3, at);
        else
            cs_mapped_put(out, text + i, n + bad, at);
        n += bad;
    }
}

static cs_status encode_body(encode_run *r, const char *text, size_t len)
{
    const cs_tokenizer *t = r->t;
    cs_mapped source = {.track = r->ranges != NULL};
    cs_view v = {text, len, NULL};
    bool repair = t->lossy_input && cs_utf8_valid_prefix((const uint8_t *)text, len) < len;
    cs_status status = CS_OK;
    if (len == 0)
        return CS_OK;
    if (r->ranges && len >= INT32_MAX)
        return cs_fail(r->err, CS_E_NOMEM, "a text of %zu bytes is too long for byte ranges", len);
    r->work->norm.out.track = r->work->norm.spare.track = source.track;
    for (size_t i = 0; i < t->pretok.n_steps; i++)
        r->work->words.made[i].track = source.track;
    if (repair || source.track) {
        take_text(text, len, repair, &source);
        status = cs_str_check(&source.text, r->err);
        v = cs_mapped_view(&source);
    }
    if (status == CS_OK)
        status = t->has_raw ? split_added(r, &t->added_raw, v, true, encode_raw) : encode_raw(r, v, true);
    cs_mapped_release(&source);
    return status;
}

/* Ids that are not of the text have the range [0, 0). */
static void put_extra(encode_run *r, const int32_t *ids, size_t n)
{
    cs_ids_append(r->out, ids, n);
    for (size_t i = 0; r->ranges && i < n; i++)
        put_range(r, (cs_span){0, 0});
}

cs_status cs_tokenizer_encode_ranges(const cs_tokenizer *tok, const char *text, size_t len, int flags, cs_ids *out, cs_ids *ranges, cs_error *err)
{
    encode_run r = {.t = tok, .parse_special = (flags & CS_TOK_PARSE_SPECIAL) != 0, .out = out, .ranges = ranges, .err = err,
                    .work = cs_tok_work_take(tok->pool)};
    if (!r.work)
        return cs_fail_nomem(err, sizeof *r.work, "tokenization");
    if (flags & CS_TOK_SPECIAL)
        put_extra(&r, tok->prefix, tok->n_prefix);
    cs_status status = encode_body(&r, text, len);
    if (status == CS_OK && (flags & CS_TOK_SPECIAL))
        put_extra(&r, tok->suffix, tok->n_suffix);
    cs_tok_work_give(tok->pool, r.work, status != CS_OK);
    CS_TRY(status);
    CS_TRY(cs_ids_check(out, err));
    return ranges ? cs_ids_check(ranges, err) : CS_OK;
}

cs_status cs_tokenizer_encode(const cs_tokenizer *tok, const char *text, size_t len, int flags, cs_ids *out, cs_error *err)
{
    return cs_tokenizer_encode_ranges(tok, text, len, flags, out, NULL, err);
}
