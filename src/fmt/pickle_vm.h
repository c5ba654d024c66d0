/* Inside of the pickle reader: what its three files share. */
#ifndef CS_FMT_PICKLE_VM_H
#define CS_FMT_PICKLE_VM_H

#include "fmt/pickle.h"

/* Rows of the table of names. */
typedef enum cs_pk_known {
    CS_PK_FOREIGN,
    CS_PK_ORDERED_DICT, CS_PK_NAMESPACE, CS_PK_SIZE, CS_PK_TENSOR_TYPE,
    CS_PK_REBUILD, CS_PK_REBUILD_V2, CS_PK_REBUILD_PARAMETER, CS_PK_REBUILD_PARAMETER_STATE, CS_PK_REBUILD_FROM_TYPE,
    CS_PK_STORAGE_TYPE, /* + cs_dtype */
} cs_pk_known;

/* Values that opcodes make without a name and that are kept opaque: byte strings, integers beyond 64 bits, sets. */
typedef enum cs_pk_builtin { CS_PK_BYTES, CS_PK_BIG_INT, CS_PK_SET, CS_PK_BUILTIN_COUNT } cs_pk_builtin;

typedef struct cs_pk_vm {
    cs_pickle *p;
    const uint8_t *bytes;
    size_t size, at;      /* at: next byte to read */
    uint32_t op;          /* offset of the opcode being done */
    cs_pk_value *stack, *memo;
    uint32_t n_stack, cap_stack, n_memo, cap_memo;
    uint32_t mark[2 * CS_PK_MAX_DEPTH]; /* heights of the stack */
    int n_mark;
    uint32_t builtin[CS_PK_BUILTIN_COUNT]; /* 1 + index of its global, 0 when not needed yet */
    cs_error *err;
} cs_pk_vm;

/* CS_E_FORMAT "name: pickle byte OP: what". */
cs_status cs_pk_bad(const cs_pk_vm *vm, const char *what);
/* Makes room for `more` elements of `size` bytes behind n. Doubles. CS_E_NOMEM. */
cs_status cs_pk_grow(const cs_pk_vm *vm, void *array_ptr, uint32_t n, uint32_t *cap, uint32_t more, size_t size);
/* A new object of that kind with room for `cap` elements. */
cs_status cs_pk_new_object(cs_pk_vm *vm, int kind, uint32_t cap, cs_pk_value *out);
/* Appends elements to an object that may grow. */
cs_status cs_pk_extend(cs_pk_vm *vm, uint32_t object, const cs_pk_value *v, uint32_t n);
cs_status cs_pk_new_opaque(cs_pk_vm *vm, uint32_t global, bool has_tensor, cs_pk_value *out);
/* A storage or tensor, or something that one lies in or went into. */
bool cs_pk_has_tensor(const cs_pickle *p, cs_pk_value v);

/* pickle_build.c: what GLOBAL, REDUCE, NEWOBJ, BUILD and BINPERSID make. */
cs_status cs_pk_new_global(cs_pk_vm *vm, const char *module, size_t module_len, const char *name, size_t name_len, cs_pk_value *out);
cs_status cs_pk_reduce(cs_pk_vm *vm, cs_pk_value callee, cs_pk_value args, cs_pk_value *out);
cs_status cs_pk_build(cs_pk_vm *vm, cs_pk_value target, cs_pk_value state);
cs_status cs_pk_persistent(cs_pk_vm *vm, cs_pk_value id, cs_pk_value *out);

/* pickle_tree.c: ranks of the strings, then keys, cycles and depth of all objects. */
cs_status cs_pk_finish(cs_pk_vm *vm);

#endif
