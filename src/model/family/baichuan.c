/* Baichuan 1 and 2, 7B and 13B: LLaMA with query, key and value in one tensor. 7B rotates; 13B uses ALiBi, which its config shows by having no
 * max_position_embeddings. Version 2 has 125696 ids, a z-loss weight and a head whose rows are scaled to length 1 before use. */
#include "model/family/families.h"

#include "fmt/json.h"

#include <stddef.h>

#define AT(field) offsetof(cs_spec, field)

enum { VOCAB_OF_2 = 125696 };

static const char *const architectures[] = {"BaichuanForCausalLM", "BaiChuanForCausalLM", NULL};

static const cs_config_row rows[] = {
    {"model_max_length", CS_CONFIG_INT, AT(max_pos), 0},
    {"max_position_embeddings", CS_CONFIG_INT, AT(max_pos), 0},
    {0},
};

static cs_status read_version(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    double z_loss = 0;
    CS_TRY(cs_json_get_real(config, "z_loss_weight", name, &z_loss, err));
    spec->pos = json_is_integer(json_object_get(config, "max_position_embeddings")) ? CS_POS_ROPE : CS_POS_ALIBI;
    spec->norm_head = json_is_number(json_object_get(config, "z_loss_weight")) || spec->vocab_size == VOCAB_OF_2;
    return CS_OK;
}

static bool write_version(const cs_spec *spec, json_t *config)
{
    const char *key = spec->pos == CS_POS_ROPE ? "max_position_embeddings" : "model_max_length";
    bool ok = json_object_set_new(config, key, json_integer(spec->max_pos)) == 0;
    return ok && (!spec->norm_head || json_object_set_new(config, "z_loss_weight", json_real(0)) == 0);
}

static const cs_size_label sizes[] = {{"7B", 32, 4096, 32}, {"13B", 40, 5120, 40}, {0}};

const cs_family cs_family_baichuan = {
    .name = "baichuan",
    .architectures = architectures,
    .tensor = {CS_TENSORS_LLAMA_COMMON, [CS_PART_QKV] = "model.layers.%.self_attn.W_pack"},
    .qkv = CS_QKV_BLOCKS,
    .rows = {cs_config_llama_like, rows},
    .fixed = cs_config_silu,
    .megatron = &cs_megatron_llama,
    .gguf = {.arch = "baichuan", .pairs = true},
    .sizes = sizes,
    .defaults = {.norm_eps = 1e-6, .rope_theta = 10000, .init_std = 0.02, .max_pos = 4096},
    .read = read_version,
    .write = write_version,
};
