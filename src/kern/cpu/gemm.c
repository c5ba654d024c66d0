/* Drives a cs_gemm_kind over blocks of K, M and N and over threads.
 * W is packed once per version, whole, as panels of nr columns with all of K inside a panel: the large products read a kc block of a
 * panel at a time, the thin ones (T <= mr, decoding) read every panel once from front to back, one sequential stream per thread.
 * A (x, dy, dy^T) is packed block by block into memory of the thread that uses it; only for dW is B (x) packed by all threads together.
 * K is never split over threads. Out of memory for a packed copy or the workspace ends the process: another product would give other bits. */
#include "kern/cpu/gemm.h"

#include "base/mem.h"

#include <omp.h>

enum {
    NC = 1024,             /* most columns of a block of C; bounds the f32 scratch of 16-bit results */
    NC_SHARED = 2048,      /* columns of the shared B block of wgrad */
    PACK_STEP = 64,        /* inner elements packed at a time from columns, so that their cache lines stay in L1 */
    SERIAL_FLOPS = 200000, /* below this a parallel region costs more than it saves */
};

/* One product as the blocks see it. A(i,k) is at a + i*lda + k, or a + k*lda + i when a_cols. */
typedef struct product {
    const cs_gemm_kind *g;
    int64_t m, n, k;
    const void *a;
    int64_t lda;
    bool a_cols;
    const uint32_t *b; /* packed panels, panel_words apart */
    int64_t panel_words;
    const void *bias;
    void *c;
    int64_t ldc;
    cs_dtype c_dtype;
    int beta;
} product;

/* Memory of one thread. */
typedef struct slice {
    uint32_t *a;    /* packed A block */
    uint32_t *wide; /* one B panel block widened */
    float *c;       /* f32 scratch of a 16-bit result */
} slice;

typedef struct range {
    int64_t lo, hi;
} range;

/* Buffers are kept between calls of a thread: no allocation after the first step. Contents never outlive a call. */
typedef struct workspace {
    void *data;
    size_t bytes;
} workspace;
static _Thread_local workspace kept;

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t round_up(int64_t a, int64_t unit)
{
    return (a + unit - 1) / unit * unit;
}

/* Words of a packed panel row count for k elements: A and B of one kind agree after widening. */
static int64_t words_b(const cs_gemm_kind *g, int64_t k)
{
    return g->b_pairs ? (k + 1) / 2 : k;
}

static int64_t words_a(const cs_gemm_kind *g, int64_t k)
{
    return g->a_pairs ? (k + 1) / 2 : g->b_pairs ? (k + 1) / 2 * 2 : k;
}

static const void *element(const void *base, int64_t at, cs_dtype t)
{
    return (const char *)base + at * (int64_t)cs_dtype_size(t);
}

/* Part i of n of [0, total), in multiples of `unit`. */
static range part(int64_t total, int64_t unit, int64_t n, int64_t i)
{
    int64_t units = (total + unit - 1) / unit;
    return (range){min64(units * i / n * unit, total), min64(units * (i + 1) / n * unit, total)};
}

static void *work_take(size_t bytes)
{
    if (bytes > kept.bytes) {
        cs_free(kept.data);
        kept.bytes = 0;
        kept.data = cs_mem_must(cs_alloc_aligned(bytes), bytes, "a matrix product");
        kept.bytes = bytes;
    }
    return kept.data;
}

/* C cut into row x column blocks, handed out one by one so that a thread whose core is shared with other work gets fewer. */
typedef struct grid {
    int64_t rows, cols;
} grid;

static grid cut(const cs_gemm_kind *g, int64_t m, int64_t n, int threads)
{
    grid c = {(m + g->mc - 1) / g->mc, (n + NC - 1) / NC};
    while (threads > 1 && c.rows * c.cols < 4 * threads) {
        bool rows = m / c.rows >= 6 * g->mr, cols = n / c.cols >= 12 * g->nr;
        if (cols && (!rows || n / c.cols >= 2 * (m / c.rows)))
            c.cols++;
        else if (rows)
            c.rows++;
        else
            break;
    }
    return c;
}

static bool is_small(int64_t m, int64_t n, int64_t k)
{
    return 2.0 * (double)m * (double)n * (double)k < SERIAL_FLOPS;
}

static int threads_for(int64_t m, int64_t n, int64_t k)
{
    return omp_in_parallel() || is_small(m, n, k) ? 1 : omp_get_max_threads();
}

/* --- packing -------------------------------------------------------------------------------------------------------------------- */

