/* The canvas as pixels. A line is drawn by its distance field: coverage of a pixel = how far the pixel's centre lies inside the stroke, clamped to
 * one pixel of blur. The coverage of a whole polyline is collected first (largest value wins), so that joints are not darker. */
#include "cli/chart.h"

#include "base/mem.h"
#include "fmt/png.h"

#include <math.h>
#include <string.h>

typedef struct raster {
    cs_canvas canvas; /* first, so that the canvas pointer is this struct */
    int w, h;
    uint8_t *rgb;    /* [h][w][3] */
    float *coverage; /* [h][w], all zero between calls */
    int x0, y0, x1, y1; /* touched part of coverage */
    double stroke_width;
} raster;

static void blend(raster *r, int x, int y, uint32_t color, double a)
{
    uint8_t *p = r->rgb + 3 * ((size_t)y * (size_t)r->w + (size_t)x);
    for (int k = 0; k < 3; k++) {
        double c = (double)(color >> (16 - 8 * k) & 255);
        p[k] = (uint8_t)lround(p[k] + (c - p[k]) * a);
    }
}

static int clamp(double v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : (int)v;
}

static void put_rect(cs_canvas *c, double x, double y, double w, double h, uint32_t color, double alpha)
{
    raster *r = (raster *)c;
    int x0 = clamp(lround(x), 0, r->w), x1 = clamp(lround(x + w), 0, r->w), y1 = clamp(lround(y + h), 0, r->h);
    for (int j = clamp(lround(y), 0, r->h); j < y1; j++)
        for (int i = x0; i < x1; i++)
            blend(r, i, j, color, alpha);
}

/* Adds the stroke from a to b to the coverage. */
static void cover(raster *r, const double a[2], const double b[2], double width)
{
    double half = width / 2, dx = b[0] - a[0], dy = b[1] - a[1], len2 = dx * dx + dy * dy;
    int x0 = clamp(floor(fmin(a[0], b[0]) - half - 1), 0, r->w - 1), x1 = clamp(ceil(fmax(a[0], b[0]) + half + 1), 0, r->w - 1);
    int y0 = clamp(floor(fmin(a[1], b[1]) - half - 1), 0, r->h - 1), y1 = clamp(ceil(fmax(a[1], b[1]) + half + 1), 0, r->h - 1);
    for (int j = y0; j <= y1; j++) {
        float *row = r->coverage + (size_t)j * (size_t)r->w;
        for (int i = x0; i <= x1; i++) {
            double px = i + 0.5 - a[0], py = j + 0.5 - a[1];
            double t = len2 > 0 ? fmax(0, fmin(1, (px * dx + py * dy) / len2)) : 0;
            double d = hypot(px - t * dx, py - t * dy), v = fmin(1, half + 0.5 - d) * fmin(1, width);
            if (v > row[i])
                row[i] = (float)v;
        }
    }
    r->x0 = x0 < r->x0 ? x0 : r->x0;
    r->x1 = x1 > r->x1 ? x1 : r->x1;
    r->y0 = y0 < r->y0 ? y0 : r->y0;
    r->y1 = y1 > r->y1 ? y1 : r->y1;
}

/* Paints what has been covered and clears the coverage. */
static void paint(raster *r, uint32_t color, double alpha)
{
    for (int j = r->y0; j <= r->y1; j++) {
        float *row = r->coverage + (size_t)j * (size_t)r->w;
        for (int i = r->x0; i <= r->x1; i++) {
            if (row[i] > 0)
                blend(r, i, j, color, alpha * (double)row[i]);
            row[i] = 0;
        }
    }
    r->x0 = r->w;
    r->y0 = r->h;
    r->x1 = r->y1 = -1;
}

static void cover_dashed(raster *r, const double *xy, size_t n, double width)
{
    enum { ON = 8, PERIOD = 14 };
    double at = 0; /* position within the dash pattern */
    for (size_t i = 1; i < n; i++) {
        const double *a = xy + 2 * (i - 1), *b = xy + 2 * i;
        double len = hypot(b[0] - a[0], b[1] - a[1]), done = 0;
        while (done < len) {
            double step = fmin(len - done, at < ON ? ON - at : PERIOD - at);
            double t0 = done / len, t1 = (done + step) / len;
            if (at < ON)
                cover(r, (const double[]){a[0] + t0 * (b[0] - a[0]), a[1] + t0 * (b[1] - a[1])},
                      (const double[]){a[0] + t1 * (b[0] - a[0]), a[1] + t1 * (b[1] - a[1])}, width);
            done += step > 0 ? step : len;
            at = at + step >= PERIOD ? 0 : at + step;
        }
    }
}

static void put_polyline(cs_canvas *c, const double *xy, size_t n, double width, uint32_t color, double alpha, bool dashed)
{
    raster *r = (raster *)c;
    if (dashed)
        cover_dashed(r, xy, n, width);
    for (size_t i = 1; i < n && !dashed; i++)
        cover(r, xy + 2 * (i - 1), xy + 2 * i, width);
    paint(r, color, alpha);
}

static void put_dot(cs_canvas *c, double x, double y, double radius, uint32_t color, double alpha)
{
    const double at[2] = {x, y};
    cover((raster *)c, at, at, 2 * radius);
    paint((raster *)c, color, alpha);
}

static void stroke_letter(void *arg, const double *xy, size_t n)
{
    raster *r = arg;
    for (size_t i = 1; i < n; i++)
        cover(r, xy + 2 * (i - 1), xy + 2 * i, r->stroke_width);
}

static void put_text(cs_canvas *c, double x, double y, double size, cs_anchor anchor, uint32_t color, const char *text)
{
    raster *r = (raster *)c;
    double w = cs_font_width(text, size);
    x -= anchor == CS_ANCHOR_END ? w : anchor == CS_ANCHOR_MIDDLE ? w / 2 : 0;
    r->stroke_width = size * 0.085 + 0.45;
    cs_font_strokes(text, x, y, size, stroke_letter, r);
    paint(r, color, 1);
}

cs_status cs_chart_png(const cs_chart *chart, cs_str *out, cs_error *err)
{
    raster r = {.canvas = {.rect = put_rect, .polyline = put_polyline, .dot = put_dot, .text = put_text}, .x1 = -1, .y1 = -1};
    cs_chart_size(chart, &r.canvas.width, &r.canvas.height);
    r.x0 = r.w = (int)r.canvas.width;
    r.y0 = r.h = (int)r.canvas.height;
    size_t pixels = (size_t)r.w * (size_t)r.h;
    r.rgb = cs_calloc(pixels, 3);
    r.coverage = cs_calloc(pixels, sizeof *r.coverage);
    cs_status s = r.rgb && r.coverage ? CS_OK : cs_fail_nomem(err, pixels * 7, "a picture");
    if (s == CS_OK)
        s = cs_chart_draw(chart, &r.canvas, err);
    if (s == CS_OK)
        s = cs_png_encode(r.rgb, (size_t)r.w, (size_t)r.h, out, err);
    cs_free(r.rgb);
    cs_free(r.coverage);
    return s;
}
