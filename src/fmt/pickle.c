/* The pickle machine: a stack, marks and a memo over plain values. One pass, no recursion; an opcode that is not in the switch ends it. */
#include "fmt/pickle_vm.h"

#include "base/mem.h"
#include "fmt/bytes.h"

#include <string.h>

enum {
    OP_MARK = '(', OP_STOP = '.', OP_NONE = 'N', OP_BINFLOAT = 'G', OP_BININT = 'J', OP_BININT1 = 'K', OP_BININT2 = 'M', OP_BINPERSID = 'Q',
    OP_REDUCE = 'R', OP_SHORT_BINSTRING = 'U', OP_BINUNICODE = 'X', OP_APPEND = 'a', OP_BUILD = 'b', OP_GLOBAL = 'c', OP_DICT = 'd',
    OP_EMPTY_DICT = '}', OP_APPENDS = 'e', OP_BINGET = 'h', OP_LONG_BINGET = 'j', OP_LIST = 'l', OP_EMPTY_LIST = ']', OP_BINPUT = 'q',
    OP_LONG_BINPUT = 'r', OP_SETITEM = 's', OP_TUPLE = 't', OP_EMPTY_TUPLE = ')', OP_SETITEMS = 'u', OP_PROTO = 0x80, OP_NEWOBJ = 0x81,
    OP_TUPLE1 = 0x85, OP_TUPLE2 = 0x86, OP_TUPLE3 = 0x87, OP_NEWTRUE = 0x88, OP_NEWFALSE = 0x89, OP_LONG1 = 0x8a, OP_SHORT_BINUNICODE = 0x8c,
    OP_EMPTY_SET = 0x8f, OP_STACK_GLOBAL = 0x93, OP_MEMOIZE = 0x94, OP_FRAME = 0x95,
};

cs_status cs_pk_bad(const cs_pk_vm *vm, const char *what)
{
    return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: %s", vm->p->name, vm->op, what);
}

cs_status cs_pk_grow(const cs_pk_vm *vm, void *array_ptr, uint32_t n, uint32_t *cap, uint32_t more, size_t size)
{
    size_t need = (size_t)n + more, want = *cap;
    if (need <= *cap)
        return CS_OK;
    while (want < need)
        want = want < 16 ? 16 : want * 2;
    void *old, *grown;
    memcpy(&old, array_ptr, sizeof old);
    grown = want <= UINT32_MAX ? cs_realloc_array(old, want, size) : NULL;
    if (!grown)
        return cs_fail_nomem(vm->err, want * size, vm->p->name);
    memcpy(array_ptr, &grown, sizeof grown);
    *cap = (uint32_t)want;
    return CS_OK;
}

static cs_pk_value make(const cs_pk_vm *vm, int kind, uint32_t index)
{
    cs_pk_value v = {.kind = (uint8_t)kind, .at = vm->op};
    v.u.index = index;
    return v;
}

static cs_status push(cs_pk_vm *vm, cs_pk_value v)
{
    CS_TRY(cs_pk_grow(vm, &vm->stack, vm->n_stack, &vm->cap_stack, 1, sizeof v));
    vm->stack[vm->n_stack++] = v;
    return CS_OK;
}

static cs_status push_int(cs_pk_vm *vm, int kind, int64_t i)
{
    cs_pk_value v = {.kind = (uint8_t)kind, .at = vm->op};
    v.u.i = i;
    return push(vm, v);
}

/* n values above the last mark? */
static cs_status want(const cs_pk_vm *vm, uint32_t n)
{
    uint32_t base = vm->n_mark > 0 ? vm->mark[vm->n_mark - 1] : 0;
    return vm->n_stack - base >= n ? CS_OK : cs_pk_bad(vm, "too few values on the stack");
}

/* Takes the last mark; the *n values above it start at *first and stay on the stack. */
static cs_status take_mark(cs_pk_vm *vm, uint32_t *first, uint32_t *n)
{
    *first = *n = 0;
    if (vm->n_mark == 0)
        return cs_pk_bad(vm, "no mark on the stack");
    *first = vm->mark[--vm->n_mark];
    *n = vm->n_stack - *first;
    return CS_OK;
}

