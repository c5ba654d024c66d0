/* A family is data; a spec is a family plus the sizes of one model. Read from and written to Hugging Face config.json.
 * No file outside model/family/ compares a family name or a size label. */
#ifndef CS_MODEL_SPEC_H
#define CS_MODEL_SPEC_H

#include "base/dtype.h"
#include "base/error.h"
#include "base/str.h"

#include <jansson.h>

typedef enum cs_part {
    CS_PART_EMBED, CS_PART_NORM1, CS_PART_Q, CS_PART_K, CS_PART_V, CS_PART_O, CS_PART_NORM2, CS_PART_GATE, CS_PART_UP, CS_PART_DOWN,
    CS_PART_FINAL_NORM, CS_PART_HEAD, CS_PART_COUNT
} cs_part;

typedef struct cs_family {
    const char *name;               /* model_type in config.json: "llama" */
    const char *const *architectures; /* accepted architectures[0], the first is written; NULL-terminated */
    /* HF names without ".weight"/".bias"; "%" stands for the layer number. */
    const char *tensor[CS_PART_COUNT];
} cs_family;

/* All families, NULL-terminated. */
extern const cs_family *const cs_families[];

typedef struct cs_spec {
    const cs_family *family;
    int64_t vocab_size, hidden, ffn, n_layers, n_heads, n_kv_heads, head_dim, max_pos;
    double norm_eps, rope_theta, init_std;
    bool bias_qkv, bias_out, bias_mlp, tied_head;
    int64_t bos, eos, pad; /* -1 = none */
    cs_dtype dtype;        /* as stored in the files */
} cs_spec;

/* The family that a config.json names, NULL when it is none of cs_families. */
const cs_family *cs_family_of(const json_t *config);
/* Reads config.json (already parsed). Unknown model types, unsupported rope scaling, impossible sizes: CS_E_FORMAT naming `name` and key. */
cs_status cs_spec_from_json(cs_spec *spec, const json_t *config, const char *name, cs_error *err);
/* Text of a config.json that transformers loads (LlamaForCausalLM for llama). */
cs_status cs_spec_to_json(const cs_spec *spec, cs_str *out, cs_error *err);
/* Sizes positive, hidden % heads, heads % kv heads, head_dim even, vocab and layers within bounds: CS_E_FORMAT listing every problem. */
cs_status cs_spec_check(const cs_spec *spec, const char *name, cs_error *err);
/* Parameters in all, and those that take part in matrix products per token (head included, embedding look-up not). */
int64_t cs_spec_n_params(const cs_spec *spec);
int64_t cs_spec_n_matmul_params(const cs_spec *spec);

#endif
