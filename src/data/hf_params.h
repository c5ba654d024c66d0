/* What a file of --hf-datasets-params names: the arguments of Hugging Face's load_dataset as JSON, for data that lies on this machine. */
#ifndef CS_DATA_HF_PARAMS_H
#define CS_DATA_HF_PARAMS_H

#include "data/inputs.h"

/* Keys: "path" (a folder or file; or json, csv, text, parquet for the kind of "data_files"), "name", "data_dir", "data_files" (a path or pattern, a
 * list, or an object of them by split), "split" ("train", "train[:100]", "train[10%:20%]", "a+b"; train where nothing is said), "streaming" (always
 * so). Those that only steer downloads and caches are named in one note. A key without its closing quote and Python's True, False, None are read with
 * a warning that says where. One part for every split in "split"; everything lives in `perm`.
 * CS_E_FORMAT (not that, or no such split), CS_E_IO (no such file or folder: nothing is downloaded), CS_E_NOMEM. */
cs_status cs_hf_params_read(const char *file, cs_arena *perm, cs_inputs *out, cs_error *err);

/* "train[10%:20%]+test[:5]" as parts without files; *names gets the splits. Both live in `perm`. CS_E_FORMAT about `file`, CS_E_NOMEM. */
cs_status cs_hf_split_parse(const char *text, const char *file, cs_arena *perm, cs_inputs *out, const char ***names, cs_error *err);

#endif
