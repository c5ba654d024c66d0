/* Hugging Face tokenizer.json: vocabulary, merges, added tokens. Its pipeline (normalizer, pre-tokenizer, post-processor, decoder) is in
 * tok_json_parts.c and tok_json_post.c. What is not supported is refused by name. Truncation and padding are the caller's business, as in
 * transformers, which sets them anew for every call. An added token that the model does not know gets the id that the file gives it. */
#include "fmt/json.h"
#include "text/tok.h"
#include "text/tok_json.h"
#include "text/utf8.h"

#include <math.h>
#include <string.h>

/* What the first pass over the file finds. */
typedef struct counts {
    const json_t *vocab, *added;
    bool unigram;
    int64_t top;  /* highest id */
    size_t bytes; /* of all texts with a NUL each */
} counts;

/* Ids may have gaps, but not many. */
static int64_t id_limit(const counts *c)
{
    return 4 * (int64_t)(json_object_size(c->vocab) + json_array_size(c->vocab) + json_array_size(c->added)) + 100000;
}

static cs_status count_vocab(cs_part_reader *r, counts *c)
{
    const char *key;
    json_t *v;
    size_t i, mark = cs_at_member(&r->at, "model"), inner = cs_at_member(&r->at, "vocab");
    json_object_foreach((json_t *)c->vocab, key, v) {
        int64_t id = 0;
        CS_TRY(cs_at_int(&r->at, c->vocab, key, 0, id_limit(c) - 1, true, &id));
        c->top = id > c->top ? id : c->top;
        c->bytes += strlen(key) + 1;
    }
    json_array_foreach((json_t *)c->vocab, i, v) {
        const json_t *piece = json_array_get(v, 0), *score = json_array_get(v, 1);
        size_t element = cs_at_element(&r->at, i);
        if (json_array_size(v) != 2 || !json_is_string(piece) || !json_is_number(score))
            return cs_at_expected(&r->at, NULL, "[\"piece\", score]", v);
        cs_at_leave(&r->at, element);
        c->top = (int64_t)i;
        c->bytes += json_string_length(piece) + 1;
    }
    cs_at_leave(&r->at, inner);
    cs_at_leave(&r->at, mark);
    return CS_OK;
}

static cs_status count_added(cs_part_reader *r, counts *c)
{
    size_t i, mark = cs_at_member(&r->at, "added_tokens");
    json_t *v;
    json_array_foreach((json_t *)c->added, i, v) {
        int64_t id = 0;
        cs_bytes content;
        size_t element = cs_at_element(&r->at, i);
        if (!json_is_object(v))
            return cs_at_expected(&r->at, NULL, "an object", v);
        CS_TRY(cs_at_int(&r->at, v, "id", 0, id_limit(c) - 1, true, &id));
        CS_TRY(cs_at_string(&r->at, v, "content", true, &content));
        cs_at_leave(&r->at, element);
        c->top = id > c->top ? id : c->top;
        c->bytes += content.len + 1;
    }
    cs_at_leave(&r->at, mark);
    return CS_OK;
}

/* Finds the model and counts. */
static cs_status survey(cs_part_reader *r, const json_t *root, counts *c)
{
    const json_t *model = json_object_get(root, "model"), *v = json_object_get(root, "version");
    cs_bytes type = {NULL, 0};
    if (!json_is_object(root))
        return cs_at_expected(&r->at, NULL, "an object, as tokenizer.json is", root);
    if (v && (!json_is_string(v) || strcmp(json_string_value(v), "1.0") != 0))
        return cs_at_expected(&r->at, "version", "\"1.0\"", v);
    if (!json_is_object(model))
        return cs_at_expected(&r->at, "model", "an object", model);
    c->vocab = json_object_get(model, "vocab");
    CS_TRY(cs_at_array(&r->at, root, "added_tokens", false, &c->added));
    size_t mark = cs_at_member(&r->at, "model");
    CS_TRY(cs_at_string(&r->at, model, "type", false, &type));
    c->unigram = type.text ? strcmp(type.text, "Unigram") == 0 : json_is_array(c->vocab);
    if (type.text && !c->unigram && strcmp(type.text, "BPE") != 0)
        return cs_at_refuse(&r->at, "type", "%.80s is not supported", type.text);
    if (c->unigram ? !json_is_array(c->vocab) : !json_is_object(c->vocab))
        return cs_at_expected(&r->at, "vocab", c->unigram ? "an array" : "an object", c->vocab);
    cs_at_leave(&r->at, mark);
    c->top = -1;
    CS_TRY(count_vocab(r, c));
    if (c->top < 0)
        return cs_at_refuse(&r->at, "model.vocab", "is empty");
    return count_added(r, c);
}

