/* cspeed plan: memory per rank, parameters and arithmetic of a training run or of inference, before anything is allocated. */
#include "cli/commands.h"

#include "base/log.h"
#include "ckpt/ckpt.h"
#include "infer/generation.h"
#include "infer/kvcache.h"
#include "parallel/memory.h"
#include "text/tokenizer.h"
#include "train/config.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

typedef struct plan_config {
    cs_train_config train;
    int64_t world_size, inference;
} plan_config;

static const cs_option rows[] = {
    {"world-size", CS_OPT_INT, offsetof(plan_config, world_size), NULL, "0..", "ranks in all (default: --nproc, or TP x PP)", NULL},
    {"inference", CS_OPT_INT, offsetof(plan_config, inference), "0", "0..",
     "generation instead of training: --micro-batch-size sequences of so many tokens, prompt included; 0 = training", NULL},
};

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    plan_config *c = config;
    size_t n = cs_train_option_groups(c ? &c->train : NULL, out);
    memmove(out + 1, out, n * sizeof *out);
    out[0] = (cs_option_group){"Plan", rows, sizeof rows / sizeof *rows, c};
    return n + 1;
}

typedef struct plan {
    cs_spec spec;
    cs_param_table table;
    cs_schedule schedule;
    cs_memory_request request;
    cs_memory *stage; /* [pp] */
    int64_t parameters;
    double flops, executed;
} plan;

/* The model's sizes without its weights. */
static cs_status find_spec(const cs_train_config *c, cs_spec *spec, cs_error *err)
{
    int64_t vocab = 0;
    if (c->load) {
        char *dir;
        CS_TRY(cs_ckpt_resolve(c->load, false, &dir, err));
        cs_status status = cs_ckpt_read_spec(dir, spec, err);
        cs_free(dir);
        return status;
    }
    if (!c->model_config && c->tokenizer && c->vocab_size == 0 && c->pad_vocab_to == 0) {
        cs_tokenizer *tok;
        CS_TRY(cs_tokenizer_create(c->tokenizer, &tok, err));
        vocab = cs_tokenizer_vocab_size(tok);
        cs_tokenizer_destroy(tok);
    }
    return cs_train_model_spec(c, vocab, spec, err);
}

/* What the flags say, all mistakes in one pass; a file that cannot be read ends it. */
static cs_status read_flags(const cs_cli *cli, plan_config *c, plan *p, cs_error *err)
{
    cs_error found = {0}, model = {0};
    cs_train_config *t = &c->train;
    if (cli->options->positional.n > 0)
        cs_fail_also(&found, CS_E_USAGE, "%s: unexpected argument; flags start with --", cli->options->positional.items[0]);
    if (t->model_config && (t->load || t->n_layers > 0))
        cs_fail_also(&found, CS_E_USAGE, "--model-config and %s exclude each other", t->load ? "--load" : "--num-layers");
    if (c->inference > 0)
        t->seq_length = c->inference;
    cs_status status = find_spec(t, &p->spec, &model);
    if (status == CS_OK)
        status = cs_train_check_form(t, &p->spec, &model);
    if (status != CS_OK && status != CS_E_USAGE) {
        *err = model;
        return status;
    }
    if (status != CS_OK)
        cs_fail_also(&found, CS_E_USAGE, "%s", model.msg);
    else if (t->seq_length == 0)
        t->seq_length = p->spec.max_pos;
    int64_t model_ranks = 0, world = c->world_size;
    if (world == 0 && (t->nproc > 1 || __builtin_mul_overflow(t->tp, t->pp, &model_ranks)))
        world = t->nproc;
    p->request.layout = cs_train_layout(t, world > 0 ? world : model_ranks);
    p->request.layout.inference = c->inference > 0;
    if (c->inference > 0)
        p->request.layout.virtual_layers = 0;
    if (t->seq_length > 0)
        cs_layout_check(&p->request.layout, status == CS_OK ? &p->spec : NULL, &found);
    if (found.status != CS_OK)
        *err = found;
    return found.status;
}

