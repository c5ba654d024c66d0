/* The training flags: one row each, and the rules between them. */
#include "train/config.h"

#include "base/io.h"
#include "base/log.h"
#include "ckpt/ckpt.h"
#include "fmt/json.h"
#include "fmt/limits.h"
#include "train/deepspeed.h"
#include "train/guard.h"

#include <stdio.h>

#define AT(field) offsetof(cs_train_config, field)
#define DTYPES "f32|bf16|f64|fp16"

static const cs_option model_rows[] = {
    {"model-config", CS_OPT_STR, AT(model_config), NULL, NULL, "Hugging Face config.json with the sizes of a new model", NULL},
    {"num-layers", CS_OPT_INT, AT(n_layers), NULL, "0..", "layers (without --model-config or --load)", NULL},
    {"hidden-size", CS_OPT_INT, AT(hidden), NULL, "0..", "width of the residual stream", NULL},
    {"ffn-hidden-size", CS_OPT_INT, AT(ffn), NULL, "0..", "width of the feed-forward (default: 8/3 of hidden, to a multiple of 64)", NULL},
    {"num-attention-heads", CS_OPT_INT, AT(n_heads), NULL, "0..", "query heads", NULL},
    {"group-query-attention", CS_OPT_FLAG, AT(group_query), NULL, NULL, "key and value heads from --num-query-groups", NULL},
    {"num-query-groups", CS_OPT_INT, AT(n_query_groups), NULL, "0..", "key and value heads", "num-key-value-heads"},
    {"max-position-embeddings", CS_OPT_INT, AT(max_pos), NULL, "0..", "longest sequence (default: --seq-length)", NULL},
    {"vocab-size", CS_OPT_INT, AT(vocab_size), NULL, "0..", "vocabulary (default: the tokenizer's)", NULL},
    {"pad-vocab-size-to", CS_OPT_INT, AT(pad_vocab_to), NULL, "0..", "larger vocabulary than the tokenizer's", NULL},
    {"layernorm-epsilon", CS_OPT_REAL, AT(norm_eps), "0", "0..1", "epsilon of the norms; 0 = the config's or 1e-5", "norm-epsilon"},
    {"init-method-std", CS_OPT_REAL, AT(init_std), "0", "0..", "standard deviation of initial weights; 0 = the config's or 0.02", NULL},
    {"rotary-base", CS_OPT_REAL, AT(rope_theta), "10000", "1..", "base of the rotary positions", "rope-theta"},
    {"tie-embeddings", CS_OPT_FLAG, AT(tie_head), NULL, NULL, "head and embedding share their weights", "no-untie-embeddings-and-output-weights"},
    {"add-bias-linear", CS_OPT_FLAG, AT(add_bias), NULL, NULL, "biases in attention and feed-forward", NULL},
    {"position-embedding-type", CS_OPT_ENUM, AT(position_type), "absolute", "absolute|rotary|rope|alibi",
     "positions; absolute = what the model has, as in AscendSpeed; alibi needs the config.json of such a model", NULL},
    {"embed-layernorm", CS_OPT_FLAG, AT(embed_norm), NULL, NULL, "a norm behind the embedding; needs the config.json of such a model (BLOOM)", NULL},
    {"no-add-gate", CS_OPT_FLAG, AT(no_gate), NULL, NULL, "GELU without a gate; needs the config.json of such a model (BLOOM)", NULL},
    {"mlp-layer-fusion", CS_OPT_FLAG, AT(merged_mlp), NULL, NULL,
     "gate and up as one matrix product: every gated model has it with and without this flag; convert --merge-mlp writes mlp.proj", NULL},
    {"lm-norm-weight", CS_OPT_FLAG, AT(norm_head), NULL, NULL, "head rows of length 1; needs the config.json of such a model (Baichuan 2)", NULL},
};