/* Copies a text to *blob and moves that on. */
static const char *put_text(char **blob, const char *text, size_t len)
{
    char *at = *blob;
    memcpy(at, text, len);
    at[len] = '\0';
    *blob += len + 1;
    return at;
}

static cs_status add_vocab(cs_part_reader *r, const counts *c, char **blob)
{
    cs_tokenizer *t = r->t;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)c->vocab, key, v) {
        int32_t id = (int32_t)json_integer_value(v);
        cs_piece *p = &t->vocab.pieces[id];
        size_t len = strlen(key);
        if (p->type != 0)
            return cs_at_refuse(&r->at, "model.vocab", "\"%.60s\" and \"%.60s\" have the same id %d", p->text, key, id);
        *p = (cs_piece){.text = put_text(blob, key, len), .len = (uint32_t)len, .type = CS_PIECE_NORMAL};
        if (len > 0)
            cs_vocab_index(&t->vocab, id);
    }
    for (size_t i = json_array_size(c->vocab); i-- > 0;) { /* of equal texts the last counts */
        v = json_array_get(c->vocab, i);
        const json_t *text = json_array_get(v, 0);
        cs_piece *p = &t->vocab.pieces[i];
        *p = (cs_piece){.text = put_text(blob, json_string_value(text), json_string_length(text)), .len = (uint32_t)json_string_length(text),
                        .type = CS_PIECE_NORMAL};
        if (p->len > 0)
            cs_vocab_index(&t->vocab, (int32_t)i);
    }
    for (int b = 0; b < 256; b++) {
        char piece[8];
        snprintf(piece, sizeof piece, "<0x%02X>", b);
        t->vocab.byte_id[b] = cs_vocab_find(&t->vocab, piece, 6);
    }
    return CS_OK;
}

/* The id of an added token: the model's, else the file's. */
static cs_status added_id(cs_part_reader *r, const json_t *row, cs_bytes content, char **blob, int32_t *out)
{
    cs_vocab *vocab = &r->t->vocab;
    *out = cs_vocab_find(vocab, content.text, content.len);
    if (*out >= 0)
        return CS_OK;
    *out = (int32_t)json_integer_value(json_object_get(row, "id"));
    cs_piece *p = &vocab->pieces[*out];
    if (p->type != 0 && (p->len != content.len || memcmp(p->text, content.text, p->len) != 0))
        return cs_at_refuse(&r->at, "id", "%d belongs to \"%.60s\" already", *out, p->text);
    if (p->type == 0)
        *p = (cs_piece){.text = put_text(blob, content.text, content.len), .len = (uint32_t)content.len, .type = CS_PIECE_USER};
    return CS_OK;
}

static cs_status add_added(cs_part_reader *r, const counts *c, char **blob)
{
    cs_tokenizer *t = r->t;
    size_t i, n = json_array_size(c->added), mark = cs_at_member(&r->at, "added_tokens");
    json_t *row;
    t->added = cs_arena_calloc(&t->mem, n + 1, sizeof *t->added);
    if (!t->added)
        return cs_fail_nomem(r->at.err, n * sizeof *t->added, "added tokens");
    json_array_foreach((json_t *)c->added, i, row) {
        size_t element = cs_at_element(&r->at, i);
        cs_added *a = &t->added[t->n_added];
        cs_bytes content = {0};
        CS_TRY(cs_at_string(&r->at, row, "content", true, &content));
        CS_TRY(cs_at_bool(&r->at, row, "special", false, &a->special));
        a->normalized = !a->special;
        CS_TRY(cs_at_bool(&r->at, row, "normalized", false, &a->normalized));
        CS_TRY(cs_at_bool(&r->at, row, "single_word", false, &a->single_word));
        CS_TRY(cs_at_bool(&r->at, row, "lstrip", false, &a->lstrip));
        CS_TRY(cs_at_bool(&r->at, row, "rstrip", false, &a->rstrip));
        if (content.len > 0) {
            CS_TRY(added_id(r, row, content, blob, &a->id));
            cs_piece *p = &t->vocab.pieces[a->id];
            p->special |= a->special;
            a->content = (cs_bytes){p->text, p->len};
            t->n_added++;
        }
        cs_at_leave(&r->at, element);
    }
    cs_at_leave(&r->at, mark);
    return CS_OK;
}

/* The two sides of a merge: "a b" or ["a", "b"]. */
static bool merge_sides(const json_t *m, cs_bytes *a, cs_bytes *b)
{
    if (json_is_string(m)) {
        const char *text = json_string_value(m), *space = strchr(text, ' ');
        if (!space || strchr(space + 1, ' '))
            return false;
        *a = (cs_bytes){text, (size_t)(space - text)};
        *b = (cs_bytes){space + 1, strlen(space + 1)};
    } else {
        const json_t *x = json_array_get(m, 0), *y = json_array_get(m, 1);
        if (json_array_size(m) != 2 || !json_is_string(x) || !json_is_string(y))
            return false;
        *a = (cs_bytes){json_string_value(x), json_string_length(x)};
        *b = (cs_bytes){json_string_value(y), json_string_length(y)};
    }
    return a->len > 0 && b->len > 0;
}

