/* The list of families: add a file in this folder and one line here. */
#include "model/family/families.h"

#include <stddef.h>

#define AT(field) offsetof(cs_spec, field)

const cs_family *const cs_families[] = {&cs_family_llama, &cs_family_mistral, &cs_family_qwen2, &cs_family_internlm, &cs_family_aquila,
                                        &cs_family_baichuan, &cs_family_bloom, NULL};

const cs_config_row cs_config_llama_like[] = {
    {"vocab_size", CS_CONFIG_INT, AT(vocab_size), CS_CONFIG_WRITE | CS_CONFIG_REQUIRED},
    {"hidden_size", CS_CONFIG_INT, AT(hidden), CS_CONFIG_WRITE | CS_CONFIG_REQUIRED},
    {"intermediate_size", CS_CONFIG_INT, AT(ffn), CS_CONFIG_WRITE | CS_CONFIG_REQUIRED},
    {"num_hidden_layers", CS_CONFIG_INT, AT(n_layers), CS_CONFIG_WRITE | CS_CONFIG_REQUIRED},
    {"num_attention_heads", CS_CONFIG_INT, AT(n_heads), CS_CONFIG_WRITE | CS_CONFIG_REQUIRED},
    {"rms_norm_eps", CS_CONFIG_REAL, AT(norm_eps), CS_CONFIG_WRITE},
    {"initializer_range", CS_CONFIG_REAL, AT(init_std), CS_CONFIG_WRITE},
    {"tie_word_embeddings", CS_CONFIG_BOOL, AT(tied_head), CS_CONFIG_WRITE},
    {"bos_token_id", CS_CONFIG_TOKEN, AT(bos), CS_CONFIG_WRITE},
    {"eos_token_id", CS_CONFIG_TOKEN, AT(eos), CS_CONFIG_WRITE},
    {"pad_token_id", CS_CONFIG_TOKEN, AT(pad), CS_CONFIG_WRITE},
    {0},
};

const cs_config_fixed cs_config_silu[] = {{"hidden_act", "\"silu\"", "\"swish\""}, {0}};

const cs_megatron_names cs_megatron_llama = {
    .tensor = {[CS_PART_EMBED] = "embedding.word_embeddings", [CS_PART_NORM1] = "language_model.layers.%.input_layernorm",
               [CS_PART_QKV] = "language_model.layers.%.attention.query_key_value", [CS_PART_O] = "language_model.layers.%.attention.dense",
               [CS_PART_NORM2] = "language_model.layers.%.post_attention_layernorm", [CS_PART_GATE] = "language_model.layers.%.mlp.gate_proj",
               [CS_PART_UP] = "language_model.layers.%.mlp.up_proj", [CS_PART_DOWN] = "language_model.layers.%.mlp.down_proj",
               [CS_PART_FINAL_NORM] = "language_model.final_layernorm", [CS_PART_HEAD] = "lm_head.lm_head"},
    .merged_mlp = "language_model.layers.%.mlp.proj",
};
