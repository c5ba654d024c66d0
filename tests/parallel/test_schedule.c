/* Pipeline schedules: every legal size up to 6 stages, 4 chunks, 16 micro-batches passes the check, the slots are the known ones, and what is
 * changed in a legal table is refused exactly where a second judgement, made another way, says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "parallel/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PP = 6, CHUNKS = 4, MICRO = 16, N_KINDS = CS_SCHEDULE_FORWARD + 1 };

static bool legal(cs_schedule_kind kind, int pp, int chunks, int m)
{
    if (chunks > 1 && (pp == 1 || kind == CS_SCHEDULE_1F1B))
        return false;
    return (kind != CS_SCHEDULE_INTERLEAVED && kind != CS_SCHEDULE_FIFO) || m % pp == 0;
}

typedef void table_test(cs_schedule *s, cs_arena *arena);

/* Calls f with every legal table. */
static int each_table(int most_pp, int most_m, table_test *f)
{
    int n = 0;
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int pp = 1; pp <= most_pp; pp++)
            for (int chunks = 1; chunks <= CHUNKS; chunks++)
                for (int m = 1; m <= most_m; m++) {
                    cs_arena arena;
                    cs_schedule s;
                    cs_error err = {0};
                    cs_arena_init(&arena, "schedule");
                    cs_status status = cs_schedule_init(&s, (cs_schedule_kind)kind, pp, chunks, m, &arena, &err);
                    if (status != (legal((cs_schedule_kind)kind, pp, chunks, m) ? CS_OK : CS_E_USAGE))
                        fail_msg("%s pp %d chunks %d m %d: %d %s", cs_schedule_name((cs_schedule_kind)kind), pp, chunks, m, status, err.msg);
                    if (status == CS_OK) {
                        f(&s, &arena);
                        n++;
                    }
                    cs_arena_release(&arena);
                }
    return n;
}

static void check_table(cs_schedule *s, cs_arena *arena)
{
    cs_error err = {0};
    size_t used = arena->used;
    if (cs_schedule_check(s, arena, &err) != CS_OK)
        fail_msg("pp %d chunks %d m %lld: %s", s->pp, s->chunks, (long long)s->n_micro, err.msg);
    assert_true(arena->used == used);
}

/* Fold3D: all chunks but the first start early, each on the stage's first action after its last backward; nothing else ever does. */
static void check_reductions(cs_schedule *s, cs_arena *arena)
{
    (void)arena;
    bool fold = (s->kind == CS_SCHEDULE_AIAO || s->kind == CS_SCHEDULE_FIFO) && s->chunks > 1;
    for (int stage = 0; stage < s->pp; stage++) {
        const cs_stage_plan *p = &s->stage[stage];
        int64_t started = 0, left[CHUNKS];
        for (int c = 0; c < CHUNKS; c++)
            left[c] = s->n_micro;
        for (int64_t i = 0; i < p->n_actions; i++) {
            const cs_action *a = &p->action[i], *prev = i ? a - 1 : NULL;
            bool ended = fold && prev && prev->pass == CS_PASS_BACKWARD && left[prev->chunk] == 0;
            assert_int_equal(a->start_reduce, ended ? prev->chunk : -1);
            started += a->start_reduce >= 0;
            left[a->chunk] -= a->pass == CS_PASS_BACKWARD;
        }
        assert_int_equal(started, fold ? s->chunks - 1 : 0);
    }
}

static void all_legal_sizes(void **state)
{
    (void)state;
    int n = each_table(PP, MICRO, check_table);
    print_message("%d tables\n", n);
    assert_true(n > 800);
    each_table(PP, MICRO, check_reductions);
}

