/* See bpe_walk.h. */
#include "text/bpe_walk.h"

#include "text/utf8.h"

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
    const cs_bpe_tree *trees = b->walk->trees;
    uint32_t left_ends = FOREVER;
    for (int32_t x = left; x >= 0; left_ends = trees[x].order, x = trees[x].right) {
        uint32_t right_ends = FOREVER;
        for (int32_t y = right; y >= 0; right_ends = trees[y].order, y = trees[y].left) {
            if (trees[x].order > right_ends)
                break; /* y is gone when x comes, and so are the shorter ones */
            if (trees[y].order >= left_ends || (!top && x == left && y == right))
                continue;
            const cs_bpe_pair *p = find_pair(b, x, y);
            if (p && p->rank + 1 < left_ends && p->rank + 1 <= right_ends)
                return true;
        }
    }
    return false;
}

/* Do `left` and `right`, which meet at text[at], stay apart? */
static inline bool fits(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t at, size_t len, int32_t left, int32_t right)
{
    const cs_bpe_walk *k = b->walk;
    uint32_t bit = cs_bpe_border_bit(b, k->border_shift, text, at, len);
    if (!(k->borders[bit >> 6] >> (bit & 63) & 1))
        return true;
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint64_t)(uint32_t)right << 1;
    uint64_t *seen = &w->seen[key * 0x9e3779b97f4a7c15u >> (64 - CS_BPE_SEEN_BITS)];
    if ((*seen & ~(uint64_t)1) != key) {
        const cs_bpe_token *l = &k->tokens[left], *r = &k->tokens[right];
        bool apart = l->odd || r->odd ? cs_bpe_gives(b, w, text + at - l->len, (size_t)l->len + r->len, (int32_t[]){left, right}, 2)
                                      : !cs_bpe_crosses(b, left, right, true);
        *seen = key | apart;
    }
    return *seen & 1;
}

/* The longest token that text[0..n) begins with, n >= 1, or NONE. *len gets its length, which is in tokens[] too: so that the walk can go on at its
 * end before those have come from memory. */
static inline int32_t longest(const cs_bpe_walk *k, const cs_bpe_start *start, const char *text, size_t n, size_t *len)
{
    const cs_trie_unit *units = k->trie.units;
    int32_t id = start ? start->id : NONE;
    size_t i = start ? 3 : 0, end = start ? start->len : 0;
    uint32_t base = start ? start->base : units[0].link >> 9;
    for (; i < n && base != 0; i++) {
        cs_trie_unit u = units[base ^ (uint8_t)text[i]];
        if ((u.link & 511) != (uint8_t)text[i])
            break;
        id = u.value >= 0 ? u.value : id;
        end = u.value >= 0 ? i + 1 : end;
        base = u.link >> 9;
    }
    *len = end;
    return id;
}

static inline bool is_dead(const cs_bpe_work *w, size_t at)
{
    return w->dead[at >> 6] >> (at & 63) & 1;
}

