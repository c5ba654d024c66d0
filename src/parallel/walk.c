/* Activations. Letters as in nn/: T rows of the batch, H hidden, D head size, V vocabulary. Under sequence parallelism the residual stream has T/tp
 * rows on a rank; a column-parallel product then gathers its input, and a row-parallel one sums T whole rows before it hands out its share. */
#include "parallel/walk.h"

#include "nn/loss.h"

enum { MAX_BLOCKS = 128, BLOCK_MIN = 1 << 16 };

int64_t cs_walk_mul(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_mul_overflow(a, b, &r) ? INT64_MAX : r;
}

int64_t cs_walk_add(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_add_overflow(a, b, &r) ? INT64_MAX : r;
}

/* An arena (base/mem.h) without memory: a chain of blocks. current < 0: before the first. */
typedef struct arena {
    int64_t size[MAX_BLOCKS], used_of[MAX_BLOCKS], used, high;
    int n, current;
    bool failed;
} arena;

typedef struct mark {
    int current;
    int64_t used_of, used;
} mark;

static void take(arena *a, int64_t bytes)
{
    if (a->failed || bytes > INT64_MAX / 4) {
        a->failed = true;
        return;
    }
    int64_t need = ((bytes ? bytes : 1) + 63) & ~(int64_t)63;
    if (a->current < 0 || a->size[a->current] - a->used_of[a->current] < need) {
        int next = a->current + 1;
        for (; next < a->n; next++) {
            a->used_of[next] = 0;
            if (a->size[next] >= need)
                break;
        }
        a->failed = next == MAX_BLOCKS;
        if (a->failed)
            return;
        if (next == a->n) {
            int64_t size = need < BLOCK_MIN ? BLOCK_MIN : need;
            a->size[a->n] = size < a->high / 2 ? a->high / 2 : size;
            a->used_of[a->n++] = 0;
        }
        a->current = next;
    }
    a->used_of[a->current] += need;
    a->used += need;
    a->failed |= a->used > INT64_MAX / 4;
    a->high = a->used > a->high ? a->used : a->high;
}

static mark save(const arena *a)
{
    return (mark){a->current, a->current < 0 ? 0 : a->used_of[a->current], a->used};
}

static void restore(arena *a, mark m)
{
    a->current = m.current;
    a->used = m.used;
    if (m.current >= 0)
        a->used_of[m.current] = m.used_of;
}

static int64_t slack(const arena *a)
{
    int64_t size = 0;
    for (int i = 0; i < a->n; i++)
        size += a->size[i];
    return size - a->high;
}

typedef struct walk {
    const cs_memory_request *q;
    const cs_spec *s;
    int64_t T, R;               /* rows of the batch, of the residual stream */
    int64_t heads, kv_heads, ffn, up, vocab; /* of a rank; up = columns of the first feed-forward product */
    int64_t store, acc;         /* bytes of an element */
    bool gathers;               /* sequence parallelism over several ranks */
    int64_t logits;
    arena stash, refill, scratch;
} walk;

static void tensor(const walk *w, arena *a, int64_t rows, int64_t cols)
{
    take(a, cs_walk_mul(cs_walk_mul(rows, cols), w->store));
}

static void per_row(const walk *w, arena *a, int64_t rows, int64_t times)
{
    take(a, cs_walk_mul(cs_walk_mul(rows, times), w->acc));
}

/* nn/norm.c: reciprocal deviations, and means where the family has them. keep: arena for what backward needs, NULL = it needs nothing. */
static void norm_forward(walk *w, arena *keep, int64_t rows)
{
    mark m = save(&w->scratch);
    for (int i = 0; i < (w->s->family->norm == CS_NORM_LAYER ? 2 : 1); i++)
        per_row(w, keep ? keep : &w->scratch, rows, 1);
    restore(&w->scratch, m);
}

/* nn/region.c under sequence parallelism: a whole buffer of T rows beside the rank's share; the rows of all ranks. */
static void whole_rows(walk *w)
{
    if (w->gathers)
        tensor(w, &w->scratch, w->T, w->s->hidden);
}

