/* Piece table with an open-addressing index over the text. */
#include "text/vocab.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

cs_status cs_vocab_init(cs_vocab *v, cs_arena *arena, int32_t n, cs_error *err)
{
    *v = (cs_vocab){.n = n, .unk = -1};
    size_t slots = 64;
    while (slots < 2 * (size_t)n)
        slots *= 2;
    v->mask = (uint32_t)slots - 1;
    v->pieces = cs_arena_calloc(arena, (size_t)n, sizeof *v->pieces);
    v->slots = cs_arena_calloc(arena, slots, sizeof *v->slots);
    if (!v->pieces || !v->slots)
        return cs_fail_nomem(err, slots * sizeof *v->slots + (size_t)n * sizeof *v->pieces, "a vocabulary");
    for (int i = 0; i < 256; i++)
        v->byte_id[i] = -1;
    for (int32_t i = 0; i < n; i++)
        v->pieces[i].text = "";
    return CS_OK;
}

/* The slot that holds this text, or the free one where it belongs. */
static uint32_t slot_of(const cs_vocab *v, const char *text, size_t len, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & v->mask;
    for (; v->slots[i] != 0; i = (i + 1) & v->mask) {
        if (v->slots[i] >> 32 != hash >> 32)
            continue;
        const cs_piece *p = &v->pieces[(uint32_t)v->slots[i] - 1];
        if (p->len == len && memcmp(p->text, text, len) == 0)
            break;
    }
    return i;
}

int32_t cs_vocab_index(cs_vocab *v, int32_t id)
{
    const cs_piece *p = &v->pieces[id];
    uint64_t hash = XXH3_64bits(p->text, p->len);
    uint32_t i = slot_of(v, p->text, p->len, hash);
    if (v->slots[i] != 0)
        return (int32_t)((uint32_t)v->slots[i] - 1);
    v->slots[i] = (hash >> 32) << 32 | ((uint32_t)id + 1);
    v->pieces[id].findable = true;
    if (p->len > v->max_len)
        v->max_len = p->len;
    return -1;
}

int32_t cs_vocab_find(const cs_vocab *v, const char *text, size_t len)
{
    if (len > v->max_len)
        return -1;
    uint64_t slot = v->slots[slot_of(v, text, len, XXH3_64bits(text, len))];
    return slot == 0 ? -1 : (int32_t)((uint32_t)slot - 1);
}

int32_t cs_vocab_find_any(const cs_vocab *v, const char *text, size_t len)
{
    int32_t id = cs_vocab_find(v, text, len);
    for (int32_t i = 0; id < 0 && i < v->n; i++)
        if (v->pieces[i].type != 0 && v->pieces[i].len == len && memcmp(v->pieces[i].text, text, len) == 0)
            id = i;
    return id;
}

typedef struct scored {
    float score;
    int32_t id;
} scored;

static int higher_first(const void *a, const void *b)
{
    float x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x < y) - (x > y);
}

cs_status cs_vocab_rank(cs_vocab *v, cs_error *err)
{
    scored *order = cs_malloc((size_t)v->n * sizeof *order);
    if (!order)
        return cs_fail_nomem(err, (size_t)v->n * sizeof *order, "a vocabulary");
    for (int32_t i = 0; i < v->n; i++)
        order[i] = (scored){v->pieces[i].score, i};
    qsort(order, (size_t)v->n, sizeof *order, higher_first);
    uint32_t rank = 0;
    for (int32_t i = 0; i < v->n; i++) {
        rank += i > 0 && order[i].score != order[i - 1].score;
        v->pieces[order[i].id].rank = rank;
    }
    cs_free(order);
    return CS_OK;
}
