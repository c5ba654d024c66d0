/* InternLM 7B: LLaMA with biases on query, key, value and output ("bias": true). */
#include "model/family/families.h"

#include <stddef.h>

#define AT(field) offsetof(cs_spec, field)

static const char *const architectures[] = {"InternLMForCausalLM", NULL};

static const cs_config_row rows[] = {
    {"max_position_embeddings", CS_CONFIG_INT, AT(max_pos), CS_CONFIG_WRITE},
    {"bias", CS_CONFIG_BOOL, AT(bias_qkv), CS_CONFIG_WRITE},
    {"bias", CS_CONFIG_BOOL, AT(bias_out), 0},
    {0},
};

static const cs_size_label sizes[] = {{"7B", 32, 4096, 32}, {0}};

const cs_family cs_family_internlm = {
    .name = "internlm",
    .architectures = architectures,
    .tensor = {CS_TENSORS_LLAMA},
    .rows = {cs_config_llama_like, rows},
    .fixed = cs_config_silu,
    .megatron = &cs_megatron_llama,
    .gguf = {.arch = "llama", .pairs = true},
    .sizes = sizes,
    .defaults = {.norm_eps = 1e-6, .rope_theta = 10000, .init_std = 0.02, .max_pos = 2048, .bias_qkv = true, .bias_out = true},
};
