/* The zip directory from any bytes: an error with a place, or entries that fill the file from its start to the directory, all found by name. */
// seeds: tests/data/torch/*.pt
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/zip.h"

#include <stdlib.h>
#include <string.h>

static int by_header(const void *a, const void *b)
{
    const cs_zip_entry *x = a, *y = b;
    return x->header < y->header ? -1 : x->header > y->header;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_zip zip;
    cs_error err = {0};
    int64_t held = cs_mem_bytes();
    if (cs_zip_init(&zip, data, size, "f", &err) != CS_OK) {
        FUZZ_CHECK(err.status == CS_E_FORMAT && strstr(err.msg, "byte") && cs_mem_bytes() == held);
        return 0;
    }
    FUZZ_CHECK((size_t)(cs_mem_bytes() - held) <= 2 * size + 128);
    for (size_t i = 0; i < zip.n; i++) {
        const cs_zip_entry *e = &zip.entry[i];
        FUZZ_CHECK(cs_zip_find(&zip, e->name, e->name_len) == e);
        FUZZ_CHECK(e->data == data + e->offset && e->header < e->offset && e->offset + e->bytes <= e->end && e->end < size);
        FUZZ_CHECK(e->name[0] != '/' && !memchr(e->name, 0, e->name_len) && !memmem(e->name, e->name_len, "/../", 4));
        cs_zip_check_crc(&zip, e, NULL);
    }
    size_t at = 0;
    if (zip.n > 1)
        qsort(zip.entry, zip.n, sizeof *zip.entry, by_header);
    for (size_t i = 0; i < zip.n; at = zip.entry[i++].end)
        FUZZ_CHECK(zip.entry[i].header == at);
    cs_zip_release(&zip);
    return 0;
}
