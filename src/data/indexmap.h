/* Megatron's three index maps of one split: which documents, in which order, cut where, and read in which order.
 * Documents are laid end to end in doc order, `epochs` times; sample k takes seq_length + 1 tokens and overlaps its neighbours by one.
 *   doc      [n_doc]        document (= sequence of the .idx), each of the split's `epochs` times
 *   sample   [n_sample+1,2] (position in doc, token offset in that document) where sample k starts
 *   shuffle  [n_sample]     the k-th sample handed out is sample shuffle[k]
 * Drawn from one RandomState(seed) in that order, hence a pure function of (lengths, split, n, seq_length, seed). */
#ifndef CS_DATA_INDEXMAP_H
#define CS_DATA_INDEXMAP_H

#include "fmt/idxbin.h"

/* What determines the maps. */
typedef struct cs_indexmap_key {
    const cs_idx *idx;
    int64_t lo, hi;     /* documents [lo, hi) */
    int64_t n_wanted;   /* samples asked for, >= 1 */
    int64_t seq_length; /* >= 1 */
    int64_t seed;       /* 0 .. 2^32-1 */
} cs_indexmap_key;

/* Derived sizes. */
typedef struct cs_indexmap_plan {
    int64_t tokens;   /* of one epoch */
    int64_t epochs;   /* least E with (E*tokens-1)/seq_length >= n_wanted */
    int64_t n_doc, n_sample;
    int64_t n_first;  /* samples shuffled among themselves first; the rest apart. n_sample = all together */
    bool separate_last_epoch;
    bool wide_sample, wide_shuffle; /* i64 in place of i32 and u32, where those overflow */
} cs_indexmap_plan;
/* CS_E_USAGE when the split holds fewer than seq_length + 1 tokens (message: file, what it has, what is needed). */
cs_status cs_indexmap_plan_init(cs_indexmap_plan *p, const cs_indexmap_key *key, cs_error *err);

typedef struct cs_indexmap {
    cs_indexmap_plan plan;
    const int32_t *doc;
    const void *sample;  /* int32_t or int64_t pairs */
    const void *shuffle; /* uint32_t or int64_t */
    void *owned[3];      /* when built in memory */
    cs_map maps[3];      /* when mapped from the cache */
    char *paths[3];
} cs_indexmap;

/* Builds all three in memory. CS_E_USAGE as above, CS_E_NOMEM. */
cs_status cs_indexmap_build(cs_indexmap *m, const cs_indexmap_key *key, cs_error *err);
/* Maps PREFIX_NAME_indexmap_{n}ns_{seq}sl_{seed}s_{doc,sample,shuffle}_idx.npy after checking that types and shapes are right, that doc holds
 * each document of the split `epochs` times, that sample is what doc gives, and that shuffle is a permutation of the right kind.
 * CS_E_FORMAT, CS_E_IO when they cannot be used. */
cs_status cs_indexmap_load(cs_indexmap *m, const cs_indexmap_key *key, const char *prefix, const char *name, cs_error *err);
/* Writes the three files, each atomically. CS_E_IO. */
cs_status cs_indexmap_save(const cs_indexmap *m, const cs_indexmap_key *key, const char *prefix, const char *name, cs_error *err);
void cs_indexmap_release(cs_indexmap *m);

/* Moves (*position, *offset) on by one sample. A border on the last token of a document stays there, as in Megatron: the next sample
 * starts with that token. Documents of `doc` from *position on must hold enough tokens. */
void cs_indexmap_advance(const cs_indexmap_key *key, const int32_t *doc, int64_t *position, int64_t *offset);

/* Start of sample k, 0 <= k <= n_sample. */
static inline void cs_indexmap_start(const cs_indexmap *m, int64_t k, int64_t *position, int64_t *offset)
{
    if (m->plan.wide_sample) {
        *position = ((const int64_t *)m->sample)[2 * k];
        *offset = ((const int64_t *)m->sample)[2 * k + 1];
    } else {
        *position = ((const int32_t *)m->sample)[2 * k];
        *offset = ((const int32_t *)m->sample)[2 * k + 1];
    }
}

static inline int64_t cs_indexmap_shuffled(const cs_indexmap *m, int64_t k)
{
    return m->plan.wide_shuffle ? ((const int64_t *)m->shuffle)[k] : (int64_t)((const uint32_t *)m->shuffle)[k];
}

#endif