/* The longest of `next` and its beginnings that can stand at text[at] behind `last` (NONE = nothing before), or NONE. */
static int32_t first_fit(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, int32_t last, size_t at, int32_t next)
{
    const cs_bpe_token *tokens = b->walk->tokens;
    for (; next >= 0; next = tokens[next].shorter) {
        size_t end = at + tokens[next].len;
        if (!is_dead(w, end) && (last < 0 || fits(b, w, text, at, len, last, next)))
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

/* The row of the code point at text[0..n) when it is three bytes long, else NULL. */
static inline const cs_bpe_start *start_at(const cs_bpe_walk *k, const char *text, size_t n)
{
    uint32_t cp = n >= 3 ? cs_utf8_three((const uint8_t *)text) : 0;
    return cp != 0 ? &k->starts[cp] : NULL;
}

/* The ids of the symbols at text[0..n) that no merge takes, the first of which has row `s`; bytes: unknown ones become bytes, else they end it.
 * Returns the bytes consumed. */
static size_t put_alone(const cs_bpe *b, const cs_bpe_start *s, const char *text, size_t n, bool bytes, cs_ids *out)
{
    const int32_t *byte_id = b->vocab->byte_id;
    size_t i = 0;
    for (; s && s->alone && (s->id >= 0 || bytes); s = start_at(b->walk, text + i, n - i)) {
        if (out->cap - out->len < 3 && !cs_ids_reserve(out, 3))
            break;
        int32_t *to = out->data + out->len; /* three are written in any case: whether the symbol is known cannot be guessed */
        bool known = s->id >= 0;
        to[0] = known ? s->id : byte_id[(uint8_t)text[i]];
        to[1] = byte_id[(uint8_t)text[i + 1]];
        to[2] = byte_id[(uint8_t)text[i + 2]];
        out->len += known ? 1 : 3;
        i += 3;
    }
    return i;
}

/* The ids of the bytes of an unknown symbol; returns how many. */
static size_t put_bytes(const cs_bpe *b, const char *text, size_t n, cs_ids *out)
{
    size_t used = cs_utf8_decode((const uint8_t *)text, n, NULL);
    used = used ? used : 1;
    for (size_t i = 0; i < used; i++)
        cs_ids_push(out, b->vocab->byte_id[(uint8_t)text[i]]);
    return used;
}

/* Where the walk is. Nothing in front of `base` can change: no merge goes over that border. */
typedef struct walker {
    size_t at, base;  /* bytes of the text; ids */
    size_t low, high; /* words of `dead` that were used */
    int32_t last;     /* the token in front, NONE = the text is cut here */
} walker;

static inline void take(walker *p, int32_t id, size_t len, cs_ids *out)
{
    cs_ids_push(out, id);
    p->last = id;
    p->at += len;
}

/* Puts a token at text[at], the longest of the beginnings of `next`, which is no way on itself. False: there is none. */
static bool step_back(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, walker *p, int32_t next, cs_ids *out)
{
    const cs_bpe_token *tokens = b->walk->tokens;
    next = first_fit(b, w, text, len, p->last, p->at, tokens[next].shorter);
    while (next < 0 && out->len > p->base) { /* no way on from here: something shorter in front */
        w->dead[p->at >> 6] |= (uint64_t)1 << (p->at & 63);
        p->low = p->at >> 6 < p->low ? p->at >> 6 : p->low;
        p->high = p->at >> 6 >= p->high ? (p->at >> 6) + 1 : p->high;
        int32_t dropped = out->data[--out->len];
        p->at -= tokens[dropped].len;
        p->last = out->len > p->base ? out->data[out->len - 1] : NONE;
        next = first_fit(b, w, text, len, p->last, p->at, tokens[dropped].shorter);
    }
    if (next < 0)
        return false;
    take(p, next, tokens[next].len, out);
    return true;
}

bool cs_bpe_walk_encode(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out, size_t *done)
{
    const cs_bpe_walk *k = b->walk;
    bool ok = true, bytes = k->byte_ids && !w->ends;
    size_t begin = out->len, cut, n = 0;
    walker p = {.base = begin, .low = SIZE_MAX, .last = NONE};
    if (!make_room(w, len))
        return false;
    while (ok && p.at < len) {
        const cs_bpe_start *start = start_at(k, text + p.at, len - p.at);
        int32_t next = NONE;
        cut = 0;
        if (start && start->alone)
            cut = put_alone(b, start, text + p.at, len - p.at, bytes, out);
        else if ((next = longest(k, start, text + p.at, len - p.at, &n)) < 0 && bytes)
            cut = put_bytes(b, text + p.at, len - p.at, out);
        if (cut > 0) {
            p = (walker){p.at + cut, out->len, p.low, p.high, NONE};
        } else if (next < 0) { /* an unknown symbol */
            ok = !out->failed;
            break;
        } else if (is_dead(w, p.at + n) || (p.last >= 0 && !fits(b, w, text, p.at, len, p.last, next))) {
            ok = step_back(b, w, text, len, &p, next, out);
        } else {
            take(&p, next, n, out);
        }
        ok = ok && !w->failed && !out->failed;
    }
    if (p.high > 0)
        memset(w->dead + p.low, 0, (p.high - p.low) * sizeof *w->dead);
    if (!ok)
        out->len = begin;
    *done = p.at;
    return ok;
}
