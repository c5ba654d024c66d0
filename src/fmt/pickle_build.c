/* The table of names, and what they build. A name that is not in it builds an opaque value; so does a name that is when something it needs is
 * opaque, and the value then carries the name that was missing. */
#include "fmt/pickle_vm.h"

#include "base/mem.h"

#include <string.h>

static const struct {
    const char *module, *name;
    int known;
} table[] = {
    {"collections", "OrderedDict", CS_PK_ORDERED_DICT},
    {"argparse", "Namespace", CS_PK_NAMESPACE},
    {"torch", "Size", CS_PK_SIZE},
    {"torch", "Tensor", CS_PK_TENSOR_TYPE},
    {"torch.nn.parameter", "Parameter", CS_PK_TENSOR_TYPE},
    {"torch._utils", "_rebuild_tensor", CS_PK_REBUILD},
    {"torch._utils", "_rebuild_tensor_v2", CS_PK_REBUILD_V2},
    {"torch._utils", "_rebuild_parameter", CS_PK_REBUILD_PARAMETER},
    {"torch._utils", "_rebuild_parameter_with_state", CS_PK_REBUILD_PARAMETER_STATE},
    {"torch._tensor", "_rebuild_from_type_v2", CS_PK_REBUILD_FROM_TYPE},
    {"torch", "DoubleStorage", CS_PK_STORAGE_TYPE + CS_F64},
    {"torch", "FloatStorage", CS_PK_STORAGE_TYPE + CS_F32},
    {"torch", "HalfStorage", CS_PK_STORAGE_TYPE + CS_F16},
    {"torch", "BFloat16Storage", CS_PK_STORAGE_TYPE + CS_BF16},
    {"torch", "LongStorage", CS_PK_STORAGE_TYPE + CS_I64},
    {"torch", "IntStorage", CS_PK_STORAGE_TYPE + CS_I32},
    {"torch", "ShortStorage", CS_PK_STORAGE_TYPE + CS_I16},
    {"torch", "CharStorage", CS_PK_STORAGE_TYPE + CS_I8},
    {"torch", "ByteStorage", CS_PK_STORAGE_TYPE + CS_U8},
    {"torch", "BoolStorage", CS_PK_STORAGE_TYPE + CS_BOOL},
};

static bool same(const char *text, size_t len, const char *want)
{
    return len == strlen(want) && memcmp(text, want, len) == 0;
}

static bool plain_name(const char *text, size_t len)
{
    if (len == 0 || len > CS_PK_MAX_GLOBAL)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return true;
}

cs_status cs_pk_new_global(cs_pk_vm *vm, const char *module, size_t module_len, const char *name, size_t name_len, cs_pk_value *out)
{
    cs_pickle *p = vm->p;
    if (!plain_name(module, module_len) || !plain_name(name, name_len))
        return cs_pk_bad(vm, "name of a global that is empty, too long or not printable ASCII");
    CS_TRY(cs_pk_grow(vm, &p->global, p->n_global, &p->cap_global, 1, sizeof *p->global));
    cs_pk_global g = {module, name, (uint32_t)module_len, (uint32_t)name_len, vm->op, CS_PK_FOREIGN};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (same(module, module_len, table[i].module) && same(name, name_len, table[i].name))
            g.known = table[i].known;
    p->global[p->n_global] = g;
    *out = (cs_pk_value){.kind = CS_PK_GLOBAL, .at = vm->op};
    out->u.index = p->n_global++;
    return CS_OK;
}

static cs_status bad_call(const cs_pk_vm *vm, const cs_pk_global *g, const char *what)
{
    return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: call of %.*s.%.*s: %s", vm->p->name, vm->op, (int)g->module_len, g->module,
                   (int)g->name_len, g->name, what);
}

/* The missing name behind a value: an opaque one's, or a foreign global's own. */
static bool missing_name(const cs_pickle *p, cs_pk_value v, uint32_t *global)
{
    if (v.kind == CS_PK_OPAQUE)
        *global = p->object[v.u.index].global;
    else if (v.kind == CS_PK_GLOBAL && p->global[v.u.index].known == CS_PK_FOREIGN)
        *global = v.u.index;
    else
        return false;
    return true;
}

