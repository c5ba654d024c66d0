/* tokenizer.json: post-processor and decoder. */
#include "text/tok_json.h"

#include <string.h>

/* ---- post_processor ---- */

/* The ids that one processor puts in front of the text and behind it. */
typedef struct around {
    int32_t ids[2][CS_MAX_EXTRA_IDS];
    size_t n[2];
} around;

static cs_status add_id(cs_part_reader *r, around *a, int side, const json_t *v)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= r->t->vocab.n)
        return cs_at_expected(&r->at, NULL, "an id of the vocabulary", v);
    if (a->n[side] == CS_MAX_EXTRA_IDS)
        return cs_at_refuse(&r->at, NULL, "more than %d ids before or behind a text are not supported", CS_MAX_EXTRA_IDS);
    a->ids[side][a->n[side]++] = (int32_t)json_integer_value(v);
    return CS_OK;
}

/* Around what the processors before have put there. */
static cs_status put_around(cs_part_reader *r, const around *a)
{
    cs_tokenizer *t = r->t;
    if (t->n_prefix + a->n[0] > CS_MAX_EXTRA_IDS || t->n_suffix + a->n[1] > CS_MAX_EXTRA_IDS)
        return cs_at_refuse(&r->at, NULL, "more than %d ids before or behind a text are not supported", CS_MAX_EXTRA_IDS);
    memmove(t->prefix + a->n[0], t->prefix, t->n_prefix * sizeof *t->prefix);
    memcpy(t->prefix, a->ids[0], a->n[0] * sizeof *t->prefix);
    memcpy(t->suffix + t->n_suffix, a->ids[1], a->n[1] * sizeof *t->suffix);
    t->n_prefix += a->n[0];
    t->n_suffix += a->n[1];
    return CS_OK;
}

static cs_status add_trim(cs_part_reader *r, bool add_prefix_space)
{
    cs_tokenizer *t = r->t;
    if (t->n_trims == CS_MAX_TRIMS)
        return cs_at_refuse(&r->at, NULL, "more than %d processors that trim offsets are not supported", CS_MAX_TRIMS);
    t->trims[t->n_trims++] = (cs_trim){.add_prefix_space = add_prefix_space, .joined = t->n_joined > 0};
    return CS_OK;
}

static cs_status template_special(cs_part_reader *r, const json_t *table, const json_t *step, int side, around *a)
{
    const json_t *id = json_object_get(step, "id"), *ids = NULL;
    size_t i;
    json_t *v;
    if (!json_is_string(id))
        return cs_at_expected(&r->at, "SpecialToken.id", "a string", id);
    const json_t *row = json_object_get(table, json_string_value(id));
    if (!json_is_object(row))
        return cs_at_refuse(&r->at, "SpecialToken.id", "\"%.60s\" is not among special_tokens", json_string_value(id));
    CS_TRY(cs_at_array(&r->at, row, "ids", true, &ids));
    json_array_foreach(ids, i, v)
        CS_TRY(add_id(r, a, side, v));
    return CS_OK;
}

static cs_status post_template(cs_part_reader *r, const json_t *obj)
{
    const json_t *single = NULL, *table = json_object_get(obj, "special_tokens");
    around a = {.n = {0, 0}};
    size_t i, n_texts = 0;
    json_t *step;
    CS_TRY(cs_at_array(&r->at, obj, "single", true, &single));
    if (table && !json_is_null(table) && !json_is_object(table))
        return cs_at_expected(&r->at, "special_tokens", "an object", table);
    if (r->t->n_templates > 0)
        return cs_at_refuse(&r->at, NULL, "a second TemplateProcessing is not supported");
    size_t mark = cs_at_member(&r->at, "single");
    json_array_foreach(single, i, step) {
        size_t element = cs_at_element(&r->at, i);
        const json_t *special = json_object_get(step, "SpecialToken"), *text = json_object_get(step, "Sequence");
        const char *which = json_string_value(json_object_get(text, "id"));
        if (special)
            CS_TRY(template_special(r, table, special, n_texts > 0, &a));
        else if (!which || strcmp(which, "A") != 0)
            return cs_at_expected(&r->at, NULL, "{\"SpecialToken\": ...} or {\"Sequence\": {\"id\": \"A\", ...}}", step);
        else if (n_texts++ > 0)
            return cs_at_refuse(&r->at, NULL, "the text twice in a template is not supported");
        cs_at_leave(&r->at, element);
    }
    if (n_texts == 0)
        return cs_at_refuse(&r->at, NULL, "a template without the text is not supported");
    cs_at_leave(&r->at, mark);
    r->t->n_templates++;
    return put_around(r, &a);
}

static cs_status post_byte_level(cs_part_reader *r, const json_t *obj)
{
    bool prefix = true, trim = true;
    CS_TRY(cs_at_bool(&r->at, obj, "add_prefix_space", false, &prefix));
    CS_TRY(cs_at_bool(&r->at, obj, "trim_offsets", false, &trim));
    return trim ? add_trim(r, prefix) : CS_OK;
}

/* ["piece", id] */
static cs_status pair_id(cs_part_reader *r, const json_t *obj, const char *key, int side, around *a)
{
    const json_t *v = json_object_get(obj, key);
    if (json_array_size(v) != 2 || !json_is_string(json_array_get(v, 0)))
        return cs_at_expected(&r->at, key, "[\"piece\", id]", v);
    size_t mark = cs_at_member(&r->at, key);
    CS_TRY(add_id(r, a, side, json_array_get(v, 1)));
    cs_at_leave(&r->at, mark);
    return CS_OK;
}

