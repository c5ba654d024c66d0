/* The generation loop: slots, one ragged forward per turn, sampling, stop rules. Nothing is allocated per token but the growth of
 * a sequence's own ids, text and cache. */
#include "infer/generation.h"

#include "infer/kvcache.h"

#include <string.h>

typedef struct sequence {
    bool active;
    size_t prompt;
    cs_ids ids; /* prompt and new tokens; the first `fed` of them are in the cache */
    int64_t n_prompt, fed;
    cs_detok detok;
    cs_str text;
    size_t emitted; /* bytes of text that the sink has */
} sequence;

typedef struct run {
    const cs_engine *e;
    const cs_gen_settings *set;
    const cs_gen_sink *sink;
    int64_t n_slots, max_pos;
    sequence *seq; /* [n_slots] */
    cs_kvcache cache;
    cs_sampler sampler;
    cs_rows rows;
    int64_t *slot, *last; /* of the batch's sequences: slot, last row */
    void *logits;         /* A [n_slots, V] */
} run;

const char *cs_gen_end_name(cs_gen_end end)
{
    static const char *const name[] = {"stop", "length", "cancelled"};
    return name[end];
}

static cs_status run_init(run *r, cs_error *err)
{
    const cs_model *m = r->e->model;
    size_t n = (size_t)r->n_slots, bytes;
    if (!cs_mul_checked(n * cs_dtype_size(m->prec.acc), (size_t)m->spec.vocab_size, &bytes))
        return cs_fail_nomem(err, SIZE_MAX, "the logits");
    r->seq = cs_calloc(n, sizeof *r->seq);
    r->slot = cs_calloc(n, sizeof *r->slot);
    r->last = cs_calloc(n, sizeof *r->last);
    r->logits = cs_alloc_aligned(bytes);
    if (!r->seq || !r->slot || !r->last || !r->logits)
        return cs_fail_nomem(err, bytes, "the logits");
    CS_TRY(cs_kvcache_init(&r->cache, m, r->n_slots, r->max_pos, err));
    CS_TRY(cs_sampler_init(&r->sampler, m->spec.vocab_size, err));
    return cs_rows_init(&r->rows, r->n_slots > CS_GEN_MAX_ROWS ? r->n_slots : CS_GEN_MAX_ROWS, r->n_slots, err);
}

static void run_release(run *r)
{
    for (int64_t i = 0; r->seq && i < r->n_slots; i++) {
        cs_ids_release(&r->seq[i].ids);
        cs_str_release(&r->seq[i].text);
        cs_detok_release(&r->seq[i].detok);
    }
    cs_free(r->seq);
    cs_free(r->slot);
    cs_free(r->last);
    cs_free(r->logits);
    cs_kvcache_release(&r->cache);
    cs_sampler_release(&r->sampler);
    cs_rows_release(&r->rows);
}

/* The text of the new tokens is what decoding prompt and new tokens gives beyond decoding the prompt: the prompt goes through the decoder first. */
static cs_status begin(run *r, int64_t slot, size_t number, const cs_gen_prompt *p, cs_error *err)
{
    sequence *s = &r->seq[slot];
    s->active = true;
    s->prompt = number;
    s->n_prompt = (int64_t)p->n;
    s->fed = 0;
    s->emitted = 0;
    cs_detok_release(&s->detok);
    cs_ids_clear(&s->ids);
    cs_ids_append(&s->ids, p->ids, p->n);
    cs_kvcache_clear(&r->cache, slot);
    for (size_t i = 0; r->e->tok && i < p->n; i++)
        CS_TRY(cs_detok_push(&s->detok, r->e->tok, p->ids[i], &s->text, err));
    cs_str_clear(&s->text);
    return cs_ids_check(&s->ids, err);
}

/* Offset of the first stop string in the text, or its length. Only what the last `fresh` bytes can have completed is searched. */
static size_t find_stop(const cs_gen_settings *set, const cs_str *text, size_t fresh)
{
    size_t first = text->len;
    for (size_t i = 0; i < set->n_stop && text->len > 0; i++) {
        size_t n = strlen(set->stop[i]), from = text->len > fresh + n ? text->len - fresh - n : 0;
        const char *hit = memmem(text->data + from, text->len - from, set->stop[i], n);
        if (hit && (size_t)(hit - text->data) < first)
            first = (size_t)(hit - text->data);
    }
    return first;
}

/* Length of the text without an end that may be the beginning of a stop string. */
static size_t safe_length(const cs_gen_settings *set, const cs_str *text)
{
    size_t held = 0;
    for (size_t i = 0; i < set->n_stop; i++) {
        size_t n = strlen(set->stop[i]);
        for (size_t k = n - 1 < text->len ? n - 1 : text->len; k > held; k--)
            if (memcmp(text->data + text->len - k, set->stop[i], k) == 0)
                held = k;
    }
    return text->len - held;
}

static bool emit(const run *r, sequence *s, size_t upto)
{
    size_t from = s->emitted;
    if (upto <= from)
        return true;
    s->emitted = upto;
    return !r->sink->text || r->sink->text(r->sink->user, s->prompt, s->text.data + from, upto - from);
}

static cs_status finish(run *r, sequence *s, cs_gen_end end, cs_error *err)
{
    s->active = false;
    cs_gen_result result = {s->ids.data + s->n_prompt, s->ids.len - (size_t)s->n_prompt, cs_str_cstr(&s->text), s->text.len, end};
    return r->sink->done(r->sink->user, s->prompt, &result, err);
}

