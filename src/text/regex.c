/* Running patterns with PCRE2. Hostile patterns must not hang: every attempt at a position has a limit of steps. The first one is low, and a
 * search that hits it is done again position by position with higher limits, which a whole call may use only so often. */
#include "text/regex.h"

#include "base/mem.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    MAX_PATTERN = 1 << 16,
    FIRST_LIMIT = 256,
    LAST_LIMIT = 32 << 20, /* each higher limit is twice the one before */
    HEAP_KIB = 32 << 10,
    STACK_START = 32 << 10,
    STACK_MAX = 1 << 20,
};
#define BUDGET ((uint64_t)1 << 25) /* steps of one call with higher limits than the first: a second or so */

struct cs_regex {
    pcre2_code *code;
};

static void *take(PCRE2_SIZE n, void *data)
{
    (void)data;
    return cs_malloc(n);
}

static void give(void *p, void *data)
{
    (void)data;
    cs_free(p);
}

static cs_status compile(const cs_str *text, pcre2_code **out, cs_error *why)
{
    cs_status status = CS_E_NOMEM;
    pcre2_general_context *general = pcre2_general_context_create(take, give, NULL);
    pcre2_compile_context *c = general ? pcre2_compile_context_create(general) : NULL;
    if (c) {
        int code;
        PCRE2_SIZE at;
        pcre2_set_newline(c, PCRE2_NEWLINE_LF);
        pcre2_set_bsr(c, PCRE2_BSR_UNICODE);
        pcre2_set_parens_nest_limit(c, 100);
        const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
        *out = pcre2_compile((PCRE2_SPTR)cs_str_cstr(text), text->len, options, &code, &at, c);
        status = CS_OK;
        if (!*out && code == PCRE2_ERROR_HEAP_FAILED) {
            status = CS_E_NOMEM;
        } else if (!*out) {
            PCRE2_UCHAR message[160];
            pcre2_get_error_message(code, message, sizeof message);
            status = cs_fail(why, CS_E_FORMAT, "%s", (char *)message);
        }
        if (*out)
            pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* where there is none, the interpreter does it */
    }
    pcre2_compile_context_free(c);
    pcre2_general_context_free(general);
    return status == CS_E_NOMEM ? cs_fail_nomem(why, text->len, "a pattern") : status;
}

cs_status cs_regex_create(const char *pattern, size_t len, cs_regex **out, cs_error *why)
{
    cs_str text = {0};
    if (len > MAX_PATTERN)
        return cs_fail(why, CS_E_FORMAT, "a pattern of %zu bytes, more than %d are not supported", len, MAX_PATTERN);
    cs_regex *re = cs_calloc(1, sizeof *re);
    cs_status status = re ? cs_regex_translate(pattern, len, &text, why) : cs_fail_nomem(why, sizeof *re, "a pattern");
    if (status == CS_OK && text.len > 16 * MAX_PATTERN)
        status = cs_fail(why, CS_E_FORMAT, "the pattern is too large");
    if (status == CS_OK)
        status = cs_str_check(&text, why);
    if (status == CS_OK)
        status = compile(&text, &re->code, why);
    cs_str_release(&text);
    if (status != CS_OK) {
        cs_regex_destroy(re);
        return status;
    }
    *out = re;
    return CS_OK;
}

void cs_regex_destroy(cs_regex *re)
{
    if (!re)
        return;
    pcre2_code_free(re->code);
    cs_free(re);
}

void cs_regex_work_release(cs_regex_work *w)
{
    pcre2_match_data_free(w->match);
    pcre2_match_context_free(w->context);
    pcre2_jit_stack_free(w->stack);
    *w = (cs_regex_work){0};
}

