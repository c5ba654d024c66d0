/* Index maps of fuzzed corpora. The first part of the input gives the sizes (see `take`), the second damages the cached .npy files.
 *   built    every document as often as it must be, every sample where a walk over all tokens one by one puts it, shuffle a permutation that
 *            keeps the last epoch apart when it is short, the same maps again from the same key
 *   cached   saved and loaded they are the same; damaged files are refused, or are a map of the same kind */
// seeds: tests/fuzz/corpus/indexmap/*
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "data/indexmap.h"

#include <stdio.h>
#include <string.h>

enum { HEAD = 14, MAX_SEQ = 512, MAX_WORK = 1 << 16 };

/* seq u16 | n_wanted u16 | seed u32 | split lo, hi u16 | 2 spare | one length byte a document; 0xff is a long one. The .idx is made in memory. */
static bool take(const fuzz_part *p, cs_indexmap_key *key, cs_idx *ix, uint8_t **owned)
{
    uint16_t head[HEAD / 2];
    if (p->n <= HEAD)
        return false;
    memcpy(head, p->bytes, HEAD);
    int64_t n = (int64_t)(p->n - HEAD) < MAX_SEQ ? (int64_t)(p->n - HEAD) : MAX_SEQ, tokens = 0;
    uint8_t *lengths = cs_malloc((size_t)n * 4);
    FUZZ_CHECK(lengths);
    *owned = lengths;
    for (int64_t i = 0; i < n; i++) {
        int32_t len = p->bytes[HEAD + i] == 0xff ? 700 : p->bytes[HEAD + i] % 40;
        memcpy(lengths + i * 4, &len, 4);
        tokens += len;
    }
    *ix = (cs_idx){.name = "f.idx", .n_seq = n, .n_doc = n + 1, .n_tokens = tokens, .dtype = CS_U16, .lengths = lengths};
    int64_t lo = head[4] % (n + 1), hi = lo + head[5] % (n - lo + 1);
    *key = (cs_indexmap_key){.idx = ix, .lo = lo, .hi = hi, .n_wanted = 1 + head[1] % 3000, .seq_length = 1 + head[0] % 300,
                             .seed = (int64_t)head[2] << 16 | head[3]};
    return key->n_wanted * key->seq_length < MAX_WORK * 4;
}

static void check_doc(const cs_indexmap *m, const cs_indexmap_key *key)
{
    int64_t count[MAX_SEQ] = {0}, first = m->plan.separate_last_epoch ? m->plan.n_doc - (key->hi - key->lo) : 0;
    for (int64_t i = 0; i < m->plan.n_doc; i++) {
        FUZZ_CHECK(m->doc[i] >= key->lo && m->doc[i] < key->hi);
        count[m->doc[i]]++;
    }
    for (int64_t d = key->lo; d < key->hi; d++)
        FUZZ_CHECK(count[d] == m->plan.epochs);
    memset(count, 0, sizeof count);
    for (int64_t i = first; first > 0 && i < m->plan.n_doc; i++)
        FUZZ_CHECK(++count[m->doc[i]] == 1);
}

/* Token number k * seq_length of the documents laid end to end is where sample k starts. */
static void check_sample(const cs_indexmap *m, const cs_indexmap_key *key)
{
    int64_t token = 0, k = 0;
    for (int64_t p = 0; p < m->plan.n_doc && k <= m->plan.n_sample; p++) {
        int64_t len = cs_idx_length(key->idx, m->doc[p]);
        for (int64_t o = 0; o < len && k <= m->plan.n_sample; o++, token++) {
            int64_t position, offset;
            if (token != k * key->seq_length)
                continue;
            cs_indexmap_start(m, k, &position, &offset);
            if (k == 0) { /* (0, 0) also when the first documents are empty */
                FUZZ_CHECK(position == 0 && offset == 0);
            } else {
                FUZZ_CHECK(position == p && offset == o);
            }
            k++;
        }
    }
    FUZZ_CHECK(k == m->plan.n_sample + 1 && m->plan.n_sample >= key->n_wanted);
}

static void check_shuffle(const cs_indexmap *m)
{
    int64_t n = m->plan.n_sample, first = m->plan.n_first;
    bool *seen = cs_calloc((size_t)n + 1, sizeof *seen);
    FUZZ_CHECK(seen && first <= n);
    for (int64_t i = 0; i < n; i++) {
        int64_t v = cs_indexmap_shuffled(m, i);
        FUZZ_CHECK(v >= 0 && v < n && !seen[v] && (v < first) == (i < first));
        seen[v] = true;
    }
    cs_free(seen);
}

static void check_all(const cs_indexmap *m, const cs_indexmap_key *key)
{
    check_doc(m, key);
    check_sample(m, key);
    check_shuffle(m);
}

static bool same(const cs_indexmap *a, const cs_indexmap *b)
{
    const cs_indexmap_plan *p = &a->plan;
    return memcmp(a->doc, b->doc, (size_t)p->n_doc * 4) == 0 && memcmp(a->sample, b->sample, (size_t)(p->n_sample + 1) * (p->wide_sample ? 16 : 8)) == 0
           && memcmp(a->shuffle, b->shuffle, (size_t)p->n_sample * (p->wide_shuffle ? 8 : 4)) == 0;
}

/* Five bytes a change: file, place u24, new byte. */
static void damage(const cs_indexmap *m, const fuzz_part *p)
{
    for (size_t i = 0; i + 5 <= p->n; i += 5) {
        const uint8_t *c = p->bytes + i;
        int kind = c[0] % 3;
        FILE *f = fopen(m->paths[kind], "r+b");
        FUZZ_CHECK(f);
        if (fseek(f, (long)(c[1] | (uint32_t)c[2] << 8 | (uint32_t)c[3] << 16) % ((long)m->maps[kind].size + 1), SEEK_SET) == 0)
            fputc(c[4], f);
        fclose(f);
    }
}

static void through_files(const cs_indexmap *built, const cs_indexmap_key *key, const fuzz_part *changes)
{
    char prefix[600];
    cs_indexmap loaded, again;
    cs_error err = {0};
    snprintf(prefix, sizeof prefix, "%s/f", fuzz_dir());
    FUZZ_CHECK(cs_indexmap_save(built, key, prefix, "train", &err) == CS_OK && cs_indexmap_load(&loaded, key, prefix, "train", &err) == CS_OK);
    FUZZ_CHECK(same(built, &loaded));
    damage(&loaded, changes);
    cs_status s = cs_indexmap_load(&again, key, prefix, "train", &err);
    if (s == CS_OK) {
        check_all(&again, key);
        cs_indexmap_release(&again);
    } else {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
    }
    for (int i = 0; i < 3; i++)
        remove(loaded.paths[i]);
    cs_indexmap_release(&loaded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_part part[2];
    cs_indexmap_key key;
    cs_idx ix;
    cs_indexmap first, second;
    cs_error err = {0};
    uint8_t *lengths = NULL;
    fuzz_split(data, size, part, 2);
    if (take(&part[0], &key, &ix, &lengths)) {
        cs_status s = cs_indexmap_build(&first, &key, &err);
        if (s == CS_OK) {
            check_all(&first, &key);
            FUZZ_CHECK(cs_indexmap_build(&second, &key, &err) == CS_OK && same(&first, &second));
            cs_indexmap_release(&second);
            if (part[1].n > 0)
                through_files(&first, &key, &part[1]);
            cs_indexmap_release(&first);
        } else {
            FUZZ_CHECK(fuzz_refused(s, CS_E_USAGE, &err));
        }
    }
    cs_free(lengths);
    return 0;
}
