/* Planner of safetensors files: which tensor goes into which file at which offset, and the bytes of every header. Deterministic: every rank that
 * plans the same tensors gets the same plan. */
#include "fmt/safetensors.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Place in the reference writer's order; higher goes first. */
static int dtype_rank(cs_dtype t)
{
    static const cs_dtype order[] = {CS_BOOL, CS_U8,   CS_I8,  CS_F8_E5M2, CS_F8_E4M3, CS_I16, CS_U16, CS_F16,
                                     CS_BF16, CS_I32, CS_U32, CS_F32,     CS_F64,     CS_I64, CS_U64};
    int i = 0;
    while (order[i] != t)
        i++;
    return i;
}

static int canonical(const void *a, const void *b)
{
    const cs_st_entry *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->dtype != y->dtype)
        return dtype_rank(y->dtype) - dtype_rank(x->dtype);
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const cs_st_entry *const *)a)->name, (*(const cs_st_entry *const *)b)->name);
}

static cs_status entry_bytes(cs_st_entry *e, cs_error *err)
{
    size_t n = cs_dtype_size(e->dtype);
    bool ok = e->ndim >= 0 && e->ndim <= CS_ST_MAX_DIMS;
    for (int i = 0; ok && i < e->ndim; i++)
        ok = e->shape[i] >= 0 && cs_mul_checked(n, (size_t)e->shape[i], &n);
    if (!ok)
        return cs_fail(err, CS_E_FORMAT, "tensor \"%s\": the product of its dimensions overflows", e->name);
    e->bytes = n;
    return CS_OK;
}

/* Fills shard after shard in the order given. */
static cs_status assign_files(cs_st_plan *plan, size_t max_shard_bytes, cs_error *err)
{
    size_t file = 0, used = 0, count = 0;
    for (size_t i = 0; i < plan->n; i++) {
        cs_st_entry *e = &plan->entry[i];
        CS_TRY(entry_bytes(e, err));
        if (max_shard_bytes && count && (used > max_shard_bytes || e->bytes > max_shard_bytes - used)) {
            file++;
            used = count = 0;
        }
        e->file = file;
        count++;
        if (!cs_add_checked(used, e->bytes, &used) || !cs_add_checked(plan->total_bytes, e->bytes, &plan->total_bytes))
            return cs_fail(err, CS_E_FORMAT, "tensor \"%s\": the sizes of all tensors overflow", e->name);
    }
    if (file >= CS_LIMIT_SHARDS)
        return cs_fail(err, CS_E_USAGE, "shards of at most %zu bytes make %zu files, more than %d; choose larger ones", max_shard_bytes, file + 1,
                       CS_LIMIT_SHARDS);
    plan->n_files = file + 1;
    return CS_OK;
}

