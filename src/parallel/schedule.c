/* Generators: each fills pass, chunk and micro-batch of a stage's actions in order; peers, slots and reductions follow from these in one way. */
#include "parallel/schedule.h"

#include <limits.h>

static const char *const names[] = {"1f1b", "interleaved", "aiao", "fifo", "forward"};

const char *cs_schedule_name(cs_schedule_kind kind)
{
    return names[kind];
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void put(cs_stage_plan *p, cs_pass pass, int64_t chunk, int64_t micro)
{
    p->action[p->n_actions++] = (cs_action){.pass = pass, .chunk = (int)chunk, .micro = micro};
}

/* The k-th forward of the interleaved order: pp micro-batches through every chunk before the next pp. The last group may be smaller where only
 * forwards run. Backwards take the chunks from the last to the first. */
static void put_interleaved(const cs_schedule *s, cs_stage_plan *p, cs_pass pass, int64_t k)
{
    int64_t group = k / ((int64_t)s->pp * s->chunks), first = group * s->pp, wide = smaller(s->pp, s->n_micro - first);
    int64_t within = k - first * s->chunks, chunk = within / wide;
    put(p, pass, pass == CS_PASS_FORWARD ? chunk : s->chunks - 1 - chunk, first + within % wide);
}

/* One forward, one backward: as many forwards ahead as there are stages behind. */
static void fill_1f1b(const cs_schedule *s, int stage, cs_stage_plan *p)
{
    int64_t m = s->n_micro, warm_up = smaller(s->pp - 1 - stage, m);
    for (int64_t i = 0; i < warm_up; i++)
        put(p, CS_PASS_FORWARD, 0, i);
    for (int64_t i = 0; i < m; i++) {
        if (warm_up + i < m)
            put(p, CS_PASS_FORWARD, 0, warm_up + i);
        put(p, CS_PASS_BACKWARD, 0, i);
    }
}

/* Narayanan et al., "Efficient Large-Scale Language Model Training on GPU Clusters", 2021, section 2.2. */
static void fill_interleaved(const cs_schedule *s, int stage, cs_stage_plan *p)
{
    int64_t all = s->n_micro * s->chunks, warm_up = smaller(2 * (s->pp - 1 - stage) + (int64_t)(s->chunks - 1) * s->pp, all);
    if (s->n_micro == s->pp)
        warm_up = all;
    for (int64_t k = 0; k < warm_up; k++)
        put_interleaved(s, p, CS_PASS_FORWARD, k);
    for (int64_t k = 0; k < all; k++) {
        if (warm_up + k < all)
            put_interleaved(s, p, CS_PASS_FORWARD, warm_up + k);
        put_interleaved(s, p, CS_PASS_BACKWARD, k);
    }
}

/* Fold3D: every chunk takes all micro-batches before the next one, so that a chunk's gradients are complete while others still compute. */
static void fill_aiao(const cs_schedule *s, cs_stage_plan *p)
{
    for (int64_t c = 0; c < s->chunks; c++)
        for (int64_t i = 0; i < s->n_micro; i++)
            put(p, CS_PASS_FORWARD, c, i);
    for (int64_t c = s->chunks - 1; c >= 0; c--)
        for (int64_t i = 0; i < s->n_micro; i++)
            put(p, CS_PASS_BACKWARD, c, i);
}

static void fill_forward(const cs_schedule *s, cs_stage_plan *p)
{
    for (int64_t k = 0; k < s->n_micro * s->chunks; k++)
        put_interleaved(s, p, CS_PASS_FORWARD, k);
}

static void set_peers(const cs_schedule *s, int stage, cs_stage_plan *p)
{
    int next = (stage + 1) % s->pp, prev = (stage + s->pp - 1) % s->pp, last_piece = s->pp * s->chunks - 1;
    for (int64_t i = 0; i < p->n_actions; i++) {
        cs_action *a = &p->action[i];
        int piece = a->chunk * s->pp + stage, before = piece == 0 ? -1 : prev, after = piece == last_piece ? -1 : next;
        a->recv_from = a->pass == CS_PASS_FORWARD ? before : after;
        a->send_to = a->pass == CS_PASS_FORWARD ? after : before;
    }
}

/* The lowest free slot for every forward. slot_of [chunks * m] and used [chunks * m] are working memory; used is zero and is left zero. */
static void set_slots(const cs_schedule *s, cs_stage_plan *p, int64_t *slot_of, bool *used)
{
    int64_t lowest = 0; /* no slot below it is free */
    for (int64_t i = 0; i < p->n_actions; i++) {
        cs_action *a = &p->action[i];
        int64_t *mine = &slot_of[a->chunk * s->n_micro + a->micro];
        if (a->pass == CS_PASS_BACKWARD) {
            a->slot = *mine;
            used[a->slot] = false;
            lowest = smaller(lowest, a->slot);
            continue;
        }
        while (used[lowest])
            lowest++;
        *mine = a->slot = lowest;
        used[lowest] = true;
        p->n_slots = lowest + 1 > p->n_slots ? lowest + 1 : p->n_slots;
    }
}

/* Fold3D starts a chunk's reduction when the stage goes on to another backward; what ends with the step's last action waits for its end. */
static void set_reductions(const cs_schedule *s, cs_stage_plan *p)
{
    int complete = -1;
    int64_t left[CS_SCHEDULE_MAX_CHUNKS];
    for (int c = 0; c < s->chunks; c++)
        left[c] = s->n_micro;
    for (int64_t i = 0; i < p->n_actions; i++) {
        cs_action *a = &p->action[i];
        if (a->pass == CS_PASS_BACKWARD) {
            a->start_reduce = complete;
            complete = --left[a->chunk] == 0 ? a->chunk : -1;
        }
    }
}

static cs_status check_sizes(const cs_schedule *s, cs_error *err)
{
    const char *name = names[s->kind];
    if (s->pp < 1 || s->chunks < 1 || s->n_micro < 1)
        return cs_fail(err, CS_E_USAGE, "%s: %d stages, %d chunks, %lld micro-batches: at least 1 of each", name, s->pp, s->chunks,
                       (long long)s->n_micro);
    if (s->chunks > CS_SCHEDULE_MAX_CHUNKS || (int64_t)s->chunks * s->pp > INT_MAX)
        return cs_fail(err, CS_E_USAGE, "%s: %d chunks a stage: legal: 1 to %d", name, s->chunks, CS_SCHEDULE_MAX_CHUNKS);
    if (s->chunks > 1 && (s->pp == 1 || s->kind == CS_SCHEDULE_1F1B))
        return cs_fail(err, CS_E_USAGE, "%s: %d chunks a stage over %d stages: legal: 1", name, s->chunks, s->pp);
    if ((s->kind == CS_SCHEDULE_INTERLEAVED || s->kind == CS_SCHEDULE_FIFO) && s->n_micro % s->pp != 0)
        return cs_fail(err, CS_E_USAGE, "%s: %lld micro-batches: over %d stages a multiple of %d is needed", name, (long long)s->n_micro, s->pp,
                       s->pp);
    return CS_OK;
}

static void fill(const cs_schedule *s, int stage, cs_stage_plan *p)
{
    if (s->kind == CS_SCHEDULE_FORWARD)
        fill_forward(s, p);
    else if (s->kind == CS_SCHEDULE_1F1B || s->pp == 1)
        fill_1f1b(s, stage, p);
    else if (s->kind == CS_SCHEDULE_AIAO)
        fill_aiao(s, p);
    else
        fill_interleaved(s, stage, p);
}

cs_status cs_schedule_init(cs_schedule *s, cs_schedule_kind kind, int pp, int chunks, int64_t n_micro, cs_arena *arena, cs_error *err)
{
    *s = (cs_schedule){.kind = kind, .pp = pp, .chunks = chunks, .n_micro = n_micro};
    CS_TRY(check_sizes(s, err));
    size_t pairs, actions, bytes = 0;
    bool fits = cs_mul_checked((size_t)n_micro, (size_t)chunks, &pairs) && cs_mul_checked(pairs, kind == CS_SCHEDULE_FORWARD ? 1 : 2, &actions) &&
                cs_mul_checked(actions, sizeof(cs_action), &bytes) && actions < (size_t)INT64_MAX;
    int64_t *slot_of = fits ? cs_malloc(pairs * sizeof *slot_of) : NULL;
    bool *used = fits ? cs_calloc(pairs, sizeof *used) : NULL;
    s->stage = cs_arena_calloc(arena, (size_t)pp, sizeof *s->stage);
    bool ok = slot_of && used && s->stage;
    for (int i = 0; i < pp && ok; i++) {
        cs_stage_plan *p = &s->stage[i];
        p->action = cs_arena_alloc(arena, bytes);
        ok = p->action;
        if (!ok)
            break;
        fill(s, i, p);
        set_peers(s, i, p);
        for (int64_t k = 0; k < p->n_actions; k++)
            p->action[k].slot = p->action[k].start_reduce = -1;
        if (kind != CS_SCHEDULE_FORWARD)
            set_slots(s, p, slot_of, used);
        if (kind == CS_SCHEDULE_AIAO || kind == CS_SCHEDULE_FIFO)
            set_reductions(s, p);
    }
    cs_free(used);
    cs_free(slot_of);
    return ok ? CS_OK : cs_fail_nomem(err, fits ? bytes : SIZE_MAX, "the pipeline's schedule");
}
