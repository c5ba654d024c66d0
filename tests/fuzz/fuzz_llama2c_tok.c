/* A llama2.c tokenizer from any bytes: an error, or a tokenizer that works. */
// seeds: tests/data/tok512.bin
#include "fuzz/fuzz_tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_tokenizer("llama2c", data, size);
    return 0;
}
