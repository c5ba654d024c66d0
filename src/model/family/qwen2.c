/* Qwen2 and Qwen2.5: LLaMA with biases on query, key and value; small sizes tie the head; a sliding window is optional and off in every published
 * config. */
#include "model/family/families.h"

#include "fmt/json.h"

#include <stddef.h>

#define AT(field) offsetof(cs_spec, field)

static const char *const architectures[] = {"Qwen2ForCausalLM", NULL};

static const cs_config_row rows[] = {
    {"num_key_value_heads", CS_CONFIG_INT, AT(n_kv_heads), CS_CONFIG_WRITE},
    {"max_position_embeddings", CS_CONFIG_INT, AT(max_pos), CS_CONFIG_WRITE},
    {0},
};

static cs_status read_window(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    bool on = false;
    CS_TRY(cs_json_get_bool(config, "use_sliding_window", name, &on, err));
    if (!on)
        return CS_OK;
    spec->window = 4096;
    spec->window_from = 28;
    CS_TRY(cs_json_get_int(config, "sliding_window", name, &spec->window, err));
    return cs_json_get_int(config, "max_window_layers", name, &spec->window_from, err);
}

static bool write_window(const cs_spec *spec, json_t *config)
{
    bool ok = json_object_set_new(config, "use_sliding_window", json_boolean(spec->window > 0)) == 0;
    if (spec->window > 0)
        ok = ok && json_object_set_new(config, "sliding_window", json_integer(spec->window)) == 0 &&
             json_object_set_new(config, "max_window_layers", json_integer(spec->window_from)) == 0;
    return ok;
}

static const cs_size_label sizes[] = {{"0.5B", 24, 896, 14}, {"1.5B", 28, 1536, 12}, {"7B", 28, 3584, 28}, {"72B", 80, 8192, 64}, {0}};

const cs_family cs_family_qwen2 = {
    .name = "qwen2",
    .architectures = architectures,
    .tensor = {CS_TENSORS_LLAMA},
    .rows = {cs_config_llama_like, rows},
    .fixed = cs_config_silu,
    .megatron = &cs_megatron_llama,
    .gguf = {.arch = "qwen2"},
    .sizes = sizes,
    .defaults = {.norm_eps = 1e-6, .rope_theta = 10000, .init_std = 0.02, .max_pos = 32768, .n_kv_heads = 32, .bias_qkv = true},
    .read = read_window,
    .write = write_window,
};
