/* `cspeed plot RUN...`: curves of one or several runs as SVG and PNG, a sketch and a summary on stdout. */
#include "cli/chart.h"
#include "cli/commands.h"
#include "cli/metrics_rows.h"

#include "base/io.h"
#include "base/log.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_RUNS = 12, MAX_KEYS = 10 };

typedef struct plot_config {
    cs_strlist keys, compare;
    const char *output, *title;
    int x_axis;
    double smooth;
    bool no_files;
} plot_config;

static const cs_option rows[] = {
    {"keys", CS_OPT_LIST, offsetof(plot_config, keys), "lm_loss val_loss", NULL,
     "keys of metrics.jsonl to draw; the two losses share a panel, every other key gets its own", NULL},
    {"output", CS_OPT_STR, offsetof(plot_config, output), NULL, NULL,
     "write TEXT.svg and TEXT.png; default RUN/loss, with several runs loss_compare in the first one's folder", "-o"},
    {"compare", CS_OPT_LIST, offsetof(plot_config, compare), NULL, NULL,
     "two runs: also print the mean and largest relative difference of their losses", NULL},
    {"x-axis", CS_OPT_ENUM, offsetof(plot_config, x_axis), "step", "step|consumed_samples|consumed_tokens|time", "what runs along the x axis", NULL},
    {"smooth", CS_OPT_REAL, offsetof(plot_config, smooth), "0", "0..0.999",
     "weight of the past in a running mean of noisy keys; the raw line stays faintly visible", NULL},
    {"title", CS_OPT_STR, offsetof(plot_config, title), NULL, NULL, "title of the picture", NULL},
    {"no-files", CS_OPT_FLAG, offsetof(plot_config, no_files), NULL, NULL, "sketch and summary only, no SVG and PNG", NULL},
};

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    out[0] = (cs_option_group){"Plot", rows, sizeof rows / sizeof *rows, config};
    return 1;
}

/* Everything one call works on. */
typedef struct plot {
    const plot_config *config;
    cs_arena *perm;
    const char *key[MAX_KEYS + 2]; /* the wanted keys, then the x key */
    size_t n_keys;
    int x_key; /* -1 = step */
    cs_metrics run[MAX_RUNS];
    size_t n_runs;
    cs_chart_panel panel[MAX_KEYS];
    size_t n_panels;
} plot;

static const uint32_t palette[MAX_RUNS] = {0x2563eb, 0xea580c, 0x059669, 0x9333ea, 0xdc2626, 0x0891b2,
                                           0xca8a04, 0xdb2777, 0x4b5563, 0x65a30d, 0x4f46e5, 0x92400e};

static bool is_loss(const char *key)
{
    return strcmp(key, "lm_loss") == 0 || strcmp(key, "val_loss") == 0;
}

static cs_status choose_keys(plot *p, cs_error *err)
{
    static const char *const usual[] = {"lm_loss", "val_loss"}, *const x_name[] = {NULL, "consumed_samples", "consumed_tokens", "time"};
    const cs_strlist *given = &p->config->keys;
    size_t n = given->n ? given->n : 2;
    if (n > MAX_KEYS)
        return cs_fail(err, CS_E_USAGE, "--keys: %zu keys, at most %d fit in a picture", n, MAX_KEYS);
    for (size_t i = 0; i < n; i++)
        p->key[p->n_keys++] = given->n ? given->items[i] : usual[i];
    p->x_key = -1;
    if (x_name[p->config->x_axis]) {
        p->x_key = (int)p->n_keys;
        p->key[p->n_keys] = x_name[p->config->x_axis];
    }
    return CS_OK;
}

static cs_status add_run(plot *p, const char *name, cs_error *err)
{
    for (size_t i = 0; i < p->n_runs; i++)
        if (strcmp(p->run[i].name, name) == 0)
            return CS_OK;
    if (p->n_runs == MAX_RUNS)
        return cs_fail(err, CS_E_USAGE, "%s: at most %d runs fit in a picture", name, MAX_RUNS);
    cs_metrics *m = &p->run[p->n_runs++];
    CS_TRY(cs_metrics_init(m, name, p->key, p->n_keys + (p->x_key >= 0), err));
    if (m->torn)
        cs_note("%s: the last line is not complete and left out", m->path);
    return CS_OK;
}

