/* Decoding of ids that no encoder gives. The first byte of the input is the tokenizer, then two bytes an id. Streamed pieces end on code points and add
 * up to the whole; an id out of range is an error that names its position and changes nothing that was decoded before. */
// seeds: tests/fuzz/corpus/detok/*
#include "fuzz/fuzz_models.h"

static void whole_code_points(const cs_tokenizer *t, const int32_t *ids, size_t n)
{
    cs_detok d = {0};
    cs_str out = {0};
    cs_error err = {0};
    size_t checked = 0;
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(cs_detok_push(&d, t, ids[i], &out, &err) == CS_OK);
        FUZZ_CHECK(cs_utf8_valid_prefix((const uint8_t *)cs_str_cstr(&out) + checked, out.len - checked) == out.len - checked);
        checked = out.len;
    }
    cs_detok_release(&d);
    cs_str_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    bool spm, byte_level;
    const cs_tokenizer *t = fuzz_model(data[0], &spm, &byte_level);
    if (!t)
        return 0;
    int32_t vocab = cs_tokenizer_vocab_size(t);
    cs_ids ids = {0};
    cs_str whole = {0};
    cs_error err = {0};
    for (size_t i = 1; i + 2 <= size; i += 2)
        cs_ids_push(&ids, (data[i] | data[i + 1] << 8) % vocab);
    FUZZ_CHECK(!ids.failed);
    fuzz_decode(t, ids.data, ids.len, &whole);
    whole_code_points(t, ids.data, ids.len);
    cs_str_clear(&whole);
    FUZZ_CHECK(cs_tokenizer_decode(t, ids.data, ids.len, true, &whole, &err) == CS_OK);
    cs_ids_push(&ids, data[0] & 1 ? -1 : vocab);
    cs_str_clear(&whole);
    cs_status s = cs_tokenizer_decode(t, ids.data, ids.len, false, &whole, &err);
    FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
    cs_str_release(&whole);
    cs_ids_release(&ids);
    return 0;
}
