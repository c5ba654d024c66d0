/* What happens to text before it is cut into pieces: a list of steps, each from one string to the next. */
#ifndef CS_TEXT_NORMALIZE_H
#define CS_TEXT_NORMALIZE_H

#include "text/charsmap.h"
#include "text/mapped.h"
#include "text/regex.h"
#include "text/trie.h"

#define CS_META "\xe2\x96\x81" /* U+2581, the visible space of SentencePiece */

typedef struct cs_bytes {
    const char *text;
    size_t len;
} cs_bytes;

typedef enum cs_norm_kind {
    CS_NORM_PREPEND,
    CS_NORM_REPLACE,
    CS_NORM_SPM,
    CS_NORM_REGEX,       /* REPLACE of what a regular expression matches */
    CS_NORM_STRIP,       /* white space at the ends */
    CS_NORM_LOWER,
    CS_NORM_NMT,         /* control characters dropped, other white space made blanks */
    CS_NORM_ACCENTS,     /* marks dropped */
    CS_NORM_BYTES,       /* GPT-2's byte alphabet */
    CS_NORM_FORM,        /* NFC, NFD, NFKC, NFKD */
    CS_NORM_PRECOMPILED, /* SentencePiece's character map as tokenizers applies it */
} cs_norm_kind;

/* SentencePiece's own normaliser. */
typedef struct cs_norm_spm {
    cs_charsmap map;
    const cs_trie *user; /* pieces that pass unchanged; NULL = none */
    bool dummy_prefix, remove_extra, escape, suffix;
    bool first_only;     /* the prefix goes only to a segment at the start of the text */
    bool plain[128];     /* ASCII that stays as it is in front of any ASCII (a space: as any space does); see cs_norm_spm_finish */
    bool free[256];      /* no rule is about text that begins with this byte */
} cs_norm_spm;

typedef struct cs_norm_step {
    cs_norm_kind kind;
    cs_bytes from, to;    /* PREPEND: to; REPLACE: both; REGEX: to */
    const cs_regex *re;
    bool left, right;     /* STRIP */
    bool compat, compose; /* FORM */
    cs_charsmap map;      /* PRECOMPILED */
    cs_norm_spm spm;
} cs_norm_step;

enum { CS_MAX_NORM_STEPS = 32 };

typedef struct cs_normalizer {
    cs_norm_step steps[CS_MAX_NORM_STEPS];
    size_t n_steps;
} cs_normalizer;

/* Fills `plain` and `free`; call when the rest is complete. Without it the result is the same, later. */
void cs_norm_spm_finish(cs_norm_spm *s);

/* One code point of a new text: 0 replaces one old code point, k > 0 is put in, k < 0 replaces 1 - k. */
typedef struct cs_norm_change {
    uint32_t cp;
    int32_t change;
    uint8_t combining;
} cs_norm_change;

typedef struct cs_norm_changes {
    cs_norm_change *list;
    size_t n, cap;
    bool failed;
} cs_norm_changes;

/* Memory of the calls. Zero-initialise; out.track and spare.track ask for ranges. */
typedef struct cs_norm_work {
    cs_mapped out, spare;
    cs_norm_changes changes;
    cs_regex_work regex;
} cs_norm_work;

/* Text (its ranges kept when the work's are) -> w->out. `first`: the segment begins the whole text, `base`: where it begins in it. CS_E_NOMEM,
 * CS_E_FORMAT (a pattern needs too many steps). */
cs_status cs_normalize(const cs_normalizer *n, cs_norm_work *w, cs_view text, bool first, uint32_t base, cs_error *err);
void cs_norm_work_release(cs_norm_work *w);
/* Appends text with every `from` (len >= 1) made `to`. */
void cs_replace_all(const char *text, size_t len, cs_bytes from, cs_bytes to, cs_str *out);

#endif