static const cs_option number_rows[] = {
    {"dtype", CS_OPT_ENUM, AT(dtype), "f32", DTYPES, "storage of weights and activations; sums and master weights are f32 (f64 for f64)", NULL},
    {"bf16", CS_OPT_SET, AT(dtype), "bf16", DTYPES, "same as --dtype bf16", NULL},
    {"fp16", CS_OPT_SET, AT(dtype), "fp16", DTYPES, "same as --dtype fp16: half precision with loss scaling", NULL},
    {"kernels", CS_OPT_STR, AT(isa), "auto", NULL, "auto, ref, avx2 or avx512", NULL},
    {"gemm", CS_OPT_STR, AT(gemm), "auto", NULL, "matrix products: auto (measured), own, onednn", NULL},
    {"decay-norm-weights", CS_OPT_FLAG, AT(decay_norms), NULL, NULL, "weight decay on norm weights too, as AscendSpeed does", NULL},
    {"z-loss-weight", CS_OPT_REAL, AT(z_loss), "0", "0..0", "weight of the z-loss; only 0 in this version", NULL},
    {"loss-average", CS_OPT_ENUM, AT(loss_average), "global", "global|micro-batch",
     "divide the loss once by the step's trained tokens, or (AscendSpeed) average the micro-batches' means", NULL},
    {"seed", CS_OPT_INT, AT(seed), "1234", "1..4294967295", "of initial weights and sample order", NULL},
};

static const cs_option run_rows[] = {
    {"save", CS_OPT_STR, AT(save), NULL, NULL, "run folder: metrics, log and checkpoints", NULL},
    {"load", CS_OPT_STR, AT(load), NULL, NULL, "model folder, checkpoint or run folder to start from", NULL},
    {"resume", CS_OPT_FLAG, AT(resume), NULL, NULL, "continue the newest complete checkpoint of --save, or start if there is none", NULL},
    {"finetune", CS_OPT_FLAG, AT(finetune), NULL, NULL, "take only the weights from --load and start at step 0", NULL},
    {"no-load-optim", CS_OPT_FLAG, AT(no_load_optim), NULL, NULL, "fresh optimizer state with --load", NULL},
    {"no-save-optim", CS_OPT_FLAG, AT(no_save_optim), NULL, NULL, "checkpoints without optimizer state (cannot be resumed exactly)", NULL},
    {"tokenizer-name-or-path", CS_OPT_STR, AT(tokenizer), NULL, NULL,
     "tokenizer file or folder, kept with the checkpoints (not needed to train on .bin/.idx)", "tokenizer-model vocab-file"},
    {"train-iters", CS_OPT_INT, AT(train_iters), NULL, "0..", "steps", NULL},
    {"train-samples", CS_OPT_INT, AT(train_samples), NULL, "0..", "samples instead of steps", NULL},
    {"seq-length", CS_OPT_INT, AT(seq_length), NULL, "0..", "tokens of a sample", NULL},
    {"micro-batch-size", CS_OPT_INT, AT(micro_batch), "1", "1..", "samples of one forward and backward on one rank", NULL},
    {"global-batch-size", CS_OPT_INT, AT(global_batch), NULL, "0..", "samples of one step (default: micro batch * data-parallel ranks)", NULL},
    {"gradient-accumulation-steps", CS_OPT_INT, AT(accumulation), NULL, "0..16777216",
     "micro-batches of a step on one data-parallel rank (default: global batch / micro batch / data-parallel ranks)", NULL},
    {"save-interval", CS_OPT_INT, AT(save_interval), NULL, "0..", "steps between checkpoints (the last step is always saved)", NULL},
    {"keep-checkpoints", CS_OPT_INT, AT(keep), "0", "0..", "newest checkpoints to keep, 0 = all", "save-total-limit"},
    {"eval-interval", CS_OPT_INT, AT(eval_interval), "1000", "1..", "steps between evaluations", NULL},
    {"eval-iters", CS_OPT_INT, AT(eval_iters), "100", "0..", "batches of an evaluation, 0 = none", NULL},
    {"log-interval", CS_OPT_INT, AT(log_interval), "100", "1..", "steps between log lines and rows of metrics.jsonl", NULL},
    {"exit-interval", CS_OPT_INT, AT(exit_interval), NULL, "0..", "save and end when the step is a multiple of this", NULL},
    {"exit-duration-in-mins", CS_OPT_REAL, AT(exit_minutes), NULL, "0..", "save and end after this many minutes", NULL},
    {"max-bad-steps", CS_OPT_INT, AT(max_bad_steps), "3", "0..",
     "steps in a row with a loss or gradient that is not finite before the run stops (exit 6)", NULL},
    {"profile", CS_OPT_FLAG, AT(profile), NULL, NULL, "write what every rank did when, as a Chrome trace", NULL},
    {"profile-step-start", CS_OPT_INT, AT(profile_start), "2", "1..", "first step of the profile", NULL},
    {"profile-step-end", CS_OPT_INT, AT(profile_end), "4", "2..", "step before which the profile ends", NULL},
    {"profile-output", CS_OPT_STR, AT(profile_output), NULL, NULL, "file of the profile (default: profile.json in the run folder)", NULL},
    {"comm-deadline", CS_OPT_REAL, AT(comm_deadline), "-1", "-1..1e9",
     "seconds that a rank waits for others before the run ends (exit 7); -1 = 10 x the median step, at least 60, 600 and more elsewhere; 0 = never",
     NULL},
    {"comm-check", CS_OPT_FLAG, AT(comm_check), NULL, NULL,
     "compare kind and size of every collective over its ranks before it begins (debugging, slow)", NULL},
    {"simulate", CS_OPT_STR, AT(simulate), NULL, NULL,
     "a fault on purpose, to see what a run does about it: kill, hang, exit0 or slow, @RANK:STEP (hang@1:3)", NULL},
    {"tensorboard-dir", CS_OPT_STR, AT(tensorboard_dir), NULL, NULL, "folder for TensorBoard events (default: the run folder)", NULL},
};

