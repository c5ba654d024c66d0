/* The option table: defaults, the command line, checks. config files are in options_json.c, help in options_help.c.
 * A row is written at most once per source (lists excepted); mistakes are collected and never stop the pass. */
#include "base/options.h"

#include "base/log.h"
#include "base/options_row.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cs_parse_int(const char *text, int64_t *out)
{
    char buf[32];
    size_t n = 0;
    const char *t = text;
    if (*t == '+' || *t == '-')
        buf[n++] = *t++;
    if (*t < '0' || *t > '9')
        return false;
    for (; *t; t++) {
        bool digit = *t >= '0' && *t <= '9';
        if (!digit && !(*t == '_' && t[1] >= '0' && t[1] <= '9' && t[-1] != '_'))
            return false;
        if (digit && n + 1 >= sizeof buf)
            return false;
        if (digit)
            buf[n++] = *t;
    }
    buf[n] = '\0';
    errno = 0;
    long long v = strtoll(buf, NULL, 10);
    if (errno != 0)
        return false;
    *out = v;
    return true;
}

bool cs_parse_real(const char *text, double *out)
{
    char *end;
    if (*text == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0')
        return false; /* also white space, hex, "nan" and "inf" */
    errno = 0;
    double v = strtod(text, &end);
    if (*end != '\0' || end == text || !isfinite(v) || (errno == ERANGE && fabs(v) > 1))
        return false;
    *out = v;
    return true;
}

size_t cs_opt_count(const cs_option_group *groups, size_t n_groups)
{
    size_t n = 0;
    for (size_t g = 0; g < n_groups; g++)
        n += groups[g].n_rows;
    return n;
}

cs_opt_ref cs_opt_at(const cs_option_group *groups, size_t n_groups, size_t index)
{
    size_t at = index;
    for (size_t g = 0; g < n_groups; g++) {
        if (at < groups[g].n_rows) {
            const cs_option *row = &groups[g].rows[at];
            return (cs_opt_ref){row, groups[g].base ? (char *)groups[g].base + row->offset : NULL, index};
        }
        at -= groups[g].n_rows;
    }
    return (cs_opt_ref){0};
}

static bool same_name(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a_len != b_len)
        return false;
    for (size_t i = 0; i < a_len; i++) {
        char x = a[i] == '_' ? '-' : a[i], y = b[i] == '_' ? '-' : b[i];
        if (x != y)
            return false;
    }
    return true;
}

static bool has_alias(const char *aliases, const char *name, size_t n)
{
    for (const char *a = aliases; a && *a;) {
        size_t k = strcspn(a, " ");
        if (same_name(a, k, name, n))
            return true;
        a += k + (a[k] == ' ');
    }
    return false;
}

cs_opt_ref cs_opt_find(const cs_option_group *groups, size_t n_groups, const char *name, size_t n)
{
    size_t index = 0;
    for (size_t g = 0; g < n_groups; g++) {
        for (size_t r = 0; r < groups[g].n_rows; r++, index++) {
            const cs_option *row = &groups[g].rows[r];
            if (same_name(row->name, strlen(row->name), name, n) || has_alias(row->aliases, name, n))
                return cs_opt_at(groups, n_groups, index);
        }
    }
    return (cs_opt_ref){0};
}

int cs_opt_choice(const char *choices, const char *value, size_t n)
{
    int index = 0;
    for (const char *c = choices; c; index++) {
        size_t k = strcspn(c, "|");
        if (k == n && memcmp(c, value, n) == 0)
            return index;
        c = c[k] ? c + k + 1 : NULL;
    }
    return -1;
}

/* Number of single-letter edits and swaps of neighbours (optimal string alignment) between two names, '-' and '_' alike; `limit` when it is
 * that or more. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m, size_t limit)
{
    enum { MAX = 64 };
    size_t row[3][MAX + 1];
    if (n > MAX || m > MAX || (n > m ? n - m : m - n) >= limit)
        return limit;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3], least = now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = up[j - 1] + !same_name(a + i - 1, 1, b + j - 1, 1);
            best = up[j] + 1 < best ? up[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            now[j] = best;
            least = best < least ? best : least;
        }
        if (least > limit) /* a swap gains one at most */
            return limit;
    }
    return row[n % 3][m] < limit ? row[n % 3][m] : limit;
}

