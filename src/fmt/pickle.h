/* Python pickles as far as PyTorch checkpoints need them: bytes in, a tree of plain values out. Nothing is ever called or imported.
 * A fixed table of names (pickle_build.c) builds ordered dicts, argparse namespaces, storages and tensor descriptors; whatever any other name
 * would have built becomes one opaque value that keeps the name and forgets the rest. All checks are done before init returns: no value
 * contains itself, nesting is at most CS_PK_MAX_DEPTH, no dict has a key twice. Time is linear in the input but for one sort of its strings,
 * memory at most CS_PK_MEMORY bytes per byte of input (+ 64 KiB). Pure. */
#ifndef CS_FMT_PICKLE_H
#define CS_FMT_PICKLE_H

#include "base/dtype.h"
#include "base/error.h"

enum { CS_PK_MAX_BYTES = 1 << 26, CS_PK_MAX_DEPTH = 200, CS_PK_MAX_GLOBAL = 256, CS_PK_MAX_KEY = 64, CS_PK_MAX_DIMS = 8, CS_PK_MEMORY = 200 };

typedef enum cs_pk_kind {
    CS_PK_UNSET, /* never in a finished tree */
    CS_PK_NONE, CS_PK_BOOL, CS_PK_INT, CS_PK_FLOAT, CS_PK_STR, CS_PK_TUPLE, CS_PK_LIST,
    CS_PK_DICT,    /* dict or OrderedDict */
    CS_PK_OBJECT,  /* argparse.Namespace: its fields, read like a dict */
    CS_PK_STORAGE, /* on its own, not in a tensor */
    CS_PK_TENSOR,
    CS_PK_GLOBAL,  /* a name that was not called, such as torch.float16 */
    CS_PK_OPAQUE,  /* what a name outside the table would have made */
} cs_pk_kind;

/* `at` is the offset in the pickle of the opcode that made it. */
typedef struct cs_pk_value {
    uint8_t kind; /* cs_pk_kind */
    uint32_t at;
    union {
        int64_t i;      /* INT, BOOL */
        double f;       /* FLOAT */
        uint32_t index; /* into one of the tables of cs_pickle */
    } u;
} cs_pk_value;

typedef struct cs_pk_string {
    const char *text; /* borrowed from the input, not terminated; UTF-8 */
    uint32_t len;
    uint32_t rank;    /* equal texts, and only they, have equal ranks */
} cs_pk_string;

/* Elements of a tuple, list or dict (key, value, key, value) in the pool; of an opaque value none. */
typedef struct cs_pk_object {
    uint32_t first, n, cap;
    uint32_t at;
    uint32_t global;   /* OPAQUE: index into cs_pickle.global */
    uint8_t kind;
    bool ordered;      /* DICT: an OrderedDict */
    bool has_tensor;   /* a storage or tensor lies in it or went into it */
} cs_pk_object;

typedef struct cs_pk_global {
    const char *module, *name; /* borrowed from the input, not terminated; printable ASCII */
    uint32_t module_len, name_len;
    uint32_t at;
    int known; /* row of the table, 0 for a name outside it */
} cs_pk_global;

/* One mention of a storage; several mentions with one key are the same storage. */
typedef struct cs_pk_storage {
    cs_dtype dtype;
    uint32_t key; /* index into cs_pickle.string */
    uint32_t at;
    int64_t n;    /* elements */
} cs_pk_storage;

/* Element (i, j, ..) is storage[offset + i*stride[0] + j*stride[1] + ..]. Not yet held against the storage's size. */
typedef struct cs_pk_tensor {
    uint32_t storage, at;
    int ndim;
    bool requires_grad;
    int64_t offset, shape[CS_PK_MAX_DIMS], stride[CS_PK_MAX_DIMS]; /* all >= 0, in elements */
} cs_pk_tensor;

typedef struct cs_pickle {
    const char *name; /* for messages; borrowed */
    cs_pk_value root;
    cs_pk_value *pool;
    cs_pk_object *object;
    cs_pk_string *string;
    cs_pk_global *global;
    cs_pk_storage *storage;
    cs_pk_tensor *tensor;
    uint32_t n_pool, n_object, n_string, n_global, n_storage, n_tensor;
    uint32_t cap_pool, cap_object, cap_string, cap_global, cap_storage, cap_tensor;
    size_t bytes; /* of the input */
} cs_pickle;

/* Reads one whole pickle of protocol 2 to 5 at bytes[0..size), which must outlive `p`. Opcodes are those of PyTorch's weights-only reader and
 * FRAME, LIST, DICT, SHORT_BINUNICODE, MEMOIZE, STACK_GLOBAL. CS_E_FORMAT with the offset in the pickle; CS_E_NOMEM. On failure nothing is held. */
cs_status cs_pickle_init(cs_pickle *p, const uint8_t *bytes, size_t size, const char *name, cs_error *err);
void cs_pickle_release(cs_pickle *p);

/* "dict", "tensor", ... */
const char *cs_pk_kind_name(int kind);
/* Elements of a TUPLE or LIST, keys and values of a DICT or OBJECT by turns; *n = 0 and NULL for anything else. */
const cs_pk_value *cs_pickle_items(const cs_pickle *p, cs_pk_value v, size_t *n);
/* Text of a STR; NULL for anything else. Not terminated. */
const char *cs_pickle_text(const cs_pickle *p, cs_pk_value v, size_t *len);
bool cs_pickle_text_is(const cs_pickle *p, cs_pk_value v, const char *text);
/* The name behind a GLOBAL or OPAQUE; NULL for anything else. */
const cs_pk_global *cs_pickle_global(const cs_pickle *p, cs_pk_value v);
/* Member of a DICT or OBJECT. false when absent or `dict` is neither. */
bool cs_pickle_get(const cs_pickle *p, cs_pk_value dict, const char *key, cs_pk_value *out);
/* Follows "model.language_model.encoder" from `from`. A piece is a key (text, or an integer in decimal) or the index of a tuple or list
 * element; where keys have dots in them, the longest key that fits is taken. "" is `from` itself. */
bool cs_pickle_find(const cs_pickle *p, cs_pk_value from, const char *path, cs_pk_value *out);
/* Names outside the table that the pickle mentions, each once, sorted: indices into p->global, into *list_create (cs_free). CS_E_NOMEM. */
cs_status cs_pickle_foreign(const cs_pickle *p, uint32_t **list_create, size_t *n, cs_error *err);

#endif
