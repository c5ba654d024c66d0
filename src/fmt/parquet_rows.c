/* See parquet.h: rows from columns. Every column gives values with two levels: `rep` says in which list a value goes on (0 = a new row), `def` how
 * far down its path something is there. The schema is walked once per row, and each column must stand where the walk comes by: one that does not is
 * an error, so columns that tell different stories about a list are found. */
#include "fmt/parquet.h"

#include "fmt/parquet_column.h"
#include "fmt/parquet_put.h"

#include <string.h>

struct cs_parquet_rows {
    const cs_parquet *p;
    cs_column *columns;       /* [n_leaves] */
    cs_parquet_chunk *chunks; /* [n_leaves] of the current group */
    bool *unwanted;           /* [n_nodes] */
    cs_unpacker unpacker;
    cs_str out;
    size_t limit;
    size_t group;    /* groups begun */
    int64_t left;    /* rows left in the current one */
    int64_t row;     /* rows handed out */
    bool done;
};

cs_status cs_parquet_rows_create(const cs_parquet *p, size_t limit, cs_parquet_rows **out, cs_error *err)
{
    cs_parquet_rows *r = cs_calloc(1, sizeof *r);
    *out = NULL;
    if (!r)
        return cs_fail_nomem(err, sizeof *r, p->name);
    r->p = p;
    r->limit = limit;
    r->columns = cs_calloc(p->n_leaves + 1, sizeof *r->columns);
    r->chunks = cs_calloc(p->n_leaves + 1, sizeof *r->chunks);
    r->unwanted = cs_calloc(p->n_nodes, sizeof *r->unwanted);
    if (!r->columns || !r->chunks || !r->unwanted) {
        cs_parquet_rows_destroy(r);
        return cs_fail_nomem(err, p->n_leaves * sizeof *r->columns, p->name);
    }
    for (size_t i = 0; i < p->n_leaves; i++) {
        r->columns[i].p = p;
        r->columns[i].leaf = &p->leaves[i];
    }
    *out = r;
    return CS_OK;
}

void cs_parquet_rows_destroy(cs_parquet_rows *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->columns && i < r->p->n_leaves; i++)
        cs_column_release(&r->columns[i]);
    cs_free(r->columns);
    cs_free(r->chunks);
    cs_free(r->unwanted);
    cs_unpacker_release(&r->unpacker);
    cs_str_release(&r->out);
    cs_free(r);
}

void cs_parquet_rows_want(cs_parquet_rows *r, const char *const *keys, size_t n_keys)
{
    for (uint32_t c = 1; c < r->p->n_nodes; c = r->p->nodes[c].end) {
        bool found = false;
        for (size_t k = 0; k < n_keys && !found; k++)
            found = strlen(keys[k]) == r->p->nodes[c].name_len && memcmp(keys[k], r->p->nodes[c].name, r->p->nodes[c].name_len) == 0;
        r->unwanted[c] = !found;
    }
}

static const char long_row[] = "a row of more bytes than one record may have";

/* `more` bytes would make the row longer than it may be. */
static bool too_long(const cs_parquet_rows *r, size_t more)
{
    return r->out.len > r->limit || more > r->limit - r->out.len;
}

/* The column of leaf `i` at its next value, which must be in list `rep`. */
static cs_status at_value(cs_parquet_rows *r, size_t i, int rep, cs_column **out, cs_error *err)
{
    cs_column *c = &r->columns[i];
    *out = c;
    CS_TRY(cs_column_peek(c, &r->unpacker, err));
    if (c->rep == rep)
        return CS_OK;
    return cs_column_fail(c, c->rep < 0 ? "the column ends before the row group's rows do"
                                        : "repetition levels that do not fit the schema or the rows", err);
}

/* Nothing is there from level `def` on, in all the columns of the node. */
static cs_status pass_over(cs_parquet_rows *r, const cs_parquet_node *n, int rep, int def, cs_error *err)
{
    cs_column *c;
    for (size_t i = n->leaf; i < n->leaf + n->n_leaves; i++) {
        CS_TRY(at_value(r, i, rep, &c, err));
        if (c->def != def - 1)
            return cs_column_fail(c, "definition levels that do not fit the schema or the other columns", err);
        c->loaded = false;
    }
    return CS_OK;
}

static cs_status put_field(cs_parquet_rows *r, uint32_t node, int rep, cs_error *err);

static cs_status put_leaf(cs_parquet_rows *r, const cs_parquet_node *n, int rep, cs_error *err)
{
    cs_column *c;
    cs_view value;
    CS_TRY(at_value(r, n->leaf, rep, &c, err));
    if (c->def != c->leaf->def)
        return cs_column_fail(c, "definition levels that do not fit the schema or the other columns", err);
    CS_TRY(cs_column_value(c, &value, err));
    const char *why = too_long(r, value.n) ? long_row : cs_parquet_put(&r->out, c->leaf, value);
    c->loaded = false;
    return why ? cs_column_fail(c, why, err) : cs_str_check(&r->out, err);
}

static cs_status put_members(cs_parquet_rows *r, uint32_t node, int rep, cs_error *err)
{
    bool first = true;
    cs_str_putc(&r->out, '{');
    for (uint32_t c = node + 1; c < r->p->nodes[node].end; c = r->p->nodes[c].end) {
        if (r->unwanted[c])
            continue;
        if (!first)
            cs_str_putc(&r->out, ',');
        first = false;
        cs_parquet_put_text(&r->out, r->p->nodes[c].name, r->p->nodes[c].name_len);
        cs_str_putc(&r->out, ':');
        CS_TRY(put_field(r, c, rep, err));
    }
    cs_str_putc(&r->out, '}');
    return CS_OK;
}

