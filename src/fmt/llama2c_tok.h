/* The tokenizer file of llama2.c: u32 max_token_length, then per token f32 score, i32 length, bytes, until the end of the file. The number
 * of tokens is not stored. Little endian. Ids 0 1 2 are <unk> <s> </s>, ids 3..258 the bytes. */
#ifndef CS_FMT_LLAMA2C_TOK_H
#define CS_FMT_LLAMA2C_TOK_H

#include "base/error.h"

typedef struct cs_llama2c_token {
    const char *text; /* not NUL-terminated, borrowed from the file's bytes */
    uint32_t len;     /* may be 0 */
    float score;
} cs_llama2c_token;

typedef struct cs_llama2c_tok {
    cs_llama2c_token *tokens; /* owned */
    size_t n_tokens;
    uint32_t max_token_length;
} cs_llama2c_tok;

/* `bytes` must outlive *out. `name` is for messages. CS_E_FORMAT with the offset (also for fewer than the 259 fixed tokens), CS_E_NOMEM. */
cs_status cs_llama2c_tok_parse(const uint8_t *bytes, size_t len, const char *name, cs_llama2c_tok *out, cs_error *err);
void cs_llama2c_tok_release(cs_llama2c_tok *tok);

#endif