static const cs_option parallel_rows[] = {
    {"nproc", CS_OPT_INT, AT(nproc), "1", "1..4096", "ranks on this machine (under mpirun the job decides)", "nproc-per-node num-gpus"},
    {"tensor-model-parallel-size", CS_OPT_INT, AT(tp), "1", "1..", "ranks that share every layer's matrices", NULL},
    {"pipeline-model-parallel-size", CS_OPT_INT, AT(pp), "1", "1..", "stages of a pipeline of layers", NULL},
    {"num-layers-per-virtual-pipeline-stage", CS_OPT_INT, AT(virtual_layers), NULL, "0..",
     "layers of a chunk of an interleaved pipeline", NULL},
    {"fold-mode", CS_OPT_ENUM, AT(fold), "none", "none|aiao|fifo",
     "Fold3D: virtual stages whose gradients are summed while others compute; no effect without virtual stages", "foldx-mode"},
    {"optimized-pipeline", CS_OPT_FLAG, AT(optimized_pipeline), NULL, NULL,
     "micro-batches of different sizes, from --manual-mbs", NULL},
    {"manual-mbs", CS_OPT_LIST, AT(manual_mbs), NULL, NULL,
     "samples of each micro-batch of a step on one data-parallel rank: 1,2,3 or 1 2 3, example-config-1 or example-config-2", NULL},
    {"use-manual-layer-allocation", CS_OPT_FLAG, AT(manual_allocation), NULL, NULL,
     "layers of each stage from --manual-layers", NULL},
    {"manual-layers", CS_OPT_LIST, AT(manual_layers), NULL, NULL,
     "layers of each stage: 5,6,6,5; virtual stages: of each chunk 0 in order of stages, of each chunk 1, ..", NULL},
    {"sequence-parallel", CS_OPT_FLAG, AT(sequence_parallel), NULL, NULL, "no effect without tensor parallelism", NULL},
    {"use-distributed-optimizer", CS_OPT_FLAG, AT(dist_optimizer), NULL, NULL, "optimizer state split over the data-parallel ranks (ZeRO 1)", NULL},
    {"nnodes", CS_OPT_INT, AT(n_nodes), "1", "1..1", "machines; several: start the ranks on them with mpirun", NULL},
    {"node-rank", CS_OPT_INT, AT(node_rank), "0", "0..0", "this machine's number", NULL},
    {"zero-stage", CS_OPT_INT, AT(zero_stage), "0", "0..3",
     "split over data-parallel ranks: 1 optimizer state (as --use-distributed-optimizer), 2 and gradients, 3 and weights", NULL},
    {"no-pipeline-parallel", CS_OPT_FLAG, AT(no_pipeline), NULL, NULL, "one stage: refuses a --pipeline-model-parallel-size above 1", NULL},
    {"deepspeed", CS_OPT_FLAG, AT(deepspeed), NULL, NULL, "take what --deepspeed-config says", NULL},
    {"deepspeed-config", CS_OPT_STR, AT(deepspeed_config), NULL, NULL, "DeepSpeed's JSON file; what it sets must not contradict other flags", NULL},
    {"optimizer-offload-dir", CS_OPT_STR, AT(offload_dir), NULL, NULL,
     "folder for the optimizer's state while it trains, in mapped files instead of memory (DeepSpeed: offload_optimizer nvme)", NULL},
};

