/* tokenizer.json from any bytes: an error, or a tokenizer that works. */
// seeds: tests/data/tok_*.json
#include "fuzz/fuzz_tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_tokenizer("json", data, size);
    return 0;
}
