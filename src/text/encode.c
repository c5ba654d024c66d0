/* Encoding: added tokens out of the raw text, normalise, added tokens out of the normal form, cut into words, model. The range of the input that an
 * id stands for is carried along when it is asked for. */
#include "text/tok.h"
#include "text/unidata.h"
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

static size_t cp_at(cs_view v, size_t i, uint32_t *cp)
{
    return i < v.len ? cs_utf8_decode((const uint8_t *)v.text + i, v.len - i, cp) : 0;
}

/* Blanks at the ends of a token's text, which post-processors take out of its range: white space and GPT-2's sign for a blank. */
static bool is_blank(uint32_t cp)
{
    return cp == 0x120 || cs_uni_is_space(cp);
}

static int32_t blanks_before(cs_view v)
{
    int32_t count = 0;
    uint32_t cp;
    for (size_t i = 0, n; (n = i < v.len ? cs_utf8_decode((const uint8_t *)v.text + i, v.len - i, &cp) : 0) > 0 && is_blank(cp); i += n)
        count++;
    return count;
}

static int32_t blanks_behind(cs_view v)
{
    int32_t count = 0;
    uint32_t cp;
    for (size_t end = v.len, n; (n = cs_utf8_last((const uint8_t *)v.text, end, &cp)) > 0 && is_blank(cp); end -= n)
        count++;
    return count;
}

/* token: the text of the id as post-processors see it. */
static void put_range(encode_run *r, cs_span s, cs_view token)
{
    cs_ids_append(r->ranges, (int32_t[]){(int32_t)s.begin, (int32_t)s.end}, 2);
    if (r->t->n_trims > 0)
        cs_ids_append(&r->work->blanks, (int32_t[]){blanks_before(token), blanks_behind(token)}, 2);
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
    if (end > word.len) /* never happens to a model that makes what it is given into pieces */
        return (cs_span){(uint32_t)begin, (uint32_t)end};
    return (cs_span){word.from[begin].begin, word.from[end - 1].end};
}

/* What tokenizers calls the value of a token: the piece, for unigram the text. */
static cs_view token_text(const encode_run *r, size_t i, cs_view word, size_t begin, size_t end)
{
    if (r->t->is_unigram)
        return cs_view_part(word, begin, end - begin);
    const cs_piece *p = &r->t->vocab.pieces[r->out->failed ? 0 : r->out->data[i]];
    return (cs_view){p->text, p->len, NULL};
}

