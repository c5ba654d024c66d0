/* Samples to micro-batches. Invariant: what cs_batcher_fill gives is a pure function of (data set, consumed, mbs, DP rank, DP size). */
#include "base/mem.h"
#include "data/dataset.h"
#include "data/mt19937.h"

#include <string.h>

typedef struct slot {
    int64_t samples; /* capacity */
    cs_batch_rows rows;
} slot;

struct cs_batcher {
    const cs_dataset *d;
    cs_data_config cfg;
    int64_t vocab, dp_rank, dp_size;
    slot *slots;
    int64_t n_slots;
    int32_t *row;       /* [seq_length+1] one sample; of instruction data [3*seq_length] for its files */
    int64_t least;      /* rows of a micro-batch of instruction data */
    int64_t *order;     /* cyclic: permutation of this rank's bucket */
    int64_t epoch, bucket; /* that `order` is of; epoch -1 = none yet */
};

cs_status cs_batcher_create(const cs_dataset *d, const cs_data_config *cfg, int64_t vocab, int dp_rank, int dp_size, cs_batcher **out, cs_error *err)
{
    *out = NULL;
    if ((cfg->eod_mask_loss || cfg->reset_position_ids || cfg->reset_attention_mask) && cfg->eod < 0)
        return cs_fail(err, CS_E_USAGE, "--eod-mask-loss, --reset-position-ids and --reset-attention-mask need the end-of-document id: "
                       "give --tokenizer-name-or-path of a tokenizer that has one");
    CS_ASSERT(dp_size >= 1 && dp_rank >= 0 && dp_rank < dp_size && cs_dataset_size(d) >= 1);
    cs_batcher *b = cs_calloc(1, sizeof *b);
    if (b)
        *b = (cs_batcher){.d = d, .cfg = *cfg, .vocab = vocab, .dp_rank = dp_rank, .dp_size = dp_size, .epoch = -1,
                          .least = cfg->least_rows > 0 ? cfg->least_rows : 1};
    bool ok = b && (b->row = cs_calloc((size_t)cfg->seq_length + 1, (cfg->instruct ? 3 : 1) * sizeof *b->row));
    if (ok && cfg->dataloader_type == CS_LOADER_CYCLIC)
        ok = (b->order = cs_calloc((size_t)(cs_dataset_size(d) / dp_size) + 1, sizeof *b->order)) != NULL;
    if (!ok) {
        cs_batcher_destroy(b);
        return cs_fail_nomem(err, ((size_t)cfg->seq_length + 1) * sizeof *b->row, "a batch");
    }
    *out = b;
    return CS_OK;
}

static void slot_free(slot *s)
{
    cs_free(s->rows.tokens);
    cs_free(s->rows.labels);
    cs_free(s->rows.pos);
    cs_free(s->rows.weights);
    cs_free(s->rows.seq_start);
    *s = (slot){0};
}

void cs_batcher_destroy(cs_batcher *b)
{
    if (!b)
        return;
    for (int64_t i = 0; i < b->n_slots; i++)
        slot_free(&b->slots[i]);
    cs_free(b->slots);
    cs_free(b->row);
    cs_free(b->order);
    cs_free(b);
}

/* The slot with room for `mbs` samples. */
static cs_status slot_get(cs_batcher *b, int64_t index, int64_t mbs, slot **out, cs_error *err)
{
    size_t rows, bytes;
    CS_ASSERT(index >= 0 && mbs >= 1);
    if (index >= b->n_slots) {
        slot *more = cs_realloc_array(b->slots, (size_t)index + 1, sizeof *more);
        if (!more)
            return cs_fail_nomem(err, (size_t)(index + 1) * sizeof *more, "batches");
        memset(more + b->n_slots, 0, (size_t)(index + 1 - b->n_slots) * sizeof *more);
        b->slots = more;
        b->n_slots = index + 1;
    }
    slot *s = &b->slots[index];
    *out = s;
    if (s->samples >= mbs)
        return CS_OK;
    if (!cs_mul_checked((size_t)mbs, (size_t)b->cfg.seq_length, &rows) || !cs_mul_checked(rows + 1, sizeof *s->rows.seq_start, &bytes))
        return cs_fail(err, CS_E_USAGE, "--micro-batch-size %lld with --seq-length %lld is too large", (long long)mbs, (long long)b->cfg.seq_length);
    slot_free(s);
    rows = rows > (size_t)b->least ? rows : (size_t)b->least;
    size_t borders = b->cfg.reset_attention_mask || b->cfg.packing ? rows + 1 : (size_t)mbs + 2;
    s->rows = (cs_batch_rows){.tokens = cs_alloc_aligned(rows * sizeof *s->rows.tokens), .labels = cs_alloc_aligned(rows * sizeof *s->rows.labels),
                        .pos = cs_alloc_aligned(rows * sizeof *s->rows.pos), .weights = cs_alloc_aligned(rows * sizeof *s->rows.weights),
                        .seq_start = cs_alloc_aligned(borders * sizeof *s->rows.seq_start)};
    if (!s->rows.tokens || !s->rows.labels || !s->rows.pos || !s->rows.weights || !s->rows.seq_start) {
        slot_free(s);
        return cs_fail_nomem(err, bytes, "a batch");
    }
    s->samples = mbs;
    return CS_OK;
}