static cs_status check_names(const cs_st_plan *plan, const cs_st_entry ***sorted_create, cs_error *err)
{
    const cs_st_entry **sorted = cs_calloc(plan->n + 1, sizeof *sorted);
    if (!sorted)
        return cs_fail_nomem(err, plan->n * sizeof *sorted, "tensor names");
    for (size_t i = 0; i < plan->n; i++)
        sorted[i] = &plan->entry[i];
    if (plan->n > 1)
        qsort(sorted, plan->n, sizeof *sorted, by_name);
    *sorted_create = sorted;
    for (size_t i = 1; i < plan->n; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return cs_fail(err, CS_E_FORMAT, "tensor \"%s\" occurs twice", sorted[i]->name);
    return CS_OK;
}

static cs_status make_header(cs_st_plan *plan, cs_st_file *f, cs_error *err)
{
    cs_str *h = &f->header;
    size_t at = 0;
    cs_str_append(h, "\0\0\0\0\0\0\0", 8);
    cs_str_puts(h, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = f->first; i < f->first + f->n; i++) {
        cs_st_entry *e = &plan->entry[i];
        cs_str_putc(h, ',');
        cs_str_put_quoted(h, e->name);
        cs_str_printf(h, ":{\"dtype\":\"%s\",\"shape\":[", cs_st_dtype_name(e->dtype));
        for (int d = 0; d < e->ndim; d++)
            cs_str_printf(h, "%s%" PRId64, d ? "," : "", e->shape[d]);
        cs_str_printf(h, "],\"data_offsets\":[%zu,%zu]}", at, at + e->bytes);
        e->offset = at;
        at += e->bytes;
    }
    cs_str_putc(h, '}');
    while (h->len % 8 != 0 && !h->failed)
        cs_str_putc(h, ' ');
    CS_TRY(cs_str_check(h, err));
    uint64_t n = h->len - 8;
    if (n > CS_LIMIT_ST_HEADER)
        return cs_fail(err, CS_E_FORMAT, "%s: a header of %" PRIu64 " bytes is more than safetensors allows", f->name, n);
    for (int i = 0; i < 8; i++)
        h->data[i] = (char)(n >> 8 * i & 255);
    for (size_t i = f->first; i < f->first + f->n; i++)
        plan->entry[i].offset += h->len;
    f->size = h->len + at;
    return CS_OK;
}

static cs_status make_index(cs_st_plan *plan, const cs_st_entry *const *sorted, cs_error *err)
{
    cs_str *s = &plan->index;
    cs_str_printf(s, "{\n  \"metadata\": {\n    \"total_size\": %zu\n  },\n  \"weight_map\": {", plan->total_bytes);
    for (size_t i = 0; i < plan->n; i++) {
        cs_str_puts(s, i ? ",\n    " : "\n    ");
        cs_str_put_quoted(s, sorted[i]->name);
        cs_str_printf(s, ": \"%s\"", plan->file[sorted[i]->file].name);
    }
    cs_str_puts(s, "\n  }\n}\n");
    return cs_str_check(s, err);
}

static cs_status plan_files(cs_st_plan *plan, const char *base, cs_error *err)
{
    plan->file = cs_calloc(plan->n_files, sizeof *plan->file);
    if (!plan->file)
        return cs_fail_nomem(err, plan->n_files * sizeof *plan->file, "the list of files");
    for (size_t i = 0; i < plan->n; i++) {
        cs_st_file *f = &plan->file[plan->entry[i].file];
        f->first = f->n == 0 ? i : f->first;
        f->n++;
    }
    for (size_t k = 0; k < plan->n_files; k++) {
        cs_st_file *f = &plan->file[k];
        if (plan->n_files == 1)
            snprintf(f->name, sizeof f->name, "%s.safetensors", base);
        else
            snprintf(f->name, sizeof f->name, "%s-%05zu-of-%05zu.safetensors", base, k + 1, plan->n_files);
        CS_TRY(make_header(plan, f, err));
    }
    return CS_OK;
}

cs_status cs_st_plan_init(cs_st_plan *plan, const cs_st_entry *entries, size_t n, const char *base, size_t max_shard_bytes, cs_error *err)
{
    const cs_st_entry **sorted = NULL;
    *plan = (cs_st_plan){.n = n};
    plan->entry = cs_calloc(n + 1, sizeof *plan->entry);
    if (!plan->entry)
        return cs_fail_nomem(err, n * sizeof *plan->entry, "the list of tensors");
    if (n > 0)
        memcpy(plan->entry, entries, n * sizeof *entries);
    cs_status s = assign_files(plan, max_shard_bytes, err);
    if (s == CS_OK && n > 1)
        qsort(plan->entry, n, sizeof *plan->entry, canonical);
    if (s == CS_OK)
        s = check_names(plan, &sorted, err);
    if (s == CS_OK)
        s = plan_files(plan, base, err);
    if (s == CS_OK && plan->n_files > 1)
        s = make_index(plan, sorted, err);
    cs_free(sorted);
    if (s != CS_OK)
        cs_st_plan_release(plan);
    return s;
}

void cs_st_plan_release(cs_st_plan *plan)
{
    for (size_t i = 0; plan->file && i < plan->n_files; i++)
        cs_str_release(&plan->file[i].header);
    cs_free(plan->file);
    cs_free(plan->entry);
    cs_str_release(&plan->index);
    *plan = (cs_st_plan){0};
}
