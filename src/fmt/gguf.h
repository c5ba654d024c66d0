/* GGUF, versions 2 and 3, little endian: header, key-values, tensor table, data. Reader only, pure: bytes in, struct or error with offset out.
 * Every count is held against the bytes that are left before anything is allocated for it, so memory is bounded by the header; every size goes
 * through checked arithmetic; no two keys, tensor names or tensor ranges coincide. Values stay where they are in the file and are read
 * through cs_gguf_value and the getters; arrays are walked with cs_gguf_next. */
#ifndef CS_FMT_GGUF_H
#define CS_FMT_GGUF_H

#include "base/error.h"
#include "fmt/limits.h"

enum { CS_GGUF_MAX_DIMS = CS_LIMIT_GGUF_RANK, CS_GGUF_ALIGNMENT = 32 };

/* The format's numbers. */
typedef enum cs_gguf_kind {
    CS_GGUF_U8, CS_GGUF_I8, CS_GGUF_U16, CS_GGUF_I16, CS_GGUF_U32, CS_GGUF_I32, CS_GGUF_F32, CS_GGUF_BOOL, CS_GGUF_STRING, CS_GGUF_ARRAY,
    CS_GGUF_U64, CS_GGUF_I64, CS_GGUF_F64, CS_GGUF_KIND_COUNT
} cs_gguf_kind;

/* One value; `at` points into the file: a scalar's bytes (little endian, unaligned), a string's text, an array's first element. */
typedef struct cs_gguf_value {
    cs_gguf_kind kind;
    cs_gguf_kind item;  /* ARRAY: kind of the elements */
    uint64_t n;         /* ARRAY: number of elements, else 1 */
    const uint8_t *at;
    size_t bytes;       /* of the scalar, the text or all elements */
} cs_gguf_value;

typedef struct cs_gguf_kv {
    const char *key; /* valid UTF-8 without control characters, not NUL-terminated */
    size_t key_len;
    size_t offset;   /* of the entry in the file */
    cs_gguf_value value;
} cs_gguf_kv;

typedef struct cs_gguf_tensor {
    const char *name; /* as kv keys */
    size_t name_len;
    uint32_t type;    /* ggml type, one that cs_gguf_type_name knows */
    int ndim;
    int64_t dim[CS_GGUF_MAX_DIMS]; /* the fastest first; each >= 1 */
    int64_t n;        /* elements */
    size_t entry;     /* offset of the table entry */
    size_t offset;    /* of the data from the start of the file, a multiple of the alignment after data_start */
    size_t bytes;
    const uint8_t *data;
} cs_gguf_tensor;

typedef struct cs_gguf {
    uint32_t version;
    cs_gguf_kv *kv;         /* in file order */
    size_t n_kv;
    cs_gguf_tensor *tensor; /* in file order */
    size_t n_tensors;
    size_t alignment;
    size_t header_bytes;    /* up to the end of the tensor table */
    size_t data_start;      /* header_bytes rounded up; beyond the file when there are no tensors */
    size_t kv_start, kv_end; /* where the key-values lie */
    const char *name;       /* for messages; borrowed */
    const cs_gguf_kv **by_key;
    const cs_gguf_tensor **by_name;
} cs_gguf;

/* Reads the header of a whole file at bytes[0..size); bytes and `name` must outlive *g. CS_E_FORMAT with the byte offset of what is
 * wrong, CS_E_NOMEM. On failure nothing is held. */
cs_status cs_gguf_init(cs_gguf *g, const uint8_t *bytes, size_t size, const char *name, cs_error *err);
void cs_gguf_release(cs_gguf *g);

/* NULL when absent. `key` and `name` are NUL-terminated. */
const cs_gguf_kv *cs_gguf_find(const cs_gguf *g, const char *key);
const cs_gguf_tensor *cs_gguf_find_tensor(const cs_gguf *g, const char *name);

/* Values by key. A missing key leaves the outputs as they are; another kind than wanted is CS_E_FORMAT naming file, offset and key.
 * int: any integer kind whose value fits; real: F32 or F64; str: borrowed, any bytes, not NUL-terminated. */
cs_status cs_gguf_get_int(const cs_gguf *g, const char *key, int64_t *out, cs_error *err);
cs_status cs_gguf_get_real(const cs_gguf *g, const char *key, double *out, cs_error *err);
cs_status cs_gguf_get_bool(const cs_gguf *g, const char *key, bool *out, cs_error *err);
cs_status cs_gguf_get_str(const cs_gguf *g, const char *key, const char **out, size_t *len, cs_error *err);
/* An array with elements of kind `item`. *out = NULL when the key is missing. */
cs_status cs_gguf_get_array(const cs_gguf *g, const char *key, cs_gguf_kind item, const cs_gguf_value **out, cs_error *err);

/* Scalars of a value: false when it is of another kind or does not fit. */
bool cs_gguf_as_int(const cs_gguf_value *v, int64_t *out);
bool cs_gguf_as_real(const cs_gguf_value *v, double *out);

/* Walks an array: zero-initialise `*i`, then call until it returns false. */
typedef struct cs_gguf_cursor {
    uint64_t index; /* of the element that the next call gives */
    size_t at;
} cs_gguf_cursor;
bool cs_gguf_next(const cs_gguf_value *array, cs_gguf_cursor *i, cs_gguf_value *item);

/* "u32", "string", "array", ... */
const char *cs_gguf_kind_name(cs_gguf_kind kind);
/* "F32", "Q8_0", ...; NULL for a type that is not known. */
const char *cs_gguf_type_name(uint32_t type);
/* Elements and bytes of one block of a known type (1 element for plain types). */
void cs_gguf_type_block(uint32_t type, size_t *elements, size_t *bytes);

#endif