/* Cyclic order: the data set is cut into dp_size buckets of whole micro-batches; each pass permutes a bucket with the pass number as seed. */
static cs_status cyclic_index(cs_batcher *b, int64_t consumed, int64_t mbs, int64_t j, int64_t *index, cs_error *err)
{
    int64_t bucket = cs_dataset_size(b->d) / (mbs * b->dp_size) * mbs, pass = bucket * b->dp_size;
    if (bucket == 0)
        return cs_fail(err, CS_E_USAGE, "--dataloader-type cyclic: %lld samples, one step over %lld ranks takes %lld; use more data or "
                       "smaller micro-batches",
                       (long long)cs_dataset_size(b->d), (long long)b->dp_size, (long long)(mbs * b->dp_size));
    int64_t epoch = consumed / pass, at = consumed % pass / b->dp_size + j;
    epoch += at / bucket;
    if (epoch != b->epoch || bucket != b->bucket) {
        cs_torch_randperm((uint64_t)epoch, b->order, bucket);
        b->epoch = epoch;
        b->bucket = bucket;
    }
    *index = b->dp_rank * bucket + b->order[at % bucket];
    return CS_OK;
}

/* Appends one sample of text; cuts and position restarts at the end-of-document token. */
static void place(const cs_batcher *b, cs_batch_rows *to)
{
    int64_t n = b->cfg.seq_length, restart = 0, r = to->n;
    memcpy(to->tokens + r, b->row, (size_t)n * sizeof *b->row);
    memcpy(to->labels + r, b->row + 1, (size_t)n * sizeof *b->row);
    to->seq_start[to->n_seq++] = r;
    for (int64_t i = 0; i < n; i++) {
        bool end = b->row[i] == b->cfg.eod;
        to->pos[r + i] = (int32_t)(i - restart);
        to->weights[r + i] = end && b->cfg.eod_mask_loss ? 0.0f : 1.0f;
        if (end && b->cfg.reset_position_ids)
            restart = i + 1;
        if (end && b->cfg.reset_attention_mask && i + 1 < n)
            to->seq_start[to->n_seq++] = r + i + 1;
    }
    to->n += n;
}

/* Rows that are not trained, where there are fewer than every rank needs to have one. */
static void fill_up(cs_batch_rows *to, int64_t least)
{
    if (to->n >= least)
        return;
    to->seq_start[to->n_seq++] = to->n;
    for (int64_t i = 0; to->n < least; i++, to->n++) {
        to->tokens[to->n] = to->labels[to->n] = 0;
        to->pos[to->n] = 0;
        to->weights[to->n] = 0;
    }
}

cs_status cs_batcher_fill(cs_batcher *b, int64_t slot_index, int64_t consumed, int64_t mbs, cs_batch *out, cs_error *err)
{
    slot *s = NULL;
    int64_t size = cs_dataset_size(b->d);
    CS_TRY(slot_get(b, slot_index, mbs, &s, err));
    cs_batch_rows *to = &s->rows;
    to->n = to->n_seq = 0;
    for (int64_t j = 0; j < mbs; j++) {
        int64_t index = (consumed + b->dp_rank * mbs + j) % size;
        if (b->cfg.dataloader_type == CS_LOADER_CYCLIC)
            CS_TRY(cyclic_index(b, consumed, mbs, j, &index, err));
        if (b->cfg.instruct) {
            CS_TRY(cs_dataset_append(b->d, index, b->vocab, b->row, to, err));
            continue;
        }
        CS_TRY(cs_dataset_sample(b->d, index, b->vocab, b->row, err));
        place(b, to);
    }
    if (b->cfg.instruct)
        fill_up(to, b->least);
    to->seq_start[to->n_seq] = to->n;
    *out = (cs_batch){.rows = to->n, .n_seq = to->n_seq, .seq_start = to->seq_start, .tokens = to->tokens, .labels = to->labels,
                      .weights = to->weights, .pos = to->pos};
    for (int64_t r = 0; r < out->rows; r++)
        out->trained += out->weights[r];
    return CS_OK;
}