#define GRANULARITIES "none|full|selective"
static const cs_option recompute_rows[] = {
    {"recompute-granularity", CS_OPT_ENUM, AT(recompute), "none", GRANULARITIES,
     "full: layers keep their input only and run again in backward; selective: they keep all but --recompute-modules", NULL},
    {"recompute-modules", CS_OPT_LIST, AT(recompute_modules), NULL, NULL,
     "with selective: what every layer computes again: layernorm (default), qkv, core_attn, mlp (its first product)", NULL},
    {"checkpoint-activations", CS_OPT_SET, AT(recompute), "full", GRANULARITIES, "same as --recompute-granularity full", NULL},
    {"deepspeed-activation-checkpointing", CS_OPT_SET, AT(recompute), "full", GRANULARITIES, "same as --checkpoint-activations", NULL},
    {"recompute-method", CS_OPT_ENUM, AT(recompute_method), "uniform", "uniform|block|custom",
     "uniform: all layers, in groups; block: the first layers of each stage or chunk; custom: as block, a number for each stage", NULL},
    {"recompute-num-layers", CS_OPT_INT, AT(recompute_layers), "1", "1..", "layers of a group (uniform), layers to recompute (block)",
     "checkpoint-num-layers"},
    {"recomputation-layer-num", CS_OPT_LIST, AT(recompute_list), NULL, NULL,
     "with --recompute-method custom: layers to recompute at the front of each stage (or of each of its chunks): 3 2 1 0", NULL},
    {"auto-recompute-device-size", CS_OPT_INT, AT(auto_mb), "-1", "-1..8796093022207",
     "MB (2^20) that a rank may take: what each layer computes again is chosen to fit, from measured times; -1 = off", NULL},
    {"auto-recompute-profiling-step", CS_OPT_INT, AT(auto_steps), "10", "1..", "steps that recompute everything and measure, before that choice",
     NULL},
    {"checkpoint-policy", CS_OPT_ENUM, AT(checkpoint_policy), "none", "none|full|block|custom",
     "AscendSpeed's name of --recompute-method: full = uniform", NULL},
    {"checkpoint-block-layer", CS_OPT_INT, AT(block_layers), "25", "1..", "with --checkpoint-policy block: layers to recompute, at most all", NULL},
};

