/* Forward and backward passes: of one chunk of layers on one micro-batch, and of a whole model. */
#include "model/model.h"

#include "base/clock.h"

#include <string.h>

static cs_ctx make_ctx(cs_model *m, const cs_batch *batch, const cs_kv *kv, cs_stash *stash)
{
    return (cs_ctx){.k = m->k, .prec = m->prec, .mesh = m->mesh, .sequence_parallel = m->sequence_parallel, .batch = batch, .kv = kv,
                    .scratch = &m->scratch, .timeline = m->timeline, .stash = stash ? &stash->arena : NULL};
}

int64_t cs_model_rows(const cs_model *m, const cs_batch *batch)
{
    const cs_ctx ctx = {.mesh = m->mesh, .sequence_parallel = m->sequence_parallel, .batch = batch};
    return cs_ctx_rows(&ctx);
}

bool cs_model_is_first(const cs_model *m, int64_t chunk)
{
    return chunk == 0 && m->table.place.stage == 0;
}

bool cs_model_is_last(const cs_model *m, int64_t chunk)
{
    const cs_place *p = &m->table.place;
    return chunk == p->n_chunks - 1 && p->stage == p->n_stages - 1;
}

static void enter(const cs_model *m, int64_t layer, bool backward)
{
    if (m->hooks.context)
        m->hooks.enter(m->hooks.context, layer, backward);
}

static void leave(const cs_model *m, int64_t layer, bool backward)
{
    if (m->hooks.context)
        m->hooks.leave(m->hooks.context, layer, backward);
}

static void update_head(cs_model *m)
{
    if (m->norm_head.raw)
        cs_normhead_forward(&m->norm_head, m->k);
}

cs_tensor cs_model_input(cs_model *m, const cs_batch *batch, cs_stash *stash)
{
    const cs_ctx ctx = make_ctx(m, batch, NULL, stash);
    CS_ASSERT(!stash || stash->arena.used == 0);
    return cs_ctx_tensor(&ctx, cs_ctx_keep(&ctx), cs_model_rows(m, batch), m->spec.hidden);
}

static cs_tensor embed(cs_model *m, const cs_ctx *ctx, cs_stash *stash)
{
    cs_tensor x = cs_model_input(m, ctx->batch, stash);
    enter(m, -1, false);
    cs_embed_forward(&m->embed, ctx, x);
    if (m->embed_norm.w) {
        cs_tensor normed = cs_ctx_tensor(ctx, cs_ctx_keep(ctx), x.rows, x.cols);
        cs_norm_forward(&m->embed_norm, ctx, x, normed, stash ? &stash->embed_norm : NULL);
        x = normed;
    }
    leave(m, -1, false);
    return x;
}

/* Is layer l computed again as a whole in backward, and with which layers of its chunk together? */
static bool again(const cs_model *m, int64_t l)
{
    return m->block[l].drop == CS_DROP_LAYER;
}

static bool ends_group(const cs_model *m, cs_layers chunk, int64_t l)
{
    return l + 1 == chunk.hi || !again(m, l) || !again(m, l + 1) || (l + 1 - chunk.lo) % m->recompute_group == 0;
}

/* All layers of a chunk. What is kept is every layer's input, but within a group that is computed again the first one's only; other outputs take
 * turns in two buffers. */
static cs_tensor run_layers(cs_model *m, const cs_ctx *ctx, cs_layers layers, cs_tensor x, cs_stash *stash)
{
    int64_t n = layers.hi - layers.lo;
    cs_tensor spare[2] = {{0}, stash ? (cs_tensor){0} : x};
    int turn = 0;
    for (int64_t i = 0; i < n; i++) {
        bool keep = stash && ends_group(m, layers, layers.lo + i);
        cs_tensor y;
        if (keep) {
            y = cs_ctx_tensor(ctx, ctx->stash, x.rows, x.cols);
        } else {
            if (!spare[turn].data)
                spare[turn] = cs_ctx_tensor(ctx, ctx->scratch, x.rows, x.cols);
            y = spare[turn];
            turn = !turn;
        }
        if (stash)
            stash->input[i] = x;
        enter(m, layers.lo + i, false);
        cs_block *b = &m->block[layers.lo + i];
        double begin = b->times ? cs_clock_now() : 0;
        cs_block_forward(b, ctx, x, y, stash && !again(m, layers.lo + i) ? &stash->block[i] : NULL);
        if (b->times && stash) {
            b->times->layer += cs_clock_now() - begin;
            b->times->n_layers++;
        }
        leave(m, layers.lo + i, false);
        x = y;
    }
    return x;
}

