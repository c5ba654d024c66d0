/* Encoding: added tokens out of the raw text, normalise, added tokens out of the normal form, cut into words, model. */
#include "text/tokenizer.h"

#include "text/tok.h"
#include "text/utf8.h"

#include <string.h>

/* Memory and state of one call. */
typedef struct encode_run {
    const cs_tokenizer *t;
    bool parse_special;
    cs_bpe_work bpe;
    cs_str norm, spare, words[CS_MAX_PRETOK_STEPS];
    cs_ids *out;
    cs_error *err;
} encode_run;

static cs_status encode_word(void *context, const char *word, size_t len, cs_error *err)
{
    encode_run *r = context;
    const cs_tokenizer *t = r->t;
    if (len >= INT32_MAX)
        return cs_fail(err, CS_E_NOMEM, "a text of %zu bytes without a cut is too long to tokenize", len);
    if (t->is_unigram)
        return cs_unigram_encode(&t->unigram, word, len, r->out, NULL, err);
    cs_bpe_encode(&t->bpe, &r->bpe, word, len, r->out, NULL);
    return r->bpe.failed ? cs_fail_nomem(err, len, "tokenization") : CS_OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}

typedef cs_status segment_fn(encode_run *r, const char *text, size_t len, bool first);

/* Finds added tokens, longest first from the left; text between them goes to fn. */
static cs_status split_added(encode_run *r, const cs_trie *trie, const char *text, size_t len, bool first, segment_fn *fn)
{
    size_t done = 0, n;
    for (size_t i = 0; i < len; i += n) {
        int32_t index;
        n = cs_trie_longest(trie, text + i, len - i, &index);
        if (n == 0) {
            n = 1;
            continue;
        }
        const cs_added *a = &r->t->added[index];
        if (a->special && !r->parse_special)
            continue;
        size_t end = i;
        while (a->lstrip && end > done && is_space(text[end - 1]))
            end--;
        if (end > done)
            CS_TRY(fn(r, text + done, end - done, first && done == 0));
        cs_ids_push(r->out, a->id);
        r->bpe.after_unk = false;
        while (a->rstrip && i + n < len && is_space(text[i + n]))
            n++;
        done = i + n;
    }
    return done < len ? fn(r, text + done, len - done, first && done == 0) : CS_OK;
}

static cs_status encode_normal(encode_run *r, const char *text, size_t len, bool first)
{
    return cs_pretok_run(&r->t->pretok, text, len, first, r->words, encode_word, r, r->err);
}

static cs_status encode_raw(encode_run *r, const char *text, size_t len, bool first)
{
    const cs_tokenizer *t = r->t;
    if (t->norm.n_steps > 0) {
        cs_normalize(&t->norm, text, len, first, &r->norm, &r->spare);
        CS_TRY(cs_str_check(&r->norm, r->err));
        CS_TRY(cs_str_check(&r->spare, r->err));
        text = cs_str_cstr(&r->norm);
        len = r->norm.len;
    }
    r->bpe.after_unk = false;
    return t->has_norm ? split_added(r, &t->added_norm, text, len, first, encode_normal) : encode_normal(r, text, len, first);
}

/* The text with every damaged part made U+FFFD. */
static void make_well_formed(const char *text, size_t len, cs_str *out)
{
    const uint8_t *p = (const uint8_t *)text;
    for (size_t i = 0; i < len;) {
        size_t good = cs_utf8_valid_prefix(p + i, len - i);
        cs_str_append(out, text + i, good);
        i += good;
        if (i < len) {
            cs_str_append(out, CS_UTF8_REPLACEMENT, 3);
            i += cs_utf8_bad_length(p + i, len - i);
        }
    }
}

