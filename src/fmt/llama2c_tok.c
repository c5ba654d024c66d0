/* The tokenizer file of llama2.c. One pass counts and checks, a second fills. */
#include "fmt/llama2c_tok.h"

#include "base/mem.h"
#include "fmt/limits.h"
#include "fmt/spm.h"

#include <math.h>
#include <string.h>

enum { N_FIXED = 259 };

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Reads the token at *at, moves *at behind it. */
static cs_status read_token(const uint8_t *bytes, size_t len, size_t *at, size_t index, uint32_t max, const char *name, cs_llama2c_token *t,
                            cs_error *err)
{
    if (len - *at < 8)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected 8 bytes of score and length for token %zu, found %zu", name, *at, index,
                       len - *at);
    uint32_t bits = get_u32(bytes + *at), n = get_u32(bytes + *at + 4);
    memcpy(&t->score, &bits, 4);
    if (!isfinite(t->score))
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a finite score for token %zu, found %f", name, *at, index, (double)t->score);
    if (n > max)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected at most %u bytes in token %zu (the file's longest), found %u", name, *at + 4, max,
                       index, n);
    if (n > len - *at - 8)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: token %zu has %u bytes, but only %zu are left", name, *at + 4, index, n, len - *at - 8);
    t->text = (const char *)bytes + *at + 8;
    t->len = n;
    *at += 8 + (size_t)n;
    return CS_OK;
}

cs_status cs_llama2c_tok_parse(const uint8_t *bytes, size_t len, const char *name, cs_llama2c_tok *out, cs_error *err)
{
    size_t at = 4, n = 0;
    cs_llama2c_token t = {0};
    *out = (cs_llama2c_tok){0};
    if (len < 4)
        return cs_fail(err, CS_E_FORMAT, "%s: offset 0: expected the 4 bytes of the longest token's length, found %zu", name, len);
    uint32_t max = get_u32(bytes);
    if (max == 0 || max > CS_LIMIT_LLAMA2C_TOKEN)
        return cs_fail(err, CS_E_FORMAT, "%s: offset 0: expected 1 to %d as the longest token's length, found %u", name, CS_LIMIT_LLAMA2C_TOKEN, max);
    for (; at < len; n++) {
        CS_TRY(read_token(bytes, len, &at, n, max, name, &t, err));
        if (n >= 3 && n < N_FIXED && cs_spm_byte_value(t.text, t.len) != (int)n - 3)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected <0x%02zX> as token %zu, found another", name, at - t.len, n - 3, n);
    }
    if (n < N_FIXED || n > CS_LIMIT_PIECES)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected %d to %d tokens, found %zu", name, at, N_FIXED, CS_LIMIT_PIECES, n);
    out->tokens = cs_realloc_array(NULL, n, sizeof *out->tokens);
    if (!out->tokens)
        return cs_fail_nomem(err, n * sizeof *out->tokens, "the tokens of a tokenizer");
    at = 4;
    for (out->n_tokens = 0; out->n_tokens < n; out->n_tokens++)
        CS_TRY(read_token(bytes, len, &at, out->n_tokens, max, name, &out->tokens[out->n_tokens], err));
    out->max_token_length = max;
    return CS_OK;
}

void cs_llama2c_tok_release(cs_llama2c_tok *tok)
{
    cs_free(tok->tokens);
    *tok = (cs_llama2c_tok){0};
}