static cs_status post_bert(cs_part_reader *r, const json_t *obj)
{
    around a = {.n = {0, 0}};
    CS_TRY(pair_id(r, obj, "cls", 0, &a));
    CS_TRY(pair_id(r, obj, "sep", 1, &a));
    if (r->t->n_templates > 0)
        return cs_at_refuse(&r->at, NULL, "a processor of sep and cls behind TemplateProcessing is not supported");
    r->t->n_joined++;
    return put_around(r, &a);
}

static cs_status post_roberta(cs_part_reader *r, const json_t *obj)
{
    bool prefix = true, trim = true;
    CS_TRY(cs_at_bool(&r->at, obj, "add_prefix_space", false, &prefix));
    CS_TRY(cs_at_bool(&r->at, obj, "trim_offsets", false, &trim));
    if (trim)
        CS_TRY(add_trim(r, prefix));
    return post_bert(r, obj);
}

cs_status cs_tok_json_post(cs_part_reader *r, const json_t *root)
{
    static const cs_part_row rows[] = {{"TemplateProcessing", post_template}, {"ByteLevel", post_byte_level}, {"BertProcessing", post_bert},
                                       {"RobertaProcessing", post_roberta}, {NULL, NULL}};
    bool none;
    return cs_part_read(r, root, "post_processor", "processors", rows, &none);
}

/* ---- decoder ---- */

static cs_status new_dec(cs_part_reader *r, cs_dec_kind kind, cs_dec_step **out)
{
    cs_dec_chain *c = &r->t->dec.chain;
    if (c->n_steps == CS_MAX_DEC_STEPS)
        return cs_at_refuse(&r->at, NULL, "more than %d steps are not supported", CS_MAX_DEC_STEPS);
    *out = &c->steps[c->n_steps++];
    (*out)->kind = kind;
    return CS_OK;
}

/* A required string of one code point, in the tokenizer's memory. */
static cs_status kept_char(cs_part_reader *r, const json_t *obj, const char *key, cs_bytes *out)
{
    CS_TRY(cs_at_char(&r->at, obj, key, out));
    return cs_part_bytes(r, obj, key, out);
}

static cs_status dec_replace(cs_part_reader *r, const json_t *obj)
{
    cs_dec_step *s = NULL;
    CS_TRY(new_dec(r, CS_DEC_REPLACE, &s));
    CS_TRY(cs_part_pattern(r, obj, &s->from, &s->re, NULL));
    if (s->re)
        s->kind = CS_DEC_REGEX;
    return cs_part_bytes(r, obj, "content", &s->to);
}

static cs_status dec_byte_fallback(cs_part_reader *r, const json_t *obj)
{
    cs_dec_step *s = NULL;
    (void)obj;
    return new_dec(r, CS_DEC_BYTES, &s);
}

static cs_status dec_fuse(cs_part_reader *r, const json_t *obj)
{
    cs_dec_step *s = NULL;
    (void)obj;
    return new_dec(r, CS_DEC_FUSE, &s);
}

static cs_status dec_byte_level(cs_part_reader *r, const json_t *obj)
{
    cs_dec_step *s = NULL;
    (void)obj;
    return new_dec(r, CS_DEC_BYTE_LEVEL, &s);
}

static cs_status dec_strip(cs_part_reader *r, const json_t *obj)
{
    cs_dec_step *s = NULL;
    int64_t start = 0, stop = 0;
    CS_TRY(new_dec(r, CS_DEC_STRIP, &s));
    CS_TRY(kept_char(r, obj, "content", &s->from));
    CS_TRY(cs_at_int(&r->at, obj, "start", 0, INT32_MAX, true, &start));
    CS_TRY(cs_at_int(&r->at, obj, "stop", 0, INT32_MAX, true, &stop));
    s->start = (size_t)start;
    s->stop = (size_t)stop;
    return CS_OK;
}

static cs_status dec_metaspace(cs_part_reader *r, const json_t *obj)
{
    cs_dec_step *s = NULL;
    cs_prefix_scheme prefix = CS_PREFIX_ALWAYS;
    CS_TRY(new_dec(r, CS_DEC_META, &s));
    CS_TRY(kept_char(r, obj, "replacement", &s->from));
    CS_TRY(cs_part_prefix(r, obj, &prefix));
    s->drop_first = prefix != CS_PREFIX_NEVER;
    return CS_OK;
}

static cs_status dec_bpe(cs_part_reader *r, const json_t *obj)
{
    cs_dec_step *s = NULL;
    CS_TRY(new_dec(r, CS_DEC_SUFFIX, &s));
    CS_TRY(cs_part_bytes(r, obj, "suffix", &s->from));
    return s->from.len > 0 ? CS_OK : cs_at_expected(&r->at, "suffix", "a string that is not empty", json_object_get(obj, "suffix"));
}

cs_status cs_tok_json_decoder(cs_part_reader *r, const json_t *root)
{
    static const cs_part_row rows[] = {{"Replace", dec_replace}, {"ByteFallback", dec_byte_fallback}, {"Fuse", dec_fuse}, {"Strip", dec_strip},
                                       {"Metaspace", dec_metaspace}, {"ByteLevel", dec_byte_level}, {"BPEDecoder", dec_bpe}, {NULL, NULL}};
    bool none;
    cs_dec_step *s = NULL;
    r->t->dec.kind = CS_DECODE_CHAIN;
    CS_TRY(cs_part_read(r, root, "decoder", "decoders", rows, &none));
    return none ? new_dec(r, CS_DEC_JOIN, &s) : CS_OK;
}