cs_status cs_tokenizer_encode(const cs_tokenizer *tok, const char *text, size_t len, int flags, cs_ids *out, cs_error *err)
{
    encode_run r = {.t = tok, .parse_special = (flags & CS_TOK_PARSE_SPECIAL) != 0, .out = out, .err = err};
    cs_str clean = {0};
    cs_status status = CS_OK;
    if (flags & CS_TOK_SPECIAL)
        cs_ids_append(out, tok->prefix, tok->n_prefix);
    if (tok->lossy_input && cs_utf8_valid_prefix((const uint8_t *)text, len) < len) {
        make_well_formed(text, len, &clean);
        status = cs_str_check(&clean, err);
        text = cs_str_cstr(&clean);
        len = clean.len;
    }
    if (status == CS_OK && len > 0)
        status = tok->has_raw ? split_added(&r, &tok->added_raw, text, len, true, encode_raw) : encode_raw(&r, text, len, true);
    if (status == CS_OK && (flags & CS_TOK_SPECIAL))
        cs_ids_append(out, tok->suffix, tok->n_suffix);
    cs_bpe_work_release(&r.bpe);
    cs_str_release(&r.norm);
    cs_str_release(&r.spare);
    for (size_t i = 0; i < CS_MAX_PRETOK_STEPS; i++)
        cs_str_release(&r.words[i]);
    cs_str_release(&clean);
    return status == CS_OK ? cs_ids_check(out, err) : status;
}

cs_bytes cs_tok_keep(cs_tokenizer *t, const char *text, size_t len)
{
    char *copy = cs_arena_alloc(&t->mem, len + 1);
    if (copy) {
        memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return (cs_bytes){copy, len};
}

cs_status cs_tok_index_added(cs_tokenizer *t, cs_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < t->n_added; i++) /* normal forms may be longer: three bytes for a blank and a prefix */
        total += 3 * t->added[i].content.len + 64;
    if (t->n_added == 0)
        return CS_OK;
    CS_TRY(cs_trie_init(&t->added_raw, &t->mem, total, err));
    CS_TRY(cs_trie_init(&t->added_norm, &t->mem, total, err));
    cs_str norm = {0}, spare = {0};
    cs_status status = CS_OK;
    for (size_t i = 0; i < t->n_added && status == CS_OK; i++) {
        const cs_added *a = &t->added[i];
        cs_bytes key = a->content;
        if (a->normalized && t->norm.n_steps > 0) {
            cs_normalize(&t->norm, key.text, key.len, true, &norm, &spare);
            key = (cs_bytes){cs_str_cstr(&norm), norm.len};
            status = norm.failed || spare.failed ? cs_fail_nomem(err, key.len, "an added token") : CS_OK;
        }
        if (key.len == 0 || status != CS_OK)
            continue;
        if (key.len > 3 * a->content.len + 64)
            status = cs_fail(err, CS_E_FORMAT, "added token %d grows to %zu bytes by normalising", a->id, key.len);
        else if (a->normalized)
            cs_trie_add(&t->added_norm, key.text, key.len, (int32_t)i);
        else
            cs_trie_add(&t->added_raw, key.text, key.len, (int32_t)i);
        *(a->normalized ? &t->has_norm : &t->has_raw) = true;
    }
    cs_str_release(&norm);
    cs_str_release(&spare);
    return status;
}

void cs_tokenizer_destroy(cs_tokenizer *tok)
{
    if (!tok)
        return;
    for (size_t i = 0; i < tok->n_files; i++)
        cs_free(tok->files[i]);
    cs_arena_release(&tok->mem);
    cs_free(tok);
}

int32_t cs_tokenizer_vocab_size(const cs_tokenizer *tok)
{
    return tok->vocab.n;
}

int32_t cs_tokenizer_bos(const cs_tokenizer *tok)
{
    return tok->bos;
}

int32_t cs_tokenizer_eos(const cs_tokenizer *tok)
{
    return tok->eos;
}

int32_t cs_tokenizer_unk(const cs_tokenizer *tok)
{
    return tok->unk;
}

int32_t cs_tokenizer_pad(const cs_tokenizer *tok)
{
    return tok->pad;
}

size_t cs_tokenizer_n_files(const cs_tokenizer *tok)
{
    return tok->n_files;
}

const char *cs_tokenizer_file(const cs_tokenizer *tok, size_t i)
{
    return tok->files[i];
}

uint64_t cs_tokenizer_hash(const cs_tokenizer *tok)
{
    return tok->hash;
}

const char *cs_tokenizer_piece(const cs_tokenizer *tok, int32_t id, size_t *len)
{
    if (id < 0 || id >= tok->vocab.n) {
        *len = 0;
        return "";
    }
    *len = tok->vocab.pieces[id].len;
    return tok->vocab.pieces[id].text;
}

bool cs_tokenizer_is_special(const cs_tokenizer *tok, int32_t id)
{
    return id >= 0 && id < tok->vocab.n && tok->vocab.pieces[id].special;
}
