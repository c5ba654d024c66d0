/* The pipeline of tokenizer.json. Each part is an object with a "type"; a table row says how to read it, "Sequence" nests. */
#include "fmt/json.h"
#include "text/tok_json.h"
#include "text/utf8.h"

#include <string.h>

typedef struct part_reader {
    cs_tokenizer *t;
    const char *name; /* of the file */
    const char *part; /* "normalizer", ... */
    cs_error *err;
    bool fused;       /* decoder: Fuse was seen */
} part_reader;

typedef struct part_row {
    const char *type;
    cs_status (*read)(part_reader *r, const json_t *obj);
} part_row;

static cs_status bad(const part_reader *r, const char *what)
{
    return cs_fail(r->err, CS_E_FORMAT, "%s: %s: %s", r->name, r->part, what);
}

static cs_status get_bytes(const part_reader *r, const json_t *obj, const char *key, bool may_be_empty, cs_bytes *out)
{
    const json_t *v = json_object_get(obj, key);
    if (!json_is_string(v) || (!may_be_empty && json_string_length(v) == 0))
        return cs_fail(r->err, CS_E_FORMAT, "%s: %s: \"%s\" must be a string%s", r->name, r->part, key, may_be_empty ? "" : " that is not empty");
    *out = cs_tok_keep(r->t, json_string_value(v), json_string_length(v));
    return out->text ? CS_OK : cs_fail_nomem(r->err, out->len, "a tokenizer");
}

static cs_status read_replace(const part_reader *r, const json_t *obj, cs_bytes *from, cs_bytes *to)
{
    const json_t *pattern = json_object_get(obj, "pattern");
    if (json_object_get(pattern, "Regex"))
        return bad(r, "Replace with a Regex is not supported");
    CS_TRY(get_bytes(r, pattern, "String", false, from));
    return get_bytes(r, obj, "content", true, to);
}

/* ---- normalizer ---- */

static cs_status new_norm(const part_reader *r, cs_norm_kind kind, cs_norm_step **out)
{
    if (r->t->norm.n_steps == CS_MAX_NORM_STEPS)
        return bad(r, "too many steps");
    *out = &r->t->norm.steps[r->t->norm.n_steps++];
    (*out)->kind = kind;
    return CS_OK;
}

static cs_status norm_prepend(part_reader *r, const json_t *obj)
{
    cs_norm_step *s = NULL;
    CS_TRY(new_norm(r, CS_NORM_PREPEND, &s));
    return get_bytes(r, obj, "prepend", true, &s->to);
}

static cs_status norm_replace(part_reader *r, const json_t *obj)
{
    cs_norm_step *s = NULL;
    CS_TRY(new_norm(r, CS_NORM_REPLACE, &s));
    return read_replace(r, obj, &s->from, &s->to);
}

static const part_row norm_rows[] = {{"Prepend", norm_prepend}, {"Replace", norm_replace}, {NULL, NULL}};

/* ---- pre_tokenizer ---- */

/* "prepend_scheme" of new files, "add_prefix_space" of old ones. */
static cs_status prefix_scheme(const part_reader *r, const json_t *obj, cs_prefix_scheme *out)
{
    const char *scheme = NULL;
    bool prefix = true;
    CS_TRY(cs_json_get_bool(obj, "add_prefix_space", r->name, &prefix, r->err));
    CS_TRY(cs_json_get_str(obj, "prepend_scheme", r->name, &scheme, r->err));
    *out = prefix ? CS_PREFIX_ALWAYS : CS_PREFIX_NEVER;
    if (scheme) {
        static const char *const names[] = {"always", "first", "never"};
        int i = 0;
        while (i < 3 && strcmp(scheme, names[i]) != 0)
            i++;
        if (i == 3)
            return bad(r, "prepend_scheme must be always, first or never");
        *out = (cs_prefix_scheme)i;
    }
    return CS_OK;
}

static cs_status new_pretok(const part_reader *r, cs_pretok_kind kind, cs_pretok_step **out)
{
    cs_pretok *p = &r->t->pretok;
    if (p->n_steps == CS_MAX_PRETOK_STEPS)
        return bad(r, "too many steps");
    if (p->n_steps > 0 && p->steps[p->n_steps - 1].kind == CS_PRETOK_BYTE_LEVEL)
        return bad(r, "a step after ByteLevel is not supported");
    *out = &p->steps[p->n_steps++];
    (*out)->kind = kind;
    (*out)->split = true;
    return CS_OK;
}

