/* A loaded tokenizer in line with its configuration. */
#include "text/tok_config.h"

#include <string.h>

enum { MOST_NEW = 100000 }; /* ids that a configuration may lie beyond the vocabulary */

typedef struct applier {
    cs_tokenizer *t;
    cs_arena scratch;
    cs_vocab all;      /* every piece by its text, the ones that the model does not find too */
    int32_t *added_of; /* by id: index into t->added + 1, 0 = not there */
    bool *listed;      /* by id: from added_tokens.json, which says nothing but the id */
    int32_t n;         /* ids so far */
    bool changed;
    cs_error *err;
} applier;

/* Aquila's model code adds these behind the 100000 pieces of vocab.json; the files of the first release do not name them all. */
static const struct {
    const char *content;
    int32_t id;
} aquila[] = {{"<|startofpiece|>", 100000}, {"<|endofpiece|>", 100001}, {"<|LDWANG|>", 100002}, {"[MASK]", 100003},
              {"[gMASK]", 100004},          {"[sMASK]", 100005},        {"[CLS]", 100006},      {"</s>", 100007}};
enum { N_AQUILA = sizeof aquila / sizeof *aquila };

static bool same(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* Aquila's vocabulary without its special tokens: config.json says so, or BOS and EOS are the ones that the code adds. */
static bool needs_aquila(const cs_tokenizer *t, const cs_tok_config *c)
{
    if (t->vocab.n != aquila[0].id || !t->bpe.byte_level || !(c->aquila || (same(c->bos, "[CLS]") && same(c->eos, "</s>"))))
        return false;
    for (size_t i = 0; i < c->n_tokens; i++)
        if (c->token[i].id >= 0)
            return false;
    return cs_vocab_find(&t->vocab, "[CLS]", 5) < 0;
}

/* Room for `n` ids and for `more` added tokens; the lookup over all pieces. */
static cs_status make_room(applier *a, int32_t n, size_t more)
{
    cs_tokenizer *t = a->t;
    cs_piece *pieces = cs_arena_calloc(&t->mem, (size_t)n, sizeof *pieces);
    cs_added *added = cs_arena_calloc(&t->mem, t->n_added + more, sizeof *added);
    a->added_of = cs_arena_calloc(&a->scratch, (size_t)n, sizeof *a->added_of);
    a->listed = cs_arena_calloc(&a->scratch, (size_t)n, sizeof *a->listed);
    if (!pieces || !added || !a->added_of || !a->listed)
        return cs_fail_nomem(a->err, (size_t)n * (sizeof *pieces + sizeof *a->added_of), "added tokens");
    memcpy(pieces, t->vocab.pieces, (size_t)t->vocab.n * sizeof *pieces);
    for (int32_t i = t->vocab.n; i < n; i++)
        pieces[i].text = "";
    if (t->n_added > 0)
        memcpy(added, t->added, t->n_added * sizeof *added);
    t->added = added;
    for (size_t i = 0; i < t->n_added; i++)
        a->added_of[added[i].id] = (int32_t)i + 1;
    CS_TRY(cs_vocab_init(&a->all, &a->scratch, n, a->err));
    a->all.pieces = t->vocab.pieces = pieces;
    a->n = t->vocab.n;
    for (int pass = 0; pass < 2; pass++) /* of equal texts the one that the model finds comes first */
        for (int32_t i = 0; i < a->n; i++)
            if (pieces[i].len > 0 && (cs_vocab_find(&t->vocab, pieces[i].text, pieces[i].len) == i) == (pass == 0))
                cs_vocab_index(&a->all, i);
    return CS_OK;
}

static bool is_text(const cs_piece *p, const char *text)
{
    return p->len == strlen(text) && memcmp(p->text, text, p->len) == 0;
}

/* Gives an id its text: a free one, or a piece that only holds a place (control, unused, user-defined). */
static cs_status place(applier *a, const cs_config_token *c, int32_t id)
{
    cs_tokenizer *t = a->t;
    cs_piece *p = &t->vocab.pieces[id];
    size_t len = strlen(c->content);
    if (p->type == CS_PIECE_NORMAL || p->type == CS_PIECE_BYTE || p->type == CS_PIECE_UNKNOWN)
        return cs_fail(a->err, CS_E_FORMAT, "%s: \"%s\": id %d is \"%.60s\", but \"%.*s\" in the vocabulary", c->file, c->key, id, c->content,
                       (int)(p->len < 60 ? p->len : 60), p->text);
    cs_bytes text = cs_tok_keep(t, c->content, len);
    if (!text.text)
        return cs_fail_nomem(a->err, len, "added tokens");
    *p = (cs_piece){.text = text.text, .len = (uint32_t)len, .type = CS_PIECE_USER, .score = p->score, .rank = p->rank};
    cs_vocab_index(&a->all, id);
    a->n = id >= a->n ? id + 1 : a->n;
    return CS_OK;
}

static cs_status add_token(applier *a, const cs_config_token *c, bool is_json)
{
    cs_tokenizer *t = a->t;
    int32_t id = (int32_t)c->id, known = cs_vocab_find(&a->all, c->content, strlen(c->content));
    if (is_json && known >= 0) /* transformers keeps what tokenizer.json says */
        id = known;
    if (id < 0)
        id = known >= 0 ? known : a->n;
    if (!is_text(&t->vocab.pieces[id], c->content))
        CS_TRY(place(a, c, id));
    cs_piece *p = &t->vocab.pieces[id];
    bool is_new = a->added_of[id] == 0;
    if (is_new) {
        t->added[t->n_added++] = (cs_added){.id = id};
        a->added_of[id] = (int32_t)t->n_added;
    }
    cs_added *d = &t->added[a->added_of[id] - 1];
    d->content = (cs_bytes){p->text, p->len};
    d->special |= c->special;
    if (is_new || a->listed[id] || (c->id >= 0 && !is_json)) {
        a->listed[id] = c->only_id;
        d->special = c->special;
        d->lstrip = c->lstrip;
        d->rstrip = c->rstrip;
        d->normalized = is_json && c->normalized;
    }
    p->special = d->special && p->type != CS_PIECE_UNKNOWN;
    a->changed = true;
    return CS_OK;
}

static cs_status add_tokens(applier *a, const cs_tok_config *c, bool is_json)
{
    int64_t top = a->t->vocab.n;
    bool with_aquila = needs_aquila(a->t, c);
    size_t more = c->n_tokens + (with_aquila ? N_AQUILA : 0);
    for (size_t i = 0; i < c->n_tokens; i++) {
        if (c->token[i].id >= (int64_t)a->t->vocab.n + MOST_NEW)
            return cs_fail(a->err, CS_E_FORMAT, "%s: \"%s\": id %lld is too far beyond the vocabulary of %d", c->token[i].file, c->token[i].key,
                           (long long)c->token[i].id, a->t->vocab.n);
        top = c->token[i].id >= top ? c->token[i].id + 1 : top;
    }
    if (more == 0)
        return CS_OK;
    if (top + (int64_t)more > INT32_MAX)
        return cs_fail(a->err, CS_E_FORMAT, "%s: too many added tokens: %zu", c->token[0].file, more);
    CS_TRY(make_room(a, (int32_t)(top + (int64_t)more), more));
    for (size_t i = 0; with_aquila && i < N_AQUILA; i++) {
        cs_config_token token = {.content = aquila[i].content, .id = aquila[i].id, .special = true, .file = c->config_name, .key = "Aquila"};
        CS_TRY(add_token(a, &token, is_json));
    }
    for (size_t i = 0; i < c->n_tokens; i++)
        CS_TRY(add_token(a, &c->token[i], is_json));
    a->t->vocab.n = a->n;
    return CS_OK;
}

static void set_id(const applier *a, const char *name, int32_t *id)
{
    int32_t found = name ? cs_vocab_find(&a->all, name, strlen(name)) : -1;
    if (found >= 0)
        *id = found;
}

/* The template of a LLaMA class follows the flags even where tokenizer.json has one. */
static bool flags_count(const cs_tok_config *c, bool own_template)
{
    static const char *const llama[] = {"LlamaTokenizer", "LlamaTokenizerFast", "LLaMATokenizer", "CodeLlamaTokenizer", "CodeLlamaTokenizerFast"};
    bool is_llama = !c->class_name;
    for (size_t i = 0; i < sizeof llama / sizeof *llama; i++)
        is_llama |= same(c->class_name, llama[i]);
    return !own_template || is_llama;
}

/* BOS in front: as the flag says, else as before with the new id. */
static void set_prefix(cs_tokenizer *t, int add, int32_t old)
{
    bool had = t->n_prefix > 0 && old >= 0 && (t->prefix[0] == old || t->prefix[0] == t->bos), want = add >= 0 ? add : had;
    if (had && !want)
        memmove(t->prefix, t->prefix + 1, --t->n_prefix * sizeof *t->prefix);
    else if (want && !had && t->bos >= 0 && t->n_prefix < CS_MAX_EXTRA_IDS)
        memmove(t->prefix + 1, t->prefix, t->n_prefix++ * sizeof *t->prefix);
    if (want && t->bos >= 0 && t->n_prefix > 0)
        t->prefix[0] = t->bos;
}

static void set_suffix(cs_tokenizer *t, int add, int32_t old)
{
    bool had = t->n_suffix > 0 && old >= 0 && (t->suffix[t->n_suffix - 1] == old || t->suffix[t->n_suffix - 1] == t->eos);
    bool want = add >= 0 ? add : had;
    if (had && !want)
        t->n_suffix--;
    else if (want && !had && t->eos >= 0 && t->n_suffix < CS_MAX_EXTRA_IDS)
        t->n_suffix++;
    if (want && t->eos >= 0 && t->n_suffix > 0)
        t->suffix[t->n_suffix - 1] = t->eos;
}

/* The only template, or the one named default. */
static cs_status set_template(cs_tokenizer *t, const cs_tok_config *c, cs_error *err)
{
    const json_t *v = json_object_get(c->config, "chat_template"), *row;
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++)
        if (row = json_array_get(v, i), same(json_string_value(json_object_get(row, "name")), "default"))
            v = json_object_get(row, "template");
    if (!json_is_string(v))
        return CS_OK;
    t->chat_template = cs_tok_keep(t, json_string_value(v), json_string_length(v));
    return t->chat_template.text ? CS_OK : cs_fail_nomem(err, json_string_length(v), "a chat template");
}

