/* The finished tree: its checks and the ways through it. */
#include "fmt/pickle_vm.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *cs_pk_kind_name(int kind)
{
    static const char *const name[] = {"unset value", "None", "bool", "int", "float", "str", "tuple", "list", "dict", "namespace", "storage",
                                       "tensor", "global", "opaque value"};
    return name[kind];
}

static bool has_items(int kind)
{
    return kind == CS_PK_TUPLE || kind == CS_PK_LIST || kind == CS_PK_DICT || kind == CS_PK_OBJECT;
}

const cs_pk_value *cs_pickle_items(const cs_pickle *p, cs_pk_value v, size_t *n)
{
    *n = 0;
    if (!has_items(v.kind) || p->object[v.u.index].n == 0)
        return NULL;
    *n = p->object[v.u.index].n;
    return p->pool + p->object[v.u.index].first;
}

const char *cs_pickle_text(const cs_pickle *p, cs_pk_value v, size_t *len)
{
    *len = v.kind == CS_PK_STR ? p->string[v.u.index].len : 0;
    return v.kind == CS_PK_STR ? p->string[v.u.index].text : NULL;
}

static bool text_is(const cs_pickle *p, cs_pk_value v, const char *text, size_t n)
{
    size_t len;
    const char *t = cs_pickle_text(p, v, &len);
    return t && len == n && memcmp(t, text, n) == 0;
}

bool cs_pickle_text_is(const cs_pickle *p, cs_pk_value v, const char *text)
{
    return text_is(p, v, text, strlen(text));
}

const cs_pk_global *cs_pickle_global(const cs_pickle *p, cs_pk_value v)
{
    if (v.kind == CS_PK_OPAQUE)
        return &p->global[p->object[v.u.index].global];
    return v.kind == CS_PK_GLOBAL ? &p->global[v.u.index] : NULL;
}

/* A decimal integer without leading zeros. */
static bool parse_integer(const char *text, size_t n, int64_t *out)
{
    bool minus = n > 0 && text[0] == '-';
    size_t first = minus ? 1 : 0;
    *out = 0;
    if (n == first || n - first > 18 || (text[first] == '0' && n > 1))
        return false;
    for (size_t i = first; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + (text[i] - '0');
    }
    *out = minus ? -*out : *out;
    return true;
}

/* Member under text key[0..n), or under the integer that it spells. */
static bool get_piece(const cs_pickle *p, cs_pk_value from, const char *key, size_t n, cs_pk_value *out)
{
    size_t count;
    int64_t number;
    bool integer = parse_integer(key, n, &number);
    const cs_pk_value *item = cs_pickle_items(p, from, &count);
    if (from.kind == CS_PK_TUPLE || from.kind == CS_PK_LIST) {
        if (!integer || number < 0 || (uint64_t)number >= count)
            return false;
        *out = item[number];
        return true;
    }
    for (size_t i = 0; i + 1 < count; i += 2)
        if (text_is(p, item[i], key, n) || (integer && item[i].kind == CS_PK_INT && item[i].u.i == number)) {
            *out = item[i + 1];
            return true;
        }
    return false;
}

bool cs_pickle_get(const cs_pickle *p, cs_pk_value dict, const char *key, cs_pk_value *out)
{
    size_t n;
    const cs_pk_value *item = dict.kind == CS_PK_DICT || dict.kind == CS_PK_OBJECT ? cs_pickle_items(p, dict, &n) : NULL;
    for (size_t i = 0; item && i + 1 < n; i += 2)
        if (cs_pickle_text_is(p, item[i], key)) {
            *out = item[i + 1];
            return true;
        }
    return false;
}

bool cs_pickle_find(const cs_pickle *p, cs_pk_value from, const char *path, cs_pk_value *out)
{
    *out = from;
    while (*path) {
        size_t n = strlen(path);
        while (!get_piece(p, *out, path, n, out)) {
            do
                n--;
            while (n > 0 && path[n] != '.');
            if (n == 0)
                return false;
        }
        path += path[n] == '.' ? n + 1 : n;
    }
    return true;
}

