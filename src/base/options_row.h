/* Inside of the option table, shared by options.c, options_json.c and options_help.c: rows, their fields and their texts. */
#ifndef CS_BASE_OPTIONS_ROW_H
#define CS_BASE_OPTIONS_ROW_H

#include "base/options.h"
#include "base/str.h"

/* One row found in the groups; `index` counts rows over all groups (the index into cs_options.given). row == NULL: not found. */
typedef struct cs_opt_ref {
    const cs_option *row;
    void *field;
    size_t index;
} cs_opt_ref;

/* State of one parse. `setter` is, per row, the flag text that set it on the command line. */
typedef struct cs_opt_parse {
    cs_options *opt;
    cs_arena *perm;
    const char **setter;
    cs_str ignored; /* names for the one note */
    cs_error *err;
    bool nomem;
} cs_opt_parse;

/* Rows of all groups, and the row at an index over all groups. */
size_t cs_opt_count(const cs_option_group *groups, size_t n_groups);
cs_opt_ref cs_opt_at(const cs_option_group *groups, size_t n_groups, size_t index);
/* Row by long name or alias of n bytes, '-' and '_' alike. */
cs_opt_ref cs_opt_find(const cs_option_group *groups, size_t n_groups, const char *name, size_t n);
/* The nearest known long name, NULL when nothing is similar. Built-in names (config, print-config, help) count too. */
const char *cs_opt_nearest(const cs_option_group *groups, size_t n_groups, const char *name, size_t n);
/* Index of `value` of n bytes in "a|b|c", -1 if it is not there. */
int cs_opt_choice(const char *choices, const char *value, size_t n);
/* Writes the value given as text into the row's field (`shown` = how the user spelt the flag). Reports through p->err. */
void cs_opt_set_text(cs_opt_parse *p, cs_opt_ref ref, const char *shown, const char *text);
/* A number from JSON, checked against the row's range. */
void cs_opt_set_int(cs_opt_parse *p, cs_opt_ref ref, const char *shown, int64_t value);
void cs_opt_set_real(cs_opt_parse *p, cs_opt_ref ref, const char *shown, double value);
void cs_opt_set_flag(cs_opt_parse *p, cs_opt_ref ref, const char *shown, bool on);
/* Appends to a list; `first` empties it before. */
void cs_opt_append(cs_opt_parse *p, cs_opt_ref ref, const char *text, bool first);
/* A known flag that has no effect, or that is refused. */
void cs_opt_ignored(cs_opt_parse *p, const char *shown);
void cs_opt_refused(cs_opt_parse *p, cs_opt_ref ref, const char *shown);
/* Reads FILE.json into the rows. Adds its mistakes to p->err; what `load` returns comes back at once. */
cs_status cs_opt_read_config(cs_opt_parse *p, const char *path, cs_opt_load *load);
/* The row's value as JSON. */
void cs_opt_put_value(cs_str *out, cs_opt_ref ref);
/* The ENUM row that a SET row writes to (its own index for any other row). */
size_t cs_opt_owner(const cs_options *opt, cs_opt_ref ref);
/* The row's default into its field. */
void cs_opt_set_default(cs_opt_ref ref);
/* Shortest decimal text that reads back as the same double. */
void cs_opt_real_text(double x, char *buf, size_t n);

#endif
