/* BLOOM 560M to 176B: LayerNorm with biases, a norm behind the embedding, ALiBi, GELU in its tanh form, biases everywhere, a tied head. Query, key
 * and value lie interleaved by head in one tensor. */
#include "model/family/families.h"

#include "fmt/json.h"

#include <stddef.h>

#define AT(field) offsetof(cs_spec, field)

static const char *const architectures[] = {"BloomForCausalLM", "BloomModel", NULL};

static const cs_config_row rows[] = {
    {"vocab_size", CS_CONFIG_INT, AT(vocab_size), CS_CONFIG_WRITE | CS_CONFIG_REQUIRED},
    {"n_embed", CS_CONFIG_INT, AT(hidden), 0},
    {"hidden_size", CS_CONFIG_INT, AT(hidden), CS_CONFIG_WRITE | CS_CONFIG_REQUIRED},
    {"n_inner", CS_CONFIG_INT, AT(ffn), 0},
    {"num_hidden_layers", CS_CONFIG_INT, AT(n_layers), 0},
    {"n_layer", CS_CONFIG_INT, AT(n_layers), CS_CONFIG_WRITE | CS_CONFIG_REQUIRED},
    {"num_attention_heads", CS_CONFIG_INT, AT(n_heads), 0},
    {"n_head", CS_CONFIG_INT, AT(n_heads), CS_CONFIG_WRITE | CS_CONFIG_REQUIRED},
    {"seq_length", CS_CONFIG_INT, AT(max_pos), CS_CONFIG_WRITE},
    {"layer_norm_epsilon", CS_CONFIG_REAL, AT(norm_eps), CS_CONFIG_WRITE},
    {"initializer_range", CS_CONFIG_REAL, AT(init_std), CS_CONFIG_WRITE},
    {"tie_word_embeddings", CS_CONFIG_BOOL, AT(tied_head), CS_CONFIG_WRITE},
    {"bos_token_id", CS_CONFIG_TOKEN, AT(bos), CS_CONFIG_WRITE},
    {"eos_token_id", CS_CONFIG_TOKEN, AT(eos), CS_CONFIG_WRITE},
    {"pad_token_id", CS_CONFIG_TOKEN, AT(pad), CS_CONFIG_WRITE},
    {0},
};

static const cs_config_fixed fixed[] = {
    {"apply_residual_connection_post_layernorm", "false", NULL}, {"hidden_dropout", "0.0", NULL}, {"attention_dropout", "0.0", NULL}, {0}};

/* DeepSpeed's pipeline numbers its parts: three before the first layer, one behind the last. */
static const cs_megatron_names shard_names = {
    .tensor = {[CS_PART_EMBED] = "tied_modules.embed.word_embeddings", [CS_PART_EMBED_NORM] = "tied_modules.embed.word_embeddings.norm",
               [CS_PART_NORM1] = "%.input_layernorm", [CS_PART_QKV] = "%.self_attention.query_key_value", [CS_PART_O] = "%.self_attention.dense",
               [CS_PART_NORM2] = "%.post_attention_layernorm", [CS_PART_UP] = "%.mlp.dense_h_to_4h", [CS_PART_DOWN] = "%.mlp.dense_4h_to_h",
               [CS_PART_FINAL_NORM] = "%.final_layernorm", [CS_PART_HEAD] = "lm_head"},
    .absolute = true,
    .first_layer = 3,
};

static cs_status read_sizes(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    (void)config, (void)name, (void)err;
    if (spec->ffn == 0)
        spec->ffn = 4 * spec->hidden;
    return CS_OK;
}

static bool write_sizes(const cs_spec *spec, json_t *config)
{
    json_t *inner = spec->ffn == 4 * spec->hidden ? json_null() : json_integer(spec->ffn);
    return json_object_set_new(config, "n_inner", inner) == 0 && json_object_set_new(config, "pretraining_tp", json_integer(1)) == 0;
}

static const cs_size_label sizes[] = {
    {"560M", 24, 1024, 16}, {"1B1", 24, 1536, 16}, {"1B7", 24, 2048, 16}, {"3B", 30, 2560, 32}, {"7B", 30, 4096, 32}, {"176B", 70, 14336, 112}, {0}};

const cs_family cs_family_bloom = {
    .name = "bloom",
    .architectures = architectures,
    .tensor = {[CS_PART_EMBED] = "transformer.word_embeddings", [CS_PART_EMBED_NORM] = "transformer.word_embeddings_layernorm",
               [CS_PART_NORM1] = "transformer.h.%.input_layernorm", [CS_PART_QKV] = "transformer.h.%.self_attention.query_key_value",
               [CS_PART_O] = "transformer.h.%.self_attention.dense", [CS_PART_NORM2] = "transformer.h.%.post_attention_layernorm",
               [CS_PART_UP] = "transformer.h.%.mlp.dense_h_to_4h", [CS_PART_DOWN] = "transformer.h.%.mlp.dense_4h_to_h",
               [CS_PART_FINAL_NORM] = "transformer.ln_f", [CS_PART_HEAD] = "lm_head"},
    .optional_prefix = "transformer.",
    .norm = CS_NORM_LAYER,
    .act = CS_ACT_GELU,
    .qkv = CS_QKV_BY_HEAD,
    .embed_norm = true,
    .rows = {rows},
    .fixed = fixed,
    .megatron = &shard_names,
    .gguf = {.arch = "bloom", .fused_qkv = true, .output_always = true},
    .sizes = sizes,
    .defaults = {.norm_eps = 1e-5, .init_std = 0.02, .max_pos = 2048, .pos = CS_POS_ALIBI, .bias_qkv = true, .bias_out = true, .bias_mlp = true,
                 .tied_head = true},
    .read = read_sizes,
    .write = write_sizes,
};
