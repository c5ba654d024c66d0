/* Data sets of Hugging Face as they are downloaded: a folder whose files are told apart by split and configuration. */
#ifndef CS_DATA_HF_FOLDER_H
#define CS_DATA_HF_FOLDER_H

#include "data/inputs.h"

/* Is it the name of a file that describes a data set (dataset_info.json and its like)? */
bool cs_hf_describes(const char *name);
/* Adds the files of one split, sorted, of the commonest kind. README.md says which they are when its head has `configs:` with `data_files:`. Else
 * names do, of files before folders: "train-00000-of-00001.parquet", "train.jsonl", "my-train_v2.csv", "train/part.json" are of the split train
 * (as are training; validation: also valid, val, dev; test: testing, eval, evaluation); where no name tells, all files are train. `config` (NULL =
 * the one there is, or the one marked as default) is a name in README.md or a folder. Links are followed, names that begin with '.' or '_' are not
 * looked at. CS_E_FORMAT (several configurations and none named, no such split or configuration, kinds that are not read), CS_E_IO, CS_E_NOMEM. */
cs_status cs_hf_folder_find(const char *dir, const char *config, const char *split, cs_paths *out, cs_error *err);
/* "validation" for "val" and so on; other names as they are. */
const char *cs_hf_split_name(const char *name);

#endif
