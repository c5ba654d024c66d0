/* LLaMA and LLaMA 2: pre-norm decoder with RMSNorm, rotary positions, SwiGLU, optional grouped-query attention, no biases by default. */
#include "model/family/families.h"

static const char *const architectures[] = {"LlamaForCausalLM", "LLaMAForCausalLM", NULL};

const cs_family cs_family_llama = {
    .name = "llama",
    .architectures = architectures,
    .tensor = {
        [CS_PART_EMBED] = "model.embed_tokens",
        [CS_PART_NORM1] = "model.layers.%.input_layernorm",
        [CS_PART_Q] = "model.layers.%.self_attn.q_proj",
        [CS_PART_K] = "model.layers.%.self_attn.k_proj",
        [CS_PART_V] = "model.layers.%.self_attn.v_proj",
        [CS_PART_O] = "model.layers.%.self_attn.o_proj",
        [CS_PART_NORM2] = "model.layers.%.post_attention_layernorm",
        [CS_PART_GATE] = "model.layers.%.mlp.gate_proj",
        [CS_PART_UP] = "model.layers.%.mlp.up_proj",
        [CS_PART_DOWN] = "model.layers.%.mlp.down_proj",
        [CS_PART_FINAL_NORM] = "model.norm",
        [CS_PART_HEAD] = "lm_head",
    },
};
