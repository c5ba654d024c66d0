/* Matrix products through oneDNN 2.x `matmul`; the only file that calls oneDNN.
 * Primitives are created once per shape and kept. W is reordered once per version into the layout that oneDNN likes best
 * (format_tag::any) for y = x W^T and dx = dy W; dW += dy^T x takes the arrays as they are and adds in a `sum` post-op.
 * The engine, its stream and the primitives belong to the calling thread and start on its first product, so a process that forks ranks
 * before its first product never carries them over the fork. If oneDNN refuses a shape or has no fast loops for it, our own product does
 * the work (on W as it is: the packed copies are oneDNN's). */
#include "kern/cpu/gemm.h"

#ifdef CS_HAVE_DNNL
#include "base/mem.h"

#include <oneapi/dnnl/dnnl.h>
#include <omp.h>
#include <string.h>

enum form { FWD, DGRAD, WGRAD };

/* What a primitive was made for. */
typedef struct key {
    enum form form;
    cs_dtype store, out;
    int64_t m, n, k, lda, ldb, ldc;
    bool bias, beta;
    int threads; /* a primitive is cut for this many */
} key;

typedef struct entry {
    struct entry *next;
    key key;
    dnnl_primitive_t prim;
    dnnl_memory_t a, b, bias, c; /* data handles are set per call */
    bool slow;                   /* oneDNN has only its reference loops for this */
} entry;

/* pack[form] of a weight. */
typedef struct packed {
    dnnl_memory_desc_t md;
    dnnl_memory_t memory;
    void *data;
    size_t bytes;
} packed;

typedef struct state {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    entry *entries;
} state;
static _Thread_local state mine;

static dnnl_data_type_t type_of(cs_dtype t)
{
    return t == CS_F32 ? dnnl_f32 : dnnl_bf16;
}

static bool start(void)
{
    if (mine.stream)
        return true;
    if (!mine.engine && dnnl_engine_create(&mine.engine, dnnl_cpu, 0) != dnnl_success)
        return false;
    return dnnl_stream_create(&mine.stream, mine.engine, dnnl_stream_default_flags) == dnnl_success;
}

/* A rows x cols matrix whose element (i,j) is at i*row + j*col. */
static dnnl_memory_desc_t matrix(int64_t rows, int64_t cols, cs_dtype t, int64_t row, int64_t col)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t dims = {rows, cols}, strides = {row, col};
    dnnl_memory_desc_init_by_strides(&md, 2, dims, type_of(t), strides);
    return md;
}

static dnnl_status_t make_desc(const key *k, const dnnl_memory_desc_t *b, dnnl_primitive_desc_t *out)
{
    bool wgrad = k->form == WGRAD;
    dnnl_memory_desc_t a = wgrad ? matrix(k->m, k->k, k->store, 1, k->lda) : matrix(k->m, k->k, k->store, k->lda, 1);
    dnnl_memory_desc_t c = matrix(k->m, k->n, k->out, k->ldc, 1), bias = matrix(1, k->n, k->store, k->n, 1);
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t post;
    dnnl_status_t s = dnnl_matmul_desc_init(&desc, &a, b, k->bias ? &bias : NULL, &c);
    if (s != dnnl_success || (s = dnnl_primitive_attr_create(&attr)) != dnnl_success)
        return s;
    if ((s = dnnl_post_ops_create(&post)) == dnnl_success) {
        if (k->beta)
            s = dnnl_post_ops_append_sum(post, 1.0f);
        if (s == dnnl_success)
            s = dnnl_primitive_attr_set_post_ops(attr, post);
        if (s == dnnl_success)
            s = dnnl_primitive_desc_create(out, &desc, attr, mine.engine, NULL);
        dnnl_post_ops_destroy(post);
    }
    dnnl_primitive_attr_destroy(attr);
    return s;
}

