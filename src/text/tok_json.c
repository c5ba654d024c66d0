/* Hugging Face tokenizer.json: vocabulary, merges, added tokens. Its pipeline (normalizer, pre-tokenizer, post-processor, decoder) is in
 * tok_json_parts.c. What is not supported is refused by name. */
#include "fmt/json.h"
#include "text/tok.h"
#include "text/tok_json.h"

#include <string.h>

/* Highest id + 1 over vocabulary and added tokens. Ids may have gaps, but not many. */
static cs_status count_ids(const json_t *vocab, const json_t *added, const char *name, int32_t *n, size_t *bytes, cs_error *err)
{
    const char *key;
    json_t *v;
    size_t i;
    int64_t top = -1, limit = 4 * (int64_t)(json_object_size(vocab) + json_array_size(added)) + 100000;
    *bytes = 0;
    json_object_foreach((json_t *)vocab, key, v) {
        int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= limit)
            return cs_fail(err, CS_E_FORMAT, "%s: model.vocab \"%s\": id is not an integer in 0..%lld", name, key, (long long)limit - 1);
        top = id > top ? id : top;
        *bytes += strlen(key) + 1;
    }
    json_array_foreach(added, i, v) {
        const json_t *idv = json_object_get(v, "id");
        int64_t id = json_is_integer(idv) ? json_integer_value(idv) : -1;
        const char *content = json_string_value(json_object_get(v, "content"));
        if (id < 0 || id >= limit || !content)
            return cs_fail(err, CS_E_FORMAT, "%s: added_tokens[%zu]: no content or id not in 0..%lld", name, i, (long long)limit - 1);
        top = id > top ? id : top;
        *bytes += strlen(content) + 1;
    }
    if (top < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: model.vocab is empty", name);
    *n = (int32_t)(top + 1);
    return CS_OK;
}

/* Copies a text to *blob and moves that on. */
static const char *put_text(char **blob, const char *text, size_t len)
{
    char *at = *blob;
    memcpy(at, text, len + 1);
    *blob += len + 1;
    return at;
}

static cs_status add_vocab(cs_tokenizer *t, const json_t *vocab, const char *name, char **blob, cs_error *err)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)vocab, key, v) {
        int32_t id = (int32_t)json_integer_value(v);
        cs_piece *p = &t->vocab.pieces[id];
        size_t len = strlen(key);
        if (p->type != 0)
            return cs_fail(err, CS_E_FORMAT, "%s: model.vocab: \"%s\" and \"%s\" have the same id %d", name, p->text, key, id);
        *p = (cs_piece){.text = put_text(blob, key, len), .len = (uint32_t)len, .type = CS_PIECE_NORMAL};
        if (len > 0)
            cs_vocab_index(&t->vocab, id);
    }
    for (int b = 0; b < 256; b++) {
        char piece[8];
        snprintf(piece, sizeof piece, "<0x%02X>", b);
        t->vocab.byte_id[b] = cs_vocab_find(&t->vocab, piece, 6);
    }
    return CS_OK;
}

