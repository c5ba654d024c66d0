/* From one row of logits to the next token: transformers' processors in transformers' order
 * (repetition penalty, temperature, top-k, top-p, min-p), then a draw that is a pure function of (seed, prompt, step), so that
 * the same prompt gives the same text whatever shares its batch. All arithmetic in f64. */
#ifndef CS_INFER_SAMPLER_H
#define CS_INFER_SAMPLER_H

#include "base/dtype.h"
#include "base/error.h"

typedef struct cs_sampling {
    bool do_sample;            /* false: the largest logit after the repetition penalty, lowest id first among equals */
    double temperature;        /* > 0; logits are divided by it. 0 is accepted without do_sample, where it says the same */
    int64_t top_k;             /* keeps the k largest and whatever equals the k-th; 0 = all */
    double top_p;              /* keeps the most likely tokens up to and including the one that reaches p; 1 = all */
    double min_p;              /* drops tokens less likely than min_p times the most likely one; 0 = none */
    double repetition_penalty; /* > 0: positive logits of tokens seen so far are divided by it, others multiplied; 1 = none */
    uint64_t seed;
} cs_sampling;

/* Greedy, and for --do-sample the defaults of transformers and AscendSpeed: temperature 1, top-k 50, top-p 1. */
cs_sampling cs_sampling_default(void);
/* CS_E_USAGE with one line per value out of range. */
cs_status cs_sampling_check(const cs_sampling *how, cs_error *err);

typedef struct cs_candidate {
    double score;
    int32_t id;
} cs_candidate;

/* Scratch for one vocabulary; serves any number of sequences one after the other. */
typedef struct cs_sampler {
    int64_t vocab;
    double *score;      /* [vocab] */
    cs_candidate *kept; /* [vocab] */
    uint8_t *seen;      /* [vocab], all zero between calls */
} cs_sampler;

/* CS_E_NOMEM. */
cs_status cs_sampler_init(cs_sampler *s, int64_t vocab, cs_error *err);
void cs_sampler_release(cs_sampler *s);

/* Processed scores of one row: -INFINITY where a filter removed the token. `logits` [vocab] of type F32 or F64; `history` holds the prompt's and
 * the generated ids (each < vocab). Returns s->score, valid until the next call. NaN logits count as -INFINITY. Greedy: only the penalty applies. */
const double *cs_sampler_scores(cs_sampler *s, const cs_sampling *how, const void *logits, cs_dtype type, const int32_t *history, size_t n_history);

/* The next token; `prompt` is the number of the prompt in the whole input, `step` counts its new tokens from 0. -1 when no logit is finite. */
int32_t cs_sampler_next(cs_sampler *s, const cs_sampling *how, const void *logits, cs_dtype type, const int32_t *history, size_t n_history,
                        uint64_t prompt, uint64_t step);

#endif
