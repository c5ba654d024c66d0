/* For fuzz targets: a tokenizer made from hostile bytes must encode and decode without a fault, ids in range, streaming equal to the whole. */
#ifndef CS_TESTS_TOK_ROUNDTRIP_H
#define CS_TESTS_TOK_ROUNDTRIP_H

#include "text/tok.h"

#include <stdlib.h>
#include <string.h>

static inline void tok_fuzz(const char *kind, const uint8_t *data, size_t size, const char *fixed_text)
{
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    cs_ids ids = {0};
    cs_str whole = {0}, parts = {0};
    cs_detok d = {0};
    cs_status s = cs_tokenizer_create_from_bytes(kind, data, size, "fuzz", &t, &err);
    if (s != CS_OK) {
        if (s != CS_E_FORMAT || err.msg[0] == '\0')
            abort();
        return;
    }
    if (cs_tokenizer_encode(t, fixed_text, strlen(fixed_text), CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL, &ids, &err) != CS_OK)
        abort();
    if (cs_tokenizer_encode(t, (const char *)data, size < 4096 ? size : 4096, 0, &ids, &err) != CS_OK)
        abort();
    for (size_t i = 0; i < ids.len; i++)
        if (ids.data[i] < 0 || ids.data[i] >= cs_tokenizer_vocab_size(t) || cs_detok_push(&d, t, ids.data[i], &parts, &err) != CS_OK)
            abort();
    cs_detok_finish(&d, &parts);
    if (cs_tokenizer_decode(t, ids.data, ids.len, false, &whole, &err) != CS_OK || whole.len != parts.len ||
        memcmp(cs_str_cstr(&whole), cs_str_cstr(&parts), whole.len) != 0)
        abort();
    cs_ids_release(&ids);
    cs_str_release(&whole);
    cs_str_release(&parts);
    cs_tokenizer_destroy(t);
}

#endif
