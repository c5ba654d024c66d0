/* cspeed plan: memory per rank, parameters and arithmetic of a training run or of inference, before anything is allocated; a training step on a
 * virtual clock; the fastest layouts of a number of ranks. */
#include "cli/commands.h"
#include "cli/plan.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "ckpt/ckpt.h"
#include "infer/generation.h"
#include "infer/kvcache.h"
#include "text/tokenizer.h"
#include "train/deepspeed.h"

#include <math.h>
#include <string.h>

typedef struct plan_config {
    cs_train_config train;
    int64_t world_size, inference, diagram;
    const char *machine, *svg, *trace;
    bool search;
    double memory;
} plan_config;

static const cs_option rows[] = {
    {"world-size", CS_OPT_INT, offsetof(plan_config, world_size), NULL, "0..", "ranks in all (default: --nproc, or TP x PP)", NULL},
    {"inference", CS_OPT_INT, offsetof(plan_config, inference), "0", "0..",
     "generation instead of training: --micro-batch-size sequences of so many tokens, prompt included; 0 = training", NULL},
    {"machine", CS_OPT_STR, offsetof(plan_config, machine), NULL, NULL,
     "JSON file that describes what the ranks run on (docs/parallelism.md); default: this machine, measured, --nproc ranks a host", NULL},
    {"diagram", CS_OPT_INT, offsetof(plan_config, diagram), "100", "0..1000", "columns of the drawn pipeline, 0 = none", NULL},
    {"svg", CS_OPT_STR, offsetof(plan_config, svg), NULL, NULL, "file for the drawn pipeline as SVG", NULL},
    {"trace", CS_OPT_STR, offsetof(plan_config, trace), NULL, NULL, "file for the planned step as a Chrome trace, as of train --profile", NULL},
    {"search", CS_OPT_FLAG, offsetof(plan_config, search), NULL, NULL,
     "find the fastest layouts of --world-size ranks for --global-batch-size that fit into --memory", NULL},
    {"memory", CS_OPT_REAL, offsetof(plan_config, memory), "0", "0..1e9", "GiB that a rank may take, for --search", NULL},
};

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    plan_config *c = config;
    size_t n = cs_train_option_groups(c ? &c->train : NULL, out);
    memmove(out + 1, out, n * sizeof *out);
    out[0] = (cs_option_group){"Plan", rows, sizeof rows / sizeof *rows, c};
    return n + 1;
}

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
static cs_status read_flags(const cs_cli *cli, plan_config *c, cs_plan *p, cs_error *err)
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
    if (c->search && c->inference > 0)
        cs_fail_also(&found, CS_E_USAGE, "--search and --inference exclude each other");
    if (c->search && (c->memory <= 0 || c->world_size <= 0 || t->global_batch <= 0))
        cs_fail_also(&found, CS_E_USAGE, "--search needs --world-size, --global-batch-size and --memory GiB");
    int64_t model_ranks = 0, world = c->world_size;
    cs_error settled = {0};
    if (cs_train_settle(cli->options, t, true, cli->perm, &settled) == CS_E_USAGE)
        cs_fail_also(&found, CS_E_USAGE, "%s", settled.msg);
    else if (settled.status != CS_OK) {
        *err = settled;
        return settled.status;
    }
    if (world == 0 && (t->nproc > 1 || __builtin_mul_overflow(t->tp, t->pp, &model_ranks)))
        world = t->nproc;
    cs_train_settle_batch(t, world > 0 ? world : model_ranks, &found);
    p->request.layout = cs_train_layout(t, world > 0 ? world : model_ranks);
    p->request.layout.inference = c->inference > 0;
    if (c->inference > 0)
        p->request.layout.virtual_layers = 0;
    if (c->search)
        p->request.layout = (cs_layout){.world = world, .tp = 1, .pp = 1, .micro_batch = 1, .global_batch = t->global_batch,
                                        .seq_length = t->seq_length};
    if (t->seq_length > 0 && !c->search)
        cs_layout_check(&p->request.layout, status == CS_OK ? &p->spec : NULL, &found);
    if (found.status != CS_OK)
        *err = found;
    return found.status;
}