static void row_counts(walk *w)
{
    if (w->gathers)
        take(&w->scratch, w->q->layout.tp * 8);
}

/* Both, for the time of a product: its input gathered, or its output's terms summed. */
static void gather(walk *w)
{
    mark m = save(&w->scratch);
    whole_rows(w);
    row_counts(w);
    restore(&w->scratch, m);
}

static void attention_pointers(walk *w)
{
    for (int i = 0; i < 3; i++)
        take(&w->scratch, cs_walk_mul(w->q->layout.largest_mbs, 8));
}

static int64_t qkv_columns(const walk *w)
{
    return (w->heads + 2 * w->kv_heads) * w->s->head_dim;
}

/* cs_block_forward: keep = with `saved`, of a layer that drops `drop`. */
static void block_forward(walk *w, arena *keep, unsigned drop)
{
    mark m = save(&w->scratch);
    arena *a = keep ? keep : &w->scratch, *norms = drop & CS_DROP_NORMS ? &w->scratch : a;
    int64_t H = w->s->hidden;
    tensor(w, norms, w->R, H);
    tensor(w, drop & CS_DROP_QKV ? &w->scratch : a, w->T, qkv_columns(w));
    tensor(w, drop & CS_DROP_ATTENTION ? &w->scratch : a, w->T, w->heads * w->s->head_dim);
    tensor(w, a, w->R, H);
    tensor(w, norms, w->R, H);
    norm_forward(w, keep, w->R);
    gather(w);
    mark before = save(&w->scratch);
    attention_pointers(w);
    if (keep)
        per_row(w, keep, w->T, w->heads);
    restore(&w->scratch, before);
    gather(w);
    norm_forward(w, keep, w->R);
    tensor(w, drop & CS_DROP_UP ? &w->scratch : a, w->T, w->up);
    tensor(w, &w->scratch, w->T, w->ffn);
    gather(w);
    restore(&w->scratch, m);
}

/* The outputs of norms that were dropped come back in the memory of gradients. */
static void block_backward(walk *w, unsigned drop)
{
    mark m = save(&w->scratch);
    tensor(w, &w->scratch, w->R, w->s->hidden);
    tensor(w, &w->scratch, w->T, w->heads * w->s->head_dim);
    tensor(w, &w->scratch, w->T, qkv_columns(w));
    mark before = save(&w->scratch);
    if (drop & CS_DROP_UP)
        tensor(w, &w->scratch, w->T, w->up);
    tensor(w, &w->scratch, w->T, w->ffn);
    tensor(w, &w->scratch, w->T, w->ffn);
    whole_rows(w); /* dy; inputs are gathered once more for their weights' gradients */
    row_counts(w);
    gather(w);
    restore(&w->scratch, before);
    if (drop & CS_DROP_QKV)
        tensor(w, &w->scratch, w->T, qkv_columns(w));
    if (drop & CS_DROP_ATTENTION)
        tensor(w, &w->scratch, w->T, w->heads * w->s->head_dim);
    whole_rows(w);
    row_counts(w);
    gather(w);
    attention_pointers(w);
    /* What the kernel asks for is rows times a width. */
    int64_t width = (int64_t)w->q->kernels->attn_work_bytes(1, w->heads, w->kv_heads, w->s->head_dim);
    take(&w->scratch, cs_walk_mul(w->T, width));
    restore(&w->scratch, m);
}

/* Final norm and loss; `keep` with their gradients. */
static void head_forward(walk *w, arena *keep)
{
    mark m = save(&w->scratch);
    int64_t rows = cs_loss_chunk_rows(w->T, w->vocab, w->q->table->prec.acc);
    tensor(w, keep ? keep : &w->scratch, w->R, w->s->hidden);
    norm_forward(w, keep, w->R);
    int64_t logits = cs_walk_mul(cs_walk_mul(rows, w->vocab), w->acc), work = cs_walk_mul(rows, (int64_t)cs_loss_row_bytes());
    take(&w->scratch, logits);
    take(&w->scratch, work);
    w->logits = cs_walk_add(logits, work);
    if (keep) {
        tensor(w, keep, w->R, w->s->hidden);
        whole_rows(w);
    }
    whole_rows(w);
    row_counts(w);
    if (keep)
        row_counts(w);
    restore(&w->scratch, m);
}

