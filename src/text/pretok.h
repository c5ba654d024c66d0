/* Cutting normalised text into the words that a model encodes one by one: a list of steps, each may change and cut what the step before
 * it made. */
#ifndef CS_TEXT_PRETOK_H
#define CS_TEXT_PRETOK_H

#include "text/normalize.h"
#include "text/regex.h"
#include "text/wordsplit.h"

typedef enum cs_pretok_kind { CS_PRETOK_METASPACE, CS_PRETOK_BYTE_LEVEL, CS_PRETOK_BYTE_MAP, CS_PRETOK_SPLIT, CS_PRETOK_FIXED } cs_pretok_kind;
typedef enum cs_prefix_scheme { CS_PREFIX_ALWAYS, CS_PREFIX_FIRST, CS_PREFIX_NEVER } cs_prefix_scheme;
/* What becomes of a match: cut out, a word, part of the word before or behind it, one word with the matches beside it. */
typedef enum cs_split_behavior { CS_SPLIT_REMOVED, CS_SPLIT_ISOLATED, CS_SPLIT_PREVIOUS, CS_SPLIT_NEXT, CS_SPLIT_CONTIGUOUS } cs_split_behavior;

/* What a SPLIT looks for; exactly one of the first four is set. */
typedef struct cs_finder {
    cs_bytes literal;
    const cs_regex *re;
    cs_split_fn *scan;
    bool (*is)(uint32_t cp); /* each code point of a kind is a match */
    cs_bytes pattern;        /* of `re` and `scan`: the regular expression itself */
} cs_finder;

typedef struct cs_pretok_step {
    cs_pretok_kind kind;
    cs_bytes meta;           /* METASPACE: what stands for a space */
    cs_prefix_scheme prefix; /* of the visible (METASPACE) or plain (BYTE_LEVEL) space */
    bool split;              /* METASPACE: cut before every `meta`; BYTE_LEVEL: cut as GPT-2 does (BYTE_MAP then shows the bytes) */
    bool invert;             /* SPLIT: what is not a match is one */
    cs_finder find;
    cs_split_behavior behavior;
    size_t length;           /* FIXED: code points of a word */
} cs_pretok_step;

enum { CS_MAX_PRETOK_STEPS = 32 };

typedef struct cs_pretok {
    cs_pretok_step steps[CS_MAX_PRETOK_STEPS];
    size_t n_steps;
} cs_pretok;

/* Memory of the calls, one string per step. Zero-initialise; `track` of all asks for ranges. */
typedef struct cs_pretok_work {
    cs_mapped made[CS_MAX_PRETOK_STEPS];
    cs_regex_work regex;
} cs_pretok_work;

typedef cs_status cs_word_fn(void *context, cs_view word, cs_error *err);

/* Calls fn for every word (len >= 1) in order. `first`: text begins the whole input; with ranges these tell. CS_E_NOMEM, CS_E_FORMAT (a pattern
 * needs too many steps), and what fn returns. */
cs_status cs_pretok_run(const cs_pretok *p, cs_pretok_work *w, cs_view text, bool first, cs_word_fn *fn, void *context, cs_error *err);
void cs_pretok_work_release(cs_pretok_work *w);

#endif