#define IGNORED(name) {name, CS_OPT_IGNORED, 0, NULL, NULL, "accepted, no effect here", NULL}
#define LATER(name) {name, CS_OPT_REFUSED, 0, NULL, NULL, "not in this version", NULL}
static const cs_option compat_rows[] = {
    IGNORED("distributed-backend"), IGNORED("DDP-impl"), IGNORED("no-contiguous-buffers-in-local-ddp"), IGNORED("tokenizer-type"),
    IGNORED("tokenizer-not-use-fast"), IGNORED("merge-file"), IGNORED("local-rank"), IGNORED("use-cpu-initialization"), IGNORED("no-load-rng"),
    IGNORED("no-save-rng"), IGNORED("triangle-attn"), IGNORED("use-flash-attn"), IGNORED("use-fused-rotary-pos-emb"), IGNORED("use-fused-rmsnorm"),
    IGNORED("no-masked-softmax-fusion"), IGNORED("no-bias-gelu-fusion"), IGNORED("no-bias-dropout-fusion"),
    IGNORED("no-gradient-accumulation-fusion"), IGNORED("no-query-key-layer-scaling"), IGNORED("attention-softmax-in-fp32"),
    IGNORED("accumulate-allreduce-grads-in-fp32"), IGNORED("no-async-tensor-model-parallel-allreduce"),
    IGNORED("no-scatter-gather-tensors-in-pipeline"), IGNORED("scatter-gather-tensors-in-pipeline"),
    IGNORED("make-vocab-size-divisible-by"), IGNORED("hidden-dropout"), IGNORED("attention-dropout"), IGNORED("num-workers"),
    IGNORED("tensorboard-queue-size"), IGNORED("tensorboard-log-interval"), IGNORED("log-timers-to-tensorboard"),
    IGNORED("log-batch-size-to-tensorboard"), IGNORED("log-validation-ppl-to-tensorboard"), IGNORED("log-learning-rate-to-tensorboard"),
    IGNORED("log-loss-scale-to-tensorboard"), IGNORED("swiglu"), IGNORED("normalization"), IGNORED("untie-embeddings-and-output-weights"),
    IGNORED("disable-bias-linear"), IGNORED("log-throughput"), IGNORED("timing-log-level"), IGNORED("timing-log-option"), IGNORED("mmap-warmup"),
    IGNORED("query-key-layer-scaling"), IGNORED("no-attention-softmax-in-fp32"), IGNORED("release-fp32-grad"), IGNORED("fill-neg-inf"),
    IGNORED("square-alibi-mask"), IGNORED("padding-attention-mask"), IGNORED("master-addr"), IGNORED("master-port"), IGNORED("max-restarts"),
    IGNORED("rdzv-backend"), IGNORED("rdzv-endpoint"), IGNORED("tee"), IGNORED("overlap-grad-reduce"), IGNORED("overlap-param-gather"),
    IGNORED("tp-comm-overlap"), IGNORED("no-overlap-p2p-communication"), IGNORED("use-ring-exchange-p2p"), IGNORED("delay-grad-reduce"),
    IGNORED("zero-reduce-scatter"), IGNORED("zero-contigious-gradients"), IGNORED("zero-reduce-bucket-size"),
    IGNORED("zero-allgather-bucket-size"), IGNORED("remote-device"), IGNORED("use-pin-memory"), IGNORED("partition-activations"),
    IGNORED("contigious-checkpointing"), IGNORED("checkpoint-in-cpu"), IGNORED("synchronize-each-layer"), IGNORED("profile-backward"),
    IGNORED("split-transformers"), IGNORED("scattered-embeddings"), IGNORED("memory-centric-tiled-linear"), IGNORED("tile-factor"),
    IGNORED("distribute-checkpointed-activations"),
    {"variable-seq-lengths", CS_OPT_IGNORED, 0, NULL, NULL, "records keep their own lengths: nothing is padded here", NULL},
    {"pad-to-multiple-of", CS_OPT_IGNORED, 0, NULL, NULL, "records keep their own lengths: nothing is padded here", NULL},
    LATER("lora-target-modules"), LATER("lora-r"), LATER("lora-alpha"),
    LATER("lora-modules-to-save"), LATER("lora-load"), LATER("lora-register-forward-hook"), LATER("train-tokens"),
    LATER("lr-decay-tokens"), LATER("lr-warmup-tokens"),
};

static const cs_option_group fixed_groups[] = {
    {"Model", model_rows, sizeof model_rows / sizeof *model_rows, NULL},
    {"Numbers", number_rows, sizeof number_rows / sizeof *number_rows, NULL},
    {"Run", run_rows, sizeof run_rows / sizeof *run_rows, NULL},
    {"Parallel", parallel_rows, sizeof parallel_rows / sizeof *parallel_rows, NULL},
    {"Recompute", recompute_rows, sizeof recompute_rows / sizeof *recompute_rows, NULL},
    {"Accepted from other programs", compat_rows, sizeof compat_rows / sizeof *compat_rows, NULL},
};

size_t cs_train_option_groups(cs_train_config *cfg, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof fixed_groups / sizeof *fixed_groups; i++) {
        out[n] = fixed_groups[i];
        out[n++].base = cfg;
    }
    out[n++] = (cs_option_group){"Data", cs_data_options, cs_data_n_options, cfg ? &cfg->data : NULL};
    out[n++] = (cs_option_group){"Learning rate", cs_lr_option_rows, cs_lr_n_option_rows, cfg ? &cfg->lr : NULL};
    out[n++] = (cs_option_group){"Optimizer", cs_optimizer_option_rows, cs_optimizer_n_option_rows, cfg ? &cfg->optimizer : NULL};
    out[n++] = (cs_option_group){"Loss scale", cs_scaler_option_rows, cs_scaler_n_option_rows, cfg ? &cfg->scaler : NULL};
    return n;
}

