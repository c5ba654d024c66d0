/* A whole tokenizer from the keys of a hostile GGUF file, then text through it. */
// seeds: tests/data/vocab_*.gguf
#include "tok_roundtrip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tok_fuzz("gguf", data, size, "  Hello, <s> world</s>!\n\xf0\x9f\x98\x80\xe2\x96\x81\xff a<user>");
    return 0;
}
