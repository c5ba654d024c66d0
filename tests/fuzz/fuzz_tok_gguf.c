/* A tokenizer from the keys of a GGUF file of any bytes: an error, or a tokenizer that works. */
// seeds: tests/data/vocab_*.gguf
#include "fuzz/fuzz_tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_tokenizer("gguf", data, size);
    return 0;
}
