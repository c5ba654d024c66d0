/* Mistral 7B: LLaMA with grouped queries and, in the first version, a sliding window over the positions. */
#include "model/family/families.h"

#include <stddef.h>

#define AT(field) offsetof(cs_spec, field)

static const char *const architectures[] = {"MistralForCausalLM", NULL};

static const cs_config_row rows[] = {
    {"num_key_value_heads", CS_CONFIG_INT, AT(n_kv_heads), CS_CONFIG_WRITE},
    {"head_dim", CS_CONFIG_INT, AT(head_dim), CS_CONFIG_WRITE},
    {"max_position_embeddings", CS_CONFIG_INT, AT(max_pos), CS_CONFIG_WRITE},
    {"sliding_window", CS_CONFIG_INT, AT(window), 0},
    {0},
};

static bool write_window(const cs_spec *spec, json_t *config)
{
    return json_object_set_new(config, "sliding_window", spec->window > 0 ? json_integer(spec->window) : json_null()) == 0;
}

static const cs_size_label sizes[] = {{"7B", 32, 4096, 32}, {0}};

const cs_family cs_family_mistral = {
    .name = "mistral",
    .architectures = architectures,
    .tensor = {CS_TENSORS_LLAMA},
    .rows = {cs_config_llama_like, rows},
    .fixed = cs_config_silu,
    .megatron = &cs_megatron_llama,
    .gguf = {.arch = "llama", .pairs = true},
    .sizes = sizes,
    .defaults = {.norm_eps = 1e-6, .rope_theta = 10000, .init_std = 0.02, .max_pos = 131072, .n_kv_heads = 8},
    .write = write_window,
};