static cs_status pretok_metaspace(part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    CS_TRY(new_pretok(r, CS_PRETOK_METASPACE, &s));
    CS_TRY(get_bytes(r, obj, "replacement", false, &s->meta));
    CS_TRY(prefix_scheme(r, obj, &s->prefix));
    return cs_json_get_bool(obj, "split", r->name, &s->split, r->err);
}

void cs_tok_set_byte_level(cs_tokenizer *t)
{
    t->bpe.byte_level = true;
    for (int b = 0; b < 256; b++)
        t->bpe.byte_symbol[b] = -1;
    for (uint32_t cp = 0; cp <= 0x143; cp++) {
        uint8_t text[4];
        int value = cs_byte_level_value(cp);
        if (value >= 0)
            t->bpe.byte_symbol[value] = cs_vocab_find(&t->vocab, (const char *)text, cs_utf8_encode(cp, text));
    }
}

static cs_status pretok_byte_level(part_reader *r, const json_t *obj)
{
    cs_pretok_step *s = NULL;
    bool prefix = true;
    CS_TRY(new_pretok(r, CS_PRETOK_BYTE_LEVEL, &s));
    CS_TRY(cs_json_get_bool(obj, "add_prefix_space", r->name, &prefix, r->err));
    s->prefix = prefix ? CS_PREFIX_ALWAYS : CS_PREFIX_NEVER;
    if (r->t->bpe.ignore_merges)
        return bad(r, "ByteLevel with ignore_merges is not supported");
    cs_tok_set_byte_level(r->t);
    return cs_json_get_bool(obj, "use_regex", r->name, &s->split, r->err);
}

static const part_row pretok_rows[] = {{"Metaspace", pretok_metaspace}, {"ByteLevel", pretok_byte_level}, {NULL, NULL}};

/* ---- post_processor ---- */

/* Appends the ids of a special token of the template to the ids before or behind the text. */
static cs_status template_special(const part_reader *r, const json_t *table, const char *id, int32_t *ids, size_t *n)
{
    size_t i;
    json_t *v;
    const json_t *list = json_object_get(json_object_get(table, id), "ids");
    if (!json_is_array(list))
        return bad(r, "TemplateProcessing: a special token has no ids");
    json_array_foreach(list, i, v) {
        if (*n == CS_MAX_EXTRA_IDS || !json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= r->t->vocab.n)
            return bad(r, "TemplateProcessing: too many special ids or one out of range");
        ids[(*n)++] = (int32_t)json_integer_value(v);
    }
    return CS_OK;
}

static cs_status post_template(part_reader *r, const json_t *obj)
{
    cs_tokenizer *t = r->t;
    size_t i, n_texts = 0;
    json_t *step;
    t->n_prefix = t->n_suffix = 0;
    json_array_foreach(json_object_get(obj, "single"), i, step) {
        const char *special = json_string_value(json_object_get(json_object_get(step, "SpecialToken"), "id"));
        if (special)
            CS_TRY(template_special(r, json_object_get(obj, "special_tokens"), special, n_texts ? t->suffix : t->prefix,
                                    n_texts ? &t->n_suffix : &t->n_prefix));
        else if (json_object_get(step, "Sequence"))
            n_texts++;
        else
            return bad(r, "TemplateProcessing: a step is neither SpecialToken nor Sequence");
    }
    return n_texts == 1 ? CS_OK : bad(r, "TemplateProcessing: \"single\" must hold one Sequence");
}

static cs_status post_byte_level(part_reader *r, const json_t *obj)
{
    (void)r;
    (void)obj; /* moves offsets only, never ids */
    return CS_OK;
}

static const part_row post_rows[] = {{"TemplateProcessing", post_template}, {"ByteLevel", post_byte_level}, {NULL, NULL}};

/* ---- decoder ---- */

static cs_status add_replace(const part_reader *r, cs_bytes from, cs_bytes to)
{
    cs_decoder *d = &r->t->dec;
    if (r->fused || d->byte_pieces || d->n_replace == CS_MAX_DECODE_REPLACE)
        return bad(r, "this order or number of decoders is not supported");
    d->replace[d->n_replace].from = from;
    d->replace[d->n_replace++].to = to;
    return CS_OK;
}

