/* Unigram segmentation. */
#include "text/unigram.h"

#include "text/utf8.h"

#include <float.h>

#define UNK_PENALTY 10.0f

typedef struct best {
    float score;
    int32_t id;
    uint32_t from; /* the path's last piece is text[from, here); UINT32_MAX = not reached */
} best;

cs_status cs_unigram_init(cs_unigram *u, cs_arena *arena, const cs_vocab *vocab, bool byte_fallback, cs_error *err)
{
    size_t n = 0;
    float lo = FLT_MAX;
    *u = (cs_unigram){.vocab = vocab, .byte_fallback = byte_fallback};
    for (int32_t i = 0; i < vocab->n; i++) {
        const cs_piece *p = &vocab->pieces[i];
        if (p->type == CS_PIECE_NORMAL && p->score < lo)
            lo = p->score;
    }
    u->unk_score = lo - UNK_PENALTY;
    cs_trie_entry *entries = cs_malloc(((size_t)vocab->n + 1) * sizeof *entries);
    if (!entries)
        return cs_fail_nomem(err, (size_t)vocab->n * sizeof *entries, "a vocabulary");
    for (int32_t i = 0; i < vocab->n; i++) {
        const cs_piece *p = &vocab->pieces[i];
        if (p->len > 0 && (p->type == CS_PIECE_NORMAL || p->type == CS_PIECE_USER || p->type == CS_PIECE_UNUSED))
            entries[n++] = (cs_trie_entry){p->text, p->len, i};
    }
    cs_status status = cs_trie_init(&u->trie, arena, entries, n, err);
    cs_free(entries);
    return status;
}

static void offer(best *b, float score, int32_t id, size_t from)
{
    if (b->from == UINT32_MAX || score > b->score)
        *b = (best){score, id, (uint32_t)from};
}

/* Tries every piece that begins at text[at]. */
static void extend(const cs_unigram *u, const char *text, size_t len, size_t at, best *path)
{
    float so_far = path[at].score;
    size_t n = cs_utf8_decode((const uint8_t *)text + at, len - at, NULL);
    bool single = false;
    uint32_t node = 0;
    n = n ? n : 1;
    for (size_t i = at; i < len && (node = cs_trie_step(&u->trie, node, (uint8_t)text[i])) != 0; i++) {
        int32_t id = u->trie.units[node].value;
        if (id < 0 || u->vocab->pieces[id].type == CS_PIECE_UNUSED)
            continue;
        size_t covers = i + 1 - at;
        bool user = u->vocab->pieces[id].type == CS_PIECE_USER; /* a bonus above any log-probability, by length */
        float score = user ? 0.1f * (float)(covers - 1) : u->vocab->pieces[id].score;
        offer(&path[i + 1], score + so_far, id, at);
        single |= covers == n;
    }
    if (!single)
        offer(&path[at + n], u->unk_score + so_far, -1, at);
}

static void put_id(int32_t id, uint32_t end, cs_ids *out, cs_ids *ends)
{
    cs_ids_push(out, id);
    if (ends)
        cs_ids_push(ends, (int32_t)end);
}

cs_status cs_unigram_encode(const cs_unigram *u, const char *text, size_t len, cs_ids *out, cs_ids *ends, cs_error *err)
{
    best *path = cs_malloc((len + 1) * sizeof *path);
    if (!path)
        return cs_fail_nomem(err, (len + 1) * sizeof *path, "unigram tokenization");
    for (size_t i = 0; i <= len; i++)
        path[i] = (best){0, -1, UINT32_MAX};
    for (size_t at = 0, n; at < len; at += n) {
        extend(u, text, len, at, path);
        n = cs_utf8_decode((const uint8_t *)text + at, len - at, NULL);
        n = n ? n : 1;
    }
    uint32_t end = (uint32_t)len, next = UINT32_MAX;
    for (;;) { /* turn the back pointers round */
        uint32_t from = path[end].from;
        path[end].from = next;
        next = end;
        if (end == 0)
            break;
        end = from;
    }
    bool after_unk = false;
    for (uint32_t at = 0; (next = path[at].from) != UINT32_MAX; at = next) {
        bool unknown = path[next].id < 0;
        for (uint32_t i = at; unknown && u->byte_fallback && i < next; i++)
            put_id(u->vocab->byte_id[(uint8_t)text[i]], i + 1, out, ends);
        if (!unknown)
            put_id(path[next].id, next, out, ends);
        else if (!u->byte_fallback && !after_unk)
            put_id(u->vocab->unk, next, out, ends);
        else if (!u->byte_fallback && ends && !ends->failed)
            ends->data[ends->len - 1] = (int32_t)next;
        after_unk = unknown;
    }
    cs_free(path);
    CS_TRY(cs_ids_check(out, err));
    return ends ? cs_ids_check(ends, err) : CS_OK;
}
