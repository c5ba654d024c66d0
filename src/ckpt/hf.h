/* The weights of a Hugging Face folder, safetensors or pytorch_model.bin, one file or shards with an index, mapped and never copied as a whole. */
#ifndef CS_CKPT_HF_H
#define CS_CKPT_HF_H

#include "base/io.h"
#include "fmt/safetensors.h"
#include "fmt/torch_file.h"
#include "model/param.h"

typedef struct cs_hf_shard {
    char *path;
    cs_map map;
    cs_safetensors st;   /* the tensors; of a PyTorch file they are listed here too */
    cs_torch_file torch; /* open when is_torch */
    cs_torch_list list;
    bool is_torch;
    cs_arena copies;     /* of a PyTorch file's tensors whose elements do not lie one after the other */
} cs_hf_shard;

typedef struct cs_hf {
    cs_hf_shard *shard;
    size_t n_shards;
    const char *optional_prefix; /* beginning of tensor names that the files may lack (set by the opener, a family's); NULL = none */
} cs_hf;

/* dir/file into buf; CS_E_IO when it is too long. */
cs_status cs_hf_path(char *buf, size_t n, const char *dir, const char *file, cs_error *err);
/* True if the folder holds weights this reads (model.safetensors, pytorch_model.bin or an index of either). */
bool cs_hf_present(const char *dir);
/* Opens dir's weights (safetensors before pytorch_model.bin), or `path` itself when it is one such file. With an index, the shards must hold exactly
 * the tensors it lists. CS_E_IO, CS_E_FORMAT, CS_E_NOMEM; nothing is held on failure. */
cs_status cs_hf_init(cs_hf *hf, const char *path, cs_error *err);
void cs_hf_release(cs_hf *hf);
/* NULL when absent; *shard (may be NULL) is where it was found. */
const cs_st_tensor *cs_hf_find(const cs_hf *hf, const char *name, const cs_hf_shard **shard);
size_t cs_hf_n_tensors(const cs_hf *hf);

/* The tensors in the files are exactly those of the table (only its names and shapes are read): none missing, every shape and dtype usable,
 * nothing extra but rotary_emb.inv_freq and, for a tied head, a head equal to the embedding. CS_E_FORMAT naming file and tensor. */
cs_status cs_hf_check(const cs_hf *hf, const cs_spec *spec, const cs_param_table *table, cs_error *err);

/* Parses a file of at most 64 MiB as JSON. */
cs_status cs_hf_json(const char *dir, const char *file, json_t **out_create, cs_error *err);

#endif
