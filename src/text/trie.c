/* A byte trie in one hash table. */
#include "text/trie.h"

#include <string.h>

cs_status cs_trie_init(cs_trie *t, cs_arena *arena, size_t total_bytes, cs_error *err)
{
    *t = (cs_trie){.n_nodes = 1};
    if (total_bytes > (size_t)1 << 23)
        return cs_fail(err, CS_E_FORMAT, "%zu bytes of pieces, more than %d are not supported", total_bytes, 1 << 23);
    size_t slots = 16;
    while (slots < 2 * total_bytes + 2)
        slots *= 2;
    t->mask = (uint32_t)slots - 1;
    t->edges = cs_arena_calloc(arena, slots, sizeof *t->edges);
    t->values = cs_arena_calloc(arena, total_bytes + 1, sizeof *t->values);
    if (!t->edges || !t->values)
        return cs_fail_nomem(err, slots * sizeof *t->edges, "a piece table");
    memset(t->values, 0xff, (total_bytes + 1) * sizeof *t->values);
    return CS_OK;
}

int32_t cs_trie_add(cs_trie *t, const char *text, size_t len, int32_t value)
{
    uint32_t node = 0;
    t->first[(uint8_t)text[0]] = true;
    for (size_t i = 0; i < len; i++) {
        uint64_t key = (uint64_t)node << 8 | (uint8_t)text[i];
        uint32_t slot = (uint32_t)((key + 1) * 0x9e3779b97f4a7c15u >> 32) & t->mask;
        while (t->edges[slot] != 0 && t->edges[slot] >> 24 != key)
            slot = (slot + 1) & t->mask;
        if (t->edges[slot] == 0)
            t->edges[slot] = key << 24 | t->n_nodes++;
        node = (uint32_t)(t->edges[slot] & 0xffffff);
    }
    int32_t old = t->values[node];
    if (old < 0)
        t->values[node] = value;
    return old;
}

size_t cs_trie_longest(const cs_trie *t, const char *text, size_t n, int32_t *value)
{
    size_t best = 0;
    uint32_t node = 0;
    if (n == 0 || !t->first[(uint8_t)text[0]])
        return 0;
    for (size_t i = 0; i < n && (node = cs_trie_step(t, node, (uint8_t)text[i])) != 0; i++) {
        if (t->values[node] >= 0) {
            best = i + 1;
            *value = t->values[node];
        }
    }
    return best;
}