/* generate takes the checkpoint's own type where none is given. */
static cs_dtype choose_dtype(const cs_cli *cli, const plan_config *c, const plan *p)
{
    static const char *const flags[] = {"dtype", "bf16", "fp16"};
    bool given = false;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        given |= cs_options_given(cli->options, flags[i]) != 0;
    return c->inference > 0 && !given && (c->train.load || c->train.model_config) ? p->spec.dtype : cs_train_dtype(&c->train);
}

static void note_unused(const cs_cli *cli, const plan_config *c)
{
    static const char *const flags[] = {"global-batch-size", "zero-stage", "use-distributed-optimizer", "recompute-granularity",
                                        "checkpoint-activations", "sequence-parallel", "num-layers-per-virtual-pipeline-stage", "fold-mode",
                                        "optimized-pipeline", "manual-mbs"};
    for (size_t i = 0; c->inference > 0 && i < sizeof flags / sizeof *flags; i++)
        if (cs_options_given(cli->options, flags[i]) == 2)
            cs_note("--%s has no effect with --inference", flags[i]);
}

static cs_status compute(const cs_cli *cli, plan_config *c, plan *p, cs_error *err)
{
    cs_memory_request *q = &p->request;
    CS_TRY(read_flags(cli, c, p, err));
    note_unused(cli, c);
    if (q->layout.inference) {
        q->layout.recompute = CS_RECOMPUTE_NONE;
        q->rows = q->layout.micro_batch > CS_GEN_MAX_ROWS ? q->layout.micro_batch : CS_GEN_MAX_ROWS;
        q->cache_positions = cs_kvcache_capacity(c->inference, p->spec.max_pos);
        q->cache_growth = cs_kvcache_capacity(1, q->cache_positions);
        while (2 * q->cache_growth < q->cache_positions)
            q->cache_growth *= 2;
        q->cache_growth = q->cache_growth < q->cache_positions ? q->cache_growth : 0;
    }
    const cs_kernels_request ask = {choose_dtype(cli, c, p), c->train.isa, c->train.gemm};
    cs_arena_mark before = cs_arena_save(cli->perm);
    CS_TRY(cs_kernels_select(&ask, &q->kernels, NULL, err));
    CS_TRY(cs_param_table_init(&p->table, &p->spec, cs_precision_of(ask.store), c->train.decay_norms, cli->perm, err));
    q->table_bytes = (int64_t)(cs_arena_save(cli->perm).used - before.used);
    if (!q->layout.inference) {
        cs_layout_note(&q->layout);
        CS_TRY(cs_layout_schedule(&q->layout, cli->perm, &p->schedule, err));
        q->schedule = &p->schedule;
    }
    q->spec = &p->spec;
    q->table = &p->table;
    q->evaluates = c->train.eval_iters > 0;
    int64_t threads = cli->common->threads > 0 ? cli->common->threads : cs_cli_cores() / c->train.nproc;
    q->threads = threads > 0 ? (int)threads : 1;
    for (int64_t i = 0; i < p->table.n_rows; i++)
        p->parameters += p->table.row[i].n;
    p->stage = cs_arena_calloc(cli->perm, (size_t)q->layout.pp, sizeof *p->stage);
    if (!p->stage)
        return cs_fail_nomem(err, (size_t)q->layout.pp * sizeof *p->stage, "the stages");
    for (int64_t i = 0; i < q->layout.pp; i++)
        CS_TRY(cs_memory_of_stage(q, i, &p->stage[i], err));
    p->flops = cs_flops_per_token(q, &p->executed);
    return CS_OK;
}

/* Share of a step in which a stage waits: (p-1)/(m+p-1), divided by the chunks of an interleaved pipeline. */
static double bubble(const cs_layout *l)
{
    return (double)(l->pp - 1) / (double)(l->n_micro + l->pp - 1) / (double)l->chunks;
}

static int64_t largest_stage(const plan *p)
{
    int64_t best = 0;
    for (int64_t i = 1; i < p->request.layout.pp; i++)
        best = p->stage[i].total > p->stage[best].total ? i : best;
    return best;
}

static bool used(const plan *p, int kind)
{
    for (int64_t i = 0; i < p->request.layout.pp; i++)
        if (p->stage[i].bytes[kind] > 0)
            return true;
    return false;
}

