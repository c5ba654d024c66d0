/* The tables of bpe_walk.c. Tokens are found in order of length, so that the trees of both sides of a merge are there when it is looked at. */
#include "text/bpe_walk.h"

#include "text/byte_level.h"
#include "text/tok.h"
#include "text/utf8.h"

#include <string.h>

typedef struct rule {
    int32_t left, right, id;
    uint32_t rank;
} rule;

/* What is needed while building. */
typedef struct build {
    cs_bpe *b;
    cs_bpe_walk *k;
    cs_arena *arena;
    cs_bytes *texts; /* by id; len 0 = not findable */
    char *bytes;     /* byte-level: what texts point into */
    rule *rules, *sorted;
    size_t n_rules, cap_rules, max_len;
    cs_bpe_work work;
    bool impossible; /* this vocabulary cannot be walked */
    cs_error *err;
} build;

/* The bytes that a piece stands for. */
static cs_bytes byte_text(const cs_piece *p, char *to)
{
    uint32_t cp;
    size_t n = 0;
    for (size_t i = 0, used; i < p->len; i += used) {
        used = cs_utf8_decode((const uint8_t *)p->text + i, p->len - i, &cp);
        int byte = used ? cs_byte_level_value(cp) : -1;
        if (byte < 0)
            return (cs_bytes){to, 0}; /* no merge of bytes leads to it */
        to[n++] = (char)byte;
    }
    return (cs_bytes){to, n};
}

static cs_status collect_texts(build *s)
{
    const cs_vocab *v = s->b->vocab;
    size_t total = 1;
    for (int32_t i = 0; i < v->n; i++)
        total += v->pieces[i].len;
    s->texts = cs_calloc((size_t)v->n, sizeof *s->texts);
    s->bytes = s->b->byte_level ? cs_malloc(total) : NULL;
    if (!s->texts || (s->b->byte_level && !s->bytes))
        return cs_fail_nomem(s->err, total, "a vocabulary");
    char *to = s->bytes;
    for (int32_t i = 0; i < v->n; i++) {
        const cs_piece *p = &v->pieces[i];
        if (p->len == 0 || p->type == CS_PIECE_USER || !p->findable)
            continue;
        s->texts[i] = s->b->byte_level ? byte_text(p, to) : (cs_bytes){p->text, p->len};
        if (s->b->byte_level)
            to += s->texts[i].len;
        s->max_len = s->texts[i].len > s->max_len ? s->texts[i].len : s->max_len;
    }
    return CS_OK;
}

static cs_status add_rule(build *s, rule r)
{
    if (s->n_rules == s->cap_rules) {
        size_t cap = s->cap_rules ? 2 * s->cap_rules : 4096;
        rule *more = cs_realloc(s->rules, cap * sizeof *more);
        if (!more)
            return cs_fail_nomem(s->err, cap * sizeof *more, "merge rules");
        s->rules = more;
        s->cap_rules = cap;
    }
    s->rules[s->n_rules++] = r;
    return CS_OK;
}

/* The id of a text, -1 = none. */
static int32_t find_text(const build *s, const char *text, size_t len)
{
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++)
        if ((node = cs_trie_step(&s->k->trie, node, (uint8_t)text[i])) == 0)
            return -1;
    return s->k->trie.units[node].value;
}

/* TEXT: every cut of a piece into two pieces is a rule. */
static cs_status rules_of_piece(build *s, int32_t id)
{
    const cs_vocab *v = s->b->vocab;
    cs_bytes t = s->texts[id];
    uint32_t node = 0;
    size_t n = cs_utf8_decode((const uint8_t *)t.text, t.len, NULL);
    s->impossible |= n == 0;
    if (s->impossible || n == t.len)
        return CS_OK;
    for (size_t i = 0; i < t.len && !s->impossible; i += n) {
        int32_t left = i > 0 ? s->k->trie.units[node].value : -1;
        n = cs_utf8_decode((const uint8_t *)t.text + i, t.len - i, NULL);
        /* merges may start from symbols without an id */
        s->impossible |= n == 0 || (find_text(s, t.text + i, n) < 0 && cs_vocab_find(v, t.text + i, n) < 0);
        int32_t right = left >= 0 ? find_text(s, t.text + i, t.len - i) : -1;
        if (right >= 0)
            CS_TRY(add_rule(s, (rule){left, right, id, v->pieces[id].rank}));
        for (size_t k = 0; k < n; k++)
            node = cs_trie_step(&s->k->trie, node, (uint8_t)t.text[i + k]);
    }
    return CS_OK;
}

