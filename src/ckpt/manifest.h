/* MANIFEST of a checkpoint: what a complete one consists of. JSON with the iteration, the run it belongs to, and of every file its size and xxh3-128;
 * of every safetensors file also each tensor's place and xxh3-64, so that damage can be named. The last member is the xxh3-128 of all
 * bytes before it. Reading it is pure. */
#ifndef CS_CKPT_MANIFEST_H
#define CS_CKPT_MANIFEST_H

#include "base/mem.h"
#include "fmt/safetensors.h"

#define CS_MANIFEST_NAME "MANIFEST"

typedef struct cs_manifest_tensor {
    const char *name;
    size_t offset, bytes; /* in the file */
    uint64_t hash;        /* xxh3-64 of the data */
} cs_manifest_tensor;

typedef struct cs_manifest_file {
    const char *name; /* "config.json", "trainer/optimizer.safetensors" */
    size_t bytes;
    uint64_t hash[2]; /* xxh3-128: low, high */
    cs_manifest_tensor *tensor; /* by offset */
    size_t n_tensors;
} cs_manifest_file;

typedef struct cs_manifest {
    int64_t iteration;
    const char *run_id, *tokenizer_hash; /* NULL = not given */
    cs_manifest_file *file;
    size_t n_files, cap;
    uint32_t *slot; /* [2 * cap] by the hash of the name: number of the file + 1; 0 = free */
    cs_arena arena; /* owns everything above */
} cs_manifest;

void cs_manifest_init(cs_manifest *m, int64_t iteration);
void cs_manifest_release(cs_manifest *m);
/* NULL when the name is not listed. */
const cs_manifest_file *cs_manifest_find(const cs_manifest *m, const char *name);
/* Adds a file to be hashed later; `plan_file` gives the tensors of a safetensors file (else plan and plan_file NULL). A name that is there
 * already is ignored. CS_E_NOMEM. */
cs_status cs_manifest_add(cs_manifest *m, const char *name, const cs_st_plan *plan, const cs_st_file *plan_file, cs_error *err);
/* Fills size and hashes of file i from the file in `dir`. Safetensors files must have the planned layout's length: else CS_E_IO. */
cs_status cs_manifest_hash_file(cs_manifest *m, size_t i, const char *dir, cs_error *err);
cs_status cs_manifest_write(const cs_manifest *m, cs_str *out, cs_error *err);
/* Parses bytes[0..len). CS_E_CKPT with what is wrong, CS_E_NOMEM. On failure nothing is held. */
cs_status cs_manifest_parse(cs_manifest *m, const char *bytes, size_t len, const char *name, cs_error *err);

/* Reads dir/MANIFEST. *present false (and CS_OK) when there is none. */
cs_status cs_manifest_load(cs_manifest *m, const char *dir, bool *present, cs_error *err);
typedef enum cs_manifest_scope { CS_MANIFEST_ALL, CS_MANIFEST_TOP, CS_MANIFEST_TRAINER } cs_manifest_scope;
/* All files are there with their sizes, and no other safetensors file is. Cheap. CS_E_CKPT naming the file. */
cs_status cs_manifest_check_sizes(const cs_manifest *m, const char *dir, cs_manifest_scope scope, cs_error *err);
/* check_sizes and the hash of every file, files side by side on the threads. CS_E_CKPT naming damaged file, tensor and bytes. */
cs_status cs_manifest_check(const cs_manifest *m, const char *dir, cs_manifest_scope scope, cs_error *err);

#endif
