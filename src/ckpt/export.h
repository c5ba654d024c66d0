/* Writing a folder from any source of weights, one slice of a tensor at a time: Hugging Face's form, or Megatron shards of any TP x PP. */
#ifndef CS_CKPT_EXPORT_H
#define CS_CKPT_EXPORT_H

#include "ckpt/source.h"

typedef enum cs_export_to { CS_EXPORT_HF, CS_EXPORT_MEGATRON, CS_EXPORT_GGUF } cs_export_to;

typedef struct cs_export_args {
    const char *output;      /* folder to make; must not exist or be empty. gguf: the file */
    cs_export_to to;
    bool keep_dtype;
    cs_dtype dtype;          /* unless keep_dtype */
    bool q8_0;               /* gguf: matrices in 8 bits */
    size_t max_shard_bytes;  /* hf: 0 = one file */
    const char *tokenizer;   /* file or folder to carry over instead of the source's own; NULL = the source's */
    /* megatron */
    int64_t tp, pp, vp;      /* layout; vp chunks (virtual stages) of every stage, 1 = none */
    const int64_t *stage_layers; /* [pp] layers of each stage, NULL = even; vp 1 only */
    int64_t vocab_multiple, added_tokens; /* the vocabulary and room for more ids is padded to a multiple of this times tp */
    bool merged_mlp;         /* gate and up as one tensor mlp.proj */
    bool deepspeed;          /* release/mp_rank_XX_model_states.pt and `latest` */
} cs_export_args;

/* hf: config.json, generation_config.json, weights, tokenizer files. megatron: release/mp_rank_TT[_PPP]/model_optim_rng.pt with the config inside as
 * plain dicts, the tracker file, tokenizer files. gguf: one file with the tokenizer inside. All into a temporary folder that gets its name at the
 * end. *bytes_out (may be NULL) gets the bytes of all weights. CS_E_USAGE when `output` is not empty or the layout cannot be, CS_E_IO, CS_E_FORMAT,
 * CS_E_NOMEM. */
cs_status cs_export(const cs_source *src, const cs_export_args *args, size_t *bytes_out, cs_error *err);

#endif
