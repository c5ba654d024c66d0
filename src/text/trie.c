/* Building a double array: entries are sorted, nodes are made depth first, the children of each where all of their units are free. Only the last
 * few blocks of units are searched for free ones, so that time stays linear. */
#include "text/trie.h"

enum { BLOCK = 256, OPEN_BLOCKS = 16, NO_LABEL = 256, MAX_UNITS = 1 << 23, SMALL = 24 };

/* Entries [lo, hi), equal in their first `depth` bytes, are below `node`. */
typedef struct range {
    size_t lo, hi, depth;
    uint32_t node;
} range;

typedef struct build {
    cs_trie_entry *entries, *spare;
    cs_trie_unit *units;
    uint8_t *used;           /* by unit: 1 = taken, 2 = is some node's base */
    uint32_t *next, *before; /* ring of the free units of the open blocks; unit 0 is its head */
    uint32_t n_units, cap, open; /* open: first unit of the open blocks */
    range *stack;
    size_t n_stack, cap_stack;
    cs_error *err;
} build;

static cs_status grow(build *s)
{
    size_t cap = s->cap ? 2 * (size_t)s->cap : 16 * BLOCK;
    cs_trie_unit *units = cs_realloc(s->units, cap * sizeof *units);
    s->units = units ? units : s->units;
    uint8_t *used = cs_realloc(s->used, cap * sizeof *used);
    s->used = used ? used : s->used;
    uint32_t *next = cs_realloc(s->next, cap * sizeof *next);
    s->next = next ? next : s->next;
    uint32_t *before = cs_realloc(s->before, cap * sizeof *before);
    s->before = before ? before : s->before;
    if (!units || !used || !next || !before)
        return cs_fail_nomem(s->err, cap * sizeof *units, "a piece table");
    s->cap = (uint32_t)cap;
    return CS_OK;
}

static void unlink_unit(build *s, uint32_t i)
{
    s->next[s->before[i]] = s->next[i];
    s->before[s->next[i]] = s->before[i];
}

/* One more block of free units; the oldest open block is closed. */
static cs_status add_block(build *s)
{
    if (s->n_units + BLOCK > MAX_UNITS)
        return cs_fail(s->err, CS_E_FORMAT, "a piece table needs more than %d units, which is not supported", MAX_UNITS);
    if (s->n_units == s->cap)
        CS_TRY(grow(s));
    if (s->n_units == 0) { /* the ring's head is the root; no node may have base 0, where every byte's unit is the byte itself */
        s->next[0] = s->before[0] = 0;
        s->used[0] = 3;
        s->units[0] = (cs_trie_unit){NO_LABEL, -1};
    }
    for (uint32_t i = s->n_units + (s->n_units == 0); i < s->n_units + BLOCK; i++) {
        s->units[i] = (cs_trie_unit){NO_LABEL, -1};
        s->used[i] = 0;
        s->before[i] = s->before[0];
        s->next[i] = 0;
        s->next[s->before[0]] = i;
        s->before[0] = i;
    }
    s->n_units += BLOCK;
    for (; s->n_units - s->open > OPEN_BLOCKS * BLOCK; s->open++)
        if (s->open > 0 && !(s->used[s->open] & 1))
            unlink_unit(s, s->open);
    return CS_OK;
}

/* A base at which the units of all labels are free. */
static cs_status find_base(build *s, const uint8_t *labels, size_t n, uint32_t *base)
{
    for (;;) {
        for (uint32_t i = s->n_units > 0 ? s->next[0] : 0; i != 0; i = s->next[i]) {
            size_t k = 1;
            *base = i ^ labels[0];
            if (s->used[*base] & 2)
                continue;
            while (k < n && !(s->used[*base ^ labels[k]] & 1))
                k++;
            if (k == n)
                return CS_OK;
        }
        CS_TRY(add_block(s));
    }
}

static cs_status push(build *s, range r)
{
    if (s->n_stack == s->cap_stack) {
        size_t cap = s->cap_stack ? 2 * s->cap_stack : 1024;
        range *more = cs_realloc(s->stack, cap * sizeof *more);
        if (!more)
            return cs_fail_nomem(s->err, cap * sizeof *more, "a piece table");
        s->stack = more;
        s->cap_stack = cap;
    }
    s->stack[s->n_stack++] = r;
    return CS_OK;
}

