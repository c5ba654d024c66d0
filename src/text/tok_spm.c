/* Tokenizers from a SentencePiece model and from llama2.c's file. */
#include "text/tok_config.h"

#include "fmt/llama2c_tok.h"

#include <string.h>

static cs_status set_piece(cs_tokenizer *t, int32_t id, const char *text, size_t len, float score, cs_piece_type type, cs_error *err)
{
    cs_bytes kept = cs_tok_keep(t, text, len);
    if (!kept.text)
        return cs_fail_nomem(err, len, "a vocabulary");
    t->vocab.pieces[id] = (cs_piece){.text = kept.text, .len = (uint32_t)len, .score = score, .type = (uint8_t)type,
                                     .special = type == CS_PIECE_CONTROL};
    return CS_OK;
}

static bool piece_is(const cs_spm_piece *p, cs_spm_str name)
{
    return p->text.len == name.len && memcmp(p->text.text, name.text, name.len) == 0;
}

/* Vocabulary, byte pieces, special ids; *user_bytes = total length of the user-defined pieces. */
static cs_status spm_pieces(cs_tokenizer *t, const cs_spm *m, int32_t n, const char *name, size_t *user_bytes, cs_error *err)
{
    CS_TRY(cs_vocab_init(&t->vocab, &t->mem, n, err));
    *user_bytes = 0;
    for (int32_t i = 0; i < (int32_t)m->n_pieces; i++) {
        const cs_spm_piece *p = &m->pieces[i];
        CS_TRY(set_piece(t, i, p->text.text, p->text.len, p->score, p->type, err));
        if (p->type == CS_PIECE_BYTE) {
            int value = cs_spm_byte_value(p->text.text, p->text.len);
            if (t->vocab.byte_id[value] >= 0)
                return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: pieces %d and %d are the same byte", name, p->offset, t->vocab.byte_id[value], i);
            t->vocab.byte_id[value] = i;
        } else if (p->type == CS_PIECE_CONTROL) {
            t->bos = piece_is(p, m->bos_piece) ? i : t->bos;
            t->eos = piece_is(p, m->eos_piece) ? i : t->eos;
            t->pad = piece_is(p, m->pad_piece) ? i : t->pad;
        } else if (p->type != CS_PIECE_UNKNOWN && !(m->byte_fallback && p->text.len == 1 && p->text.text[0] == '\0')) {
            /* (the library reads a NUL by its byte piece, never by a piece of its own) */
            int32_t other = cs_vocab_index(&t->vocab, i);
            if (other >= 0)
                return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: pieces %d and %d have the same text", name, p->offset, other, i);
            *user_bytes += p->type == CS_PIECE_USER ? p->text.len : 0;
            t->bpe.has_unused |= p->type == CS_PIECE_UNUSED;
        }
    }
    t->unk = t->vocab.unk = m->unk_id;
    return CS_OK;
}

static cs_status spm_user_pieces(cs_tokenizer *t, size_t user_bytes, cs_error *err)
{
    size_t n = 0;
    if (user_bytes == 0)
        return CS_OK;
    cs_trie_entry *entries = cs_malloc((size_t)t->vocab.n * sizeof *entries);
    if (!entries)
        return cs_fail_nomem(err, (size_t)t->vocab.n * sizeof *entries, "a vocabulary");
    for (int32_t i = 0; i < t->vocab.n; i++)
        if (t->vocab.pieces[i].type == CS_PIECE_USER)
            entries[n++] = (cs_trie_entry){t->vocab.pieces[i].text, t->vocab.pieces[i].len, i};
    cs_status status = cs_trie_init(&t->user, &t->mem, entries, n, err);
    cs_free(entries);
    return status;
}

static cs_status spm_normalizer(cs_tokenizer *t, const cs_spm *m, bool has_user, const cs_tok_config *cfg, cs_error *err)
{
    cs_norm_spm s = {.user = has_user ? &t->user : NULL, .dummy_prefix = m->add_dummy_prefix, .remove_extra = m->remove_extra_whitespaces,
                     .escape = m->escape_whitespaces, .suffix = m->whitespace_suffix, .first_only = cfg->legacy == 0};
    if (cfg->add_prefix_space >= 0)
        s.dummy_prefix = cfg->add_prefix_space;
    if (m->charsmap_bytes > 0) {
        cs_bytes blob = cs_tok_keep(t, (const char *)m->charsmap, m->charsmap_bytes);
        if (!blob.text)
            return cs_fail_nomem(err, m->charsmap_bytes, "a normaliser table");
        cs_charsmap_init(&s.map, (const uint8_t *)blob.text, blob.len);
    }
    cs_norm_spm_finish(&s);
    t->norm.steps[t->norm.n_steps++] = (cs_norm_step){.kind = CS_NORM_SPM, .spm = s};
    return CS_OK;
}

/* Control pieces and the unknown piece are found in the text. */
static cs_status spm_added(cs_tokenizer *t, cs_error *err)
{
    size_t n = 0;
    for (int32_t i = 0; i < t->vocab.n; i++)
        n += t->vocab.pieces[i].type == CS_PIECE_CONTROL || t->vocab.pieces[i].type == CS_PIECE_UNKNOWN;
    t->added = cs_arena_calloc(&t->mem, n + 1, sizeof *t->added);
    if (!t->added)
        return cs_fail_nomem(err, n * sizeof *t->added, "added tokens");
    for (int32_t i = 0; i < t->vocab.n; i++) {
        const cs_piece *p = &t->vocab.pieces[i];
        if (p->type == CS_PIECE_CONTROL || p->type == CS_PIECE_UNKNOWN)
            t->added[t->n_added++] = (cs_added){.id = i, .special = true, .content = {p->text, p->len}};
    }
    return cs_tok_index_added(t, err);
}

