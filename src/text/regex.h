/* Regular expressions of tokenizer.json: written for Oniguruma, run by PCRE2. */
#ifndef CS_TEXT_REGEX_H
#define CS_TEXT_REGEX_H

#include "base/str.h"

typedef struct cs_regex cs_regex;

/* Compiles an Oniguruma pattern (Ruby flavour, as tokenizers uses it). *why (not NULL) gets what is wrong with it. CS_E_FORMAT, CS_E_NOMEM;
 * destroy(NULL) is fine. Read-only afterwards. */
cs_status cs_regex_create(const char *pattern, size_t len, cs_regex **out, cs_error *why);
void cs_regex_destroy(cs_regex *re);

/* Memory and spent effort of one call, shared by all its patterns. Zero-initialise. */
typedef struct cs_regex_work {
    void *match, *context, *stack; /* PCRE2's */
    uint64_t spent;
    uint32_t level; /* the limit that was enough the last time */
} cs_regex_work;
void cs_regex_work_release(cs_regex_work *w);

/* Goes through the matches as tokenizers does: leftmost, not overlapping, no empty match right behind another match. */
typedef struct cs_regex_scan {
    const cs_regex *re;
    cs_regex_work *work;
    const char *text; /* well-formed UTF-8 */
    size_t len, at;
    size_t last_end;  /* of the match before; SIZE_MAX = none */
} cs_regex_scan;
/* *begin and *end of the next match, *found = false behind the last one. CS_E_FORMAT when the pattern needs too many steps, CS_E_NOMEM. */
cs_status cs_regex_next(cs_regex_scan *s, size_t *begin, size_t *end, bool *found, cs_error *err);

/* Oniguruma's syntax to PCRE2's (UTF, UCP, MULTILINE), appended to *out. CS_E_FORMAT saying what is not supported,
 * CS_E_NOMEM. */
cs_status cs_regex_translate(const char *pattern, size_t len, cs_str *out, cs_error *why);

#endif
