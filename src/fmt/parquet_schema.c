/* See parquet_schema.h. Levels and shapes follow the format's rules for nested types, those for older writers included. */
#include "fmt/parquet_schema.h"

#include "fmt/bytes.h"
#include "fmt/limits.h"

#include <string.h>

/* Ids of SchemaElement, of the annotations (converted_type), and of LogicalType. */
enum { ELEM_TYPE = 1, ELEM_WIDTH, ELEM_REPETITION, ELEM_NAME, ELEM_CHILDREN, ELEM_CONVERTED, ELEM_SCALE, ELEM_LOGICAL = 10, ELEM_N };
enum { CONV_MAP = 1, CONV_MAP_KEY_VALUE, CONV_LIST, CONV_DECIMAL = 5, CONV_UINT_8 = 11, CONV_UINT_64 = 14 };
enum { LOGICAL_MAP = 2, LOGICAL_LIST, LOGICAL_DECIMAL = 5, LOGICAL_INTEGER = 10, LOGICAL_UUID = 14, LOGICAL_FLOAT16 };

typedef struct element {
    int64_t v[ELEM_N];
    uint32_t seen;
    const char *name;
    size_t name_len, at;
    int32_t logical;          /* 0 = none */
    int64_t parameter[3];     /* of the logical type: scale and precision, or width and sign */
} element;

static bool has(const element *e, int field)
{
    return e->seen >> field & 1;
}

static bool annotated(const element *e, int converted, int logical)
{
    return e->logical == logical || (!e->logical && has(e, ELEM_CONVERTED) && e->v[ELEM_CONVERTED] == converted);
}

/* The union of logical types: one field, itself a struct. */
static cs_status read_logical(cs_thrift *t, element *e, cs_error *err)
{
    cs_thrift_field f = {0};
    bool more = true;
    uint32_t seen = 0;
    for (;;) {
        CS_TRY(cs_thrift_next(t, &f, &more, err));
        if (!more)
            return CS_OK;
        CS_TRY(cs_thrift_struct(t, &f, err));
        e->logical = f.id;
        CS_TRY(cs_thrift_ints(t, e->parameter, 3, &seen, err));
    }
}

static cs_status read_element(cs_thrift *t, element *e, cs_error *err)
{
    cs_thrift_field f = {0};
    bool more = true;
    *e = (element){.name = "", .at = t->at};
    for (;;) {
        const uint8_t *p = NULL;
        CS_TRY(cs_thrift_next(t, &f, &more, err));
        if (!more)
            break;
        if (f.id == ELEM_NAME) {
            CS_TRY(cs_thrift_bytes(t, &f, &p, &e->name_len, err));
            e->name = (const char *)p;
        } else if (f.id == ELEM_LOGICAL) {
            CS_TRY(cs_thrift_struct(t, &f, err));
            CS_TRY(read_logical(t, e, err));
        } else if (f.id >= 1 && f.id < ELEM_N) {
            CS_TRY(cs_thrift_int(t, &f, &e->v[f.id], err));
        } else {
            CS_TRY(cs_thrift_skip(t, &f, err));
            continue;
        }
        e->seen |= 1u << f.id;
    }
    if (!cs_utf8_valid(e->name, e->name_len))
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a column name in UTF-8, found other bytes", t->name, e->at);
    return CS_OK;
}

static cs_status fail_at(const cs_parquet *p, const element *e, const char *what, int64_t found, cs_error *err)
{
    return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: column \"%.*s\": expected %s, found %lld", p->name, e->at,
                   e->name_len < 64 ? (int)e->name_len : 64, e->name, what, (long long)found);
}

static cs_parquet_form form_of(const element *e, cs_parquet_type type, size_t width)
{
    bool is_unsigned = has(e, ELEM_CONVERTED) && e->v[ELEM_CONVERTED] >= CONV_UINT_8 && e->v[ELEM_CONVERTED] <= CONV_UINT_64;
    if (e->logical == LOGICAL_INTEGER)
        is_unsigned = e->parameter[2] == 0;
    bool decimal = annotated(e, CONV_DECIMAL, LOGICAL_DECIMAL);
    switch (type) {
    case CS_PARQUET_BOOLEAN: return CS_FORM_BOOL;
    case CS_PARQUET_INT32:
    case CS_PARQUET_INT64: return decimal ? CS_FORM_DECIMAL : is_unsigned ? CS_FORM_UINT : CS_FORM_INT;
    case CS_PARQUET_INT96: return CS_FORM_INT96;
    case CS_PARQUET_FLOAT: return CS_FORM_FLOAT;
    case CS_PARQUET_DOUBLE: return CS_FORM_DOUBLE;
    case CS_PARQUET_BYTES: return decimal ? CS_FORM_DECIMAL : CS_FORM_TEXT;
    default: break;
    }
    if (decimal)
        return CS_FORM_DECIMAL;
    if (e->logical == LOGICAL_UUID && width == 16)
        return CS_FORM_UUID;
    return e->logical == LOGICAL_FLOAT16 && width == 2 ? CS_FORM_HALF : CS_FORM_HEX;
}

