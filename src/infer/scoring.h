/* Logits and log-probabilities of given ids. */
#ifndef CS_INFER_SCORING_H
#define CS_INFER_SCORING_H

#include "infer/engine.h"

/* A context and its continuation in one row of ids. */
typedef struct cs_score_item {
    const int32_t *ids; /* [n]; ids[0..n_context) is the context, 1 <= n_context <= n; n - 1 ids at most fill the model's positions */
    int64_t n, n_context;
    double *token_logprob; /* [n - n_context], filled: natural log of p(id | everything before it) */
    double logprob;        /* filled: their sum */
    bool is_greedy;        /* filled: every one of them was the most likely token (lowest id among equals) */
} cs_score_item;

/* Scores n items, several in one forward call where they are short. CS_E_NOMEM; CS_E_NUMERIC when logits are not finite. */
cs_status cs_score(const cs_engine *e, cs_score_item *items, size_t n, cs_error *err);

/* Logits A [V] of one position; borrowed. */
typedef cs_status (*cs_logits_sink)(void *user, int64_t position, const void *logits, cs_error *err);
/* Calls `sink` for positions from, from+1, .. n-1 of ids[0..n) in order; memory does not grow with n beyond the key-value cache. n >= 1, at most the
 * model's positions. CS_E_NOMEM; what the sink returns. */
cs_status cs_logits_each(const cs_engine *e, const int32_t *ids, int64_t n, int64_t from, cs_logits_sink sink, void *user, cs_error *err);

#endif