static void known_slots(void **state)
{
    (void)state;
    static const struct {
        cs_schedule_kind kind;
        int chunks, slots[4], first_reduce; /* action at which stage 0 starts its first reduction, -1 = none */
    } known[] = {
        {CS_SCHEDULE_1F1B, 1, {4, 3, 2, 1}, -1},
        {CS_SCHEDULE_INTERLEAVED, 2, {11, 9, 7, 5}, -1},
        {CS_SCHEDULE_FIFO, 2, {11, 9, 7, 5}, 28},
        {CS_SCHEDULE_AIAO, 2, {16, 16, 16, 16}, 24},
        {CS_SCHEDULE_FORWARD, 2, {0, 0, 0, 0}, -1},
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        cs_arena arena;
        cs_schedule s;
        cs_arena_init(&arena, "schedule");
        assert_int_equal(cs_schedule_init(&s, known[k].kind, 4, known[k].chunks, 8, &arena, NULL), CS_OK);
        for (int stage = 0; stage < 4; stage++)
            assert_int_equal(s.stage[stage].n_slots, known[k].slots[stage]);
        int64_t first = -1;
        for (int64_t i = s.stage[0].n_actions - 1; i >= 0; i--)
            first = s.stage[0].action[i].start_reduce >= 0 ? i : first;
        assert_int_equal(first, known[k].first_reduce);
        cs_arena_release(&arena);
    }
}

/* Orders written out: pass and micro-batch (1F1B), pass, chunk and micro-batch. */
static void known_orders(void **state)
{
    (void)state;
    static const struct {
        cs_schedule_kind kind;
        int pp, chunks, m, stage;
        const char *order;
    } known[] = {
        {CS_SCHEDULE_1F1B, 3, 1, 4, 0, "F00 F01 F02 B00 F03 B01 B02 B03 "},
        {CS_SCHEDULE_1F1B, 3, 1, 4, 2, "F00 B00 F01 B01 F02 B02 F03 B03 "},
        {CS_SCHEDULE_1F1B, 4, 1, 2, 0, "F00 F01 B00 B01 "},
        {CS_SCHEDULE_FIFO, 1, 1, 2, 0, "F00 B00 F01 B01 "},
        {CS_SCHEDULE_INTERLEAVED, 2, 2, 4, 1, "F00 F01 F10 B10 F11 B11 F02 B00 F03 B01 F12 B12 F13 B13 B02 B03 "},
        {CS_SCHEDULE_INTERLEAVED, 2, 2, 2, 1, "F00 F01 F10 F11 B10 B11 B00 B01 "},
        {CS_SCHEDULE_AIAO, 2, 2, 3, 0, "F00 F01 F02 F10 F11 F12 B10 B11 B12 B00 B01 B02 "},
        {CS_SCHEDULE_FORWARD, 2, 2, 3, 0, "F00 F01 F10 F11 F02 F12 "},
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        cs_arena arena;
        cs_schedule s;
        char text[400] = "";
        cs_arena_init(&arena, "schedule");
        assert_int_equal(cs_schedule_init(&s, known[k].kind, known[k].pp, known[k].chunks, known[k].m, &arena, NULL), CS_OK);
        const cs_stage_plan *p = &s.stage[known[k].stage];
        for (int64_t i = 0; i < p->n_actions; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%c%d%lld ", "FB"[p->action[i].pass], p->action[i].chunk,
                     (long long)p->action[i].micro);
        assert_string_equal(text, known[k].order);
        cs_arena_release(&arena);
    }
}

/* --- a second judgement of a table whose actions were only reordered ------------------------------------------------------------------- */

enum { MOST = PP * 2 * CHUNKS * MICRO };

static int piece_of(const cs_schedule *s, int stage, const cs_action *a)
{
    return a->chunk * s->pp + stage;
}