cs_dtype cs_train_dtype(const cs_train_config *cfg)
{
    static const cs_dtype types[] = {CS_F32, CS_BF16, CS_F64, CS_F16};
    return types[cfg->dtype];
}

enum { FULL = 1, SELECTIVE, /* recompute */ UNIFORM = 0, BLOCK, CUSTOM, /* recompute_method */ POLICY_BLOCK = 2 /* checkpoint_policy */ };

/* One row per rule: every broken one is reported. */
static void check_rules(const cs_train_config *c, cs_error *err)
{
    const struct {
        bool broken;
        const char *message;
        long long a, b;
    } rules[] = {
        {c->train_iters > 0 && c->train_samples > 0, "--train-iters %lld and --train-samples %lld exclude each other", c->train_iters,
         c->train_samples},
        {c->train_iters == 0 && c->train_samples == 0, "--train-iters or --train-samples must say how long to train", 0, 0},
        {c->seq_length == 0, "--seq-length is missing", 0, 0},
        {c->optimized_pipeline && c->lr.rampup.n > 0, "--optimized-pipeline and --rampup-batch-size exclude each other", 0, 0},
        {c->save_interval > 0 && !c->save, "--save-interval needs --save", 0, 0},
        {c->resume && !c->save, "--resume needs --save RUN, the run to continue", 0, 0},
        {c->finetune && !c->load, "--finetune needs --load", 0, 0},
        {c->profile && !c->save && !c->profile_output, "--profile needs --save, or --profile-output FILE", 0, 0},
        {c->profile && c->profile_end <= c->profile_start, "--profile-step-end %lld must be behind --profile-step-start %lld", c->profile_end,
         c->profile_start},
        {c->no_pipeline && c->pp > 1, "--no-pipeline-parallel contradicts --pipeline-model-parallel-size %lld; legal: 1", c->pp, 0},
        {c->recompute_method == CUSTOM && c->recompute_list.n == 0,
         "--recompute-method custom needs --recomputation-layer-num, one number for each of the %lld stages", c->pp, 0},
        {c->recompute_list.n > 0 && c->recompute_method != CUSTOM,
         "--recomputation-layer-num needs --recompute-method custom (or --checkpoint-policy custom)", 0, 0},
        {c->recompute_modules.n > 0 && c->recompute != SELECTIVE, "--recompute-modules needs --recompute-granularity selective", 0, 0},
        {c->recompute == SELECTIVE && (c->recompute_method != UNIFORM || c->recompute_layers != 1),
         "--recompute-method and --recompute-num-layers say which whole layers run again: with --recompute-granularity full, not selective", 0, 0},
        {c->auto_mb == 0, "--auto-recompute-device-size 0: legal: -1 (off), or the MB that a rank may take", 0, 0},
        {c->auto_mb > 0 && (c->recompute == SELECTIVE || c->recompute_method != UNIFORM || c->recompute_layers != 1),
         "--auto-recompute-device-size chooses what each layer computes again; leave the other flags of recomputation out", 0, 0},
        {c->model_config && c->n_layers > 0, "--model-config and --num-layers exclude each other", 0, 0},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        char line[256];
        if (!rules[i].broken)
            continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(line, sizeof line, rules[i].message, rules[i].a, rules[i].b);
#pragma GCC diagnostic pop
        cs_fail_also(err, CS_E_USAGE, "%s", line);
    }
}

/* The model as far as it is known before the run begins, so that its rules are checked with all others; NULL = not known. What is wrong with its
 * flags is added to `found`; files that cannot be read are left for who opens them. */
static const cs_spec *peek_model(const cs_train_config *c, cs_spec *spec, cs_error *found)
{
    enum { ANY_VOCABULARY = 1 }; /* of a tokenizer that is not open yet */
    const char *from = c->resume && c->save && cs_io_kind(c->save, NULL) == CS_FILE_DIR ? c->save : c->load;
    cs_error why = {0};
    cs_status status;
    *spec = (cs_spec){0};
    if (from) {
        char *dir;
        if (cs_ckpt_resolve(from, false, &dir, &why) != CS_OK)
            return NULL;
        status = cs_ckpt_read_spec(dir, spec, &why);
        cs_free(dir);
    } else {
        status = cs_train_model_spec(c, c->tokenizer ? ANY_VOCABULARY : 0, spec, &why);
    }
    if (status == CS_OK)
        status = cs_train_check_form(c, spec, &why);
    if (status == CS_E_USAGE)
        cs_fail_also(found, CS_E_USAGE, "%s", why.msg);
    return (status == CS_OK || status == CS_E_USAGE) && spec->family ? spec : NULL;
}

