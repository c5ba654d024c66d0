/* `cspeed inspect`: what a file or folder is and what is in it. Facts are gathered as one JSON tree, printed as it is with --json and as text
 * without. Files are mapped; only headers are read. */
#include "cli/commands.h"
#include "cli/facts.h"

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

typedef struct inspect_config {
    const char *load;
} inspect_config;

static const cs_option rows[] = {
    {"load", CS_OPT_STR, offsetof(inspect_config, load), NULL, NULL, "file or folder (also as arguments)", NULL},
};

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    out[0] = (cs_option_group){"inspect", rows, sizeof rows / sizeof *rows, config};
    return 1;
}

/* One value without line breaks: "[3, 4]" for a list. */
static void put_value(cs_str *s, const json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;
    bool first = true;
    switch (json_typeof(v)) {
    case JSON_STRING: cs_str_puts(s, json_string_value(v)); break;
    case JSON_INTEGER: cs_str_printf(s, "%" JSON_INTEGER_FORMAT, json_integer_value(v)); break;
    case JSON_REAL: cs_str_printf(s, "%.10g", json_real_value(v)); break;
    case JSON_TRUE: cs_str_puts(s, "yes"); break;
    case JSON_FALSE: cs_str_puts(s, "no"); break;
    case JSON_NULL: cs_str_puts(s, "none"); break;
    case JSON_ARRAY:
        cs_str_putc(s, '[');
        json_array_foreach(v, i, item) {
            cs_str_puts(s, i ? ", " : "");
            put_value(s, item);
        }
        cs_str_putc(s, ']');
        break;
    case JSON_OBJECT:
        json_object_foreach((json_t *)v, key, item) {
            cs_str_printf(s, "%s%s ", first ? "" : ", ", key);
            put_value(s, item);
            first = false;
        }
        break;
    }
}

/* A list of objects with the same keys, one line each, columns padded. */
static void print_table(const json_t *list)
{
    size_t width[16] = {0}, i, c;
    bool text[16] = {false}; /* a column with anything but whole numbers stands to the left */
    cs_str cell = {0};
    json_t *row, *value;
    const char *key;
    json_array_foreach(list, i, row) {
        c = 0;
        json_object_foreach(row, key, value) {
            cs_str_clear(&cell);
            put_value(&cell, value);
            width[c] = cell.len > width[c] ? cell.len : width[c];
            text[c] |= !json_is_integer(value);
            c += c < 15;
        }
    }
    json_array_foreach(list, i, row) {
        c = 0;
        printf(" ");
        json_object_foreach(row, key, value) {
            cs_str_clear(&cell);
            put_value(&cell, value);
            printf(" %*s", !text[c] ? (int)width[c] : c + 1 < json_object_size(row) ? -(int)width[c] : 0, cs_str_cstr(&cell));
            c += c < 15;
        }
        printf("\n");
    }
    cs_str_release(&cell);
}

static void print_text(const json_t *facts)
{
    const char *key;
    json_t *value;
    cs_str text = {0};
    json_object_foreach((json_t *)facts, key, value) {
        if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
            printf("%s:\n", key);
            print_table(value);
            continue;
        }
        cs_str_clear(&text);
        put_value(&text, value);
        printf("%s: %s\n", key, cs_str_cstr(&text));
    }
    cs_str_release(&text);
}

static cs_status inspect_one(const cs_cli *cli, const char *path, cs_error *err)
{
    json_t *facts;
    int64_t failures = cs_mem_failures();
    CS_TRY(cs_facts_of(path, &facts, err));
    if (cs_mem_failures() != failures) {
        json_decref(facts);
        return cs_fail_nomem(err, 0, "what is known about a file");
    }
    if (cli->common->json) {
        json_dumpf(facts, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_text(facts);
    }
    json_decref(facts);
    return cs_mem_failures() == failures ? CS_OK : cs_fail_nomem(err, 0, "printing what is known about a file");
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    const inspect_config *c = config;
    const cs_strlist *args = &cli->options->positional;
    if (args->n + (c->load != NULL) == 0)
        return cs_fail(err, CS_E_USAGE, "inspect needs a file or folder");
    if (c->load)
        CS_TRY(inspect_one(cli, c->load, err));
    for (size_t i = 0; i < args->n; i++) {
        if (!cli->common->json && (i > 0 || c->load))
            printf("\n");
        CS_TRY(inspect_one(cli, args->items[i], err));
    }
    return CS_OK;
}

const cs_command cs_command_inspect = {
    .name = "inspect",
    .usage = "cspeed inspect PATH... [--json]",
    .summary = "what a file or folder is: kind, shapes, types, counts",
    .config_bytes = sizeof(inspect_config),
    .groups = groups,
    .run = run,
};
