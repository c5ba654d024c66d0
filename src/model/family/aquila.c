/* Aquila 7B and Aquila 2: the shape of LLaMA under another name. */
#include "model/family/families.h"

#include <stddef.h>

#define AT(field) offsetof(cs_spec, field)

static const char *const architectures[] = {"AquilaForCausalLM", "AquilaModel", NULL};

static const cs_config_row rows[] = {
    {"num_key_value_heads", CS_CONFIG_INT, AT(n_kv_heads), CS_CONFIG_WRITE},
    {"max_position_embeddings", CS_CONFIG_INT, AT(max_pos), CS_CONFIG_WRITE},
    {0},
};

static const cs_size_label sizes[] = {{"7B", 32, 4096, 32}, {"34B", 60, 6144, 48}, {0}};

const cs_family cs_family_aquila = {
    .name = "aquila",
    .architectures = architectures,
    .tensor = {CS_TENSORS_LLAMA},
    .rows = {cs_config_llama_like, rows},
    .fixed = cs_config_silu,
    .megatron = &cs_megatron_llama,
    .gguf = {.arch = "llama", .pairs = true},
    .sizes = sizes,
    .defaults = {.norm_eps = 1e-6, .rope_theta = 10000, .init_std = 0.02, .max_pos = 2048},
};