const char *cs_nearest_name(const char *name, size_t n, const char *const *known, size_t n_known)
{
    const char *best = NULL;
    size_t best_at = n / 2 + 2;
    for (size_t i = 0; i < n_known; i++) {
        size_t d = edit_distance(name, n, known[i], strlen(known[i]), best_at);
        if (d < best_at) {
            best_at = d;
            best = known[i];
        }
    }
    return best;
}

const char *cs_opt_nearest(const cs_option_group *groups, size_t n_groups, const char *name, size_t n)
{
    static const char *const built_in[] = {"config", "print-config", "help"};
    const char *best = cs_nearest_name(name, n, built_in, 3);
    size_t best_at = best ? edit_distance(name, n, best, strlen(best), n / 2 + 2) : n / 2 + 2;
    for (size_t i = 0, count = cs_opt_count(groups, n_groups); i < count; i++) {
        const cs_option *row = cs_opt_at(groups, n_groups, i).row;
        size_t d = edit_distance(name, n, row->name, strlen(row->name), best_at);
        if (d < best_at) {
            best_at = d;
            best = row->name;
        }
        for (const char *a = row->aliases; a && *a;) {
            size_t k = strcspn(a, " ");
            d = *a == '-' ? best_at : edit_distance(name, n, a, k, best_at);
            if (d < best_at) {
                best_at = d;
                best = row->name;
            }
            a += k + (a[k] == ' ');
        }
    }
    return best;
}

/* "lo..hi" with either end missing. */
static void range_of(const char *choices, double *lo, double *hi)
{
    *lo = -INFINITY;
    *hi = INFINITY;
    const char *dots = choices ? strstr(choices, "..") : NULL;
    if (!dots)
        return;
    char buf[40];
    size_t n = (size_t)(dots - choices);
    if (n > 0 && n < sizeof buf) {
        memcpy(buf, choices, n);
        buf[n] = '\0';
        CS_ASSERT(cs_parse_real(buf, lo));
    }
    if (dots[2] != '\0')
        CS_ASSERT(cs_parse_real(dots + 2, hi));
}

static void bad_value(cs_opt_parse *p, cs_opt_ref ref, const char *shown, const char *text, const char *expected)
{
    const char *range = ref.row->choices;
    cs_fail_also(p->err, CS_E_USAGE, "%s: expected %s%s%s, found '%s'", shown, expected, range ? " in " : "", range ? range : "", text);
}

void cs_opt_set_int(cs_opt_parse *p, cs_opt_ref ref, const char *shown, int64_t value)
{
    double lo, hi;
    char text[32];
    range_of(ref.row->choices, &lo, &hi);
    if ((double)value < lo || (double)value > hi) {
        snprintf(text, sizeof text, "%lld", (long long)value);
        bad_value(p, ref, shown, text, "an integer");
        return;
    }
    *(int64_t *)ref.field = value;
}

void cs_opt_set_real(cs_opt_parse *p, cs_opt_ref ref, const char *shown, double value)
{
    double lo, hi;
    char text[40];
    range_of(ref.row->choices, &lo, &hi);
    if (!isfinite(value) || value < lo || value > hi) {
        cs_opt_real_text(value, text, sizeof text);
        bad_value(p, ref, shown, text, "a number");
        return;
    }
    *(double *)ref.field = value;
}

size_t cs_opt_owner(const cs_options *opt, cs_opt_ref ref)
{
    size_t count = cs_opt_count(opt->groups, opt->n_groups);
    for (size_t i = 0; ref.row->type == CS_OPT_SET && i < count; i++) {
        cs_opt_ref other = cs_opt_at(opt->groups, opt->n_groups, i);
        if (other.row->type == CS_OPT_ENUM && other.field == ref.field)
            return i;
    }
    return ref.index;
}