/* Rows i0..i0+m of A, inner elements k0..k0+k, as panels of mr. */
static void pack_a(const product *p, int64_t i0, int64_t m, int64_t k0, int64_t k, uint32_t *dst)
{
    const cs_gemm_kind *g = p->g;
    int64_t panel = words_a(g, k) * g->mr;
    if (!p->a_cols) {
        for (int64_t i = 0; i < m; i += g->mr)
            g->pack_a_rows(k, (int)min64(g->mr, m - i), element(p->a, (i0 + i) * p->lda + k0, g->store), p->lda, g->mr, dst + i / g->mr * panel);
        return;
    }
    for (int64_t s = 0; s < k; s += PACK_STEP)
        for (int64_t i = 0; i < m; i += g->mr)
            g->pack_a_cols(min64(PACK_STEP, k - s), (int)min64(g->mr, m - i), element(p->a, (k0 + s) * p->lda + i0 + i, g->store), p->lda, g->mr,
                           dst + i / g->mr * panel + words_a(g, s) * g->mr);
}

/* Panel j of B: columns from j*nr. b_rows: B(k, j) at src + j*ld + k (W for y = x W^T); otherwise at src + k*ld + j. */
static void pack_b_panel(const cs_gemm_kind *g, const void *src, int64_t ld, bool b_rows, int64_t n, int64_t k, int64_t j, uint32_t *dst)
{
    int cols = (int)min64(g->nr, n - j * g->nr);
    if (b_rows)
        g->pack_b_rows(k, cols, element(src, j * g->nr * ld, g->store), ld, g->nr, dst);
    else
        g->pack_b_cols(k, cols, element(src, j * g->nr, g->store), ld, g->nr, dst);
}

static bool packed_bytes(const cs_gemm_kind *g, int64_t n, int64_t k, size_t *bytes)
{
    return cs_mul_checked((size_t)((n + g->nr - 1) / g->nr * 4), (size_t)(words_b(g, k) * g->nr), bytes);
}

/* The packed form of W for y = x W^T (form 0) or dx = dy W (form 1), repacked when the version changed. */
static const uint32_t *packed_weight(const cs_gemm_kind *g, cs_weight *w, int form)
{
    int64_t n = form == 0 ? w->rows : w->cols, k = form == 0 ? w->cols : w->rows;
    int64_t panels = (n + g->nr - 1) / g->nr, panel = words_b(g, k) * g->nr;
    if (w->pack[form] && w->pack_version[form] == w->version)
        return w->pack[form];
    if (!w->pack[form]) {
        size_t bytes;
        CS_ASSERT(packed_bytes(g, n, k, &bytes)); /* the weight itself is in memory */
        w->pack[form] = cs_mem_must(cs_alloc_aligned(bytes), bytes, "packed weights");
    }
    uint32_t *dst = w->pack[form];
    int threads = threads_for(n, k, 16);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t j = 0; j < panels; j++)
        pack_b_panel(g, w->data, w->ld, form == 0, n, k, j, dst + j * panel);
    w->pack_version[form] = w->version;
    return dst;
}

void cs_gemm_run_pack(const cs_gemm_kind *g, cs_weight *w)
{
    packed_weight(g, w, 0);
}

void cs_gemm_run_release(cs_weight *w)
{
    for (int form = 0; form < 2; form++) {
        cs_free(w->pack[form]);
        w->pack[form] = NULL;
        w->pack_version[form] = 0;
    }
}

/* --- one micro-tile ------------------------------------------------------------------------------------------------------------- */

typedef struct step {
    int64_t words; /* of this K block */
    bool first, last, stream;
    int pw;
} step;

/* C(i, j) of mr x nr gets the sum over one K block. `scratch` (row stride lds) holds the f32 sums of a 16-bit result between blocks. */
static void do_tile(const product *p, const step *s, const uint32_t *a, const uint32_t *b, int64_t i, int64_t j, int mr, int nr, float *scratch,
                    int64_t lds)
{
    const cs_gemm_kind *g = p->g;
    bool direct = p->c_dtype == CS_F32, add = !s->first || p->beta || p->bias;
    char *y = (char *)p->c + (i * p->ldc + j) * (int64_t)cs_dtype_size(p->c_dtype);
    float *c = direct ? (float *)y : scratch;
    int64_t ldc = direct ? p->ldc : lds;
    if (s->first && (p->bias || (p->beta && !direct)))
        g->start(mr, nr, p->bias ? element(p->bias, j, g->store) : NULL, y, p->ldc, p->c_dtype, p->beta, c, ldc);
    (s->stream ? g->tile_stream : g->tile)(s->words, a, s->pw, b, c, ldc, mr, nr, add);
    if (s->last && !direct)
        g->round(mr, nr, c, ldc, (uint16_t *)y, p->ldc);
}

/* --- large products ------------------------------------------------------------------------------------------------------------- */

