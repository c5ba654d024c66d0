/* A family is data; a spec is a family plus the sizes of one model. Read from and written to Hugging Face config.json.
 * No file outside model/family/ compares a family name or a size label. */
#ifndef CS_MODEL_SPEC_H
#define CS_MODEL_SPEC_H

#include "base/str.h"
#include "nn/mlp.h"
#include "nn/norm.h"
#include "nn/rope.h"

#include <jansson.h>

/* The tensors of a model by their role. QKV is the one tensor of families that keep query, key and value together. */
typedef enum cs_part {
    CS_PART_EMBED, CS_PART_EMBED_NORM, CS_PART_NORM1, CS_PART_Q, CS_PART_K, CS_PART_V, CS_PART_QKV, CS_PART_O, CS_PART_NORM2, CS_PART_GATE,
    CS_PART_UP, CS_PART_DOWN, CS_PART_FINAL_NORM, CS_PART_HEAD, CS_PART_COUNT
} cs_part;

/* How query, key and value rows lie in the files; inside they are always q | k | v. */
typedef enum cs_qkv_layout {
    CS_QKV_SEPARATE, /* three tensors */
    CS_QKV_BLOCKS,   /* one tensor q | k | v (Baichuan's W_pack) */
    CS_QKV_BY_HEAD,  /* one tensor, per key head: its query heads, key, value (BLOOM: [head][q, k, v][dim]) */
} cs_qkv_layout;

typedef enum cs_pos_kind { CS_POS_ROPE, CS_POS_ALIBI } cs_pos_kind;

typedef struct cs_family cs_family;

typedef struct cs_spec {
    const cs_family *family;
    int64_t vocab_size, hidden, ffn, n_layers, n_heads, n_kv_heads, head_dim, max_pos;
    double norm_eps, rope_theta, init_std;
    cs_rope_scaling rope_scaling;
    cs_pos_kind pos;
    int64_t window, window_from; /* layers from window_from on see the last `window` positions only; 0 = all see everything */
    bool bias_qkv, bias_out, bias_mlp, tied_head;
    bool norm_head;              /* logits from the head with each row scaled to length 1 (Baichuan 2) */
    int64_t bos, eos, pad;       /* -1 = none */
    cs_dtype dtype;              /* as stored in the files */
} cs_spec;

/* One key of config.json and the field of cs_spec that it sets. Of several keys for one field the last in the table that is there wins. */
typedef enum cs_config_kind { CS_CONFIG_END, CS_CONFIG_INT, CS_CONFIG_REAL, CS_CONFIG_BOOL, CS_CONFIG_TOKEN } cs_config_kind;
enum { CS_CONFIG_WRITE = 1, CS_CONFIG_REQUIRED = 2 };
typedef struct cs_config_row {
    const char *key;
    cs_config_kind kind;
    size_t offset;
    int flags; /* WRITE: part of the config.json that is written; REQUIRED: some key of this field must be there */
} cs_config_row;

/* A key whose value is fixed by the architecture; written as `value`, accepted as `value` or `other` (JSON text, NULL = none) or absent. */
typedef struct cs_config_fixed {
    const char *key, *value, *other;
} cs_config_fixed;

/* Names inside Megatron and AscendSpeed shards, without ".weight"/".bias". "%" is a layer number: counted within the stage, or, with `absolute`, over
 * the whole model from `first_layer` on; in the final norm's name then the number behind all layers, plus one. */
typedef struct cs_megatron_names {
    const char *tensor[CS_PART_COUNT]; /* QKV always as one tensor */
    const char *merged_mlp;            /* gate | up of one rank as one tensor; NULL = the family has no gate */
    bool absolute;
    int64_t first_layer;
} cs_megatron_names;

/* In GGUF files, as llama.cpp's converter writes them. */
typedef struct cs_gguf_names {
    const char *arch;  /* "llama", "bloom", ... */
    bool fused_qkv;    /* one tensor attn_qkv = q | k | v */
    bool pairs;        /* rows of q and k stand in rotating pairs (x0 y0 x1 y1 ..) instead of halves */
    bool output_always; /* a tied head is written too */
} cs_gguf_names;

/* What a published size is called ("7B", AscendSpeed's --type); the last has a NULL name. */
typedef struct cs_size_label {
    const char *name;
    int64_t n_layers, hidden, n_heads;
} cs_size_label;

struct cs_family {
    const char *name;                 /* model_type in config.json: "llama" */
    const char *const *architectures; /* accepted architectures[0], the first is written; NULL-terminated */
    /* HF names without ".weight"/".bias"; "%" stands for the layer number. */
    const char *tensor[CS_PART_COUNT];
    const char *optional_prefix;      /* beginning of the names that files may lack ("transformer."); NULL = none */
    cs_norm_rule norm;
    cs_act act;
    cs_qkv_layout qkv;
    bool embed_norm;                  /* a norm behind the embedding */
    const cs_config_row *rows[3];     /* tables, each ends with CS_CONFIG_END */
    const cs_config_fixed *fixed;     /* ends with a NULL key */
    const cs_megatron_names *megatron; /* as AscendSpeed's converter writes them */
    cs_gguf_names gguf;
    const cs_size_label *sizes;
    cs_spec defaults;                 /* values of absent keys, and what all models of the family share (biases, positions) */
    /* What no table can say, after the tables were read, before sizes are checked. `name` is for messages. NULL = nothing. */
    cs_status (*read)(cs_spec *spec, const json_t *config, const char *name, cs_error *err);
    /* Adds to the object that the tables made; false when out of memory. NULL = nothing. */
    bool (*write)(const cs_spec *spec, json_t *config);
};

/* All families, NULL-terminated. */
extern const cs_family *const cs_families[];

/* The family that a config.json names, NULL when it is none of cs_families. */
const cs_family *cs_family_of(const json_t *config);
/* Reads config.json (already parsed). Unknown model types, unsupported rope scaling, impossible sizes: CS_E_FORMAT naming `name` and key. */
cs_status cs_spec_from_json(cs_spec *spec, const json_t *config, const char *name, cs_error *err);
/* Text of a config.json that transformers loads. */
cs_status cs_spec_to_json(const cs_spec *spec, cs_str *out, cs_error *err);
/* Sizes positive, heads % kv heads, head_dim even where positions rotate, vocab and layers within bounds: CS_E_FORMAT listing every problem. */
cs_status cs_spec_check(const cs_spec *spec, const char *name, cs_error *err);
/* Do the sizes have the label `name` in the family? CS_E_USAGE listing the labels, or both sizes. */
cs_status cs_spec_check_label(const cs_spec *spec, const char *name, cs_error *err);
/* Rows of the matrix before the activation: gate and up, or up alone. */
int64_t cs_spec_ffn_rows(const cs_spec *spec);
/* Parameters in all, and those that take part in matrix products per token (head included, embedding look-up not). */
int64_t cs_spec_n_params(const cs_spec *spec);
int64_t cs_spec_n_matmul_params(const cs_spec *spec);

#endif