static cs_status make_rules(build *s)
{
    cs_bpe *b = s->b;
    if (b->kind == CS_BPE_TEXT) {
        for (int32_t i = 0; i < b->vocab->n && !s->impossible; i++)
            if (s->texts[i].len > 0)
                CS_TRY(rules_of_piece(s, i));
        if (s->impossible)
            return CS_OK;
        CS_TRY(cs_bpe_init_pairs(b, s->arena, s->n_rules, s->err));
        for (size_t i = 0; i < s->n_rules; i++)
            cs_bpe_add_pair(b, s->rules[i].left, s->rules[i].right, s->rules[i].rank, s->rules[i].id);
        return CS_OK;
    }
    for (size_t i = 0; i <= b->pair_mask; i++) {
        const cs_bpe_pair *p = &b->pairs[i];
        if (p->key == 0)
            continue;
        rule r = {(int32_t)((p->key - 1) >> 32), (int32_t)(uint32_t)(p->key - 1), p->id, p->rank};
        cs_bytes l = s->texts[r.left], m = s->texts[r.right], t = s->texts[r.id];
        if (l.len == 0 || m.len == 0)
            continue; /* no text leads to that side */
        s->impossible |= !b->byte_level && cs_utf8_valid_prefix((const uint8_t *)t.text, t.len) < t.len; /* borders are between code points */
        s->impossible |= t.len != l.len + m.len || memcmp(t.text, l.text, l.len) != 0 || memcmp(t.text + l.len, m.text, m.len) != 0;
        CS_TRY(add_rule(s, r));
    }
    return CS_OK;
}

/* Rules by the length of what they make. */
static cs_status sort_rules(build *s)
{
    size_t *start = cs_calloc(s->max_len + 2, sizeof *start);
    s->sorted = cs_malloc((s->n_rules + 1) * sizeof *s->sorted);
    if (!start || !s->sorted) {
        cs_free(start);
        return cs_fail_nomem(s->err, (s->n_rules + 1) * sizeof *s->sorted, "merge rules");
    }
    for (size_t i = 0; i < s->n_rules; i++)
        start[s->texts[s->rules[i].id].len + 1]++;
    for (size_t i = 1; i <= s->max_len + 1; i++)
        start[i] += start[i - 1];
    for (size_t i = 0; i < s->n_rules; i++)
        s->sorted[start[s->texts[s->rules[i].id].len]++] = s->rules[i];
    cs_free(start);
    return CS_OK;
}

static void set_token(build *s, int32_t id, cs_bpe_tree tree, bool odd)
{
    s->k->tokens[id] = (cs_bpe_token){(uint32_t)s->texts[id].len & INT32_MAX, odd, -1};
    s->k->trees[id] = tree;
}

/* What a text is made of before any merge. */
static void add_symbols(build *s)
{
    const cs_bpe *b = s->b;
    for (int32_t i = 0; i < b->vocab->n; i++) {
        cs_bytes t = s->texts[i];
        bool symbol = t.len > 0 && (b->byte_level ? b->byte_symbol[(uint8_t)*t.text] == i && t.len == 1
                                                  : cs_utf8_decode((const uint8_t *)t.text, t.len, NULL) == t.len);
        if (symbol)
            set_token(s, i, (cs_bpe_tree){0, -1, -1}, false);
    }
}

/* A rule makes a token when it is the last merge in what BPE makes of the token's own text. Of odd ones the queue is asked. */
static void apply_rule(build *s, const rule *r, bool odd)
{
    const cs_bpe_token *t = s->k->tokens, *l = &t[r->left], *m = &t[r->right];
    uint32_t order = r->rank + 1;
    if (l->len == 0 || m->len == 0 || t[r->id].len > 0)
        return;
    if (odd != (l->odd || m->odd || order <= s->k->trees[r->left].order || order <= s->k->trees[r->right].order))
        return;
    cs_bytes text = s->texts[r->id];
    if (odd ? cs_bpe_gives(s->b, &s->work, text.text, text.len, &r->id, 1) : !cs_bpe_crosses(s->b, r->left, r->right, false))
        set_token(s, r->id, (cs_bpe_tree){order, r->left, r->right}, odd);
}