/* --- text ------------------------------------------------------------------------------------------------------------------------- */

enum { LABEL = 24, COLUMN = 22 };

static double gib(int64_t bytes)
{
    return (double)bytes / (double)(1 << 30);
}

static void print_head(const plan *p)
{
    const cs_spec *s = &p->spec;
    const cs_layout *l = &p->request.layout;
    printf("%s: %lld layers, hidden %lld, heads %lld/%lld, ffn %lld, vocabulary %lld: %lld parameters\n", s->family->name, (long long)s->n_layers,
           (long long)s->hidden, (long long)s->n_heads, (long long)s->n_kv_heads, (long long)s->ffn, (long long)s->vocab_size,
           (long long)p->parameters);
    printf("%s, %lld ranks = TP %lld x PP %lld x DP %lld", cs_dtype_name(p->table.prec.store), (long long)l->world, (long long)l->tp,
           (long long)l->pp, (long long)l->dp);
    if (l->inference) {
        printf("; generation of %lld x %lld tokens\n", (long long)l->micro_batch, (long long)l->seq_length);
        return;
    }
    if (l->zero > 0)
        printf(", ZeRO %lld", (long long)l->zero);
    if (l->chunks > 1)
        printf(", %lld chunks a stage", (long long)l->chunks);
    if (l->sequence_parallel && l->tp > 1)
        printf(", sequence parallel");
    if (l->recompute != CS_RECOMPUTE_NONE)
        printf(", recomputing %s%lld layers", l->recompute == CS_RECOMPUTE_BLOCK ? "the first " : "groups of ", (long long)l->recompute_layers);
    printf("; %lld micro-batches of %lld x %lld tokens\n", (long long)l->n_micro, (long long)l->micro_batch, (long long)l->seq_length);
}

/* First, middle (the first of them holds most) and last stage. */
static int shown_stages(int64_t pp, int64_t stage[3])
{
    int n = 0;
    stage[n++] = 0;
    if (pp > 2)
        stage[n++] = 1;
    if (pp > 1)
        stage[n++] = pp - 1;
    return n;
}

static void print_row(const char *label, const int64_t *value, int n)
{
    printf("%-*s", LABEL, label);
    for (int i = 0; i < n; i++)
        printf(" %*lld", COLUMN, (long long)value[i]);
    putchar('\n');
}

static void print_stages(const plan *p)
{
    static const char *const place[] = {"first", "middle", "last"};
    int64_t at[3], value[3];
    int n = shown_stages(p->request.layout.pp, at);
    char text[48];
    printf("\n%-*s", LABEL, "bytes of a rank");
    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, "stage %lld (%s)", (long long)at[i], n == 1 ? "all" : place[i == n - 1 ? 2 : i]);
        printf(" %*s", COLUMN, text);
    }
    putchar('\n');
#define ROW(label, field)                \
    for (int i = 0; i < n; i++)          \
        value[i] = p->stage[at[i]].field; \
    print_row(label, value, n)
    ROW("layers", n_layers);
    ROW("parameters", parameters);
    if (!p->request.layout.inference) {
        ROW("batches in flight", in_flight);
    }
    for (int k = 0; k < CS_MEMORY_COUNT; k++)
        if (used(p, k)) {
            ROW(cs_memory_name((cs_memory_kind)k), bytes[k]);
        }
    ROW("total", total);
#undef ROW
    printf("%-*s", LABEL, "total, GiB");
    for (int i = 0; i < n; i++)
        printf(" %*.3f", COLUMN, gib(p->stage[at[i]].total));
    putchar('\n');
}

static void print_text(const plan *p)
{
    const cs_layout *l = &p->request.layout;
    const cs_memory *most = &p->stage[largest_stage(p)];
    print_head(p);
    print_stages(p);
    printf("\nlargest rank: %lld bytes = %.3f GiB, on stage %lld; %lld bytes more are asked for and never touched\n", (long long)most->total,
           gib(most->total), (long long)largest_stage(p), (long long)(most->reserved - most->total));
    printf("packed weights and work as by kernels %s on %d threads\n", p->request.kernels->name, p->request.threads);
    if (l->inference) {
        printf("the weights' file is mapped while it is read and counts as page cache\n");
        return;
    }
    printf("FLOPs per token: 6 N + 12 L h s = %.6g, N = %lld in matrix products\n", p->flops, (long long)cs_spec_n_matmul_params(&p->spec));
    if (p->executed > p->flops)
        printf("executed with recomputation: %.6g\n", p->executed);
    printf("pipeline bubble: %.4f of a step\n", bubble(l));
}