cs_status cs_tok_add_merge(cs_tokenizer *t, cs_bytes a, cs_bytes b, size_t rank, const char *name, cs_error *err)
{
    char small[256], *joined = small;
    if (a.len + b.len > sizeof small && !(joined = cs_malloc(a.len + b.len)))
        return cs_fail_nomem(err, a.len + b.len, "a merge rule");
    memcpy(joined, a.text, a.len);
    memcpy(joined + a.len, b.text, b.len);
    int32_t l = cs_vocab_find(&t->vocab, a.text, a.len), r = cs_vocab_find(&t->vocab, b.text, b.len);
    int32_t id = cs_vocab_find(&t->vocab, joined, a.len + b.len);
    if (joined != small)
        cs_free(joined);
    if (l < 0 || r < 0 || id < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: merge %zu: \"%.*s\" and \"%.*s\": a side or the result is not in the vocabulary", name, rank,
                       (int)(a.len < 200 ? a.len : 200), a.text, (int)(b.len < 200 ? b.len : 200), b.text);
    cs_bpe_add_pair(&t->bpe, l, r, (uint32_t)rank, id);
    return CS_OK;
}

static cs_status add_merges(cs_part_reader *r, const json_t *model)
{
    const json_t *merges = NULL;
    size_t i, rank = 0;
    json_t *m;
    CS_TRY(cs_at_array(&r->at, model, "merges", true, &merges));
    CS_TRY(cs_bpe_init_pairs(&r->t->bpe, &r->t->mem, json_array_size(merges), r->at.err));
    size_t mark = cs_at_member(&r->at, "merges");
    json_array_foreach((json_t *)merges, i, m) {
        cs_bytes a, b;
        size_t element = cs_at_element(&r->at, i);
        if (json_is_string(m) && strncmp(json_string_value(m), "#version", 8) == 0) { /* the first line of merges.txt */
            cs_at_leave(&r->at, element);
            continue;
        }
        if (!merge_sides(m, &a, &b))
            return cs_at_expected(&r->at, NULL, "\"a b\" or [\"a\", \"b\"]", m);
        CS_TRY(cs_tok_add_merge(r->t, a, b, rank++, r->at.name, r->at.err));
        cs_at_leave(&r->at, element);
    }
    cs_at_leave(&r->at, mark);
    return CS_OK;
}

/* An option that must have no effect. */
static cs_status refuse_option(cs_part_reader *r, const json_t *model, const char *key)
{
    const json_t *v = json_object_get(model, key);
    bool set = json_is_string(v) ? json_string_length(v) > 0 : json_is_number(v) ? json_number_value(v) != 0 : v && !json_is_null(v);
    return set ? cs_at_refuse(&r->at, key, "is not supported") : CS_OK;
}

static cs_status load_bpe(cs_part_reader *r, const json_t *model)
{
    cs_tokenizer *t = r->t;
    cs_bytes unk = {NULL, 0};
    CS_TRY(refuse_option(r, model, "continuing_subword_prefix"));
    CS_TRY(refuse_option(r, model, "end_of_word_suffix"));
    CS_TRY(refuse_option(r, model, "dropout"));
    CS_TRY(cs_at_bool(&r->at, model, "byte_fallback", false, &t->bpe.byte_fallback));
    CS_TRY(cs_at_bool(&r->at, model, "fuse_unk", false, &t->bpe.fuse_unk));
    CS_TRY(cs_at_bool(&r->at, model, "ignore_merges", false, &t->bpe.ignore_merges));
    CS_TRY(cs_at_string(&r->at, model, "unk_token", false, &unk));
    t->bpe.kind = CS_BPE_PAIRS;
    t->bpe.vocab = &t->vocab;
    if (unk.text) {
        t->unk = t->vocab.unk = cs_vocab_find(&t->vocab, unk.text, unk.len);
        if (t->unk < 0)
            return cs_at_refuse(&r->at, "unk_token", "\"%.60s\" is not in the vocabulary", unk.text);
    }
    return add_merges(r, model);
}

