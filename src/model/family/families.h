/* One constant per family; list.c names them all. */
#ifndef CS_MODEL_FAMILY_FAMILIES_H
#define CS_MODEL_FAMILY_FAMILIES_H

#include "model/spec.h"

extern const cs_family cs_family_llama, cs_family_mistral, cs_family_qwen2, cs_family_internlm, cs_family_aquila, cs_family_baichuan,
    cs_family_bloom;

/* Keys that the config.json of every LLaMA-like family has. */
extern const cs_config_row cs_config_llama_like[];
extern const cs_config_fixed cs_config_silu[];

/* Names in shards of the LLaMA-like families. */
extern const cs_megatron_names cs_megatron_llama;

/* Tensor names of the LLaMA-like families. */
#define CS_TENSORS_LLAMA_COMMON                                                                                                                    \
    [CS_PART_EMBED] = "model.embed_tokens", [CS_PART_NORM1] = "model.layers.%.input_layernorm", [CS_PART_O] = "model.layers.%.self_attn.o_proj",   \
    [CS_PART_NORM2] = "model.layers.%.post_attention_layernorm", [CS_PART_GATE] = "model.layers.%.mlp.gate_proj",                                  \
    [CS_PART_UP] = "model.layers.%.mlp.up_proj", [CS_PART_DOWN] = "model.layers.%.mlp.down_proj", [CS_PART_FINAL_NORM] = "model.norm",             \
    [CS_PART_HEAD] = "lm_head"
#define CS_TENSORS_LLAMA                                                                                                                           \
    CS_TENSORS_LLAMA_COMMON, [CS_PART_Q] = "model.layers.%.self_attn.q_proj", [CS_PART_K] = "model.layers.%.self_attn.k_proj",                     \
                             [CS_PART_V] = "model.layers.%.self_attn.v_proj"

#endif
