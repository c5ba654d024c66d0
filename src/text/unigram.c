/* Unigram segmentation. */
#include "text/unigram.h"

#include <float.h>

#define UNK_PENALTY 10.0f

enum { NOT_REACHED = INT32_MIN };

/* The trie of the first n pieces, of equal texts the last one when `wide`. */
static cs_status make_trie(cs_unigram *u, cs_arena *arena, size_t n, cs_error *err)
{
    size_t used = 0;
    cs_trie_entry *entries = cs_malloc((n + 1) * sizeof *entries);
    if (!entries)
        return cs_fail_nomem(err, n * sizeof *entries, "a vocabulary");
    for (size_t k = 0; k < n; k++) {
        size_t i = u->wide ? n - 1 - k : k;
        const cs_piece *p = &u->vocab->pieces[i];
        if (p->len > 0 && (p->type == CS_PIECE_NORMAL || p->type == CS_PIECE_USER))
            entries[used++] = (cs_trie_entry){p->text, p->len, (int32_t)i};
        u->max_len = p->len > u->max_len ? p->len : u->max_len;
    }
    cs_status status = cs_trie_init(&u->trie, arena, entries, used, err);
    cs_free(entries);
    return status;
}

cs_status cs_unigram_init(cs_unigram *u, cs_arena *arena, const cs_vocab *vocab, bool byte_fallback, cs_error *err)
{
    float lo = FLT_MAX;
    *u = (cs_unigram){.vocab = vocab, .byte_fallback = byte_fallback};
    u->scores = cs_arena_calloc(arena, (size_t)vocab->n, sizeof *u->scores);
    if (!u->scores)
        return cs_fail_nomem(err, (size_t)vocab->n * sizeof *u->scores, "a vocabulary");
    for (int32_t i = 0; i < vocab->n; i++) {
        const cs_piece *p = &vocab->pieces[i];
        /* of user-defined pieces: a bonus above any log-probability, by length */
        u->scores[i] = p->type == CS_PIECE_USER ? 0.1f * (float)(p->len - 1) : p->score;
        if (p->type == CS_PIECE_NORMAL && p->score < lo)
            lo = p->score;
    }
    u->unk_score = lo - UNK_PENALTY;
    return make_trie(u, arena, (size_t)vocab->n, err);
}

cs_status cs_unigram_init_wide(cs_unigram *u, cs_arena *arena, const cs_vocab *vocab, double *scores, size_t n, bool byte_fallback, cs_error *err)
{
    double lo = DBL_MAX;
    *u = (cs_unigram){.vocab = vocab, .scores = scores, .byte_fallback = byte_fallback, .wide = true};
    for (size_t i = 0; i < n; i++)
        lo = scores[i] < lo ? scores[i] : lo;
    u->unk_score = lo - (double)UNK_PENALTY;
    return make_trie(u, arena, n, err);
}

/* Where the search stands. Positions of `path` count from `base`. */
typedef struct search {
    const cs_unigram *u;
    cs_unigram_work *w;
    const char *text;
    size_t len, base;
    size_t reach; /* the last position that some piece ended at */
    bool after_unk;
    size_t run; /* wide: where the unknown run that goes on began, SIZE_MAX = none */
    cs_ids *out, *ends;
} search;

static bool make_room(cs_unigram_work *w, size_t positions)
{
    size_t cap = w->cap ? w->cap : 256;
    while (cap < positions)
        cap *= 2;
    cs_unigram_best *more = cs_realloc(w->path, cap * sizeof *more);
    if (!more)
        return false;
    for (size_t i = w->cap; i < cap; i++)
        more[i].id = NOT_REACHED;
    w->path = more;
    w->cap = cap;
    return true;
}

/* Takes `path` when it is better than what is there. */
static inline void offer(cs_unigram_best *there, cs_unigram_best path)
{
    if (there->id == NOT_REACHED || path.score > there->score)
        *there = path;
}

/* Offers every piece that begins at text[at], whose first code point has n bytes. */
static bool extend(search *s, size_t at, size_t n)
{
    size_t from = at - s->base, reach = s->reach - at, max = s->len - at < s->u->max_len ? s->len - at : s->u->max_len;
    if (from + s->u->max_len + n >= s->w->cap && !make_room(s->w, from + s->u->max_len + n + 1))
        return false;
    const cs_trie *trie = &s->u->trie;
    const double *scores = s->u->scores;
    const uint8_t *text = (const uint8_t *)s->text + at;
    cs_unigram_best *here = s->w->path + from;
    const bool wide = s->u->wide; /* else sums are rounded: that of two f32 in f64, rounded, is their sum in f32 */
    const double so_far = here->score, unk = s->u->unk_score + so_far;
    bool single = false;
    size_t k;
    uint32_t node = cs_trie_start(trie, text, max, &k);
    for (k++; k <= max && (node = cs_trie_step(trie, node, text[k - 1])) != 0; k++) {
        int32_t id = trie->units[node].value;
        if (id < 0)
            continue;
        double sum = scores[id] + so_far;
        offer(here + k, (cs_unigram_best){wide ? sum : (float)sum, id, (uint32_t)from});
        reach = k > reach ? k : reach;
        single |= k == n;
    }
    if (!single) {
        offer(here + n, (cs_unigram_best){wide ? unk : (float)unk, -1, (uint32_t)from});
        reach = n > reach ? n : reach;
    }
    s->reach = at + reach;
    return true;
}