/* Rows [i0, i0+m) and columns [j0, j0+n) over the K block [k0, k0+k): A is packed in `mem->a`, B block starts at word `b` of each panel. */
static void do_block(const product *p, const slice *mem, const step *s, range rows, range cols, const uint32_t *b, int64_t panel_words)
{
    const cs_gemm_kind *g = p->g;
    int64_t m = rows.hi - rows.lo, panels = (m + g->mr - 1) / g->mr;
    int64_t lds = s->first && s->last ? g->nr : NC;
    for (int64_t j = cols.lo; j < cols.hi; j += g->nr) {
        const uint32_t *panel = b + j / g->nr * panel_words;
        int nr = (int)min64(g->nr, cols.hi - j);
        if (g->widen) {
            g->widen(s->words / 2, panel, mem->wide);
            panel = mem->wide;
        }
        for (int64_t q = 0; q < panels; q++) {
            int64_t i = q * g->mr;
            float *scratch = mem->c + (lds == NC ? i * lds + j - cols.lo : 0);
            do_tile(p, s, mem->a + q * s->words * g->mr, panel, rows.lo + i, j, (int)min64(g->mr, m - i), nr, scratch, lds);
        }
    }
}

/* One block of C over all of K, B packed whole. */
static void do_cell(const product *p, const slice *mem, range rows, range cols)
{
    const cs_gemm_kind *g = p->g;
    for (int64_t k0 = 0; k0 < p->k; k0 += g->kc) {
        int64_t k = min64(g->kc, p->k - k0);
        step s = {words_a(g, k), k0 == 0, k0 + k == p->k, false, g->mr};
        pack_a(p, rows.lo, rows.hi - rows.lo, k0, k, mem->a);
        do_block(p, mem, &s, rows, cols, p->b + words_b(g, k0) * g->nr, p->panel_words);
    }
}

static size_t slice_bytes(const cs_gemm_kind *g, int64_t k, bool scratch)
{
    int64_t kw = words_a(g, min64(k, g->kc)), rows = round_up(g->mc, g->mr);
    int64_t words = kw * rows + kw * g->nr + (scratch ? rows * NC : g->mr * g->nr);
    return (size_t)round_up(words * 4, 4096);
}

static slice slice_at(const cs_gemm_kind *g, int64_t k, void *base)
{
    int64_t kw = words_a(g, min64(k, g->kc));
    slice s = {base, NULL, NULL};
    s.wide = s.a + kw * round_up(g->mc, g->mr);
    s.c = (float *)(s.wide + kw * g->nr);
    return s;
}

/* Workspace of a thread of run_large. */
static size_t large_bytes(const cs_gemm_kind *g, int64_t k, cs_dtype c_dtype)
{
    return slice_bytes(g, k, c_dtype != CS_F32 && k > g->kc);
}

static void run_large(const product *p)
{
    const cs_gemm_kind *g = p->g;
    int threads = threads_for(p->m, p->n, p->k);
    grid c = cut(g, p->m, p->n, threads);
    size_t bytes = large_bytes(g, p->k, p->c_dtype);
    char *base = work_take(bytes * (size_t)threads);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t i = 0; i < c.rows * c.cols; i++) {
        slice mem = slice_at(g, p->k, base + bytes * (size_t)omp_get_thread_num());
        do_cell(p, &mem, part(p->m, g->mr, c.rows, i / c.cols), part(p->n, g->nr, c.cols, i % c.cols));
    }
}

/* --- thin products: at most mr rows, bound by reading B ------------------------------------------------------------------------- */

static size_t thin_bytes(const cs_gemm_kind *g, int64_t m, int64_t k)
{
    return (size_t)(words_a(g, k) * m) * 4;
}

static void run_thin(const product *p)
{
    const cs_gemm_kind *g = p->g;
    uint32_t *a = work_take(thin_bytes(g, p->m, p->k));
    g->pack_a_rows(p->k, (int)p->m, p->a, p->lda, (int)p->m, a);
    int64_t panels = (p->n + g->nr - 1) / g->nr;
    int threads = threads_for(p->m, p->n, p->k);
    int64_t chunk = panels / (8 * threads) + 1;
#pragma omp parallel for schedule(dynamic, chunk) num_threads(threads)
    for (int64_t j = 0; j < panels; j++) {
        float scratch[CS_GEMM_MAX_TILE];
        for (int64_t k0 = 0; k0 < p->k; k0 += g->kc) {
            int64_t k = min64(g->kc, p->k - k0);
            step s = {words_a(g, k), k0 == 0, k0 + k == p->k, true, (int)p->m};
            do_tile(p, &s, a + words_a(g, k0) * p->m, p->b + j * p->panel_words + words_b(g, k0) * g->nr, 0, j * g->nr, (int)p->m,
                    (int)min64(g->nr, p->n - j * g->nr), scratch, g->nr);
        }
    }
}

static void run(const product *p)
{
    if (p->m <= p->g->mr)
        run_thin(p);
    else
        run_large(p);
}

/* --- the three forms ------------------------------------------------------------------------------------------------------------ */

