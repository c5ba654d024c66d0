/* safetensors: u64 LE N | N bytes of JSON | data. Reader and header planner; pure, no file access.
 * The reader accepts nothing that the format forbids: every byte of the data belongs to exactly one tensor, and every size was checked
 * against the file before a pointer into it is given out. The planner fixes all offsets before any data exists, so that several ranks can write
 * their own ranges of one file; equal tensors give equal bytes. */
#ifndef CS_FMT_SAFETENSORS_H
#define CS_FMT_SAFETENSORS_H

#include "base/dtype.h"
#include "base/error.h"
#include "base/str.h"
#include "fmt/limits.h"

#include <jansson.h>

enum { CS_ST_MAX_DIMS = CS_LIMIT_ST_RANK };

typedef struct cs_st_tensor {
    const char *name; /* borrowed from cs_safetensors.names; without NUL */
    cs_dtype dtype;
    int ndim;
    int64_t shape[CS_ST_MAX_DIMS];
    int64_t n;        /* elements */
    size_t offset;    /* bytes from the start of the file; may be unaligned for the dtype */
    size_t bytes;
    const uint8_t *data; /* borrowed from the mapped file */
} cs_st_tensor;

typedef struct cs_safetensors {
    cs_st_tensor *tensor; /* by offset */
    size_t n;
    char *names;            /* owns the names */
    json_t *metadata;       /* "__metadata__" (string -> string) or NULL; owned */
    size_t data_start;
    cs_st_tensor **by_name; /* sorted, for cs_safetensors_find */
} cs_safetensors;

/* Reads the header of a whole file at bytes[0..size), which must outlive `st`. `name` is for messages only.
 * CS_E_FORMAT with the byte offset of what is wrong; CS_E_NOMEM. On failure nothing is held. */
cs_status cs_safetensors_init(cs_safetensors *st, const uint8_t *bytes, size_t size, const char *name, cs_error *err);
void cs_safetensors_release(cs_safetensors *st);
/* NULL when absent. */
const cs_st_tensor *cs_safetensors_find(const cs_safetensors *st, const char *name);

/* The format's own spelling ("F32", "BF16") and back; false for an unknown one. */
const char *cs_st_dtype_name(cs_dtype t);
bool cs_st_dtype_parse(const char *text, cs_dtype *out);
/* "[4, 8]" into buf. */
const char *cs_st_shape_text(int ndim, const int64_t *shape, char *buf, size_t n);

/* One tensor to be written. `tag` is the caller's. offset and file are filled by the planner. */
typedef struct cs_st_entry {
    const char *name; /* valid UTF-8, borrowed */
    cs_dtype dtype;
    int ndim;
    int64_t shape[CS_ST_MAX_DIMS];
    int64_t tag;
    size_t bytes;  /* filled: of the data */
    size_t offset; /* filled: from the start of its file */
    size_t file;   /* filled: index into plan->file */
} cs_st_entry;

typedef struct cs_st_file {
    char name[64];  /* "model.safetensors" or "model-00001-of-00003.safetensors" */
    cs_str header;  /* length word, JSON and padding: the bytes before the data */
    size_t size;    /* of the whole file */
    size_t first, n; /* its entries in plan->entry, in file order */
} cs_st_file;

typedef struct cs_st_plan {
    cs_st_entry *entry; /* by file, then in the canonical order: descending dtype alignment, then name */
    size_t n;
    cs_st_file *file;
    size_t n_files;
    cs_str index;       /* text of <base>.safetensors.index.json; empty for a single file */
    size_t total_bytes; /* of all data */
} cs_st_plan;

/* Lays entries[0..n) out in files of at most max_shard_bytes of data each (a larger tensor gets a file of its own; 0 = one file), filled in the
 * order given, as Hugging Face does. Metadata is {"format":"pt"}. CS_E_FORMAT on a duplicate name or an overflow, CS_E_USAGE for more than
 * CS_LIMIT_SHARDS files, CS_E_NOMEM. */
cs_status cs_st_plan_init(cs_st_plan *plan, const cs_st_entry *entries, size_t n, const char *base, size_t max_shard_bytes, cs_error *err);
void cs_st_plan_release(cs_st_plan *plan);

/* A parsed model.safetensors.index.json: which file holds which tensor. */
typedef struct cs_st_index {
    json_t *tree;
    const json_t *weight_map; /* name -> file; borrowed from tree */
    const char **file;        /* distinct file names, in order of first use; borrowed strings */
    size_t n_files;
} cs_st_index;
/* File names must be plain names inside the same folder. CS_E_FORMAT, CS_E_NOMEM. */
cs_status cs_st_index_init(cs_st_index *index, const char *bytes, size_t len, const char *name, cs_error *err);
void cs_st_index_release(cs_st_index *index);

#endif