static cs_status add_added(cs_tokenizer *t, const json_t *added, const char *name, char **blob, cs_error *err)
{
    size_t i, n = json_array_size(added);
    json_t *row;
    t->added = cs_arena_calloc(&t->mem, n + 1, sizeof *t->added);
    if (!t->added)
        return cs_fail_nomem(err, n * sizeof *t->added, "added tokens");
    json_array_foreach(added, i, row) {
        const char *content = json_string_value(json_object_get(row, "content"));
        bool special = false, single = false, normalized = true;
        cs_added *a = &t->added[t->n_added];
        CS_TRY(cs_json_get_bool(row, "special", name, &special, err));
        normalized = !special;
        CS_TRY(cs_json_get_bool(row, "normalized", name, &normalized, err));
        CS_TRY(cs_json_get_bool(row, "single_word", name, &single, err));
        CS_TRY(cs_json_get_bool(row, "lstrip", name, &a->lstrip, err));
        CS_TRY(cs_json_get_bool(row, "rstrip", name, &a->rstrip, err));
        if (single)
            return cs_fail(err, CS_E_FORMAT, "%s: added_tokens[%zu]: single_word is not supported", name, i);
        size_t len = strlen(content);
        if (len == 0)
            continue;
        int32_t id = cs_vocab_find(&t->vocab, content, len);
        if (id < 0) {
            id = (int32_t)json_integer_value(json_object_get(row, "id"));
            cs_piece *p = &t->vocab.pieces[id];
            if (p->type != 0)
                return cs_fail(err, CS_E_FORMAT, "%s: added_tokens[%zu]: id %d belongs to \"%s\" already", name, i, id, p->text);
            *p = (cs_piece){.text = put_text(blob, content, len), .len = (uint32_t)len, .type = CS_PIECE_USER};
        }
        cs_piece *p = &t->vocab.pieces[id];
        p->special |= special;
        a->id = id;
        a->special = special;
        a->normalized = normalized;
        a->content = (cs_bytes){p->text, p->len};
        t->n_added++;
    }
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

static cs_status add_merges(cs_tokenizer *t, const json_t *merges, const char *name, cs_error *err)
{
    size_t i;
    json_t *m;
    if (!json_is_array(merges))
        return cs_fail(err, CS_E_FORMAT, "%s: model.merges must be an array", name);
    CS_TRY(cs_bpe_init_pairs(&t->bpe, &t->mem, json_array_size(merges), err));
    json_array_foreach(merges, i, m) {
        cs_bytes a, b;
        if (!merge_sides(m, &a, &b))
            return cs_fail(err, CS_E_FORMAT, "%s: model.merges[%zu] is not a pair of pieces", name, i);
        CS_TRY(cs_tok_add_merge(t, a, b, i, name, err));
    }
    return CS_OK;
}

static cs_status refuse_option(const json_t *model, const char *key, const char *name, cs_error *err)
{
    const json_t *v = json_object_get(model, key);
    bool set = json_is_string(v) ? json_string_length(v) > 0 : json_is_number(v) && json_number_value(v) != 0;
    return set ? cs_fail(err, CS_E_FORMAT, "%s: model.%s is not supported", name, key) : CS_OK;
}

static cs_status load_bpe(cs_tokenizer *t, const json_t *model, const char *name, cs_error *err)
{
    const char *unk = NULL;
    CS_TRY(refuse_option(model, "continuing_subword_prefix", name, err));
    CS_TRY(refuse_option(model, "end_of_word_suffix", name, err));
    CS_TRY(refuse_option(model, "dropout", name, err));
    CS_TRY(cs_json_get_bool(model, "byte_fallback", name, &t->bpe.byte_fallback, err));
    CS_TRY(cs_json_get_bool(model, "fuse_unk", name, &t->bpe.fuse_unk, err));
    CS_TRY(cs_json_get_bool(model, "ignore_merges", name, &t->bpe.ignore_merges, err));
    CS_TRY(cs_json_get_str(model, "unk_token", name, &unk, err));
    t->bpe.kind = CS_BPE_PAIRS;
    t->bpe.vocab = &t->vocab;
    if (unk) {
        t->unk = t->vocab.unk = cs_vocab_find(&t->vocab, unk, strlen(unk));
        if (t->unk < 0)
            return cs_fail(err, CS_E_FORMAT, "%s: model.unk_token \"%s\" is not in the vocabulary", name, unk);
    }
    return add_merges(t, json_object_get(model, "merges"), name, err);
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

static cs_status load_root(cs_tokenizer *t, const json_t *root, const char *name, cs_error *err)
{
    const json_t *model = json_object_get(root, "model"), *added = json_object_get(root, "added_tokens");
    const json_t *vocab = json_object_get(model, "vocab");
    const char *type = "BPE";
    int32_t n = 0;
    size_t bytes = 0;
    if (!json_is_object(model) || (added && !json_is_null(added) && !json_is_array(added)))
        return cs_fail(err, CS_E_FORMAT, "%s: not a tokenizer.json: no model object or added_tokens is no array", name);
    CS_TRY(cs_json_get_str(model, "type", name, &type, err));
    if (strcmp(type, "BPE") != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: model type %s is not supported", name, type);
    if (!json_is_object(vocab))
        return cs_fail(err, CS_E_FORMAT, "%s: model.vocab must be an object", name);
    CS_TRY(count_ids(vocab, added, name, &n, &bytes, err));
    CS_TRY(cs_vocab_init(&t->vocab, &t->mem, n, err));
    char *blob = cs_arena_alloc(&t->mem, bytes);
    if (!blob)
        return cs_fail_nomem(err, bytes, "a vocabulary");
    CS_TRY(add_vocab(t, vocab, name, &blob, err));
    CS_TRY(add_added(t, added, name, &blob, err));
    CS_TRY(load_bpe(t, model, name, err));
    CS_TRY(cs_tok_json_parts(t, root, name, err));
    CS_TRY(cs_bpe_finish(&t->bpe, &t->mem, err));
    CS_TRY(cs_tok_index_added(t, err));
    cs_tok_guess_specials(t);
    return CS_OK;
}

cs_status cs_tok_load_json(cs_tokenizer *t, const char *bytes, size_t len, const char *name, const cs_tok_config *cfg, cs_error *err)
{
    json_t *root = NULL;
    (void)cfg;
    t->bos = t->eos = t->pad = t->unk = -1;
    t->lossy_input = true;
    CS_TRY(cs_json_parse(bytes, len, name, &root, err));
    cs_status status = load_root(t, root, name, err);
    json_decref(root);
    return status;
}
