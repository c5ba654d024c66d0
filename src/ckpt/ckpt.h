/* A checkpoint IS a Hugging Face folder (config.json, safetensors + index, tokenizer files, generation_config.json) plus trainer/ (optimizer
 * state by HF tensor name in unsharded layout, state.json) plus MANIFEST (size and xxh3-128 of every file). Any number of data-parallel ranks
 * and any optimizer sharding loads any other's. Every rank writes its own byte ranges. Order on disk (docs/design.md, F1-F7): shards -> fsync each ->
 * hashes -> MANIFEST -> rename of the folder -> `latest` (symlink) and latest_checkpointed_iteration.txt -> only then are old ones pruned. */
#ifndef CS_CKPT_CKPT_H
#define CS_CKPT_CKPT_H

#include "comm/mesh.h"
#include "model/param.h"
#include "model/spec.h"

/* The optimizer's buffers: this rank holds the elements of the table in `range`. */
typedef struct cs_opt_state {
    const cs_flat_range *range; /* [n_ranges] */
    int64_t n_ranges, n;        /* n: elements in all */
    void *master, *m, *v;       /* A [n]; master NULL where the store is the master (f32, f64): then it is not written twice. m and v: AdamW's
                                   moments (saved as exp_avg, exp_avg_sq); m alone: momentum (momentum_buffer); none: plain gradient descent */
    bool replicated;            /* every data-parallel rank holds the same */
} cs_opt_state;

typedef struct cs_ckpt_save_args {
    const char *run_dir;  /* checkpoints are run_dir/iter_0000100 */
    int64_t iteration;
    const cs_spec *spec;
    const cs_param_table *table; /* every rank holds the whole store of its place in the model */
    const cs_opt_state *opt;     /* NULL = weights only */
    const char *state_json;      /* text of trainer/state.json; NULL = none is written */
    const char *const *tokenizer_files;
    size_t n_tokenizer_files;
    int64_t keep;                /* newest checkpoints to keep, 0 = all */
    bool no_save_optim;          /* state.json but no optimizer file */
    const char *run_id, *tokenizer_hash; /* put into the manifest; NULL = not given */
    size_t max_shard_bytes;      /* 0 = 5 GB, as Hugging Face */
} cs_ckpt_save_args;

/* Collective over the world of the mesh; the ranks' places make up the model, and within a data-parallel group the ranges of opt its part of the
 * table, if they are not replicated. On any failure: the same status on all
 * ranks, the temporary folder removed, older checkpoints untouched. If only `latest`, the tracker file or the flush behind the rename failed, the
 * new checkpoint is there and whole. A checkpoint of the same iteration is exchanged for the new one in one step. */
cs_status cs_ckpt_save(const cs_ckpt_save_args *args, const cs_mesh *mesh, cs_error *err);

/* Resolves --load PATH: an HF folder itself, a checkpoint, or a run folder's newest complete checkpoint (`latest` is a hint, the folders
 * themselves decide). Complete: a manifest, and every file with its length; with `fallback` the hashes too, and damaged ones are skipped with a
 * warning. *dir_create is cs_malloc'ed. None there: CS_E_IO; there are some, but none is complete: CS_E_CKPT. */
cs_status cs_ckpt_resolve(const char *path, bool fallback, char **dir_create, cs_error *err);
/* Reads dir/config.json into spec. */
cs_status cs_ckpt_read_spec(const char *dir, cs_spec *spec, cs_error *err);
/* Fills table->store (converting from the file's dtype) and table->master if there is one. Missing tensor, wrong shape: CS_E_FORMAT (CS_E_CKPT
 * with a manifest) naming file and tensor; stray rotary_emb.inv_freq are ignored, other extra tensors are an error. Verifies against MANIFEST when
 * `verify`. */
cs_status cs_ckpt_load_weights(const char *dir, const cs_spec *spec, cs_param_table *table, bool verify, cs_error *err);
/* Fills opt (its own range) from dir/trainer, after checking its files against MANIFEST, and returns state.json parsed. opt NULL: only state.json.
 * Master values that the file does not hold (saved where the store was the master) come from the weights; where opt->master is NULL, masters in
 * the file go to the table's store. Moments must be those that were saved. CS_E_IO when there is no trainer/ (weights only), CS_E_CKPT otherwise. */
cs_status cs_ckpt_load_trainer(const char *dir, cs_param_table *table, cs_opt_state *opt, json_t **state_create, cs_error *err);
/* Checks every file of dir against its MANIFEST; names damaged file and tensor. No MANIFEST: CS_E_CKPT. */
cs_status cs_ckpt_verify(const char *dir, cs_error *err);
/* Removes temporary folders that a killed run left behind. The caller holds the run folder's lock. */
void cs_ckpt_prune_temps(const char *run_dir);
/* Removes all but the newest `keep` (> 0) complete checkpoints; what cannot be removed is a warning. */
void cs_ckpt_prune_old(const char *run_dir, int64_t keep);
/* True if `name` is "iter_" and digits only. */
bool cs_ckpt_is_name(const char *name, int64_t *iteration);

#endif
