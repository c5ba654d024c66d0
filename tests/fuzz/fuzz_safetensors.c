/* A safetensors file from any bytes: an error or a struct whose tensors tile the data, accepted exactly when the second judge accepts it; what is
 * accepted is written again and read back equal. */
// seeds: $CS_SHARED_DATA/safetensors/*.safetensors
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/safetensors.h"
#include "fuzz/st_check.h"

#include <string.h>

/* The same tensors laid out by the planner must read back with the same names, types and sizes. */
static void round_trip(const cs_safetensors *st)
{
    cs_st_entry *entry = cs_calloc(st->n + 1, sizeof *entry);
    cs_st_plan plan;
    cs_safetensors back;
    FUZZ_CHECK(entry);
    for (size_t i = 0; i < st->n; i++) {
        entry[i] = (cs_st_entry){.name = st->tensor[i].name, .dtype = st->tensor[i].dtype, .ndim = st->tensor[i].ndim};
        memcpy(entry[i].shape, st->tensor[i].shape, sizeof entry[i].shape);
    }
    if (cs_st_plan_init(&plan, entry, st->n, "model", 0, NULL) == CS_OK) {
        uint8_t *file = cs_calloc(1, plan.file[0].size);
        FUZZ_CHECK(file);
        memcpy(file, plan.file[0].header.data, plan.file[0].header.len);
        FUZZ_CHECK(cs_safetensors_init(&back, file, plan.file[0].size, "again", NULL) == CS_OK && back.n == st->n);
        for (size_t i = 0; i < st->n; i++) {
            const cs_st_tensor *t = cs_safetensors_find(&back, st->tensor[i].name);
            FUZZ_CHECK(t && t->dtype == st->tensor[i].dtype && t->bytes == st->tensor[i].bytes && t->ndim == st->tensor[i].ndim);
        }
        cs_safetensors_release(&back);
        cs_free(file);
        cs_st_plan_release(&plan);
    }
    cs_free(entry);
}

static void check(const uint8_t *data, size_t size)
{
    cs_safetensors st;
    cs_error err = {0};
    bool good = st_check(data, size);
    cs_status s = cs_safetensors_init(&st, data, size, "f", &err);
    if (good != (s == CS_OK))
        fprintf(stderr, "the second judge says %s, the reader: %s\n", good ? "good" : "bad", s == CS_OK ? "good" : err.msg);
    FUZZ_CHECK(good == (s == CS_OK));
    if (s != CS_OK) {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
        return;
    }
    size_t at = st.data_start;
    for (size_t i = 0; i < st.n; i++) {
        FUZZ_CHECK(st.tensor[i].offset == at && st.tensor[i].data == data + at);
        at += st.tensor[i].bytes;
    }
    FUZZ_CHECK(at == size);
    if (st.n > 0)
        round_trip(&st);
    cs_safetensors_release(&st);
}

/* The input as a whole file, and as two bytes for the size of the data and the text of a header. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size);
    if (size < 2)
        return 0;
    uint64_t n = size - 2;
    size_t data_bytes = (size_t)data[0] | (size_t)data[1] << 8;
    uint8_t *file = cs_calloc(1, 8 + n + data_bytes);
    FUZZ_CHECK(file);
    memcpy(file, &n, 8);
    memcpy(file + 8, data + 2, n);
    check(file, 8 + n + data_bytes);
    cs_free(file);
    return 0;
}
