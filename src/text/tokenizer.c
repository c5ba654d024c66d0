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

/* What an added token looks like where it is searched for; len 0 = it is never found. */
static cs_status added_key(cs_tokenizer *t, const cs_added *a, cs_norm_work *work, cs_bytes *key, cs_error *err)
{
    *key = a->content;
    if (!a->normalized || t->norm.n_steps == 0)
        return CS_OK;
    CS_TRY(cs_normalize(&t->norm, work, (cs_view){a->content.text, a->content.len, NULL}, true, 0, err));
    *key = cs_tok_keep(t, cs_str_cstr(&work->out.text), work->out.text.len);
    return key->text ? CS_OK : cs_fail_nomem(err, work->out.text.len, "an added token");
}

cs_status cs_tok_index_added(cs_tokenizer *t, cs_error *err)
{
    if (t->n_added == 0)
        return CS_OK;
    cs_trie_entry *entries = cs_malloc(2 * t->n_added * sizeof *entries), *raw = entries, *norm = entries ? entries + t->n_added : NULL;
    if (!entries)
        return cs_fail_nomem(err, 2 * t->n_added * sizeof *entries, "added tokens");
    size_t n_raw = 0, n_norm = 0;
    cs_norm_work work = {0};
    cs_status status = CS_OK;
    for (size_t i = 0; i < t->n_added && status == CS_OK; i++) {
        cs_bytes key;
        status = added_key(t, &t->added[i], &work, &key, err);
        if (status != CS_OK || key.len == 0)
            continue;
        cs_trie_entry e = {key.text, key.len, (int32_t)i};
        if (t->added[i].normalized)
            norm[n_norm++] = e;
        else
            raw[n_raw++] = e;
    }
    t->has_raw = n_raw > 0;
    t->has_norm = n_norm > 0;
    if (status == CS_OK)
        status = cs_trie_init(&t->added_raw, &t->mem, raw, n_raw, err);
    if (status == CS_OK)
        status = cs_trie_init(&t->added_norm, &t->mem, norm, n_norm, err);
    cs_norm_work_release(&work);
    cs_free(entries);
    return status;
}

void cs_tokenizer_destroy(cs_tokenizer *tok)
{
    if (!tok)
        return;
    for (size_t i = 0; i < tok->n_files; i++)
        cs_free(tok->files[i]);
    for (size_t i = 0; i < tok->n_regexes; i++)
        cs_regex_destroy(tok->regexes[i]);
    cs_arena_release(&tok->mem);
    cs_tok_pool_destroy(tok->pool);
    cs_free(tok);
}

const char *cs_tokenizer_source(const cs_tokenizer *tok)
{
    return tok->source;
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

const char *cs_tokenizer_chat_template(const cs_tokenizer *tok)
{
    return tok->chat_template.text;
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