/* End of the text that is not a stop string: what the decoder held back belongs to it. */
static cs_status finish_whole(run *r, sequence *s, cs_gen_end end, cs_error *err)
{
    if (r->e->tok)
        cs_detok_finish(&s->detok, &s->text);
    CS_TRY(cs_str_check(&s->text, err));
    emit(r, s, s->text.len);
    return finish(r, s, end, err);
}

static bool is_end(const cs_engine *e, int32_t id)
{
    for (size_t i = 0; i < e->eos.len; i++)
        if (e->eos.data[i] == id)
            return true;
    return false;
}

static cs_status take_token(run *r, sequence *s, const void *logits, cs_error *err)
{
    const cs_engine *e = r->e;
    int64_t step = (int64_t)s->ids.len - s->n_prompt;
    int32_t id = cs_sampler_next(&r->sampler, &r->set->sampling, logits, e->model->prec.acc, s->ids.data, s->ids.len, s->prompt, (uint64_t)step);
    if (id < 0)
        return cs_fail(err, CS_E_NUMERIC, "prompt %zu, new token %lld: no logit is finite; the weights hold inf or NaN", s->prompt + 1,
                       (long long)step + 1);
    if (is_end(e, id))
        return finish_whole(r, s, CS_GEN_STOP, err);
    cs_ids_push(&s->ids, id);
    CS_TRY(cs_ids_check(&s->ids, err));
    if (e->tok) {
        size_t before = s->text.len;
        CS_TRY(cs_detok_push(&s->detok, e->tok, id, &s->text, err));
        CS_TRY(cs_str_check(&s->text, err));
        size_t stop = find_stop(r->set, &s->text, s->text.len - before);
        if (stop < s->text.len) {
            s->text.data[s->text.len = stop] = '\0';
            emit(r, s, stop);
            return finish(r, s, CS_GEN_STOP, err);
        }
        if (!emit(r, s, safe_length(r->set, &s->text)))
            return finish(r, s, CS_GEN_CANCELLED, err);
    }
    /* The last token is never fed, so max_pos + 1 tokens fit. */
    bool full = step + 1 >= r->set->max_new_tokens || (int64_t)s->ids.len > r->max_pos;
    return full ? finish_whole(r, s, CS_GEN_LENGTH, err) : CS_OK;
}

/* Rows for the forward call: each running sequence gives at least one, long prompts share the rest. */
static cs_status fill_rows(run *r, cs_error *err)
{
    int64_t waiting = 0;
    for (int64_t i = 0; i < r->n_slots; i++)
        waiting += r->seq[i].active;
    cs_rows_clear(&r->rows);
    for (int64_t i = 0; i < r->n_slots; i++) {
        sequence *s = &r->seq[i];
        if (!s->active)
            continue;
        int64_t n = (int64_t)s->ids.len - s->fed, room = r->rows.max_rows - r->rows.rows - --waiting;
        n = n < room ? n : room;
        CS_TRY(cs_kvcache_reserve(&r->cache, i, n, err));
        r->slot[r->rows.n_seq] = i;
        cs_rows_add(&r->rows, s->ids.data + s->fed, n, s->fed);
        r->last[r->rows.n_seq - 1] = r->rows.rows - 1;
    }
    return CS_OK;
}

static cs_status turn(run *r, cs_error *err)
{
    cs_model *m = r->e->model;
    CS_TRY(fill_rows(r, err));
    cs_batch batch = cs_rows_batch(&r->rows);
    cs_kv kv = cs_kvcache_view(&r->cache, r->slot, batch.n_seq);
    cs_model_logits(m, &batch, &kv, r->last, batch.n_seq, r->logits);
    size_t row_bytes = (size_t)m->spec.vocab_size * cs_dtype_size(m->prec.acc);
    for (int64_t i = 0; i < batch.n_seq; i++) {
        sequence *s = &r->seq[r->slot[i]];
        int64_t n = batch.seq_start[i + 1] - batch.seq_start[i];
        cs_kvcache_advance(&r->cache, r->slot[i], n);
        s->fed += n;
        if (s->fed == (int64_t)s->ids.len)
            CS_TRY(take_token(r, s, (const char *)r->logits + (size_t)i * row_bytes, err));
    }
    return CS_OK;
}

static cs_status loop(run *r, const cs_gen_prompt *prompts, size_t n_prompts, cs_error *err)
{
    size_t next = 0;
    CS_TRY(run_init(r, err));
    for (;;) {
        int64_t active = 0;
        for (int64_t i = 0; i < r->n_slots; i++) {
            if (!r->seq[i].active && next < n_prompts) {
                CS_TRY(begin(r, i, next, &prompts[next], err));
                next++;
            }
            active += r->seq[i].active;
        }
        if (active == 0)
            return CS_OK;
        CS_TRY(turn(r, err));
    }
}

/* Nothing to generate: every prompt is done at once. */
static cs_status none(const cs_gen_sink *sink, size_t n_prompts, cs_error *err)
{
    cs_gen_result empty = {.text = "", .end = CS_GEN_LENGTH};
    for (size_t i = 0; i < n_prompts; i++)
        CS_TRY(sink->done(sink->user, i, &empty, err));
    return CS_OK;
}

cs_status cs_generate(const cs_engine *e, const cs_gen_settings *set, const cs_gen_prompt *prompts, size_t n_prompts, const cs_gen_sink *sink,
                      cs_error *err)
{
    if (set->max_new_tokens == 0)
        return none(sink, n_prompts, err);
    int64_t slots = set->batch_size < (int64_t)n_prompts ? set->batch_size : (int64_t)n_prompts;
    run r = {.e = e, .set = set, .sink = sink, .n_slots = slots > 0 ? slots : 1, .max_pos = e->model->spec.max_pos};
    cs_status s = loop(&r, prompts, n_prompts, err);
    run_release(&r);
    return s;
}