void cs_gemm_run_fwd(const cs_gemm_kind *g, int64_t T, const void *x, int64_t ldx, cs_weight *w, const void *bias, void *y, int64_t ldy,
                     cs_dtype y_dtype, int beta)
{
    if (T <= 0 || w->rows <= 0)
        return;
    product p = {g, T, w->rows, w->cols, x, ldx, false, packed_weight(g, w, 0), words_b(g, w->cols) * g->nr, bias, y, ldy, y_dtype, beta};
    run(&p);
}

void cs_gemm_run_dgrad(const cs_gemm_kind *g, int64_t T, const void *dy, int64_t ldy, cs_weight *w, void *dx, int64_t ldx, int beta)
{
    if (T <= 0 || w->cols <= 0)
        return;
    product p = {g, T, w->cols, w->rows, dy, ldy, false, packed_weight(g, w, 1), words_b(g, w->rows) * g->nr, NULL, dx, ldx, g->store, beta};
    run(&p);
}

/* All threads pack one block of x together, then multiply it with blocks of columns of dy. */
static void wgrad_part(const product *p, const slice *mem, uint32_t *shared, const void *x, int64_t ldx)
{
    const cs_gemm_kind *g = p->g;
    for (int64_t j = 0; j < p->n; j += NC_SHARED) {
        int64_t n = min64(p->n - j, NC_SHARED), panels = (n + g->nr - 1) / g->nr;
        grid c = cut(g, p->m, n, omp_get_num_threads());
        product q = *p;
        q.c = (float *)p->c + j;
        for (int64_t k0 = 0; k0 < p->k; k0 += g->kc) {
            int64_t k = min64(g->kc, p->k - k0), panel = words_b(g, k) * g->nr;
            step s = {words_a(g, k), false, false, false, g->mr};
#pragma omp for schedule(static)
            for (int64_t b = 0; b < panels; b++)
                pack_b_panel(g, element(x, k0 * ldx + j, g->store), ldx, false, n, k, b, shared + b * panel);
#pragma omp for schedule(dynamic)
            for (int64_t i = 0; i < c.rows * c.cols; i++) {
                range rows = part(p->m, g->mr, c.rows, i / c.cols);
                pack_a(&q, rows.lo, rows.hi - rows.lo, k0, k, mem->a);
                do_block(&q, mem, &s, rows, part(n, g->nr, c.cols, i % c.cols), shared, panel);
            }
        }
    }
}

/* What all threads share in wgrad: one packed block of x. */
static size_t shared_bytes(const cs_gemm_kind *g, int64_t T, int64_t K)
{
    return (size_t)round_up(words_b(g, min64(T, g->kc)) * round_up(min64(K, NC_SHARED), g->nr) * 4, 4096);
}

void cs_gemm_run_wgrad(const cs_gemm_kind *g, int64_t T, int64_t N, int64_t K, const void *dy, int64_t ldy, const void *x, int64_t ldx, void *dw)
{
    if (T <= 0 || N <= 0 || K <= 0)
        return;
    product p = {g, N, K, T, dy, ldy, true, NULL, 0, NULL, dw, K, CS_F32, 1};
    int threads = threads_for(T, N, K);
    size_t bytes = slice_bytes(g, T, false);
    size_t shared = shared_bytes(g, T, K);
    char *base = work_take(shared + bytes * (size_t)threads);
#pragma omp parallel num_threads(threads)
    {
        slice mem = slice_at(g, T, base + shared + bytes * (size_t)omp_get_thread_num());
        wgrad_part(&p, &mem, (uint32_t *)base, x, ldx);
    }
}

/* --- sizes ---------------------------------------------------------------------------------------------------------------------- */

static size_t product_bytes(const cs_gemm_kind *g, int64_t m, int64_t n, int64_t k, int threads)
{
    return m <= g->mr ? thin_bytes(g, m, k) : large_bytes(g, k, g->store) * (size_t)(is_small(m, n, k) ? 1 : threads);
}

cs_gemm_bytes cs_gemm_run_bytes(const cs_gemm_kind *g, int64_t T, int64_t rows, int64_t cols, int threads)
{
    cs_gemm_bytes out = {{SIZE_MAX, SIZE_MAX}, {0, 0}}; /* a weight that could not be in memory */
    packed_bytes(g, rows, cols, &out.pack[0]);
    packed_bytes(g, cols, rows, &out.pack[1]);
    out.work[0] = out.work[1] = product_bytes(g, T, rows, cols, threads);
    const size_t more[] = {product_bytes(g, T, cols, rows, threads),
                           shared_bytes(g, T, cols) + slice_bytes(g, T, false) * (size_t)(is_small(T, rows, cols) ? 1 : threads)};
    for (int i = 0; i < 2; i++)
        out.work[1] = more[i] > out.work[1] ? more[i] : out.work[1];
    return out;
}
