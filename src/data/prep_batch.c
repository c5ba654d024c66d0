/* See prep_batch.h. */
#include "data/prep_batch.h"

#include "base/mem.h"
#include "fmt/json.h"

#include <stdio.h>
#include <string.h>

enum { KEEP_BYTES = 8 << 20 };

cs_status cs_prep_batch_init(cs_prep_batch *b, size_t n_keys, cs_error *err)
{
    *b = (cs_prep_batch){.out = cs_calloc(n_keys, sizeof *b->out)};
    return b->out ? CS_OK : cs_fail_nomem(err, n_keys * sizeof *b->out, "a batch of texts");
}

void cs_prep_batch_release(cs_prep_batch *b, size_t n_keys)
{
    for (size_t k = 0; b->out && k < n_keys; k++) {
        cs_ids_release(&b->out[k].ids);
        cs_free(b->out[k].length);
    }
    cs_free(b->out);
    cs_free(b->records);
    cs_str_release(&b->text);
    cs_str_release(&b->skipped);
    *b = (cs_prep_batch){0};
}

void cs_prep_batch_clear(cs_prep_batch *b, size_t n_keys)
{
    if (b->text.cap > KEEP_BYTES)
        cs_str_release(&b->text);
    cs_str_clear(&b->text);
    cs_str_clear(&b->skipped);
    for (size_t k = 0; k < n_keys; k++) {
        if (b->out[k].ids.cap > KEEP_BYTES / sizeof(int32_t))
            cs_ids_release(&b->out[k].ids);
        cs_ids_clear(&b->out[k].ids);
        b->out[k].n = 0;
    }
    b->n = 0;
    b->counts = (cs_prep_counts){0};
    b->status = b->read_status = CS_OK;
    b->last = false;
}

cs_status cs_prep_batch_add(cs_prep_batch *b, const char *text, size_t len, int64_t line, const char *file, bool json, cs_error *err)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        cs_prep_record *more = cs_realloc_array(b->records, cap, sizeof *more);
        if (!more)
            return cs_fail_nomem(err, cap * sizeof *more, "a batch of texts");
        b->records = more;
        b->cap = cap;
    }
    b->records[b->n] = (cs_prep_record){b->text.len, len, line, file, json};
    cs_str_append(&b->text, text, len);
    CS_TRY(cs_str_check(&b->text, err));
    b->n++; /* only a record whose text is there is handed on */
    return CS_OK;
}

cs_status cs_prep_batch_skip(cs_prep_batch *b, cs_error *err, const char *tail)
{
    if (b->counts.bad++ < CS_PREP_SKIPPED_SHOWN)
        cs_str_printf(&b->skipped, "%s%s\n", err->msg, tail);
    *err = (cs_error){0};
    return cs_str_check(&b->skipped, err);
}

/* The ids of one text become a document, unless there are none. */
static cs_status add_document(cs_prep_batch *b, const cs_prep_config *cfg, size_t key, const char *text, size_t len, cs_error *err)
{
    cs_prep_out *o = &b->out[key];
    size_t before = o->ids.len;
    b->counts.text_bytes += (int64_t)len;
    if (len > 0)
        CS_TRY(cs_tokenizer_encode(cfg->tokenizer, text, len, CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL, &o->ids, err));
    if (o->ids.len == before) {
        b->counts.empty++;
        return CS_OK;
    }
    if (cfg->append_eod)
        cs_ids_push(&o->ids, cs_tokenizer_eos(cfg->tokenizer));
    CS_TRY(cs_ids_check(&o->ids, err));
    if (o->n == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 64;
        int64_t *more = cs_realloc_array(o->length, cap, sizeof *more);
        if (!more)
            return cs_fail_nomem(err, cap * sizeof *more, "a batch of texts");
        o->length = more;
        o->cap = cap;
    }
    o->length[o->n++] = (int64_t)(o->ids.len - before);
    b->counts.documents++;
    b->counts.tokens += (int64_t)(o->ids.len - before);
    return CS_OK;
}

/* All keys are looked up before any text is used, so that a bad record leaves nothing behind. */
static cs_status encode_json(cs_prep_batch *b, const cs_prep_config *cfg, const cs_prep_record *r, cs_error *err)
{
    char name[512];
    json_t *v = NULL;
    snprintf(name, sizeof name, "%s:%lld", r->file, (long long)r->line);
    CS_TRY(cs_json_parse_record(b->text.data + r->at, r->len, r->file, r->line, &v, err));
    cs_status s = CS_OK;
    if (!json_is_object(v))
        s = cs_fail(err, CS_E_FORMAT, "%s: the record is no JSON object", name);
    for (size_t k = 0; k < cfg->keys.n && s == CS_OK; k++) {
        const json_t *text = json_object_get(v, cfg->keys.items[k]);
        if (!json_is_string(text))
            s = cs_fail(err, CS_E_FORMAT, "%s: the record %s \"%s\"; see --json-keys", name, text ? "has no string under" : "lacks the key",
                        cfg->keys.items[k]);
    }
    for (size_t k = 0; k < cfg->keys.n && s == CS_OK; k++) {
        const json_t *text = json_object_get(v, cfg->keys.items[k]);
        s = add_document(b, cfg, k, json_string_value(text), json_string_length(text), err);
    }
    json_decref(v);
    return s;
}

void cs_prep_batch_encode(cs_prep_batch *b, const cs_prep_config *cfg)
{
    for (size_t i = 0; i < b->n && b->status == CS_OK; i++) {
        const cs_prep_record *r = &b->records[i];
        cs_status s = r->json ? encode_json(b, cfg, r, &b->err) : add_document(b, cfg, 0, b->text.data + r->at, r->len, &b->err);
        if (s != CS_E_FORMAT || !cfg->skip_bad) {
            b->status = s;
            continue;
        }
        b->status = cs_prep_batch_skip(b, &b->err, "");
    }
}