/* Rules of results of equal length do not depend on each other: first those that are not odd, which most texts have one of. */
static void apply_rules(build *s)
{
    for (size_t at = 0, end; at < s->n_rules; at = end) {
        for (end = at; end < s->n_rules && s->texts[s->sorted[end].id].len == s->texts[s->sorted[at].id].len; end++)
            apply_rule(s, &s->sorted[end], false);
        for (size_t i = at; i < end; i++)
            apply_rule(s, &s->sorted[i], true);
    }
}

/* log2 of a good size for a bit set of the rules. */
static unsigned bits_for_rules(const build *s)
{
    unsigned bits = 12;
    while (bits < 31 && (size_t)1 << bits < 8 * s->n_rules)
        bits++;
    return bits;
}

static cs_status mark_rules(build *s)
{
    unsigned bits = bits_for_rules(s);
    s->k->rule_shift = 64 - bits;
    s->k->rules = cs_arena_calloc(s->arena, (size_t)1 << (bits - 6), sizeof *s->k->rules);
    if (!s->k->rules)
        return cs_fail_nomem(s->err, (size_t)1 << (bits - 3), "a vocabulary");
    for (size_t i = 0; i < s->n_rules; i++) {
        uint32_t bit = cs_bpe_rule_bit(s->k, s->rules[i].left, s->rules[i].right);
        s->k->rules[bit >> 6] |= (uint64_t)1 << (bit & 63);
    }
    return CS_OK;
}

static cs_status mark_borders(build *s)
{
    unsigned bits = bits_for_rules(s);
    s->k->border_shift = 32 - bits;
    s->k->borders = cs_arena_calloc(s->arena, (size_t)1 << (bits - 6), sizeof *s->k->borders);
    if (!s->k->borders)
        return cs_fail_nomem(s->err, (size_t)1 << (bits - 3), "a vocabulary");
    for (size_t i = 0; i < s->n_rules; i++) {
        cs_bytes joined = s->texts[s->rules[i].id];
        size_t left = s->k->tokens[s->rules[i].left].len;
        if (left == 0 || s->k->tokens[s->rules[i].right].len == 0)
            continue;
        uint32_t bit = cs_bpe_border_bit(s->b, s->k->border_shift, joined.text, left, joined.len);
        s->k->borders[bit >> 6] |= (uint64_t)1 << (bit & 63);
    }
    return CS_OK;
}

/* The code point of a text that is just one of three bytes, else 0. */
static uint32_t three(cs_bytes t)
{
    return t.len == 3 ? cs_utf8_three((const uint8_t *)t.text) : 0;
}

/* The row of a code point by steps through the trie. */
static cs_bpe_start make_start(const cs_trie *trie, uint32_t cp)
{
    cs_bpe_start row = {.id = -1};
    uint8_t text[4];
    uint32_t node = 0;
    for (uint32_t i = 0, n = (uint32_t)cs_utf8_encode(cp, text); i < n && (node = cs_trie_step(trie, node, text[i])) != 0; i++)
        if (trie->units[node].value >= 0)
            row = (cs_bpe_start){.len = i + 1, .id = trie->units[node].value};
    row.base = node != 0 ? trie->units[node].link >> 9 : 0;
    return row;
}

static cs_status make_starts(build *s)
{
    const cs_bpe *b = s->b;
    cs_bpe_start *rows = cs_arena_calloc(s->arena, CS_BPE_STARTS, sizeof *rows);
    if (!rows)
        return cs_fail_nomem(s->err, CS_BPE_STARTS * sizeof *rows, "a vocabulary");
    for (uint32_t cp = 0x800; cp < CS_BPE_STARTS; cp++) {
        rows[cp] = make_start(&s->k->trie, cp);
        rows[cp].alone = !b->byte_level && (rows[cp].id < 0 || rows[cp].len == 3);
    }
    for (size_t i = 0; i < s->n_rules; i++) { /* row 0 is nobody's */
        rows[three(s->texts[s->rules[i].left])].alone = false;
        rows[three(s->texts[s->rules[i].right])].alone = false;
    }
    s->k->starts = rows;
    s->k->byte_ids = b->byte_fallback;
    for (int i = 0; i < 256; i++)
        s->k->byte_ids &= b->vocab->byte_id[i] >= 0;
    return CS_OK;
}

