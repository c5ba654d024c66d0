/* From a tree of dicts to a flat list of named tensors. Depth-first with a stack of its own; what holds no tensor is not entered. A pickle may
 * hold one dict in many places, so the number of visits and the length of all names are held against the size of the pickle. */
#include "fmt/torch_file.h"

#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VISITS = 4, SLACK = 1 << 16 };

typedef struct level {
    cs_pk_value container;
    size_t next, path_len; /* next item; length of the path up to this container */
} level;

typedef struct flattener {
    const cs_torch_file *f;
    cs_torch_list *list;
    cs_str names;
    size_t *start; /* of each name in names */
    size_t cap, visits;
    level stack[CS_PK_MAX_DEPTH];
    int depth;
    char path[CS_TORCH_MAX_NAME + 1];
    size_t len;
    cs_error *err;
} flattener;

static cs_status bad(const flattener *w, cs_pk_value v, const char *what)
{
    return cs_fail(w->err, CS_E_FORMAT, "%s: pickle byte %u: \"%s\": %s", w->f->pickle_name, v.at, w->path, what);
}

/* Puts ".text" behind the first `base` bytes of the path. */
static cs_status set_path(flattener *w, size_t base, cs_pk_value where, const char *text, size_t n)
{
    w->len = base;
    w->path[base] = '\0';
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
            return bad(w, where, "key above a tensor with a control character in it");
    if (n + (base > 0) > CS_TORCH_MAX_NAME - base)
        return bad(w, where, "name of a tensor that is too long");
    if (base > 0)
        w->path[w->len++] = '.';
    memcpy(w->path + w->len, text, n);
    w->len += n;
    w->path[w->len] = '\0';
    return CS_OK;
}

static cs_status set_path_number(flattener *w, size_t base, cs_pk_value where, int64_t number)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, number);
    return set_path(w, base, where, digits, (size_t)n);
}

static cs_status set_path_key(flattener *w, size_t base, cs_pk_value key)
{
    size_t n;
    const char *text = cs_pickle_text(&w->f->pickle, key, &n);
    if (text)
        return set_path(w, base, key, text, n);
    w->path[base] = '\0';
    return key.kind == CS_PK_INT ? set_path_number(w, base, key, key.u.i) : bad(w, key, "key above a tensor that is neither text nor a number");
}

static cs_status add(flattener *w, cs_pk_value v)
{
    cs_torch_list *list = w->list;
    if (list->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 64;
        cs_torch_named *item = cs_realloc_array(list->item, cap, sizeof *item);
        list->item = item ? item : list->item;
        size_t *start = item ? cs_realloc_array(w->start, cap, sizeof *start) : NULL;
        w->start = start ? start : w->start;
        if (!start)
            return cs_fail_nomem(w->err, cap * sizeof *item, w->f->name);
        w->cap = cap;
    }
    if (w->names.len + w->len + 1 > CS_TORCH_NAMES * w->f->pickle.bytes + SLACK)
        return bad(w, v, "the names of the tensors are far longer than the file");
    w->start[list->n] = w->names.len;
    list->item[list->n++].tensor = &w->f->tensor[v.u.index];
    cs_str_append(&w->names, w->path, w->len + 1);
    return cs_str_check(&w->names, w->err);
}

static cs_status refuse_opaque(const flattener *w, cs_pk_value v)
{
    const cs_pk_global *g = cs_pickle_global(&w->f->pickle, v);
    return cs_fail(w->err, CS_E_FORMAT, "%s: pickle byte %u: tensor \"%s\" depends on %.*s.%.*s (byte %u), which is not one of the names that may "
                   "build tensors", w->f->pickle_name, v.at, w->path[0] ? w->path : "(all)", (int)g->module_len, g->module,
                   (int)g->name_len, g->name, g->at);
}

