/* A header and an index from any bytes: an error or a struct whose tensors tile the data; what is accepted is written again and read back equal. */
#include "base/mem.h"
#include "fmt/safetensors.h"

#include <string.h>

/* The same tensors laid out by the planner must read back with the same names, types and sizes. */
static void round_trip(const cs_safetensors *st)
{
    cs_st_entry *entry = cs_calloc(st->n + 1, sizeof *entry);
    cs_st_plan plan;
    cs_safetensors back;
    CS_ASSERT(entry);
    for (size_t i = 0; i < st->n; i++) {
        entry[i] = (cs_st_entry){.name = st->tensor[i].name, .dtype = st->tensor[i].dtype, .ndim = st->tensor[i].ndim};
        memcpy(entry[i].shape, st->tensor[i].shape, sizeof entry[i].shape);
    }
    if (cs_st_plan_init(&plan, entry, st->n, "model", 0, NULL) == CS_OK) {
        uint8_t *file = cs_calloc(1, plan.file[0].size);
        CS_ASSERT(file);
        memcpy(file, plan.file[0].header.data, plan.file[0].header.len);
        CS_ASSERT(cs_safetensors_init(&back, file, plan.file[0].size, "again", NULL) == CS_OK && back.n == st->n);
        for (size_t i = 0; i < st->n; i++) {
            const cs_st_tensor *t = cs_safetensors_find(&back, st->tensor[i].name);
            CS_ASSERT(t && t->dtype == st->tensor[i].dtype && t->bytes == st->tensor[i].bytes && t->ndim == st->tensor[i].ndim);
        }
        cs_safetensors_release(&back);
        cs_free(file);
        cs_st_plan_release(&plan);
    }
    cs_free(entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_safetensors st;
    cs_st_index index;
    cs_error err = {0};
    if (cs_safetensors_init(&st, data, size, "f", &err) == CS_OK) {
        size_t at = st.data_start;
        for (size_t i = 0; i < st.n; i++) {
            CS_ASSERT(st.tensor[i].offset == at && st.tensor[i].data == data + at);
            at += st.tensor[i].bytes;
        }
        CS_ASSERT(at == size);
        if (st.n > 0)
            round_trip(&st);
        cs_safetensors_release(&st);
    } else {
        CS_ASSERT(err.status != CS_OK && err.msg[0]);
    }
    if (cs_st_index_init(&index, (const char *)data, size, "i", &err) == CS_OK) {
        CS_ASSERT(index.n_files <= json_object_size(index.weight_map));
        cs_st_index_release(&index);
    }
    return 0;
}