cs_status cs_train_config_check(cs_train_config *c, int64_t world, cs_lr_schedule *schedule, cs_ramp *ramp, cs_error *err)
{
    cs_error found = {0};
    cs_spec spec;
    cs_fault fault;
    if (c->zero_stage == 1)
        c->dist_optimizer = true;
    c->data.seq_length = c->seq_length;
    c->data.seed = c->seed;
    c->data.eod = -1;
    c->data.least_rows = c->sequence_parallel ? c->tp : 1;
    check_rules(c, &found);
    cs_data_check(&c->data, &found);
    cs_fault_parse(c->simulate, world, &fault, &found);
    cs_train_settle_batch(c, world, &found);
    cs_layout layout = cs_train_layout(c, world);
    if (cs_layout_check(&layout, peek_model(c, &spec, &found), &found) == CS_OK && c->global_batch == 0)
        c->global_batch = layout.global_batch;
    /* A ramp grows in steps that every data-parallel rank gets whole micro-batches of, and an interleaved pipeline whole turns. */
    int64_t turn = layout.dp * (c->virtual_layers > 0 ? layout.pp : 1);
    cs_optimizer_check(&c->optimizer, &found);
    cs_scaler_check(&c->scaler, &found);
    const cs_lr_run run = {c->train_iters, c->train_samples, c->global_batch, c->micro_batch * (turn > 0 ? turn : 1)};
    if (c->global_batch > 0 && (c->train_iters > 0 || c->train_samples > 0))
        cs_lr_init(&c->lr, &run, schedule, ramp, &found);
    if (found.status != CS_OK)
        *err = found;
    return found.status;
}

/* Feed-forward width that LLaMA models have: 8/3 of hidden, rounded up to a multiple of 64. */
static int64_t default_ffn(int64_t hidden)
{
    return (8 * hidden / 3 + 63) / 64 * 64;
}

cs_status cs_train_model_spec(const cs_train_config *c, int64_t tokenizer_vocab, cs_spec *spec, cs_error *err)
{
    if (c->model_config) {
        json_t *config;
        CS_TRY(cs_json_load(c->model_config, CS_LIMIT_CONFIG_BYTES, &config, err));
        cs_status status = cs_spec_from_json(spec, config, c->model_config, err);
        json_decref(config);
        if (status == CS_OK && c->norm_eps > 0)
            spec->norm_eps = c->norm_eps;
        if (status == CS_OK && c->init_std > 0)
            spec->init_std = c->init_std;
        return status;
    }
    cs_error found = {0};
    int64_t vocab = c->pad_vocab_to > 0 ? c->pad_vocab_to : c->vocab_size > 0 ? c->vocab_size : tokenizer_vocab;
    if (c->n_layers == 0 || c->hidden == 0 || c->n_heads == 0)
        cs_fail_also(&found, CS_E_USAGE, "no model: give --model-config, --load, or --num-layers, --hidden-size and --num-attention-heads");
    if (vocab == 0)
        cs_fail_also(&found, CS_E_USAGE, "vocabulary unknown: give --tokenizer-name-or-path or --vocab-size");
    if (found.status != CS_OK) {
        *err = found;
        return found.status;
    }
    *spec = (cs_spec){.family = cs_families[0], .vocab_size = vocab, .hidden = c->hidden, .ffn = c->ffn > 0 ? c->ffn : default_ffn(c->hidden),
                      .n_layers = c->n_layers, .n_heads = c->n_heads, .n_kv_heads = c->n_query_groups > 0 ? c->n_query_groups : c->n_heads,
                      .head_dim = c->hidden / c->n_heads, .max_pos = c->max_pos > 0 ? c->max_pos : c->seq_length,
                      .norm_eps = c->norm_eps > 0 ? c->norm_eps : 1e-5, .rope_theta = c->rope_theta,
                      .init_std = c->init_std > 0 ? c->init_std : 0.02, .bias_qkv = c->add_bias, .bias_out = c->add_bias, .bias_mlp = c->add_bias,
                      .tied_head = c->tie_head, .bos = -1, .eos = -1, .pad = -1};
    if (c->hidden % c->n_heads != 0)
        return cs_fail(err, CS_E_USAGE, "--hidden-size %lld is not a multiple of --num-attention-heads %lld", (long long)c->hidden,
                       (long long)c->n_heads);
    cs_status status = cs_spec_check(spec, "the model's flags", err);
    return status == CS_E_FORMAT ? (err->status = CS_E_USAGE) : status;
}

