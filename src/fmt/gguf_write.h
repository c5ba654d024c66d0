/* Writing GGUF version 3: keys and tensors are described in order, then the file is laid out (tensor data at multiples of 32 bytes) and the header's
 * bytes are ready; the caller writes them and then the data, tensor by tensor, each followed by its padding. Pure. */
#ifndef CS_FMT_GGUF_WRITE_H
#define CS_FMT_GGUF_WRITE_H

#include "base/str.h"
#include "fmt/gguf.h"
#include "fmt/limits.h"

/* The ggml types that are written. */
enum { CS_GGML_F32 = 0, CS_GGML_F16 = 1, CS_GGML_Q8_0 = 8, CS_GGML_BF16 = 30 };
enum { CS_Q8_0_BLOCK = 32, CS_Q8_0_BYTES = 34 };

typedef struct cs_gguf_out_tensor {
    char name[CS_LIMIT_GGUF_NAME + 1];
    uint32_t type;
    int ndim;
    int64_t dim[CS_GGUF_MAX_DIMS]; /* fastest first */
    size_t bytes, offset;          /* of the data; from the start of the file once laid out */
    int64_t tag;                   /* the caller's */
} cs_gguf_out_tensor;

/* Zero-initialised = empty. */
typedef struct cs_gguf_out {
    cs_str kv;
    uint64_t n_kv;
    cs_gguf_out_tensor *tensor;
    size_t n, cap;
    cs_str header; /* everything before the data, once laid out */
    size_t size;   /* of the file */
    bool failed;   /* out of memory, or a size beyond 2^63: layout reports it */
} cs_gguf_out;

void cs_gguf_out_release(cs_gguf_out *o);

void cs_gguf_put_u32(cs_gguf_out *o, const char *key, uint32_t value);
void cs_gguf_put_f32(cs_gguf_out *o, const char *key, float value);
void cs_gguf_put_bool(cs_gguf_out *o, const char *key, bool value);
void cs_gguf_put_str(cs_gguf_out *o, const char *key, const char *text, size_t len);
/* An array of n items of one kind; then the items by the calls below. */
void cs_gguf_put_array(cs_gguf_out *o, const char *key, cs_gguf_kind item, uint64_t n);
void cs_gguf_item_str(cs_gguf_out *o, const char *text, size_t len);
void cs_gguf_item_i32(cs_gguf_out *o, int32_t value);
void cs_gguf_item_f32(cs_gguf_out *o, float value);

/* rows x cols (rows 0 = a vector of cols). Q8_0 needs cols to be a multiple of 32. */
void cs_gguf_out_add(cs_gguf_out *o, const char *name, uint32_t type, int64_t rows, int64_t cols, int64_t tag);
/* Fixes offsets and makes the header. CS_E_NOMEM. */
cs_status cs_gguf_out_layout(cs_gguf_out *o, cs_error *err);

/* n floats, a multiple of 32, to blocks: f16 scale = largest magnitude / 127, then 32 signed bytes (ggml's Q8_0), and back. */
void cs_q8_0_pack(const float *x, int64_t n, uint8_t *out);
void cs_q8_0_unpack(const uint8_t *blocks, int64_t n, float *out);

#endif