/* Each pair's forward before its backward, no slot taken by two, and no circle among "before it on the stage" and "makes its input". */
static bool judge(const cs_schedule *s)
{
    static int stage_of[MOST], blocked[MOST];
    static const cs_action *action[MOST];
    int n = 0, done = 0;
    for (int stage = 0; stage < s->pp; stage++) {
        const cs_stage_plan *p = &s->stage[stage];
        for (int64_t i = 0; i < p->n_actions; i++) {
            const cs_action *a = &p->action[i];
            for (int64_t k = 0; k < i; k++) { /* whatever was taken by another before must have been given back in between */
                const cs_action *b = &p->action[k];
                if (a->chunk == b->chunk && a->micro == b->micro && (a->pass == b->pass || a->pass == CS_PASS_FORWARD))
                    return false;
                if (a->pass == CS_PASS_FORWARD && b->pass == CS_PASS_FORWARD && a->slot == b->slot) {
                    bool back = s->kind == CS_SCHEDULE_FORWARD;
                    for (int64_t j = k + 1; j < i; j++)
                        back |= p->action[j].pass == CS_PASS_BACKWARD && p->action[j].chunk == b->chunk && p->action[j].micro == b->micro;
                    if (!back)
                        return false;
                }
            }
            bool forward = false;
            for (int64_t k = 0; k < i; k++)
                forward |= p->action[k].pass == CS_PASS_FORWARD && p->action[k].chunk == a->chunk && p->action[k].micro == a->micro;
            if (a->pass == CS_PASS_BACKWARD && !forward)
                return false;
            stage_of[n] = i ? stage : -1 - stage; /* negative: first of its stage */
            blocked[n] = (i > 0) + (a->recv_from >= 0);
            action[n++] = a;
        }
    }
    for (bool moves = true; moves;) {
        moves = false;
        for (int x = 0; x < n; x++) {
            if (blocked[x] != 0)
                continue;
            blocked[x] = -1;
            moves = true;
            done++;
            if (x + 1 < n && stage_of[x + 1] >= 0)
                blocked[x + 1]--;
            int stage = stage_of[x] < 0 ? -1 - stage_of[x] : stage_of[x];
            int to = piece_of(s, stage, action[x]) + (action[x]->pass == CS_PASS_FORWARD ? 1 : -1);
            for (int y = 0; y < n; y++) {
                int at = stage_of[y] < 0 ? -1 - stage_of[y] : stage_of[y];
                if (action[y]->pass == action[x]->pass && action[y]->micro == action[x]->micro && piece_of(s, at, action[y]) == to)
                    blocked[y]--;
            }
        }
    }
    return done == n;
}

static int n_refused, n_kept;

static void swap_two(cs_schedule *s, cs_arena *arena)
{
    for (int k = 0; k < 6; k++) {
        int stage = rand() % s->pp;
        cs_stage_plan *p = &s->stage[stage];
        int64_t i = rand() % p->n_actions, j = k % 2 ? (i + 1) % p->n_actions : rand() % p->n_actions;
        cs_action a = p->action[i], b = p->action[j];
        a.start_reduce = b.start_reduce = -1;
        for (int64_t x = 0; x < p->n_actions; x++)
            p->action[x].start_reduce = -1;
        p->action[i] = b;
        p->action[j] = a;
        cs_error err = {0};
        bool ok = judge(s), found = cs_schedule_check(s, arena, &err) == CS_OK;
        if (ok != found)
            fail_msg("%s pp %d chunks %d m %lld, stage %d, actions %lld and %lld swapped: legal %d, said %d %s", cs_schedule_name(s->kind), s->pp,
                     s->chunks, (long long)s->n_micro, stage, (long long)i, (long long)j, ok, found, err.msg);
        n_kept += ok;
        n_refused += !ok;
        p->action[i] = a;
        p->action[j] = b;
    }
}

static void swaps_are_judged(void **state)
{
    (void)state;
    srand(7);
    each_table(4, 8, swap_two);
    print_message("swapped: %d refused, %d harmless\n", n_refused, n_kept);
    assert_true(n_refused > 500 && n_kept > 100);
}

static void refused(cs_schedule *s, cs_arena *arena, const char *how)
{
    cs_error err = {0};
    if (cs_schedule_check(s, arena, &err) != CS_E_INTERNAL)
        fail_msg("%s pp %d chunks %d m %lld: accepted although %s", cs_schedule_name(s->kind), s->pp, s->chunks, (long long)s->n_micro, how);
}