static cs_status load_runs(plot *p, const cs_strlist *given, cs_error *err)
{
    const cs_strlist *pair = &p->config->compare;
    if (pair->n != 0 && pair->n != 2)
        return cs_fail(err, CS_E_USAGE, "--compare: expected two runs, found %zu", pair->n);
    if (given->n + pair->n == 0)
        return cs_fail(err, CS_E_USAGE, "plot: name at least one run folder or metrics.jsonl");
    for (size_t i = 0; i < pair->n; i++)
        CS_TRY(add_run(p, pair->items[i], err));
    for (size_t i = 0; i < given->n; i++)
        CS_TRY(add_run(p, given->items[i], err));
    return CS_OK;
}

/* Running mean with the weight of its start removed, as Adam does for its moments. */
static void smooth(const double *y, size_t n, double keep, double *out)
{
    double mean = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        mean = keep * mean + (1 - keep) * y[i];
        weight = keep * weight + 1 - keep;
        out[i] = mean / weight;
    }
}

/* Adds the lines of one key of one run; false when out of memory. */
static bool add_lines(plot *p, cs_chart_line *lines, size_t *n_lines, size_t run, size_t key, bool several_keys)
{
    const cs_metrics *m = &p->run[run];
    double *x = cs_arena_calloc(p->perm, m->n_rows, sizeof *x), *y = cs_arena_calloc(p->perm, m->n_rows, sizeof *y);
    if (!x || !y)
        return false;
    size_t n = cs_metrics_points(m, key, p->x_key, x, y);
    if (n == 0)
        return true;
    bool sparse = strcmp(p->key[key], "val_loss") == 0;
    for (size_t i = n; p->config->x_axis == 3 && i > 0; i--)
        x[i - 1] -= x[0];
    const char *name = p->n_runs == 1 ? p->key[key] : several_keys ? cs_arena_printf(p->perm, "%s  %s", m->name, p->key[key]) : m->name;
    uint32_t color = palette[p->n_runs > 1 ? run : key % MAX_RUNS];
    cs_chart_line line = {.name = name, .x = x, .y = y, .n = n, .color = color, .alpha = 1, .sparse = sparse};
    if (p->config->smooth > 0 && !sparse && strcmp(p->key[key], "learning_rate") != 0) {
        double *mean = cs_arena_calloc(p->perm, n, sizeof *mean);
        if (!mean)
            return false;
        smooth(y, n, p->config->smooth, mean);
        lines[*n_lines] = line;
        lines[*n_lines].name = NULL;
        lines[(*n_lines)++].alpha = 0.25;
        line.y = mean;
    }
    lines[(*n_lines)++] = line;
    return name != NULL;
}

/* One panel for the losses, one for each other key. Keys without a single value get none. */
static cs_status make_panels(plot *p, cs_error *err)
{
    bool losses_done = false;
    for (size_t k = 0; k < p->n_keys; k++) {
        bool loss = is_loss(p->key[k]);
        if (loss && losses_done)
            continue;
        losses_done |= loss;
        size_t n_lines = 0, shared = 0;
        for (size_t j = k; j < p->n_keys; j++)
            shared += loss && is_loss(p->key[j]);
        cs_chart_line *lines = cs_arena_calloc(p->perm, p->n_runs * 4, sizeof *lines);
        bool fine = lines != NULL;
        for (size_t r = 0; r < p->n_runs && fine; r++)
            for (size_t j = k; j < p->n_keys && fine; j++)
                if (j == k || (loss && is_loss(p->key[j])))
                    fine = add_lines(p, lines, &n_lines, r, j, shared > 1);
        if (!fine)
            return cs_fail_nomem(err, p->n_runs * 4 * sizeof *lines, "the curves");
        if (n_lines > 0)
            p->panel[p->n_panels++] = (cs_chart_panel){loss ? "loss" : p->key[k], lines, n_lines};
        else
            cs_note("no row has a number under \"%s\"", p->key[k]);
    }
    return p->n_panels ? CS_OK : cs_fail(err, CS_E_FORMAT, "%s: no row has any of the wanted keys", p->run[0].path);
}