static void set_choice(cs_opt_parse *p, cs_opt_ref ref, const char *shown, const char *text)
{
    int index = cs_opt_choice(ref.row->choices, text, strlen(text));
    size_t owner = cs_opt_owner(p->opt, ref);
    const char *before = p->setter[owner];
    if (index < 0) {
        cs_fail_also(p->err, CS_E_USAGE, "%s: expected one of %s, found '%s'", shown, ref.row->choices, text);
        return;
    }
    if (before && strcmp(before, shown) != 0 && *(int *)ref.field != index)
        cs_fail_also(p->err, CS_E_USAGE, "%s contradicts %s; give one of them", shown, before);
    *(int *)ref.field = index;
}

void cs_opt_set_flag(cs_opt_parse *p, cs_opt_ref ref, const char *shown, bool on)
{
    if (ref.row->type == CS_OPT_SET) {
        if (on)
            set_choice(p, ref, shown, ref.row->def);
    } else {
        *(bool *)ref.field = on;
    }
}

void cs_opt_append(cs_opt_parse *p, cs_opt_ref ref, const char *text, bool first)
{
    cs_strlist *list = ref.field;
    if (first)
        *list = (cs_strlist){0};
    /* Grown at powers of two; the old array stays in the arena. */
    if ((list->n & (list->n - 1)) == 0) {
        const char **more = cs_arena_alloc(p->perm, (list->n ? list->n * 2 : 1) * sizeof *more);
        if (!more) {
            p->nomem = true;
            return;
        }
        if (list->n > 0)
            memcpy(more, list->items, list->n * sizeof *more);
        list->items = more;
    }
    list->items[list->n++] = text;
}

void cs_opt_set_text(cs_opt_parse *p, cs_opt_ref ref, const char *shown, const char *text)
{
    int64_t i;
    double x;
    switch (ref.row->type) {
    case CS_OPT_FLAG:
    case CS_OPT_SET:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            cs_fail_also(p->err, CS_E_USAGE, "%s: expected no value, true or false, found '%s'", shown, text);
        else
            cs_opt_set_flag(p, ref, shown, *text == 't');
        break;
    case CS_OPT_INT:
        if (cs_parse_int(text, &i))
            cs_opt_set_int(p, ref, shown, i);
        else
            bad_value(p, ref, shown, text, "an integer");
        break;
    case CS_OPT_REAL:
        if (cs_parse_real(text, &x))
            cs_opt_set_real(p, ref, shown, x);
        else
            bad_value(p, ref, shown, text, "a number");
        break;
    case CS_OPT_STR: *(const char **)ref.field = text; break;
    case CS_OPT_ENUM: set_choice(p, ref, shown, text); break;
    case CS_OPT_LIST: cs_opt_append(p, ref, text, false); break;
    case CS_OPT_IGNORED:
    case CS_OPT_REFUSED: break;
    }
}

void cs_opt_ignored(cs_opt_parse *p, const char *shown)
{
    cs_str_printf(&p->ignored, "%s%s", p->ignored.len ? ", " : "", shown);
}

void cs_opt_refused(cs_opt_parse *p, cs_opt_ref ref, const char *shown)
{
    cs_fail_also(p->err, CS_E_USAGE, "%s: not supported: %s", shown, ref.row->help);
}

void cs_opt_set_default(cs_opt_ref ref)
{
    const char *def = ref.row->def;
    switch (ref.row->type) {
    case CS_OPT_FLAG: *(bool *)ref.field = def && strcmp(def, "true") == 0; break;
    case CS_OPT_INT:
        *(int64_t *)ref.field = 0;
        CS_ASSERT(!def || cs_parse_int(def, ref.field));
        break;
    case CS_OPT_REAL:
        *(double *)ref.field = 0;
        CS_ASSERT(!def || cs_parse_real(def, ref.field));
        break;
    case CS_OPT_STR: *(const char **)ref.field = def; break;
    case CS_OPT_LIST: *(cs_strlist *)ref.field = (cs_strlist){0}; break;
    case CS_OPT_ENUM: {
        int index = def ? cs_opt_choice(ref.row->choices, def, strlen(def)) : 0;
        CS_ASSERT(index >= 0);
        *(int *)ref.field = index;
        break;
    }
    case CS_OPT_SET: CS_ASSERT(cs_opt_choice(ref.row->choices, ref.row->def, strlen(ref.row->def)) >= 0); break;
    case CS_OPT_IGNORED:
    case CS_OPT_REFUSED: break;
    }
}