static void mutate(cs_schedule *s, cs_arena *arena)
{
    for (int stage = 0; stage < s->pp; stage++) {
        cs_stage_plan *p = &s->stage[stage];
        for (int64_t i = 0; i < p->n_actions; i++) {
            cs_action kept = p->action[i], *a = &p->action[i];
#define TRY(change)                   \
    do {                              \
        change;                       \
        refused(s, arena, #change);   \
        *a = kept;                    \
    } while (0)
            TRY(a->recv_from = a->recv_from < 0 ? 0 : -1);
            TRY(a->send_to = a->send_to < 0 ? 0 : -1);
            TRY(a->recv_from = a->recv_from < 0 ? 0 : s->pp);
            if (s->pp > 2 && a->send_to >= 0)
                TRY(a->send_to = (a->send_to + 1) % s->pp);
            if (s->pp > 2 && a->recv_from >= 0)
                TRY(a->recv_from = (a->recv_from + 1) % s->pp);
            TRY(a->slot = p->n_slots);
            TRY(a->slot++);
            TRY(a->slot = -2);
            TRY(a->chunk = s->chunks);
            TRY(a->micro = -1);
            TRY(a->micro = s->n_micro);
            if (s->n_micro > 1)
                TRY(a->micro = (a->micro + 1) % s->n_micro);
            TRY(a->start_reduce = s->chunks);
            TRY(a->start_reduce = a->chunk); /* this action's own gradients are still to come, or it is a forward */
            TRY(a->pass = a->pass == CS_PASS_FORWARD ? CS_PASS_BACKWARD : CS_PASS_FORWARD);
            TRY(a->pass = (cs_pass)2);
#undef TRY
        }
        p->n_actions--;
        refused(s, arena, "the last action is missing");
        memmove(p->action, p->action + 1, (size_t)p->n_actions * sizeof *p->action);
        refused(s, arena, "the first and last actions are missing");
        return; /* the table is spoilt */
    }
}

static void mutations_are_refused(void **state)
{
    (void)state;
    each_table(4, 8, mutate);
}

static void deadlock_is_found(void **state)
{
    (void)state;
    cs_arena arena;
    cs_schedule s;
    cs_error err = {0};
    cs_arena_init(&arena, "schedule");
    assert_int_equal(cs_schedule_init(&s, CS_SCHEDULE_1F1B, 2, 1, 2, &arena, NULL), CS_OK);
    cs_action *a = s.stage[0].action, *b = s.stage[1].action; /* F0 F1 B0 B1; F0 B0 F1 B1 */
    cs_action first[2] = {b[0], b[1]};
    memcpy(b, b + 2, 2 * sizeof *b);
    memcpy(b + 2, first, sizeof first);
    assert_int_equal(cs_schedule_check(&s, &arena, &err), CS_OK); /* backward order differs, all sends are there */
    cs_action f1 = a[1], b0 = a[2];
    a[1] = b0;
    a[2] = f1;
    a[1].slot = a[0].slot;
    assert_int_equal(cs_schedule_check(&s, &arena, &err), CS_E_INTERNAL); /* 0 waits for B0, 1 for F1 */
    assert_non_null(strstr(err.msg, "deadlock"));
    cs_arena_release(&arena);
}

static void absurd_sizes(void **state)
{
    (void)state;
    cs_arena arena;
    cs_schedule s;
    cs_error err = {0};
    cs_arena_init(&arena, "schedule");
    assert_int_equal(cs_schedule_init(&s, CS_SCHEDULE_AIAO, 4, 2, INT64_MAX / 2, &arena, &err), CS_E_NOMEM);
    assert_int_equal(cs_schedule_init(&s, CS_SCHEDULE_AIAO, 4, 0, 4, &arena, &err), CS_E_USAGE);
    assert_int_equal(cs_schedule_init(&s, CS_SCHEDULE_AIAO, 1 << 30, 4, 4, &arena, &err), CS_E_USAGE);
    assert_int_equal(cs_schedule_init(&s, CS_SCHEDULE_1F1B, 1, 1, 0, &arena, &err), CS_E_USAGE);
    cs_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_legal_sizes),       cmocka_unit_test(known_slots),       cmocka_unit_test(known_orders),
        cmocka_unit_test(swaps_are_judged),      cmocka_unit_test(mutations_are_refused), cmocka_unit_test(deadlock_is_found),
        cmocka_unit_test(absurd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
