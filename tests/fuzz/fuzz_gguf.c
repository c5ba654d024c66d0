/* A GGUF file from any bytes: an error with its offset, or keys and tensors whose every byte lies inside the file and does not overlap; every
 * value and array is walked. The bytes are copied to memory of exactly their size. */
// seeds: tests/data/vocab_*.gguf
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/gguf.h"

#include <string.h>

static uint64_t walk(const cs_gguf_value *v, const uint8_t *from, const uint8_t *end)
{
    uint64_t sum = v->n;
    FUZZ_CHECK(v->at >= from && v->bytes <= (size_t)(end - v->at));
    cs_gguf_cursor i = {0};
    cs_gguf_value item;
    int64_t n = 0;
    double x = 0;
    if (cs_gguf_as_int(v, &n) || cs_gguf_as_real(v, &x))
        return (uint64_t)n + (x > 0);
    while (cs_gguf_next(v, &i, &item))
        sum += walk(&item, v->at, v->at + v->bytes);
    if (v->kind == CS_GGUF_ARRAY)
        FUZZ_CHECK(i.index == v->n && i.at == v->bytes);
    for (size_t k = 0; v->kind == CS_GGUF_STRING && k < v->bytes; k++)
        sum += v->at[k];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_gguf g;
    cs_error err = {0};
    uint64_t sum = 0;
    uint8_t *copy = cs_malloc(size + !size);
    FUZZ_CHECK(copy);
    memcpy(copy, data, size);
    if (cs_gguf_init(&g, copy, size, "f", &err) == CS_OK) {
        size_t total = 0;
        for (size_t i = 0; i < g.n_kv; i++)
            sum += walk(&g.kv[i].value, copy, copy + size);
        for (size_t i = 0; i < g.n_tensors; i++) {
            const cs_gguf_tensor *t = &g.tensor[i];
            char name[CS_LIMIT_GGUF_NAME + 1];
            memcpy(name, t->name, t->name_len);
            name[t->name_len] = '\0';
            FUZZ_CHECK(cs_gguf_find_tensor(&g, name) == t);
            FUZZ_CHECK(t->bytes > 0 && t->offset >= g.header_bytes && t->bytes <= size - t->offset);
            sum += t->data[0] + t->data[t->bytes - 1];
            total += t->bytes;
        }
        FUZZ_CHECK(total <= size);
        cs_gguf_release(&g);
    } else {
        FUZZ_CHECK(err.status == CS_E_FORMAT && strncmp(err.msg, "f: offset ", 10) == 0);
    }
    cs_free(copy);
    volatile uint64_t seen = sum; /* keeps the reads */
    (void)seen;
    return 0;
}