static void put_ranges(encode_run *r, cs_view word, size_t first)
{
    size_t begin = 0, last = 0;
    for (size_t i = 0; i < r->work->ends.len; i++) {
        size_t end = (size_t)r->work->ends.data[i];
        if (i > 0 && end == last && r->t->is_unigram && r->t->range_rule == CS_RANGE_JSON)
            end = last; /* one of the bytes of an unknown run: all have its range */
        else
            begin = last;
        cs_span s = r->t->range_rule == CS_RANGE_SPM ? spm_range(word, begin, end) : json_range(word, begin, end);
        put_range(r, s, token_text(r, first + i, word, begin, end));
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
    size_t first = r->out->len;
    if (t->is_unigram) {
        CS_TRY(cs_unigram_encode(&t->unigram, &r->work->unigram, word.text, word.len, r->out, ends, err));
    } else {
        cs_bpe_encode(&t->bpe, &r->work->bpe, word.text, word.len, r->out, ends);
        if (r->work->bpe.failed)
            return cs_fail_nomem(err, word.len, "tokenization");
    }
    if (ends)
        put_ranges(r, word, first);
    return CS_OK;
}

/* Is text[begin, end) a word of its own? */
static bool is_single_word(cs_view v, size_t begin, size_t end)
{
    uint32_t cp;
    return !(cs_utf8_last((const uint8_t *)v.text, begin, &cp) > 0 && cs_uni_is_word(cp)) && !(cp_at(v, end, &cp) > 0 && cs_uni_is_word(cp));
}

typedef cs_status segment_fn(encode_run *r, cs_view v, bool first);

static void put_added(encode_run *r, const cs_added *a, cs_view v)
{
    cs_ids_push(r->out, a->id);
    if (r->ranges)
        put_range(r, (cs_span){v.from[0].begin, v.from[v.len - 1].end}, cs_view_part(v, 0, v.len));
    r->work->bpe.after_unk = false;
}

/* Finds added tokens, longest first from the left; text between them goes to fn. White space that a token takes on its right is searched all the
 * same, as in tokenizers, so that text behind it may come twice. */
static cs_status split_added(encode_run *r, const cs_trie *trie, cs_view v, bool first, segment_fn *fn)
{
    size_t done = 0, n;
    for (size_t i = 0; (i = cs_trie_next(trie, v.text, v.len, i)) < v.len; i += n) {
        int32_t index;
        uint32_t cp;
        n = cs_trie_longest(trie, v.text + i, v.len - i, &index);
        if (n == 0) {
            n = 1;
            continue;
        }
        const cs_added *a = &r->t->added[index];
        size_t begin = i, end = i + n, k;
        if ((a->special && !r->parse_special) || (a->single_word && !is_single_word(v, begin, end)))
            continue;
        while (a->lstrip && begin > done && (k = cs_utf8_last((const uint8_t *)v.text, begin, &cp)) > 0 && cs_uni_is_space(cp))
            begin -= k;
        while (a->rstrip && (k = cp_at(v, end, &cp)) > 0 && cs_uni_is_space(cp))
            end += k;
        if (begin > done)
            CS_TRY(fn(r, cs_view_part(v, done, begin - done), first && done == 0));
        put_added(r, a, cs_view_part(v, begin, end - begin));
        done = end;
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
    cs_mapped source = {.track = r->ranges != NULL || t->needs_source};
    cs_view v = {text, len, NULL};
    bool repair = t->lossy_input && cs_utf8_valid_prefix((const uint8_t *)text, len) < len;
    cs_status status = CS_OK;
    if (len == 0)
        return CS_OK;
    if (source.track && len >= INT32_MAX)
        return cs_fail(r->err, CS_E_NOMEM, "a text of %zu bytes is too long for byte ranges", len);
    r->work->norm.regex.spent = r->work->words.regex.spent = 0;
    r->work->norm.regex.level = r->work->words.regex.level = 0;
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

/* Start of the code point behind byte `at` of the input, and of the one before it. */
static size_t step_right(const char *text, size_t len, size_t at)
{
    size_t n = cs_utf8_decode((const uint8_t *)text + at, len - at, NULL);
    return at + (n ? n : cs_utf8_bad_length((const uint8_t *)text + at, len - at));
}

static size_t step_left(const char *text, size_t at)
{
    uint32_t cp;
    size_t n = cs_utf8_last((const uint8_t *)text, at, &cp);
    return at - (n ? n : 1);
}

/* Takes blanks out of the ranges of the ids from `first` on, as ByteLevel's post-processor does: as many code points of the input as the token has
 * blanks, whatever they are there. */
static void trim_ranges(encode_run *r, const cs_trim *trim, const char *text, size_t len, size_t first)
{
    size_t n = (r->ranges->len - first) / 2;
    for (size_t i = 0; i < n; i++) {
        int32_t *range = r->ranges->data + first + 2 * i;
        size_t begin = (size_t)range[0], end = (size_t)range[1], back = end;
        int32_t before = r->work->blanks.data[2 * i], behind = r->work->blanks.data[2 * i + 1], k = 0;
        if (before == 1 && trim->add_prefix_space && ((i == 0 && !trim->joined) || begin == 0))
            before = 0; /* it was put there */
        for (; before > 0 && begin < end; before--)
            begin = step_right(text, len, begin);
        begin = begin > end ? end : begin;
        while (k < behind && back > 0) {
            back = step_left(text, back);
            k++;
        }
        if (k == behind)
            end = back > begin ? back : begin;
        range[0] = (int32_t)begin;
        range[1] = (int32_t)end;
    }
}

/* Ids that are not of the text have the range [0, 0). */
static void put_extra(encode_run *r, const int32_t *ids, size_t n)
{
    cs_ids_append(r->out, ids, n);
    for (size_t i = 0; r->ranges && i < 2 * n; i++)
        cs_ids_push(r->ranges, 0);
}

cs_status cs_tokenizer_encode_ranges(const cs_tokenizer *tok, const char *text, size_t len, int flags, cs_ids *out, cs_ids *ranges, cs_error *err)
{
    encode_run r = {.t = tok, .parse_special = (flags & CS_TOK_PARSE_SPECIAL) != 0, .out = out, .ranges = ranges, .err = err,
                    .work = cs_tok_work_take(tok->pool)};
    if (!r.work)
        return cs_fail_nomem(err, sizeof *r.work, "tokenization");
    if (flags & (CS_TOK_SPECIAL | CS_TOK_FRONT))
        put_extra(&r, tok->prefix, tok->n_prefix);
    size_t first = ranges ? ranges->len : 0;
    cs_ids_clear(&r.work->blanks);
    cs_status status = encode_body(&r, text, len);
    for (size_t i = 0; ranges && status == CS_OK && i < tok->n_trims && !ranges->failed && !r.work->blanks.failed; i++)
        trim_ranges(&r, &tok->trims[i], text, len, first);
    if (status == CS_OK)
        status = cs_ids_check(&r.work->blanks, err);
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
