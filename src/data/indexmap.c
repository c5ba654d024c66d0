/* Building of the index maps. Invariant: the draws from the generator are doc order (all epochs, or all but the last and then the last),
 * then shuffle (the same two parts), nothing else. */
#include "data/indexmap.h"

#include "base/mem.h"
#include "data/mt19937.h"

cs_status cs_indexmap_plan_init(cs_indexmap_plan *p, const cs_indexmap_key *key, cs_error *err)
{
    int64_t seq = key->seq_length;
    *p = (cs_indexmap_plan){0};
    CS_ASSERT(key->n_wanted >= 1 && seq >= 1 && key->lo >= 0 && key->lo <= key->hi && key->hi <= key->idx->n_seq);
    for (int64_t d = key->lo; d < key->hi; d++)
        p->tokens += cs_idx_length(key->idx, d);
    if (p->tokens < seq + 1)
        return cs_fail(err, CS_E_USAGE, "%s: documents %lld to %lld of %lld hold %lld tokens, one sample of --seq-length %lld needs %lld; use more "
                       "text, a larger share in --split or a shorter --seq-length", key->idx->name, (long long)key->lo, (long long)key->hi,
                       (long long)key->idx->n_seq, (long long)p->tokens, (long long)seq, (long long)(seq + 1));
    if (key->hi > INT32_MAX)
        return cs_fail(err, CS_E_FORMAT, "%s: document %lld; index maps hold 32-bit document numbers", key->idx->name, (long long)key->hi);
    int64_t need; /* least E with E*tokens >= n*seq + 1 */
    if (__builtin_mul_overflow(key->n_wanted, seq, &need) || __builtin_add_overflow(need, 1 + p->tokens, &need))
        return cs_fail(err, CS_E_USAGE, "%lld samples of %lld tokens are more than 2^63 tokens", (long long)key->n_wanted, (long long)seq);
    p->epochs = (need - 1) / p->tokens;
    if (__builtin_mul_overflow(p->epochs, key->hi - key->lo, &p->n_doc))
        return cs_fail(err, CS_E_USAGE, "%s: %lld epochs of it are too many", key->idx->name, (long long)p->epochs);
    p->n_sample = (p->epochs * p->tokens - 1) / seq;
    p->n_first = p->n_sample;
    if (p->epochs > 1) {
        int64_t before = ((p->epochs - 1) * p->tokens - 1) / seq, one = (p->tokens - 1) / seq;
        p->separate_last_epoch = key->n_wanted - before < (int64_t)(0.80 * (double)one);
        if (p->separate_last_epoch)
            p->n_first = before;
    }
    p->wide_sample = p->n_doc > INT32_MAX;
    p->wide_shuffle = p->n_sample >= (int64_t)UINT32_MAX - 1;
    return CS_OK;
}

static void build_doc(int32_t *doc, const cs_indexmap_key *key, const cs_indexmap_plan *p, cs_mt19937 *g)
{
    int64_t n = key->hi - key->lo, first = p->separate_last_epoch ? p->n_doc - n : p->n_doc;
    for (int64_t i = 0; i < p->n_doc; i++)
        doc[i] = (int32_t)(key->lo + i % n);
    cs_mt19937_shuffle_i32(g, doc, first);
    if (first < p->n_doc)
        cs_mt19937_shuffle_i32(g, doc + first, n);
}

void cs_indexmap_advance(const cs_indexmap_key *key, const int32_t *doc, int64_t *position, int64_t *offset)
{
    int64_t left = key->seq_length + 1;
    for (;;) {
        int64_t rest = cs_idx_length(key->idx, doc[*position]) - *offset;
        left -= rest;
        if (left <= 0) {
            *offset += left + rest - 1;
            return;
        }
        ++*position;
        *offset = 0;
    }
}

static void build_sample(void *sample, const cs_indexmap_key *key, const cs_indexmap_plan *p, const int32_t *doc)
{
    int64_t position = 0, offset = 0;
    for (int64_t k = 0;; k++) {
        if (p->wide_sample) {
            ((int64_t *)sample)[2 * k] = position;
            ((int64_t *)sample)[2 * k + 1] = offset;
        } else {
            ((int32_t *)sample)[2 * k] = (int32_t)position;
            ((int32_t *)sample)[2 * k + 1] = (int32_t)offset;
        }
        if (k == p->n_sample)
            return;
        cs_indexmap_advance(key, doc, &position, &offset);
    }
}

static void build_shuffle(void *shuffle, const cs_indexmap_plan *p, cs_mt19937 *g)
{
    int64_t *wide = shuffle, rest = p->n_sample - p->n_first;
    uint32_t *narrow = shuffle;
    if (p->wide_shuffle) {
        for (int64_t i = 0; i < p->n_sample; i++)
            wide[i] = i;
        cs_mt19937_shuffle_i64(g, wide, p->n_first);
        cs_mt19937_shuffle_i64(g, wide + p->n_first, rest);
        return;
    }
    for (int64_t i = 0; i < p->n_sample; i++)
        narrow[i] = (uint32_t)i;
    cs_mt19937_shuffle_u32(g, narrow, p->n_first);
    cs_mt19937_shuffle_u32(g, narrow + p->n_first, rest);
}

cs_status cs_indexmap_build(cs_indexmap *m, const cs_indexmap_key *key, cs_error *err)
{
    size_t bytes[3];
    *m = (cs_indexmap){0};
    CS_TRY(cs_indexmap_plan_init(&m->plan, key, err));
    const cs_indexmap_plan *p = &m->plan;
    bool ok = cs_mul_checked((size_t)p->n_doc, 4, &bytes[0]);
    ok &= cs_mul_checked((size_t)p->n_sample + 1, p->wide_sample ? 16 : 8, &bytes[1]);
    ok &= cs_mul_checked((size_t)p->n_sample, p->wide_shuffle ? 8 : 4, &bytes[2]);
    for (int i = 0; i < 3; i++) {
        m->owned[i] = ok ? cs_malloc(bytes[i]) : NULL;
        if (!m->owned[i]) {
            cs_indexmap_release(m);
            return cs_fail_nomem(err, bytes[i], "an index map");
        }
    }
    cs_mt19937 g;
    cs_mt19937_init(&g, (uint32_t)key->seed);
    build_doc(m->owned[0], key, p, &g);
    build_sample(m->owned[1], key, p, m->owned[0]);
    build_shuffle(m->owned[2], p, &g);
    m->doc = m->owned[0];
    m->sample = m->owned[1];
    m->shuffle = m->owned[2];
    return CS_OK;
}

void cs_indexmap_release(cs_indexmap *m)
{
    for (int i = 0; i < 3; i++) {
        cs_free(m->owned[i]);
        if (m->paths[i])
            cs_map_release(&m->maps[i]);
        cs_free(m->paths[i]);
    }
    *m = (cs_indexmap){0};
}
