/* What `train` can be told, and the legality of it. The option rows stand beside the struct in config.c; sub-structs (data, learning rate, optimizer)
 * bring their own rows. */
#ifndef CS_TRAIN_CONFIG_H
#define CS_TRAIN_CONFIG_H

#include "data/dataset.h"
#include "model/spec.h"
#include "optim/lr.h"
#include "optim/optimizer.h"
#include "optim/scaler.h"
#include "parallel/layout.h"

typedef struct cs_train_config {
    /* model */
    const char *model_config; /* config.json; NULL = the sizes below */
    int64_t n_layers, hidden, ffn, n_heads, n_query_groups, max_pos, vocab_size, pad_vocab_to;
    double norm_eps, init_std, rope_theta;
    bool group_query, tie_head, add_bias, embed_norm, no_gate, merged_mlp, norm_head;
    int position_type; /* absolute|rotary|rope|alibi: see config.c */
    /* numbers */
    int dtype; /* index in "f32|bf16|f64|fp16" */
    const char *isa, *gemm;
    bool decay_norms;
    double z_loss;
    /* run */
    const char *save, *load, *tokenizer;
    bool resume, finetune, no_save_optim, no_load_optim;
    int64_t train_iters, train_samples, micro_batch, global_batch, save_interval, eval_interval, eval_iters, log_interval, keep, exit_interval, seed,
        seq_length, max_bad_steps;
    double comm_deadline; /* seconds; < 0: from the steps */
    bool comm_check;
    const char *simulate;
    double exit_minutes;
    const char *tensorboard_dir;
    bool profile;
    int64_t profile_start, profile_end; /* steps [start, end) */
    const char *profile_output;
    int loss_average; /* 0 global, 1 micro-batch */
    /* parallel */
    int64_t nproc, n_nodes, node_rank, tp, pp, zero_stage, virtual_layers;
    bool dist_optimizer, sequence_parallel, optimized_pipeline, manual_allocation;
    int fold; /* cs_fold */
    cs_strlist manual_mbs, manual_layers;
    bool no_pipeline;
    int recompute, recompute_method; /* indices in "none|full|selective", "uniform|block|custom" */
    cs_strlist recompute_modules;
    int64_t auto_mb, auto_steps; /* auto_mb < 1: off */
    int64_t recompute_layers, block_layers;
    int checkpoint_policy; /* index in "none|full|block|custom" */
    cs_strlist recompute_list;
    /* DeepSpeed */
    bool deepspeed;
    const char *deepspeed_config, *offload_dir;
    int64_t accumulation;  /* micro-batches of a step on one data-parallel rank, 0 = from the batch sizes */
    bool micro_from_batch; /* the micro batch size follows from the other two */

    cs_data_config data;
    cs_lr_options lr;
    cs_optimizer_options optimizer;
    cs_scaler_options scaler;
} cs_train_config;

/* Option groups over cfg; returns their number. */
size_t cs_train_option_groups(cs_train_config *cfg, cs_option_group out[CS_MAX_OPTION_GROUPS]);

/* Checks flags, the rules between them and those of the model (what --load, --resume or --model-config name is read when it can be), for `world`
 * ranks: CS_E_USAGE with one line per mistake. Fills defaults that depend on other flags (global batch = micro batch * ranks, seq_length, seed of the
 * data) and the derived schedule. */
cs_status cs_train_config_check(cs_train_config *cfg, int64_t world, cs_lr_schedule *schedule, cs_ramp *ramp, cs_error *err);

/* The model's sizes from --model-config, or from flags (tokenizer_vocab: its size, 0 = no tokenizer). CS_E_USAGE names what is missing. */
cs_status cs_train_model_spec(const cs_train_config *cfg, int64_t tokenizer_vocab, cs_spec *spec, cs_error *err);

/* Do the flags that say what a model is made of (positions, norms, gate, biases) agree with spec? CS_E_USAGE with one line per flag that does not. */
cs_status cs_train_check_form(const cs_train_config *cfg, const cs_spec *spec, cs_error *err);

/* A note for a flag about the model's form that changes nothing in spec. */
void cs_train_note_form(const cs_train_config *cfg, const cs_spec *spec);

/* Steps of the whole run: --train-iters, or what --train-samples gives under the ramp. */
int64_t cs_train_total_iters(const cs_train_config *cfg, const cs_ramp *ramp);

/* The layout that the flags describe, for `world` ranks; not checked. */
cs_layout cs_train_layout(const cs_train_config *cfg, int64_t world);

cs_dtype cs_train_dtype(const cs_train_config *cfg);

#endif
