/* See prep_batch.h. */
#include "data/prep_batch.h"

#include "base/mem.h"
#include "fmt/json.h"

enum { KEEP_BYTES = 8 << 20 };

cs_status cs_prep_batch_init(cs_prep_batch *b, size_t n_out, cs_error *err)
{
    *b = (cs_prep_batch){.out = cs_calloc(n_out, sizeof *b->out)};
    return b->out ? CS_OK : cs_fail_nomem(err, n_out * sizeof *b->out, "a batch of texts");
}

void cs_prep_batch_release(cs_prep_batch *b, size_t n_out)
{
    for (size_t k = 0; b->out && k < n_out; k++)
        cs_token_out_release(&b->out[k]);
    cs_free(b->out);
    cs_free(b->records);
    cs_str_release(&b->text);
    cs_str_release(&b->skipped);
    *b = (cs_prep_batch){0};
}

void cs_prep_batch_clear(cs_prep_batch *b, size_t n_out)
{
    if (b->text.cap > KEEP_BYTES)
        cs_str_release(&b->text);
    cs_str_clear(&b->text);
    cs_str_clear(&b->skipped);
    for (size_t k = 0; k < n_out; k++)
        cs_token_out_clear(&b->out[k]);
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

/* The record through the handler. A bad one leaves nothing behind. */
static cs_status render(const cs_prep_config *cfg, const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    cs_emit_begin(e);
    cs_status s = cfg->handler->render(r, e, err);
    if (s == CS_OK)
        return cs_emit_end(e, err);
    cs_emit_undo(e);
    return s;
}

static cs_status encode_record(cs_prep_batch *b, const cs_prep_config *cfg, const cs_prep_record *r, cs_emit *e, cs_error *err)
{
    cs_handler_record record = {.file = r->file, .line = r->line, .keys = &cfg->keys, .columns = &cfg->columns};
    if (!r->json) {
        record.text = (cs_bytes){b->text.data + r->at, r->len};
        return render(cfg, &record, e, err);
    }
    json_t *v = NULL;
    CS_TRY(cs_json_parse_record(b->text.data + r->at, r->len, r->file, r->line, &v, err));
    record.value = v;
    record.hint = cfg->handler->output == CS_HANDLER_KEYS ? "json-keys" : cfg->handler->columns ? "dataset-info" : "handler-name";
    cs_status s = json_is_object(v) ? render(cfg, &record, e, err)
                                    : cs_fail(err, CS_E_FORMAT, "%s:%lld: the record is no JSON object", r->file, (long long)r->line);
    json_decref(v);
    return s;
}

void cs_prep_batch_encode(cs_prep_batch *b, const cs_prep_config *cfg)
{
    cs_emit e = {.rules = &cfg->rules, .out = b->out, .n_out = cfg->outputs.n, .counts = &b->counts};
    for (size_t i = 0; i < b->n && b->status == CS_OK; i++) {
        cs_status s = encode_record(b, cfg, &b->records[i], &e, &b->err);
        if (s != CS_E_FORMAT || !cfg->skip_bad) {
            b->status = s;
            continue;
        }
        b->status = cs_prep_batch_skip(b, &b->err, "");
    }
    cs_emit_release(&e);
}