/* Final norm and loss. Head gradients belong to this forward pass (nn/loss.h). */
static double run_loss(cs_model *m, const cs_ctx *ctx, cs_tensor x, double scale, cs_stash *stash)
{
    cs_arena_mark mark = cs_arena_save(ctx->scratch);
    cs_tensor n = cs_ctx_tensor(ctx, cs_ctx_keep(ctx), x.rows, x.cols);
    enter(m, m->spec.n_layers, false);
    cs_norm_forward(&m->final_norm, ctx, x, n, stash ? &stash->final_norm : NULL);
    update_head(m);
    double sum = cs_loss_forward(&m->loss, ctx, n, stash ? scale : 0, stash ? &stash->loss : NULL);
    if (stash && m->norm_head.raw)
        cs_normhead_backward(&m->norm_head, m->k);
    leave(m, m->spec.n_layers, false);
    cs_arena_restore(ctx->scratch, mark);
    return sum;
}

cs_tensor cs_model_forward(cs_model *m, int64_t chunk, const cs_batch *batch, cs_tensor x, double scale, cs_stash *stash, double *loss)
{
    const cs_ctx ctx = make_ctx(m, batch, NULL, stash);
    double start = cs_clock_now();
    cs_arena_mark mark = cs_arena_save(&m->scratch);
    CS_ASSERT(!stash || m->table.grad);
    if (cs_model_is_first(m, chunk))
        x = embed(m, &ctx, stash);
    x = run_layers(m, &ctx, m->table.place.chunk[chunk], x, stash);
    if (cs_model_is_last(m, chunk)) {
        *loss = run_loss(m, &ctx, x, scale, stash);
        x = (cs_tensor){0};
    }
    if (stash)
        cs_arena_restore(&m->scratch, mark);
    m->forward_s += cs_clock_now() - start;
    return x;
}

void cs_model_drop(cs_stash *stash)
{
    cs_arena_restore(&stash->arena, (cs_arena_mark){0});
}

/* Layers [lo, hi) of the model, `first` being the number of `lo` within its chunk, once more from the kept input of the first one, then backward. */
static void backward_group(cs_model *m, const cs_ctx *ctx, int64_t lo, int64_t hi, int64_t first, cs_tensor d, cs_stash *stash)
{
    cs_arena_mark mark = cs_arena_save(&m->refill), scratch = cs_arena_save(ctx->scratch);
    cs_ctx fill = *ctx; /* one arena for all stashes */
    fill.stash = &m->refill;
    cs_tensor x = stash->input[first];
    for (int64_t l = lo; l < hi; l++)
        enter(m, l, true);
    for (int64_t l = lo; l < hi && again(m, lo); l++) {
        bool end = l + 1 == hi; /* of the last layer what it keeps is wanted, not its output */
        cs_tensor y = cs_ctx_tensor(ctx, end ? ctx->scratch : fill.stash, x.rows, x.cols);
        cs_block_forward(&m->block[l], &fill, x, y, &stash->block[first + l - lo]);
        x = y;
    }
    for (int64_t l = hi - 1; l >= lo; l--) {
        cs_block_backward(&m->block[l], ctx, d, &stash->block[first + l - lo], d);
        leave(m, l, true);
    }
    cs_arena_restore(&m->refill, mark);
    cs_arena_restore(ctx->scratch, scratch);
}

