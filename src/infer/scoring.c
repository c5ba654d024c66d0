/* Reading probabilities off the model: short items share forward calls, a long one is read piece by piece through the cache. */
#include "infer/scoring.h"

#include "infer/kvcache.h"

#include <math.h>

enum { PIECE_ROWS = 256, GROUP_ROWS = 1024, GROUP_SEQS = 64, GROUP_LOGITS_BYTES = 64 << 20 };

typedef struct reader {
    cs_rows rows;
    cs_kvcache cache;
    void *logits;  /* A [max_logits, V] */
    int64_t *want; /* [max_logits] row numbers */
} reader;

static cs_status reader_init(reader *r, const cs_engine *e, int64_t max_rows, int64_t max_seq, int64_t max_logits, int64_t cache_pos, cs_error *err)
{
    const cs_model *m = e->model;
    size_t bytes;
    *r = (reader){0};
    if (!cs_mul_checked((size_t)max_logits * cs_dtype_size(m->prec.acc), (size_t)m->spec.vocab_size, &bytes))
        return cs_fail_nomem(err, SIZE_MAX, "the logits");
    r->logits = cs_alloc_aligned(bytes);
    r->want = cs_calloc((size_t)max_logits, sizeof *r->want);
    if (!r->logits || !r->want)
        return cs_fail_nomem(err, bytes, "the logits");
    if (cache_pos > 0)
        CS_TRY(cs_kvcache_init(&r->cache, m, 1, cache_pos, err));
    return cs_rows_init(&r->rows, max_rows, max_seq, err);
}

static void reader_release(reader *r)
{
    cs_free(r->logits);
    cs_free(r->want);
    if (r->cache.slot)
        cs_kvcache_release(&r->cache);
    cs_rows_release(&r->rows);
}

static const void *row_at(const cs_model *m, const void *logits, int64_t i)
{
    return (const char *)logits + (size_t)(i * m->spec.vocab_size) * cs_dtype_size(m->prec.acc);
}

static cs_status read_pieces(const cs_engine *e, reader *r, const int32_t *ids, int64_t n, int64_t from, cs_logits_sink sink, void *user,
                             cs_error *err)
{
    const int64_t first_slot = 0;
    for (int64_t at = 0; at < n;) {
        int64_t len = n - at < r->rows.max_rows ? n - at : r->rows.max_rows, n_want = 0;
        cs_rows_clear(&r->rows);
        cs_rows_add(&r->rows, ids + at, len, at);
        for (int64_t i = 0; i < len; i++)
            if (at + i >= from || i == len - 1)
                r->want[n_want++] = i;
        CS_TRY(cs_kvcache_reserve(&r->cache, 0, len, err));
        cs_batch batch = cs_rows_batch(&r->rows);
        cs_kv kv = cs_kvcache_view(&r->cache, &first_slot, 1);
        cs_model_logits(e->model, &batch, &kv, r->want, n_want, r->logits);
        cs_kvcache_advance(&r->cache, 0, len);
        for (int64_t i = 0; i < n_want; i++)
            if (at + r->want[i] >= from)
                CS_TRY(sink(user, at + r->want[i], row_at(e->model, r->logits, i), err));
        at += len;
    }
    return CS_OK;
}

cs_status cs_logits_each(const cs_engine *e, const int32_t *ids, int64_t n, int64_t from, cs_logits_sink sink, void *user, cs_error *err)
{
    reader r;
    int64_t rows = n < PIECE_ROWS ? n : PIECE_ROWS;
    cs_status s = reader_init(&r, e, rows, 1, rows, n, err);
    if (s == CS_OK)
        s = read_pieces(e, &r, ids, n, from, sink, user, err);
    reader_release(&r);
    return s;
}

static double logit(const void *logits, cs_dtype type, int64_t v)
{
    return type == CS_F32 ? (double)((const float *)logits)[v] : ((const double *)logits)[v];
}