static cs_status take_bytes(cs_pk_vm *vm, size_t n, const uint8_t **out)
{
    *out = vm->bytes + vm->at;
    if (vm->size - vm->at < n)
        return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: %zu bytes wanted, %zu are left", vm->p->name, vm->op, n, vm->size - vm->at);
    vm->at += n;
    return CS_OK;
}

/* An unsigned little-endian operand of n bytes. */
static cs_status take_number(cs_pk_vm *vm, int n, uint64_t *out)
{
    const uint8_t *b;
    CS_TRY(take_bytes(vm, (size_t)n, &b));
    *out = cs_le_get(b, n);
    return CS_OK;
}

cs_status cs_pk_new_object(cs_pk_vm *vm, int kind, uint32_t cap, cs_pk_value *out)
{
    cs_pickle *p = vm->p;
    CS_TRY(cs_pk_grow(vm, &p->object, p->n_object, &p->cap_object, 1, sizeof *p->object));
    CS_TRY(cs_pk_grow(vm, &p->pool, p->n_pool, &p->cap_pool, cap, sizeof *p->pool));
    p->object[p->n_object] = (cs_pk_object){.first = p->n_pool, .cap = cap, .at = vm->op, .kind = (uint8_t)kind};
    p->n_pool += cap;
    *out = make(vm, kind, p->n_object++);
    return CS_OK;
}

cs_status cs_pk_new_opaque(cs_pk_vm *vm, uint32_t global, bool has_tensor, cs_pk_value *out)
{
    CS_TRY(cs_pk_new_object(vm, CS_PK_OPAQUE, 0, out));
    vm->p->object[out->u.index].global = global;
    vm->p->object[out->u.index].has_tensor = has_tensor;
    return CS_OK;
}

bool cs_pk_has_tensor(const cs_pickle *p, cs_pk_value v)
{
    switch (v.kind) {
    case CS_PK_STORAGE:
    case CS_PK_TENSOR: return true;
    case CS_PK_TUPLE:
    case CS_PK_LIST:
    case CS_PK_DICT:
    case CS_PK_OBJECT:
    case CS_PK_OPAQUE: return p->object[v.u.index].has_tensor;
    default: return false;
    }
}

/* The elements move to the end of the pool with twice the room when they do not fit where they are. */
cs_status cs_pk_extend(cs_pk_vm *vm, uint32_t object, const cs_pk_value *v, uint32_t n)
{
    cs_pickle *p = vm->p;
    cs_pk_object *o = &p->object[object];
    if (n > o->cap - o->n) {
        uint32_t cap = o->n + n > 2 * o->cap ? o->n + n : 2 * o->cap;
        CS_TRY(cs_pk_grow(vm, &p->pool, p->n_pool, &p->cap_pool, cap, sizeof *p->pool));
        if (o->n > 0)
            memcpy(p->pool + p->n_pool, p->pool + o->first, o->n * sizeof *p->pool);
        o->first = p->n_pool;
        o->cap = cap;
        p->n_pool += cap;
    }
    for (uint32_t i = 0; i < n; i++) {
        p->pool[o->first + o->n++] = v[i];
        o->has_tensor |= cs_pk_has_tensor(p, v[i]);
    }
    return CS_OK;
}

/* Replaces the last n values by one object that holds them. */
static cs_status collect(cs_pk_vm *vm, int kind, uint32_t n)
{
    cs_pk_value v;
    CS_TRY(cs_pk_new_object(vm, kind, n, &v));
    vm->n_stack -= n;
    if (n > 0)
        CS_TRY(cs_pk_extend(vm, v.u.index, vm->stack + vm->n_stack, n));
    return push(vm, v);
}

static cs_status collect_marked(cs_pk_vm *vm, int kind)
{
    uint32_t first, n;
    CS_TRY(take_mark(vm, &first, &n));
    if (kind == CS_PK_DICT && n % 2 != 0)
        return cs_pk_bad(vm, "a key without a value");
    return collect(vm, kind, n);
}

