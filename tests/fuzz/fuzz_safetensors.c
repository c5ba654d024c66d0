/* A safetensors file from any bytes: an error or a struct whose tensors tile the data; what is accepted is written again and read back equal. */
// seeds: $CS_SHARED_DATA/safetensors/*.safetensors
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/safetensors.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_safetensors st;
    cs_error err = {0};
    if (cs_safetensors_init(&st, data, size, "f", &err) == CS_OK) {
        size_t at = st.data_start;
        for (size_t i = 0; i < st.n; i++) {
            FUZZ_CHECK(st.tensor[i].offset == at && st.tensor[i].data == data + at);
            at += st.tensor[i].bytes;
        }
        FUZZ_CHECK(at == size);
        if (st.n > 0)
            round_trip(&st);
        cs_safetensors_release(&st);
    } else {
        FUZZ_CHECK(err.status == CS_E_FORMAT && err.msg[0]);
    }
    return 0;
}