/* generate takes the checkpoint's own type where none is given. */
static cs_dtype choose_dtype(const cs_cli *cli, const plan_config *c, const cs_plan *p)
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
                                        "recompute-modules", "checkpoint-activations", "sequence-parallel",
                                        "num-layers-per-virtual-pipeline-stage", "fold-mode", "optimized-pipeline", "manual-mbs", "machine", "svg",
                                        "trace"};
    static const char *const searched[] = {"tensor-model-parallel-size", "pipeline-model-parallel-size", "num-layers-per-virtual-pipeline-stage",
                                           "micro-batch-size", "fold-mode", "optimized-pipeline", "manual-mbs", "use-manual-layer-allocation",
                                           "manual-layers", "zero-stage", "use-distributed-optimizer", "sequence-parallel",
                                           "recompute-granularity", "recompute-modules", "checkpoint-activations"};
    for (size_t i = 0; c->search && i < sizeof searched / sizeof *searched; i++)
        if (cs_options_given(cli->options, searched[i]) == 2)
            cs_note("--%s has no effect with --search", searched[i]);
    if (c->train.auto_mb > 0 && !c->search && c->inference == 0)
        cs_note("--auto-recompute-device-size: what is chosen follows from times that the run measures; all layers are counted as recomputed");
    for (size_t i = 0; c->inference > 0 && i < sizeof flags / sizeof *flags; i++)
        if (cs_options_given(cli->options, flags[i]) == 2)
            cs_note("--%s has no effect with --inference", flags[i]);
}

static void prepare_inference(cs_plan *p, const plan_config *c)
{
    cs_memory_request *q = &p->request;
    q->layout.recompute = CS_RECOMPUTE_NONE;
    q->rows = q->layout.micro_batch > CS_GEN_MAX_ROWS ? q->layout.micro_batch : CS_GEN_MAX_ROWS;
    q->cache_positions = cs_kvcache_capacity(c->inference, p->spec.max_pos);
    q->cache_growth = cs_kvcache_capacity(1, q->cache_positions);
    while (2 * q->cache_growth < q->cache_positions)
        q->cache_growth *= 2;
    q->cache_growth = q->cache_growth < q->cache_positions ? q->cache_growth : 0;
}

/* A machine that is measured decides on the products too. */
static cs_status find_machine(const plan_config *c, cs_plan *p, cs_kernels_request *ask, char gemm[16], cs_error *err)
{
    if (p->request.layout.inference)
        return CS_OK;
    if (c->machine)
        return cs_machine_load(c->machine, &p->machine, err);
    p->measured = true;
    CS_TRY(cs_plan_measure(&p->request, ask, c->train.nproc, &p->machine, gemm, err));
    ask->gemm = gemm;
    return CS_OK;
}

/* Machine, kernels and parameter table: what all layouts share. */
static cs_status prepare(const cs_cli *cli, plan_config *c, cs_plan *p, cs_error *err)
{
    cs_memory_request *q = &p->request;
    if (q->layout.inference)
        prepare_inference(p, c);
    cs_kernels_request ask = {choose_dtype(cli, c, p), c->train.isa, c->train.gemm};
    char gemm[16];
    int64_t threads = cli->common->threads > 0 ? cli->common->threads : cs_cli_cores() / c->train.nproc;
    q->threads = threads > 0 ? (int)threads : 1;
    q->spec = &p->spec;
    CS_TRY(find_machine(c, p, &ask, gemm, err));
    cs_arena_mark before = cs_arena_save(cli->perm);
    CS_TRY(cs_kernels_select(&ask, &q->kernels, NULL, err));
    CS_TRY(cs_param_table_init(&p->table, &p->spec, cs_precision_of(ask.store), c->train.decay_norms, NULL, cli->perm, err));
    q->table_bytes = (int64_t)(cs_arena_save(cli->perm).used - before.used);
    q->table = &p->table;
    q->evaluates = c->train.eval_iters > 0;
    q->rule = cs_optimizer_rule(&c->train.optimizer);
    q->offloads = c->train.offload_dir != NULL;
    for (int64_t i = 0; i < p->table.n_rows; i++)
        p->parameters += p->table.row[i].n;
    return CS_OK;
}