/* Adds the n values from stack[first] to the container under them, then drops them. An opaque value takes anything and keeps nothing. */
static cs_status add_items(cs_pk_vm *vm, uint32_t first, uint32_t n, bool pairs)
{
    if (first == 0 || (vm->n_mark > 0 && vm->mark[vm->n_mark - 1] >= first))
        return cs_pk_bad(vm, "no container under the values to add");
    cs_pk_value to = vm->stack[first - 1];
    if (pairs && n % 2 != 0)
        return cs_pk_bad(vm, "a key without a value");
    if (to.kind == CS_PK_OPAQUE) {
        for (uint32_t i = 0; i < n; i++)
            vm->p->object[to.u.index].has_tensor |= cs_pk_has_tensor(vm->p, vm->stack[first + i]);
    } else if (to.kind == (pairs ? CS_PK_DICT : CS_PK_LIST)) {
        CS_TRY(cs_pk_extend(vm, to.u.index, vm->stack + first, n));
    } else {
        return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: values added to %s", vm->p->name, vm->op, cs_pk_kind_name(to.kind));
    }
    vm->n_stack = first;
    return CS_OK;
}

static cs_status add_marked(cs_pk_vm *vm, bool pairs)
{
    uint32_t first, n;
    CS_TRY(take_mark(vm, &first, &n));
    return add_items(vm, first, n, pairs);
}

static cs_status add_last(cs_pk_vm *vm, uint32_t n)
{
    CS_TRY(want(vm, n + 1));
    return add_items(vm, vm->n_stack - n, n, n == 2);
}

/* Something that the table does not build but Python's own opcodes do: kept under its type's name. */
static cs_status push_builtin(cs_pk_vm *vm, cs_pk_builtin type)
{
    static const char *const name[CS_PK_BUILTIN_COUNT] = {"bytes", "int", "set"};
    cs_pk_value global, v;
    if (vm->builtin[type] == 0) {
        CS_TRY(cs_pk_new_global(vm, "builtins", 8, name[type], strlen(name[type]), &global));
        vm->builtin[type] = global.u.index + 1;
    }
    CS_TRY(cs_pk_new_opaque(vm, vm->builtin[type] - 1, false, &v));
    return push(vm, v);
}

static cs_status push_string(cs_pk_vm *vm, int width, bool text)
{
    uint64_t n;
    const uint8_t *b;
    cs_pickle *p = vm->p;
    CS_TRY(take_number(vm, width, &n));
    CS_TRY(take_bytes(vm, (size_t)n, &b));
    if (!cs_utf8_valid(b, (size_t)n))
        return text ? cs_pk_bad(vm, "text that is not UTF-8") : push_builtin(vm, CS_PK_BYTES);
    CS_TRY(cs_pk_grow(vm, &p->string, p->n_string, &p->cap_string, 1, sizeof *p->string));
    p->string[p->n_string] = (cs_pk_string){(const char *)b, (uint32_t)n, 0};
    return push(vm, make(vm, CS_PK_STR, p->n_string++));
}

static cs_status push_long(cs_pk_vm *vm)
{
    uint64_t n, bits;
    const uint8_t *b;
    CS_TRY(take_number(vm, 1, &n));
    CS_TRY(take_bytes(vm, (size_t)n, &b));
    if (n > 8)
        return push_builtin(vm, CS_PK_BIG_INT);
    bits = cs_le_get(b, (int)n);
    if (n > 0 && n < 8 && b[n - 1] & 0x80)
        bits |= ~(uint64_t)0 << 8 * n;
    return push_int(vm, CS_PK_INT, (int64_t)bits);
}

static cs_status push_number(cs_pk_vm *vm, int op)
{
    uint64_t bits;
    CS_TRY(take_number(vm, op == OP_BINFLOAT ? 8 : op == OP_BININT ? 4 : op == OP_BININT2 ? 2 : 1, &bits));
    if (op != OP_BINFLOAT)
        return push_int(vm, CS_PK_INT, op == OP_BININT ? (int64_t)(int32_t)bits : (int64_t)bits);
    cs_pk_value v = {.kind = CS_PK_FLOAT, .at = vm->op};
    bits = __builtin_bswap64(bits); /* the one big-endian operand */
    memcpy(&v.u.f, &bits, 8);
    return push(vm, v);
}

/* A pickler numbers its memo from 0 without gaps, so an index behind the bytes read so far is never needed. */
static cs_status memo_put(cs_pk_vm *vm, uint64_t index)
{
    CS_TRY(want(vm, 1));
    if (index >= vm->at)
        return cs_pk_bad(vm, "memo index larger than the number of bytes so far");
    uint32_t old = vm->n_memo, need = (uint32_t)index + 1;
    if (need > old) {
        CS_TRY(cs_pk_grow(vm, &vm->memo, old, &vm->cap_memo, need - old, sizeof *vm->memo));
        memset(vm->memo + old, 0, (need - old) * sizeof *vm->memo);
        vm->n_memo = need;
    }
    vm->memo[index] = vm->stack[vm->n_stack - 1];
    return CS_OK;
}