static int compare_text(const char *a, size_t n, const char *b, size_t m)
{
    int c = memcmp(a, b, n < m ? n : m);
    return c != 0 ? c : n < m ? -1 : n > m;
}

static int by_global(const void *a, const void *b)
{
    const cs_pk_global *x = a, *y = b;
    int c = compare_text(x->module, x->module_len, y->module, y->module_len);
    return c != 0 ? c : compare_text(x->name, x->name_len, y->name, y->name_len);
}

cs_status cs_pickle_foreign(const cs_pickle *p, uint32_t **list_create, size_t *n, cs_error *err)
{
    cs_pk_global *sorted = cs_calloc((size_t)p->n_global + 1, sizeof *sorted);
    uint32_t *list = cs_calloc((size_t)p->n_global + 1, sizeof *list), found = 0;
    *list_create = NULL;
    *n = 0;
    if (!sorted || !list) {
        cs_free(sorted);
        cs_free(list);
        return cs_fail_nomem(err, ((size_t)p->n_global + 1) * sizeof *sorted, p->name);
    }
    for (uint32_t i = 0; i < p->n_global; i++)
        if (p->global[i].known == CS_PK_FOREIGN) {
            sorted[found] = p->global[i];
            sorted[found++].known = (int)i; /* where it came from */
        }
    if (found > 1)
        qsort(sorted, found, sizeof *sorted, by_global);
    for (uint32_t i = 0; i < found; i++)
        if (i == 0 || by_global(&sorted[i - 1], &sorted[i]) != 0)
            list[(*n)++] = (uint32_t)sorted[i].known;
    cs_free(sorted);
    *list_create = list;
    return CS_OK;
}

typedef struct ranked {
    const char *text;
    uint32_t len, index;
} ranked;

static int by_text(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return compare_text(x->text, x->len, y->text, y->len);
}

/* The texts of two opcodes never share bytes, so the sort reads each byte about log n times. */
static cs_status rank_strings(cs_pk_vm *vm)
{
    cs_pickle *p = vm->p;
    uint32_t rank = 0;
    ranked *r = cs_calloc((size_t)p->n_string + 1, sizeof *r);
    if (!r)
        return cs_fail_nomem(vm->err, ((size_t)p->n_string + 1) * sizeof *r, p->name);
    for (uint32_t i = 0; i < p->n_string; i++)
        r[i] = (ranked){p->string[i].text, p->string[i].len, i};
    if (p->n_string > 1)
        qsort(r, p->n_string, sizeof *r, by_text);
    for (uint32_t i = 0; i < p->n_string; i++) {
        rank += i > 0 && by_text(&r[i - 1], &r[i]) != 0;
        p->string[r[i].index].rank = rank;
    }
    cs_free(r);
    return CS_OK;
}

typedef struct frame {
    uint32_t object, next;
} frame;

typedef struct walker {
    uint8_t *height; /* of each object: 0 not seen, OPEN on the way down, else 1 + that of its highest element */
    frame stack[CS_PK_MAX_DEPTH];
    int depth;
} walker;
enum { OPEN = 255 };
_Static_assert((int)CS_PK_MAX_DEPTH < (int)OPEN, "heights fit in a byte");

static cs_status too_deep(const cs_pk_vm *vm, uint32_t object)
{
    return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: nested more than %d deep", vm->p->name, vm->p->object[object].at, CS_PK_MAX_DEPTH);
}

/* One element of the object on top: goes down into it, or takes its height. */
static cs_status visit(cs_pk_vm *vm, walker *w, cs_pk_value v, uint8_t *highest)
{
    if (!has_items(v.kind))
        return CS_OK;
    uint8_t h = w->height[v.u.index];
    if (h == OPEN)
        return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: %s that contains itself", vm->p->name, v.at, cs_pk_kind_name(v.kind));
    if (h != 0) {
        *highest = h > *highest ? h : *highest;
        return CS_OK;
    }
    if (w->depth == CS_PK_MAX_DEPTH)
        return too_deep(vm, v.u.index);
    w->height[v.u.index] = OPEN;
    w->stack[w->depth++] = (frame){v.u.index, 0};
    return CS_OK;
}

