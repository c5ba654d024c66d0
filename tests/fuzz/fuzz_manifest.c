/* A manifest from any bytes. Its own hash would stop nearly every input at the door, so the input is also taken as a body to which the right
 * hash is put; what is accepted is written and read back equal. */
#include "fuzz/fuzz.h"

#include "ckpt/manifest.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

static void check(const char *bytes, size_t size)
{
    cs_manifest m, back;
    cs_str text = {0};
    cs_error err = {0};
    if (cs_manifest_parse(&m, bytes, size, "m", &err) != CS_OK) {
        FUZZ_CHECK(err.status == CS_E_CKPT && err.msg[0]);
        return;
    }
    FUZZ_CHECK(cs_manifest_write(&m, &text, &err) == CS_OK);
    FUZZ_CHECK(cs_manifest_parse(&back, text.data, text.len, "again", &err) == CS_OK);
    FUZZ_CHECK(back.n_files == m.n_files && back.iteration == m.iteration);
    for (size_t i = 0; i < m.n_files; i++) {
        FUZZ_CHECK(strcmp(m.file[i].name, back.file[i].name) == 0 && m.file[i].bytes == back.file[i].bytes);
        FUZZ_CHECK(m.file[i].hash[0] == back.file[i].hash[0] && m.file[i].n_tensors == back.file[i].n_tensors);
    }
    cs_manifest_release(&back);
    cs_manifest_release(&m);
    cs_str_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_str text = {0};
    check((const char *)data, size);
    cs_str_append(&text, data, size);
    XXH128_hash_t h = XXH3_128bits(data, size);
    cs_str_printf(&text, ",\n\"xxh128\": \"%016" PRIx64 "%016" PRIx64 "\"\n}\n", (uint64_t)h.high64, (uint64_t)h.low64);
    check(text.data, text.len);
    cs_str_release(&text);
    return 0;
}
