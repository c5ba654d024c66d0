/* BPE by walking against BPE by merging: small random vocabularies of every kind, with rules out of order, equal scores and unreachable pieces, and
 * random texts over their letters. Also the ends of ids, and the trie against a plain list. */
#include "base/mem.h"
#include "base/rng.h"
#include "text/bpe_walk.h"
#include "text/tok.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_JOINED = 80, MAX_PIECES = MAX_JOINED + 4 + 256, PIECE_BYTES = 24, TEXT_BYTES = 180 };

typedef struct fixture {
    cs_arena arena;
    cs_vocab vocab;
    cs_bpe bpe;
    cs_trie user;
    char texts[MAX_PIECES][PIECE_BYTES];
    int32_t n;
    uint64_t seed, at;
} fixture;

static uint32_t draw(fixture *f, uint32_t below)
{
    uint32_t word[4];
    cs_rng_block(f->seed, 7, f->at++, word);
    return word[0] % below;
}

/* Letters of one, two and three bytes, the first and last ones of three among them. Those from KNOWN on are in no merge, those from SOLO on in no
 * vocabulary; at the end surrogates, U+10000 and bytes that are no code point. */
static const char *const letters[] = {"a", "\xe0\xa0\x80", "b", "\xc3\xa9", "\xe2\x96\x81", "\xef\xbf\xbf", "\xe5\xa5\xbd", "\xdf\xbf",
                                      "x", "\xe4\xbd\xa0", "\xef\xbf\xbe", "\xed\xa0\x80", "\xf0\x90\x80\x80", "\xe4\xbd", "\xff"};
enum { KNOWN = 6, SOLO = 8, LETTERS = 15 };

static int32_t find(const fixture *f, const char *text)
{
    for (int32_t i = 0; i < f->n; i++)
        if (strcmp(f->texts[i], text) == 0)
            return i;
    return -1;
}

/* Pieces: <unk>, the known letters, and joins of two earlier pieces; some pieces nothing leads to. */
static void make_pieces(fixture *f, uint32_t spread)
{
    cs_error err = {0};
    strcpy(f->texts[f->n++], "<unk>");
    for (int i = 0; i < KNOWN; i++)
        strcpy(f->texts[f->n++], letters[i]);
    for (uint32_t tries = 20 + draw(f, 60); tries > 0 && f->n < MAX_JOINED; tries--) {
        const char *a = f->texts[1 + draw(f, (uint32_t)f->n - 1)], *b = f->texts[1 + draw(f, (uint32_t)f->n - 1)];
        char joined[2 * PIECE_BYTES + 4] = ""; /* and one letter */
        strcat(strcat(joined, a), b);
        if (draw(f, 12) == 0)
            strcat(joined, letters[draw(f, KNOWN)]);
        if (strlen(joined) < PIECE_BYTES && find(f, joined) < 0)
            strcpy(f->texts[f->n++], joined);
    }
    for (int i = KNOWN; i < SOLO; i++)
        strcpy(f->texts[f->n++], letters[i]);
    int32_t n = f->n; /* what is found by its text */
    strcpy(f->texts[f->n++], "x\xe4\xbd\xa0"); /* user-defined */
    strcpy(f->texts[f->n++], "\xbd\xff");
    for (int i = 0; i < 256; i++)
        snprintf(f->texts[f->n++], PIECE_BYTES, "<0x%02X>", (unsigned)i);
    assert_int_equal(cs_vocab_init(&f->vocab, &f->arena, f->n, &err), CS_OK);
    for (int32_t i = 0; i < f->n; i++) {
        cs_piece_type type = i == 0 ? CS_PIECE_UNKNOWN : i < n ? CS_PIECE_NORMAL : i < n + 2 ? CS_PIECE_USER : CS_PIECE_BYTE;
        f->vocab.pieces[i] = (cs_piece){.text = f->texts[i], .len = (uint32_t)strlen(f->texts[i]), .score = (float)draw(f, spread), .type = type};
        if (type == CS_PIECE_BYTE)
            f->vocab.byte_id[i - n - 2] = i;
        if (i > 0 && i < n)
            cs_vocab_index(&f->vocab, i);
    }
    f->vocab.unk = 0;
    cs_trie_entry user[] = {{f->texts[n], 4, n}, {f->texts[n + 1], 2, n + 1}};
    assert_int_equal(cs_trie_init(&f->user, &f->arena, user, 1 + draw(f, 2), &err), CS_OK);
    assert_int_equal(cs_vocab_rank(&f->vocab, &err), CS_OK);
}

