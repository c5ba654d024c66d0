/* See bpe_walk.h. */
#include "text/bpe_walk.h"

#include <string.h>

#define FOREVER UINT32_MAX /* order of the merge that uses a whole token up */

enum { NONE = -1 };

static const cs_bpe_pair *find_pair(const cs_bpe *b, int32_t left, int32_t right)
{
    uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
    uint32_t bit = cs_bpe_rule_bit(b->walk, left, right);
    if (!(b->walk->rules[bit >> 6] >> (bit & 63) & 1))
        return NULL;
    for (uint32_t i = cs_bpe_pair_slot(b, key); b->pairs[i].key != 0; i = (i + 1) & b->pair_mask)
        if (b->pairs[i].key == key)
            return &b->pairs[i];
    return NULL;
}

/* Of equal ranks the left merge goes first: one that uses up the left side begins further left than the crossing one, and one that uses up the
 * right side further right. */
bool cs_bpe_crosses(const cs_bpe *b, int32_t left, int32_t right, bool top)
{
    const cs_bpe_token *tokens = b->walk->tokens;
    uint32_t left_ends = FOREVER;
    for (int32_t x = left; x >= 0; left_ends = tokens[x].order, x = tokens[x].right) {
        uint32_t right_ends = FOREVER;
        for (int32_t y = right; y >= 0; right_ends = tokens[y].order, y = tokens[y].left) {
            if (tokens[x].order > right_ends)
                break; /* y is gone when x comes, and so are the shorter ones */
            if (tokens[y].order >= left_ends || (!top && x == left && y == right))
                continue;
            const cs_bpe_pair *p = find_pair(b, x, y);
            if (p && p->rank + 1 < left_ends && p->rank + 1 <= right_ends)
                return true;
        }
    }
    return false;
}

/* Do `left` and `right`, which meet at text[at], stay apart? */
static bool fits(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t at, int32_t left, int32_t right)
{
    const cs_bpe_walk *k = b->walk;
    const cs_bpe_token *l = &k->tokens[left], *r = &k->tokens[right];
    uint32_t bit = (l->last + r->first) >> k->border_shift;
    if (!(k->borders[bit >> 6] >> (bit & 63) & 1))
        return true;
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint64_t)(uint32_t)right << 1;
    uint64_t *seen = &w->seen[key * 0x9e3779b97f4a7c15u >> (64 - CS_BPE_SEEN_BITS)];
    if ((*seen & ~(uint64_t)1) != key) {
        bool apart = l->odd || r->odd ? cs_bpe_gives(b, w, text + at - l->len, (size_t)l->len + r->len, (int32_t[]){left, right}, 2)
                                      : !cs_bpe_crosses(b, left, right, true);
        *seen = key | apart;
    }
    return *seen & 1;
}

static int32_t longest(const cs_bpe_walk *k, const char *text, size_t len)
{
    const cs_trie_unit *units = k->trie.units;
    int32_t id = NONE;
    size_t i;
    uint32_t node = cs_trie_start(&k->trie, (const uint8_t *)text, len, &i);
    for (; i < len && (node = cs_trie_step(&k->trie, node, (uint8_t)text[i])) != 0; i++)
        id = units[node].value >= 0 ? units[node].value : id;
    return id;
}

/* The longest of `next` and its beginnings that can stand at text[at] behind `last` (NONE = nothing before), or NONE. */
static int32_t first_fit(const cs_bpe *b, cs_bpe_work *w, const char *text, int32_t last, size_t at, int32_t next)
{
    const cs_bpe_token *tokens = b->walk->tokens;
    for (; next >= 0; next = tokens[next].shorter) {
        size_t end = at + tokens[next].len;
        if (!(w->dead[end >> 6] >> (end & 63) & 1) && (last < 0 || fits(b, w, text, at, last, next)))
            break;
    }
    return next;
}

static bool make_room(cs_bpe_work *w, size_t len)
{
    size_t words = len / 64 + 1;
    if (!w->seen) {
        size_t bytes = sizeof *w->seen << CS_BPE_SEEN_BITS;
        w->seen = cs_malloc(bytes);
        if (w->seen)
            memset(w->seen, 0xff, bytes); /* a pair of ids that do not exist */
    }
    if (words > w->cap_dead) {
        words = words < 2 * w->cap_dead ? 2 * w->cap_dead : words;
        uint64_t *more = cs_realloc(w->dead, words * sizeof *more);
        if (more) {
            memset(more + w->cap_dead, 0, (words - w->cap_dead) * sizeof *more);
            w->dead = more;
            w->cap_dead = words;
        }
    }
    w->failed |= !w->seen || words > w->cap_dead;
    return !w->failed;
}

bool cs_bpe_walk_encode(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out, size_t *done)
{
    const cs_bpe_walk *k = b->walk;
    bool ok = true;
    size_t base = out->len, at = 0, low = SIZE_MAX, high = 0; /* words of `dead` that were used */
    if (!make_room(w, len))
        return false;
    int32_t last = NONE, next = longest(k, text, len);
    while (next >= 0) { /* -1: the end, or an unknown symbol */
        next = first_fit(b, w, text, last, at, next);
        while (next < 0 && out->len > base) { /* no way on from here: something shorter in front */
            w->dead[at >> 6] |= (uint64_t)1 << (at & 63);
            low = at >> 6 < low ? at >> 6 : low;
            high = at >> 6 >= high ? (at >> 6) + 1 : high;
            int32_t dropped = out->data[--out->len];
            at -= k->tokens[dropped].len;
            last = out->len > base ? out->data[out->len - 1] : NONE;
            next = first_fit(b, w, text, last, at, k->tokens[dropped].shorter);
        }
        cs_ids_push(out, next);
        if (next < 0 || w->failed || out->failed) {
            ok = false;
            break;
        }
        last = next;
        at += k->tokens[next].len;
        next = longest(k, text + at, len - at);
    }
    if (high > 0)
        memset(w->dead + low, 0, (high - low) * sizeof *w->dead);
    if (!ok)
        out->len = base;
    *done = at;
    return ok;
}
