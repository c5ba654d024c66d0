/* Tokenizers from the keys tokenizer.ggml.* of a GGUF file, read as llama.cpp does: `llama` (SentencePiece BPE by scores), `t5` (SentencePiece
 * unigram) and `gpt2` (vocabulary and merges, the key `pre` names the split). The first two become a parsed SentencePiece model. */
#include "fmt/gguf.h"
#include "text/ggml_split.h"
#include "text/tok_config.h"
#include "text/tok_json.h"
#include "text/wordsplit.h"

#include <inttypes.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

/* ---- what all kinds share ---- */

typedef struct source {
    const cs_gguf *g;
    const cs_gguf_value *tokens, *types, *scores; /* types and scores may be NULL */
    size_t n;
    int64_t bos, eos, unk, pad; /* -1 = none */
    bool add_bos, add_eos;
} source;

static size_t offset_of(const cs_gguf *g, const char *key)
{
    const cs_gguf_kv *kv = cs_gguf_find(g, key);
    return kv ? kv->offset : 0;
}

/* An id below the number of tokens; 2^32-1 and -1 say that there is none. */
static cs_status read_id(const source *s, const char *key, int64_t *id, cs_error *err)
{
    CS_TRY(cs_gguf_get_int(s->g, key, id, err));
    if (*id == UINT32_MAX)
        *id = -1;
    if (*id < -1 || *id >= (int64_t)s->n)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: %s is %" PRId64 ", expected an id below %zu", s->g->name, offset_of(s->g, key), key, *id,
                       s->n);
    return CS_OK;
}

static cs_status read_column(const source *s, const char *key, cs_gguf_kind kind, const cs_gguf_value **out, cs_error *err)
{
    CS_TRY(cs_gguf_get_array(s->g, key, kind, out, err));
    if (*out && (*out)->n != s->n)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: %s has %" PRIu64 " elements for %zu tokens", s->g->name, offset_of(s->g, key), key,
                       (*out)->n, s->n);
    return CS_OK;
}

static cs_status open_source(source *s, cs_error *err)
{
    CS_TRY(cs_gguf_get_array(s->g, KEY("tokens"), CS_GGUF_STRING, &s->tokens, err));
    if (!s->tokens || s->tokens->n == 0 || s->tokens->n > INT32_MAX)
        return cs_fail(err, CS_E_FORMAT, "%s: %s is missing, empty or too long", s->g->name, KEY("tokens"));
    s->n = (size_t)s->tokens->n;
    CS_TRY(read_column(s, KEY("token_type"), CS_GGUF_I32, &s->types, err));
    CS_TRY(read_column(s, KEY("scores"), CS_GGUF_F32, &s->scores, err));
    if (s->unk >= (int64_t)s->n || s->bos >= (int64_t)s->n || s->eos >= (int64_t)s->n) /* the defaults of a kind in a tiny vocabulary */
        s->unk = s->bos = s->eos = -1;
    CS_TRY(read_id(s, KEY("bos_token_id"), &s->bos, err));
    CS_TRY(read_id(s, KEY("eos_token_id"), &s->eos, err));
    CS_TRY(read_id(s, KEY("unknown_token_id"), &s->unk, err));
    CS_TRY(read_id(s, KEY("padding_token_id"), &s->pad, err));
    CS_TRY(cs_gguf_get_bool(s->g, KEY("add_bos_token"), &s->add_bos, err));
    return cs_gguf_get_bool(s->g, KEY("add_eos_token"), &s->add_eos, err);
}

/* Ids and the rule of BOS and EOS; the vocabulary is complete. */
static void set_ids(cs_tokenizer *t, const source *s)
{
    t->bos = (int32_t)s->bos;
    t->eos = (int32_t)s->eos;
    t->pad = (int32_t)s->pad;
    t->n_prefix = t->n_suffix = 0;
    if (s->add_bos && t->bos >= 0)
        t->prefix[t->n_prefix++] = t->bos;
    if (s->add_eos && t->eos >= 0)
        t->suffix[t->n_suffix++] = t->eos;
    if (t->bos >= 0)
        t->vocab.pieces[t->bos].special = true;
    if (t->eos >= 0)
        t->vocab.pieces[t->eos].special = true;
}

/* ---- llama, t5 ---- */