void cs_options_defaults(const cs_option_group *groups, size_t n_groups)
{
    for (size_t i = 0, count = cs_opt_count(groups, n_groups); i < count; i++)
        cs_opt_set_default(cs_opt_at(groups, n_groups, i));
}

int cs_options_given(const cs_options *opt, const char *name)
{
    cs_opt_ref ref = cs_opt_find(opt->groups, opt->n_groups, name, strlen(name));
    CS_ASSERT(ref.row);
    return opt->given[ref.index];
}

static bool looks_like_flag(const char *arg)
{
    if (arg[0] != '-')
        return false;
    char c = arg[1] == '-' ? arg[2] : arg[1];
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strcmp(arg, "--") == 0;
}

/* Marks the row (and the ENUM behind a SET) as given on the command line; false when it had been given before. */
static bool mark(cs_opt_parse *p, cs_opt_ref ref, const char *shown)
{
    bool again = p->opt->given[ref.index] == 2 && p->setter[ref.index] != NULL && ref.row->type != CS_OPT_LIST;
    size_t owner = cs_opt_owner(p->opt, ref);
    bool by_set = owner == ref.index && p->setter[owner] && ref.row->type == CS_OPT_ENUM
                  && cs_opt_find(p->opt->groups, p->opt->n_groups, p->setter[owner] + 2, strlen(p->setter[owner] + 2)).index != ref.index;
    if (again && !by_set) {
        cs_fail_also(p->err, CS_E_USAGE, "%s: given twice", shown);
        return false;
    }
    p->opt->given[ref.index] = p->opt->given[owner] = 2;
    return true;
}

/* Applies one known flag at argv[i]; `value` is the text behind '=' or NULL. Returns the index of the next argument. */
static int apply(cs_opt_parse *p, cs_opt_ref ref, const char *shown, const char *value, int i, int argc, char **argv)
{
    cs_opt_type type = ref.row->type;
    bool next_is_value = i + 1 < argc && !looks_like_flag(argv[i + 1]);
    if (type == CS_OPT_IGNORED) {
        cs_opt_ignored(p, shown);
        return i + 1 + (!value && next_is_value);
    }
    if (type == CS_OPT_REFUSED) {
        cs_opt_refused(p, ref, shown);
        while (i + 1 < argc && !looks_like_flag(argv[i + 1]))
            i++;
        return i + 1;
    }
    bool was_cli = p->opt->given[ref.index] == 2;
    bool fresh = mark(p, ref, shown);
    size_t owner = cs_opt_owner(p->opt, ref);
    if (type == CS_OPT_LIST) {
        if (!value && !next_is_value)
            cs_fail_also(p->err, CS_E_USAGE, "%s: needs at least one value", shown);
        if (value)
            cs_opt_append(p, ref, value, !was_cli);
        for (; !value && i + 1 < argc && !looks_like_flag(argv[i + 1]); i++, was_cli = true)
            cs_opt_append(p, ref, argv[i + 1], !was_cli);
    } else if (type == CS_OPT_FLAG || type == CS_OPT_SET) {
        if (fresh && value)
            cs_opt_set_text(p, ref, shown, value);
        else if (fresh)
            cs_opt_set_flag(p, ref, shown, true);
    } else {
        if (!value && !next_is_value)
            cs_fail_also(p->err, CS_E_USAGE, "%s: needs a value", shown);
        else if (fresh)
            cs_opt_set_text(p, ref, shown, value ? value : argv[i + 1]);
        i += !value && next_is_value;
    }
    p->setter[owner] = p->setter[ref.index] = shown;
    return i + 1;
}

static int unknown(cs_opt_parse *p, const char *shown, const char *name, size_t n, int i, int argc, char **argv)
{
    const char *near = cs_opt_nearest(p->opt->groups, p->opt->n_groups, name, n);
    if (near)
        cs_fail_also(p->err, CS_E_USAGE, "%s: unknown flag; did you mean --%s?", shown, near);
    else
        cs_fail_also(p->err, CS_E_USAGE, "%s: unknown flag; --help lists all", shown);
    while (i + 1 < argc && !looks_like_flag(argv[i + 1]))
        i++;
    return i + 1;
}