cs_status cs_tok_load_spm_parsed(cs_tokenizer *t, const cs_spm *m, const char *name, const cs_tok_config *cfg, cs_error *err)
{
    size_t user_bytes = 0;
    t->bos = t->eos = t->pad = t->unk = -1;
    CS_TRY(spm_pieces(t, m, (int32_t)m->n_pieces, name, &user_bytes, err));
    CS_TRY(cs_vocab_rank(&t->vocab, err));
    CS_TRY(spm_user_pieces(t, user_bytes, err));
    CS_TRY(spm_normalizer(t, m, user_bytes > 0, cfg, err));
    t->range_rule = CS_RANGE_SPM;
    t->is_unigram = m->type == CS_SPM_UNIGRAM;
    t->bpe.kind = CS_BPE_TEXT;
    t->bpe.vocab = &t->vocab;
    t->bpe.user = user_bytes > 0 ? &t->user : NULL;
    t->bpe.byte_fallback = m->byte_fallback;
    if (t->is_unigram)
        CS_TRY(cs_unigram_init(&t->unigram, &t->mem, &t->vocab, m->byte_fallback, err));
    else
        CS_TRY(cs_bpe_finish(&t->bpe, &t->mem, err));
    CS_TRY(spm_added(t, err));
    t->dec = (cs_decoder){.kind = CS_DECODE_SPM, .byte_pieces = m->byte_fallback, .drop_blank = m->add_dummy_prefix || m->remove_extra_whitespaces,
                          .drop_all = m->remove_extra_whitespaces};
    t->dec.unknown = cs_tok_keep(t, m->unk_surface.text, m->unk_surface.len);
    if (!t->dec.unknown.text)
        return cs_fail_nomem(err, m->unk_surface.len, "a vocabulary");
    if (t->bos >= 0)
        t->prefix[t->n_prefix++] = t->bos;
    return CS_OK;
}

cs_status cs_tok_load_spm(cs_tokenizer *t, const uint8_t *bytes, size_t len, const char *name, const cs_tok_config *cfg, cs_error *err)
{
    cs_spm m;
    CS_TRY(cs_spm_parse(bytes, len, name, &m, err));
    cs_status status = cs_tok_load_spm_parsed(t, &m, name, cfg, err);
    cs_spm_release(&m);
    return status;
}

static cs_status llama2c_parsed(cs_tokenizer *t, const cs_llama2c_tok *f, cs_error *err)
{
    CS_TRY(cs_vocab_init(&t->vocab, &t->mem, (int32_t)f->n_tokens, err));
    for (int32_t i = 0; i < t->vocab.n; i++) {
        const cs_llama2c_token *p = &f->tokens[i];
        cs_piece_type type = i == 0 ? CS_PIECE_UNKNOWN : i <= 2 ? CS_PIECE_CONTROL : i < 259 ? CS_PIECE_BYTE : CS_PIECE_NORMAL;
        CS_TRY(set_piece(t, i, p->text, p->len, p->score, type, err));
        t->vocab.pieces[i].special = i <= 2;
        if (type == CS_PIECE_BYTE)
            t->vocab.byte_id[i - 3] = i;
        if (p->len > 0)
            cs_vocab_index(&t->vocab, i); /* of equal texts the first counts */
    }
    CS_TRY(cs_vocab_rank(&t->vocab, err));
    t->bpe.kind = CS_BPE_PIECES;
    t->bpe.vocab = &t->vocab;
    t->bpe.byte_fallback = true;
    CS_TRY(cs_bpe_finish(&t->bpe, &t->mem, err));
    t->bpe.prefix = cs_vocab_find(&t->vocab, " ", 1);
    /* Specials are found as <s> and </s>; the file spells them with line breaks. */
    static const char *const names[] = {"<unk>", "<s>", "</s>"};
    t->added = cs_arena_calloc(&t->mem, 3, sizeof *t->added);
    if (!t->added)
        return cs_fail_nomem(err, 3 * sizeof *t->added, "added tokens");
    for (int32_t i = 0; i < 3; i++)
        t->added[t->n_added++] = (cs_added){.id = i, .content = {names[i], strlen(names[i])}, .special = true};
    CS_TRY(cs_tok_index_added(t, err));
    t->dec = (cs_decoder){.kind = CS_DECODE_LLAMA2C, .byte_pieces = true};
    t->unk = t->vocab.unk = 0;
    t->bos = 1;
    t->eos = 2;
    t->pad = -1;
    t->prefix[t->n_prefix++] = t->bos;
    return CS_OK;
}

cs_status cs_tok_load_llama2c(cs_tokenizer *t, const uint8_t *bytes, size_t len, const char *name, cs_error *err)
{
    cs_llama2c_tok f;
    CS_TRY(cs_llama2c_tok_parse(bytes, len, name, &f, err));
    cs_status status = llama2c_parsed(t, &f, err);
    cs_llama2c_tok_release(&f);
    return status;
}
