/* tokenizer_config.json and special_tokens_map.json, the two parts of the input behind its first byte, beside the good model that the first byte
 * names: an error, or a tokenizer that works. */
// seeds: tests/fuzz/corpus/tok_config/*
#include "fuzz/fuzz_tokens.h"

#include "base/io.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

static cs_map model[2];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    cs_error err = {0};
    (void)argc, (void)argv;
    FUZZ_CHECK(cs_map_init(&model[0], "tests/data/tok_tiny.model", &err) == CS_OK);
    FUZZ_CHECK(cs_map_init(&model[1], "tests/data/tok_tiny.json", &err) == CS_OK);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"tokenizer.model", "tokenizer.json"};
    fuzz_part part[2];
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    if (size < 1)
        return 0;
    size_t which = data[0] & 1;
    char other[600];
    snprintf(other, sizeof other, "%s/%s", fuzz_dir(), names[!which]);
    remove(other);
    fuzz_file(names[which], model[which].data, model[which].size);
    fuzz_split(data + 1, size - 1, part, 2);
    fuzz_file("tokenizer_config.json", part[0].bytes, part[0].n);
    fuzz_file("special_tokens_map.json", part[1].bytes, part[1].n);
    fuzz_input_bytes(size + model[which].size);
    cs_status s = cs_tokenizer_create(fuzz_dir(), &t, &err);
    if (s != CS_OK) {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
        return 0;
    }
    fuzz_use(t, (const char *)data, size);
    cs_tokenizer_destroy(t);
    return 0;
}
