/* Vocabularies for GGUF. SentencePiece's BPE goes by scores; merge rules of a tokenizer.json with byte pieces (LLaMA's) become scores in the order of
 * the rules, which is the order they came from. */
#include "text/tok_ggml.h"

#include "text/ggml_split.h"
#include "text/tok.h"

#include <string.h>

static cs_status put_text(cs_ggml_vocab *v, cs_ggml_token *o, const char *text, size_t len, cs_error *err)
{
    char *copy = cs_arena_alloc(&v->arena, len + 1);
    if (!copy)
        return cs_fail_nomem(err, len, "a vocabulary");
    memcpy(copy, text, len);
    copy[len] = '\0';
    o->text = copy;
    o->len = len;
    return CS_OK;
}

/* llama2.c writes blanks as they are and line breaks round <s> and </s>. */
static cs_status llama2c_text(cs_ggml_vocab *v, cs_ggml_token *o, int32_t id, const cs_piece *p, cs_error *err)
{
    static const char *const names[] = {"<unk>", "<s>", "</s>"};
    cs_str s = {0};
    if (id < 3)
        return put_text(v, o, names[id], strlen(names[id]), err);
    for (size_t i = 0; i < p->len; i++) {
        if (p->text[i] == ' ')
            cs_str_puts(&s, CS_META);
        else
            cs_str_putc(&s, p->text[i]);
    }
    cs_status status = s.failed ? cs_fail_nomem(err, p->len, "a vocabulary") : put_text(v, o, cs_str_cstr(&s), s.len, err);
    cs_str_release(&s);
    return status;
}

static int32_t type_of(const cs_tokenizer *t, int32_t id, const cs_piece *p)
{
    if (t->bpe.kind == CS_BPE_PAIRS && !t->is_unigram) {
        if (id == t->unk && !t->bpe.byte_level)
            return CS_PIECE_UNKNOWN;
        if (t->bpe.byte_fallback && cs_spm_byte_value(p->text, p->len) >= 0)
            return CS_PIECE_BYTE;
        return p->special ? CS_PIECE_CONTROL : p->type == CS_PIECE_USER ? CS_PIECE_USER : CS_PIECE_NORMAL;
    }
    return p->type;
}

static cs_status put_tokens(cs_ggml_vocab *v, const cs_tokenizer *t, int64_t n_ids, cs_error *err)
{
    v->n = (int32_t)(n_ids > t->vocab.n ? n_ids : t->vocab.n);
    v->token = cs_arena_calloc(&v->arena, (size_t)v->n, sizeof *v->token);
    if (!v->token)
        return cs_fail_nomem(err, (size_t)v->n * sizeof *v->token, "a vocabulary");
    for (int32_t id = 0; id < v->n; id++) {
        cs_ggml_token *o = &v->token[id];
        const cs_piece *p = id < t->vocab.n ? &t->vocab.pieces[id] : NULL;
        if (!p || p->type == 0) {
            char name[24];
            snprintf(name, sizeof name, "[PAD%d]", id);
            CS_TRY(put_text(v, o, name, strlen(name), err));
            o->type = CS_PIECE_UNUSED;
            continue;
        }
        *o = (cs_ggml_token){p->text, p->len, p->score, type_of(t, id, p)};
        if (t->bpe.kind == CS_BPE_PIECES)
            CS_TRY(llama2c_text(v, o, id, p, err));
    }
    return CS_OK;
}

/* The rules by rank; *by_rank_create has max rank + 1 entries, key 0 where there is none. */
static cs_status rules_by_rank(const cs_tokenizer *t, cs_bpe_pair **by_rank_create, size_t *n, cs_error *err)
{
    *n = 0;
    for (size_t i = 0; i <= t->bpe.pair_mask; i++)
        if (t->bpe.pairs[i].key != 0 && t->bpe.pairs[i].rank >= *n)
            *n = t->bpe.pairs[i].rank + 1;
    *by_rank_create = cs_calloc(*n + 1, sizeof **by_rank_create);
    if (!*by_rank_create)
        return cs_fail_nomem(err, *n * sizeof **by_rank_create, "merge rules");
    for (size_t i = 0; i <= t->bpe.pair_mask; i++)
        if (t->bpe.pairs[i].key != 0)
            (*by_rank_create)[t->bpe.pairs[i].rank] = t->bpe.pairs[i];
    return CS_OK;
}

