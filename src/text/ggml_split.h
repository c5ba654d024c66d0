/* The ways of cutting words that GGUF files name in tokenizer.ggml.pre, for byte-level vocabularies. */
#ifndef CS_TEXT_GGML_SPLIT_H
#define CS_TEXT_GGML_SPLIT_H

#include "text/tokenizer.h"

enum { CS_GGML_SPLIT_PATTERNS = 4 };

typedef struct cs_ggml_split {
    const char *pre;
    const char *pattern[CS_GGML_SPLIT_PATTERNS]; /* one after the other, each inside the words of the one before; NULL behind the last */
    bool bos;                                    /* BOS is added unless the file says otherwise */
    bool ignore_merges;                          /* a word that is a token is taken whole */
} cs_ggml_split;

/* By name; NULL when it is not known. */
const cs_ggml_split *cs_ggml_split_find(const char *pre, size_t len);
/* The one that a byte-level tokenizer uses, whatever it was read from; NULL when llama.cpp has no name for it. */
const cs_ggml_split *cs_ggml_split_of(const cs_tokenizer *tok);

#endif
