/* See packing.h. Rows with equal free room form a list; a bit for each room says whether its list has any. */
#include "data/packing.h"

#include "base/mem.h"
#include "data/mt19937.h"

#include <string.h>

enum { NONE = -1, WORD = 64 };

typedef struct work {
    int64_t room;
    int32_t *order;    /* [n] records, longest first */
    int64_t *count;    /* [room+2] */
    int32_t *with;     /* [room+1] a row with that much room, NONE */
    uint64_t *any;     /* [room/64+1] */
    int32_t *same;     /* [n] the next row with the same room */
    int32_t *row_of;   /* [n] of a record */
} work;

static bool work_init(work *w, int64_t n, int64_t room)
{
    *w = (work){.room = room, .order = cs_calloc((size_t)n + 1, sizeof *w->order), .count = cs_calloc((size_t)room + 2, sizeof *w->count),
                .with = cs_calloc((size_t)room + 1, sizeof *w->with), .any = cs_calloc((size_t)room / WORD + 1, sizeof *w->any),
                .same = cs_calloc((size_t)n + 1, sizeof *w->same), .row_of = cs_calloc((size_t)n + 1, sizeof *w->row_of)};
    if (!w->order || !w->count || !w->with || !w->any || !w->same || !w->row_of)
        return false;
    memset(w->with, 0xff, ((size_t)room + 1) * sizeof *w->with);
    return true;
}

static void work_release(work *w)
{
    cs_free(w->order);
    cs_free(w->count);
    cs_free(w->with);
    cs_free(w->any);
    cs_free(w->same);
    cs_free(w->row_of);
}

/* Shuffled, then sorted by falling length; the sort keeps the order of equals. `shuffled` [n] is borrowed. */
static void sort_records(work *w, const int32_t *length, int64_t n, int64_t seed, int32_t *shuffled)
{
    cs_mt19937 g;
    for (int64_t i = 0; i < n; i++)
        shuffled[i] = (int32_t)i;
    cs_mt19937_init(&g, (uint32_t)seed);
    cs_mt19937_shuffle_i32(&g, shuffled, n);
    for (int64_t i = 0; i < n; i++)
        w->count[w->room - length[i] + 1]++;
    for (int64_t r = 0; r < w->room; r++)
        w->count[r + 1] += w->count[r];
    for (int64_t i = 0; i < n; i++)
        w->order[w->count[w->room - length[shuffled[i]]]++] = shuffled[i];
}

/* The least room that is at least `need` and that some row has; -1 = none. */
static int64_t least_room(const work *w, int64_t need)
{
    uint64_t bits = w->any[need / WORD] & ~(uint64_t)0 << (need % WORD);
    for (int64_t i = need / WORD;; bits = w->any[i]) {
        if (bits)
            return i * WORD + __builtin_ctzll(bits);
        if (++i > w->room / WORD)
            return -1;
    }
}

static void put_row(work *w, int32_t row, int64_t room)
{
    w->same[row] = w->with[room];
    w->with[room] = row;
    w->any[room / WORD] |= (uint64_t)1 << (room % WORD);
}

static int32_t take_row(work *w, int64_t room)
{
    int32_t row = w->with[room];
    w->with[room] = w->same[row];
    if (w->with[room] == NONE)
        w->any[room / WORD] &= ~((uint64_t)1 << (room % WORD));
    return row;
}

static void fit(work *w, cs_packing *p, const int32_t *length, int64_t n)
{
    for (int64_t i = 0; i < n && length[w->order[i]] > 0; i++) {
        int64_t need = length[w->order[i]], room = least_room(w, need);
        int32_t row = room < 0 ? (int32_t)p->n_rows++ : take_row(w, room);
        put_row(w, row, (room < 0 ? w->room : room) - need);
        w->row_of[i] = row;
        p->n_records++;
        p->filled += need;
    }
}

/* Records row by row, in the order in which they were put there. */
static void list_rows(const work *w, cs_packing *p)
{
    for (int64_t i = 0; i < p->n_records; i++)
        p->start[w->row_of[i] + 1]++;
    for (int64_t r = 0; r < p->n_rows; r++)
        p->start[r + 1] += p->start[r];
    for (int64_t i = 0; i < p->n_records; i++)
        p->record[p->start[w->row_of[i]]++] = w->order[i];
    for (int64_t r = p->n_rows; r > 0; r--)
        p->start[r] = p->start[r - 1];
    p->start[0] = 0;
}

cs_status cs_packing_init(cs_packing *p, const int32_t *length, int64_t n, int64_t room, int64_t seed, cs_error *err)
{
    work w;
    CS_ASSERT(n >= 0 && n <= INT32_MAX && room >= 1);
    *p = (cs_packing){.record = cs_calloc((size_t)n + 1, sizeof *p->record)};
    bool ok = work_init(&w, n, room) && p->record;
    if (ok) {
        sort_records(&w, length, n, seed, p->record);
        fit(&w, p, length, n);
        p->start = cs_calloc((size_t)p->n_rows + 2, sizeof *p->start);
        ok = p->start != NULL;
    }
    if (ok)
        list_rows(&w, p);
    else
        cs_packing_release(p);
    work_release(&w);
    return ok ? CS_OK : cs_fail_nomem(err, ((size_t)n + (size_t)room) * 16, "packing");
}

void cs_packing_release(cs_packing *p)
{
    cs_free(p->start);
    cs_free(p->record);
    *p = (cs_packing){0};
}