/* One match data block serves all patterns: only the match itself is asked for. */
static cs_status prepare(cs_regex_work *w, cs_error *err)
{
    if (w->match)
        return CS_OK;
    pcre2_general_context *general = pcre2_general_context_create(take, give, NULL);
    w->match = general ? pcre2_match_data_create(1, general) : NULL;
    w->context = general ? pcre2_match_context_create(general) : NULL;
    w->stack = general ? pcre2_jit_stack_create(STACK_START, STACK_MAX, general) : NULL; /* NULL where there is no JIT */
    pcre2_general_context_free(general);
    if (!w->match || !w->context) {
        cs_regex_work_release(w);
        return cs_fail_nomem(err, 1, "a pattern's match");
    }
    pcre2_set_heap_limit(w->context, HEAP_KIB);
    if (w->stack)
        pcre2_jit_stack_assign(w->context, NULL, w->stack);
    return CS_OK;
}

static int try_match(const cs_regex_scan *s, size_t at, uint32_t limit, uint32_t options)
{
    cs_regex_work *w = s->work;
    pcre2_set_match_limit(w->context, limit);
    pcre2_set_depth_limit(w->context, limit);
    return pcre2_match(s->re->code, (PCRE2_SPTR)s->text, s->len, at, options | PCRE2_NO_UTF_CHECK, w->match, w->context);
}

static bool is_limit(int rc)
{
    return rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT || rc == PCRE2_ERROR_JIT_STACKLIMIT;
}

static size_t next_char(const cs_regex_scan *s, size_t at)
{
    at++;
    while (at < s->len && ((uint8_t)s->text[at] & 0xc0) == 0x80)
        at++;
    return at;
}

/* Match at exactly this position with rising limits, from the one that was enough the last time. */
static int match_here(const cs_regex_scan *s, size_t at)
{
    cs_regex_work *w = s->work;
    int rc = try_match(s, at, FIRST_LIMIT, PCRE2_ANCHORED | PCRE2_NO_JIT);
    if (!is_limit(rc))
        return rc;
    for (w->level = w->level ? w->level : 2 * FIRST_LIMIT; is_limit(rc) && w->level <= LAST_LIMIT && w->spent + w->level <= BUDGET; w->level *= 2) {
        w->spent += w->level;
        rc = try_match(s, at, w->level, PCRE2_ANCHORED | PCRE2_NO_JIT);
        if (!is_limit(rc))
            break;
    }
    return rc;
}

/* The first match at or behind `at`. */
static int search(const cs_regex_scan *s, size_t at)
{
    for (;;) {
        int rc = try_match(s, at, FIRST_LIMIT, 0);
        if (!is_limit(rc))
            return rc;
        bool hard = false;
        for (; !hard && at <= s->len; at = next_char(s, at)) { /* up to the position that is hard */
            uint64_t before = s->work->spent;
            rc = match_here(s, at);
            if (rc != PCRE2_ERROR_NOMATCH)
                return rc;
            hard = s->work->spent > before;
        }
        if (at > s->len)
            return PCRE2_ERROR_NOMATCH;
    }
}

cs_status cs_regex_next(cs_regex_scan *s, size_t *begin, size_t *end, bool *found, cs_error *err)
{
    *found = false;
    CS_TRY(prepare(s->work, err));
    while (s->at <= s->len) {
        int rc = search(s, s->at);
        if (rc == PCRE2_ERROR_NOMATCH)
            return CS_OK;
        if (is_limit(rc))
            return cs_fail(err, CS_E_FORMAT, "the tokenizer's pattern needs too many steps on this text, at byte %zu of %zu", s->at, s->len);
        if (rc == PCRE2_ERROR_NOMEMORY)
            return cs_fail_nomem(err, s->len, "a pattern's match");
        if (rc < 0)
            return cs_fail(err, CS_E_FORMAT, "the tokenizer's pattern fails on this text with PCRE2's code %d", rc);
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(s->work->match);
        if (range[0] == range[1] && range[1] == s->last_end) {
            s->at = s->at < s->len ? next_char(s, s->at) : s->len + 1;
            continue;
        }
        *begin = range[0];
        *end = range[1];
        *found = true;
        s->at = s->last_end = range[1];
        return CS_OK;
    }
    return CS_OK;
}