static cs_status memo_get(cs_pk_vm *vm, int width)
{
    uint64_t index;
    CS_TRY(take_number(vm, width, &index));
    if (index >= vm->n_memo || vm->memo[index].kind == CS_PK_UNSET)
        return cs_pk_bad(vm, "nothing in the memo under this index");
    return push(vm, vm->memo[index]);
}

static cs_status memo_op(cs_pk_vm *vm, int op)
{
    uint64_t index = vm->n_memo;
    if (op == OP_BINGET || op == OP_LONG_BINGET)
        return memo_get(vm, op == OP_BINGET ? 1 : 4);
    if (op != OP_MEMOIZE)
        CS_TRY(take_number(vm, op == OP_BINPUT ? 1 : 4, &index));
    return memo_put(vm, index);
}

/* One line of a GLOBAL opcode. */
static cs_status take_line(cs_pk_vm *vm, const char **text, size_t *len)
{
    size_t left = vm->size - vm->at, most = left < CS_PK_MAX_GLOBAL + 1 ? left : CS_PK_MAX_GLOBAL + 1;
    const uint8_t *from = vm->bytes + vm->at, *end = most > 0 ? memchr(from, '\n', most) : NULL;
    if (!end)
        return cs_pk_bad(vm, "name of a global that does not end");
    *text = (const char *)from;
    *len = (size_t)(end - from);
    vm->at += *len + 1;
    return CS_OK;
}

static cs_status push_global(cs_pk_vm *vm, bool from_stack)
{
    const char *module = NULL, *name = NULL;
    size_t module_len = 0, name_len = 0;
    cs_pk_value v;
    if (from_stack) {
        CS_TRY(want(vm, 2));
        module = cs_pickle_text(vm->p, vm->stack[vm->n_stack - 2], &module_len);
        name = cs_pickle_text(vm->p, vm->stack[vm->n_stack - 1], &name_len);
        if (!module || !name)
            return cs_pk_bad(vm, "module and name of a global are not text");
        vm->n_stack -= 2;
    } else {
        CS_TRY(take_line(vm, &module, &module_len));
        CS_TRY(take_line(vm, &name, &name_len));
    }
    CS_TRY(cs_pk_new_global(vm, module, module_len, name, name_len, &v));
    return push(vm, v);
}

static cs_status object_op(cs_pk_vm *vm, int op)
{
    CS_TRY(want(vm, op == OP_BINPERSID ? 1 : 2));
    cs_pk_value *top = vm->stack + vm->n_stack - 1, out;
    switch (op) {
    case OP_BINPERSID:
        CS_TRY(cs_pk_persistent(vm, *top, &out));
        *top = out;
        return CS_OK;
    case OP_BUILD:
        CS_TRY(cs_pk_build(vm, top[-1], top[0]));
        vm->n_stack--;
        return CS_OK;
    default:
        CS_TRY(cs_pk_reduce(vm, top[-1], top[0], &out));
        top[-1] = out;
        vm->n_stack--;
        return CS_OK;
    }
}

static cs_status push_mark(cs_pk_vm *vm)
{
    if (vm->n_mark == (int)(sizeof vm->mark / sizeof *vm->mark))
        return cs_pk_bad(vm, "too many marks: nested too deeply");
    vm->mark[vm->n_mark++] = vm->n_stack;
    return CS_OK;
}

static cs_status push_empty(cs_pk_vm *vm, int kind)
{
    cs_pk_value v;
    CS_TRY(cs_pk_new_object(vm, kind, 0, &v));
    return push(vm, v);
}

static cs_status collect_last(cs_pk_vm *vm, uint32_t n)
{
    CS_TRY(want(vm, n));
    return collect(vm, CS_PK_TUPLE, n);
}

static cs_status check_frame(cs_pk_vm *vm)
{
    uint64_t n;
    CS_TRY(take_number(vm, 8, &n));
    return n <= vm->size - vm->at ? CS_OK : cs_pk_bad(vm, "frame that reaches behind the end");
}