static dnnl_status_t make_memory(dnnl_primitive_desc_t pd, dnnl_query_t what, int index, dnnl_memory_t *out)
{
    return dnnl_memory_create(out, dnnl_primitive_desc_query_md(pd, what, index), mine.engine, DNNL_MEMORY_NONE);
}

static void entry_destroy(entry *e)
{
    dnnl_memory_destroy(e->a);
    dnnl_memory_destroy(e->b);
    dnnl_memory_destroy(e->bias);
    dnnl_memory_destroy(e->c);
    dnnl_primitive_destroy(e->prim);
    cs_free(e);
}

/* oneDNN has no fast path for some sizes (bf16 with an odd inner dimension): its reference loops are a thousand times slower than our own product. */
static bool is_reference(dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    return dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) == dnnl_success && name && strncmp(name, "ref", 3) == 0;
}

static entry *entry_create(const key *k, const dnnl_memory_desc_t *b)
{
    dnnl_primitive_desc_t pd;
    entry *e = cs_mem_must(cs_calloc(1, sizeof *e), sizeof *e, "a matrix product");
    if (make_desc(k, b, &pd) != dnnl_success) {
        cs_free(e);
        return NULL;
    }
    e->key = *k;
    e->slow = is_reference(pd);
    dnnl_status_t s = dnnl_primitive_create(&e->prim, pd);
    if (s == dnnl_success)
        s = make_memory(pd, dnnl_query_src_md, 0, &e->a);
    if (s == dnnl_success)
        s = make_memory(pd, dnnl_query_weights_md, 0, &e->b);
    if (s == dnnl_success && k->bias)
        s = make_memory(pd, dnnl_query_weights_md, 1, &e->bias);
    if (s == dnnl_success)
        s = make_memory(pd, dnnl_query_dst_md, 0, &e->c);
    dnnl_primitive_desc_destroy(pd);
    if (s != dnnl_success) {
        entry_destroy(e);
        return NULL;
    }
    e->next = mine.entries;
    mine.entries = e;
    return e;
}

static entry *find_entry(const key *k, const dnnl_memory_desc_t *b)
{
    for (entry *e = mine.entries; e; e = e->next) {
        const key *q = &e->key;
        if (q->form == k->form && q->store == k->store && q->out == k->out && q->m == k->m && q->n == k->n && q->k == k->k &&
            q->lda == k->lda && q->ldb == k->ldb && q->ldc == k->ldc && q->bias == k->bias && q->beta == k->beta &&
            q->threads == k->threads)
            return e;
    }
    return entry_create(k, b);
}

static bool execute(const key *k, const void *a, const void *b, const dnnl_memory_desc_t *b_md, const void *bias, void *c)
{
    entry *e = find_entry(k, b_md);
    if (!e || e->slow)
        return false;
    dnnl_memory_set_data_handle(e->a, (void *)a);
    dnnl_memory_set_data_handle(e->b, (void *)b);
    dnnl_memory_set_data_handle(e->c, c);
    if (bias)
        dnnl_memory_set_data_handle(e->bias, (void *)bias);
    dnnl_exec_arg_t args[4] = {{DNNL_ARG_SRC, e->a}, {DNNL_ARG_WEIGHTS, e->b}, {DNNL_ARG_DST, e->c}, {DNNL_ARG_BIAS, e->bias}};
    return dnnl_primitive_execute(e->prim, mine.stream, bias ? 4 : 3, args) == dnnl_success && dnnl_stream_wait(mine.stream) == dnnl_success;
}

/* --- packed weights --------------------------------------------------------------------------------------------------------------- */

static void packed_destroy(packed *p)
{
    if (!p)
        return;
    dnnl_memory_destroy(p->memory);
    cs_free(p->data);
    cs_free(p);
}

