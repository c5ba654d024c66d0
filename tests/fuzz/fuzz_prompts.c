/* Lines of JSON as `generate --prompts` and `score` read them: objects come in order with growing line numbers; an error names file and line. */
// seeds: tests/fuzz/corpus/prompts/*
#include "fuzz/fuzz.h"

#include "cli/jsonl.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_jsonl it;
    cs_error err = {0};
    json_t *o;
    cs_status s;
    int64_t before = 0, lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    cs_jsonl_init(&it, (const char *)data, size, "f");
    while ((s = cs_jsonl_next(&it, &o, &err)) == CS_OK && o) {
        FUZZ_CHECK(json_is_object(o) && it.line > before && it.line <= lines);
        before = it.line;
        json_decref(o);
    }
    FUZZ_CHECK(s == CS_OK || (fuzz_refused(s, CS_E_FORMAT, &err) && strncmp(err.msg, "f:", 2) == 0 && it.line > before));
    return 0;
}
