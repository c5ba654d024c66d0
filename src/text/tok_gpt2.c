/* GPT-2's pair of files: vocab.json {"piece": id} and merges.txt, one "a b" a line after an optional "#version" line. */
#include "fmt/json.h"
#include "text/merges.h"
#include "text/tok_config.h"
#include "text/tok_json.h"

#include <string.h>

static cs_status read_merges(cs_tokenizer *t, cs_bytes text, const char *name, cs_error *err)
{
    cs_merges m = {.text = text.text, .len = text.len, .name = name};
    cs_bytes left, right;
    bool more = true;
    CS_TRY(cs_bpe_init_pairs(&t->bpe, &t->mem, cs_merges_most(text.text, text.len), err));
    for (size_t rank = 0;; rank++) {
        CS_TRY(cs_merges_next(&m, &left, &right, &more, err));
        if (!more)
            return CS_OK;
        CS_TRY(cs_tok_add_merge(t, left, right, rank, name, err));
    }
}

static cs_status read_vocab(cs_tokenizer *t, const json_t *vocab, const char *name, cs_error *err)
{
    const char *key;
    json_t *v;
    int64_t n = (int64_t)json_object_size(vocab);
    if (n == 0 || n > INT32_MAX)
        return cs_fail(err, CS_E_FORMAT, "%s: expected an object of pieces with ids", name);
    CS_TRY(cs_vocab_init(&t->vocab, &t->mem, (int32_t)n, err));
    json_object_foreach((json_t *)vocab, key, v) {
        int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= n || t->vocab.pieces[id].type != 0)
            return cs_fail(err, CS_E_FORMAT, "%s: \"%s\": id is not in 0..%lld or taken twice", name, key, (long long)n - 1);
        cs_bytes text = cs_tok_keep(t, key, strlen(key));
        if (!text.text)
            return cs_fail_nomem(err, text.len, "a vocabulary");
        t->vocab.pieces[id] = (cs_piece){.text = text.text, .len = (uint32_t)text.len, .type = CS_PIECE_NORMAL};
        if (text.len > 0)
            cs_vocab_index(&t->vocab, (int32_t)id);
    }
    return CS_OK;
}

/* GPT-2's own special token; the configuration names others. */
static cs_status add_specials(cs_tokenizer *t, cs_error *err)
{
    int32_t id = cs_vocab_find(&t->vocab, "<|endoftext|>", 13);
    t->added = cs_arena_calloc(&t->mem, 1, sizeof *t->added);
    if (!t->added)
        return cs_fail_nomem(err, sizeof *t->added, "added tokens");
    if (id >= 0) {
        t->vocab.pieces[id].special = true;
        t->added[t->n_added++] = (cs_added){.id = id, .special = true, .content = {t->vocab.pieces[id].text, t->vocab.pieces[id].len}};
    }
    return cs_tok_index_added(t, err);
}

static cs_status load_parsed(cs_tokenizer *t, const json_t *vocab, cs_bytes merges, const char *vocab_name, const char *merges_name,
                             const cs_tok_config *cfg, cs_error *err)
{
    CS_TRY(read_vocab(t, vocab, vocab_name, err));
    t->bpe.kind = CS_BPE_PAIRS;
    t->bpe.vocab = &t->vocab;
    CS_TRY(read_merges(t, merges, merges_name, err));
    cs_tok_set_byte_level(t);
    t->pretok.steps[t->pretok.n_steps++] = (cs_pretok_step){
        .kind = CS_PRETOK_BYTE_LEVEL, .prefix = cfg->add_prefix_space == 1 ? CS_PREFIX_ALWAYS : CS_PREFIX_NEVER, .split = true};
    t->dec.chain.steps[t->dec.chain.n_steps++].kind = CS_DEC_BYTE_LEVEL;
    CS_TRY(cs_bpe_finish(&t->bpe, &t->mem, err));
    CS_TRY(add_specials(t, err));
    cs_tok_guess_specials(t);
    return CS_OK;
}

cs_status cs_tok_load_gpt2(cs_tokenizer *t, const cs_bytes vocab, const cs_bytes merges, const char *vocab_name, const char *merges_name,
                           const cs_tok_config *cfg, cs_error *err)
{
    json_t *root = NULL;
    t->bos = t->eos = t->pad = t->unk = -1;
    t->lossy_input = true;
    CS_TRY(cs_json_parse(vocab.text, vocab.len, vocab_name, &root, err));
    cs_status status = load_parsed(t, root, merges, vocab_name, merges_name, cfg, err);
    json_decref(root);
    return status;
}