cs_status cs_train_check_form(const cs_train_config *c, const cs_spec *spec, cs_error *err)
{
    enum { ROTARY = 1, ROPE, ALIBI };
    const bool rope = spec->pos == CS_POS_ROPE;
    const struct {
        bool broken;
        const char *flag;
    } rows[] = {
        {(c->position_type == ROTARY || c->position_type == ROPE) && !rope, "--position-embedding-type rope"},
        {c->position_type == ALIBI && rope, "--position-embedding-type alibi"},
        {c->embed_norm && !spec->family->embed_norm, "--embed-layernorm"},
        {c->no_gate && spec->family->act != CS_ACT_GELU, "--no-add-gate"},
        {c->norm_head && !spec->norm_head, "--lm-norm-weight"},
        {c->tie_head && !spec->tied_head, "--tie-embeddings"},
        {c->add_bias && !spec->bias_mlp, "--add-bias-linear"},
    };
    cs_error found = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].broken)
            cs_fail_also(&found, CS_E_USAGE, "%s: this %s model is of another form; name the config.json of one that has it with --model-config",
                         rows[i].flag, spec->family->name);
    if (found.status != CS_OK)
        *err = found;
    return found.status;
}

void cs_train_note_form(const cs_train_config *c, const cs_spec *spec)
{
    if (c->merged_mlp && spec->family->act == CS_ACT_GELU)
        cs_note("--mlp-layer-fusion: no effect, this %s model has no gate", spec->family->name);
    else if (c->merged_mlp)
        cs_note("--mlp-layer-fusion: gate and up are one matrix product with and without it; checkpoints hold both apart (convert --merge-mlp "
                "writes mlp.proj)");
}

int64_t cs_train_total_iters(const cs_train_config *c, const cs_ramp *ramp)
{
    if (c->train_samples == 0)
        return c->train_iters;
    int64_t iters = 0, consumed = 0;
    while (consumed <= ramp->n && ramp->start != ramp->gbs && consumed < c->train_samples) {
        consumed += cs_ramp_at(ramp, consumed);
        iters++;
    }
    return consumed < c->train_samples ? iters + (c->train_samples - consumed) / c->global_batch : iters;
}

cs_layout cs_train_layout(const cs_train_config *c, int64_t world)
{
    static const cs_recompute methods[] = {[UNIFORM] = CS_RECOMPUTE_UNIFORM, [BLOCK] = CS_RECOMPUTE_BLOCK, [CUSTOM] = CS_RECOMPUTE_BLOCK};
    bool by_policy = c->checkpoint_policy == POLICY_BLOCK;
    return (cs_layout){.world = world, .tp = c->tp, .pp = c->pp, .virtual_layers = c->virtual_layers,
                       .zero = c->zero_stage > 0 ? c->zero_stage : c->dist_optimizer, .sequence_parallel = c->sequence_parallel,
                       .micro_batch = c->micro_batch, .global_batch = c->global_batch, .seq_length = c->seq_length,
                       .recompute = c->recompute == FULL || c->auto_mb > 0 ? methods[c->recompute_method]
                                    : c->recompute == SELECTIVE ? CS_RECOMPUTE_SELECTIVE : CS_RECOMPUTE_NONE,
                       .recompute_modules = c->recompute_modules,
                       .recompute_layers = by_policy ? c->block_layers : c->recompute_layers, .recompute_up_to = by_policy,
                       .recompute_list = c->recompute_list,
                       .fold = (cs_fold)c->fold, .optimized = c->optimized_pipeline, .manual_mbs = c->manual_mbs,
                       .manual_allocation = c->manual_allocation, .manual_layers = c->manual_layers};
}