/* --- JSON ------------------------------------------------------------------------------------------------------------------------- */

static json_t *stage_json(const cs_memory *m, int64_t stage, bool inference)
{
    json_t *o = json_pack("{s:I, s:I, s:I, s:I}", "stage", (json_int_t)stage, "first_layer", (json_int_t)m->first_layer, "num_layers",
                          (json_int_t)m->n_layers, "parameters", (json_int_t)m->parameters);
    if (!inference)
        json_object_set_new(o, "in_flight", json_integer(m->in_flight));
    for (int k = 0; k < CS_MEMORY_COUNT; k++)
        json_object_set_new(o, cs_memory_key((cs_memory_kind)k), json_integer(m->bytes[k]));
    json_object_set_new(o, "total_bytes", json_integer(m->total));
    json_object_set_new(o, "reserved_bytes", json_integer(m->reserved));
    return o;
}

static void print_json(const plan *p)
{
    const cs_spec *s = &p->spec;
    const cs_layout *l = &p->request.layout;
    json_t *stages = json_array(), *o = json_object();
    json_object_set_new(o, "model", json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "family", s->family->name, "num_layers", (json_int_t)s->n_layers,
                                              "hidden_size", (json_int_t)s->hidden, "num_attention_heads", (json_int_t)s->n_heads,
                                              "num_key_value_heads", (json_int_t)s->n_kv_heads, "ffn_hidden_size", (json_int_t)s->ffn, "vocab_size",
                                              (json_int_t)s->vocab_size));
    json_object_set_new(o, "layout", json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I}", "world_size", (json_int_t)l->world,
                                               "tensor_model_parallel_size", (json_int_t)l->tp, "pipeline_model_parallel_size", (json_int_t)l->pp,
                                               "data_parallel_size", (json_int_t)l->dp, "chunks", (json_int_t)l->chunks, "zero_stage",
                                               (json_int_t)l->zero, "sequence_parallel", l->sequence_parallel && l->tp > 1, "micro_batch_size",
                                               (json_int_t)l->micro_batch, "seq_length", (json_int_t)l->seq_length));
    json_object_set_new(o, "dtype", json_string(cs_dtype_name(p->table.prec.store)));
    json_object_set_new(o, "kernels", json_string(p->request.kernels->name));
    json_object_set_new(o, "parameters", json_integer(p->parameters));
    json_object_set_new(o, "matmul_parameters", json_integer(cs_spec_n_matmul_params(s)));
    if (!l->inference) {
        json_object_set_new(o, "global_batch_size", json_integer(l->global_batch));
        json_object_set_new(o, "micro_batches", json_integer(l->n_micro));
        json_object_set_new(o, "flops_per_token", json_real(p->flops));
        json_object_set_new(o, "executed_flops_per_token", json_real(p->executed));
        json_object_set_new(o, "bubble", json_real(bubble(l)));
    }
    for (int64_t i = 0; i < l->pp; i++)
        json_array_append_new(stages, stage_json(&p->stage[i], i, l->inference));
    json_object_set_new(o, "stages", stages);
    json_object_set_new(o, "largest_rank_bytes", json_integer(p->stage[largest_stage(p)].total));
    json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(o);
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    plan p = {0};
    CS_TRY(compute(cli, config, &p, err));
    if (cli->common->json)
        print_json(&p);
    else
        print_text(&p);
    return CS_OK;
}

const cs_command cs_command_plan = {
    .name = "plan",
    .usage = "cspeed plan (--model-config FILE | --load PATH | --num-layers N ...) [--world-size N] [flags of train] [--inference TOKENS]",
    .summary = "parameters, memory per rank and FLOPs of a layout, before anything runs",
    .config_bytes = sizeof(plan_config),
    .groups = groups,
    .run = run,
};
