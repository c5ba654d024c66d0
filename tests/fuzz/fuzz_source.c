/* Models in one file: GGUF, llama2.c's .bin and .pt, and a DeepSpeed shard that brings its config. Opened, an error with a message; or every row of every
 * tensor can be read. */
// seeds: tests/fuzz/corpus/llama2c/* tests/fuzz/corpus/source/*
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "ckpt/source.h"

#include <stdio.h>
#include <string.h>

static void open_path(const char *path)
{
    cs_source src;
    cs_error err = {0};
    cs_status s = cs_source_init(&src, path, NULL, &err);
    if (s == CS_OK) {
        for (int64_t i = 0; i < cs_param_n_views(&src.table); i++) {
            const cs_param_view *v = &src.view[i];
            int64_t cols = v->ndim == 2 ? v->shape[1] : 1;
            float *row = cs_malloc((size_t)cols * sizeof *row);
            FUZZ_CHECK(row);
            for (int64_t r = 0; r < v->shape[0]; r++)
                cs_source_read(&src, i, r, 1, CS_F32, row);
            cs_free(row);
        }
    } else {
        FUZZ_CHECK((s == CS_E_FORMAT || s == CS_E_IO || s == CS_E_USAGE) && err.status == s && err.msg[0]);
    }
    cs_source_release(&src);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char folder[4096];
    const char *path = fuzz_file("f", data, size);
    open_path(path);
    remove(path);
    path = fuzz_file("mp_rank_00_model_states.pt", data, size);
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    open_path(folder);
    remove(path);
    return 0;
}