/* Takes the row that predicts ids[position + 1]. */
static cs_status score_row(void *user, int64_t position, const void *logits, const cs_model *m, cs_error *err)
{
    cs_score_item *item = user;
    int64_t V = m->spec.vocab_size, best = 0;
    cs_dtype type = m->prec.acc;
    double sum = 0;
    for (int64_t v = 1; v < V; v++)
        if (logit(logits, type, v) > logit(logits, type, best))
            best = v;
    double top = logit(logits, type, best);
    for (int64_t v = 0; v < V; v++)
        sum += exp(logit(logits, type, v) - top);
    int32_t id = item->ids[position + 1];
    double lp = logit(logits, type, id) - top - log(sum);
    if (!isfinite(lp))
        return cs_fail(err, CS_E_NUMERIC, "token %lld: its log-probability is not finite; the weights hold inf or NaN", (long long)position + 1);
    item->token_logprob[position + 1 - item->n_context] = lp;
    item->logprob += lp;
    item->is_greedy &= best == id;
    return CS_OK;
}

typedef struct long_item {
    cs_score_item *item;
    const cs_model *m;
} long_item;

static cs_status score_long_row(void *user, int64_t position, const void *logits, cs_error *err)
{
    const long_item *l = user;
    return score_row(l->item, position, logits, l->m, err);
}

static int64_t n_scored(const cs_score_item *it)
{
    return it->n - it->n_context;
}

/* How many of items[0..n) go into one forward call; 0 when the first one is too long for sharing. */
static size_t group_size(const cs_score_item *items, size_t n, int64_t max_logits)
{
    int64_t rows = 0, logits = 0;
    size_t k = 0;
    for (; k < n && k < GROUP_SEQS; k++) {
        rows += items[k].n - 1;
        logits += n_scored(&items[k]);
        if (rows > GROUP_ROWS || logits > max_logits)
            break;
    }
    return k;
}

static cs_status score_group(const cs_engine *e, reader *r, cs_score_item *items, size_t n, cs_error *err)
{
    int64_t n_want = 0, at = 0;
    cs_rows_clear(&r->rows);
    for (size_t i = 0; i < n; i++) {
        if (n_scored(&items[i]) == 0)
            continue;
        for (int64_t t = items[i].n_context - 1; t < items[i].n - 1; t++)
            r->want[n_want++] = r->rows.rows + t;
        cs_rows_add(&r->rows, items[i].ids, items[i].n - 1, 0);
    }
    if (n_want == 0)
        return CS_OK;
    cs_batch batch = cs_rows_batch(&r->rows);
    cs_model_logits(e->model, &batch, NULL, r->want, n_want, r->logits);
    for (size_t i = 0; i < n; i++)
        for (int64_t t = items[i].n_context - 1; t < items[i].n - 1; t++)
            CS_TRY(score_row(&items[i], t, row_at(e->model, r->logits, at++), e->model, err));
    return CS_OK;
}

static cs_status score_all(const cs_engine *e, reader *r, int64_t max_logits, cs_score_item *items, size_t n, cs_error *err)
{
    for (size_t i = 0; i < n; i++) {
        CS_ASSERT(items[i].n_context >= 1 && items[i].n >= items[i].n_context);
        items[i].logprob = 0;
        items[i].is_greedy = true;
    }
    for (size_t at = 0; at < n;) {
        size_t k = group_size(items + at, n - at, max_logits);
        if (k == 0) {
            long_item l = {&items[at], e->model};
            CS_TRY(cs_logits_each(e, items[at].ids, items[at].n - 1, items[at].n_context - 1, score_long_row, &l, err));
            k = 1;
        } else {
            CS_TRY(score_group(e, r, items + at, k, err));
        }
        at += k;
    }
    return CS_OK;
}

cs_status cs_score(const cs_engine *e, cs_score_item *items, size_t n, cs_error *err)
{
    int64_t row = e->model->spec.vocab_size * (int64_t)cs_dtype_size(e->model->prec.acc), max_logits = GROUP_LOGITS_BYTES / row + 1;
    reader r;
    if (max_logits > GROUP_ROWS)
        max_logits = GROUP_ROWS;
    cs_status s = reader_init(&r, e, GROUP_ROWS, GROUP_SEQS, max_logits, 0, err);
    if (s == CS_OK)
        s = score_all(e, &r, max_logits, items, n, err);
    reader_release(&r);
    return s;
}