static cs_status put_merges(cs_ggml_vocab *v, const cs_tokenizer *t, cs_error *err)
{
    cs_bpe_pair *rule;
    size_t n;
    bool scores = !t->bpe.byte_level;
    CS_TRY(rules_by_rank(t, &rule, &n, err));
    v->merge = scores ? NULL : cs_arena_calloc(&v->arena, n + 1, sizeof *v->merge);
    cs_status status = scores || v->merge ? CS_OK : cs_fail_nomem(err, n * sizeof *v->merge, "merge rules");
    for (size_t i = n; i-- > 0 && scores;) /* the best rule of a piece counts, so the worst comes first */
        if (rule[i].key != 0)
            v->token[rule[i].id].score = -(float)(i + 1);
    for (size_t i = 0; i < n && !scores && status == CS_OK; i++) {
        if (rule[i].key == 0)
            continue;
        const cs_piece *l = &t->vocab.pieces[(rule[i].key - 1) >> 32], *r = &t->vocab.pieces[(uint32_t)(rule[i].key - 1)];
        cs_str *s = &v->merge[v->n_merges++];
        cs_str_append(s, l->text, l->len);
        cs_str_putc(s, ' ');
        cs_str_append(s, r->text, r->len);
        status = cs_str_check(s, err);
    }
    cs_free(rule);
    return status;
}

static bool has_charsmap(const cs_tokenizer *t)
{
    for (size_t i = 0; i < t->norm.n_steps; i++)
        if (t->norm.steps[i].kind == CS_NORM_SPM && t->norm.steps[i].spm.map.n_units > 0)
            return true;
    return false;
}

/* Does a blank go in front of the text? */
static bool adds_blank(const cs_tokenizer *t)
{
    if (t->bpe.kind == CS_BPE_PIECES)
        return t->bpe.prefix >= 0;
    for (size_t i = 0; i < t->norm.n_steps; i++) {
        if (t->norm.steps[i].kind == CS_NORM_SPM)
            return t->norm.steps[i].spm.dummy_prefix;
        if (t->norm.steps[i].kind == CS_NORM_PREPEND)
            return true;
    }
    return t->pretok.n_steps > 0 && t->pretok.steps[0].kind == CS_PRETOK_METASPACE && t->pretok.steps[0].prefix != CS_PREFIX_NEVER;
}

cs_status cs_ggml_vocab_init(cs_ggml_vocab *v, const cs_tokenizer *t, int64_t n_ids, cs_error *err)
{
    *v = (cs_ggml_vocab){.model = t->is_unigram ? "t5" : t->bpe.byte_level ? "gpt2" : "llama"};
    cs_arena_init(&v->arena, "a GGUF vocabulary");
    const cs_ggml_split *split = t->bpe.byte_level ? cs_ggml_split_of(t) : NULL;
    if (split)
        v->pre = split->pre;
    if (t->bpe.byte_level && !split)
        return cs_fail(err, CS_E_FORMAT, "the tokenizer cuts words in a way that llama.cpp has no name for");
    if (has_charsmap(t))
        return cs_fail(err, CS_E_FORMAT, "the tokenizer has a character map, which GGUF vocabularies of this kind do not hold");
    v->add_space_prefix = adds_blank(t);
    v->add_bos = t->n_prefix > 0 && t->prefix[0] == t->bos;
    v->add_eos = t->n_suffix > 0 && t->suffix[t->n_suffix - 1] == t->eos;
    CS_TRY(put_tokens(v, t, n_ids, err));
    return t->bpe.kind == CS_BPE_PAIRS && !t->is_unigram ? put_merges(v, t, err) : CS_OK;
}

void cs_ggml_vocab_release(cs_ggml_vocab *v)
{
    for (size_t i = 0; i < v->n_merges; i++)
        cs_str_release(&v->merge[i]);
    cs_arena_release(&v->arena);
    *v = (cs_ggml_vocab){0};
}