static cs_status load_unigram(cs_part_reader *r, const json_t *model, const counts *c)
{
    cs_tokenizer *t = r->t;
    int64_t unk = -1;
    bool byte_fallback = false;
    size_t n = json_array_size(c->vocab);
    double *scores = cs_arena_calloc(&t->mem, n, sizeof *scores);
    if (!scores)
        return cs_fail_nomem(r->at.err, n * sizeof *scores, "a vocabulary");
    CS_TRY(cs_at_int(&r->at, model, "unk_id", 0, (int64_t)n - 1, false, &unk));
    CS_TRY(cs_at_bool(&r->at, model, "byte_fallback", false, &byte_fallback));
    for (size_t i = 0; i < n; i++)
        scores[i] = json_number_value(json_array_get(json_array_get(c->vocab, i), 1));
    t->is_unigram = true;
    t->unk = t->vocab.unk = (int32_t)unk;
    return cs_unigram_init_wide(&t->unigram, &t->mem, &t->vocab, scores, n, byte_fallback, r->at.err);
}

void cs_tok_guess_specials(cs_tokenizer *t)
{
    static const char *const bos[] = {"<s>", "<|begin_of_text|>", "<|endoftext|>"};
    static const char *const eos[] = {"</s>", "<|end_of_text|>", "<|endoftext|>"};
    for (size_t i = 0; i < 3 && t->bos < 0; i++)
        t->bos = cs_vocab_find_any(&t->vocab, bos[i], strlen(bos[i]));
    for (size_t i = 0; i < 3 && t->eos < 0; i++)
        t->eos = cs_vocab_find_any(&t->vocab, eos[i], strlen(eos[i]));
    t->pad = cs_vocab_find_any(&t->vocab, "<pad>", 5);
}

/* What the decoder sees of an added token is its normal form, except that special tokens stay what they are (tokenizers 0.23 shows their normal forms
 * too, and then cannot leave them out any more; versions before it do as here). */
static cs_status show_normal_forms(cs_tokenizer *t, cs_error *err)
{
    cs_norm_work work = {0};
    cs_status status = CS_OK;
    for (size_t i = 0; i < t->n_added && status == CS_OK && t->norm.n_steps > 0; i++) {
        const cs_added *a = &t->added[i];
        if (!a->normalized || a->special)
            continue;
        status = cs_normalize(&t->norm, &work, (cs_view){a->content.text, a->content.len, NULL}, true, 0, err);
        cs_bytes form = {cs_str_cstr(&work.out.text), work.out.text.len};
        if (status != CS_OK || (form.len == a->content.len && memcmp(form.text, a->content.text, form.len) == 0))
            continue;
        if (!t->shown)
            t->shown = cs_arena_calloc(&t->mem, (size_t)t->vocab.n, sizeof *t->shown);
        cs_bytes kept = t->shown ? cs_tok_keep(t, form.text, form.len) : (cs_bytes){NULL, 0};
        if (kept.text)
            t->shown[a->id] = kept;
        else
            status = cs_fail_nomem(err, form.len, "an added token");
    }
    cs_norm_work_release(&work);
    return status;
}

static cs_status load_root(cs_part_reader *r, const json_t *root)
{
    cs_tokenizer *t = r->t;
    counts c = {0};
    const json_t *model = json_object_get(root, "model");
    CS_TRY(survey(r, root, &c));
    CS_TRY(cs_vocab_init(&t->vocab, &t->mem, (int32_t)(c.top + 1), r->at.err));
    char *blob = cs_arena_alloc(&t->mem, c.bytes);
    if (!blob)
        return cs_fail_nomem(r->at.err, c.bytes, "a vocabulary");
    CS_TRY(add_vocab(r, &c, &blob));
    CS_TRY(add_added(r, &c, &blob));
    size_t mark = cs_at_member(&r->at, "model");
    CS_TRY(c.unigram ? load_unigram(r, model, &c) : load_bpe(r, model));
    cs_at_leave(&r->at, mark);
    CS_TRY(cs_tok_json_normalizer(r, root));
    CS_TRY(cs_tok_json_pretok(r, root));
    CS_TRY(cs_tok_json_post(r, root));
    CS_TRY(cs_tok_json_decoder(r, root));
    if (!c.unigram)
        CS_TRY(cs_bpe_finish(&t->bpe, &t->mem, r->at.err));
    CS_TRY(cs_tok_index_added(t, r->at.err));
    CS_TRY(show_normal_forms(t, r->at.err));
    cs_tok_guess_specials(t);
    return CS_OK;
}

cs_status cs_tok_load_json(cs_tokenizer *t, const char *bytes, size_t len, const char *name, const cs_tok_config *cfg, cs_error *err)
{
    json_t *root = NULL;
    cs_part_reader r = {.t = t, .at = {.name = name, .err = err}};
    (void)cfg;
    t->bos = t->eos = t->pad = t->unk = -1;
    t->lossy_input = true;
    CS_TRY(cs_json_parse(bytes, len, name, &root, err));
    cs_status status = load_root(&r, root);
    json_decref(root);
    return status;
}