/* As missing_name, of a value or of an element of a tuple. */
static bool missing_in(const cs_pickle *p, cs_pk_value v, uint32_t *global)
{
    size_t n;
    const cs_pk_value *item = cs_pickle_items(p, v, &n);
    if (v.kind != CS_PK_TUPLE)
        return missing_name(p, v, global);
    for (size_t i = 0; i < n; i++)
        if (missing_name(p, item[i], global))
            return true;
    return false;
}

/* Numbers >= 0 of a tuple into out[CS_PK_MAX_DIMS]; their count, or -1. */
static int read_dims(const cs_pickle *p, cs_pk_value v, int64_t *out)
{
    size_t n;
    const cs_pk_value *item = cs_pickle_items(p, v, &n);
    if (v.kind != CS_PK_TUPLE || n > CS_PK_MAX_DIMS)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (item[i].kind != CS_PK_INT || item[i].u.i < 0)
            return -1;
        out[i] = item[i].u.i;
    }
    return (int)n;
}

static cs_status new_tensor(cs_pk_vm *vm, cs_pk_tensor t, cs_pk_value *out)
{
    cs_pickle *p = vm->p;
    CS_TRY(cs_pk_grow(vm, &p->tensor, p->n_tensor, &p->cap_tensor, 1, sizeof t));
    p->tensor[p->n_tensor] = t;
    *out = (cs_pk_value){.kind = CS_PK_TENSOR, .at = vm->op};
    out->u.index = p->n_tensor++;
    return CS_OK;
}

/* (storage, offset, size, stride[, requires_grad, hooks[, metadata]]) */
static cs_status rebuild_tensor(cs_pk_vm *vm, const cs_pk_global *g, const cs_pk_value *arg, size_t n, cs_pk_value *out)
{
    cs_pickle *p = vm->p;
    uint32_t global;
    bool v2 = g->known == CS_PK_REBUILD_V2;
    if (v2 ? n != 6 && n != 7 : n != 4)
        return bad_call(vm, g, "wrong number of arguments");
    for (int i = 0; i < 4; i++)
        if (missing_in(p, arg[i], &global))
            return cs_pk_new_opaque(vm, global, true, out);
    cs_pk_tensor t = {.at = vm->op};
    t.ndim = read_dims(p, arg[2], t.shape);
    if (arg[0].kind != CS_PK_STORAGE)
        return bad_call(vm, g, "the first argument is not a storage");
    if (arg[1].kind != CS_PK_INT || arg[1].u.i < 0)
        return bad_call(vm, g, "the offset is not a number >= 0");
    if (t.ndim < 0 || read_dims(p, arg[3], t.stride) != t.ndim)
        return bad_call(vm, g, "size and stride are not two tuples of as many numbers >= 0, at most 8");
    if (v2 && arg[4].kind != CS_PK_BOOL)
        return bad_call(vm, g, "requires_grad is not a bool");
    t.storage = arg[0].u.index;
    t.offset = arg[1].u.i;
    t.requires_grad = v2 && arg[4].u.i;
    return new_tensor(vm, t, out);
}

/* (tensor, requires_grad, hooks[, state]): the tensor with that flag. */
static cs_status rebuild_parameter(cs_pk_vm *vm, const cs_pk_global *g, const cs_pk_value *arg, size_t n, cs_pk_value *out)
{
    uint32_t global;
    if (n != (g->known == CS_PK_REBUILD_PARAMETER ? 3 : 4))
        return bad_call(vm, g, "wrong number of arguments");
    if (missing_name(vm->p, arg[0], &global))
        return cs_pk_new_opaque(vm, global, true, out);
    if (arg[0].kind != CS_PK_TENSOR)
        return bad_call(vm, g, "the first argument is not a tensor");
    if (arg[1].kind != CS_PK_BOOL)
        return bad_call(vm, g, "requires_grad is not a bool");
    cs_pk_tensor t = vm->p->tensor[arg[0].u.index];
    t.requires_grad = arg[1].u.i;
    return new_tensor(vm, t, out);
}

