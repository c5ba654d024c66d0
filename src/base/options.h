/* The option table: one row per flag, from which parsing, --help, --print-config, --config FILE.json and the completion come.
 * A row writes one field of its owner's config struct. `-` and `_` are the same in names; `--flag value` and `--flag=value`
 * both work; integers may hold `_` between digits (220_000_000). All mistakes of a command line are reported in one pass. */
#ifndef CS_BASE_OPTIONS_H
#define CS_BASE_OPTIONS_H

#include "base/error.h"
#include "base/mem.h"

typedef struct cs_strlist {
    const char **items; /* borrowed from argv or the arena */
    size_t n;
} cs_strlist;

typedef enum cs_opt_type {
    CS_OPT_FLAG,    /* bool field: given = true; also --flag true|false through `=` or JSON */
    CS_OPT_INT,     /* int64_t field */
    CS_OPT_REAL,    /* double field */
    CS_OPT_STR,     /* const char * field; NULL = unset */
    CS_OPT_LIST,    /* cs_strlist field: values up to the next flag; a repeated flag appends */
    CS_OPT_ENUM,    /* int field: index of the value in `choices` */
    CS_OPT_SET,     /* given = writes the index of `def` in `choices` into an ENUM's field (--bf16 sets dtype) */
    CS_OPT_IGNORED, /* accepted with 0 or 1 value, no effect on a CPU; one note for all of them together */
    CS_OPT_REFUSED, /* known flag of Megatron or AscendSpeed that this program does not do: usage error, `help` says why */
} cs_opt_type;

typedef struct cs_option {
    const char *name;    /* long name with '-' */
    cs_opt_type type;
    size_t offset;       /* of the field in the owner's struct (unused for IGNORED, REFUSED) */
    const char *def;     /* default as text; NULL = false, 0, NULL, empty. A LIST starts empty whatever stands here: the text is for help */
    const char *choices; /* ENUM, SET: "f32|bf16|f64"; INT, REAL: "lo..hi", either end may be missing ("1..", "0..1") */
    const char *help;    /* one line, no full stop */
    const char *aliases; /* other names, separated by spaces; NULL = none. A leading '-x' is a short one-letter form */
} cs_option;

typedef struct cs_option_group {
    const char *title;
    const cs_option *rows;
    size_t n_rows;
    void *base; /* the owner's struct; may be NULL where only help is printed */
} cs_option_group;

#define CS_MAX_OPTION_GROUPS 16

typedef struct cs_options {
    const cs_option_group *groups;
    size_t n_groups;
    cs_strlist positional; /* arguments that belong to no flag */
    uint8_t *given;        /* per row, in order of the groups: 0 default, 1 from --config, 2 from the command line, 3 imposed */
    const char *config_path;
    bool help, print_config;
} cs_options;

/* Reads a whole file as JSON, its limits and messages included; *out_create is a jansson tree. CS_E_IO, CS_E_FORMAT, CS_E_NOMEM. (The gate that does
 * so, fmt/json.h, lies above this folder.) */
struct json_t;
typedef cs_status cs_opt_load(const char *path, struct json_t **out_create, cs_error *err);

/* Sets defaults, reads --config through `load` (NULL where no line has it), then argv[0..argc) (without program and command name).
 * `perm` owns all strings made here. An unknown flag names its nearest neighbour. Prints the note about ignored flags to stderr.
 * CS_E_USAGE with one line per mistake; CS_E_IO, CS_E_FORMAT for the --config file. */
cs_status cs_options_parse(cs_options *opt, const cs_option_group *groups, size_t n_groups, int argc, char **argv,
                           cs_arena *perm, cs_opt_load *load, cs_error *err);
/* Sets defaults only. */
void cs_options_defaults(const cs_option_group *groups, size_t n_groups);
/* Where the value came from: 0 default, 1 --config, 2 command line, 3 cs_options_impose. */
int cs_options_given(const cs_options *opt, const char *name);
/* Did the user say it: on the command line, or in --config with a value other than the default? */
bool cs_options_stated(const cs_options *opt, const char *name);
/* Gives the option `name` (no list) the value `text`, which stands at `source` of a file that another flag named. Where the user stated another value
 * that one stays and CS_E_USAGE, appended to *err, shows both. Also CS_E_USAGE for a value that is none, CS_E_NOMEM. `text` must live as long as
 * opt. */
cs_status cs_options_impose(cs_options *opt, const char *name, const char *text, const char *source, cs_arena *perm, cs_error *err);
/* Grouped help with defaults and choices to stdout. */
void cs_options_print_help(const cs_option_group *groups, size_t n_groups, const char *usage, const char *summary);
/* The effective options as JSON text (keys = long names; IGNORED and REFUSED rows left out), in table order. CS_E_NOMEM. */
struct cs_str;
cs_status cs_options_to_json(const cs_options *opt, struct cs_str *out, cs_error *err);

/* The nearest of `known` to the n bytes of `name` by edit distance, NULL when none is similar. Borrowed. */
const char *cs_nearest_name(const char *name, size_t n, const char *const *known, size_t n_known);

/* Strict number readers, whole text, C locale: false on anything else. Integers accept '_' between digits. */
bool cs_parse_int(const char *text, int64_t *out);
bool cs_parse_real(const char *text, double *out);

#endif