static const char *logical_name(const element *e)
{
    static const char *const logical[] = {NULL, "STRING", "MAP", "LIST", "ENUM", "DECIMAL", "DATE", "TIME", "TIMESTAMP", NULL, "INTEGER", "UNKNOWN",
                                          "JSON", "BSON", "UUID", "FLOAT16"};
    static const char *const converted[] = {"STRING", "MAP", "MAP", "LIST", "ENUM", "DECIMAL", "DATE", "TIME", "TIME", "TIMESTAMP", "TIMESTAMP",
                                            "UINT_8", "UINT_16", "UINT_32", "UINT_64", "INT_8", "INT_16", "INT_32", "INT_64", "JSON", "BSON",
                                            "INTERVAL"};
    if (e->logical > 0)
        return (size_t)e->logical < sizeof logical / sizeof logical[0] ? logical[e->logical] : "UNKNOWN";
    if (has(e, ELEM_CONVERTED) && e->v[ELEM_CONVERTED] >= 0 && (size_t)e->v[ELEM_CONVERTED] < sizeof converted / sizeof converted[0])
        return converted[e->v[ELEM_CONVERTED]];
    return NULL;
}

static cs_status make_leaf(const cs_parquet *p, cs_parquet_leaf *leaf, const element *e, uint32_t node, cs_error *err)
{
    static const size_t widths[] = {1, 4, 8, 12, 4, 8, 0};
    if (e->v[ELEM_TYPE] < CS_PARQUET_BOOLEAN || e->v[ELEM_TYPE] > CS_PARQUET_FIXED)
        return fail_at(p, e, "a physical type from 0 to 7", e->v[ELEM_TYPE], err);
    *leaf = (cs_parquet_leaf){.node = node, .type = (cs_parquet_type)e->v[ELEM_TYPE], .logical = logical_name(e)};
    if (leaf->type == CS_PARQUET_FIXED && (e->v[ELEM_WIDTH] < 1 || e->v[ELEM_WIDTH] > CS_LIMIT_PARQUET_PAGE))
        return fail_at(p, e, "values of 1 byte to 1 GiB", e->v[ELEM_WIDTH], err);
    leaf->width = leaf->type == CS_PARQUET_FIXED ? (size_t)e->v[ELEM_WIDTH] : widths[leaf->type];
    leaf->form = form_of(e, leaf->type, leaf->width);
    leaf->def = p->nodes[node].def;
    leaf->rep = p->nodes[node].rep;
    if (leaf->form != CS_FORM_DECIMAL)
        return CS_OK;
    int64_t scale = e->logical == LOGICAL_DECIMAL ? e->parameter[1] : e->v[ELEM_SCALE];
    if (scale < 0 || scale > 2 * CS_LIMIT_PARQUET_DECIMAL)
        return fail_at(p, e, "a decimal scale from 0 to 128", scale, err);
    if (leaf->width > CS_LIMIT_PARQUET_DECIMAL)
        return fail_at(p, e, "decimals of at most 64 bytes", e->v[ELEM_WIDTH], err);
    leaf->scale = (int)scale;
    return CS_OK;
}

static bool named(const cs_parquet_node *n, const char *text, size_t len)
{
    return n->name_len == len && memcmp(n->name, text, len) == 0;
}

static uint32_t count_children(const cs_parquet *p, uint32_t node)
{
    uint32_t n = 0;
    for (uint32_t c = node + 1; c < p->nodes[node].end; c = p->nodes[c].end)
        n++;
    return n;
}

/* What a group with the annotation LIST or MAP is, by its one repeated child. */
static cs_parquet_shape shape_of(const cs_parquet *p, const element *e, uint32_t node)
{
    const cs_parquet_node *n = &p->nodes[node], *r = n + 1;
    bool list = annotated(e, CONV_LIST, LOGICAL_LIST);
    bool map = annotated(e, CONV_MAP, LOGICAL_MAP) || annotated(e, CONV_MAP_KEY_VALUE, LOGICAL_MAP);
    if ((!list && !map) || count_children(p, node) != 1 || r->repetition != CS_PARQUET_REPEATED)
        return CS_SHAPE_STRUCT;
    uint32_t inside = r->shape == CS_SHAPE_LEAF ? 0 : count_children(p, node + 1);
    if (map)
        return inside == 2 ? CS_SHAPE_MAP : inside == 1 ? CS_SHAPE_LIST_WRAPPED : CS_SHAPE_STRUCT;
    bool tuple = r->name_len == n->name_len + 6 && memcmp(r->name, n->name, n->name_len) == 0 && memcmp(r->name + n->name_len, "_tuple", 6) == 0;
    if (inside != 1 || named(r, "array", 5) || tuple || r[1].repetition == CS_PARQUET_REPEATED)
        return CS_SHAPE_LIST_ELEMENT;
    return CS_SHAPE_LIST_WRAPPED;
}