static void put_id(search *s, int32_t id, size_t end)
{
    cs_ids_push(s->out, id);
    if (s->ends)
        cs_ids_push(s->ends, (int32_t)end);
}

/* The pieces of a path by SentencePiece's rules. */
static void put_piece(search *s, const cs_unigram_best *path, uint32_t at, uint32_t next)
{
    bool unknown = path[next].id < 0;
    for (uint32_t i = at; unknown && s->u->byte_fallback && i < next; i++)
        put_id(s, s->u->vocab->byte_id[(uint8_t)s->text[s->base + i]], s->base + i + 1);
    if (!unknown)
        put_id(s, path[next].id, s->base + next);
    else if (!s->u->byte_fallback && !s->after_unk)
        put_id(s, s->u->vocab->unk, s->base + next);
    else if (!s->u->byte_fallback && s->ends && !s->ends->failed && s->ends->len > 0)
        s->ends->data[s->ends->len - 1] = (int32_t)(s->base + next);
    s->after_unk = unknown;
}

/* Ends an unknown run: it may be a piece after all, else it is bytes if all of them are pieces. */
static void end_run(search *s, size_t end)
{
    const cs_vocab *vocab = s->u->vocab;
    if (s->run == SIZE_MAX)
        return;
    int32_t id = cs_vocab_find(vocab, s->text + s->run, end - s->run);
    bool bytes = id < 0 && s->u->byte_fallback;
    for (size_t i = s->run; bytes && i < end; i++)
        bytes = vocab->byte_id[(uint8_t)s->text[i]] >= 0;
    for (size_t i = s->run; bytes && i < end; i++)
        put_id(s, vocab->byte_id[(uint8_t)s->text[i]], end);
    if (!bytes)
        put_id(s, id < 0 ? vocab->unk : id, end);
    s->run = SIZE_MAX;
}

/* The pieces of a path by tokenizers' rules. */
static void put_wide(search *s, const cs_unigram_best *path, uint32_t at, uint32_t next)
{
    int32_t id = path[next].id;
    if (id < 0 || id == s->u->vocab->unk) {
        s->run = s->run == SIZE_MAX ? s->base + at : s->run;
        s->after_unk |= id < 0;
        return;
    }
    end_run(s, s->base + at);
    put_id(s, id, s->base + next);
}

/* Writes the path from `base` to `end`, and goes on from there with its score. */
static void settle(search *s, size_t end)
{
    cs_unigram_best *path = s->w->path;
    uint32_t last = (uint32_t)(end - s->base), next = UINT32_MAX;
    double score = path[last].score;
    for (uint32_t at = last;;) { /* turn the back pointers round */
        uint32_t from = path[at].from;
        path[at].from = next;
        next = at;
        if (at == 0)
            break;
        at = from;
    }
    for (uint32_t at = 0; (next = path[at].from) != UINT32_MAX; at = next) {
        if (s->u->wide)
            put_wide(s, path, at, next);
        else
            put_piece(s, path, at, next);
    }
    for (uint32_t i = 1; i <= last; i++)
        path[i].id = NOT_REACHED;
    s->base = end;
    path[0].score = score;
}

/* A position that no piece crosses is on every path: what is in front of it is decided. The sum of scores goes on, so that it is rounded as if
 * the whole text were looked at. */
cs_status cs_unigram_encode(const cs_unigram *u, cs_unigram_work *w, const char *text, size_t len, cs_ids *out, cs_ids *ends, cs_error *err)
{
    static const uint8_t lengths[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4}; /* of a code point by its first byte */
    search s = {.u = u, .w = w, .text = text, .len = len, .run = SIZE_MAX, .out = out, .ends = ends};
    bool ok = w->cap > 0 || make_room(w, 1);
    if (ok)
        w->path[0] = (cs_unigram_best){0};
    for (size_t at = 0, n; ok && at < len; at += n) {
        if (at == s.reach && at > 0)
            settle(&s, at);
        n = lengths[(uint8_t)text[at] >> 4];
        n = n < len - at ? n : len - at;
        ok = extend(&s, at, n);
    }
    if (!ok)
        return cs_fail_nomem(err, w->cap * 2 * sizeof *w->path, "unigram tokenization");
    if (len > 0)
        settle(&s, len);
    end_run(&s, len);
    if (u->wide && s.after_unk && u->vocab->unk < 0)
        return cs_fail(err, CS_E_FORMAT, "the text has a character that is in no piece, and the tokenizer has no unknown piece");
    CS_TRY(cs_ids_check(out, err));
    return ends ? cs_ids_check(ends, err) : CS_OK;
}

void cs_unigram_work_release(cs_unigram_work *w)
{
    cs_free(w->path);
    *w = (cs_unigram_work){0};
}
