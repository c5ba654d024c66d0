/* What the tokenizer targets share: checks that hold for any tokenizer on any text and any ids. */
#ifndef CS_TESTS_FUZZ_TOKENS_H
#define CS_TESTS_FUZZ_TOKENS_H

#include "fuzz/fuzz.h"

#include "text/tok.h"
#include "text/utf8.h"

#include <string.h>

/* Patterns may need too many steps, and a unigram model without an unknown piece does not take every text: then a message is right. */
static inline bool fuzz_may_refuse(const cs_tokenizer *t, cs_status s, const cs_error *err)
{
    return s == CS_E_FORMAT && err->msg[0] && (t->n_regexes > 0 || (t->is_unigram && t->unk < 0));
}

/* ids decoded one by one give the bytes of the whole, and every piece handed out ends on a code point. */
static inline void fuzz_decode(const cs_tokenizer *t, const int32_t *ids, size_t n, cs_str *whole)
{
    cs_str parts = {0};
    cs_detok d = {0};
    cs_error err = {0};
    cs_status s = CS_OK, w;
    for (size_t i = 0; i < n && s == CS_OK; i++) {
        s = cs_detok_push(&d, t, ids[i], &parts, &err);
        FUZZ_CHECK(s == CS_OK || fuzz_may_refuse(t, s, &err));
    }
    cs_detok_finish(&d, &parts);
    cs_str_clear(whole);
    w = cs_tokenizer_decode(t, ids, n, false, whole, &err);
    FUZZ_CHECK(w == CS_OK || fuzz_may_refuse(t, w, &err));
    if (s == CS_OK && w == CS_OK && !parts.failed)
        FUZZ_CHECK(whole->len == parts.len && memcmp(cs_str_cstr(whole), cs_str_cstr(&parts), whole->len) == 0);
    cs_str_release(&parts);
}

/* Ranges lie inside the text, and asking for them changes no id. */
static inline void fuzz_ranges(const cs_tokenizer *t, const char *text, size_t len, int flags, const cs_ids *plain, cs_ids *ranges)
{
    cs_ids ids = {0};
    cs_error err = {0};
    cs_ids_clear(ranges);
    FUZZ_CHECK(cs_tokenizer_encode_ranges(t, text, len, flags, &ids, ranges, &err) == CS_OK);
    FUZZ_CHECK(ids.len == plain->len && ranges->len == 2 * ids.len && (ids.len == 0 || memcmp(ids.data, plain->data, ids.len * sizeof *ids.data) == 0));
    for (size_t i = 0; i < ids.len; i++)
        FUZZ_CHECK(ranges->data[2 * i] >= 0 && ranges->data[2 * i] <= ranges->data[2 * i + 1] && ranges->data[2 * i + 1] <= (int64_t)len);
    cs_ids_release(&ids);
}

/* Any bytes can be encoded; every id is one of the tokenizer's; decoding works. */
static inline void fuzz_encode(const cs_tokenizer *t, const char *text, size_t len, int flags, cs_str *decoded)
{
    cs_ids ids = {0}, ranges = {0};
    cs_error err = {0};
    cs_status s = cs_tokenizer_encode(t, text, len, flags, &ids, &err);
    FUZZ_CHECK(s == CS_OK || fuzz_may_refuse(t, s, &err));
    if (s != CS_OK) {
        cs_ids_release(&ids);
        return;
    }
    fuzz_ranges(t, text, len, flags, &ids, &ranges);
    cs_ids_release(&ranges);
    for (size_t i = 0; i < ids.len; i++)
        FUZZ_CHECK(ids.data[i] >= 0 && ids.data[i] < cs_tokenizer_vocab_size(t));
    fuzz_decode(t, ids.data, ids.len, decoded);
    cs_ids_release(&ids);
}

/* A tokenizer that came out of hostile files is used on a fixed text and on the beginning of `text`. */
static inline void fuzz_use(const cs_tokenizer *t, const char *text, size_t len)
{
    static const char fixed[] = "  Hello, <s> world</s>!\n\xf0\x9f\x98\x80\xe2\x96\x81\xff a";
    cs_str decoded = {0};
    fuzz_encode(t, fixed, sizeof fixed - 1, CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL, &decoded);
    fuzz_encode(t, text, len < 4096 ? len : 4096, 0, &decoded);
    cs_str_release(&decoded);
    for (int32_t id = -1; id <= cs_tokenizer_vocab_size(t) && id < 1000; id++) {
        size_t n;
        const char *piece = cs_tokenizer_piece(t, id, &n);
        FUZZ_CHECK(piece && memchr(piece, 0, n + 1));
        (void)cs_tokenizer_is_special(t, id);
    }
}

static inline void fuzz_tokenizer(const char *kind, const uint8_t *data, size_t size)
{
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    cs_status s = cs_tokenizer_create_from_bytes(kind, data, size, "f", &t, &err);
    if (s != CS_OK) {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
        return;
    }
    fuzz_use(t, (const char *)data, size);
    cs_tokenizer_destroy(t);
}

#endif