static cs_status dec_replace(part_reader *r, const json_t *obj)
{
    cs_bytes from = {0}, to = {0};
    CS_TRY(read_replace(r, obj, &from, &to));
    return add_replace(r, from, to);
}

static cs_status dec_byte_fallback(part_reader *r, const json_t *obj)
{
    (void)obj;
    if (r->fused)
        return bad(r, "ByteFallback after Fuse is not supported");
    r->t->dec.byte_pieces = true;
    r->t->dec.bytes = CS_BYTES_RUN;
    return CS_OK;
}

static cs_status dec_fuse(part_reader *r, const json_t *obj)
{
    (void)obj;
    r->fused = true;
    return CS_OK;
}

static cs_status dec_strip(part_reader *r, const json_t *obj)
{
    int64_t start = 0, stop = 0;
    cs_bytes content = {0};
    CS_TRY(get_bytes(r, obj, "content", false, &content));
    CS_TRY(cs_json_get_int(obj, "start", r->name, &start, r->err));
    CS_TRY(cs_json_get_int(obj, "stop", r->name, &stop, r->err));
    if (!r->fused || content.len != 1 || start < 0 || start > 255 || stop != 0)
        return bad(r, "Strip is supported after Fuse, of one ASCII character, with stop 0");
    r->t->dec.strip = content.text[0];
    r->t->dec.n_strip = (uint8_t)start;
    return CS_OK;
}

static cs_status dec_metaspace(part_reader *r, const json_t *obj)
{
    cs_bytes meta = {0};
    cs_prefix_scheme prefix = CS_PREFIX_ALWAYS;
    if (r->t->dec.n_replace > 0)
        return bad(r, "Metaspace after Replace is not supported");
    CS_TRY(get_bytes(r, obj, "replacement", false, &meta));
    CS_TRY(prefix_scheme(r, obj, &prefix));
    r->t->dec.meta_prefix = prefix != CS_PREFIX_NEVER;
    return add_replace(r, meta, (cs_bytes){" ", 1});
}

static cs_status dec_byte_level(part_reader *r, const json_t *obj)
{
    (void)obj;
    if (r->t->dec.n_replace > 0 || r->t->dec.byte_pieces)
        return bad(r, "ByteLevel together with other decoders is not supported");
    r->t->dec.byte_level = true;
    r->t->dec.bytes = CS_BYTES_LOSSY;
    return CS_OK;
}

static const part_row dec_rows[] = {{"Replace", dec_replace}, {"ByteFallback", dec_byte_fallback}, {"Fuse", dec_fuse},
                                    {"Strip", dec_strip}, {"Metaspace", dec_metaspace}, {"ByteLevel", dec_byte_level}, {NULL, NULL}};

/* ---- */

static cs_status read_part(part_reader *r, const json_t *obj, const part_row *rows)
{
    static const char *const lists[] = {"normalizers", "pretokenizers", "processors", "decoders"};
    const char *type = json_string_value(json_object_get(obj, "type"));
    if (!type)
        return bad(r, "an object with a \"type\" was expected");
    if (strcmp(type, "Sequence") == 0) {
        for (size_t k = 0; k < 4; k++) {
            size_t i;
            json_t *v;
            json_array_foreach(json_object_get(obj, lists[k]), i, v)
                CS_TRY(read_part(r, v, rows));
        }
        return CS_OK;
    }
    for (; rows->type; rows++)
        if (strcmp(rows->type, type) == 0)
            return rows->read(r, obj);
    return cs_fail(r->err, CS_E_FORMAT, "%s: %s type %.80s is not supported", r->name, r->part, type);
}

cs_status cs_tok_json_parts(cs_tokenizer *t, const json_t *root, const char *name, cs_error *err)
{
    static const struct {
        const char *key;
        const part_row *rows;
    } parts[] = {{"normalizer", norm_rows}, {"pre_tokenizer", pretok_rows}, {"post_processor", post_rows}, {"decoder", dec_rows}};
    for (size_t i = 0; i < 4; i++) {
        const json_t *obj = json_object_get(root, parts[i].key);
        part_reader r = {.t = t, .name = name, .part = parts[i].key, .err = err};
        if (obj && !json_is_null(obj))
            CS_TRY(read_part(&r, obj, parts[i].rows));
        else if (i == 3)
            t->dec.space_between = true;
    }
    return CS_OK;
}
