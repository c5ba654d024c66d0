/* model.safetensors.index.json from any bytes: the distinct file names are plain names, every tensor maps to one of them. */
// seeds: $CS_SHARED_DATA/safetensors/*.index.json $CS_SHARED_DATA/safetensors/*/*.index.json
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/safetensors.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_st_index index;
    cs_error err = {0};
    cs_status s = cs_st_index_init(&index, (const char *)data, size, "i", &err);
    if (s != CS_OK) {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
        return 0;
    }
    const char *tensor;
    json_t *file;
    FUZZ_CHECK(index.n_files <= json_object_size(index.weight_map));
    for (size_t i = 0; i < index.n_files; i++)
        FUZZ_CHECK(index.file[i][0] != '\0' && !strchr(index.file[i], '/') && strcmp(index.file[i], "..") != 0);
    json_object_foreach((json_t *)index.weight_map, tensor, file)
    {
        bool found = false;
        for (size_t i = 0; i < index.n_files && !found; i++)
            found = strcmp(index.file[i], json_string_value(file)) == 0;
        FUZZ_CHECK(found);
    }
    cs_st_index_release(&index);
    return 0;
}
