/* Line charts: one drawing (chart.c) on a canvas that is SVG text (chart_svg.c) or pixels (chart_raster.c, letters from chart_font.c),
 * and a sketch in characters for the terminal (chart_sketch.c). Coordinates are pixels, y downwards. */
#ifndef CS_CLI_CHART_H
#define CS_CLI_CHART_H

#include "base/str.h"

typedef struct cs_chart_line {
    const char *name;    /* legend; NULL = none */
    const double *x, *y; /* [n], x ascending, all finite; borrowed */
    size_t n;
    uint32_t color;      /* 0xRRGGBB */
    double alpha;        /* 0..1 */
    bool sparse;         /* dashed with a dot at every point */
} cs_chart_line;

typedef struct cs_chart_panel {
    const char *title;
    const cs_chart_line *lines;
    size_t n_lines;
} cs_chart_panel;

/* Panels lie below each other over the same x range. */
typedef struct cs_chart {
    const char *title, *x_label;
    const cs_chart_panel *panels;
    size_t n_panels;
} cs_chart;

typedef struct cs_axis {
    double lo, hi, step; /* ticks at multiples of step within [lo, hi] */
} cs_axis;

/* Range of the data with a margin of `margin` of it on both sides, and a round step for about `n_ticks` ticks. */
cs_axis cs_axis_fit(double lo, double hi, double margin, int n_ticks);
/* Tick text: 12, 0.25, 1.5k, 3.0e-05. */
void cs_axis_text(const cs_axis *axis, double value, char *buf, size_t n);
/* x and y range over all lines of a panel; false when there is no point. */
bool cs_chart_range(const cs_chart_panel *panel, double x[2], double y[2]);

typedef enum cs_anchor { CS_ANCHOR_START, CS_ANCHOR_MIDDLE, CS_ANCHOR_END } cs_anchor;

typedef struct cs_canvas cs_canvas;
struct cs_canvas {
    double width, height;
    void (*rect)(cs_canvas *c, double x, double y, double w, double h, uint32_t color, double alpha);
    /* xy [n][2] */
    void (*polyline)(cs_canvas *c, const double *xy, size_t n, double width, uint32_t color, double alpha, bool dashed);
    void (*dot)(cs_canvas *c, double x, double y, double radius, uint32_t color, double alpha);
    /* (x, y) is the baseline; size = height of capitals */
    void (*text)(cs_canvas *c, double x, double y, double size, cs_anchor anchor, uint32_t color, const char *text);
};

void cs_chart_size(const cs_chart *chart, double *width, double *height);
/* Draws on a canvas of cs_chart_size. CS_E_NOMEM. */
cs_status cs_chart_draw(const cs_chart *chart, cs_canvas *canvas, cs_error *err);

/* The whole picture as SVG or PNG appended to `out`. CS_E_NOMEM. */
cs_status cs_chart_svg(const cs_chart *chart, cs_str *out, cs_error *err);
cs_status cs_chart_png(const cs_chart *chart, cs_str *out, cs_error *err);
/* A panel in `columns` x `rows` characters: braille dots, coloured lines when `color`, else one letter per line when there are several. */
cs_status cs_chart_sketch(const cs_chart_panel *panel, const char *x_label, int columns, int rows, bool color, cs_str *out, cs_error *err);

/* Stroke letters. Calls `stroke` with polylines xy [n][2] for `text` whose baseline starts at (x, y), capitals `size` high. */
void cs_font_strokes(const char *text, double x, double y, double size, void (*stroke)(void *arg, const double *xy, size_t n), void *arg);
double cs_font_width(const char *text, double size);

#endif
