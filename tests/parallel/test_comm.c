/* Every collective on every back end against a serial loop in rank order, bit by bit; mesh; agreement.
 * Without a launcher this program forks its ranks itself; under mpirun it is one rank of the job and runs the same checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "comm/mesh.h"
#include "rank_check.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

static const cs_dtype types[] = {CS_F64, CS_F32, CS_BF16, CS_F16, CS_I64, CS_I32, CS_U8};
enum { N_TYPES = sizeof types / sizeof types[0] };

/* Element i of the rank's input: values of very different size, so that another order of summation shows in the bits. */
static void put(void *at, int64_t i, cs_dtype t, int rank)
{
    uint64_t h = ((uint64_t)i * 64 + (uint64_t)rank + 1) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9u;
    h ^= h >> 32;
    double d = ((double)(int64_t)h) * 0x1p-62 * (h % 3 == 0 ? 1e6 : 1.0);
    float f = (float)d;
    uint16_t b = t == CS_F16 ? cs_f16_from_f32(f) : cs_bf16_from_f32(f);
    memcpy(at, t == CS_F64 ? (void *)&d : t == CS_F32 ? (void *)&f : t == CS_BF16 || t == CS_F16 ? (void *)&b : (void *)&h, cs_dtype_size(t));
}

/* Elements [lo, lo+n) of the rank's input. */
static void fill(void *buf, int64_t lo, int64_t n, cs_dtype t, int rank)
{
    for (int64_t i = 0; i < n; i++)
        put((char *)buf + (size_t)i * cs_dtype_size(t), lo + i, t, rank);
}

/* The serial loop: element i of the sum over ranks 0, 1, 2, .. */
static void expect_sum(void *want, int64_t i, cs_dtype t, int size)
{
    double d = 0;
    float f = 0;
    uint64_t u = 0;
    for (int r = 0; r < size; r++) {
        union {
            double d;
            float f;
            cs_bf16 b;
            int64_t l;
            int32_t i;
            uint8_t c;
        } x;
        fill(&x, i, 1, t, r);
        switch (t) {
        case CS_F64: d = r ? d + x.d : x.d; break;
        case CS_F32: f = r ? f + x.f : x.f; break;
        case CS_BF16: f = r ? f + cs_bf16_to_f32(x.b) : cs_bf16_to_f32(x.b); break;
        case CS_F16: f = r ? f + cs_f16_to_f32(x.b) : cs_f16_to_f32(x.b); break;
        case CS_I64: u += (uint64_t)x.l; break;
        case CS_I32: u += (uint32_t)x.i; break;
        default: u += x.c; break;
        }
    }
    uint16_t b = t == CS_F16 ? cs_f16_from_f32(f) : cs_bf16_from_f32(f);
    uint32_t u32 = (uint32_t)u;
    uint8_t u8 = (uint8_t)u;
    const void *whole = t == CS_I64 ? (void *)&u : t == CS_I32 ? (void *)&u32 : (void *)&u8;
    const void *from = t == CS_F64 ? &d : t == CS_F32 ? &f : t == CS_BF16 || t == CS_F16 ? &b : whole;
    memcpy(want, from, cs_dtype_size(t));
}

static void check_sums(const void *got, int64_t lo, int64_t n, cs_dtype t, int size)
{
    size_t width = cs_dtype_size(t);
    for (int64_t i = 0; i < n; i++) {
        char want[8];
        expect_sum(want, lo + i, t, size);
        CHECK(memcmp((const char *)got + (size_t)i * width, want, width) == 0);
    }
}

/* Memory of one of the two kinds. */
static void *take(cs_comm *c, size_t bytes, bool shared)
{
    void *p = shared ? cs_comm_alloc(c, (int64_t)bytes) : cs_malloc(bytes);
    CHECK(p != NULL);
    return p;
}

static void give(cs_comm *c, void *p, bool shared)
{
    if (shared)
        cs_comm_free(c, p);
    else
        cs_free(p);
}

static void check_allreduce(cs_comm *c, int64_t n, cs_dtype t, bool shared)
{
    void *buf = take(c, (size_t)n * cs_dtype_size(t) + 64, shared);
    fill(buf, 0, n, t, cs_comm_rank(c));
    cs_comm_allreduce_sum(c, buf, n, t);
    check_sums(buf, 0, n, t, cs_comm_size(c));
    give(c, buf, shared);
}