/* What enters a chunk: the embedding's rows (and their norm), or what the stage before sent. */
static void entry(walk *w, bool first, arena *keep)
{
    arena *a = keep ? keep : &w->scratch;
    tensor(w, a, w->R, w->s->hidden);
    if (first)
        gather(w);
    if (!keep)
        tensor(w, a, w->R, w->s->hidden);
    if (!first || !w->s->family->embed_norm)
        return;
    tensor(w, a, w->R, w->s->hidden);
    norm_forward(w, keep, w->R);
}

static void chunk_forward(walk *w, int64_t stage, int64_t chunk)
{
    const cs_layout *l = &w->q->layout;
    bool first = stage == 0 && chunk == 0, last = stage == l->pp - 1 && chunk == l->chunks - 1;
    int64_t n_layers = cs_layout_n_layers(l, stage, chunk);
    entry(w, first, &w->stash);
    for (int64_t i = 0; i < n_layers; i++) {
        unsigned drop = cs_layout_drop(l, stage, chunk, i);
        bool inner = !cs_layout_ends_group(l, stage, chunk, i);
        mark m = save(&w->scratch);
        tensor(w, inner ? &w->scratch : &w->stash, w->R, w->s->hidden);
        if (inner) /* two buffers take turns within a group */
            tensor(w, &w->scratch, w->R, w->s->hidden);
        block_forward(w, drop == CS_DROP_LAYER ? NULL : &w->stash, drop == CS_DROP_LAYER ? 0 : drop);
        restore(&w->scratch, m);
    }
    if (last)
        head_forward(w, &w->stash);
}

/* `group` layers that run again as a whole; 0 = one layer that does not. */
static void group_backward(walk *w, int64_t group, unsigned drop)
{
    mark m = save(&w->scratch), before = save(&w->refill);
    for (int64_t i = 0; i < group; i++) {
        tensor(w, i + 1 < group ? &w->refill : &w->scratch, w->R, w->s->hidden);
        block_forward(w, &w->refill, 0);
    }
    block_backward(w, drop);
    restore(&w->refill, before);
    restore(&w->scratch, m);
}

/* Groups of layers from the last to the first; what is like the one behind it takes no more. */
static void chunk_backward(walk *w, int64_t stage, int64_t chunk)
{
    const cs_layout *l = &w->q->layout;
    int64_t n_layers = cs_layout_n_layers(l, stage, chunk), end = n_layers, size = -1;
    unsigned drop = 0;
    mark m = save(&w->scratch);
    tensor(w, &w->scratch, w->R, w->s->hidden);
    for (int64_t i = n_layers - 1; i >= 0; i--) {
        if (i > 0 && !cs_layout_ends_group(l, stage, chunk, i - 1))
            continue;
        unsigned own = cs_layout_drop(l, stage, chunk, i);
        int64_t group = own == CS_DROP_LAYER ? end - i : 0;
        if (own != drop || group != size)
            group_backward(w, group, group > 0 ? 0 : own);
        drop = own;
        size = group;
        end = i;
    }
    restore(&w->scratch, m);
}

/* cs_model_loss. */
static void evaluation(walk *w, bool first, bool last)
{
    mark m = save(&w->scratch);
    entry(w, first, NULL);
    block_forward(w, NULL, 0);
    if (last)
        head_forward(w, NULL);
    restore(&w->scratch, m);
}

/* cs_model_logits. */
static void inference(walk *w, bool first, bool last)
{
    entry(w, first, NULL);
    block_forward(w, NULL, 0);
    for (int i = 0; last && i < 2; i++)
        tensor(w, &w->scratch, w->q->layout.micro_batch, w->s->hidden);
    if (last)
        norm_forward(w, NULL, w->q->layout.micro_batch);
}