/* One token; an empty one stands for a hole and becomes an unused piece of a name of its own. */
static cs_status read_piece(cs_tokenizer *t, const source *s, size_t i, const cs_gguf_value *text, int64_t type, double score, cs_spm_piece *p,
                            cs_error *err)
{
    size_t at = offset_of(s->g, KEY("tokens"));
    if (type < CS_PIECE_NORMAL || type > CS_PIECE_BYTE)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: %s of token %zu is %" PRId64 ", expected 1..6", s->g->name,
                       offset_of(s->g, KEY("token_type")), KEY("token_type"), i, type);
    if (!(score >= -3.4e38 && score <= 3.4e38))
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: %s of token %zu is not a finite number", s->g->name, offset_of(s->g, KEY("scores")),
                       KEY("scores"), i);
    *p = (cs_spm_piece){{(const char *)text->at, text->bytes}, (float)score, (cs_piece_type)type, at};
    if (text->bytes == 0) {
        char *name = cs_arena_printf(&t->mem, "[EMPTY_%zu]", i);
        if (!name)
            return cs_fail_nomem(err, 32, "a vocabulary");
        *p = (cs_spm_piece){{name, strlen(name)}, 0, CS_PIECE_UNUSED, at};
    }
    if (text->bytes > INT32_MAX)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: token %zu has %zu bytes", s->g->name, at, i, text->bytes);
    if (p->type == CS_PIECE_BYTE && cs_spm_byte_value(p->text.text, p->text.len) < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: byte token %zu is not spelled <0xNN>", s->g->name, at, i);
    return CS_OK;
}

/* The unknown piece and the byte pieces: exactly one, and all or none. */
static cs_status check_pieces(const source *s, cs_spm *m, cs_error *err)
{
    bool seen[256] = {false};
    size_t n_bytes = 0;
    m->unk_id = -1;
    for (size_t i = 0; i < m->n_pieces; i++) {
        const cs_spm_piece *p = &m->pieces[i];
        if (p->type == CS_PIECE_UNKNOWN && m->unk_id >= 0)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: tokens %d and %zu are both of type unknown", s->g->name,
                           offset_of(s->g, KEY("token_type")), m->unk_id, i);
        if (p->type == CS_PIECE_UNKNOWN)
            m->unk_id = (int32_t)i;
        int value = p->type == CS_PIECE_BYTE ? cs_spm_byte_value(p->text.text, p->text.len) : -1;
        if (value >= 0) {
            n_bytes += !seen[value];
            seen[value] = true;
        }
    }
    if (m->unk_id < 0 && s->unk >= 0) {
        m->unk_id = (int32_t)s->unk;
        m->pieces[m->unk_id].type = CS_PIECE_UNKNOWN;
    }
    if (m->unk_id < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: no unknown token: no token of type 2 and no %s", s->g->name, KEY("unknown_token_id"));
    m->byte_fallback = n_bytes == 256;
    if (n_bytes != 0 && n_bytes != 256)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: %zu byte tokens, expected none or 256", s->g->name, offset_of(s->g, KEY("token_type")),
                       n_bytes);
    return CS_OK;
}

static cs_status read_pieces(cs_tokenizer *t, const source *s, cs_spm *m, cs_error *err)
{
    cs_gguf_cursor at = {0}, at_type = {0}, at_score = {0};
    cs_gguf_value text, v;
    m->pieces = cs_calloc(s->n, sizeof *m->pieces);
    if (!m->pieces)
        return cs_fail_nomem(err, s->n * sizeof *m->pieces, "the pieces of a tokenizer");
    while (cs_gguf_next(s->tokens, &at, &text)) {
        int64_t type = CS_PIECE_NORMAL;
        double score = 0;
        if (s->types && cs_gguf_next(s->types, &at_type, &v))
            cs_gguf_as_int(&v, &type);
        if (s->scores && cs_gguf_next(s->scores, &at_score, &v))
            cs_gguf_as_real(&v, &score);
        CS_TRY(read_piece(t, s, m->n_pieces, &text, type, score, &m->pieces[m->n_pieces], err));
        m->n_pieces++;
    }
    return check_pieces(s, m, err);
}

static cs_status read_charsmap(const source *s, cs_spm *m, cs_error *err)
{
    const cs_gguf_kv *kv = cs_gguf_find(s->g, KEY("precompiled_charsmap"));
    if (!kv)
        return CS_OK;
    const cs_gguf_value *v = &kv->value;
    if (v->kind != CS_GGUF_ARRAY || (v->item != CS_GGUF_U8 && v->item != CS_GGUF_I8))
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: %s must be an array of bytes", s->g->name, kv->offset, KEY("precompiled_charsmap"));
    m->charsmap = v->at;
    m->charsmap_bytes = v->bytes;
    m->charsmap_offset = kv->offset;
    return cs_spm_check_charsmap(m, s->g->name, err);
}

