/* See emit.h. Invariant: e->ids and e->labels have the same length, and so have the three outputs of samples. */
#include "data/emit.h"

#include "base/mem.h"

enum { KEEP_BYTES = 8 << 20, WITH_SPECIAL = CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL };

void cs_token_out_release(cs_token_out *o)
{
    cs_ids_release(&o->ids);
    cs_free(o->seqs);
    *o = (cs_token_out){0};
}

void cs_token_out_clear(cs_token_out *o)
{
    if (o->ids.cap > KEEP_BYTES / sizeof(int32_t))
        cs_ids_release(&o->ids);
    cs_ids_clear(&o->ids);
    o->n = 0;
}

/* The ids behind those of the other sequences become one. */
static cs_status end_sequence(cs_token_out *o, size_t from, bool ends_document, cs_error *err)
{
    CS_TRY(cs_ids_check(&o->ids, err));
    if (o->n == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 64;
        struct cs_token_seq *more = cs_realloc_array(o->seqs, cap, sizeof *more);
        if (!more)
            return cs_fail_nomem(err, cap * sizeof *more, "a batch of texts");
        o->seqs = more;
        o->cap = cap;
    }
    o->seqs[o->n++] = (struct cs_token_seq){(int64_t)(o->ids.len - from), ends_document};
    return CS_OK;
}

void cs_emit_release(cs_emit *e)
{
    cs_ids_release(&e->ids);
    cs_ids_release(&e->labels);
    cs_ids_release(&e->alone);
}

static void clear_sample(cs_emit *e)
{
    cs_ids *all[] = {&e->ids, &e->labels, &e->alone};
    for (size_t i = 0; i < 3; i++) {
        if (all[i]->cap > KEEP_BYTES / sizeof(int32_t))
            cs_ids_release(all[i]);
        cs_ids_clear(all[i]);
    }
}

void cs_emit_begin(cs_emit *e)
{
    for (size_t k = 0; k < e->n_out; k++) {
        e->out[k].n_before = e->out[k].n;
        e->out[k].ids_before = e->out[k].ids.len;
    }
    e->counts_before = *e->counts;
    clear_sample(e);
}

cs_status cs_emit_end(cs_emit *e, cs_error *err)
{
    CS_ASSERT(e->ids.len == 0);
    bool any = false;
    for (size_t k = 0; k < e->n_out; k++) {
        cs_token_out *o = &e->out[k];
        if (o->n > o->n_before)
            o->seqs[o->n - 1].ends_document = any = true;
        CS_TRY(cs_ids_check(&o->ids, err));
    }
    if (e->counts->samples > e->counts_before.samples)
        e->counts->documents++;
    else if (!any && e->counts->empty == e->counts_before.empty && e->counts->too_long == e->counts_before.too_long)
        e->counts->empty++;
    return CS_OK;
}

void cs_emit_undo(cs_emit *e)
{
    for (size_t k = 0; k < e->n_out; k++) {
        e->out[k].n = e->out[k].n_before;
        e->out[k].ids.len = e->out[k].ids_before;
    }
    *e->counts = e->counts_before;
    clear_sample(e);
}

cs_status cs_emit_text(cs_emit *e, size_t k, const char *text, size_t len, cs_error *err)
{
    CS_ASSERT(k < e->n_out);
    cs_token_out *o = &e->out[k];
    size_t before = o->ids.len;
    e->counts->text_bytes += (int64_t)len;
    if (len > 0)
        CS_TRY(cs_tokenizer_encode(e->rules->tokenizer, text, len, WITH_SPECIAL, &o->ids, err));
    if (o->ids.len == before) {
        e->counts->empty++;
        return CS_OK;
    }
    if (e->rules->append_eod)
        cs_ids_push(&o->ids, cs_tokenizer_eos(e->rules->tokenizer));
    CS_TRY(end_sequence(o, before, true, err));
    e->counts->documents++;
    e->counts->tokens += (int64_t)(o->ids.len - before);
    return CS_OK;
}

/* Labels for the ids that have none yet. */
static cs_status label_rest(cs_emit *e, bool train, cs_error *err)
{
    CS_TRY(cs_ids_check(&e->ids, err));
    for (size_t i = e->labels.len; i < e->ids.len; i++)
        cs_ids_push(&e->labels, train || e->rules->train_on_prompt ? e->ids.data[i] : CS_LABEL_IGNORED);
    return cs_ids_check(&e->labels, err);
}