static cs_status apply(applier *a, const cs_tok_config *c, bool own_template)
{
    cs_tokenizer *t = a->t;
    int32_t old_bos = t->bos, old_eos = t->eos;
    CS_TRY(set_template(t, c, a->err));
    CS_TRY(add_tokens(a, c, own_template));
    if (a->changed) {
        t->has_raw = t->has_norm = false;
        CS_TRY(cs_tok_index_added(t, a->err));
        set_id(a, c->bos, &t->bos);
        set_id(a, c->eos, &t->eos);
        set_id(a, c->unk, &t->unk);
        set_id(a, c->pad, &t->pad);
    }
    if (!flags_count(c, own_template))
        return CS_OK;
    if (c->add_bos >= 0 || !own_template)
        set_prefix(t, c->add_bos, old_bos);
    if (c->add_eos >= 0 || !own_template)
        set_suffix(t, c->add_eos, old_eos);
    return CS_OK;
}

cs_status cs_tok_config_apply(cs_tokenizer *t, const cs_tok_config *c, bool own_template, cs_error *err)
{
    applier a = {.t = t, .err = err};
    cs_arena_init(&a.scratch, "tokenizer configuration");
    cs_status status = apply(&a, c, own_template);
    cs_arena_release(&a.scratch);
    return status;
}