static cs_status rebuild(cs_pk_vm *vm, const cs_pk_global *g, const cs_pk_value *arg, size_t n, cs_pk_value *out)
{
    bool tensor = g->known == CS_PK_REBUILD || g->known == CS_PK_REBUILD_V2;
    return tensor ? rebuild_tensor(vm, g, arg, n, out) : rebuild_parameter(vm, g, arg, n, out);
}

/* (function, type, arguments, state): a tensor that had attributes. The state is dropped. */
static cs_status rebuild_from_type(cs_pk_vm *vm, const cs_pk_global *g, const cs_pk_value *arg, size_t n, cs_pk_value *out)
{
    const cs_pickle *p = vm->p;
    uint32_t global;
    if (n != 4)
        return bad_call(vm, g, "wrong number of arguments");
    for (int i = 0; i < 2; i++) {
        if (missing_name(p, arg[i], &global))
            return cs_pk_new_opaque(vm, global, true, out);
        if (arg[i].kind != CS_PK_GLOBAL)
            return bad_call(vm, g, "function and type are not globals");
    }
    const cs_pk_global *func = &p->global[arg[0].u.index];
    if (func->known < CS_PK_REBUILD || func->known > CS_PK_REBUILD_PARAMETER_STATE)
        return bad_call(vm, g, "its function does not build tensors");
    if (p->global[arg[1].u.index].known != CS_PK_TENSOR_TYPE || arg[2].kind != CS_PK_TUPLE)
        return bad_call(vm, g, "its type is not a tensor's, or its arguments are no tuple");
    const cs_pk_value *inner = cs_pickle_items(p, arg[2], &n);
    return rebuild(vm, func, inner, n, out);
}

/* OrderedDict(), and what Python 2 wrote: OrderedDict([[key, value], ..]). */
static cs_status build_dict(cs_pk_vm *vm, const cs_pk_global *g, const cs_pk_value *arg, size_t n, cs_pk_value *out)
{
    const cs_pickle *p = vm->p;
    cs_pk_value list = n > 0 ? arg[0] : (cs_pk_value){.kind = CS_PK_TUPLE}, pair[2];
    size_t pairs = 0, two;
    if (n > 1 || (n == 1 && list.kind != CS_PK_LIST))
        return bad_call(vm, g, "arguments that are not one list of pairs");
    CS_TRY(cs_pk_new_object(vm, CS_PK_DICT, 0, out));
    vm->p->object[out->u.index].ordered = true;
    if (n == 1)
        cs_pickle_items(p, list, &pairs);
    for (size_t i = 0; i < pairs; i++) {
        const cs_pk_value *item = cs_pickle_items(p, cs_pickle_items(p, list, &two)[i], &two);
        if (two != 2)
            return bad_call(vm, g, "arguments that are not one list of pairs");
        memcpy(pair, item, sizeof pair);
        CS_TRY(cs_pk_extend(vm, out->u.index, pair, 2));
    }
    return CS_OK;
}

static cs_status build_size(const cs_pk_vm *vm, const cs_pk_global *g, const cs_pk_value *arg, size_t n, cs_pk_value *out)
{
    int64_t dim[CS_PK_MAX_DIMS];
    if (n != 1 || read_dims(vm->p, arg[0], dim) < 0)
        return bad_call(vm, g, "its argument is not a tuple of at most 8 numbers >= 0");
    *out = arg[0];
    return CS_OK;
}

