/* A chart in characters. A cell of the grid has 2 x 4 braille dots; with several solid lines and no
 * colour, a cell shows the letter of its line. Lines without a name (raw values behind a running mean) are left out. */
#include "cli/chart.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct cell {
    uint8_t dots, line; /* line = 1 + number of the line that came last */
} cell;

typedef struct sketch {
    int w, h; /* cells */
    cell *cells;
    double x[2];
    cs_axis ay;
} sketch;

static void set_dot(sketch *s, int i, int j, size_t line)
{
    static const uint8_t bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    if (i < 0 || j < 0 || i >= 2 * s->w || j >= 4 * s->h)
        return;
    cell *c = &s->cells[j / 4 * s->w + i / 2];
    c->dots |= bit[j % 4][i % 2];
    c->line = (uint8_t)(line + 1);
}

static void trace(sketch *s, const cs_chart_line *line, size_t number)
{
    double span = s->x[1] > s->x[0] ? s->x[1] - s->x[0] : 1, last_i = 0, last_j = 0;
    for (size_t k = 0; k < line->n; k++) {
        double i = (line->x[k] - s->x[0]) / span * (2 * s->w - 1);
        double j = (1 - (line->y[k] - s->ay.lo) / (s->ay.hi - s->ay.lo)) * (4 * s->h - 1);
        int steps = k > 0 ? (int)ceil(fmax(fabs(i - last_i), fabs(j - last_j))) : 0;
        for (int t = 0; t < steps; t++)
            set_dot(s, (int)lround(last_i + (i - last_i) * t / steps), (int)lround(last_j + (j - last_j) * t / steps), number);
        set_dot(s, (int)lround(i), (int)lround(j), number);
        last_i = i;
        last_j = j;
    }
}

static void put_color(cs_str *out, uint32_t color)
{
    cs_str_printf(out, "\x1b[38;2;%u;%u;%um", color >> 16 & 255, color >> 8 & 255, color & 255);
}

static void put_row(const sketch *s, int j, const cs_chart_panel *panel, bool color, bool letters, cs_str *out)
{
    uint8_t now = 0;
    for (int i = 0; i < s->w; i++) {
        const cell *c = &s->cells[j * s->w + i];
        if (color && c->line && c->line != now) {
            put_color(out, panel->lines[c->line - 1].color);
            now = c->line;
        }
        if (!c->dots) {
            cs_str_putc(out, ' ');
        } else if (letters) {
            cs_str_putc(out, (char)('a' + (c->line - 1) % 26));
        } else { /* U+2800 + dots */
            const char utf8[3] = {(char)0xe2, (char)(0xa0 | c->dots >> 6), (char)(0x80 | (c->dots & 63))};
            cs_str_append(out, utf8, 3);
        }
    }
    if (now)
        cs_str_puts(out, "\x1b[0m");
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
}

static void put_legend(const cs_chart_panel *panel, bool color, bool letters, int indent, cs_str *out)
{
    cs_str_printf(out, "%*s", indent, "");
    for (size_t l = 0; l < panel->n_lines; l++) {
        if (!panel->lines[l].name)
            continue;
        if (color)
            put_color(out, panel->lines[l].color);
        if (letters)
            cs_str_printf(out, "%c ", (char)('a' + l % 26));
        else
            cs_str_puts(out, "— ");
        cs_str_printf(out, "%s%s  ", panel->lines[l].name, color ? "\x1b[0m" : "");
    }
    cs_str_puts(out, "\n");
}

cs_status cs_chart_sketch(const cs_chart_panel *panel, const char *x_label, int columns, int rows, bool color, cs_str *out, cs_error *err)
{
    enum { LABEL = 9 };
    double y[2];
    char text[40], right[40];
    sketch s = {.w = columns - LABEL - 2, .h = rows};
    if (!cs_chart_range(panel, s.x, y))
        return CS_OK;
    size_t solid = 0;
    for (size_t l = 0; l < panel->n_lines; l++)
        solid += panel->lines[l].name && !panel->lines[l].sparse;
    bool letters = !color && solid > 1;
    s.ay = cs_axis_fit(y[0], y[1], 0.03, rows / 3);
    s.cells = cs_calloc((size_t)(s.w * s.h), sizeof *s.cells);
    if (!s.cells)
        return cs_fail_nomem(err, (size_t)(s.w * s.h), "a sketch");
    for (size_t l = 0; l < panel->n_lines; l++)
        if (panel->lines[l].name)
            trace(&s, &panel->lines[l], l);
    cs_str_printf(out, "%*s%s\n", LABEL + 2, "", panel->title);
    for (int j = 0; j < s.h; j++) {
        double top = s.ay.hi - (s.ay.hi - s.ay.lo) * j / s.h, bottom = s.ay.hi - (s.ay.hi - s.ay.lo) * (j + 1) / s.h;
        double tick = floor(top / s.ay.step) * s.ay.step;
        text[0] = '\0';
        if (tick > bottom)
            cs_axis_text(&s.ay, tick, text, sizeof text);
        cs_str_printf(out, "%*s %s", LABEL, text, text[0] ? "┤" : "│");
        put_row(&s, j, panel, color, letters, out);
        cs_str_puts(out, "\n");
    }
    cs_str_printf(out, "%*s └", LABEL, "");
    for (int i = 0; i < s.w; i++)
        cs_str_puts(out, "─");
    cs_axis ax = {s.x[0], s.x[1], 1};
    cs_axis_text(&ax, s.x[0], text, sizeof text);
    cs_axis_text(&ax, s.x[1], right, sizeof right);
    int gap = s.w - (int)strlen(text) - (int)strlen(right) - (int)strlen(x_label);
    gap = gap > 2 ? gap : 2;
    cs_str_printf(out, "\n%*s%s%*s%s%*s%s\n", LABEL + 2, "", text, gap / 2, "", x_label, gap - gap / 2, "", right);
    put_legend(panel, color, letters, LABEL + 2, out);
    cs_free(s.cells);
    return cs_str_check(out, err);
}
