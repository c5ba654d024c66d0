/* The canvas as SVG text. */
#include "cli/chart.h"

typedef struct svg {
    cs_canvas canvas; /* first, so that the canvas pointer is this struct */
    cs_str *out;
} svg;

static void put_rect(cs_canvas *c, double x, double y, double w, double h, uint32_t color, double alpha)
{
    cs_str_printf(((svg *)c)->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#%06x\" fill-opacity=\"%.3g\"/>\n", x, y, w, h,
                  color, alpha);
}

static void put_polyline(cs_canvas *c, const double *xy, size_t n, double width, uint32_t color, double alpha, bool dashed)
{
    cs_str *out = ((svg *)c)->out;
    cs_str_printf(out, "<polyline fill=\"none\" stroke=\"#%06x\" stroke-width=\"%.3g\" stroke-opacity=\"%.3g\" stroke-linejoin=\"round\"%s points=\"",
                  color, width, alpha, dashed ? " stroke-dasharray=\"8 6\"" : "");
    for (size_t i = 0; i < n; i++)
        cs_str_printf(out, "%s%.2f,%.2f", i ? " " : "", xy[2 * i], xy[2 * i + 1]);
    cs_str_puts(out, "\"/>\n");
}

static void put_dot(cs_canvas *c, double x, double y, double radius, uint32_t color, double alpha)
{
    cs_str_printf(((svg *)c)->out, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"%.3g\" fill=\"#%06x\" fill-opacity=\"%.3g\"/>\n", x, y, radius, color, alpha);
}

static void put_text(cs_canvas *c, double x, double y, double size, cs_anchor anchor, uint32_t color, const char *text)
{
    static const char *const anchor_name[] = {"start", "middle", "end"};
    cs_str *out = ((svg *)c)->out;
    /* capitals are about 0.72 of the font size */
    cs_str_printf(out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" text-anchor=\"%s\" fill=\"#%06x\">", x, y, size / 0.72, anchor_name[anchor],
                  color);
    for (; *text; text++) {
        if (*text == '<' || *text == '>' || *text == '&')
            cs_str_puts(out, *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : "&amp;");
        else if ((unsigned char)*text >= ' ')
            cs_str_putc(out, *text);
    }
    cs_str_puts(out, "</text>\n");
}

cs_status cs_chart_svg(const cs_chart *chart, cs_str *out, cs_error *err)
{
    svg s = {.canvas = {.rect = put_rect, .polyline = put_polyline, .dot = put_dot, .text = put_text}, .out = out};
    cs_chart_size(chart, &s.canvas.width, &s.canvas.height);
    cs_str_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\">\n",
                  s.canvas.width, s.canvas.height, s.canvas.width, s.canvas.height);
    CS_TRY(cs_chart_draw(chart, &s.canvas, err));
    cs_str_puts(out, "</svg>\n");
    return cs_str_check(out, err);
}