static cs_status write_files(plot *p, const cs_chart *chart, char **svg_path, char **png_path, cs_error *err)
{
    const char *prefix = p->config->output;
    if (!prefix) {
        const char *path = p->run[0].path, *slash = strrchr(path, '/');
        prefix = cs_arena_printf(p->perm, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, p->n_runs > 1 ? "loss_compare" : "loss");
    }
    *svg_path = prefix ? cs_arena_printf(p->perm, "%s.svg", prefix) : NULL;
    *png_path = prefix ? cs_arena_printf(p->perm, "%s.png", prefix) : NULL;
    if (!*svg_path || !*png_path)
        return cs_fail_nomem(err, 100, "a file name");
    cs_str bytes = {0};
    cs_status s = cs_chart_svg(chart, &bytes, err);
    if (s == CS_OK)
        s = cs_io_write_atomic(*svg_path, bytes.data, bytes.len, err);
    cs_str_clear(&bytes);
    if (s == CS_OK)
        s = cs_chart_png(chart, &bytes, err);
    if (s == CS_OK)
        s = cs_io_write_atomic(*png_path, bytes.data, bytes.len, err);
    cs_str_release(&bytes);
    return s;
}

typedef struct difference {
    size_t steps;
    double mean, largest, at;
} difference;

/* Relative difference of lm_loss over the steps that both runs have, relative to the first. */
static cs_status compare_runs(plot *p, difference *d, cs_error *err)
{
    const cs_metrics *a = &p->run[0], *b = &p->run[1];
    size_t key = 0;
    while (key < p->n_keys && strcmp(p->key[key], "lm_loss") != 0)
        key++;
    if (key == p->n_keys)
        return cs_fail(err, CS_E_USAGE, "--compare: needs lm_loss among the --keys");
    *d = (difference){0};
    for (size_t i = 0, j = 0; i < a->n_rows && j < b->n_rows;) {
        double u = a->value[key * a->n_rows + i], v = b->value[key * b->n_rows + j];
        if (a->step[i] == b->step[j] && isfinite(u) && isfinite(v)) {
            double rel = u == v ? 0 : fabs(v - u) / fmax(fabs(u), 1e-300);
            d->mean += rel;
            d->at = rel > d->largest || d->steps == 0 ? a->step[i] : d->at;
            d->largest = fmax(d->largest, rel);
            d->steps++;
        }
        double left = a->step[i], right = b->step[j];
        i += left <= right;
        j += right <= left;
    }
    if (d->steps == 0)
        return cs_fail(err, CS_E_FORMAT, "%s and %s: no step in common", a->name, b->name);
    d->mean /= (double)d->steps;
    return CS_OK;
}

typedef struct summary {
    size_t n;
    double first, last, lowest, lowest_step;
} summary;

static summary summarise(const cs_metrics *m, size_t key)
{
    summary s = {0};
    for (size_t i = 0; i < m->n_rows; i++) {
        double v = m->value[key * m->n_rows + i];
        if (!isfinite(v))
            continue;
        if (s.n == 0)
            s.first = v;
        if (s.n == 0 || v < s.lowest) {
            s.lowest = v;
            s.lowest_step = m->step[i];
        }
        s.last = v;
        s.n++;
    }
    return s;
}

static void print_text(plot *p, const char *svg, const char *png, const difference *d, cs_str *sketch)
{
    fputs(cs_str_cstr(sketch), stdout);
    printf("\n%-28s %-14s %7s %12s %12s %12s %9s\n", "run", "key", "rows", "first", "last", "lowest", "at step");
    for (size_t r = 0; r < p->n_runs; r++) {
        for (size_t k = 0; k < p->n_keys; k++) {
            summary s = summarise(&p->run[r], k);
            if (s.n > 0)
                printf("%-28s %-14s %7zu %12.6g %12.6g %12.6g %9.0f\n", p->run[r].name, p->key[k], s.n, s.first, s.last, s.lowest, s.lowest_step);
        }
    }
    if (d)
        printf("\nlm_loss of %s against %s over %zu common steps: mean relative difference %.6g, largest %.6g at step %.0f\n", p->run[1].name,
               p->run[0].name, d->steps, d->mean, d->largest, d->at);
    if (svg)
        printf("\n%s\n%s\n", svg, png);
}