/* Depth-first from one object, without recursion: each element is looked at twice at most, on the way down and when its height is known. */
static cs_status walk_from(cs_pk_vm *vm, walker *w, uint32_t start)
{
    const cs_pickle *p = vm->p;
    w->height[start] = OPEN;
    w->stack[0] = (frame){start, 0};
    w->depth = 1;
    while (w->depth > 0) {
        frame *f = &w->stack[w->depth - 1];
        cs_pk_object *o = &p->object[f->object];
        int depth = w->depth;
        uint8_t highest = 0;
        while (f->next < o->n && w->depth == depth)
            CS_TRY(visit(vm, w, p->pool[o->first + f->next++], &highest));
        if (w->depth > depth)
            continue;
        for (uint32_t i = 0; i < o->n; i++) {
            CS_TRY(visit(vm, w, p->pool[o->first + i], &highest));
            o->has_tensor |= cs_pk_has_tensor(p, p->pool[o->first + i]); /* again: an element may have got one after it was added */
        }
        if (highest >= CS_PK_MAX_DEPTH)
            return too_deep(vm, f->object);
        w->height[f->object] = (uint8_t)(highest + 1);
        w->depth--;
    }
    return CS_OK;
}

typedef struct dict_key {
    int64_t number;
    uint32_t at;
    bool text;
} dict_key;

static int by_key(const void *a, const void *b)
{
    const dict_key *x = a, *y = b;
    if (x->text != y->text)
        return x->text ? 1 : -1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Keys of one dict: nothing that can change, and no text or integer twice. `key` has room for all. */
static cs_status check_keys(cs_pk_vm *vm, const cs_pk_value *item, uint32_t n, dict_key *key)
{
    const cs_pickle *p = vm->p;
    size_t count = 0;
    for (uint32_t i = 0; i < n; i += 2) {
        cs_pk_value k = item[i];
        if (k.kind == CS_PK_LIST || k.kind == CS_PK_DICT)
            return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: %s as key of a dict", p->name, k.at, cs_pk_kind_name(k.kind));
        if (k.kind == CS_PK_STR)
            key[count++] = (dict_key){p->string[k.u.index].rank, k.at, true};
        else if (k.kind == CS_PK_INT || k.kind == CS_PK_BOOL)
            key[count++] = (dict_key){k.u.i, k.at, false};
    }
    if (count > 1)
        qsort(key, count, sizeof *key, by_key);
    for (size_t i = 1; i < count; i++)
        if (by_key(&key[i - 1], &key[i]) == 0)
            return cs_fail(vm->err, CS_E_FORMAT, "%s: pickle byte %u: a key that its dict has already", p->name, key[i].at);
    return CS_OK;
}

static cs_status check_dicts(cs_pk_vm *vm)
{
    const cs_pickle *p = vm->p;
    uint32_t most = 0;
    for (uint32_t i = 0; i < p->n_object; i++)
        most = p->object[i].kind == CS_PK_DICT && p->object[i].n > most ? p->object[i].n : most;
    dict_key *key = cs_calloc((size_t)most / 2 + 1, sizeof *key);
    cs_status s = key ? CS_OK : cs_fail_nomem(vm->err, ((size_t)most / 2 + 1) * sizeof *key, p->name);
    for (uint32_t i = 0; i < p->n_object && s == CS_OK; i++)
        if (p->object[i].kind == CS_PK_DICT && p->object[i].n > 0)
            s = check_keys(vm, p->pool + p->object[i].first, p->object[i].n, key);
    cs_free(key);
    return s;
}

static cs_status check_nesting(cs_pk_vm *vm)
{
    uint32_t n = vm->p->n_object;
    walker w = {.height = cs_calloc((size_t)n + 1, 1)};
    cs_status s = w.height ? CS_OK : cs_fail_nomem(vm->err, (size_t)n + 1, vm->p->name);
    for (uint32_t i = 0; i < n && s == CS_OK; i++)
        if (w.height[i] == 0)
            s = walk_from(vm, &w, i);
    cs_free(w.height);
    return s;
}

cs_status cs_pk_finish(cs_pk_vm *vm)
{
    CS_TRY(rank_strings(vm));
    CS_TRY(check_dicts(vm));
    return check_nesting(vm);
}
