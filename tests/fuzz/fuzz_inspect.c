/* `inspect` on any bytes under the names that files have: the kind is told by the content, so every reader is behind it. An error with a message, or an
 * object with path and kind that can be written as JSON. The first byte of the input is the name. */
// seeds: tests/data/*.gguf tests/data/tok_* tests/data/indexmap/a.idx tests/data/indexmap/blend0.npy tests/fuzz/corpus/llama2c/* tests/fuzz/corpus/inspect/*
#include "fuzz/fuzz.h"

#include "cli/facts.h"
#include "fmt/json.h"

#include <stdio.h>

static void inspect(const char *name, const uint8_t *bytes, size_t n)
{
    json_t *o = NULL;
    cs_error err = {0};
    cs_str text = {0};
    const char *path = fuzz_file(name, bytes, n);
    cs_status s = cs_facts_of(path, &o, &err);
    if (s == CS_OK) {
        FUZZ_CHECK(json_is_string(json_object_get(o, "path")) && json_is_string(json_object_get(o, "kind")));
        FUZZ_CHECK(cs_json_dump(o, 0, &text, &err) == CS_OK);
        json_decref(o);
        cs_str_release(&text);
    } else {
        FUZZ_CHECK((s == CS_E_FORMAT || s == CS_E_CKPT || s == CS_E_IO) && err.status == s && err.msg[0]);
    }
    remove(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"f", "f.json", "f.safetensors", "tokenizer.json", "tokenizer.model", "f.bin", "f.gguf", "f.idx", "f.npy", "f.jsonl",
                                        "config.json", "model.safetensors.index.json", "MANIFEST", "f.txt"};
    if (size < 1)
        return 0;
    inspect(names[data[0] % (sizeof names / sizeof *names)], data + 1, size - 1);
    inspect(names[0], data, size); /* whole files as seeds */
    return 0;
}