/* Asks for the layout that a product of 512 rows likes best; other row counts use the same one. */
static bool packed_layout(cs_dtype t, int64_t n, int64_t k, dnnl_memory_desc_t *out)
{
    key probe = {.form = FWD, .store = t, .out = t, .m = 512, .n = n, .k = k, .lda = k, .ldc = n};
    dnnl_memory_desc_t any;
    dnnl_dims_t dims = {k, n};
    dnnl_primitive_desc_t pd;
    if (dnnl_memory_desc_init_by_tag(&any, 2, dims, type_of(t), dnnl_format_tag_any) != dnnl_success ||
        make_desc(&probe, &any, &pd) != dnnl_success)
        return false;
    *out = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    dnnl_primitive_desc_destroy(pd);
    return true;
}

static packed *packed_create(cs_dtype t, int64_t n, int64_t k)
{
    packed *p = cs_mem_must(cs_calloc(1, sizeof *p), sizeof *p, "packed weights");
    if (!packed_layout(t, n, k, &p->md)) {
        cs_free(p);
        return NULL;
    }
    p->bytes = dnnl_memory_desc_get_size(&p->md);
    p->data = cs_mem_must(cs_alloc_aligned(p->bytes), p->bytes, "packed weights");
    if (dnnl_memory_create(&p->memory, &p->md, mine.engine, p->data) != dnnl_success) {
        packed_destroy(p);
        return NULL;
    }
    return p;
}

static bool reorder(const cs_weight *w, enum form form, const packed *p)
{
    dnnl_memory_desc_t plain = form == FWD ? matrix(w->cols, w->rows, w->dtype, 1, w->ld) : matrix(w->rows, w->cols, w->dtype, w->ld, 1);
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t prim = NULL;
    bool ok = dnnl_memory_create(&from, &plain, mine.engine, (void *)w->data) == dnnl_success &&
              dnnl_reorder_primitive_desc_create(&pd, &plain, mine.engine, &p->md, mine.engine, NULL) == dnnl_success &&
              dnnl_primitive_create(&prim, pd) == dnnl_success;
    if (ok) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, p->memory}};
        ok = dnnl_primitive_execute(prim, mine.stream, 2, args) == dnnl_success && dnnl_stream_wait(mine.stream) == dnnl_success;
    }
    dnnl_primitive_destroy(prim);
    dnnl_primitive_desc_destroy(pd);
    dnnl_memory_destroy(from);
    return ok;
}

/* W for y = x W^T (FWD) or dx = dy W (DGRAD); NULL when it cannot be had. */
static const packed *packed_weight(cs_weight *w, enum form form)
{
    if (!start())
        return NULL;
    if (!w->pack[form])
        w->pack[form] = form == FWD ? packed_create(w->dtype, w->rows, w->cols) : packed_create(w->dtype, w->cols, w->rows);
    if (w->pack[form] && w->pack_version[form] != w->version)
        w->pack_version[form] = reorder(w, form, w->pack[form]) ? w->version : 0;
    return w->pack_version[form] == w->version ? w->pack[form] : NULL;
}

static void release(cs_weight *w)
{
    for (int form = 0; form < 2; form++) {
        packed_destroy(w->pack[form]);
        w->pack[form] = NULL;
        w->pack_version[form] = 0;
    }
}

/* --- the three forms ---------------------------------------------------------------------------------------------------------------- */

static const cs_gemm_ops *own(cs_dtype t)
{
    cs_isa isa = cs_cpu_detect();
    if (t == CS_F32)
        return isa >= CS_ISA_AVX512 ? &cs_gemm_f32_avx512 : &cs_gemm_f32_avx2;
    return isa >= CS_ISA_AVX512BF16 ? &cs_gemm_bf16_dot : isa >= CS_ISA_AVX512 ? &cs_gemm_bf16_avx512 : &cs_gemm_bf16_avx2;
}

static cs_weight without_packs(const cs_weight *w)
{
    return (cs_weight){.data = w->data, .dtype = w->dtype, .rows = w->rows, .cols = w->cols, .ld = w->ld, .version = w->version};
}