cs_status cs_pk_reduce(cs_pk_vm *vm, cs_pk_value callee, cs_pk_value args, cs_pk_value *out)
{
    size_t n;
    const cs_pk_value *arg = cs_pickle_items(vm->p, args, &n);
    if (callee.kind != CS_PK_GLOBAL)
        return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: the callee is not a global but %s", vm->p->name, vm->op,
                       cs_pk_kind_name(callee.kind));
    cs_pk_global g = vm->p->global[callee.u.index];
    if (args.kind != CS_PK_TUPLE)
        return bad_call(vm, &g, "its arguments are no tuple");
    switch (g.known) {
    case CS_PK_ORDERED_DICT: return build_dict(vm, &g, arg, n, out);
    case CS_PK_NAMESPACE: return n == 0 ? cs_pk_new_object(vm, CS_PK_OBJECT, 0, out) : bad_call(vm, &g, "takes no arguments here");
    case CS_PK_SIZE: return build_size(vm, &g, arg, n, out);
    case CS_PK_REBUILD:
    case CS_PK_REBUILD_V2:
    case CS_PK_REBUILD_PARAMETER:
    case CS_PK_REBUILD_PARAMETER_STATE: return rebuild(vm, &g, arg, n, out);
    case CS_PK_REBUILD_FROM_TYPE: return rebuild_from_type(vm, &g, arg, n, out);
    case CS_PK_FOREIGN: return cs_pk_new_opaque(vm, callee.u.index, cs_pk_has_tensor(vm->p, args), out);
    case CS_PK_TENSOR_TYPE: return cs_pk_new_opaque(vm, callee.u.index, true, out);
    default: return bad_call(vm, &g, "a storage type is not called in a checkpoint");
    }
}

/* Sets the state of an object: fields of a namespace. Attributes of an OrderedDict (PyTorch's _metadata) and of opaque values are dropped. */
cs_status cs_pk_build(cs_pk_vm *vm, cs_pk_value target, cs_pk_value state)
{
    cs_pk_object *object = vm->p->object;
    switch (target.kind) {
    case CS_PK_DICT:
        return object[target.u.index].ordered ? CS_OK : cs_pk_bad(vm, "state for a plain dict");
    case CS_PK_OPAQUE:
        object[target.u.index].has_tensor |= cs_pk_has_tensor(vm->p, state);
        return CS_OK;
    case CS_PK_OBJECT: {
        cs_pk_object *to = &object[target.u.index];
        if (state.kind != CS_PK_DICT || to->n > 0)
            return cs_pk_bad(vm, "the state of a namespace is not one dict");
        const cs_pk_object *from = &object[state.u.index];
        to->first = from->first;
        to->n = to->cap = from->n;
        to->has_tensor = from->has_tensor;
        return CS_OK;
    }
    default: return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: state for %s", vm->p->name, vm->op, cs_pk_kind_name(target.kind));
    }
}

/* Becomes part of an entry's name: letters, digits, '_' and '-'. */
static bool plain_key(const char *text, size_t len)
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
    if (len == 0 || len > CS_PK_MAX_KEY)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!memchr(allowed, text[i], sizeof allowed - 1))
            return false;
    return true;
}

/* ("storage", type, key, location, elements): bytes that lie beside the pickle. */
cs_status cs_pk_persistent(cs_pk_vm *vm, cs_pk_value id, cs_pk_value *out)
{
    cs_pickle *p = vm->p;
    size_t n, len = 0;
    uint32_t global;
    const cs_pk_value *v = cs_pickle_items(p, id, &n);
    if (id.kind != CS_PK_TUPLE || n != 5 || !cs_pickle_text_is(p, v[0], "storage"))
        return cs_pk_bad(vm, "persistent id that is not (\"storage\", type, key, location, elements)");
    if (missing_name(p, v[1], &global))
        return cs_pk_new_opaque(vm, global, true, out);
    if (v[1].kind != CS_PK_GLOBAL || p->global[v[1].u.index].known < CS_PK_STORAGE_TYPE)
        return cs_pk_bad(vm, "storage whose type is not a storage type");
    const char *key = cs_pickle_text(p, v[2], &len);
    if (!key || !plain_key(key, len))
        return cs_pk_bad(vm, "storage key that is not 1 to 64 letters and digits");
    if (v[3].kind != CS_PK_STR || v[4].kind != CS_PK_INT || v[4].u.i < 0)
        return cs_pk_bad(vm, "storage whose location is not text or whose size is not a number >= 0");
    CS_TRY(cs_pk_grow(vm, &p->storage, p->n_storage, &p->cap_storage, 1, sizeof *p->storage));
    p->storage[p->n_storage] = (cs_pk_storage){(cs_dtype)(p->global[v[1].u.index].known - CS_PK_STORAGE_TYPE), v[2].u.index, vm->op, v[4].u.i};
    *out = (cs_pk_value){.kind = CS_PK_STORAGE, .at = vm->op};
    out->u.index = p->n_storage++;
    return CS_OK;
}
