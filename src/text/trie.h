/* A set of byte strings with a value each, for "which strings begin here" questions. A double array: the child of a node by a byte is the unit at
 * the node's base with the byte's bits flipped, if that unit carries the byte as its label; no two nodes share a base. One load a step, eight bytes
 * a node. Built once, then read by any number of threads. */
#ifndef CS_TEXT_TRIE_H
#define CS_TEXT_TRIE_H

#include "base/mem.h"

#include <string.h>

typedef struct cs_trie_unit {
    uint32_t link; /* base << 9 | label; label 256 = nothing is here */
    int32_t value; /* -1 = no string ends here */
} cs_trie_unit;

typedef struct cs_trie {
    cs_trie_unit *units;       /* a multiple of 256 of them; unit 0 is the root */
    bool first[256];           /* some string begins with this byte */
    bool inside;               /* some string begins with a byte that only goes on a code point */
    int only_first;            /* the byte that all strings begin with, -1 = there is no such byte */
    uint32_t blank;            /* the node of the first two bytes of U+2581, 0 = none */
} cs_trie;

typedef struct cs_trie_entry {
    const char *text; /* needed while building only */
    size_t len;       /* >= 1 */
    int32_t value;    /* >= 0 */
} cs_trie_entry;

/* From n entries, which change their order; of equal texts the first counts. The units are owned by `arena`. CS_E_NOMEM; CS_E_FORMAT when more than
 * 2^23 units are needed. */
cs_status cs_trie_init(cs_trie *t, cs_arena *arena, cs_trie_entry *entries, size_t n, cs_error *err);

/* Takes a string out again, before anybody reads. */
void cs_trie_forget(cs_trie *t, const char *text, size_t len);

/* The child of `node` by `byte`, 0 = none. The root is node 0. */
static inline uint32_t cs_trie_step(const cs_trie *t, uint32_t node, uint8_t byte)
{
    uint32_t next = t->units[node].link >> 9 ^ byte;
    return (t->units[next].link & 511) == byte ? next : 0;
}

/* Where a walk over text[0..n) may start: the node and *i, the bytes that led there and in which no string ends. Most words begin with U+2581. */
static inline uint32_t cs_trie_start(const cs_trie *t, const uint8_t *text, size_t n, size_t *i)
{
    bool blank = n >= 3 && text[0] == 0xe2 && text[1] == 0x96 && text[2] == 0x81;
    *i = blank && t->blank ? 2 : 0;
    return *i ? t->blank : 0;
}

/* The first place in text[at..n) at which a string may begin, n = there is none. */
static inline size_t cs_trie_next(const cs_trie *t, const char *text, size_t n, size_t at)
{
    if (t->only_first >= 0) {
        const char *hit = at < n ? memchr(text + at, t->only_first, n - at) : NULL;
        return hit ? (size_t)(hit - text) : n;
    }
    while (at < n && !t->first[(uint8_t)text[at]])
        at++;
    return at;
}

/* Longest string that text[0..n) begins with: its length (0 = none), *value its value. */
size_t cs_trie_longest(const cs_trie *t, const char *text, size_t n, int32_t *value);

#endif