/* Uneven parts, the first of them empty when there are several ranks. */
static int64_t cut_counts(int64_t *counts, int size, int64_t n)
{
    int64_t total = 0;
    for (int r = 0; r < size; r++)
        total += counts[r] = size > 1 && r == 0 ? 0 : n / size + 7 * r;
    return total;
}

static void check_scatter_gather(cs_comm *c, int64_t n, cs_dtype t, bool shared, bool in_place)
{
    int rank = cs_comm_rank(c), size = cs_comm_size(c);
    int64_t counts[64], lo = 0, total = cut_counts(counts, size, n);
    size_t width = cs_dtype_size(t);
    for (int r = 0; r < rank; r++)
        lo += counts[r];
    char *in = take(c, (size_t)total * width, shared), *all = take(c, (size_t)total * width, shared);
    fill(in, 0, total, t, rank);
    char *out = in_place ? in + (size_t)lo * width : all + (size_t)lo * width;
    cs_comm_reduce_scatter_sum_v(c, in, out, counts, t);
    check_sums(out, lo, counts[rank], t, size);
    if (!in_place) /* the input is left alone */
        for (int64_t i = 0; i < total; i++) {
            char same[8];
            fill(same, i, 1, t, rank);
            CHECK(memcmp(in + (size_t)i * width, same, width) == 0);
        }
    cs_comm_allgather_v(c, in_place ? in : all, counts, t);
    check_sums(in_place ? in : all, 0, total, t, size);
    give(c, all, shared);
    give(c, in, shared);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void shuffle(int *order, int n, uint32_t *state)
{
    for (int i = 0; i < n; i++)
        order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)(next_random(state) % (uint32_t)(i + 1)), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

/* One collective under way: its buffers and what they must hold in the end. */
typedef struct flight {
    cs_xfer x;
    cs_comm *c;
    int kind; /* 0 sum, 1 reduce-scatter, 2 the same in place, 3 all-gather */
    cs_dtype t;
    bool shared;
    int64_t n, lo, mine, counts[64];
    char *in, *out;
} flight;

static void take_off(flight *f, cs_comm *c, int kind, cs_dtype t, int64_t n, bool shared)
{
    int rank = cs_comm_rank(c);
    size_t width = cs_dtype_size(t);
    *f = (flight){.c = c, .kind = kind, .t = t, .shared = shared};
    f->n = kind == 0 ? n : cut_counts(f->counts, cs_comm_size(c), n);
    for (int r = 0; r < rank; r++)
        f->lo += f->counts[r];
    f->mine = kind == 0 ? n : f->counts[rank];
    f->in = take(c, (size_t)f->n * width, shared);
    f->out = kind == 1 ? take(c, (size_t)f->n * width, shared) : f->in + (size_t)f->lo * width;
    if (kind == 3)
        for (int64_t i = 0; i < f->mine; i++)
            expect_sum(f->out + (size_t)i * width, f->lo + i, t, cs_comm_size(c));
    else
        fill(f->in, 0, f->n, t, rank);
    int64_t counts[64]; /* they do not belong to the operation */
    memcpy(counts, f->counts, sizeof counts);
    if (kind == 0)
        cs_comm_allreduce_sum_begin(c, f->in, n, t, &f->x);
    else if (kind == 3)
        cs_comm_allgather_begin(c, f->in, counts, t, &f->x);
    else
        cs_comm_reduce_scatter_sum_begin(c, f->in, f->out, counts, t, &f->x);
    memset(counts, 0xff, sizeof counts);
}

static void arrive(flight *f)
{
    cs_comm_wait(&f->x);
    bool all = f->kind == 0 || f->kind == 3;
    check_sums(all ? f->in : f->out, all ? 0 : f->lo, all ? f->n : f->mine, f->t, cs_comm_size(f->c));
    if (f->kind == 1) {
        for (int64_t i = 0; i < f->n; i++) {
            char same[8];
            fill(same, i, 1, f->t, cs_comm_rank(f->c));
            CHECK(memcmp(f->in + (size_t)i * cs_dtype_size(f->t), same, cs_dtype_size(f->t)) == 0);
        }
    }
}

/* Several collectives of two groups under way at once, waited for in an order that differs between the ranks, with blocking ones of both
 * groups and messages in between. */
static void check_under_way(cs_comm *c, cs_comm *other, uint32_t seed)
{
    enum { N = 12 };
    static const int64_t sizes[] = {1, 60, 4097, 70001};
    flight f[N];
    int order[N], rank = cs_comm_rank(c), size = cs_comm_size(c);
    uint32_t same = seed, own_state = seed * 31 + (uint32_t)rank;
    cs_xfer send = {0}, receive = {0};
    int64_t one = 1, number = -1;
    for (int k = 0; k < N; k++) {
        int kind = (int)(next_random(&same) % 4), type = (int)(next_random(&same) % N_TYPES), n = (int)(next_random(&same) % 4);
        bool shared = next_random(&same) % 2;
        take_off(&f[k], k % 3 == 2 ? other : c, kind, types[type], sizes[n] * (k == 7 ? 5 : 1), shared);
        if (k % 4 == 1)
            cs_comm_progress(c);
        if (k == 4 && size > 1) {
            cs_comm_send_begin(c, &rank, sizeof rank, (rank + 1) % size, 3, &send);
            cs_comm_recv_begin(c, &number, sizeof rank, (rank + size - 1) % size, 3, &receive);
        }
        if (k == 5)
            cs_comm_allreduce_sum(other, &one, 1, CS_I64);
    }
    shuffle(order, N, &own_state);
    for (int k = 0; k < N / 2; k++)
        arrive(&f[order[k]]);
    cs_comm_wait(&receive);
    cs_comm_wait(&send);
    cs_comm_barrier(c);
    for (int k = N / 2; k < N; k++) {
        cs_comm_progress(other);
        arrive(&f[order[k]]);
    }
    CHECK(one == cs_comm_size(other));
    for (int k = 0; k < N; k++) { /* collective: in the same order */
        if (f[k].kind == 1)
            give(f[k].c, f[k].out, f[k].shared);
        give(f[k].c, f[k].in, f[k].shared);
    }
}

/* Rank 0 waits for a sum with 1, which has begun it and sits in a sum with 3, which waits for a sum with 2, which has begun that one and
 * sits in a sum with 0: only those who wait can do the work. */
static void check_waits_need_nobody(cs_comm *world)
{
    int rank = cs_comm_rank(world);
    cs_comm *rows, *columns;
    cs_error err = {0};
    CHECK(cs_comm_split(world, rank / 2, rank, &rows, &err) == CS_OK && cs_comm_split(world, rank % 2, rank, &columns, &err) == CS_OK);
    for (int round = 0; round < 4; round++) {
        flight f;
        int64_t sum = 1;
        take_off(&f, rows, 0, CS_F32, 300000, round % 2);
        if (rank == 0 || rank == 3) {
            arrive(&f);
            cs_comm_allreduce_sum(columns, &sum, 1, CS_I64);
        } else {
            cs_comm_allreduce_sum(columns, &sum, 1, CS_I64);
            arrive(&f);
        }
        CHECK(sum == cs_comm_size(columns));
        give(rows, f.in, f.shared);
    }
    if (columns != world)
        cs_comm_destroy(columns);
    if (rows != world)
        cs_comm_destroy(rows);
}

static void check_max(cs_comm *c)
{
    enum { N = 40000 };
    int rank = cs_comm_rank(c), size = cs_comm_size(c);
    double *d = take(c, N * sizeof *d, false);
    int64_t l[3] = {rank, -rank, INT64_MIN + rank};
    for (int i = 0; i < N; i++)
        d[i] = i % size == rank ? i : -1e300 * rank;
    cs_comm_allreduce_max(c, d, N, CS_F64);
    for (int i = 0; i < N; i++)
        CHECK(d[i] == i);
    d[0] = rank == size - 1 ? (double)NAN : 5;
    cs_comm_allreduce_max(c, d, 1, CS_F64);
    CHECK(d[0] != d[0]);
    cs_comm_allreduce_max(c, l, 3, CS_I64);
    CHECK(l[0] == size - 1 && l[1] == 0 && l[2] == INT64_MIN + size - 1);
    give(c, d, false);
}

static void check_broadcast(cs_comm *c)
{
    static const int64_t sizes[] = {0, 1, 4000, 600001};
    for (int root = 0; root < cs_comm_size(c); root++)
        for (int k = 0; k < 4; k++) {
            int64_t n = sizes[k];
            unsigned char *b = take(c, (size_t)n + 1, k == 2);
            for (int64_t i = 0; i < n; i++)
                b[i] = (unsigned char)(cs_comm_rank(c) == root ? i * 7 + root : 0xee);
            cs_comm_broadcast(c, b, n, root);
            for (int64_t i = 0; i < n; i++)
                CHECK(b[i] == (unsigned char)(i * 7 + root));
            give(c, b, k == 2);
        }
}

/* Byte i of the message of that tag and number from a rank. */
static unsigned char letter(int64_t i, int from, int tag, int number)
{
    return (unsigned char)(i * 11 + (i >> 8) + from * 5 + tag * 3 + number * 29);
}

enum { N_TAGS = 5, N_EACH = 3, N_LETTERS = N_TAGS * N_EACH };

/* Length of the number-th message of that tag from a rank: 0, a few bytes, up to 3 MB. */
static int64_t letter_bytes(int from, int tag, int number)
{
    static const int64_t sizes[] = {0, 3, 4032, 4033, 65537, 1 << 20, 3000001};
    return sizes[(from * 3 + tag * 5 + number * 2) % 7];
}

/* Every rank sends every other one several messages of several tags in a random order; receives begin in another order and are waited for in a
 * third one; equal tags arrive in order. Collectives of other groups and of c come between. */
static void check_messages(cs_comm *c, cs_comm *other, uint32_t seed)
{
    int rank = cs_comm_rank(c), size = cs_comm_size(c), n = N_LETTERS * size;
    uint32_t state = seed * 7919u + (uint32_t)rank;
    int *order = cs_calloc((size_t)n, sizeof *order);
    cs_xfer *in = cs_calloc((size_t)n, sizeof *in), out = {0};
    unsigned char **buf = cs_calloc((size_t)n, sizeof *buf), *text = cs_malloc(3000001);
    int number[64][N_TAGS] = {0};
    CHECK(order && in && buf && text && size <= 64);
    float one = 1;
    shuffle(order, n, &state);
    for (int k = 0; k < n; k++) {
        int to = order[k] / N_LETTERS, tag = order[k] % N_TAGS, count = number[to][tag]++;
        if (to == rank)
            continue;
        int64_t bytes = letter_bytes(rank, tag, count);
        for (int64_t i = 0; i < bytes; i++)
            text[i] = letter(i, rank, tag, count);
        cs_comm_send_begin(c, text, bytes, to, tag == 4 ? CS_TAG_MAX : tag, &out);
        cs_comm_wait(&out);
    }
    cs_comm_allreduce_sum(other, &one, 1, CS_F32);
    CHECK(one == (float)cs_comm_size(other));
    memset(number, 0, sizeof number);
    shuffle(order, n, &state);
    for (int k = 0; k < n; k++) {
        int from = order[k] / N_LETTERS, tag = order[k] % N_TAGS, count = number[from][tag]++;
        if (from == rank)
            continue;
        int64_t bytes = letter_bytes(from, tag, count);
        int slot = (from * N_TAGS + tag) * N_EACH + count;
        buf[slot] = cs_malloc((size_t)bytes + 1);
        CHECK(buf[slot] != NULL);
        buf[slot][bytes] = 0xa5;
        cs_comm_recv_begin(c, buf[slot], bytes, from, tag == 4 ? CS_TAG_MAX : tag, &in[slot]);
    }
    cs_comm_barrier(other);
    shuffle(order, n, &state);
    for (int k = 0; k < n; k++) {
        int slot = order[k], from = slot / N_LETTERS, tag = slot % N_LETTERS / N_EACH, count = slot % N_EACH;
        cs_comm_wait(&in[slot]);
        if (from == rank)
            continue;
        int64_t bytes = letter_bytes(from, tag, count);
        for (int64_t i = 0; i < bytes; i++)
            CHECK(buf[slot][i] == letter(i, from, tag, count));
        CHECK(buf[slot][bytes] == 0xa5);
        cs_free(buf[slot]);
    }
    cs_comm_barrier(c);
    cs_free(order);
    cs_free(in);
    cs_free(buf);
    cs_free(text);
}

/* Rank 0 sends to 2 and sits in a sum with 1, which waits for a message from 3, which sits in a sum with 2, which waits for the message from 0;
 * all send large messages and wait for them before anybody receives. A send that needed its receiver would stop here for good. */
static void check_send_needs_nobody(cs_comm *world)
{
    enum { BYTES = 5000000 };
    int rank = cs_comm_rank(world);
    cs_comm *rows, *columns;
    cs_error err = {0};
    CHECK(cs_comm_split(world, rank / 2, rank, &rows, &err) == CS_OK && cs_comm_split(world, rank % 2, rank, &columns, &err) == CS_OK);
    unsigned char *out = take(world, BYTES, false), *in = take(world, BYTES, false);
    for (int round = 0; round < 6 && cs_comm_size(world) == 4; round++) {
        cs_xfer send = {0}, receive;
        int64_t sum = 1;
        int peer = 1 - cs_comm_rank(columns);
        memset(out, rank + 7 * round, BYTES);
        bool late = rank == 0 || rank == 3; /* receives after the sum with the neighbour */
        if (rank != 3) {
            cs_comm_send_begin(columns, out, BYTES, peer, round, &send);
            cs_comm_wait(&send);
        }
        cs_comm_recv_begin(columns, in, BYTES, peer, round, &receive);
        if (!late)
            cs_comm_wait(&receive);
        if (rank == 3 && round % 2 == 0) { /* its sum comes first */
            cs_comm_allreduce_sum(rows, &sum, 1, CS_I64);
            cs_comm_send_begin(columns, out, BYTES, peer, round, &send);
        } else if (rank == 3) {
            cs_comm_send_begin(columns, out, BYTES, peer, round, &send);
            cs_comm_allreduce_sum(rows, &sum, 1, CS_I64);
        } else {
            cs_comm_allreduce_sum(rows, &sum, 1, CS_I64);
        }
        cs_comm_wait(&receive);
        cs_comm_wait(&send);
        CHECK(sum == 2 && in[0] == (unsigned char)((rank + 2) % 4 + 7 * round) && memcmp(in, in + 1, BYTES - 1) == 0);
    }
    give(world, in, false);
    give(world, out, false);
    if (columns != world)
        cs_comm_destroy(columns);
    if (rows != world)
        cs_comm_destroy(rows);
}

static void check_agree(cs_comm *c)
{
    int rank = cs_comm_rank(c), size = cs_comm_size(c);
    cs_error err = {0};
    CHECK(cs_agree(c, CS_OK, &err) == CS_OK && err.status == CS_OK && err.msg[0] == '\0');
    for (int bad = 0; bad < size; bad++) {
        cs_status s = CS_OK;
        cs_error e = {0};
        if (rank >= bad)
            s = cs_fail(&e, rank == bad ? CS_E_FORMAT : CS_E_IO, "file of %d", rank);
        cs_status want = bad < size - 1 ? CS_E_IO : CS_E_FORMAT;
        char text[64];
        if (size > 1)
            snprintf(text, sizeof text, "rank %d: file of %d", bad, bad);
        else
            snprintf(text, sizeof text, "file of 0");
        CHECK(cs_agree(c, s, &e) == want && e.status == want && strcmp(e.msg, text) == 0);
    }
    CHECK(cs_agree(c, rank == 0 ? CS_E_NOMEM : CS_OK, NULL) == CS_E_NOMEM);
}

static void check_memory(cs_comm *c)
{
    for (int k = 0; k < 3; k++) { /* zero also when memory is used again */
        int64_t n = 5000000 + k;
        unsigned char *p = cs_comm_alloc(c, n);
        CHECK(p != NULL && ((uintptr_t)p & 63) == 0);
        for (int64_t i = 0; i < n; i++)
            CHECK(p[i] == 0);
        memset(p, 0xab, (size_t)n);
        cs_comm_free(c, p);
    }
    if (strcmp(cs_comm_backend(c), "self") != 0) /* plain malloc there, which ends the process under AddressSanitizer */
        CHECK(cs_comm_alloc(c, INT64_MAX / 2) == NULL);
    cs_comm_free(c, NULL);
}

static void check_all(cs_comm *c)
{
    static const int64_t sizes[] = {1, 7, 4097, 300011}; /* the last: more than one stage of bytes */
    for (int t = 0; t < N_TYPES; t++)
        for (int k = 0; k < 4; k++)
            for (int shared = 0; shared < 2; shared++) {
                int64_t n = k < 3 ? sizes[k] : sizes[k] / (int64_t)cs_dtype_size(types[t]);
                check_allreduce(c, n, types[t], shared);
                check_scatter_gather(c, n, types[t], shared, k % 2);
                check_scatter_gather(c, n, types[t], shared, k % 2 == 0);
            }
    check_max(c);
    check_broadcast(c);
    check_messages(c, c, 1);
    check_under_way(c, c, 1);
    check_agree(c);
    check_memory(c);
    cs_comm_barrier(c);
}

/* Groups: odd and even ranks in reverse order, then groups of those, then each alone. */
static void check_groups(cs_comm *world)
{
    int rank = cs_comm_rank(world), size = cs_comm_size(world);
    cs_error err = {0};
    cs_comm *half, *alone;
    CHECK(cs_comm_split(world, rank % 2, -rank, &half, &err) == CS_OK);
    int n = (size - rank % 2 + 1) / 2;
    CHECK(cs_comm_size(half) == n && cs_comm_rank(half) == n - 1 - rank / 2 && cs_comm_local_size(half) == cs_comm_local_size(world));
    check_all(half);
    for (uint32_t seed = 2; seed < 6; seed++) {
        check_messages(world, half, seed);
        check_messages(half, world, seed);
        check_under_way(world, half, seed);
        check_under_way(half, world, seed + 50);
    }
    CHECK(cs_comm_split(half, rank, 0, &alone, &err) == CS_OK && cs_comm_size(alone) == 1 && cs_comm_rank(alone) == 0);
    check_all(alone);
    if (alone != half)
        cs_comm_destroy(alone);
    if (half != world)
        cs_comm_destroy(half);
    for (int k = 0; k < 20; k++) { /* groups come and go */
        CHECK(cs_comm_split(world, 0, rank, &half, &err) == CS_OK && cs_comm_rank(half) == rank);
        cs_comm_barrier(half);
        if (half != world)
            cs_comm_destroy(half);
    }
}

static void check_mesh(cs_comm *world)
{
    int size = cs_comm_size(world), rank = cs_comm_rank(world);
    cs_mesh m;
    cs_error err = {0};
    CHECK(cs_mesh_init(&m, world, size + 1, 1, 1, &err) == CS_E_USAGE);
    int tp = size % 2 == 0 ? 2 : 1, dp = size / tp;
    CHECK(cs_mesh_init(&m, world, tp, dp, 1, &err) == CS_OK);
    CHECK(m.coord[CS_AXIS_TP] == rank % tp && m.coord[CS_AXIS_DP] == rank / tp && m.coord[CS_AXIS_PP] == 0);
    CHECK(cs_comm_size(m.group[CS_AXIS_TP]) == tp && cs_comm_rank(m.group[CS_AXIS_TP]) == rank % tp);
    CHECK(cs_comm_size(m.group[CS_AXIS_DP]) == dp && cs_comm_rank(m.group[CS_AXIS_DP]) == rank / tp);
    int64_t sum = rank;
    cs_comm_allreduce_sum(m.group[CS_AXIS_DP], &sum, 1, CS_I64);
    CHECK(sum == (int64_t)dp * (rank % tp) + (int64_t)tp * dp * (dp - 1) / 2);
    cs_mesh_release(&m);
}

static int every_collective(cs_comm *world, void *arg)
{
    (void)arg;
    check_all(world);
    check_groups(world);
    check_send_needs_nobody(world);
    check_waits_need_nobody(world);
    check_mesh(world);
    return 0;
}

static void test_collectives(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++)
        assert_int_equal(cs_launch(n, every_collective, NULL), 0);
}

static void test_coords(void **state)
{
    (void)state;
    const int size[CS_AXIS_COUNT] = {2, 3, 4};
    for (int r = 0; r < 24; r++) {
        int c[CS_AXIS_COUNT];
        cs_mesh_coords(size, r, c);
        assert_int_equal(c[CS_AXIS_TP] + 2 * (c[CS_AXIS_DP] + 3 * c[CS_AXIS_PP]), r);
        assert_true(c[CS_AXIS_TP] < 2 && c[CS_AXIS_DP] < 3 && c[CS_AXIS_PP] < 4);
    }
}

int main(void)
{
    if (cs_launch_under_mpi())
        return cs_launch(0, every_collective, NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_coords), cmocka_unit_test(test_collectives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