static cs_status step(cs_pk_vm *vm, int op)
{
    switch (op) {
    case OP_NONE: return push_int(vm, CS_PK_NONE, 0);
    case OP_NEWTRUE: return push_int(vm, CS_PK_BOOL, 1);
    case OP_NEWFALSE: return push_int(vm, CS_PK_BOOL, 0);
    case OP_BININT:
    case OP_BININT1:
    case OP_BININT2:
    case OP_BINFLOAT: return push_number(vm, op);
    case OP_LONG1: return push_long(vm);
    case OP_BINUNICODE: return push_string(vm, 4, true);
    case OP_SHORT_BINUNICODE: return push_string(vm, 1, true);
    case OP_SHORT_BINSTRING: return push_string(vm, 1, false);
    case OP_MARK: return push_mark(vm);
    case OP_EMPTY_TUPLE: return push_empty(vm, CS_PK_TUPLE);
    case OP_EMPTY_LIST: return push_empty(vm, CS_PK_LIST);
    case OP_EMPTY_DICT: return push_empty(vm, CS_PK_DICT);
    case OP_EMPTY_SET: return push_builtin(vm, CS_PK_SET);
    case OP_TUPLE: return collect_marked(vm, CS_PK_TUPLE);
    case OP_LIST: return collect_marked(vm, CS_PK_LIST);
    case OP_DICT: return collect_marked(vm, CS_PK_DICT);
    case OP_TUPLE1: return collect_last(vm, 1);
    case OP_TUPLE2: return collect_last(vm, 2);
    case OP_TUPLE3: return collect_last(vm, 3);
    case OP_APPEND: return add_last(vm, 1);
    case OP_SETITEM: return add_last(vm, 2);
    case OP_APPENDS: return add_marked(vm, false);
    case OP_SETITEMS: return add_marked(vm, true);
    case OP_BINGET:
    case OP_LONG_BINGET:
    case OP_BINPUT:
    case OP_LONG_BINPUT:
    case OP_MEMOIZE: return memo_op(vm, op);
    case OP_GLOBAL: return push_global(vm, false);
    case OP_STACK_GLOBAL: return push_global(vm, true);
    case OP_REDUCE:
    case OP_NEWOBJ:
    case OP_BUILD:
    case OP_BINPERSID: return object_op(vm, op);
    case OP_FRAME: return check_frame(vm);
    default:
        return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: opcode 0x%02x is not one that a checkpoint may use", vm->p->name, vm->op, op);
    }
}

static cs_status run(cs_pk_vm *vm)
{
    if (vm->size < 2 || vm->bytes[0] != OP_PROTO || vm->bytes[1] < 2 || vm->bytes[1] > 5)
        return cs_pk_bad(vm, "no pickle of protocol 2 to 5");
    for (vm->at = 2;;) {
        if (vm->at == vm->size)
            return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %zu: ends without STOP; is the file cut off?", vm->p->name, vm->at);
        vm->op = (uint32_t)vm->at;
        int op = vm->bytes[vm->at++];
        if (op == OP_STOP)
            break;
        CS_TRY(step(vm, op));
    }
    if (vm->n_mark != 0 || vm->n_stack != 1)
        return cs_pk_bad(vm, "STOP with more or less than one value on the stack");
    if (vm->at != vm->size)
        return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %zu: %zu bytes behind STOP", vm->p->name, vm->at, vm->size - vm->at);
    vm->p->root = vm->stack[0];
    return CS_OK;
}

cs_status cs_pickle_init(cs_pickle *p, const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    *p = (cs_pickle){.name = name, .bytes = size};
    if (size > CS_PK_MAX_BYTES)
        return cs_fail(err, CS_E_FORMAT, "%s: pickle of %zu bytes, the limit is %d", name, size, CS_PK_MAX_BYTES);
    cs_pk_vm vm = {.p = p, .bytes = bytes, .size = size, .err = err};
    cs_status s = run(&vm);
    cs_free(vm.memo);
    cs_free(vm.stack);
    if (s == CS_OK)
        s = cs_pk_finish(&vm);
    if (s != CS_OK)
        cs_pickle_release(p);
    return s;
}

void cs_pickle_release(cs_pickle *p)
{
    cs_free(p->pool);
    cs_free(p->object);
    cs_free(p->string);
    cs_free(p->global);
    cs_free(p->storage);
    cs_free(p->tensor);
    *p = (cs_pickle){0};
}