static cs_status load_spm(cs_tokenizer *t, const cs_gguf *g, cs_spm_type type, cs_error *err)
{
    static const cs_tok_config none = {.add_bos = -1, .add_eos = -1, .legacy = -1, .add_prefix_space = -1};
    bool unigram = type == CS_SPM_UNIGRAM;
    source s = {.g = g, .bos = unigram ? -1 : 1, .eos = unigram ? 1 : 2, .unk = unigram ? 2 : 0, .pad = unigram ? 0 : -1,
                .add_bos = !unigram, .add_eos = unigram};
    cs_spm m;
    CS_TRY(open_source(&s, err));
    if (!s.scores)
        return cs_fail(err, CS_E_FORMAT, "%s: %s is missing", g->name, KEY("scores"));
    cs_spm_defaults(&m);
    m.type = type;
    m.remove_extra_whitespaces = false;
    cs_status status = cs_gguf_get_bool(g, KEY("add_space_prefix"), &m.add_dummy_prefix, err);
    if (status == CS_OK)
        status = cs_gguf_get_bool(g, KEY("remove_extra_whitespaces"), &m.remove_extra_whitespaces, err);
    if (status == CS_OK)
        status = cs_gguf_get_bool(g, KEY("escape_whitespaces"), &m.escape_whitespaces, err);
    if (status == CS_OK)
        status = read_charsmap(&s, &m, err);
    if (status == CS_OK)
        status = read_pieces(t, &s, &m, err);
    if (status == CS_OK)
        status = cs_tok_load_spm_parsed(t, &m, g->name, &none, err);
    if (status == CS_OK)
        set_ids(t, &s);
    cs_spm_release(&m);
    return status;
}

/* ---- gpt2 ---- */

/* One step per pattern: scanned by hand where that is known, else by PCRE2. */
static cs_status add_split(cs_tokenizer *t, const char *pattern, cs_error *err)
{
    cs_pretok_step *s = &t->pretok.steps[t->pretok.n_steps++];
    cs_error why = {0};
    *s = (cs_pretok_step){.kind = CS_PRETOK_SPLIT, .behavior = CS_SPLIT_ISOLATED};
    s->find.pattern = (cs_bytes){pattern, strlen(pattern)};
    s->find.scan = cs_split_find(pattern, strlen(pattern));
    if (s->find.scan)
        return CS_OK;
    cs_status status = cs_regex_create(pattern, strlen(pattern), &t->regexes[t->n_regexes], &why);
    if (status != CS_OK)
        return cs_fail(err, status, "%s", why.msg);
    s->find.re = t->regexes[t->n_regexes++];
    return CS_OK;
}

static cs_status gpt2_pieces(cs_tokenizer *t, const source *s, cs_error *err)
{
    cs_gguf_cursor at = {0}, at_type = {0};
    cs_gguf_value text, v;
    CS_TRY(cs_vocab_init(&t->vocab, &t->mem, (int32_t)s->n, err));
    t->added = cs_arena_calloc(&t->mem, s->n, sizeof *t->added);
    if (!t->added)
        return cs_fail_nomem(err, s->n * sizeof *t->added, "added tokens");
    for (int32_t id = 0; cs_gguf_next(s->tokens, &at, &text); id++) {
        int64_t type = CS_PIECE_NORMAL;
        if (s->types && cs_gguf_next(s->types, &at_type, &v))
            cs_gguf_as_int(&v, &type);
        if (type < CS_PIECE_NORMAL || type > CS_PIECE_BYTE || text.bytes > INT32_MAX)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: %s of token %d is %" PRId64 ", expected 1..6", s->g->name,
                           offset_of(s->g, KEY("token_type")), KEY("token_type"), id, type);
        if (text.bytes == 0)
            continue;
        cs_bytes kept = cs_tok_keep(t, (const char *)text.at, text.bytes);
        if (!kept.text)
            return cs_fail_nomem(err, text.bytes, "a vocabulary");
        bool special = type == CS_PIECE_CONTROL || type == CS_PIECE_UNKNOWN, added = special || type == CS_PIECE_USER;
        t->vocab.pieces[id] = (cs_piece){.text = kept.text, .len = (uint32_t)kept.len, .type = added ? CS_PIECE_USER : CS_PIECE_NORMAL,
                                         .special = special};
        int32_t other = cs_vocab_index(&t->vocab, id);
        if (other >= 0)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: tokens %d and %d have the same text", s->g->name, offset_of(s->g, KEY("tokens")),
                           other, id);
        if (added)
            t->added[t->n_added++] = (cs_added){.id = id, .special = special, .content = kept};
    }
    return CS_OK;
}