void cs_model_backward(cs_model *m, int64_t chunk, const cs_batch *batch, cs_tensor d, cs_stash *stash)
{
    const cs_ctx ctx = make_ctx(m, batch, NULL, stash);
    const cs_layers layers = m->table.place.chunk[chunk];
    int64_t n = layers.hi - layers.lo;
    double start = cs_clock_now();
    if (cs_model_is_last(m, chunk)) {
        cs_loss_backward(&m->loss, &ctx, &stash->loss, d);
        enter(m, m->spec.n_layers, true);
        cs_norm_backward(&m->final_norm, &ctx, d, &stash->final_norm, d);
        leave(m, m->spec.n_layers, true);
    }
    for (int64_t end = n, i = n - 1; i >= 0; i--) {
        if (i > 0 && !ends_group(m, layers, layers.lo + i - 1))
            continue;
        backward_group(m, &ctx, layers.lo + i, layers.lo + end, i, d, stash);
        end = i;
    }
    if (cs_model_is_first(m, chunk)) {
        enter(m, -1, true);
        if (m->embed_norm.w)
            cs_norm_backward(&m->embed_norm, &ctx, d, &stash->embed_norm, d);
        cs_embed_backward(&m->embed, &ctx, d);
        leave(m, -1, true);
    }
    cs_model_drop(stash);
    m->backward_s += cs_clock_now() - start;
}

static void check_whole(const cs_model *m)
{
    CS_ASSERT(m->table.place.n_stages == 1 && m->table.place.n_chunks == 1);
}

double cs_model_loss(cs_model *m, const cs_batch *batch)
{
    cs_arena_mark mark = cs_arena_save(&m->scratch);
    double sum = 0;
    check_whole(m);
    cs_model_forward(m, 0, batch, (cs_tensor){0}, 0, NULL, &sum);
    cs_arena_restore(&m->scratch, mark);
    return sum;
}

double cs_model_loss_backward(cs_model *m, const cs_batch *batch, double scale)
{
    double sum = 0;
    check_whole(m);
    cs_model_forward(m, 0, batch, (cs_tensor){0}, scale, &m->stash[0], &sum);
    cs_arena_mark mark = cs_arena_save(&m->scratch);
    const cs_ctx ctx = make_ctx(m, batch, NULL, NULL);
    cs_tensor d = cs_ctx_tensor(&ctx, &m->scratch, cs_model_rows(m, batch), m->spec.hidden);
    cs_model_backward(m, 0, batch, d, &m->stash[0]);
    cs_arena_restore(&m->scratch, mark);
    return sum;
}

void cs_model_logits(cs_model *m, const cs_batch *batch, const cs_kv *kv, const int64_t *rows, int64_t n_rows, void *logits)
{
    const cs_ctx ctx = make_ctx(m, batch, kv, NULL);
    cs_arena_mark mark = cs_arena_save(&m->scratch);
    check_whole(m);
    cs_tensor x = run_layers(m, &ctx, m->table.place.chunk[0], embed(m, &ctx, NULL), NULL);
    if (!rows)
        n_rows = batch->rows;
    cs_tensor picked = cs_ctx_tensor(&ctx, &m->scratch, n_rows, m->spec.hidden), n = cs_ctx_tensor(&ctx, &m->scratch, n_rows, m->spec.hidden);
    size_t row_bytes = (size_t)m->spec.hidden * cs_dtype_size(m->prec.store);
    for (int64_t i = 0; i < n_rows; i++)
        memcpy(cs_tensor_rows(picked, i, 1).data, cs_tensor_rows(x, rows ? rows[i] : i, 1).data, row_bytes);
    enter(m, m->spec.n_layers, false);
    cs_norm_forward(&m->final_norm, &ctx, picked, n, NULL);
    update_head(m);
    cs_loss_logits(&m->loss, &ctx, n, logits);
    leave(m, m->spec.n_layers, false);
    cs_arena_restore(&m->scratch, mark);
}