static cs_status print_json(plot *p, const char *svg, const char *png, const difference *d, cs_error *err)
{
    json_t *root = json_object(), *runs = json_array();
    for (size_t r = 0; r < p->n_runs; r++) {
        const cs_metrics *m = &p->run[r];
        json_t *keys = json_object();
        for (size_t k = 0; k < p->n_keys; k++) {
            summary s = summarise(m, k);
            if (s.n > 0)
                json_object_set_new(keys, p->key[k],
                                    json_pack("{s:I,s:f,s:f,s:f,s:I}", "rows", (json_int_t)s.n, "first", s.first, "last", s.last, "lowest", s.lowest,
                                              "lowest_step", (json_int_t)s.lowest_step));
        }
        json_array_append_new(runs, json_pack("{s:s,s:I,s:I,s:o}", "run", m->name, "rows", (json_int_t)m->n_rows, "last_step",
                                              (json_int_t)m->step[m->n_rows - 1], "keys", keys));
    }
    json_object_set_new(root, "runs", runs);
    if (svg) {
        json_object_set_new(root, "svg", json_string(svg));
        json_object_set_new(root, "png", json_string(png));
    }
    if (d)
        json_object_set_new(root, "compare",
                            json_pack("{s:I,s:f,s:f,s:I}", "steps", (json_int_t)d->steps, "mean_relative", d->mean, "largest_relative", d->largest,
                                      "largest_at_step", (json_int_t)d->at));
    if (!root)
        return cs_fail_nomem(err, 1000, "the summary");
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
    return CS_OK;
}

static cs_status draw(plot *p, const cs_cli *cli, cs_error *err)
{
    static const char *const x_label[] = {"step", "samples", "tokens", "seconds"};
    char *svg = NULL, *png = NULL;
    cs_str sketch = {0};
    difference d;
    bool comparing = p->config->compare.n == 2;
    CS_TRY(choose_keys(p, err));
    CS_TRY(load_runs(p, &cli->options->positional, err));
    CS_TRY(make_panels(p, err));
    if (comparing)
        CS_TRY(compare_runs(p, &d, err));
    const char *title = p->config->title ? p->config->title : p->n_runs == 1 ? p->run[0].name : "Comparison of runs";
    cs_chart chart = {title, x_label[p->config->x_axis], p->panel, p->n_panels};
    if (!p->config->no_files)
        CS_TRY(write_files(p, &chart, &svg, &png, err));
    if (cli->common->json)
        return print_json(p, svg, png, comparing ? &d : NULL, err);
    cs_status s = cs_chart_sketch(&p->panel[0], chart.x_label, 80, 18, isatty(1) == 1, &sketch, err);
    if (s == CS_OK)
        print_text(p, svg, png, comparing ? &d : NULL, &sketch);
    cs_str_release(&sketch);
    return s;
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    plot p = {.config = config, .perm = cli->perm};
    cs_status s = draw(&p, cli, err);
    for (size_t i = 0; i < p.n_runs; i++)
        cs_metrics_release(&p.run[i]);
    return s;
}

cs_status cs_plot_losses(const char *run_dir, cs_arena *perm, cs_error *err)
{
    const plot_config usual = {0};
    const cs_strlist one = {&run_dir, 1};
    char *svg, *png;
    plot p = {.config = &usual, .perm = perm};
    cs_status s = choose_keys(&p, err);
    if (s == CS_OK)
        s = load_runs(&p, &one, err);
    if (s == CS_OK)
        s = make_panels(&p, err);
    if (s == CS_OK) {
        const cs_chart chart = {p.run[0].name, "step", p.panel, p.n_panels};
        s = write_files(&p, &chart, &svg, &png, err);
    }
    for (size_t i = 0; i < p.n_runs; i++)
        cs_metrics_release(&p.run[i]);
    return s;
}

const cs_command cs_command_plot = {
    .name = "plot",
    .usage = "cspeed plot RUN... [--keys KEY...] [--output PREFIX] [--compare A B]",
    .summary = "draw loss and other curves of runs as SVG, PNG and on the terminal",
    .config_bytes = sizeof(plot_config),
    .groups = groups,
    .run = run,
};