/* The trie of all texts. */
static cs_status index_texts(build *s, cs_trie_entry *entries)
{
    size_t n = 0;
    for (int32_t i = 0; i < s->b->vocab->n; i++)
        if (s->texts[i].len > 0)
            entries[n++] = (cs_trie_entry){s->texts[i].text, s->texts[i].len, i};
    return cs_trie_init(&s->k->trie, s->arena, entries, n, s->err);
}

/* Takes texts that are no tokens out of the trie. */
static void forget_others(build *s)
{
    for (int32_t i = 0; i < s->b->vocab->n; i++)
        if (s->texts[i].len > 0 && s->k->tokens[i].len == 0)
            cs_trie_forget(&s->k->trie, s->texts[i].text, s->texts[i].len);
}

/* For every token the next shorter one. */
static void find_shorter(build *s)
{
    const cs_trie *trie = &s->k->trie;
    for (int32_t i = 0; i < s->b->vocab->n; i++) {
        cs_bpe_token *t = &s->k->tokens[i];
        uint32_t node = 0;
        for (size_t j = 0; j + 1 < t->len; j++) {
            node = cs_trie_step(trie, node, (uint8_t)s->texts[i].text[j]);
            if (trie->units[node].value >= 0)
                t->shorter = trie->units[node].value;
        }
    }
}

/* The pieces that merging does not give for their own text. */
static cs_status index_whole(build *s, cs_trie_entry *entries)
{
    const cs_bpe *b = s->b;
    size_t n = 0;
    cs_trie *whole = cs_arena_calloc(s->arena, 1, sizeof *whole);
    if (!whole)
        return cs_fail_nomem(s->err, sizeof *whole, "a vocabulary");
    for (int32_t i = 0; i < b->vocab->n; i++)
        if (s->texts[i].len > 0 && !(b->walk && b->walk->tokens[i].len > 0))
            entries[n++] = (cs_trie_entry){s->texts[i].text, s->texts[i].len, i};
    CS_TRY(cs_trie_init(whole, s->arena, entries, n, s->err));
    s->b->whole = whole;
    return CS_OK;
}

static cs_status make_walk(build *s, cs_trie_entry *entries)
{
    cs_bpe *b = s->b;
    s->k = cs_arena_calloc(s->arena, 1, sizeof *s->k);
    if (!s->k || !(s->k->tokens = cs_arena_calloc(s->arena, (size_t)b->vocab->n, sizeof *s->k->tokens)) ||
        !(s->k->trees = cs_arena_calloc(s->arena, (size_t)b->vocab->n, sizeof *s->k->trees)))
        return cs_fail_nomem(s->err, (size_t)b->vocab->n * sizeof *s->k->tokens, "a vocabulary");
    CS_TRY(index_texts(s, entries));
    CS_TRY(make_rules(s));
    if (s->impossible)
        return CS_OK;
    CS_TRY(sort_rules(s));
    CS_TRY(mark_rules(s));
    b->walk = s->k;
    add_symbols(s);
    apply_rules(s);
    if (s->work.failed)
        return cs_fail_nomem(s->err, s->max_len, "a vocabulary");
    forget_others(s);
    find_shorter(s);
    CS_TRY(mark_borders(s));
    return make_starts(s);
}

cs_status cs_bpe_walk_init(cs_bpe *b, bool plain, cs_arena *arena, cs_error *err)
{
    build s = {.b = b, .arena = arena, .err = err};
    cs_status status = collect_texts(&s);
    cs_trie_entry *entries = cs_malloc(((size_t)b->vocab->n + 1) * sizeof *entries);
    if (status == CS_OK && !entries)
        status = cs_fail_nomem(err, (size_t)b->vocab->n * sizeof *entries, "a vocabulary");
    if (status == CS_OK && plain)
        status = make_walk(&s, entries);
    if (status == CS_OK && b->ignore_merges)
        status = index_whole(&s, entries);
    cs_free(entries);
    cs_free(s.texts);
    cs_free(s.bytes);
    cs_free(s.rules);
    cs_free(s.sorted);
    cs_bpe_work_release(&s.work);
    return status;
}
