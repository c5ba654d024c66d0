/* The pipeline drawn: characters for the terminal, SVG. A row is a stage, time goes to the right. */
#include "cli/plan.h"

#include <math.h>
#include <stdio.h>

enum { LABEL = 9, MOST_ROWS = 16 };

/* --- characters ------------------------------------------------------------------------------------------------------------------- */

typedef struct cell {
    char micro, chunk;
} cell;

/* What the stage does at time t. `*i`: action to look from; times ask in rising order. */
static cell at_time(const cs_plan *p, int64_t stage, double t, int64_t *i)
{
    const cs_stage_plan *plan = &p->schedule.stage[stage];
    const cs_sim_stage *s = &p->sim.stage[stage];
    while (*i < plan->n_actions && s->span[*i].end <= t)
        ++*i;
    if (*i < plan->n_actions && s->span[*i].start <= t) {
        const cs_action *a = &plan->action[*i];
        return (cell){(char)((a->pass == CS_PASS_FORWARD ? '0' : 'a') + a->micro % 10), (char)('0' + a->chunk % 10)};
    }
    if (t >= s->pipeline_end && t < s->reduced)
        return (cell){'=', ' '};
    return (cell){t >= p->sim.step_s - s->optimizer ? '#' : '.', ' '};
}

static void put_window(const cs_plan *p, int64_t stage, double from, double unit, int64_t columns, bool chunk, cs_str *out)
{
    int64_t i = 0;
    for (int64_t c = 0; c < columns; c++) {
        cell x = at_time(p, stage, from + ((double)c + 0.5) * unit, &i);
        cs_str_putc(out, chunk ? x.chunk : x.micro);
    }
}

/* Seconds of a column: so that the shortest forward pass fills one. */
static double shortest(const cs_plan *p)
{
    double least = INFINITY;
    for (int64_t stage = 0; stage < p->request.layout.pp; stage++)
        for (int64_t i = 0; i < p->schedule.stage[stage].n_actions; i++)
            least = fmin(least, p->sim.stage[stage].span[i].end - p->sim.stage[stage].span[i].start);
    return least;
}

void cs_plan_diagram(const cs_plan *p, int64_t columns, cs_str *out)
{
    int64_t pp = p->request.layout.pp, width = columns > LABEL + 24 ? columns - LABEL : 24, half = (width - 6) / 2;
    double unit = p->sim.step_s / (double)width, least = shortest(p);
    bool whole = unit <= least;
    if (!whole)
        unit = least;
    cs_str_puts(out, "0-9 forward, a-j backward of a micro-batch (last digit; a = 0), . waiting, = gradients, # optimizer");
    cs_str_puts(out, p->request.layout.chunks > 1 ? "; below: the chunk\n" : "\n");
    for (int64_t stage = 0; stage < pp; stage++) {
        if (pp > MOST_ROWS && stage == MOST_ROWS / 2) {
            cs_str_printf(out, "%*s\n", LABEL - 2, "..");
            stage = pp - MOST_ROWS / 2;
        }
        for (int line = 0; line < (p->request.layout.chunks > 1 ? 2 : 1); line++) {
            if (line == 0)
                cs_str_printf(out, "stage %-*lld", LABEL - 6, (long long)stage);
            else
                cs_str_printf(out, "%*s", LABEL, "");
            put_window(p, stage, 0, unit, whole ? width : half, line == 1, out);
            if (!whole) {
                cs_str_puts(out, "  ..  ");
                put_window(p, stage, p->sim.step_s - (double)half * unit, unit, half, line == 1, out);
            }
            cs_str_putc(out, '\n');
        }
    }
    if (!whole)
        cs_str_printf(out, "%*sfirst and last %.3g s of the step\n", LABEL, "", (double)half * unit);
}

/* --- SVG -------------------------------------------------------------------------------------------------------------------------- */

static const double left = 60, top = 30, drawn = 1200, row = 22;

static void rect(cs_str *out, double x, double y, double w, uint32_t color)
{
    cs_str_printf(out, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" fill=\"#%06x\"/>\n", x, y, w, row - 4, color);
}

/* Forward blue, backward green; later chunks are darker. */
static uint32_t color_of(const cs_action *a, int64_t chunks)
{
    double dark = chunks > 1 ? 0.55 * a->chunk / (double)(chunks - 1) : 0;
    static const int base[2][3] = {{150, 190, 255}, {150, 225, 150}};
    uint32_t rgb = 0;
    for (int i = 0; i < 3; i++)
        rgb = rgb << 8 | (uint32_t)((double)base[a->pass == CS_PASS_BACKWARD][i] * (1 - dark));
    return rgb;
}

static void draw_stage(const cs_plan *p, int64_t stage, cs_str *out)
{
    const cs_stage_plan *plan = &p->schedule.stage[stage];
    const cs_sim_stage *s = &p->sim.stage[stage];
    double scale = drawn / p->sim.step_s, y = top + row * (double)stage;
    cs_str_printf(out, "<text x=\"4\" y=\"%.1f\">stage %lld</text>\n", y + 14, (long long)stage);
    for (int64_t i = 0; i < plan->n_actions;) {
        const cs_action *a = &plan->action[i];
        double from = s->span[i].start, to = s->span[i].end;
        int64_t k = i + 1; /* what is too narrow to be seen is drawn with its like */
        for (; k < plan->n_actions && (to - from) * scale < 0.8 && plan->action[k].pass == a->pass && plan->action[k].chunk == a->chunk; k++)
            to = s->span[k].end;
        rect(out, left + from * scale, y, fmax((to - from) * scale - 0.3, 0.2), color_of(a, p->request.layout.chunks));
        if ((to - from) * scale > 14)
            cs_str_printf(out, "<text x=\"%.2f\" y=\"%.1f\" text-anchor=\"middle\">%lld</text>\n", left + (from + to) / 2 * scale, y + 13,
                          (long long)a->micro);
        i = k;
    }
    if (s->reduced > s->pipeline_end)
        rect(out, left + s->pipeline_end * scale, y, (s->reduced - s->pipeline_end) * scale, 0xf0a030);
    if (s->optimizer > 0)
        rect(out, left + (p->sim.step_s - s->optimizer) * scale, y, s->optimizer * scale, 0xc060c0);
}

void cs_plan_svg(const cs_plan *p, cs_str *out)
{
    int64_t pp = p->request.layout.pp;
    double height = top + row * (double)pp + 30;
    cs_str_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" font-size=\"10\">\n"
                       "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n", left + drawn + 20, height);
    cs_str_printf(out, "<text x=\"%.0f\" y=\"16\" font-size=\"12\">%s, %lld stages x %lld chunks, %lld micro-batches: step %.4g s, bubble %.4f. "
                       "Blue forward, green backward (later chunks darker), orange gradients, violet optimizer</text>\n", left,
                  cs_schedule_name(p->schedule.kind), (long long)pp, (long long)p->request.layout.chunks, (long long)p->request.layout.n_micro,
                  p->sim.step_s, p->sim.bubble);
    for (int64_t stage = 0; stage < pp; stage++)
        draw_stage(p, stage, out);
    for (int tick = 0; tick <= 10; tick++)
        cs_str_printf(out, "<text x=\"%.2f\" y=\"%.1f\" text-anchor=\"middle\">%.3g s</text>\n", left + tick * drawn / 10, height - 10,
                      tick * p->sim.step_s / 10);
    cs_str_puts(out, "</svg>\n");
}