/* Rules in random order: about three of four splits of each piece. */
static void make_pairs(fixture *f, uint32_t spread)
{
    cs_error err = {0};
    assert_int_equal(cs_bpe_init_pairs(&f->bpe, &f->arena, 2000, &err), CS_OK);
    for (int32_t i = 1; i < f->n; i++)
        for (size_t k = 1; k < strlen(f->texts[i]); k++) {
            char left[PIECE_BYTES] = "";
            memcpy(left, f->texts[i], k);
            int32_t l = find(f, left), r = find(f, f->texts[i] + k);
            if (l > 0 && r > 0 && draw(f, 4) > 0)
                cs_bpe_add_pair(&f->bpe, l, r, draw(f, spread), i);
        }
}

static void open_fixture(fixture *f, uint64_t seed, cs_bpe_kind kind, uint32_t spread)
{
    cs_error err = {0};
    *f = (fixture){.seed = seed};
    cs_arena_init(&f->arena, "test");
    make_pieces(f, spread);
    f->bpe = (cs_bpe){.kind = kind, .vocab = &f->vocab, .prefix = -1, .fuse_unk = draw(f, 2), .byte_fallback = draw(f, 2)};
    f->bpe.user = kind == CS_BPE_TEXT && draw(f, 2) ? &f->user : NULL;
    if (kind == CS_BPE_PAIRS)
        make_pairs(f, spread);
    assert_int_equal(cs_bpe_finish(&f->bpe, &f->arena, &err), CS_OK);
    assert_non_null(f->bpe.walk);
}

static size_t make_text(fixture *f, char *text)
{
    size_t len = 0;
    uint32_t use = 1 + draw(f, LETTERS), n = draw(f, 36), rare = draw(f, 3);
    for (; n > 0; n--) {
        const char *c = letters[draw(f, rare > 0 && draw(f, 8 * rare) > 0 && use > KNOWN ? KNOWN : use)];
        memcpy(text + len, c, strlen(c));
        len += strlen(c);
    }
    return len;
}

static void compare(fixture *f, cs_bpe_work *walk, cs_bpe_work *queue, const char *text, size_t len)
{
    cs_ids got = {0}, want = {0}, got_ends = {0}, want_ends = {0};
    cs_bpe by_queue = f->bpe;
    by_queue.walk = NULL;
    walk->after_unk = queue->after_unk = false;
    cs_bpe_encode(&f->bpe, walk, text, len, &got, &got_ends);
    cs_bpe_encode(&by_queue, queue, text, len, &want, &want_ends);
    if (got.len != want.len || (want.len > 0 && memcmp(got.data, want.data, want.len * sizeof *want.data) != 0)) {
        for (size_t i = 0; i < want.len || i < got.len; i++)
            print_message("%s | %s\n", i < got.len ? f->texts[got.data[i]] : "", i < want.len ? f->texts[want.data[i]] : "");
        fail_msg("seed %llu: ids of \"%.*s\" differ: walking | merging", (unsigned long long)f->seed, (int)len, text);
    }
    cs_ids_clear(&got);
    walk->after_unk = false;
    cs_bpe_encode(&f->bpe, walk, text, len, &got, NULL); /* a way of its own to the same ids */
    assert_int_equal(got.len, want.len);
    if (want.len > 0)
        assert_memory_equal(got.data, want.data, want.len * sizeof *want.data);
    cs_ids direct = {0};
    size_t done; /* the walk finds its way alone, without the queue behind it */
    assert_true(cs_bpe_walk_encode(&f->bpe, walk, text, len, &direct, &done));
    cs_ids_release(&direct);
    assert_int_equal(got_ends.len, want_ends.len);
    if (want.len > 0)
        assert_memory_equal(got_ends.data, want_ends.data, want.len * sizeof *want.data);
    cs_ids_release(&got);
    cs_ids_release(&want);
    cs_ids_release(&got_ends);
    cs_ids_release(&want_ends);
}

static void check_kind(cs_bpe_kind kind, uint32_t spread)
{
    for (uint64_t seed = 1; seed <= 150; seed++) {
        fixture f;
        char text[TEXT_BYTES];
        cs_bpe_work walk = {0}, queue = {0};
        open_fixture(&f, seed, kind, spread);
        for (int i = 0; i < 120; i++)
            compare(&f, &walk, &queue, text, make_text(&f, text));
        cs_bpe_work_release(&walk);
        cs_bpe_work_release(&queue);
        cs_arena_release(&f.arena);
    }
}

static void text_of_distinct_scores(void **state)
{
    (void)state;
    check_kind(CS_BPE_TEXT, 100000);
}

static void text_of_equal_scores(void **state)
{
    (void)state;
    check_kind(CS_BPE_TEXT, 1);
    check_kind(CS_BPE_TEXT, 4);
}