/* Node i from element i, inside `parent`. */
static cs_status make_node(cs_parquet *p, const element *e, uint32_t i, uint32_t parent, cs_error *err)
{
    cs_parquet_node *n = &p->nodes[i];
    bool leaf = has(e, ELEM_TYPE) && !(has(e, ELEM_CHILDREN) && e->v[ELEM_CHILDREN] > 0);
    *n = (cs_parquet_node){.name = e->name, .name_len = e->name_len, .end = i + 1, .leaf = (uint32_t)p->n_leaves,
                           .shape = leaf ? CS_SHAPE_LEAF : CS_SHAPE_STRUCT};
    if (i > 0 && (!has(e, ELEM_REPETITION) || e->v[ELEM_REPETITION] < 0 || e->v[ELEM_REPETITION] > 2))
        return fail_at(p, e, "a repetition from 0 to 2", has(e, ELEM_REPETITION) ? e->v[ELEM_REPETITION] : -1, err);
    if (i > 0) {
        int64_t repetition = e->v[ELEM_REPETITION];
        n->repetition = repetition == 0 ? CS_PARQUET_REQUIRED : repetition == 1 ? CS_PARQUET_OPTIONAL : CS_PARQUET_REPEATED;
        n->def = p->nodes[parent].def + (repetition > 0);
        n->rep = p->nodes[parent].rep + (repetition == 2);
    }
    if (leaf && i == 0)
        return fail_at(p, e, "a group of columns at the root of the schema, found a column of type", e->v[ELEM_TYPE], err);
    if (!leaf && (e->v[ELEM_CHILDREN] < (i > 0) || e->v[ELEM_CHILDREN] > CS_LIMIT_PARQUET_NODES))
        return fail_at(p, e, "a column type or at least one column in the group", e->v[ELEM_CHILDREN], err);
    return leaf ? make_leaf(p, &p->leaves[p->n_leaves++], e, i, err) : CS_OK;
}

/* The elements come in pre-order; every group says how many follow in it. */
static cs_status build(cs_parquet *p, const element *elements, size_t n, cs_error *err)
{
    struct {
        uint32_t node;
        int64_t left;
    } open[CS_LIMIT_PARQUET_DEPTH + 1];
    int depth = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0 && depth == 0)
            return fail_at(p, &elements[i], "the end of the schema, found another column: number", i, err);
        CS_TRY(make_node(p, &elements[i], i, depth > 0 ? open[depth - 1].node : 0, err));
        if (depth > 0)
            open[depth - 1].left--;
        if (p->nodes[i].shape != CS_SHAPE_LEAF) {
            if (depth > CS_LIMIT_PARQUET_DEPTH)
                return fail_at(p, &elements[i], "groups at most 48 deep", depth, err);
            open[depth].node = i;
            open[depth++].left = elements[i].v[ELEM_CHILDREN];
        }
        while (depth > 0 && open[depth - 1].left == 0) {
            uint32_t done = open[--depth].node;
            p->nodes[done].end = i + 1;
            p->nodes[done].shape = shape_of(p, &elements[done], done);
        }
    }
    if (depth > 0)
        return fail_at(p, &elements[n - 1], "more columns in the groups that are open: missing", open[depth - 1].left, err);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t end = p->nodes[i].end;
        p->nodes[i].n_leaves = (end < n ? p->nodes[end].leaf : (uint32_t)p->n_leaves) - p->nodes[i].leaf;
    }
    return CS_OK;
}

cs_status cs_parquet_schema_read(cs_parquet *p, cs_thrift *t, const cs_thrift_field *f, cs_error *err)
{
    size_t n = 0;
    CS_TRY(cs_thrift_list(t, f, CS_THRIFT_STRUCT, &n, err));
    if (p->nodes)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected one schema, found a second", p->name, f->at);
    if (n < 1 || n > CS_LIMIT_PARQUET_NODES)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a schema of 1 to %d elements, found %zu", p->name, f->at, CS_LIMIT_PARQUET_NODES,
                       n);
    element *elements = cs_calloc(n, sizeof *elements);
    p->nodes = cs_calloc(n, sizeof *p->nodes);
    p->leaves = cs_calloc(n, sizeof *p->leaves);
    cs_status s = elements && p->nodes && p->leaves ? CS_OK : cs_fail_nomem(err, n, p->name);
    for (size_t i = 0; s == CS_OK && i < n; i++)
        s = read_element(t, &elements[i], err);
    p->n_nodes = n;
    if (s == CS_OK)
        s = build(p, elements, n, err);
    cs_free(elements);
    return s;
}
