/* Byte-pair merging. The three kinds differ in how symbols start, how a pair is looked up and what an unknown symbol becomes; the merge
 * loop is one. */
#include "text/bpe.h"

#include "fmt/limits.h"
#include "text/bpe_walk.h"
#include "text/utf8.h"

#include <string.h>

#define UNKNOWN (-1)

/* ---- candidates: a binary min-heap on key ---- */

static void heap_push(cs_bpe_work *w, cs_bpe_candidate c)
{
    if (w->n_heap == w->cap_heap) {
        size_t cap = w->cap_heap ? 2 * w->cap_heap : 256;
        cs_bpe_candidate *more = cs_realloc(w->heap, cap * sizeof *more);
        if (!more) {
            w->failed = true;
            return;
        }
        w->heap = more;
        w->cap_heap = cap;
    }
    size_t i = w->n_heap++;
    for (; i > 0 && w->heap[(i - 1) / 2].key > c.key; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
}

static cs_bpe_candidate heap_pop(cs_bpe_work *w)
{
    cs_bpe_candidate top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
        if (child + 1 < w->n_heap && w->heap[child + 1].key < w->heap[child].key)
            child++;
        if (w->heap[child].key >= last.key)
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

/* ---- pair lookup ---- */

static const cs_bpe_pair *find_pair(const cs_bpe *b, int32_t left, int32_t right)
{
    uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
    for (uint32_t i = cs_bpe_pair_slot(b, key); b->pairs[i].key != 0; i = (i + 1) & b->pair_mask)
        if (b->pairs[i].key == key)
            return &b->pairs[i];
    return NULL;
}

/* The piece made of two neighbours, or UNKNOWN; *rank its order. */
static int32_t join(const cs_bpe *b, const cs_bpe_symbol *l, const cs_bpe_symbol *r, const char *text, uint32_t *rank)
{
    int32_t id = UNKNOWN;
    if (b->kind == CS_BPE_PAIRS) {
        const cs_bpe_pair *p = find_pair(b, l->id, r->id);
        if (!p)
            return UNKNOWN;
        *rank = p->rank;
        return p->id;
    }
    if (b->kind == CS_BPE_TEXT) {
        if (!l->frozen && !r->frozen)
            id = cs_vocab_find(b->vocab, text + l->at, (size_t)l->len + r->len);
    } else {
        char joined[CS_LIMIT_LLAMA2C_TOKEN];
        const cs_piece *x = &b->vocab->pieces[l->id], *y = &b->vocab->pieces[r->id];
        if ((size_t)x->len + y->len <= sizeof joined) {
            memcpy(joined, x->text, x->len);
            memcpy(joined + x->len, y->text, y->len);
            id = cs_vocab_find(b->vocab, joined, (size_t)x->len + y->len);
        }
    }
    if (id >= 0)
        *rank = b->vocab->pieces[id].rank;
    return id;
}

static void add_candidate(const cs_bpe *b, cs_bpe_work *w, int32_t left, int32_t right, const char *text)
{
    if (left < 0 || right < 0)
        return;
    const cs_bpe_symbol *l = &w->symbols[left], *r = &w->symbols[right];
    uint32_t rank;
    int32_t id = join(b, l, r, text, &rank);
    if (id < 0)
        return;
    heap_push(w, (cs_bpe_candidate){(uint64_t)rank << 32 | (uint32_t)left, l->len + r->len, id});
    if (w->unused_split && b->vocab->pieces[id].type == CS_PIECE_UNUSED)
        w->unused_split[id] = l->len;
}

/* True when the candidate still describes two neighbours. */
static bool is_fresh(const cs_bpe *b, const cs_bpe_work *w, const cs_bpe_candidate *c)
{
    const cs_bpe_symbol *l = &w->symbols[(uint32_t)c->key];
    if (l->len == 0 || l->next < 0)
        return false;
    const cs_bpe_symbol *r = &w->symbols[l->next];
    if (b->kind != CS_BPE_PAIRS)
        return l->len + r->len == c->bytes;
    const cs_bpe_pair *p = find_pair(b, l->id, r->id); /* as HF tokenizers: another pair with the same result is taken too */
    return p && p->id == c->id;
}

static void merge_all(const cs_bpe *b, cs_bpe_work *w, const char *text)
{
    w->n_heap = 0;
    for (size_t i = 1; i < w->n_symbols; i++)
        add_candidate(b, w, (int32_t)i - 1, (int32_t)i, text);
    while (w->n_heap > 0) {
        cs_bpe_candidate c = heap_pop(w);
        if (!is_fresh(b, w, &c))
            continue;
        int32_t left = (int32_t)(uint32_t)c.key;
        cs_bpe_symbol *l = &w->symbols[left], *r = &w->symbols[l->next];
        l->len += r->len; /* of what it is made of: text that was dropped in between counts for `end` only */
        l->end = r->end;
        l->id = c.id;
        l->next = r->next;
        r->len = 0;
        if (l->next >= 0)
            w->symbols[l->next].prev = left;
        add_candidate(b, w, l->prev, left, text);
        add_candidate(b, w, left, l->next, text);
    }
}

/* ---- output ---- */

static void put_id(cs_bpe_work *w, int32_t id, uint32_t end, cs_ids *out)
{
    cs_ids_push(out, id);
    if (!w->ends)
        return;
    int32_t last = w->n_ends > 0 ? w->ends->data[w->ends->len - 1] : 0;
    cs_ids_push(w->ends, (int32_t)end > last ? (int32_t)end : last);
    w->n_ends = w->ends->failed ? 0 : w->n_ends + 1;
}

/* The id of a piece text[at, at + len) of TEXT kind; unused pieces fall apart again along the pair they were made of. */
static void put_piece(const cs_bpe *b, cs_bpe_work *w, const char *text, uint32_t at, uint32_t len, int32_t id, cs_ids *out)
{
    while (id >= 0 && w->unused_split && b->vocab->pieces[id].type == CS_PIECE_UNUSED && w->unused_split[id] > 0 &&
           w->unused_split[id] < len) {
        uint32_t left = w->unused_split[id];
        put_piece(b, w, text, at, left, cs_vocab_find(b->vocab, text + at, left), out);
        at += left;
        len -= left;
        id = cs_vocab_find(b->vocab, text + at, len);
    }
    bool unknown = id < 0;
    for (uint32_t i = at; unknown && b->byte_fallback && i < at + len; i++)
        put_id(w, b->vocab->byte_id[(uint8_t)text[i]], i + 1, out);
    if (!unknown)
        put_id(w, id, at + len, out);
    else if (!b->byte_fallback && !w->after_unk)
        put_id(w, b->vocab->unk, at + len, out);
    else if (!b->byte_fallback && w->n_ends > 0)
        w->ends->data[w->ends->len - 1] = (int32_t)(at + len);
    w->after_unk = unknown;
}

static void flush(const cs_bpe *b, cs_bpe_work *w, const char *text, cs_ids *out)
{
    if (w->n_symbols == 0)
        return;
    for (size_t i = 0; i < w->n_symbols; i++) {
        w->symbols[i].prev = (int32_t)i - 1;
        w->symbols[i].next = i + 1 < w->n_symbols ? (int32_t)i + 1 : -1;
    }
    merge_all(b, w, text);
    for (int32_t i = 0; i >= 0; i = w->symbols[i].next) {
        const cs_bpe_symbol *s = &w->symbols[i];
        if (b->kind == CS_BPE_TEXT)
            put_piece(b, w, text, s->at, s->len, s->id >= 0 ? s->id : cs_vocab_find(b->vocab, text + s->at, s->len), out);
        else if (b->kind == CS_BPE_PAIRS)
            put_id(w, s->id, w->passed += s->len, out);
        else
            put_id(w, s->id, s->end, out);
    }
    w->n_symbols = 0;
}

/* ---- symbols ---- */

static void add_symbol(cs_bpe_work *w, size_t at, size_t len, int32_t id, bool frozen)
{
    if (w->n_symbols == w->cap_symbols) {
        size_t cap = w->cap_symbols ? 2 * w->cap_symbols : 128;
        cs_bpe_symbol *more = cs_realloc(w->symbols, cap * sizeof *more);
        if (!more) {
            w->failed = true;
            return;
        }
        w->symbols = more;
        w->cap_symbols = cap;
    }
    w->symbols[w->n_symbols++] = (cs_bpe_symbol){.at = (uint32_t)at, .len = (uint32_t)len, .end = (uint32_t)(at + len), .id = id, .frozen = frozen};
}

static uint32_t border_bit(const cs_bpe *b, uint32_t left, uint32_t right)
{
    return (uint32_t)(((uint64_t)left << 21 | right) * 0x9e3779b97f4a7c15u >> 32) & b->border_mask;
}

/* Can no merge go from code point `left` to `right`? Values above U+10FFFF stand for "not a code point". */
static bool can_cut(const cs_bpe *b, uint32_t left, uint32_t right)
{
    if (!b->borders || left > 0x10ffff || right > 0x10ffff)
        return false;
    uint32_t bit = border_bit(b, left, right);
    return !(b->borders[bit >> 6] >> (bit & 63) & 1);
}

enum { NO_CODE_POINT = 0x110000 };

static void queue_text(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t from, size_t to, cs_ids *out)
{
    uint32_t before = NO_CODE_POINT, cp;
    for (size_t i = from, n; i < to; i += n, before = cp) {
        int32_t id = UNKNOWN;
        n = b->user ? cs_trie_longest(b->user, text + i, to - i, &id) : 0;
        bool frozen = n > 0;
        cp = NO_CODE_POINT;
        if (!frozen) {
            n = cs_utf8_decode((const uint8_t *)text + i, to - i, &cp);
            n = n ? n : 1;
            if (can_cut(b, before, cp))
                flush(b, w, text, out);
        }
        add_symbol(w, i, n, id, frozen);
    }
    flush(b, w, text, out);
}

/* Where the ids from out->data[first] on end when the first of them begins at `at`. */
static void put_ends(const cs_bpe *b, cs_bpe_work *w, size_t first, size_t at, const cs_ids *out)
{
    for (size_t i = first; w->ends && i < out->len; i++) {
        at += b->walk->tokens[out->data[i]].len;
        cs_ids_push(w->ends, (int32_t)at);
        w->n_ends = w->ends->failed ? 0 : w->n_ends + 1;
    }
}

/* Text without user-defined pieces. */
static void walk_text(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t from, size_t to, cs_ids *out)
{
    for (size_t at = from, done; at < to; at += done) {
        size_t first = out->len;
        if (!cs_bpe_walk_encode(b, w, text + at, to - at, out, &done)) {
            queue_text(b, w, text, at, to, out);
            return;
        }
        put_ends(b, w, first, at, out);
        w->after_unk &= out->len == first;
        if (at + done < to) { /* a code point that is in no piece */
            size_t n = cs_utf8_decode((const uint8_t *)text + at + done, to - at - done, NULL);
            n = n ? n : 1;
            put_piece(b, w, text, (uint32_t)(at + done), (uint32_t)n, UNKNOWN, out);
            done += n;
        }
    }
}

static void encode_text(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out)
{
    if (!b->walk) {
        queue_text(b, w, text, 0, len, out);
        return;
    }
    size_t from = 0;
    for (size_t i = 0, n; b->user && i < len; i += n) {
        int32_t id;
        if (!b->user->inside && (i = cs_trie_next(b->user, text, len, i)) == len)
            break;
        size_t used = cs_trie_longest(b->user, text + i, len - i, &id);
        n = used ? used : cs_utf8_decode((const uint8_t *)text + i, len - i, NULL);
        n = n ? n : 1;
        if (used == 0)
            continue;
        walk_text(b, w, text, from, i, out);
        put_piece(b, w, text, (uint32_t)i, (uint32_t)n, id, out);
        from = i + n;
    }
    walk_text(b, w, text, from, len, out);
}

/* run.c's idea of a code point: a byte and up to three continuation bytes. */
static void encode_pieces(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out)
{
    uint32_t before = NO_CODE_POINT, cp;
    if (b->prefix >= 0) {
        add_symbol(w, 0, 1, b->prefix, false);
        if (w->n_symbols > 0) /* else out of memory, noted in w->failed */
            w->symbols[0].end = 0; /* not of the text */
        before = ' ';
    }
    for (size_t i = 0, n; i < len; i += n, before = cp) {
        for (n = 1; n < 4 && i + n < len && ((uint8_t)text[i + n] & 0xc0) == 0x80; n++)
            ;
        int32_t id = cs_vocab_find(b->vocab, text + i, n);
        if (id < 0 || cs_utf8_decode((const uint8_t *)text + i, n, &cp) != n)
            cp = NO_CODE_POINT;
        if (can_cut(b, before, cp))
            flush(b, w, text, out);
        if (id >= 0)
            add_symbol(w, i, n, id, false);
        for (size_t k = 0; id < 0 && k < n; k++)
            add_symbol(w, i + k, 1, b->vocab->byte_id[(uint8_t)text[i + k]], false);
    }
    flush(b, w, text, out);
}

/* The symbol at text[i]: its id (-1 = not in the vocabulary) and its bytes. */
static int32_t pair_symbol(const cs_bpe *b, const char *text, size_t i, size_t len, size_t *n, uint32_t *cp)
{
    *cp = NO_CODE_POINT;
    *n = b->byte_level ? 1 : cs_utf8_decode((const uint8_t *)text + i, len - i, cp);
    *n = *n ? *n : 1;
    return b->byte_level ? b->byte_symbol[(uint8_t)text[i]] : cs_vocab_find(b->vocab, text + i, *n);
}

static bool falls_back(const cs_bpe *b, const char *text, size_t n)
{
    bool all = b->byte_fallback;
    for (size_t k = 0; all && k < n; k++)
        all = b->vocab->byte_id[(uint8_t)text[k]] >= 0;
    return all;
}

/* An unknown run waits until a known symbol comes, as in HF tokenizers (byte symbols do not end it). */
static void queue_pairs(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out)
{
    uint32_t before = NO_CODE_POINT, cp;
    size_t unk_bytes = 0, unk_end = 0;
    w->passed = 0;
    for (size_t i = 0, n; i < len; i += n, before = cp) {
        int32_t id = pair_symbol(b, text, i, len, &n, &cp);
        bool fallback = id < 0 && falls_back(b, text + i, n);
        if (id < 0 && !fallback)
            cp = NO_CODE_POINT; /* fused or dropped: its neighbours may come together */
        if (can_cut(b, before, cp) && unk_bytes == 0)
            flush(b, w, text, out);
        if (fallback) {
            for (size_t k = 0; k < n; k++)
                add_symbol(w, i + k, 1, b->vocab->byte_id[(uint8_t)text[i + k]], false);
        } else if (id >= 0 || b->vocab->unk >= 0) {
            if (unk_bytes > 0 && (id >= 0 || !b->fuse_unk)) {
                add_symbol(w, unk_end - unk_bytes, unk_bytes, b->vocab->unk, false);
                unk_bytes = 0;
            }
            if (id >= 0) {
                add_symbol(w, i, n, id, false);
            } else {
                unk_bytes += n;
                unk_end = i + n;
            }
        }
    }
    if (unk_bytes > 0)
        add_symbol(w, unk_end - unk_bytes, unk_bytes, b->vocab->unk, false);
    flush(b, w, text, out);
}

/* As queue_pairs; false = nothing was written, the queue must do it. */
static bool walk_pairs(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out)
{
    size_t base = out->len, base_ends = w->ends ? w->ends->len : 0, unk_end = 0;
    uint32_t cp;
    for (size_t at = 0, done, n; at < len; at += done + n) {
        size_t first = out->len;
        bool ok = cs_bpe_walk_encode(b, w, text + at, len - at, out, &done);
        if (ok)
            put_ends(b, w, first, at, out);
        n = 0;
        if (ok && at + done < len) {
            const char *bad = text + at + done;
            pair_symbol(b, text, at + done, len, &n, &cp);
            bool fallback = falls_back(b, bad, n);
            for (size_t k = 0; fallback && k < n; k++)
                put_id(w, b->vocab->byte_id[(uint8_t)bad[k]], (uint32_t)(at + done + k + 1), out);
            ok = fallback ? unk_end == 0 : b->vocab->unk >= 0; /* bytes go before the unknown run; what is dropped brings its neighbours together */
            if (!fallback && unk_end > 0 && !b->fuse_unk)
                put_id(w, b->vocab->unk, (uint32_t)unk_end, out);
            unk_end = fallback ? unk_end : at + done + n;
        }
        if (!ok) {
            out->len = base;
            w->n_ends = 0;
            if (w->ends)
                w->ends->len = base_ends;
            return false;
        }
        bool known = at + done + n == len || pair_symbol(b, text, at + done + n, len, &first, &cp) >= 0;
        if (unk_end > 0 && known) {
            put_id(w, b->vocab->unk, (uint32_t)unk_end, out);
            unk_end = 0;
        }
    }
    return true;
}

static void encode_pairs(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out)
{
    int32_t id;
    if (b->whole && cs_trie_longest(b->whole, text, len, &id) == len)
        put_id(w, id, (uint32_t)len, out);
    else if (!b->walk || !walk_pairs(b, w, text, len, out))
        queue_pairs(b, w, text, len, out);
}

void cs_bpe_encode(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out, cs_ids *ends)
{
    if (b->has_unused && !w->unused_split) {
        w->unused_split = cs_calloc((size_t)b->vocab->n, sizeof *w->unused_split);
        w->failed |= !w->unused_split;
    }
    w->n_symbols = w->n_ends = 0;
    w->ends = ends;
    if (b->kind == CS_BPE_TEXT)
        encode_text(b, w, text, len, out);
    else if (b->kind == CS_BPE_PIECES)
        encode_pieces(b, w, text, len, out);
    else
        encode_pairs(b, w, text, len, out);
    w->failed |= ends && ends->failed;
}

bool cs_bpe_gives(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, const int32_t *want, size_t n)
{
    cs_ids *ends = w->ends;
    bool after_unk = w->after_unk;
    w->ends = NULL;
    cs_ids_clear(&w->trial);
    if (b->kind == CS_BPE_TEXT)
        queue_text(b, w, text, 0, len, &w->trial);
    else
        queue_pairs(b, w, text, len, &w->trial);
    w->ends = ends;
    w->after_unk = after_unk;
    w->failed |= w->trial.failed;
    return w->trial.len == n && memcmp(w->trial.data, want, n * sizeof *want) == 0;
}

void cs_bpe_work_release(cs_bpe_work *w)
{
    cs_free(w->symbols);
    cs_free(w->heap);
    cs_ids_release(&w->trial);
    cs_free(w->unused_split);
    cs_free(w->seen);
    cs_free(w->dead);
    *w = (cs_bpe_work){0};
}

void cs_bpe_work_trim(cs_bpe_work *w)
{
    enum { KEEP = 1 << 14 };
    if (w->cap_symbols > KEEP) {
        cs_free(w->symbols);
        w->symbols = NULL;
        w->cap_symbols = 0;
    }
    if (w->cap_heap > KEEP) {
        cs_free(w->heap);
        w->heap = NULL;
        w->cap_heap = 0;
    }
    if (w->cap_dead > KEEP) {
        cs_free(w->dead);
        w->dead = NULL;
        w->cap_dead = 0;
    }
}

/* ---- set-up ---- */

cs_status cs_bpe_init_pairs(cs_bpe *b, cs_arena *arena, size_t n, cs_error *err)
{
    size_t slots = 64;
    while (slots < 2 * n)
        slots *= 2;
    b->pair_mask = (uint32_t)slots - 1;
    b->pairs = cs_arena_calloc(arena, slots, sizeof *b->pairs);
    return b->pairs ? CS_OK : cs_fail_nomem(err, slots * sizeof *b->pairs, "merge rules");
}

void cs_bpe_add_pair(cs_bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
    uint32_t i = cs_bpe_pair_slot(b, key);
    while (b->pairs[i].key != 0 && b->pairs[i].key != key)
        i = (i + 1) & b->pair_mask;
    b->pairs[i] = (cs_bpe_pair){key, rank, id};
}

/* Marks every code point border inside a piece. False when the piece is not well-formed. */
static bool mark_borders(cs_bpe *b, const cs_piece *p)
{
    uint32_t before = NO_CODE_POINT, cp;
    for (size_t i = 0, n; i < p->len; i += n, before = cp) {
        n = cs_utf8_decode((const uint8_t *)p->text + i, p->len - i, &cp);
        if (n == 0)
            return false;
        if (before != NO_CODE_POINT) {
            uint32_t bit = border_bit(b, before, cp);
            b->borders[bit >> 6] |= (uint64_t)1 << (bit & 63);
        }
    }
    return true;
}

/* Every result of a merge is a piece, and its text is the text it covers, if no byte or unknown symbol takes part in merges. */
static bool pairs_are_plain(const cs_bpe *b)
{
    for (size_t i = 0; i <= b->pair_mask; i++) {
        if (b->pairs[i].key == 0)
            continue;
        int32_t side[2] = {(int32_t)((b->pairs[i].key - 1) >> 32), (int32_t)(uint32_t)(b->pairs[i].key - 1)};
        for (int k = 0; k < 2; k++) {
            const cs_piece *p = &b->vocab->pieces[side[k]];
            if (side[k] == b->vocab->unk || (b->byte_fallback && cs_spm_byte_value(p->text, p->len) >= 0))
                return false;
        }
    }
    return true;
}

/* Unused pieces matter when merges can make one: not when they are single symbols. */
static bool some_unused_is_made(const cs_bpe *b)
{
    for (int32_t i = 0; i < b->vocab->n; i++) {
        const cs_piece *p = &b->vocab->pieces[i];
        if (p->type == CS_PIECE_UNUSED && p->len > 0 && cs_utf8_decode((const uint8_t *)p->text, p->len, NULL) != p->len)
            return true;
    }
    return false;
}

cs_status cs_bpe_finish(cs_bpe *b, cs_arena *arena, cs_error *err)
{
    size_t total = 0, bits = 1 << 12;
    b->has_unused = b->has_unused && some_unused_is_made(b);
    bool plain = !b->has_unused && (b->kind != CS_BPE_PAIRS || pairs_are_plain(b));
    if (b->kind != CS_BPE_PIECES)
        CS_TRY(cs_bpe_walk_init(b, plain, arena, err));
    if (!plain || b->ignore_merges || b->byte_level)
        return CS_OK;
    for (int32_t i = 0; i < b->vocab->n; i++)
        total += b->vocab->pieces[i].len;
    while (bits < 4 * total && bits < (size_t)1 << 31)
        bits *= 2;
    b->border_mask = (uint32_t)bits - 1;
    b->borders = cs_arena_calloc(arena, bits / 64, sizeof *b->borders);
    if (!b->borders)
        return cs_fail_nomem(err, bits / 8, "a vocabulary");
    for (int32_t i = 0; i < b->vocab->n; i++)
        if (!mark_borders(b, &b->vocab->pieces[i]) && b->kind == CS_BPE_PIECES) {
            b->borders = NULL; /* raw bytes in a piece: cut nowhere */
            break;
        }
    return CS_OK;
}
