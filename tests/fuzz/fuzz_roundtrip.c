/* decode(encode(x)) = x. The first byte of the input is the tokenizer, the second the flags; the rest is the text. For text that is well-formed UTF-8 and
 * holds nothing that the model itself rewrites (U+2581, which SentencePiece makes a space), the text comes back byte for byte. Any bytes at all can
 * be encoded, streamed decoding equals the whole, and byte ranges lie inside the text, side by side for SentencePiece. */
// seeds: tests/fuzz/corpus/roundtrip/*
#include "fuzz/fuzz_models.h"

/* SentencePiece's pieces lie side by side and cover the text. (Of a code point in bytes the last one has the whole, the others are empty.) */
static void check_tiles(const cs_tokenizer *t, const char *text, size_t n)
{
    cs_ids ids = {0}, ranges = {0};
    cs_error err = {0};
    int32_t at = 0;
    FUZZ_CHECK(cs_tokenizer_encode_ranges(t, text, n, 0, &ids, &ranges, &err) == CS_OK);
    for (size_t i = 0; i < ids.len; i++) {
        FUZZ_CHECK(ranges.data[2 * i] == at);
        at = ranges.data[2 * i + 1];
    }
    FUZZ_CHECK(at == (int32_t)n);
    cs_ids_release(&ids);
    cs_ids_release(&ranges);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    bool spm, byte_level;
    const cs_tokenizer *t = fuzz_model(data[0], &spm, &byte_level);
    int flags = data[1] & (CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL);
    const char *text = (const char *)data + 2;
    size_t n = size - 2;
    cs_str decoded = {0};
    if (!t)
        return 0;
    fuzz_encode(t, text, n, flags, &decoded);
    if (spm)
        check_tiles(t, text, n);
    bool rewritten = memmem(text, n, "\xe2\x96\x81", 3) != NULL && !byte_level;
    if (!(flags & CS_TOK_PARSE_SPECIAL) && !rewritten && cs_utf8_valid_prefix((const uint8_t *)text, n) == n) {
        if (decoded.len != n || memcmp(cs_str_cstr(&decoded), text, n) != 0)
            fprintf(stderr, "%u: '%.*s' came back as '%s'\n", data[0], (int)n, text, cs_str_cstr(&decoded));
        FUZZ_CHECK(decoded.len == n && memcmp(cs_str_cstr(&decoded), text, n) == 0);
    }
    cs_str_release(&decoded);
    return 0;
}
