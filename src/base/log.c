/* Messages and progress on stderr. */
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static cs_log_level level = CS_LOG_NORMAL;

void cs_log_set(cs_log_level new_level)
{
    level = new_level;
}

cs_log_level cs_log_get(void)
{
    return level;
}

/* One write per line, so that lines of several ranks do not mix. */
static void put_line(const char *kind, const char *fmt, va_list args)
{
    char line[2048];
    int n = snprintf(line, sizeof line, "cspeed: %s", kind);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, args);
    size_t len = (size_t)n + (m < 0 ? 0 : (size_t)m);
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len] = '\n';
    fwrite(line, 1, len + 1, stderr);
}

void cs_note(const char *fmt, ...)
{
    if (level < CS_LOG_NORMAL)
        return;
    va_list args;
    va_start(args, fmt);
    put_line("", fmt, args);
    va_end(args);
}

void cs_warn(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    put_line("warning: ", fmt, args);
    va_end(args);
}

void cs_debug(const char *fmt, ...)
{
    if (level < CS_LOG_VERBOSE)
        return;
    va_list args;
    va_start(args, fmt);
    put_line("", fmt, args);
    va_end(args);
}

void cs_progress_init(cs_progress *p, const char *label, const char *unit, int64_t total)
{
    double now = cs_clock_now();
    *p = (cs_progress){.label = label, .unit = unit, .start = now, .last_draw = now, .total = total, .tty = isatty(2) == 1};
}

static void format_count(double x, char *buf, size_t n)
{
    const char *suffix = "";
    if (x >= 1e9) {
        x /= 1e9;
        suffix = "G";
    } else if (x >= 1e6) {
        x /= 1e6;
        suffix = "M";
    } else if (x >= 1e4) {
        x /= 1e3;
        suffix = "k";
    }
    snprintf(buf, n, x < 100 && *suffix ? "%.1f%s" : "%.0f%s", x, suffix);
}

static void format_seconds(double s, char *buf, size_t n)
{
    if (s < 0 || s > 3.6e6)
        snprintf(buf, n, "?");
    else if (s >= 3600)
        snprintf(buf, n, "%d:%02d:%02d", (int)(s / 3600), (int)(s / 60) % 60, (int)s % 60);
    else
        snprintf(buf, n, "%d:%02d", (int)(s / 60), (int)s % 60);
}

static void draw(cs_progress *p, int64_t done, const char *extra, bool last)
{
    enum { CELLS = 28 };
    static const char *const eighth[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    double spent = cs_clock_now() - p->start, rate = spent > 0 ? (double)done / spent : 0;
    double part = p->total > 0 ? (double)done / (double)p->total : 0;
    part = part > 1 ? 1 : part;
    char count[32], total[32], per_s[32], eta[32], bar[CELLS * 3 + 8] = "";
    format_count((double)done, count, sizeof count);
    format_count((double)p->total, total, sizeof total);
    format_count(rate, per_s, sizeof per_s);
    if (last)
        format_seconds(spent, eta, sizeof eta);
    else
        format_seconds(p->total > 0 && rate > 0 ? (double)(p->total - done) / rate : -1, eta, sizeof eta);
    if (p->tty && p->total > 0) {
        int full = (int)(part * CELLS * 8);
        for (int i = 0; i < full / 8; i++)
            strcat(bar, "█");
        strcat(bar, eighth[full % 8]);
        for (int i = full / 8 + (full % 8 > 0); i < CELLS; i++)
            strcat(bar, " ");
    }
    char rate_text[40];
    if (rate < 10)
        snprintf(rate_text, sizeof rate_text, "%.2f", rate);
    else
        snprintf(rate_text, sizeof rate_text, "%s", per_s);
    fprintf(stderr, "%s%s%s%s%s", p->tty ? "\r" : "cspeed: ", p->label, bar[0] ? " |" : ": ", bar, bar[0] ? "| " : "");
    if (p->total > 0)
        fprintf(stderr, "%s/%s %s (%.0f%%), %s/s, %s %s", count, total, p->unit, 100 * part, rate_text, last ? "took" : "left", eta);
    else
        fprintf(stderr, "%s %s, %s/s%s%s", count, p->unit, rate_text, last ? ", took " : "", last ? eta : "");
    fprintf(stderr, "%s%s%s", extra ? ", " : "", extra ? extra : "", p->tty ? "\x1b[K" : "\n");
    fflush(stderr);
    p->drawn = true;
}

void cs_progress_update(cs_progress *p, int64_t done, const char *extra)
{
    double now = cs_clock_now();
    if (level == CS_LOG_QUIET || now - p->start < 2 || now - p->last_draw < (p->tty ? 0.1 : 10))
        return;
    p->last_draw = now;
    draw(p, done, extra, false);
}

void cs_progress_finish(cs_progress *p, int64_t done)
{
    if (level == CS_LOG_QUIET || !p->drawn)
        return;
    draw(p, done, NULL, true);
    if (p->tty)
        fputc('\n', stderr);
    p->drawn = false;
}