/* Brings a range into the order of the byte at `depth`, equal ones as they were. */
static void sort_range(build *s, const range *r)
{
    cs_trie_entry *e = s->entries;
    if (r->hi - r->lo <= SMALL) {
        for (size_t i = r->lo + 1; i < r->hi; i++) {
            cs_trie_entry x = e[i];
            size_t k = i;
            for (; k > r->lo && (uint8_t)e[k - 1].text[r->depth] > (uint8_t)x.text[r->depth]; k--)
                e[k] = e[k - 1];
            e[k] = x;
        }
        return;
    }
    size_t start[257] = {0};
    for (size_t i = r->lo; i < r->hi; i++)
        start[(uint8_t)e[i].text[r->depth] + 1]++;
    for (int c = 1; c <= 256; c++)
        start[c] += start[c - 1];
    for (size_t i = r->lo; i < r->hi; i++)
        s->spare[start[(uint8_t)e[i].text[r->depth]]++] = e[i];
    memcpy(e + r->lo, s->spare, (r->hi - r->lo) * sizeof *e);
}

/* Strings that end at the node give its value and leave the range. */
static void take_ends(build *s, range *r)
{
    cs_trie_entry *e = s->entries;
    size_t keep = r->lo;
    for (size_t i = r->lo; i < r->hi; i++) {
        if (e[i].len > r->depth)
            e[keep++] = e[i];
        else if (s->units[r->node].value < 0)
            s->units[r->node].value = e[i].value;
    }
    r->hi = keep;
}

static cs_status make_children(build *s, range r)
{
    uint8_t labels[256];
    size_t ends[256], n = 0;
    uint32_t base;
    take_ends(s, &r);
    if (r.lo == r.hi)
        return CS_OK;
    sort_range(s, &r);
    for (size_t i = r.lo; i < r.hi; i++) {
        uint8_t c = (uint8_t)s->entries[i].text[r.depth];
        if (n == 0 || labels[n - 1] != c)
            labels[n++] = c;
        ends[n - 1] = i + 1;
    }
    CS_TRY(find_base(s, labels, n, &base));
    s->used[base] |= 2;
    s->units[r.node].link |= base << 9;
    for (size_t k = n; k-- > 0;) {
        uint32_t child = base ^ labels[k];
        s->used[child] |= 1;
        unlink_unit(s, child);
        s->units[child].link = labels[k];
        CS_TRY(push(s, (range){k > 0 ? ends[k - 1] : r.lo, ends[k], r.depth + 1, child}));
    }
    return CS_OK;
}

static cs_status run(build *s, size_t n)
{
    s->spare = cs_malloc((n + 1) * sizeof *s->spare);
    if (!s->spare)
        return cs_fail_nomem(s->err, (n + 1) * sizeof *s->spare, "a piece table");
    CS_TRY(add_block(s));
    CS_TRY(push(s, (range){0, n, 0, 0}));
    while (s->n_stack > 0)
        CS_TRY(make_children(s, s->stack[--s->n_stack]));
    return CS_OK;
}

cs_status cs_trie_init(cs_trie *t, cs_arena *arena, cs_trie_entry *entries, size_t n, cs_error *err)
{
    build s = {.entries = entries, .err = err};
    *t = (cs_trie){0};
    for (size_t i = 0; i < n; i++)
        t->first[(uint8_t)entries[i].text[0]] = true;
    for (int c = 0x80; c < 0xc0; c++)
        t->inside |= t->first[c];
    t->only_first = n > 0 ? (uint8_t)entries[0].text[0] : -1;
    for (size_t i = 1; i < n && t->only_first >= 0; i++)
        t->only_first = (uint8_t)entries[i].text[0] == t->only_first ? t->only_first : -1;
    cs_status status = run(&s, n);
    cs_trie_unit *units = status == CS_OK ? cs_arena_calloc(arena, s.n_units, sizeof *units) : NULL;
    if (status == CS_OK && !units)
        status = cs_fail_nomem(err, s.n_units * sizeof *units, "a piece table");
    if (units)
        memcpy(units, s.units, s.n_units * sizeof *units);
    t->units = units;
    if (units && (t->blank = cs_trie_step(t, 0, 0xe2)) != 0)
        t->blank = units[t->blank].value < 0 ? cs_trie_step(t, t->blank, 0x96) : 0;
    if (t->blank != 0 && units[t->blank].value >= 0)
        t->blank = 0;
    cs_free(s.units);
    cs_free(s.used);
    cs_free(s.next);
    cs_free(s.before);
    cs_free(s.stack);
    cs_free(s.spare);
    return status;
}

void cs_trie_forget(cs_trie *t, const char *text, size_t len)
{
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++)
        if ((node = cs_trie_step(t, node, (uint8_t)text[i])) == 0)
            return;
    t->units[node].value = -1;
}

size_t cs_trie_longest(const cs_trie *t, const char *text, size_t n, int32_t *value)
{
    size_t best = 0;
    uint32_t node = 0;
    if (n == 0 || !t->first[(uint8_t)text[0]])
        return 0;
    for (size_t i = 0; i < n && (node = cs_trie_step(t, node, (uint8_t)text[i])) != 0; i++) {
        if (t->units[node].value >= 0) {
            best = i + 1;
            *value = t->units[node].value;
        }
    }
    return best;
}