/* The value under w->path. */
static cs_status take(flattener *w, cs_pk_value v)
{
    const cs_pickle *p = &w->f->pickle;
    if (++w->visits > VISITS * p->bytes + SLACK)
        return bad(w, v, "shared containers unfold to far more than the file holds");
    switch (v.kind) {
    case CS_PK_TENSOR: return add(w, v);
    case CS_PK_OPAQUE: return p->object[v.u.index].has_tensor ? refuse_opaque(w, v) : CS_OK;
    case CS_PK_DICT:
    case CS_PK_OBJECT:
    case CS_PK_LIST:
    case CS_PK_TUPLE:
        if (!p->object[v.u.index].has_tensor)
            return CS_OK;
        CS_ASSERT(w->depth < CS_PK_MAX_DEPTH); /* the pickle reader has checked */
        w->stack[w->depth++] = (level){v, 0, w->len};
        return CS_OK;
    default: return CS_OK;
    }
}

static bool may_hold(const cs_pickle *p, cs_pk_value v)
{
    switch (v.kind) {
    case CS_PK_TENSOR: return true;
    case CS_PK_DICT:
    case CS_PK_OBJECT:
    case CS_PK_LIST:
    case CS_PK_TUPLE:
    case CS_PK_OPAQUE: return p->object[v.u.index].has_tensor;
    default: return false;
    }
}

static cs_status walk(flattener *w, cs_pk_value from)
{
    const cs_pickle *p = &w->f->pickle;
    CS_TRY(take(w, from));
    while (w->depth > 0) {
        level *l = &w->stack[w->depth - 1];
        size_t n, base = l->path_len;
        const cs_pk_value *item = cs_pickle_items(p, l->container, &n);
        bool dict = l->container.kind == CS_PK_DICT || l->container.kind == CS_PK_OBJECT;
        size_t i = l->next;
        if (i >= n) {
            w->depth--;
            continue;
        }
        l->next += dict ? 2 : 1;
        cs_pk_value v = item[dict ? i + 1 : i];
        if (!may_hold(p, v)) {
            w->visits++;
            continue;
        }
        CS_TRY(dict ? set_path_key(w, base, item[i]) : set_path_number(w, base, v, (int64_t)i));
        CS_TRY(take(w, v));
    }
    return CS_OK;
}

static int by_name(const void *a, const void *b)
{
    const cs_torch_named *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Names become pointers, then the list is sorted. */
static cs_status finish(flattener *w)
{
    cs_torch_list *list = w->list;
    for (size_t i = 0; i < list->n; i++)
        list->item[i].name = w->names.data + w->start[i];
    if (list->n > 1)
        qsort(list->item, list->n, sizeof *list->item, by_name);
    for (size_t i = 1; i < list->n; i++)
        if (by_name(&list->item[i - 1], &list->item[i]) == 0)
            return cs_fail(w->err, CS_E_FORMAT, "%s: two tensors are named \"%s\"", w->f->pickle_name, list->item[i].name);
    return CS_OK;
}

cs_status cs_torch_list_init(cs_torch_list *list, const cs_torch_file *f, cs_pk_value from, cs_error *err)
{
    *list = (cs_torch_list){0};
    bool opaque = from.kind == CS_PK_OPAQUE;
    if (!opaque && from.kind != CS_PK_DICT && from.kind != CS_PK_OBJECT && from.kind != CS_PK_LIST && from.kind != CS_PK_TUPLE)
        return cs_fail(err, CS_E_FORMAT, "%s: pickle byte %u: found %s, expected a dict of tensors", f->pickle_name, from.at,
                       cs_pk_kind_name(from.kind));
    flattener *w = cs_calloc(1, sizeof *w);
    if (!w)
        return cs_fail_nomem(err, sizeof *w, f->name);
    w->f = f;
    w->list = list;
    w->err = err;
    cs_status s = opaque ? refuse_opaque(w, from) : walk(w, from);
    if (s == CS_OK)
        s = finish(w);
    list->names = w->names.data;
    cs_free(w->start);
    cs_free(w);
    if (s != CS_OK)
        cs_torch_list_release(list);
    return s;
}

void cs_torch_list_release(cs_torch_list *list)
{
    cs_free(list->item);
    cs_free(list->names);
    *list = (cs_torch_list){0};
}

const cs_torch_tensor *cs_torch_list_find(const cs_torch_list *list, const char *name)
{
    size_t lo = 0, hi = list->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, list->item[mid].name);
        if (c == 0)
            return list->item[mid].tensor;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}
