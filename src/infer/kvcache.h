/* Keys and values of sequences that are being generated. Each slot is one sequence: one block [layer][k|v][capacity][kv heads * D] in the
 * store type, grown by doubling as it fills, kept for the next sequence when its own is done. */
#ifndef CS_INFER_KVCACHE_H
#define CS_INFER_KVCACHE_H

#include "model/model.h"

typedef struct cs_kv_slot {
    char *block;
    int64_t capacity, n_past; /* positions: room, filled */
} cs_kv_slot;

typedef struct cs_kvcache {
    int64_t n_layers, head_dim, row; /* row = kv heads * D elements */
    size_t row_bytes;
    int64_t max_pos, n_slots;
    cs_kv_slot *slot;
    /* The view of one forward call, rewritten by cs_kvcache_view. */
    int64_t *n_past;
    void **k, **v;
} cs_kvcache;

/* Empty slots for sequences of up to max_pos positions. CS_E_NOMEM. */
cs_status cs_kvcache_init(cs_kvcache *c, const cs_model *m, int64_t n_slots, int64_t max_pos, cs_error *err);
void cs_kvcache_release(cs_kvcache *c);
/* Positions that a slot has room for once it holds n of them (n <= max_pos). */
int64_t cs_kvcache_capacity(int64_t n, int64_t max_pos);
/* Forgets the slot's sequence; its memory stays. */
void cs_kvcache_clear(cs_kvcache *c, int64_t slot);
/* Room for n more positions behind what is filled (at most max_pos in all). What is there stays. CS_E_NOMEM. */
cs_status cs_kvcache_reserve(cs_kvcache *c, int64_t slot, int64_t n, cs_error *err);
/* The view for a batch whose sequence s is in slots[s]; borrowed until the next call. Room must have been reserved. */
cs_kv cs_kvcache_view(cs_kvcache *c, const int64_t *slots, int64_t n);
/* After the forward: the slot holds n more positions. */
void cs_kvcache_advance(cs_kvcache *c, int64_t slot, int64_t n);

#endif
