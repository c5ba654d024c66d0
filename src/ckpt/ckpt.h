/* A checkpoint IS a Hugging Face folder (config.json, safetensors + index, tokenizer files, generation_config.json) plus trainer/ (optimizer state by HF
 * tensor name in unsharded layout, state.json) plus MANIFEST (size and xxh3-128 of every file). Any number of data-parallel ranks and any
 * optimizer sharding loads any other's. Every rank writes its own byte ranges. Order on disk (docs/design.md, F1-F7): shards -> fsync each ->
 * hashes -> MANIFEST -> rename of the folder -> `latest` (symlink) and latest_checkpointed_iteration.txt -> only then are old ones pruned. */
#ifndef CS_CKPT_CKPT_H
#define CS_CKPT_CKPT_H

#include "comm/comm.h"
#include "model/param.h"
#include "model/spec.h"

/* The optimizer's flat buffers: this rank holds elements [lo, hi) of the table's range, index 0 of each buffer = element lo. */
typedef struct cs_opt_state {
    int64_t lo, hi;
    void *master, *m, *v; /* A; master NULL where the store is the master (f32, f64): then it is not written twice */
} cs_opt_state;

typedef struct cs_ckpt_save_args {
    const char *run_dir;  /* checkpoints are run_dir/iter_0000100 */
    int64_t iteration;
    const cs_spec *spec;
    const cs_param_table *table; /* every rank holds the whole store (data parallel) */
    const cs_opt_state *opt;     /* NULL = weights only */
    const char *state_json;      /* text of trainer/state.json; NULL with opt == NULL */
    const char *const *tokenizer_files;
    size_t n_tokenizer_files;
    int64_t keep;                /* newest checkpoints to keep, 0 = all */
    bool no_save_optim;
} cs_ckpt_save_args;

/* Collective over c (the data-parallel group, whose ranks' [lo,hi) partition the table, or all hold [0,n)). On any failure: the same status on all ranks,
 * the temporary folder removed, older checkpoints untouched. */
cs_status cs_ckpt_save(const cs_ckpt_save_args *args, cs_comm *c, cs_error *err);

/* Resolves --load PATH: an HF folder itself, a checkpoint, or a run folder's newest complete checkpoint (`latest` is a hint; stale or damaged ones are
 * skipped with a warning when `fallback`). *dir_create is cs_malloc'ed. None there: CS_E_IO. */
cs_status cs_ckpt_resolve(const char *path, bool fallback, char **dir_create, cs_error *err);
/* Reads dir/config.json into spec. */
cs_status cs_ckpt_read_spec(const char *dir, cs_spec *spec, cs_error *err);
/* Fills table->store (converting from the file's dtype) and table->master if there is one. Missing tensor, wrong shape: CS_E_FORMAT (CS_E_CKPT with a manifest)
 * naming file and tensor; stray rotary_emb.inv_freq are ignored, other extra tensors are an error. Verifies against MANIFEST when `verify`. */
cs_status cs_ckpt_load_weights(const char *dir, const cs_spec *spec, cs_param_table *table, bool verify, cs_error *err);
/* Fills opt (its own range) from dir/trainer and returns state.json parsed. */
cs_status cs_ckpt_load_trainer(const char *dir, const cs_param_table *table, cs_opt_state *opt, json_t **state_create, cs_error *err);
/* Checks every file of dir against its MANIFEST; names damaged file and tensor. No MANIFEST: CS_E_CKPT. */
cs_status cs_ckpt_verify(const char *dir, cs_error *err);
/* Removes temporary folders that a killed run left behind. */
void cs_ckpt_prune_temps(const char *run_dir);

#endif