static void init(walk *w, const cs_memory_request *q)
{
    const cs_layout *l = &q->layout;
    const cs_spec *s = q->spec;
    *w = (walk){.q = q, .s = s, .heads = s->n_heads / l->tp, .kv_heads = s->n_kv_heads / l->tp, .ffn = s->ffn / l->tp,
                .up = cs_spec_ffn_rows(s) / l->tp, .vocab = (s->vocab_size + l->tp - 1) / l->tp};
    w->gathers = l->sequence_parallel && l->tp > 1 && !l->inference;
    w->T = l->inference ? q->rows : cs_walk_mul(l->largest_mbs, l->seq_length);
    w->R = w->gathers ? w->T / l->tp : w->T;
    w->store = (int64_t)cs_dtype_size(q->table->prec.store);
    w->acc = (int64_t)cs_dtype_size(q->table->prec.acc);
    w->stash.current = w->refill.current = w->scratch.current = -1;
}

bool cs_walk_stage(const cs_memory_request *q, int64_t stage, cs_activations *out)
{
    const cs_layout *l = &q->layout;
    bool first = stage == 0, last = stage == l->pp - 1;
    walk w;
    init(&w, q);
    *out = (cs_activations){0};
    if (l->inference) {
        inference(&w, first, last);
    } else {
        for (int64_t c = 0; c < l->chunks; c++) {
            w.stash = (arena){.current = -1};
            chunk_forward(&w, stage, c);
            chunk_backward(&w, stage, c);
            if (w.stash.failed)
                return false;
            out->slot = w.stash.high > out->slot ? w.stash.high : out->slot;
        }
        if (q->evaluates)
            evaluation(&w, first, last);
        out->refill = w.refill.high;
        out->stash = cs_walk_add(cs_walk_mul(out->slot, q->schedule->stage[stage].n_slots), out->refill);
    }
    out->scratch = w.scratch.high;
    out->logits = w.logits;
    out->slack = l->inference ? slack(&w.scratch) : 0;
    return !w.stash.failed && !w.refill.failed && !w.scratch.failed && out->stash < INT64_MAX / 4;
}

int64_t cs_walk_layer(const cs_memory_request *q, unsigned drop, int64_t *scratch)
{
    bool whole = drop == CS_DROP_LAYER;
    walk w;
    init(&w, q);
    tensor(&w, &w.stash, w.R, w.s->hidden);
    block_forward(&w, whole ? NULL : &w.stash, drop);
    group_backward(&w, whole ? 1 : 0, whole ? 0 : drop);
    *scratch = w.scratch.high;
    return w.stash.failed || w.refill.failed || w.scratch.failed ? INT64_MAX / 4 : w.stash.used;
}

bool cs_walk_tables(const cs_memory_request *q, int64_t stage, int64_t *used, int64_t *unused)
{
    const cs_spec *s = q->spec;
    const cs_layout *l = &q->layout;
    arena a = {.current = -1};
    walk w;
    init(&w, q);
    int64_t positions = l->inference ? s->max_pos : l->seq_length;
    int64_t rows = q->table->n_rows * (int64_t)sizeof *q->table->row;
    take(&a, rows);
    for (int64_t names = (q->table_bytes - rows) / 64; names > 0; names--)
        take(&a, 64);
    for (int i = 0; s->pos == CS_POS_ROPE && i < 2; i++)
        take(&a, cs_walk_mul(positions * (s->head_dim / 2), w.acc));
    if (s->pos != CS_POS_ROPE)
        take(&a, s->n_heads * 8);
    take(&a, s->n_layers * (int64_t)sizeof(cs_block));
    for (int64_t i = 0; i < (l->inference ? 1 : q->schedule->stage[stage].n_slots); i++) {
        take(&a, (cs_layout_largest_piece(l) + 1) * (int64_t)sizeof(cs_tensor));
        take(&a, (cs_layout_largest_piece(l) + 1) * (int64_t)sizeof(cs_block_saved));
    }
    if (stage == l->pp - 1 && s->norm_head) {
        tensor(&w, &a, w.vocab, s->hidden);
        per_row(&w, &a, w.vocab, 1);
        if (!l->inference)
            per_row(&w, &a, w.vocab, s->hidden);
    }
    *used = a.high;
    *unused = slack(&a);
    return !a.failed;
}
