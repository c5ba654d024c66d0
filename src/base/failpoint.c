/* Counters behind the deliberate failures of failpoint.h. */
#include "base/failpoint.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_POINTS = 8 };

typedef struct point {
    char kind[8], what[12];
    long long at;
    bool sticky;
    atomic_llong calls;
} point;

static point points[MAX_POINTS];
static int n_points;

static bool parse_point(const char *text, size_t n, point *p)
{
    char buf[48];
    if (n >= sizeof buf)
        return false;
    memcpy(buf, text, n);
    buf[n] = '\0';
    if (sscanf(buf, "kill@%11[a-z]:%lld", p->what, &p->at) == 2) {
        strcpy(p->kind, "kill");
    } else if (sscanf(buf, "io:%11[a-z]@%lld", p->what, &p->at) == 2) {
        strcpy(p->kind, "io");
    } else if (sscanf(buf, "mem@%lld", &p->at) == 1) {
        strcpy(p->kind, "mem");
    } else {
        return false;
    }
    p->sticky = buf[n - 1] == '+';
    return p->at > 0;
}

cs_status cs_failpoint_arm(const char *spec, cs_error *err)
{
    n_points = 0;
    while (spec && *spec) {
        size_t n = strcspn(spec, ",");
        if (n_points == MAX_POINTS || !parse_point(spec, n, &points[n_points]))
            return cs_fail(err, CS_E_USAGE, "FAIL: cannot read failpoint '%.*s'; expected mem@N, io:KIND@N or kill@SITE:N", (int)n, spec);
        atomic_store(&points[n_points].calls, 0);
        n_points++;
        spec += n + (spec[n] == ',');
    }
    return CS_OK;
}

static bool fires(point *p)
{
    long long call = atomic_fetch_add(&p->calls, 1) + 1;
    return call == p->at || (p->sticky && call > p->at);
}

bool cs_failpoint(const char *kind)
{
    bool hit = false;
    for (int i = 0; i < n_points; i++)
        if (strcmp(points[i].kind, kind) == 0 && fires(&points[i]))
            hit = true;
    return hit;
}

static int error_of(const char *what)
{
    if (strcmp(what, "enospc") == 0)
        return ENOSPC;
    if (strcmp(what, "eintr") == 0)
        return EINTR;
    if (strcmp(what, "short") == 0)
        return -1;
    return EIO;
}

int cs_failpoint_io(const char *site)
{
    int code = 0;
    for (int i = 0; i < n_points; i++) {
        point *p = &points[i];
        if (strcmp(p->kind, "kill") == 0 && strcmp(p->what, site) == 0 && fires(p))
            raise(SIGKILL);
        if (strcmp(p->kind, "io") == 0 && fires(p))
            code = error_of(p->what);
    }
    return code;
}
