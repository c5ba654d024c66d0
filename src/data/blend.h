/* Blending of several data sets by weight: which set, and which of its samples, is the i-th sample of the blend. */
#ifndef CS_DATA_BLEND_H
#define CS_DATA_BLEND_H

#include "base/options.h"

/* "P" or "W1 P1 W2 P2 ...". prefix [n] borrows from the list; weight [n] adds up to 1 (1 alone for a plain "P"). */
typedef struct cs_blend_spec {
    size_t n;
    const char **prefix; /* owned */
    double *weight;      /* owned */
    bool weighted;       /* weights were given */
    double *from, *to;   /* owned [n]: the share of the documents that is meant, 0 <= from < to <= 1; NULL = nothing is said */
    char *text;          /* owned: what prefix borrows from, in place of a list */
} cs_blend_spec;
/* CS_E_USAGE for an empty or odd list, a weight that is no number >= 0, or weights with sum 0; CS_E_NOMEM. `flag`: for messages. */
cs_status cs_blend_spec_init(cs_blend_spec *s, const cs_strlist *data_path, const char *flag, cs_error *err);
/* The same of "NAME: W FROM:TO P, W FROM:TO P, .."; copies it. */
cs_status cs_blend_spec_parse(cs_blend_spec *s, const char *text, const char *flag, cs_error *err);
void cs_blend_spec_release(cs_blend_spec *s);

/* What each set is asked for when the blend must give n samples: ceil(n * weight * 1.005). */
int64_t cs_blend_ask(int64_t n, double weight);

/* Position i goes to the set whose weight*max(i,1) is most ahead of what it has given so far, the first of equals; sets are read in order.
 * Two bytes a sample and one counter a set for every 1024 samples. */
typedef struct cs_blend {
    size_t n_set;
    int64_t size;
    uint16_t *which;  /* [size], owned */
    int64_t *before;  /* [blocks, n_set] samples given before the block, owned */
} cs_blend;
/* weight [n_set], any positive sum, n_set <= 65535. CS_E_NOMEM. */
cs_status cs_blend_init(cs_blend *b, const double *weight, size_t n_set, int64_t size, cs_error *err);
void cs_blend_release(cs_blend *b);
/* 0 <= i < size. */
void cs_blend_at(const cs_blend *b, int64_t i, size_t *set, int64_t *index);

#endif
