/* The cache's memory: one block per sequence, moved as a whole when it grows. */
#include "infer/kvcache.h"

#include <string.h>

enum { BLOCK_POSITIONS = 128 }; /* capacity of a slot that is used for the first time */

cs_status cs_kvcache_init(cs_kvcache *c, const cs_model *m, int64_t n_slots, int64_t max_pos, cs_error *err)
{
    const cs_spec *s = &m->spec;
    *c = (cs_kvcache){.n_layers = s->n_layers, .head_dim = s->head_dim, .row = s->n_kv_heads * s->head_dim, .max_pos = max_pos, .n_slots = n_slots};
    c->row_bytes = (size_t)c->row * cs_dtype_size(m->prec.store);
    c->slot = cs_calloc((size_t)n_slots, sizeof *c->slot);
    c->n_past = cs_calloc((size_t)n_slots, sizeof *c->n_past);
    size_t pointers;
    if (cs_mul_checked((size_t)n_slots, (size_t)c->n_layers, &pointers)) {
        c->k = cs_calloc(pointers, sizeof *c->k);
        c->v = cs_calloc(pointers, sizeof *c->v);
    }
    if (c->slot && c->n_past && c->k && c->v)
        return CS_OK;
    cs_kvcache_release(c);
    return cs_fail_nomem(err, (size_t)n_slots * (size_t)s->n_layers * 2 * sizeof *c->k, "the key-value cache");
}

void cs_kvcache_release(cs_kvcache *c)
{
    for (int64_t i = 0; c->slot && i < c->n_slots; i++)
        cs_free(c->slot[i].block);
    cs_free(c->slot);
    cs_free(c->n_past);
    cs_free(c->k);
    cs_free(c->v);
    *c = (cs_kvcache){0};
}

void cs_kvcache_clear(cs_kvcache *c, int64_t slot)
{
    c->slot[slot].n_past = 0;
}

/* Start of the keys (which = 0) or values (1) of a layer. */
static char *plane(const cs_kvcache *c, const cs_kv_slot *s, int64_t layer, int which)
{
    return s->block + (size_t)(layer * 2 + which) * (size_t)s->capacity * c->row_bytes;
}

int64_t cs_kvcache_capacity(int64_t n, int64_t max_pos)
{
    int64_t capacity = BLOCK_POSITIONS;
    while (capacity < n)
        capacity *= 2;
    return capacity < max_pos ? capacity : max_pos;
}

cs_status cs_kvcache_reserve(cs_kvcache *c, int64_t slot, int64_t n, cs_error *err)
{
    cs_kv_slot *old = &c->slot[slot];
    int64_t need = old->n_past + n;
    CS_ASSERT(need <= c->max_pos);
    if (need <= old->capacity)
        return CS_OK;
    cs_kv_slot new = {.capacity = cs_kvcache_capacity(need, c->max_pos), .n_past = old->n_past};
    size_t bytes;
    if (!cs_mul_checked((size_t)(c->n_layers * 2), (size_t)new.capacity, &bytes) || !cs_mul_checked(bytes, c->row_bytes, &bytes))
        return cs_fail_nomem(err, SIZE_MAX, "the key-value cache");
    new.block = cs_alloc_aligned(bytes);
    if (!new.block)
        return cs_fail_nomem(err, bytes, "the key-value cache");
    for (int64_t l = 0; l < c->n_layers && old->n_past > 0; l++)
        for (int which = 0; which < 2; which++)
            memcpy(plane(c, &new, l, which), plane(c, old, l, which), (size_t)old->n_past * c->row_bytes);
    cs_free(old->block);
    *old = new;
    return CS_OK;
}

cs_kv cs_kvcache_view(cs_kvcache *c, const int64_t *slots, int64_t n)
{
    CS_ASSERT(n <= c->n_slots);
    for (int64_t s = 0; s < n; s++) {
        const cs_kv_slot *from = &c->slot[slots[s]];
        c->n_past[s] = from->n_past;
        for (int64_t l = 0; l < c->n_layers; l++) {
            c->k[l * n + s] = plane(c, from, l, 0);
            c->v[l * n + s] = plane(c, from, l, 1);
        }
    }
    return (cs_kv){.n_seq = n, .n_past = c->n_past, .k = c->k, .v = c->v, .ld = c->row, .head = c->head_dim};
}

void cs_kvcache_advance(cs_kvcache *c, int64_t slot, int64_t n)
{
    c->slot[slot].n_past += n;
    CS_ASSERT(c->slot[slot].n_past <= c->slot[slot].capacity);
}