/* "left right"; the blank is looked for behind the first byte, as a piece may begin with one. */
static cs_status gpt2_merges(cs_tokenizer *t, const source *s, cs_error *err)
{
    const cs_gguf_value *merges = NULL;
    cs_gguf_cursor at = {0};
    cs_gguf_value m;
    CS_TRY(cs_gguf_get_array(s->g, KEY("merges"), CS_GGUF_STRING, &merges, err));
    if (!merges)
        return cs_fail(err, CS_E_FORMAT, "%s: %s is missing", s->g->name, KEY("merges"));
    CS_TRY(cs_bpe_init_pairs(&t->bpe, &t->mem, (size_t)merges->n, err));
    while (cs_gguf_next(merges, &at, &m)) {
        const char *text = (const char *)m.at, *space = m.bytes > 2 ? memchr(text + 1, ' ', m.bytes - 2) : NULL;
        size_t left = space ? (size_t)(space - text) : 0, rank = (size_t)at.index - 1;
        if (!space)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: merge %zu is not two pieces with a blank between them", s->g->name,
                           offset_of(s->g, KEY("merges")), rank);
        CS_TRY(cs_tok_add_merge(t, (cs_bytes){text, left}, (cs_bytes){space + 1, m.bytes - left - 1}, rank, s->g->name, err));
    }
    return CS_OK;
}

static cs_status load_gpt2(cs_tokenizer *t, const cs_gguf *g, cs_error *err)
{
    const char *pre = "gpt-2";
    size_t len = 5;
    source s = {.g = g, .bos = -1, .eos = -1, .unk = -1, .pad = -1};
    CS_TRY(cs_gguf_get_str(g, KEY("pre"), &pre, &len, err));
    const cs_ggml_split *split = cs_ggml_split_find(pre, len);
    if (!split)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: %s \"%.*s\" is not a split this program knows", g->name, offset_of(g, KEY("pre")),
                       KEY("pre"), (int)(len < 100 ? len : 100), pre);
    s.add_bos = split->bos;
    t->lossy_input = true;
    CS_TRY(open_source(&s, err));
    CS_TRY(gpt2_pieces(t, &s, err));
    t->bpe.kind = CS_BPE_PAIRS;
    t->bpe.vocab = &t->vocab;
    t->bpe.ignore_merges = split->ignore_merges;
    CS_TRY(gpt2_merges(t, &s, err));
    cs_tok_set_byte_level(t);
    for (size_t i = 0; i < CS_GGML_SPLIT_PATTERNS && split->pattern[i]; i++)
        CS_TRY(add_split(t, split->pattern[i], err));
    t->dec.chain.steps[t->dec.chain.n_steps++].kind = CS_DEC_BYTE_LEVEL;
    CS_TRY(cs_bpe_finish(&t->bpe, &t->mem, err));
    set_ids(t, &s);
    t->unk = (int32_t)s.unk;
    return cs_tok_index_added(t, err);
}

static cs_status read_chat_template(cs_tokenizer *t, const cs_gguf *g, cs_error *err)
{
    const char *text = NULL;
    size_t len = 0;
    CS_TRY(cs_gguf_get_str(g, "tokenizer.chat_template", &text, &len, err));
    if (text)
        t->chat_template = cs_tok_keep(t, text, len);
    return !text || t->chat_template.text ? CS_OK : cs_fail_nomem(err, len, "a chat template");
}

static cs_status load_parsed(cs_tokenizer *t, const cs_gguf *g, cs_error *err)
{
    const char *model = NULL;
    size_t len = 0;
    t->bos = t->eos = t->pad = t->unk = -1;
    CS_TRY(read_chat_template(t, g, err));
    CS_TRY(cs_gguf_get_str(g, KEY("model"), &model, &len, err));
    if (!model)
        return cs_fail(err, CS_E_FORMAT, "%s: a GGUF file without a tokenizer: %s is missing", g->name, KEY("model"));
    if (len == 5 && memcmp(model, "llama", 5) == 0)
        return load_spm(t, g, CS_SPM_BPE, err);
    if (len == 2 && memcmp(model, "t5", 2) == 0)
        return load_spm(t, g, CS_SPM_UNIGRAM, err);
    if (len == 4 && memcmp(model, "gpt2", 4) == 0)
        return load_gpt2(t, g, err);
    return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: %s \"%.*s\" is not supported, only llama, t5 and gpt2", g->name, offset_of(g, KEY("model")),
                   KEY("model"), (int)(len < 100 ? len : 100), model);
}

cs_status cs_tok_load_gguf(cs_tokenizer *t, const uint8_t *bytes, size_t len, const char *name, cs_error *err)
{
    cs_gguf g;
    CS_TRY(cs_gguf_init(&g, bytes, len, name, err));
    cs_status status = load_parsed(t, &g, err);
    cs_gguf_release(&g);
    return status;
}
