/* A rank's side of a small training run in any layout: the model, the engine, the schedule, and batches from a fixed pattern. For the tests that
 * compare layouts. */
#ifndef CS_TESTS_LAYOUT_SIDE_H
#define CS_TESTS_LAYOUT_SIDE_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "optim/optimizer.h"
#include "parallel/layout.h"
#include "parallel/pipeline.h"

enum { SEQ = 8, GLOBAL_BATCH = 16 };

/* What a model can be made of; 8 layers so that 4 stages have 2 chunks each. */
static const struct {
    const char *name, *config;
} kinds[] = {
    {"llama, grouped heads", "{\"model_type\":\"llama\",\"vocab_size\":103,\"hidden_size\":32,\"intermediate_size\":44,\"num_hidden_layers\":8,"
                             "\"num_attention_heads\":8,\"num_key_value_heads\":4,\"max_position_embeddings\":64,\"rms_norm_eps\":1e-6}"},
    {"bloom", "{\"model_type\":\"bloom\",\"vocab_size\":101,\"hidden_size\":48,\"n_layer\":8,\"n_head\":12,\"seq_length\":64,"
              "\"layer_norm_epsilon\":1e-5,\"tie_word_embeddings\":true}"},
    {"baichuan2 13b", "{\"model_type\":\"baichuan\",\"vocab_size\":125,\"hidden_size\":40,\"intermediate_size\":36,\"num_hidden_layers\":8,"
                      "\"num_attention_heads\":4,\"model_max_length\":64,\"rms_norm_eps\":1e-6,\"z_loss_weight\":0}"},
    {"internlm", "{\"model_type\":\"internlm\",\"vocab_size\":99,\"hidden_size\":32,\"intermediate_size\":52,\"num_hidden_layers\":8,"
                 "\"num_attention_heads\":4,\"max_position_embeddings\":64,\"rms_norm_eps\":1e-6,\"bias\":true}"},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* The dimensions of the matrix. A layout is an index of every one. */
enum { KIND, TP, PP, VIRTUAL, DP, SP, ZERO, RECOMPUTE, SCHEDULE, RULE, N_DIMS };
enum { PLAIN, AIAO, FIFO, SIZES }; /* SCHEDULE: 1F1B or interleaved, Fold3D, micro-batches of different sizes */
static const int powers[] = {1, 2, 4};

typedef struct combo {
    int at[N_DIMS];
} combo;

static inline void describe(const combo *c, char *text, size_t n)
{
    static const char *const recompute[] = {"kept", "block", "full", "full by 2", "norms", "parts"}, *const schedule[] = {"plain", "aiao", "fifo", "sizes"};
    snprintf(text, n, "%s tp%d pp%d v%d dp%d sp%d zero%d %s %s%s", kinds[c->at[KIND]].name, powers[c->at[TP]], powers[c->at[PP]], c->at[VIRTUAL] + 1,
             powers[c->at[DP]], c->at[SP], c->at[ZERO], recompute[c->at[RECOMPUTE]], schedule[c->at[SCHEDULE]],
             c->at[RULE] == CS_UPDATE_MOMENTUM ? " sgd" : "");
}

static inline cs_layout layout_of(const combo *c)
{
    static const cs_recompute methods[] = {CS_RECOMPUTE_NONE, CS_RECOMPUTE_BLOCK, CS_RECOMPUTE_UNIFORM, CS_RECOMPUTE_UNIFORM, CS_RECOMPUTE_SELECTIVE,
                                          CS_RECOMPUTE_SELECTIVE};
    static const char *const parts[] = {"layernorm", "qkv", "core_attn", "mlp"};
    static char *sizes[3][1] = {{"1,2,3,4,3,2,1"}, {"1,3,2,2"}, {"1,2,1"}};
    int tp = powers[c->at[TP]], pp = powers[c->at[PP]], dp = powers[c->at[DP]], s = c->at[SCHEDULE];
    cs_layout l = {.world = tp * pp * dp, .tp = tp, .pp = pp, .virtual_layers = c->at[VIRTUAL] ? 8 / pp / 2 : 0, .zero = c->at[ZERO],
                   .sequence_parallel = c->at[SP], .micro_batch = 1, .global_batch = GLOBAL_BATCH, .seq_length = SEQ,
                   .recompute = methods[c->at[RECOMPUTE]], .recompute_layers = c->at[RECOMPUTE] == 3 ? 2 : 1,
                   .fold = s == AIAO ? CS_FOLD_AIAO : s == FIFO ? CS_FOLD_FIFO : CS_FOLD_NONE, .optimized = s == SIZES};
    l.recompute_modules = (cs_strlist){(const char **)(void *)parts, c->at[RECOMPUTE] == 5 ? 4 : 0};
    if (s == SIZES)
        l.manual_mbs = (cs_strlist){(const char **)(void *)sizes[c->at[DP]], 1};
    return l;
}

/* A rank's side of a run. */
typedef struct side {
    cs_layout layout;
    cs_optimizer_options optimizer;
    cs_spec spec;
    cs_mesh mesh;
    cs_layers chunk[8];
    cs_model *m;
    cs_dp dp;
    cs_arena arena;
    cs_schedule schedule;
} side;

static inline cs_status open_side(side *s, const combo *c, cs_comm *world, cs_error *err)
{
    json_t *config = json_loads(kinds[c->at[KIND]].config, 0, NULL);
    cs_status status = cs_spec_from_json(&s->spec, config, kinds[c->at[KIND]].name, err);
    json_decref(config);
    CS_TRY(status);
    s->spec.init_std = 0.3;
    s->layout = layout_of(c);
    cs_layout *l = &s->layout;
    CS_TRY(cs_layout_check(l, &s->spec, err));
    CS_TRY(cs_mesh_init(&s->mesh, world, (int)l->tp, (int)l->dp, (int)l->pp, err));
    const cs_place place = cs_layout_place(l, s->mesh.coord[CS_AXIS_PP], s->mesh.coord[CS_AXIS_TP], s->chunk);
    unsigned char drop[8];
    cs_layout_drops(l, drop);
    const cs_model_options opt = {.kernels = {CS_F64, "auto", "own"}, .training = true, .n_pos = SEQ, .mesh = &s->mesh, .place = &place,
                                  .sequence_parallel = l->sequence_parallel, .sparse = l->zero >= 3,
                                  .drop = drop, .recompute_group = cs_layout_group(l)};
    CS_TRY(cs_model_create(&s->spec, &opt, &s->m, err));
    s->optimizer = (cs_optimizer_options){.kind = c->at[RULE] == CS_UPDATE_MOMENTUM ? 2 : 0, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-5, .momentum = 0.8,
                                          .weight_decay = 0.1, .clip_grad = 0.5};
    const cs_dp_policy policy = {.shard_optim = l->zero >= 1, .shard_grad = l->zero >= 2, .shard_param = l->zero >= 3,
                                 .sequence_parallel = s->m->sequence_parallel, .rule = cs_optimizer_rule(&s->optimizer)};
    CS_TRY(cs_dp_init(&s->dp, &s->m->table, s->m->k, &s->mesh, policy, err));
    cs_model_bind_grad(s->m, s->m->table.grad);
    s->m->hooks = cs_dp_hooks(&s->dp);
    cs_param_table_fill(&s->m->table, 5);
    cs_dp_adopt_weights(&s->dp);
    cs_arena_init(&s->arena, "schedule");
    CS_TRY(cs_layout_schedule(l, &s->arena, &s->schedule, err));
    return cs_model_make_room(s->m, s->schedule.stage[s->mesh.coord[CS_AXIS_PP]].n_slots, (cs_model_room){0}, err);
}

static inline void close_side(side *s)
{
    cs_dp_release(&s->dp);
    cs_model_destroy(s->m);
    cs_arena_release(&s->arena);
    cs_mesh_release(&s->mesh);
}

/* Rows of a micro-batch, at most 4 samples. */
typedef struct rows {
    int32_t tokens[4 * SEQ], labels[4 * SEQ], pos[4 * SEQ];
    float weights[4 * SEQ];
    int64_t start[5];
} rows;

/* Sample q of a step: tokens from a fixed pattern, masks of different lengths. */
static inline cs_batch make_batch(rows *r, int64_t vocab, int step, int64_t first, int64_t n)
{
    cs_batch b = {.rows = n * SEQ, .n_seq = n, .seq_start = r->start, .tokens = r->tokens, .labels = r->labels, .weights = r->weights, .pos = r->pos};
    for (int64_t s = 0; s < n; s++) {
        int64_t q = first + s;
        r->start[s] = s * SEQ;
        r->start[s + 1] = (s + 1) * SEQ;
        for (int64_t i = 0; i < SEQ; i++) {
            int64_t at = s * SEQ + i;
            r->tokens[at] = (int32_t)((i * i * 3 + 7 * q + 11 * step + q * i) % vocab);
            r->labels[at] = (int32_t)((i * 5 + 1 + 13 * q + 17 * step + q * q * i) % vocab);
            r->pos[at] = (int32_t)i;
            r->weights[at] = i >= q % 6 ? 1.0f : 0.0f;
            b.trained += r->weights[at];
        }
    }
    return b;
}

/* Forward and backward of a step, reduced and with its norm; returns the loss. Collective over the world. */
static inline double run_step(side *s, int step, double *norm)
{
    const cs_layout *l = &s->layout;
    rows r[GLOBAL_BATCH];
    cs_batch batch[GLOBAL_BATCH];
    double share[GLOBAL_BATCH], losses[GLOBAL_BATCH], tokens = 0, loss = 0;
    bool finite;
    for (int64_t i = 0; i < l->n_micro; i++) {
        batch[i] = make_batch(&r[i], s->spec.vocab_size, step, cs_layout_first_sample(l, i, s->mesh.coord[CS_AXIS_DP]), cs_layout_mbs(l, i));
        tokens += batch[i].trained;
    }
    cs_comm_allreduce_sum(s->mesh.group[CS_AXIS_DP], &tokens, 1, CS_F64);
    for (int64_t i = 0; i < l->n_micro; i++)
        share[i] = 1 / tokens;
    cs_dp_zero_grads(&s->dp);
    cs_pipeline_run(s->m, &s->schedule, batch, share, &s->dp, losses);
    for (int64_t i = 0; i < l->n_micro; i++)
        loss += share[i] * losses[i];
    cs_comm_allreduce_sum(s->mesh.group[CS_AXIS_PP], &loss, 1, CS_F64);
    cs_comm_allreduce_sum(s->mesh.group[CS_AXIS_DP], &loss, 1, CS_F64);
    cs_dp_reduce_grads(&s->dp);
    *norm = cs_dp_grad_norm(&s->dp, &finite);
    return loss;
}

/* The update of a step, clipped. */
static inline void update(side *s, int step, double norm)
{
    const cs_update h = cs_optimizer_step_args(&s->optimizer, 1e-2, step + 1, cs_clip_scale(s->optimizer.clip_grad, norm));
    cs_dp_step(&s->dp, &h);
}

#endif
