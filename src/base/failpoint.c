/* Counters behind the deliberate failures of failpoint.h. */
#include "base/failpoint.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_POINTS = 8, SHORT = -1 };

/* What may happen at a call besides a plain error. */
enum { INTERRUPTED = 1, PARTIAL = 2, SPACE = 4 };

static const struct {
    const char *name;
    unsigned may;
} sites[] = {
    {"open", INTERRUPTED},         {"create", INTERRUPTED | SPACE}, {"read", INTERRUPTED | PARTIAL}, {"write", INTERRUPTED | PARTIAL | SPACE},
    {"fsync", INTERRUPTED | SPACE}, {"close", SPACE},               {"rename", 0},               {"mmap", 0},
    {"mkdir", SPACE},              {"link", SPACE},                 {"unlink", 0},                   {"rmdir", 0},
    {"list", 0},                   {"lock", INTERRUPTED},           {"truncate", INTERRUPTED},       {"thread", 0},
    {"fork", 0},
};
enum { N_SITES = sizeof sites / sizeof *sites };

static const struct {
    const char *name;
    int code;
} faults[] = {{"eio", EIO}, {"enospc", ENOSPC}, {"emfile", EMFILE}, {"eagain", EAGAIN}, {"eintr", EINTR}, {"short", SHORT}};

typedef enum kind { MEM, IO, KILL } kind;

typedef struct point {
    kind kind;
    int site; /* -1 = all */
    int code, rank;
    long long at;
    bool sticky;
    atomic_llong calls;
} point;

static point points[MAX_POINTS];
static int n_points, rank_here = -1;
static cs_failpoint_report *report;

int cs_failpoint_site(const char *name)
{
    for (int i = 0; i < N_SITES; i++)
        if (strcmp(sites[i].name, name) == 0)
            return i;
    return -1;
}

static bool parse_fault(const char *name, int *code)
{
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (strcmp(faults[i].name, name) == 0) {
            *code = faults[i].code;
            return true;
        }
    return false;
}

/* KIND@N, KIND@SITE:N; `rest` is what stands behind N. */
static bool parse_kind(const char *buf, point *p, int *rest)
{
    char fault[12], site[12];
    p->site = -1;
    if (sscanf(buf, "kill@%11[a-z]:%lld%n", site, &p->at, rest) == 2) {
        p->kind = KILL;
        p->site = cs_failpoint_site(site);
        return p->site >= 0;
    }
    if (sscanf(buf, "io:%11[a-z]:%11[a-z]@%lld%n", fault, site, &p->at, rest) == 3) {
        p->site = cs_failpoint_site(site);
        if (p->site < 0)
            return false;
    } else if (sscanf(buf, "io:%11[a-z]@%lld%n", fault, &p->at, rest) != 2) {
        p->kind = MEM;
        return sscanf(buf, "mem@%lld%n", &p->at, rest) == 1;
    }
    p->kind = IO;
    return parse_fault(fault, &p->code);
}

static bool parse_point(const char *text, size_t n, point *p)
{
    char buf[64];
    int rest = 0;
    if (n >= sizeof buf)
        return false;
    memcpy(buf, text, n);
    buf[n] = '\0';
    if (!parse_kind(buf, p, &rest) || p->at <= 0)
        return false;
    const char *at = buf + rest;
    p->sticky = *at == '+';
    at += p->sticky;
    p->rank = -1;
    if (*at == '#' && (sscanf(at, "#%d%n", &p->rank, &rest) != 1 || p->rank < 0))
        return false;
    return at[*at == '#' ? rest : 0] == '\0';
}

cs_status cs_failpoint_arm(const char *spec, cs_error *err)
{
    n_points = 0;
    while (spec && *spec) {
        size_t n = strcspn(spec, ",");
        if (n_points == MAX_POINTS || !parse_point(spec, n, &points[n_points]))
            return cs_fail(err, CS_E_USAGE, "FAIL: cannot read failpoint '%.*s'; expected mem@N, io:ERROR@N, io:ERROR:SITE@N or kill@SITE:N",
                           (int)n, spec);
        atomic_store(&points[n_points].calls, 0);
        n_points++;
        spec += n + (spec[n] == ',');
    }
    return CS_OK;
}

void cs_failpoint_watch(cs_failpoint_report *r)
{
    report = r;
}

void cs_failpoint_set_rank(int rank)
{
    rank_here = rank;
}

static bool fires(point *p)
{
    if (p->rank >= 0 && p->rank != rank_here)
        return false;
    long long call = atomic_fetch_add(&p->calls, 1) + 1;
    bool hit = call == p->at || (p->sticky && call > p->at);
    if (report) {
        long long most = atomic_load(&report->calls);
        while (call > most && !atomic_compare_exchange_weak(&report->calls, &most, call))
            ;
        if (hit)
            atomic_fetch_add(&report->fired, 1);
    }
    return hit;
}

bool cs_failpoint_mem(void)
{
    bool hit = false;
    for (int i = 0; i < n_points; i++)
        if (points[i].kind == MEM && fires(&points[i]))
            hit = true;
    return hit;
}

/* Whether a call of `site` can end with p's kind of failure; other calls are not counted. */
static bool applies(const point *p, int site)
{
    if (p->kind == MEM || (p->site >= 0 && p->site != site))
        return false;
    unsigned need = p->kind == KILL ? 0 : p->code == EINTR ? INTERRUPTED : p->code == SHORT ? PARTIAL : p->code == ENOSPC ? SPACE : 0;
    return (sites[site].may & need) == need;
}

int cs_failpoint_io(const char *name)
{
    int code = 0;
    if (n_points == 0)
        return 0;
    int site = cs_failpoint_site(name);
    CS_ASSERT(site >= 0);
    for (int i = 0; i < n_points; i++) {
        point *p = &points[i];
        if (!applies(p, site) || !fires(p))
            continue;
        if (p->kind == KILL)
            raise(SIGKILL);
        code = p->code;
        if (report)
            atomic_fetch_or(&report->sites, 1u << site);
    }
    return code;
}