static void fwd(int64_t T, const void *x, int64_t ldx, cs_weight *w, const void *bias, void *y, int64_t ldy, cs_dtype y_dtype, int beta)
{
    if (T <= 0 || w->rows <= 0)
        return;
    const packed *p = packed_weight(w, FWD);
    key k = {FWD, w->dtype, y_dtype, T, w->rows, w->cols, ldx, 0, ldy, bias != NULL, beta != 0, omp_get_max_threads()};
    if (!p || !execute(&k, x, p->data, &p->md, bias, y)) {
        cs_weight plain = without_packs(w);
        own(w->dtype)->fwd(T, x, ldx, &plain, bias, y, ldy, y_dtype, beta);
        own(w->dtype)->release(&plain);
    }
}

static void dgrad(int64_t T, const void *dy, int64_t ldy, cs_weight *w, void *dx, int64_t ldx, int beta)
{
    if (T <= 0 || w->cols <= 0)
        return;
    const packed *p = packed_weight(w, DGRAD);
    key k = {DGRAD, w->dtype, w->dtype, T, w->cols, w->rows, ldy, 0, ldx, false, beta != 0, omp_get_max_threads()};
    if (!p || !execute(&k, dy, p->data, &p->md, NULL, dx)) {
        cs_weight plain = without_packs(w);
        own(w->dtype)->dgrad(T, dy, ldy, &plain, dx, ldx, beta);
        own(w->dtype)->release(&plain);
    }
}

static void wgrad(cs_dtype t, int64_t T, int64_t N, int64_t K, const void *dy, int64_t ldy, const void *x, int64_t ldx, void *dw)
{
    if (T <= 0 || N <= 0 || K <= 0)
        return;
    key k = {WGRAD, t, CS_F32, N, K, T, ldy, ldx, K, false, true, omp_get_max_threads()};
    dnnl_memory_desc_t b = matrix(T, K, t, ldx, 1);
    if (!start() || !execute(&k, dy, x, &b, NULL, dw))
        own(t)->wgrad(T, N, K, dy, ldy, x, ldx, dw);
}

static void wgrad_f32(int64_t T, int64_t N, int64_t K, const void *dy, int64_t ldy, const void *x, int64_t ldx, void *dw)
{
    wgrad(CS_F32, T, N, K, dy, ldy, x, ldx, dw);
}

static void wgrad_bf16(int64_t T, int64_t N, int64_t K, const void *dy, int64_t ldy, const void *x, int64_t ldx, void *dw)
{
    wgrad(CS_BF16, T, N, K, dy, ldy, x, ldx, dw);
}

/* The workspace is oneDNN's own and small. */
static cs_gemm_bytes bytes(cs_dtype t, int64_t rows, int64_t cols)
{
    cs_gemm_bytes out = {0};
    dnnl_memory_desc_t md;
    for (int form = FWD; form <= DGRAD && start(); form++)
        if (form == FWD ? packed_layout(t, rows, cols, &md) : packed_layout(t, cols, rows, &md))
            out.pack[form] = dnnl_memory_desc_get_size(&md);
    return out;
}

static cs_gemm_bytes bytes_f32(int64_t T, int64_t rows, int64_t cols, int threads)
{
    (void)T, (void)threads;
    return bytes(CS_F32, rows, cols);
}

static cs_gemm_bytes bytes_bf16(int64_t T, int64_t rows, int64_t cols, int threads)
{
    (void)T, (void)threads;
    return bytes(CS_BF16, rows, cols);
}

const cs_gemm_ops *cs_gemm_dnnl(cs_dtype store, cs_isa isa)
{
    static const cs_gemm_ops f32 = {fwd, dgrad, wgrad_f32, NULL, release, bytes_f32}, bf16 = {fwd, dgrad, wgrad_bf16, NULL, release, bytes_bf16};
    if (store == CS_F32)
        return &f32;
    return store == CS_BF16 && isa >= CS_ISA_AVX512 ? &bf16 : NULL;
}
#endif
