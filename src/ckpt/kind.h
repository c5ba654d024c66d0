/* What a path is, decided by content; the name counts only where the content says nothing. */
#ifndef CS_CKPT_KIND_H
#define CS_CKPT_KIND_H

#include "base/error.h"

typedef enum cs_kind {
    CS_KIND_RUN,         /* run folder: iter_* checkpoints */
    CS_KIND_CHECKPOINT,  /* folder with weights and a manifest or trainer/ */
    CS_KIND_HF,          /* Hugging Face folder with safetensors or pytorch_model.bin */
    CS_KIND_MEGATRON,    /* Megatron or AscendSpeed shards, or the folder above them */
    CS_KIND_TOKENIZER,   /* folder, tokenizer.model, tokenizer.json or llama2.c tokenizer */
    CS_KIND_SAFETENSORS,
    CS_KIND_ST_INDEX,    /* model.safetensors.index.json */
    CS_KIND_CONFIG,      /* config.json of a model */
    CS_KIND_MANIFEST,
    CS_KIND_TOK_CONFIG,  /* tokenizer_config.json, special_tokens_map.json */
    CS_KIND_VOCAB,       /* vocab.json, added_tokens.json: an object of ids */
    CS_KIND_MERGES,      /* merges.txt */
    CS_KIND_GGUF,
    CS_KIND_LLAMA2C,     /* llama2.c model .bin */
    CS_KIND_IDXBIN,      /* prefix, .idx or .bin of an indexed data set */
    CS_KIND_NPY,
    CS_KIND_METRICS,     /* metrics.jsonl of a run */
    CS_KIND_TFEVENTS,
    CS_KIND_JSONL,       /* one JSON value a line, packed or not */
    CS_KIND_TEXT,        /* UTF-8, packed or not */
    CS_KIND_JSON,        /* any other JSON */
    CS_KIND_TORCH,       /* recognised by their first bytes, not read: PyTorch checkpoint */
    CS_KIND_ZIP,
    CS_KIND_PARQUET,
    CS_KIND_COUNT
} cs_kind;

/* "checkpoint", "llama2.c model", ... */
const char *cs_kind_text(cs_kind kind);
/* CS_E_IO when the path is missing or no file or folder, CS_E_FORMAT when it is nothing this program reads, CS_E_NOMEM. */
cs_status cs_kind_of(const char *path, cs_kind *out, cs_error *err);
/* Prefix of an indexed data set from the prefix itself, its .idx or its .bin, into buf; false when there is none. */
bool cs_kind_idx_prefix(const char *path, char *buf, size_t n);

#endif
