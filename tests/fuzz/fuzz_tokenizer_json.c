/* A whole tokenizer from hostile bytes (json), then text through it. */
// seeds: tests/data/tok_tiny.json
#include "tok_roundtrip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tok_fuzz("json", data, size, "  Hello, <s> world</s>!\n\xf0\x9f\x98\x80\xe2\x96\x81\xff a");
    return 0;
}
