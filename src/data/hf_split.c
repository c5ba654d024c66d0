/* The splits of load_dataset: NAME, NAME[from:to] with record numbers or percents, several with + between. See hf_params.h. */
#include "data/hf_params.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct text {
    const char *all, *at, *file;
} text;

static cs_status fail(const text *t, const char *expected, cs_error *err)
{
    return cs_fail(err, CS_E_FORMAT, "%s: split \"%s\": expected %s at character %d; as in train, train[:100], train[10%%:20%%], train+test", t->file,
                   t->all, expected, (int)(t->at - t->all) + 1);
}

/* A number or nothing. */
static cs_status bound(text *t, cs_input_bound *out, cs_error *err)
{
    char *end;
    *out = (cs_input_bound){0};
    if (*t->at == ':' || *t->at == ']')
        return CS_OK;
    errno = 0;
    long long value = isdigit((unsigned char)t->at[*t->at == '-']) ? strtoll(t->at, &end, 10) : 0;
    if (!isdigit((unsigned char)t->at[*t->at == '-']) || errno != 0)
        return fail(t, "a number", err);
    *out = (cs_input_bound){true, *end == '%', value};
    if (out->percent && (value > 100 || value < -100))
        return fail(t, "percents from -100 to 100", err);
    t->at = end + out->percent;
    return CS_OK;
}

static cs_status one(text *t, cs_arena *perm, cs_input_part *part, const char **name, cs_error *err)
{
    size_t n = strcspn(t->at, "[+");
    while (n > 0 && t->at[n - 1] == ' ')
        n--;
    if (n == 0)
        return fail(t, "the name of a split", err);
    *name = cs_arena_printf(perm, "%.*s", (int)n, t->at);
    if (!*name)
        return cs_fail_nomem(err, n, "a split");
    t->at += n;
    if (*t->at != '[')
        return CS_OK;
    t->at++;
    CS_TRY(bound(t, &part->from, err));
    if (*t->at != ':')
        return fail(t, "':'", err);
    t->at++;
    CS_TRY(bound(t, &part->to, err));
    if (*t->at != ']')
        return fail(t, "']'", err);
    t->at++;
    return CS_OK;
}

cs_status cs_hf_split_parse(const char *split, const char *file, cs_arena *perm, cs_inputs *out, const char ***names, cs_error *err)
{
    text t = {split, split, file};
    size_t n = 1;
    for (const char *p = split; *p; p++)
        n += *p == '+';
    *out = (cs_inputs){.parts = cs_arena_calloc(perm, n, sizeof *out->parts), .n = n};
    *names = cs_arena_calloc(perm, n, sizeof **names);
    if (!out->parts || !*names)
        return cs_fail_nomem(err, n * sizeof *out->parts, "the splits");
    for (size_t i = 0; i < n; i++) {
        t.at += strspn(t.at, " ");
        CS_TRY(one(&t, perm, &out->parts[i], &(*names)[i], err));
        t.at += strspn(t.at, " ");
        if (*t.at != (i + 1 < n ? '+' : '\0'))
            return fail(&t, i + 1 < n ? "'+'" : "the end", err);
        t.at += i + 1 < n;
    }
    return CS_OK;
}
