/* Options as JSON: --config FILE.json and --print-config. */
#include "base/options_row.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cs_opt_real_text(double x, char *buf, size_t n)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, n, "%.*g", digits, x);
        if (strtod(buf, NULL) == x)
            return;
    }
}

static const char *scalar_text(cs_opt_parse *p, const json_t *v)
{
    char buf[40];
    const char *text = NULL;
    if (json_is_string(v)) {
        text = cs_arena_strdup(p->perm, json_string_value(v));
    } else {
        if (json_is_integer(v))
            snprintf(buf, sizeof buf, "%lld", (long long)json_integer_value(v));
        else
            cs_opt_real_text(json_real_value(v), buf, sizeof buf);
        text = cs_arena_strdup(p->perm, buf);
    }
    p->nomem = p->nomem || !text;
    return text;
}

static void set_list(cs_opt_parse *p, cs_opt_ref ref, const char *shown, const json_t *v)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    *(cs_strlist *)ref.field = (cs_strlist){0};
    for (size_t i = 0; i < n && !p->nomem; i++) {
        const json_t *item = json_is_array(v) ? json_array_get(v, i) : v;
        bool whole = json_is_string(item) && strlen(json_string_value(item)) == json_string_length(item);
        if (!whole && !json_is_number(item)) {
            cs_fail_also(p->err, CS_E_USAGE, "%s: expected strings (without NUL) or numbers", shown);
            return;
        }
        const char *text = scalar_text(p, item);
        if (text)
            cs_opt_append(p, ref, text, false);
    }
}

static void set_value(cs_opt_parse *p, cs_opt_ref ref, const char *shown, const json_t *v)
{
    cs_opt_type type = ref.row->type;
    if (type == CS_OPT_IGNORED) {
        cs_opt_ignored(p, shown);
    } else if (type == CS_OPT_REFUSED) {
        cs_opt_refused(p, ref, shown);
    } else if (type == CS_OPT_LIST) {
        set_list(p, ref, shown, v);
    } else if (type == CS_OPT_FLAG || type == CS_OPT_SET) {
        if (!json_is_boolean(v))
            cs_fail_also(p->err, CS_E_USAGE, "%s: expected true or false", shown);
        else
            cs_opt_set_flag(p, ref, shown, json_is_true(v));
    } else if (type == CS_OPT_INT && json_is_integer(v)) {
        cs_opt_set_int(p, ref, shown, json_integer_value(v));
    } else if (type == CS_OPT_REAL && json_is_number(v)) {
        cs_opt_set_real(p, ref, shown, json_number_value(v));
    } else if (json_is_string(v) && strlen(json_string_value(v)) != json_string_length(v)) {
        cs_fail_also(p->err, CS_E_USAGE, "%s: expected a text without NUL", shown);
    } else if (json_is_string(v) || (json_is_number(v) && type == CS_OPT_STR)) {
        const char *text = scalar_text(p, v);
        if (text)
            cs_opt_set_text(p, ref, shown, text);
    } else {
        cs_fail_also(p->err, CS_E_USAGE, "%s: expected %s", shown,
                     type == CS_OPT_INT ? "an integer" : type == CS_OPT_REAL ? "a number" : "a string");
    }
}

static void read_pairs(cs_opt_parse *p, json_t *root, const char *path)
{
    const char *key;
    json_t *v;
    json_object_foreach(root, key, v)
    {
        cs_opt_ref ref = cs_opt_find(p->opt->groups, p->opt->n_groups, key, strlen(key));
        char *shown = cs_arena_printf(p->perm, "%s: \"%s\"", path, key);
        if (!shown) {
            p->nomem = true;
            return;
        }
        if (!ref.row) {
            const char *near = cs_opt_nearest(p->opt->groups, p->opt->n_groups, key, strlen(key));
            cs_fail_also(p->err, CS_E_USAGE, "%s: unknown option%s%s%s", shown, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
            continue;
        }
        if (json_is_null(v))
            continue;
        p->opt->given[ref.index] = 1;
        set_value(p, ref, shown, v);
    }
}

cs_status cs_opt_read_config(cs_opt_parse *p, const char *path, cs_opt_load *load)
{
    json_t *root = NULL;
    cs_error first = {0};
    cs_status s = load(path, &root, &first);
    if (s == CS_OK && !json_is_object(root))
        s = cs_fail(&first, CS_E_FORMAT, "%s: expected a JSON object", path);
    if (s == CS_OK)
        read_pairs(p, root, path);
    else if (s == CS_E_NOMEM)
        p->nomem = true;
    else
        cs_fail_also(p->err, s, "--config: %s", first.msg);
    json_decref(root);
    return s;
}

/* Length of the valid UTF-8 sequence at s, 0 if there is none. */
static size_t utf8_len(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

static void put_string(cs_str *out, const char *text)
{
    cs_str_putc(out, '"');
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = utf8_len(s);
        if (*s == '"' || *s == '\\')
            cs_str_printf(out, "\\%c", *s);
        else if (*s < 0x20)
            cs_str_printf(out, "\\u%04x", *s);
        else if (n == 0)
            cs_str_puts(out, "\xef\xbf\xbd");
        else
            cs_str_append(out, s, n);
        s += n ? n : 1;
    }
    cs_str_putc(out, '"');
}

void cs_opt_put_value(cs_str *out, cs_opt_ref ref)
{
    char buf[40];
    switch (ref.row->type) {
    case CS_OPT_FLAG: cs_str_puts(out, *(bool *)ref.field ? "true" : "false"); break;
    case CS_OPT_INT: cs_str_printf(out, "%lld", (long long)*(int64_t *)ref.field); break;
    case CS_OPT_REAL:
        cs_opt_real_text(*(double *)ref.field, buf, sizeof buf);
        cs_str_puts(out, buf);
        break;
    case CS_OPT_STR:
        if (*(const char **)ref.field)
            put_string(out, *(const char **)ref.field);
        else
            cs_str_puts(out, "null");
        break;
    case CS_OPT_LIST: {
        const cs_strlist *list = ref.field;
        cs_str_putc(out, '[');
        for (size_t i = 0; i < list->n; i++) {
            cs_str_puts(out, i ? ", " : "");
            put_string(out, list->items[i]);
        }
        cs_str_putc(out, ']');
        break;
    }
    case CS_OPT_ENUM: {
        const char *c = ref.row->choices;
        for (int i = *(int *)ref.field; i > 0; i--)
            c += strcspn(c, "|") + 1;
        cs_str_printf(out, "\"%.*s\"", (int)strcspn(c, "|"), c);
        break;
    }
    case CS_OPT_SET:
    case CS_OPT_IGNORED:
    case CS_OPT_REFUSED: break;
    }
}

cs_status cs_options_to_json(const cs_options *opt, cs_str *out, cs_error *err)
{
    bool first = true;
    cs_str_puts(out, "{");
    for (size_t i = 0, count = cs_opt_count(opt->groups, opt->n_groups); i < count; i++) {
        cs_opt_ref ref = cs_opt_at(opt->groups, opt->n_groups, i);
        if (ref.row->type >= CS_OPT_SET)
            continue;
        cs_str_printf(out, "%s\n  \"%s\": ", first ? "" : ",", ref.row->name);
        cs_opt_put_value(out, ref);
        first = false;
    }
    cs_str_puts(out, "\n}\n");
    return cs_str_check(out, err);
}
