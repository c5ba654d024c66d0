/* Values that reach options from a file which a flag names (a DeepSpeed configuration), beside what the user stated. */
#include "base/options_row.h"

#include <string.h>

/* A field of any type that cs_options_impose takes. */
typedef union value {
    bool flag;
    int64_t integer;
    double real;
    const char *text;
    int choice;
} value;

static size_t value_bytes(const cs_option *row)
{
    switch (row->type) {
    case CS_OPT_FLAG: return sizeof(bool);
    case CS_OPT_INT: return sizeof(int64_t);
    case CS_OPT_REAL: return sizeof(double);
    case CS_OPT_STR: return sizeof(const char *);
    case CS_OPT_ENUM: return sizeof(int);
    default: break;
    }
    CS_ASSERT(!"an option of this type cannot be imposed");
    return 0;
}

static bool same_value(const cs_option *row, const void *a, const void *b)
{
    if (row->type != CS_OPT_STR)
        return memcmp(a, b, value_bytes(row)) == 0;
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    return x == y || (x && y && strcmp(x, y) == 0);
}

static bool is_stated(const cs_options *opt, cs_opt_ref ref)
{
    value def = {0};
    if (opt->given[ref.index] != 1)
        return opt->given[ref.index] == 2;
    cs_opt_set_default((cs_opt_ref){ref.row, &def, ref.index});
    return !same_value(ref.row, &def, ref.field);
}

bool cs_options_stated(const cs_options *opt, const char *name)
{
    cs_opt_ref ref = cs_opt_find(opt->groups, opt->n_groups, name, strlen(name));
    CS_ASSERT(ref.row);
    return is_stated(opt, ref);
}

cs_status cs_options_impose(cs_options *opt, const char *name, const char *text, const char *source, cs_arena *perm, cs_error *err)
{
    cs_opt_ref ref = cs_opt_find(opt->groups, opt->n_groups, name, strlen(name));
    CS_ASSERT(ref.row);
    value asked = {0};
    cs_error found = {0};
    cs_opt_parse p = {.opt = opt, .perm = perm, .err = &found};
    p.setter = cs_arena_calloc(perm, cs_opt_count(opt->groups, opt->n_groups), sizeof *p.setter);
    if (!p.setter)
        return cs_fail_nomem(err, 1, "options");
    memcpy(&asked, ref.field, value_bytes(ref.row));
    cs_opt_set_text(&p, (cs_opt_ref){ref.row, &asked, ref.index}, source, text);
    if (found.status != CS_OK)
        return cs_fail_also(err, found.status, "%s", found.msg);
    if (!is_stated(opt, ref) || same_value(ref.row, &asked, ref.field)) {
        memcpy(ref.field, &asked, value_bytes(ref.row));
        opt->given[ref.index] = opt->given[ref.index] == 2 ? 2 : 3;
        return CS_OK;
    }
    cs_str both = {0};
    cs_opt_put_value(&both, ref);
    cs_str_puts(&both, ", the file ");
    cs_opt_put_value(&both, (cs_opt_ref){ref.row, &asked, ref.index});
    cs_status status = cs_fail_also(err, CS_E_USAGE, "%s contradicts --%s: the flag says %s; give one of them, or the same value", source, name,
                                    both.failed ? "another value" : cs_str_cstr(&both));
    cs_str_release(&both);
    return status;
}