cs_status cs_emit_whole(cs_emit *e, const char *text, size_t len, const char *prompt, size_t prompt_len, cs_error *err)
{
    size_t from = e->ids.len;
    e->counts->text_bytes += (int64_t)len;
    CS_TRY(cs_tokenizer_encode(e->rules->tokenizer, text, len, WITH_SPECIAL, &e->ids, err));
    CS_TRY(label_rest(e, true, err));
    if (e->rules->train_on_prompt)
        return CS_OK;
    cs_ids_clear(&e->alone);
    CS_TRY(cs_tokenizer_encode(e->rules->tokenizer, prompt, prompt_len, WITH_SPECIAL, &e->alone, err));
    for (size_t i = 0; i < e->alone.len && from + i < e->labels.len; i++)
        e->labels.data[from + i] = CS_LABEL_IGNORED;
    return CS_OK;
}

cs_status cs_emit_segment(cs_emit *e, const char *text, size_t len, bool train, cs_error *err)
{
    int front = e->ids.len == 0 ? CS_TOK_FRONT : 0;
    e->counts->text_bytes += (int64_t)len;
    if (front)
        CS_TRY(cs_tokenizer_encode(e->rules->tokenizer, "", 0, front, &e->ids, err));
    CS_TRY(label_rest(e, false, err));
    CS_TRY(cs_tokenizer_encode(e->rules->tokenizer, text, len, CS_TOK_PARSE_SPECIAL, &e->ids, err));
    return label_rest(e, train, err);
}

cs_status cs_emit_special_segment(cs_emit *e, const char *text, size_t len, bool train, cs_error *err)
{
    e->counts->text_bytes += (int64_t)len;
    CS_TRY(cs_tokenizer_encode(e->rules->tokenizer, text, len, WITH_SPECIAL, &e->ids, err));
    return label_rest(e, train, err);
}

void cs_emit_id(cs_emit *e, int32_t id, int32_t label)
{
    cs_ids_push(&e->ids, id);
    cs_ids_push(&e->labels, label == CS_LABEL_IGNORED && e->rules->train_on_prompt ? id : label);
}

void cs_emit_eod(cs_emit *e)
{
    int32_t eod = cs_tokenizer_eos(e->rules->tokenizer);
    if (e->rules->append_eod)
        cs_emit_id(e, eod, eod);
}

/* The sample of e->ids[0..n) goes into the outputs. */
static cs_status put_sample(cs_emit *e, size_t n, cs_error *err)
{
    int64_t padded = (int64_t)n;
    if (e->rules->multiple > 1)
        padded += (e->rules->multiple - padded % e->rules->multiple) % e->rules->multiple;
    size_t at[CS_SAMPLE_OUTPUTS];
    for (size_t k = 0; k < CS_SAMPLE_OUTPUTS; k++)
        at[k] = e->out[k].ids.len;
    cs_ids_append(&e->out[CS_SAMPLE_IDS].ids, e->ids.data, n);
    cs_ids_append(&e->out[CS_SAMPLE_LABELS].ids, e->labels.data, n);
    for (int64_t i = (int64_t)n; i < padded; i++) {
        cs_ids_push(&e->out[CS_SAMPLE_IDS].ids, e->rules->pad);
        cs_ids_push(&e->out[CS_SAMPLE_LABELS].ids, CS_LABEL_IGNORED);
    }
    for (int64_t i = 0; i < padded; i++)
        cs_ids_push(&e->out[CS_SAMPLE_MASK].ids, i < (int64_t)n);
    for (size_t k = 0; k < CS_SAMPLE_OUTPUTS; k++)
        CS_TRY(end_sequence(&e->out[k], at[k], false, err));
    e->counts->samples++;
    e->counts->tokens += padded;
    return CS_OK;
}

cs_status cs_emit_sample(cs_emit *e, cs_error *err)
{
    CS_ASSERT(e->n_out == CS_SAMPLE_OUTPUTS);
    CS_TRY(cs_ids_check(&e->ids, err));
    CS_TRY(cs_ids_check(&e->labels, err));
    CS_ASSERT(e->ids.len == e->labels.len);
    size_t n = e->ids.len;
    if (e->rules->seq_length > 0 && (int64_t)n > e->rules->seq_length + 1) {
        e->counts->too_long++;
        n = e->rules->long_samples == CS_LONG_CUT ? (size_t)e->rules->seq_length + 1 : e->rules->long_samples == CS_LONG_DROP ? 0 : n;
    }
    if (n > 0) {
        int64_t trained = 0;
        for (size_t i = 1; i < n; i++) /* the first label is no prediction */
            trained += e->labels.data[i] != CS_LABEL_IGNORED;
        e->counts->trained += trained;
        e->counts->untrained += trained == 0;
        CS_TRY(put_sample(e, n, err));
    }
    clear_sample(e);
    return CS_OK;
}