static cs_status search(const cs_cli *cli, const plan_config *c, cs_plan *p, cs_error *err)
{
    double bytes = c->memory * (double)(1 << 30);
    p->best = cs_arena_calloc(cli->perm, CS_PLAN_BEST, sizeof *p->best);
    if (!p->best)
        return cs_fail_nomem(err, CS_PLAN_BEST * sizeof *p->best, "the best layouts");
    int64_t memory = bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
    CS_TRY(cs_search(&p->request, &p->machine, memory, cli->perm, p->best, CS_PLAN_BEST, &p->n_best, &p->count, err));
    p->request.layout = p->best[0].layout;
    return CS_OK;
}

/* Steps of the run; a batch that is ramped up counts as whole. */
static double n_steps(const cs_train_config *t, const cs_layout *l)
{
    return t->train_iters > 0 ? (double)t->train_iters : ceil((double)t->train_samples / (double)l->global_batch);
}

static cs_status compute(const cs_cli *cli, plan_config *c, cs_plan *p, cs_error *err)
{
    cs_memory_request *q = &p->request;
    CS_TRY(read_flags(cli, c, p, err));
    note_unused(cli, c);
    cs_train_note_form(&c->train, &p->spec);
    if (c->search)
        q->layout.largest_mbs = 1;
    CS_TRY(prepare(cli, c, p, err));
    if (c->search)
        CS_TRY(search(cli, c, p, err));
    if (!q->layout.inference) {
        cs_layout_note(&q->layout);
        CS_TRY(cs_layout_schedule(&q->layout, cli->perm, &p->schedule, err));
        q->schedule = &p->schedule;
    }
    p->stage = cs_arena_calloc(cli->perm, (size_t)q->layout.pp, sizeof *p->stage);
    if (!p->stage)
        return cs_fail_nomem(err, (size_t)q->layout.pp * sizeof *p->stage, "the stages");
    for (int64_t i = 0; i < q->layout.pp; i++)
        CS_TRY(cs_memory_of_stage(q, i, &p->stage[i], err));
    if (q->layout.inference)
        return CS_OK;
    p->flops = cs_flops_per_token(q, &p->executed);
    p->steps = n_steps(&c->train, &q->layout);
    p->columns = c->diagram;
    return cs_simulate(q, &p->machine, cli->perm, &p->sim, err);
}

static cs_status write_svg(const cs_plan *p, cs_str *out, cs_error *err)
{
    cs_plan_svg(p, out);
    return cs_str_check(out, err);
}

/* Makes a text and writes it; path NULL: nobody asked for it. */
static cs_status write_text(const cs_plan *p, cs_status (*make)(const cs_plan *, cs_str *, cs_error *), const char *path, cs_error *err)
{
    cs_str text = {0};
    if (!path || p->request.layout.inference)
        return CS_OK;
    cs_status status = make(p, &text, err);
    if (status == CS_OK)
        status = cs_io_write_atomic(path, cs_str_cstr(&text), text.len, err);
    cs_str_release(&text);
    return status;
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    plan_config *c = config;
    cs_plan *p = cs_arena_calloc(cli->perm, 1, sizeof *p);
    if (!p)
        return cs_fail_nomem(err, sizeof *p, "the plan");
    CS_TRY(compute(cli, c, p, err));
    CS_TRY(write_text(p, write_svg, c->svg, err));
    CS_TRY(write_text(p, cs_plan_trace, c->trace, err));
    if (cli->common->json)
        return cs_plan_print_json(p, err);
    cs_plan_print_text(p);
    return CS_OK;
}

static cs_status settle(cs_options *opt, void *config, cs_arena *perm, cs_error *err)
{
    return cs_train_settle(opt, &((plan_config *)config)->train, true, perm, err);
}

const cs_command cs_command_plan = {
    .name = "plan",
    .usage = "cspeed plan (--model-config FILE | --load PATH | --num-layers N ...) [--world-size N] [flags of train] [--machine FILE] "
             "[--search --memory GIB] [--inference TOKENS]",
    .summary = "memory per rank, step time and drawn pipeline of a layout, before anything runs; the fastest layout",
    .config_bytes = sizeof(plan_config),
    .groups = groups,
    .settle = settle,
    .run = run,
};
