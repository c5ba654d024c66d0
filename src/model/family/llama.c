/* LLaMA 1, 2 and 3: pre-norm decoder with RMSNorm, rotary positions, SwiGLU, optional grouped-query attention, no biases by default. */
#include "model/family/families.h"

#include <stddef.h>

#define AT(field) offsetof(cs_spec, field)

static const char *const architectures[] = {"LlamaForCausalLM", "LLaMAForCausalLM", NULL};

static const cs_config_row rows[] = {
    {"num_key_value_heads", CS_CONFIG_INT, AT(n_kv_heads), CS_CONFIG_WRITE},
    {"head_dim", CS_CONFIG_INT, AT(head_dim), CS_CONFIG_WRITE},
    {"max_sequence_length", CS_CONFIG_INT, AT(max_pos), 0}, /* LLaMA 1 files */
    {"max_position_embeddings", CS_CONFIG_INT, AT(max_pos), CS_CONFIG_WRITE},
    {"attention_bias", CS_CONFIG_BOOL, AT(bias_qkv), CS_CONFIG_WRITE},
    {"attention_bias", CS_CONFIG_BOOL, AT(bias_out), 0},
    {"mlp_bias", CS_CONFIG_BOOL, AT(bias_mlp), CS_CONFIG_WRITE},
    {0},
};

static const cs_size_label sizes[] = {
    {"7B", 32, 4096, 32}, {"13B", 40, 5120, 40}, {"30B", 60, 6656, 52}, {"33B", 60, 6656, 52}, {"65B", 80, 8192, 64}, {"70B", 80, 8192, 64}, {0}};

const cs_family cs_family_llama = {
    .name = "llama",
    .architectures = architectures,
    .tensor = {CS_TENSORS_LLAMA},
    .rows = {cs_config_llama_like, rows},
    .fixed = cs_config_silu,
    .megatron = &cs_megatron_llama,
    .gguf = {.arch = "llama", .pairs = true},
    .sizes = sizes,
    .defaults = {.norm_eps = 1e-6, .rope_theta = 10000, .init_std = 0.02, .max_pos = 2048},
};
