/* Layout and drawing of a chart, the same for every canvas. */
#include "cli/chart.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 1200, HEAD = 96, PANEL = 560, SMALL_PANEL = 300, FOOT = 74, LEFT = 112, RIGHT = 40, PANEL_GAP = 58 };
static const uint32_t ink = 0x1f2937, faint = 0x6b7280, grid = 0xe5e7eb, frame = 0x9ca3af;

cs_axis cs_axis_fit(double lo, double hi, double margin, int n_ticks)
{
    double span = hi - lo;
    if (span <= 0) {
        span = fabs(hi) > 0 ? fabs(hi) * 0.1 : 1;
        lo -= span / 2;
        hi += span / 2;
    }
    cs_axis a = {lo - margin * span, hi + margin * span, 0};
    double raw = (a.hi - a.lo) / n_ticks, power = pow(10, floor(log10(raw))), part = raw / power;
    a.step = power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
    return a;
}

void cs_axis_text(const cs_axis *axis, double value, char *buf, size_t n)
{
    double top = fmax(fabs(axis->lo), fabs(axis->hi)), unit = top >= 1e9 ? 1e9 : top >= 1e6 ? 1e6 : top >= 1e4 ? 1e3 : 1;
    if (fabs(value) < axis->step * 1e-6)
        value = 0;
    if (value == 0) {
        snprintf(buf, n, "0");
    } else if (top < 1e-3) {
        snprintf(buf, n, "%.1e", value);
    } else {
        double digits = -floor(log10(axis->step / unit) + 1e-9);
        snprintf(buf, n, "%.*f%s", digits > 0 ? (int)digits : 0, value / unit, unit == 1 ? "" : unit == 1e3 ? "k" : unit == 1e6 ? "M" : "G");
    }
}

bool cs_chart_range(const cs_chart_panel *panel, double x[2], double y[2])
{
    bool any = false;
    for (size_t l = 0; l < panel->n_lines; l++) {
        const cs_chart_line *line = &panel->lines[l];
        for (size_t i = 0; i < line->n; i++) {
            x[0] = any ? fmin(x[0], line->x[i]) : line->x[i];
            x[1] = any ? fmax(x[1], line->x[i]) : line->x[i];
            y[0] = any ? fmin(y[0], line->y[i]) : line->y[i];
            y[1] = any ? fmax(y[1], line->y[i]) : line->y[i];
            any = true;
        }
    }
    return any;
}

void cs_chart_size(const cs_chart *chart, double *width, double *height)
{
    *width = WIDTH;
    *height = HEAD + PANEL + FOOT;
    if (chart->n_panels > 1)
        *height += (double)(chart->n_panels - 1) * (SMALL_PANEL + PANEL_GAP);
}

/* Where a panel lies and how data become pixels. */
typedef struct place {
    double x0, y0, w, h;
    cs_axis ax, ay;
} place;

static double to_x(const place *p, double x)
{
    return p->x0 + (x - p->ax.lo) / (p->ax.hi - p->ax.lo) * p->w;
}

static double to_y(const place *p, double y)
{
    return p->y0 + p->h - (y - p->ay.lo) / (p->ay.hi - p->ay.lo) * p->h;
}

static void draw_axes(cs_canvas *c, const place *p, bool x_labels)
{
    char text[40];
    c->rect(c, p->x0, p->y0, p->w, p->h, 0xffffff, 1);
    for (double v = ceil(p->ay.lo / p->ay.step) * p->ay.step; v <= p->ay.hi; v += p->ay.step) {
        double y = floor(to_y(p, v)) + 0.5;
        c->polyline(c, (const double[]){p->x0, y, p->x0 + p->w, y}, 2, 1, grid, 1, false);
        cs_axis_text(&p->ay, v, text, sizeof text);
        c->text(c, p->x0 - 14, y + 6, 13, CS_ANCHOR_END, faint, text);
    }
    for (double v = ceil(p->ax.lo / p->ax.step) * p->ax.step; v <= p->ax.hi * (1 + 1e-12); v += p->ax.step) {
        double x = floor(to_x(p, v)) + 0.5;
        c->polyline(c, (const double[]){x, p->y0, x, p->y0 + p->h}, 2, 1, grid, 1, false);
        c->polyline(c, (const double[]){x, p->y0 + p->h, x, p->y0 + p->h + 6}, 2, 1, frame, 1, false);
        cs_axis_text(&p->ax, v, text, sizeof text);
        if (x_labels)
            c->text(c, x, p->y0 + p->h + 26, 13, CS_ANCHOR_MIDDLE, faint, text);
    }
    double x0 = floor(p->x0) + 0.5, y1 = floor(p->y0 + p->h) + 0.5;
    c->polyline(c, (const double[]){x0, p->y0, x0, y1, p->x0 + p->w, y1}, 3, 1.2, frame, 1, false);
}

enum { DENSE = 2 * WIDTH };

