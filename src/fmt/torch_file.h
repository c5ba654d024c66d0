/* A checkpoint of torch.save (PyTorch 1.6 and later): a zip file of data.pkl and one entry data/<key> per storage. Opened from the bytes of the
 * whole file; tensors are views of it. Nothing in the file is executed or extracted. Every tensor of the pickle is checked when the file is
 * opened: its storage is there with exactly the bytes that it claims, little-endian, always of one type, and every element lies inside it.
 * Tensors that share a storage (tied weights, views) name the same one. Files of other ages are named and refused. Pure. */
#ifndef CS_FMT_TORCH_FILE_H
#define CS_FMT_TORCH_FILE_H

#include "fmt/pickle.h"
#include "fmt/zip.h"

/* Names of flattened tensors: each at most CS_TORCH_MAX_NAME bytes, together at most CS_TORCH_NAMES bytes per byte of the pickle (+ 64 KiB). */
enum { CS_TORCH_MAX_DIMS = CS_PK_MAX_DIMS, CS_TORCH_MAX_NAME = 1024, CS_TORCH_NAMES = 64 };

typedef struct cs_torch_storage {
    const cs_zip_entry *entry; /* name, data and size */
    cs_dtype dtype;            /* f64 f32 f16 bf16 i64 i32 i16 i8 u8 bool */
    int64_t n;                 /* elements */
} cs_torch_storage;

typedef struct cs_torch_tensor {
    cs_dtype dtype;
    int ndim;
    bool contiguous;     /* the n elements lie at data one after the other */
    bool requires_grad;
    int64_t shape[CS_TORCH_MAX_DIMS], stride[CS_TORCH_MAX_DIMS]; /* stride in elements, 1 where the shape is 1 */
    int64_t n;           /* elements; never more than the storage has */
    size_t storage;      /* index into cs_torch_file.storage */
    int64_t first;       /* element of the storage that data points to */
    size_t offset;       /* of data in the file */
    const uint8_t *data; /* borrowed from the mapped file; may be unaligned when PyTorch did not write the file */
} cs_torch_tensor;

typedef struct cs_torch_file {
    cs_zip zip;
    cs_pickle pickle;
    char *pickle_name;         /* for messages */
    cs_torch_storage *storage; /* each once */
    size_t n_storages;
    cs_torch_tensor *tensor;   /* as pickle.tensor: the tensor behind a CS_PK_TENSOR value v is tensor[v.u.index] */
    const char *name;          /* for messages; borrowed */
} cs_torch_file;

/* Does it look like something that cs_torch_file_init can open or can name: a zip file, or an older PyTorch format. */
bool cs_torch_sniff(const uint8_t *bytes, size_t size);
/* Opens a whole file at bytes[0..size), which must outlive `f`; its data are not read, except data.pkl. CS_E_FORMAT with the offset in the file
 * or in data.pkl; CS_E_NOMEM. On failure nothing is held. */
cs_status cs_torch_file_init(cs_torch_file *f, const uint8_t *bytes, size_t size, const char *name, cs_error *err);
void cs_torch_file_release(cs_torch_file *f);

typedef struct cs_torch_named {
    const char *name; /* NUL-terminated, owned by the list */
    const cs_torch_tensor *tensor;
} cs_torch_named;

typedef struct cs_torch_list {
    cs_torch_named *item; /* sorted by name */
    size_t n;
    char *names;
} cs_torch_list;

/* All tensors in a dict, list or tuple and what lies in it, named by keys and indices from `from` on, joined with dots
 * ("layers.0.attention.wq.weight"); other values are passed over. CS_E_FORMAT when `from` is of another kind, naming the global when a tensor
 * depends on one outside the table, and for two tensors of one name; CS_E_NOMEM. On failure nothing is held. */
cs_status cs_torch_list_init(cs_torch_list *list, const cs_torch_file *f, cs_pk_value from, cs_error *err);
void cs_torch_list_release(cs_torch_list *list);
/* NULL when absent. */
const cs_torch_tensor *cs_torch_list_find(const cs_torch_list *list, const char *name);

/* Copies elements [lo, lo + n) of the tensor in row-major order to out, n * element size bytes, whatever the strides. */
void cs_torch_read(const cs_torch_tensor *t, int64_t lo, int64_t n, void *out);
/* Compares the CRC of a storage's bytes, or of every entry of the file, with the directory's. CS_E_FORMAT. */
cs_status cs_torch_check_storage(const cs_torch_file *f, size_t storage, cs_error *err);
cs_status cs_torch_check_all(const cs_torch_file *f, cs_error *err);

#endif