/* A list: `node` is what repeats in it. */
static cs_status put_list(cs_parquet_rows *r, uint32_t node, cs_parquet_shape shape, int rep, cs_error *err);

/* A node that is there. */
static cs_status put_body(cs_parquet_rows *r, uint32_t node, int rep, cs_error *err)
{
    const cs_parquet_node *n = &r->p->nodes[node];
    if (n->shape == CS_SHAPE_LEAF)
        return put_leaf(r, n, rep, err);
    if (n->shape == CS_SHAPE_STRUCT)
        return put_members(r, node, rep, err);
    return put_list(r, node + 1, n->shape, rep, err);
}

/* What repeats, once. */
static cs_status put_element(cs_parquet_rows *r, uint32_t node, cs_parquet_shape shape, int rep, cs_error *err)
{
    if (shape == CS_SHAPE_LIST_ELEMENT)
        return put_body(r, node, rep, err);
    if (shape == CS_SHAPE_LIST_WRAPPED)
        return put_field(r, node + 1, rep, err);
    cs_str_putc(&r->out, '[');
    CS_TRY(put_field(r, node + 1, rep, err));
    cs_str_putc(&r->out, ',');
    CS_TRY(put_field(r, r->p->nodes[node + 1].end, rep, err));
    cs_str_putc(&r->out, ']');
    return CS_OK;
}

static cs_status put_list(cs_parquet_rows *r, uint32_t node, cs_parquet_shape shape, int rep, cs_error *err)
{
    const cs_parquet_node *n = &r->p->nodes[node];
    cs_column *c;
    CS_TRY(at_value(r, n->leaf, rep, &c, err));
    cs_str_putc(&r->out, '[');
    if (c->def < n->def)
        CS_TRY(pass_over(r, n, rep, n->def, err));
    else
        for (int in = rep;; in = n->rep) {
            CS_TRY(put_element(r, node, shape, in, err));
            CS_TRY(cs_column_peek(c, &r->unpacker, err));
            if (c->rep != n->rep)
                break;
            if (too_long(r, 0))
                return cs_column_fail(c, long_row, err);
            CS_TRY(cs_str_check(&r->out, err));
            cs_str_putc(&r->out, ',');
        }
    cs_str_putc(&r->out, ']');
    return CS_OK;
}

/* A node with its own repetition. */
static cs_status put_field(cs_parquet_rows *r, uint32_t node, int rep, cs_error *err)
{
    const cs_parquet_node *n = &r->p->nodes[node];
    cs_column *c;
    if (n->repetition == CS_PARQUET_REPEATED)
        return put_list(r, node, CS_SHAPE_LIST_ELEMENT, rep, err);
    if (n->repetition == CS_PARQUET_OPTIONAL) {
        CS_TRY(at_value(r, n->leaf, rep, &c, err));
        if (c->def < n->def) {
            cs_str_puts(&r->out, "null");
            return pass_over(r, n, rep, n->def, err);
        }
    }
    return put_body(r, node, rep, err);
}

/* Every column of a group has ended where its rows do. */
static cs_status end_group(cs_parquet_rows *r, cs_error *err)
{
    for (uint32_t c = 1; c < r->p->n_nodes; c = r->p->nodes[c].end)
        for (size_t i = r->p->nodes[c].leaf; !r->unwanted[c] && i < r->p->nodes[c].leaf + r->p->nodes[c].n_leaves; i++) {
            CS_TRY(cs_column_peek(&r->columns[i], &r->unpacker, err));
            if (r->columns[i].rep >= 0)
                return cs_column_fail(&r->columns[i], "more values in the column than the row group has rows", err);
        }
    return CS_OK;
}

static cs_status next_group(cs_parquet_rows *r, cs_error *err)
{
    if (r->group > 0)
        CS_TRY(end_group(r, err));
    r->done = r->group == r->p->n_groups;
    if (r->done)
        return CS_OK;
    CS_TRY(cs_parquet_chunks(r->p, r->group, r->chunks, err));
    for (size_t i = 0; i < r->p->n_leaves; i++)
        cs_column_begin(&r->columns[i], r->group, &r->chunks[i]);
    r->left = r->p->groups[r->group++].n_rows;
    return CS_OK;
}

static cs_status next_row(cs_parquet_rows *r, cs_error *err)
{
    while (r->left == 0 && !r->done)
        CS_TRY(next_group(r, err));
    if (r->done)
        return CS_OK;
    cs_str_clear(&r->out);
    CS_TRY(put_members(r, 0, 0, err));
    r->left--;
    r->row++;
    return cs_str_check(&r->out, err);
}

cs_status cs_parquet_rows_next(cs_parquet_rows *r, const char **text, size_t *len, int64_t *row, cs_error *err)
{
    *text = NULL;
    *len = 0;
    *row = r->row + 1;
    if (r->done)
        return CS_OK;
    cs_status s = next_row(r, err);
    if (s != CS_OK)
        r->done = true;
    if (r->done)
        return s;
    *text = r->out.data;
    *len = r->out.len;
    return CS_OK;
}
