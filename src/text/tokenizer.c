/* A tokenizer in memory: what loaders share, and what can be asked about it. */
#include "text/tokenizer.h"

#include "text/tok.h"

#include <string.h>

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
    cs_norm_work work = {0};
    cs_status status = CS_OK;
    for (size_t i = 0; i < t->n_added && status == CS_OK; i++) {
        const cs_added *a = &t->added[i];
        cs_bytes key = a->content;
        if (a->normalized && t->norm.n_steps > 0) {
            status = cs_normalize(&t->norm, &work, (cs_view){key.text, key.len, NULL}, true, 0, err);
            key = (cs_bytes){cs_str_cstr(&work.out.text), work.out.text.len};
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
    cs_norm_work_release(&work);
    return status;
}

void cs_tokenizer_destroy(cs_tokenizer *tok)
{
    if (!tok)
        return;
    for (size_t i = 0; i < tok->n_files; i++)
        cs_free(tok->files[i]);
    cs_arena_release(&tok->mem);
    cs_tok_pool_destroy(tok->pool);
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