/* One argument that starts with '-'. The flags that every command has by itself come first. */
static int parse_flag(cs_opt_parse *p, int i, int argc, char **argv)
{
    const char *arg = argv[i], *eq = strchr(arg, '=');
    bool is_long = arg[1] == '-';
    const char *name = is_long ? arg + 2 : arg;
    size_t n = eq ? (size_t)(eq - name) : strlen(name);
    char *shown = cs_arena_printf(p->perm, "%.*s", (int)(eq ? (size_t)(eq - arg) : strlen(arg)), arg);
    if (!shown) {
        p->nomem = true;
        return i + 1;
    }
    if (same_name(name, n, "help", 4) || (!is_long && same_name(name, n, "-h", 2))) {
        p->opt->help = true;
        return i + 1;
    }
    if (same_name(name, n, "print-config", 12)) {
        p->opt->print_config = true;
        return i + 1;
    }
    if (same_name(name, n, "config", 6))
        return i + 1 + (!eq && i + 1 < argc); /* read before */
    cs_opt_ref ref = cs_opt_find(p->opt->groups, p->opt->n_groups, name, n);
    if (!ref.row)
        return unknown(p, shown, name, n, i, argc, argv);
    return apply(p, ref, shown, eq ? eq + 1 : NULL, i, argc, argv);
}

/* Finds --config before anything else is read, so that the command line wins. */
static void find_config(cs_opt_parse *p, int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *path = NULL;
        if (strncmp(argv[i], "--config=", 9) == 0)
            path = argv[i] + 9;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            path = argv[++i];
        else if (strcmp(argv[i], "--config") == 0)
            cs_fail_also(p->err, CS_E_USAGE, "--config: needs a file name");
        if (path && p->opt->config_path)
            cs_fail_also(p->err, CS_E_USAGE, "--config: given twice");
        if (path)
            p->opt->config_path = path;
    }
}

static void parse_arguments(cs_opt_parse *p, int argc, char **argv)
{
    cs_opt_ref positional = {.field = &p->opt->positional};
    bool flags_end = false;
    for (int i = 0; i < argc && !p->nomem;) {
        if (flags_end || !looks_like_flag(argv[i])) {
            cs_opt_append(p, positional, argv[i++], false);
        } else if (strcmp(argv[i], "--") == 0) {
            flags_end = true;
            i++;
        } else {
            i = parse_flag(p, i, argc, argv);
        }
    }
}

cs_status cs_options_parse(cs_options *opt, const cs_option_group *groups, size_t n_groups, int argc, char **argv,
                           cs_arena *perm, cs_opt_load *load, cs_error *err)
{
    size_t count = cs_opt_count(groups, n_groups);
    cs_error found = {0};
    *opt = (cs_options){.groups = groups, .n_groups = n_groups};
    opt->given = cs_arena_calloc(perm, count ? count : 1, 1);
    cs_opt_parse p = {.opt = opt, .perm = perm, .err = &found, .setter = cs_arena_calloc(perm, count ? count : 1, sizeof(char *))};
    if (!opt->given || !p.setter)
        return cs_fail_nomem(err, count, "the option table");
    cs_options_defaults(groups, n_groups);
    find_config(&p, argc, argv);
    cs_status s = opt->config_path ? cs_opt_read_config(&p, opt->config_path, load) : CS_OK;
    parse_arguments(&p, argc, argv);
    if (p.nomem || p.ignored.failed)
        s = cs_fail_nomem(&found, (size_t)argc * sizeof(char *), "the command line");
    if (p.ignored.len > 0)
        cs_note("no effect on this machine, accepted: %s", cs_str_cstr(&p.ignored));
    cs_str_release(&p.ignored);
    if (opt->help && s == CS_OK)
        return CS_OK;
    if (found.status != CS_OK && err)
        *err = found;
    return found.status;
}
