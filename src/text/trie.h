/* A set of byte strings with a value each, for "which strings begin here" questions. Nodes are edges of a hash table (parent, byte) ->
 * child, so memory is linear in the bytes inserted. Built once, then read by any number of threads. */
#ifndef CS_TEXT_TRIE_H
#define CS_TEXT_TRIE_H

#include "base/mem.h"

typedef struct cs_trie {
    uint64_t *edges; /* (parent << 8 | byte) << 24 | child; 0 = free slot; child >= 1 */
    int32_t *values; /* by node, -1 = no string ends here */
    uint32_t n_nodes, mask;
    bool first[256]; /* some string begins with this byte */
} cs_trie;

/* An empty trie with room for `total_bytes` of strings, owned by `arena`. CS_E_NOMEM; CS_E_FORMAT above 2^23 bytes (strings too long). */
cs_status cs_trie_init(cs_trie *t, cs_arena *arena, size_t total_bytes, cs_error *err);
/* Adds a string (len >= 1); returns the value it had (-1 = new) and leaves that one in place. */
int32_t cs_trie_add(cs_trie *t, const char *text, size_t len, int32_t value);

/* The child of `node` by `byte`, 0 = none. The root is node 0. */
static inline uint32_t cs_trie_step(const cs_trie *t, uint32_t node, uint8_t byte)
{
    uint64_t key = (uint64_t)node << 8 | byte;
    uint32_t i = (uint32_t)((key + 1) * 0x9e3779b97f4a7c15u >> 32) & t->mask;
    for (; t->edges[i] != 0; i = (i + 1) & t->mask)
        if (t->edges[i] >> 24 == key)
            return (uint32_t)(t->edges[i] & 0xffffff);
    return 0;
}

/* Longest string that text[0..n) begins with: its length (0 = none), *value its value. */
size_t cs_trie_longest(const cs_trie *t, const char *text, size_t n, int32_t *value);

#endif