/* Pixels of a line; from DENSE points on at most four per pixel column: first, lowest, highest, last. Returns their number. */
static size_t to_pixels(const place *p, const cs_chart_line *line, double *xy)
{
    size_t n = 0;
    for (size_t i = 0; i < line->n;) {
        double column = floor(to_x(p, line->x[i]));
        size_t from = i, low = i, high = i;
        do {
            low = line->y[i] < line->y[low] ? i : low;
            high = line->y[i] > line->y[high] ? i : high;
            i++;
        } while (i < line->n && line->n >= DENSE && floor(to_x(p, line->x[i])) == column);
        size_t pick[4] = {from, low < high ? low : high, low < high ? high : low, i - 1};
        for (int k = 0; k < 4; k++) {
            if (k > 0 && pick[k] <= pick[k - 1])
                continue;
            xy[2 * n] = to_x(p, line->x[pick[k]]);
            xy[2 * n + 1] = to_y(p, line->y[pick[k]]);
            n++;
        }
    }
    return n;
}

static cs_status draw_line(cs_canvas *c, const place *p, const cs_chart_line *line, cs_error *err)
{
    size_t cap = line->n < DENSE ? line->n : (size_t)4 * (WIDTH + 2);
    double *xy = cs_calloc(cap ? cap : 1, 2 * sizeof *xy);
    if (!xy)
        return cs_fail_nomem(err, cap * 2 * sizeof *xy, "a chart");
    size_t n = to_pixels(p, line, xy);
    if (n > 1)
        c->polyline(c, xy, n, line->alpha < 1 ? 1.4 : 2.2, line->color, line->alpha, line->sparse);
    for (size_t i = 0; i < n && ((line->sparse && n < 120) || n == 1); i++)
        c->dot(c, xy[2 * i], xy[2 * i + 1], 4, line->color, line->alpha);
    cs_free(xy);
    return CS_OK;
}

static void draw_legend(cs_canvas *c, const place *p, const cs_chart_panel *panel)
{
    double widest = 0, row = 26;
    size_t n = 0;
    for (size_t l = 0; l < panel->n_lines; l++) {
        if (!panel->lines[l].name)
            continue;
        widest = fmax(widest, cs_font_width(panel->lines[l].name, 12));
        n++;
    }
    if (n == 0)
        return;
    double w = widest + 74, h = (double)n * row + 14, x = p->x0 + p->w - w - 14, y = p->y0 + 14;
    c->rect(c, x - 1, y - 1, w + 2, h + 2, grid, 1);
    c->rect(c, x, y, w, h, 0xffffff, 0.94);
    for (size_t l = 0; l < panel->n_lines; l++) {
        const cs_chart_line *line = &panel->lines[l];
        if (!line->name)
            continue;
        double at = y + 20;
        c->polyline(c, (const double[]){x + 14, at, x + 46, at}, 2, 2.6, line->color, 1, line->sparse);
        if (line->sparse)
            c->dot(c, x + 30, at, 4, line->color, 1);
        c->text(c, x + 58, at + 6, 12, CS_ANCHOR_START, ink, line->name);
        y += row;
    }
}

static cs_status draw_panel(cs_canvas *c, const cs_chart_panel *panel, place *p, bool last, cs_error *err)
{
    c->text(c, p->x0, p->y0 - 14, 13, CS_ANCHOR_START, faint, panel->title);
    draw_axes(c, p, last);
    for (int sparse = 0; sparse < 2; sparse++)
        for (size_t l = 0; l < panel->n_lines; l++)
            if (panel->lines[l].sparse == (sparse == 1))
                CS_TRY(draw_line(c, p, &panel->lines[l], err));
    draw_legend(c, p, panel);
    return CS_OK;
}

cs_status cs_chart_draw(const cs_chart *chart, cs_canvas *c, cs_error *err)
{
    double x[2] = {0, 1}, y[2] = {0, 1}, top = HEAD;
    bool any = false;
    for (size_t i = 0; i < chart->n_panels; i++) {
        double px[2], py[2];
        if (!cs_chart_range(&chart->panels[i], px, py))
            continue;
        x[0] = any ? fmin(x[0], px[0]) : px[0];
        x[1] = any ? fmax(x[1], px[1]) : px[1];
        any = true;
    }
    c->rect(c, 0, 0, c->width, c->height, 0xf9fafb, 1);
    c->text(c, LEFT, 46, 19, CS_ANCHOR_START, ink, chart->title);
    for (size_t i = 0; i < chart->n_panels; i++) {
        bool has = cs_chart_range(&chart->panels[i], (double[2]){0}, y);
        place p = {.x0 = LEFT, .y0 = top, .w = WIDTH - LEFT - RIGHT, .h = i == 0 ? PANEL : SMALL_PANEL};
        p.ax = cs_axis_fit(x[0], x[1], x[1] > x[0] ? 0.01 : 0, 9);
        p.ay = has ? cs_axis_fit(y[0], y[1], 0.05, i == 0 ? 8 : 5) : cs_axis_fit(0, 1, 0, 5);
        CS_TRY(draw_panel(c, &chart->panels[i], &p, i + 1 == chart->n_panels, err));
        top += p.h + PANEL_GAP;
    }
    c->text(c, LEFT + (WIDTH - LEFT - RIGHT) / 2.0, c->height - 18, 14, CS_ANCHOR_MIDDLE, faint, chart->x_label);
    return CS_OK;
}