static void pairs_of_distinct_ranks(void **state)
{
    (void)state;
    check_kind(CS_BPE_PAIRS, 100000);
}

static void pairs_of_equal_ranks(void **state)
{
    (void)state;
    check_kind(CS_BPE_PAIRS, 5);
}

/* Runs of one letter, up to lengths at which every piece of the run occurs. */
static void runs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        fixture f;
        char text[300];
        cs_bpe_work walk = {0}, queue = {0};
        open_fixture(&f, seed, seed % 2 ? CS_BPE_TEXT : CS_BPE_PAIRS, seed % 3 ? 50 : 1);
        memset(text, 'a', sizeof text);
        for (size_t n = 0; n < sizeof text; n++)
            compare(&f, &walk, &queue, text, n);
        cs_bpe_work_release(&walk);
        cs_bpe_work_release(&queue);
        cs_arena_release(&f.arena);
    }
}

/* A whole word that merges do not make is one id all the same. */
static void ignore_merges(void **state)
{
    (void)state;
    fixture f = {.seed = 1, .n = 5, .texts = {"<unk>", "a", "b", "ab", "bab"}};
    cs_error err = {0};
    cs_ids ids = {0};
    cs_bpe_work w = {0};
    cs_arena_init(&f.arena, "test");
    assert_int_equal(cs_vocab_init(&f.vocab, &f.arena, f.n, &err), CS_OK);
    for (int32_t i = 0; i < f.n; i++) {
        f.vocab.pieces[i] = (cs_piece){.text = f.texts[i], .len = (uint32_t)strlen(f.texts[i]), .type = CS_PIECE_NORMAL};
        cs_vocab_index(&f.vocab, i);
    }
    f.bpe = (cs_bpe){.kind = CS_BPE_PAIRS, .vocab = &f.vocab, .prefix = -1, .ignore_merges = true};
    assert_int_equal(cs_bpe_init_pairs(&f.bpe, &f.arena, 1, &err), CS_OK);
    cs_bpe_add_pair(&f.bpe, 1, 2, 0, 3);
    assert_int_equal(cs_bpe_finish(&f.bpe, &f.arena, &err), CS_OK);
    cs_bpe_encode(&f.bpe, &w, "bab", 3, &ids, NULL);
    cs_bpe_encode(&f.bpe, &w, "baba", 4, &ids, NULL);
    assert_int_equal(ids.len, 4);
    assert_memory_equal(ids.data, ((int32_t[]){4, 2, 3, 1}), 4 * sizeof(int32_t));
    cs_ids_release(&ids);
    cs_bpe_work_release(&w);
    cs_arena_release(&f.arena);
}

static void trie(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        fixture f = {.seed = seed};
        cs_error err = {0};
        enum { STRINGS = 400 };
        static char texts[STRINGS][12];
        cs_trie_entry entries[STRINGS], kept[STRINGS];
        uint32_t alphabet = seed % 3 == 0 ? 256 : 2 + draw(&f, 6);
        size_t n = draw(&f, STRINGS);
        cs_trie t;
        for (size_t i = 0; i < n; i++) {
            size_t len = 1 + draw(&f, 11);
            for (size_t k = 0; k < len; k++)
                texts[i][k] = (char)draw(&f, alphabet);
            entries[i] = kept[i] = (cs_trie_entry){texts[i], len, (int32_t)i};
        }
        cs_arena_init(&f.arena, "test");
        assert_int_equal(cs_trie_init(&t, &f.arena, entries, n, &err), CS_OK);
        for (int i = 0; i < 2000; i++) {
            char text[14];
            size_t len = draw(&f, 14), want = 0;
            int32_t value = -1, got_value = -1;
            for (size_t k = 0; k < len; k++)
                text[k] = (char)draw(&f, alphabet);
            if (n > 0 && i % 2)
                memcpy(text, texts[draw(&f, (uint32_t)n)], 12);
            for (size_t k = n; k-- > 0;)
                if (kept[k].len <= len && kept[k].len >= want && memcmp(text, kept[k].text, kept[k].len) == 0) {
                    want = kept[k].len;
                    value = kept[k].value;
                }
            assert_int_equal(cs_trie_longest(&t, text, len, &got_value), want);
            assert_int_equal(got_value, value);
        }
        cs_arena_release(&f.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_distinct_scores), cmocka_unit_test(text_of_equal_scores), cmocka_unit_test(pairs_of_distinct_ranks),
        cmocka_unit_test(pairs_of_equal_ranks),    cmocka_unit_test(runs),                 cmocka_unit_test(ignore_merges),
        cmocka_unit_test(trie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
