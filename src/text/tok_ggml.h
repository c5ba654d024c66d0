/* A tokenizer as the keys tokenizer.ggml.* of a GGUF file want it. */
#ifndef CS_TEXT_TOK_GGML_H
#define CS_TEXT_TOK_GGML_H

#include "base/mem.h"
#include "base/str.h"
#include "text/tokenizer.h"

typedef struct cs_ggml_token {
    const char *text;
    size_t len;
    float score;
    int32_t type; /* 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte */
} cs_ggml_token;

typedef struct cs_ggml_vocab {
    const char *model, *pre; /* "llama", "t5" or "gpt2"; pre for gpt2 only, else NULL */
    cs_ggml_token *token;    /* [n] */
    int32_t n;
    cs_str *merge;           /* [n_merges], "left right" in order; gpt2 only */
    size_t n_merges;
    bool add_space_prefix, add_bos, add_eos;
    cs_arena arena;
} cs_ggml_vocab;

/* `n_ids`: the model's vocabulary; ids beyond the tokenizer's become unused tokens [PADn]. The tokenizer must outlive *v. CS_E_FORMAT when llama.cpp
 * has no word for it (another split than GPT-2's, BLOOM's or Llama 3's; a normaliser with a character map), CS_E_NOMEM. Release after a failure too.
 */
cs_status cs_ggml_vocab_init(cs_ggml_vocab *v, const cs_tokenizer *tok, int64_t n_ids, cs_error *err);
void cs_ggml_vocab_release(cs_ggml_vocab *v);

#endif
