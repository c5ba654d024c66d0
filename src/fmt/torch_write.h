/* Writing a checkpoint that torch.load(weights_only=True) opens: the container as PyTorch lays it out (stored entries, data at multiples of 64
 * bytes, descriptors behind the data, zip64 where it is needed), plain dicts, plain tensors. The caller puts a tree of values in order; tensors are
 * described first and their bytes asked for piece by piece while the file is written, so memory is the pickle, one row per tensor and one piece.
 * The same calls give the same bytes. */
#ifndef CS_FMT_TORCH_WRITE_H
#define CS_FMT_TORCH_WRITE_H

#include "base/dtype.h"
#include "base/io.h"
#include "base/str.h"

enum { CS_TORCH_OUT_DEPTH = 64, CS_TORCH_OUT_DIMS = 8, CS_TORCH_PIECE = 1 << 20 };

/* Gives bytes [offset, offset + n) of a tensor, row-major and little-endian, into out; n <= CS_TORCH_PIECE. Called with growing offsets, once
 * for each byte, when the file is written. */
typedef cs_status (*cs_torch_fill)(void *ctx, int64_t tag, size_t offset, void *out, size_t n, cs_error *err);

typedef struct cs_torch_out_tensor {
    cs_dtype dtype;
    int ndim;
    int64_t shape[CS_TORCH_OUT_DIMS];
    size_t bytes;
    cs_torch_fill fill;
    void *ctx;
    int64_t tag;
} cs_torch_out_tensor;

/* A file being described. Zero-initialised = empty. */
typedef struct cs_torch_out {
    cs_str pickle;
    cs_torch_out_tensor *tensor; /* one storage each */
    size_t n, cap;
    uint8_t level[CS_TORCH_OUT_DEPTH]; /* of the open containers: what may come next */
    int depth;
    uint32_t memo[24]; /* 1 + memo index of the names used so far */
    uint32_t n_memo;
    bool bad_text, too_large, failed, done;
} cs_torch_out;

void cs_torch_out_release(cs_torch_out *o);

/* The tree, in order. Exactly one value at the top; in a dict keys (text or integer) and values by turns. cs_torch_put_end closes the last open
 * container. Calls out of order are our own bug. Text is UTF-8, copied. What fails (memory, text that is not UTF-8, a size beyond 2^63) is
 * reported by cs_torch_out_write. */
void cs_torch_put_dict(cs_torch_out *o);
void cs_torch_put_list(cs_torch_out *o);
void cs_torch_put_end(cs_torch_out *o);
void cs_torch_put_text(cs_torch_out *o, const char *text);
void cs_torch_put_int(cs_torch_out *o, int64_t value);
void cs_torch_put_real(cs_torch_out *o, double value);
void cs_torch_put_bool(cs_torch_out *o, bool value);
void cs_torch_put_none(cs_torch_out *o);
/* A contiguous tensor (f64 f32 f16 bf16 i64 i32 i16 i8 u8 bool) with a storage of its own; ndim 0 is a scalar. Returns its number for put_same. */
size_t cs_torch_put_tensor(cs_torch_out *o, cs_dtype dtype, int ndim, const int64_t *shape, cs_torch_fill fill, void *ctx, int64_t tag);
/* The tensor of that number once more, on the same storage (tied weights). */
void cs_torch_put_same(cs_torch_out *o, size_t tensor);

/* Size of the file once the tree is closed. */
size_t cs_torch_out_bytes(const cs_torch_out *o);
/* Writes the file from w's start; the caller has chosen how it is opened and commits it. CS_E_NOMEM, CS_E_FORMAT (text), CS_E_IO, and whatever
 * `fill` returns. */
cs_status cs_torch_out_write(const cs_torch_out *o, cs_writer *w, cs_error *err);
/* The same under a name that appears only when the file is whole and on disk. */
cs_status cs_torch_out_save(const cs_torch_out *o, const char *path, cs_error *err);

#endif
