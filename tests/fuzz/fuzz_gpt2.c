/* GPT-2's pair vocab.json and merges.txt, the two parts of the input, as a folder: an error, or a tokenizer that works. */
// seeds: tests/fuzz/corpus/gpt2/*
#include "fuzz/fuzz_tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_part part[2];
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    fuzz_split(data, size, part, 2);
    fuzz_file("vocab.json", part[0].bytes, part[0].n);
    fuzz_file("merges.txt", part[1].bytes, part[1].n);
    cs_status s = cs_tokenizer_create(fuzz_dir(), &t, &err);
    if (s != CS_OK) {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
        return 0;
    }
    fuzz_use(t, (const char *)part[1].bytes, part[1].n);
    cs_tokenizer_destroy(t);
    return 0;
}
