/* Cutting normalised text into the words that a model encodes one by one: a list of steps, each may change and cut what the step before
 * it made. */
#ifndef CS_TEXT_PRETOK_H
#define CS_TEXT_PRETOK_H

#include "text/normalize.h"

typedef enum cs_pretok_kind { CS_PRETOK_METASPACE, CS_PRETOK_BYTE_LEVEL } cs_pretok_kind;
typedef enum cs_prefix_scheme { CS_PREFIX_ALWAYS, CS_PREFIX_FIRST, CS_PREFIX_NEVER } cs_prefix_scheme;

typedef struct cs_pretok_step {
    cs_pretok_kind kind;
    cs_bytes meta;           /* METASPACE: what stands for a space */
    cs_prefix_scheme prefix; /* of the visible (METASPACE) or plain (BYTE_LEVEL) space */
    bool split;              /* METASPACE: cut before every `meta`; BYTE_LEVEL: cut as GPT-2 does */
} cs_pretok_step;

enum { CS_MAX_PRETOK_STEPS = 32 };

typedef struct cs_pretok {
    cs_pretok_step steps[CS_MAX_PRETOK_STEPS];
    size_t n_steps;
} cs_pretok;

/* Memory of the calls, one string per step. Zero-initialise; `track` of all asks for ranges. */
typedef struct cs_pretok_work {
    cs_mapped made[CS_MAX_PRETOK_STEPS];
} cs_pretok_work;

typedef cs_status cs_word_fn(void *context, cs_view word, cs_error *err);

/* Calls fn for every word (len >= 1) in order. `first`: text begins the whole input. CS_E_NOMEM and what fn returns. */
cs_status cs_pretok_run(const cs_pretok *p, cs_pretok_work *w, cs_view text, bool first, cs_word_fn *fn, void *context, cs_error *err);
void cs_pretok_work_release(cs_pretok_work *w);

#endif
