/* A few slots; a thread that finds them all empty makes a new one, one that finds them all full frees its own. */
#include "text/tok_work.h"

#include "base/mem.h"

#include <stdatomic.h>

enum { SLOTS = 64, KEEP_BYTES = 1 << 22 };

struct cs_tok_pool {
    _Atomic(cs_tok_work *) slots[SLOTS];
};

cs_tok_pool *cs_tok_pool_create(void)
{
    return cs_calloc(1, sizeof(cs_tok_pool));
}

static void destroy_work(cs_tok_work *w)
{
    cs_bpe_work_release(&w->bpe);
    cs_unigram_work_release(&w->unigram);
    cs_norm_work_release(&w->norm);
    cs_pretok_work_release(&w->words);
    cs_ids_release(&w->ends);
    cs_ids_release(&w->blanks);
    cs_free(w);
}

void cs_tok_pool_destroy(cs_tok_pool *pool)
{
    for (int i = 0; pool && i < SLOTS; i++) {
        cs_tok_work *w = atomic_load(&pool->slots[i]);
        if (w)
            destroy_work(w);
    }
    cs_free(pool);
}

cs_tok_work *cs_tok_work_take(cs_tok_pool *pool)
{
    for (int i = 0; i < SLOTS; i++) {
        if (atomic_load_explicit(&pool->slots[i], memory_order_relaxed) == NULL)
            continue;
        cs_tok_work *w = atomic_exchange_explicit(&pool->slots[i], NULL, memory_order_acquire);
        if (w)
            return w;
    }
    return cs_calloc(1, sizeof(cs_tok_work));
}

static void trim(cs_mapped *m)
{
    if (m->text.cap > KEEP_BYTES || m->cap > KEEP_BYTES / sizeof *m->from)
        cs_mapped_release(m);
}

void cs_tok_work_give(cs_tok_pool *pool, cs_tok_work *w, bool failed)
{
    if (failed) {
        destroy_work(w);
        return;
    }
    cs_bpe_work_trim(&w->bpe);
    trim(&w->norm.out);
    trim(&w->norm.spare);
    for (int i = 0; i < CS_MAX_PRETOK_STEPS; i++)
        trim(&w->words.made[i]);
    if (w->unigram.cap > KEEP_BYTES / sizeof *w->unigram.path)
        cs_unigram_work_release(&w->unigram);
    if (w->ends.cap > KEEP_BYTES / sizeof(int32_t))
        cs_ids_release(&w->ends);
    if (w->blanks.cap > KEEP_BYTES / sizeof(int32_t))
        cs_ids_release(&w->blanks);
    if (w->norm.changes.cap > KEEP_BYTES / sizeof *w->norm.changes.list) {
        cs_free(w->norm.changes.list);
        w->norm.changes = (cs_norm_changes){0};
    }
    for (int i = 0; i < SLOTS; i++) {
        cs_tok_work *none = NULL;
        if (atomic_load_explicit(&pool->slots[i], memory_order_relaxed) == NULL &&
            atomic_compare_exchange_strong_explicit(&pool->slots[i], &none, w, memory_order_release, memory_order_relaxed))
            return;
    }
    destroy_work(w);
}
