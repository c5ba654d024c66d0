/* The reference kernels, compiled once per store type by ref_<type>.c, which defines S, A, S_alias, ld, st and REF_*.
 * Every sum runs in f64 in an order given by the data alone; a result is rounded once, when it is stored. */
#include <math.h>

#include "kern/ref/ref.h"
#include "kern/ref/ref_gemm.inc.h"
#include "kern/ref/ref_attn.inc.h"

enum { COL_CHUNK = 64, SUMSQ_CHUNK = 4096, SUMSQ_BATCH = 2048, SMALL = 16384 };

static void weight_release(cs_weight *w)
{
    w->pack[0] = w->pack[1] = NULL; /* nothing is ever packed here */
    w->pack_version[0] = w->pack_version[1] = 0;
}

static cs_gemm_bytes gemm_bytes(int64_t T, int64_t rows, int64_t cols, int threads)
{
    (void)T, (void)rows, (void)cols, (void)threads;
    return (cs_gemm_bytes){0};
}

static void bias_grad(int64_t T, int64_t N, const void *dy, int64_t ldy, void *db)
{
#pragma omp parallel for if (T * N > SMALL)
    for (int64_t c0 = 0; c0 < N; c0 += COL_CHUNK) {
        int64_t n = N - c0 < COL_CHUNK ? N - c0 : COL_CHUNK;
        double sum[COL_CHUNK] = {0};
        for (int64_t t = 0; t < T; t++)
            for (int64_t c = 0; c < n; c++)
                sum[c] += ld(((const S *)dy)[t * ldy + c0 + c]);
        for (int64_t c = 0; c < n; c++)
            ((A *)db)[c0 + c] = (A)(((A *)db)[c0 + c] + sum[c]);
    }
}

static void rmsnorm_fwd(int64_t T, int64_t H, const void *x_, const void *w_, double eps, void *y_, void *rstd_)
{
    const S *w = w_;
#pragma omp parallel for if (T * H > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *x = (const S *)x_ + t * H;
        S *y = (S *)y_ + t * H;
        double sum = 0;
        for (int64_t c = 0; c < H; c++)
            sum += ld(x[c]) * ld(x[c]);
        A rstd = (A)(1.0 / sqrt(sum / (double)H + eps));
        ((A *)rstd_)[t] = rstd;
        for (int64_t c = 0; c < H; c++)
            y[c] = st(ld(x[c]) * rstd * ld(w[c]));
    }
}

/* With n = x * rstd: dw += dy * n;  dx = rstd * (dy*w - n * mean(dy*w*n)). */
static void rmsnorm_bwd(int64_t T, int64_t H, const void *dy_, const void *x_, const void *w_, const void *rstd_, void *dx_, void *dw_)
{
    const A *rstd = rstd_;
    const S *w = w_;
#pragma omp parallel for if (T * H > SMALL)
    for (int64_t c0 = 0; c0 < H; c0 += COL_CHUNK) {
        int64_t n = H - c0 < COL_CHUNK ? H - c0 : COL_CHUNK;
        double sum[COL_CHUNK] = {0};
        for (int64_t t = 0; t < T; t++)
            for (int64_t c = c0; c < c0 + n; c++)
                sum[c - c0] += ld(((const S *)dy_)[t * H + c]) * ld(((const S *)x_)[t * H + c]) * rstd[t];
        for (int64_t c = 0; c < n; c++)
            ((A *)dw_)[c0 + c] = (A)(((A *)dw_)[c0 + c] + sum[c]);
    }
#pragma omp parallel for if (T * H > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *dy = (const S *)dy_ + t * H, *x = (const S *)x_ + t * H;
        S *dx = (S *)dx_ + t * H;
        double sum = 0, r = rstd[t];
        for (int64_t c = 0; c < H; c++)
            sum += ld(dy[c]) * ld(w[c]) * ld(x[c]) * r;
        double mean = sum / (double)H;
        for (int64_t c = 0; c < H; c++)
            dx[c] = st(r * (ld(dy[c]) * ld(w[c]) - ld(x[c]) * r * mean));
    }
}

static void layernorm_fwd(int64_t T, int64_t H, const void *x_, const void *w_, const void *b_, double eps, void *y_, void *mean_, void *rstd_)
{
    const S *w = w_, *b = b_;
#pragma omp parallel for if (T * H > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *x = (const S *)x_ + t * H;
        S *y = (S *)y_ + t * H;
        double sum = 0, sumsq = 0;
        for (int64_t c = 0; c < H; c++)
            sum += ld(x[c]);
        A mean = (A)(sum / (double)H);
        for (int64_t c = 0; c < H; c++)
            sumsq += (ld(x[c]) - mean) * (ld(x[c]) - mean);
        A rstd = (A)(1.0 / sqrt(sumsq / (double)H + eps));
        ((A *)mean_)[t] = mean;
        ((A *)rstd_)[t] = rstd;
        for (int64_t c = 0; c < H; c++)
            y[c] = st((ld(x[c]) - mean) * rstd * ld(w[c]) + ld(b[c]));
    }
}

/* With n = (x - mean) * rstd, g = dy * w: dw += dy * n, db += dy;  dx = rstd * (g - mean(g) - n * mean(g*n)). */
static void layernorm_bwd(int64_t T, int64_t H, const void *dy_, const void *x_, const void *w_, const void *mean_, const void *rstd_, void *dx_,
                          void *dw_, void *db_)
{
    const A *mean = mean_, *rstd = rstd_;
    const S *w = w_;
#pragma omp parallel for if (T * H > SMALL)
    for (int64_t c0 = 0; c0 < H; c0 += COL_CHUNK) {
        int64_t n = H - c0 < COL_CHUNK ? H - c0 : COL_CHUNK;
        double sum[COL_CHUNK] = {0}, plain[COL_CHUNK] = {0};
        for (int64_t t = 0; t < T; t++)
            for (int64_t c = c0; c < c0 + n; c++) {
                double dy = ld(((const S *)dy_)[t * H + c]);
                sum[c - c0] += dy * (ld(((const S *)x_)[t * H + c]) - mean[t]) * rstd[t];
                plain[c - c0] += dy;
            }
        for (int64_t c = 0; c < n; c++) {
            ((A *)dw_)[c0 + c] = (A)(((A *)dw_)[c0 + c] + sum[c]);
            ((A *)db_)[c0 + c] = (A)(((A *)db_)[c0 + c] + plain[c]);
        }
    }
#pragma omp parallel for if (T * H > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *dy = (const S *)dy_ + t * H, *x = (const S *)x_ + t * H;
        S *dx = (S *)dx_ + t * H;
        double sum = 0, along = 0, m = mean[t], r = rstd[t];
        for (int64_t c = 0; c < H; c++) {
            double g = ld(dy[c]) * ld(w[c]);
            sum += g;
            along += g * (ld(x[c]) - m) * r;
        }
        for (int64_t c = 0; c < H; c++)
            dx[c] = st(r * (ld(dy[c]) * ld(w[c]) - sum / (double)H - (ld(x[c]) - m) * r * (along / (double)H)));
    }
}

static void unit_rows_fwd(int64_t N, int64_t K, const void *x_, void *y_, void *length_)
{
#pragma omp parallel for if (N * K > SMALL)
    for (int64_t r = 0; r < N; r++) {
        const S *x = (const S *)x_ + r * K;
        S *y = (S *)y_ + r * K;
        double sum = 0;
        for (int64_t c = 0; c < K; c++)
            sum += ld(x[c]) * ld(x[c]);
        double length = sqrt(sum) > 1e-12 ? sqrt(sum) : 1e-12;
        ((A *)length_)[r] = (A)length;
        for (int64_t c = 0; c < K; c++)
            y[c] = st(ld(x[c]) / length);
    }
}

static void unit_rows_bwd(int64_t N, int64_t K, const void *dy_, const void *y_, const void *length_, void *dx_)
{
#pragma omp parallel for if (N * K > SMALL)
    for (int64_t r = 0; r < N; r++) {
        const A *dy = (const A *)dy_ + r * K;
        const S *y = (const S *)y_ + r * K;
        A *dx = (A *)dx_ + r * K;
        double along = 0, length = ((const A *)length_)[r];
        for (int64_t c = 0; c < K; c++)
            along += ld(y[c]) * dy[c];
        for (int64_t c = 0; c < K; c++)
            dx[c] = (A)(dx[c] + (dy[c] - ld(y[c]) * along) / length);
    }
}

static void rope(int64_t T, int64_t n_heads, int64_t D, void *x_, int64_t ldx, const int32_t *pos, const void *cos_table, const void *sin_table,
                 int sign)
{
    int64_t half = D / 2;
#pragma omp parallel for if (T * n_heads * D > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const A *cosine = (const A *)cos_table + pos[t] * half, *sine = (const A *)sin_table + pos[t] * half;
        for (int64_t h = 0; h < n_heads; h++) {
            S *x = (S *)x_ + t * ldx + h * D;
            for (int64_t i = 0; i < half; i++) {
                double a = ld(x[i]), b = ld(x[i + half]), c = cosine[i], s = sign * sine[i];
                x[i] = st(a * c - b * s);
                x[i + half] = st(b * c + a * s);
            }
        }
    }
}

static void swiglu_fwd(int64_t T, int64_t F, const void *gu_, void *h_)
{
#pragma omp parallel for if (T * F > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *g = (const S *)gu_ + t * 2 * F, *u = g + F;
        S *h = (S *)h_ + t * F;
        for (int64_t c = 0; c < F; c++)
            h[c] = st(ld(g[c]) * (1 / (1 + exp(-ld(g[c])))) * ld(u[c]));
    }
}

/* With s = sigmoid(g): dg = dh*u*s*(1 + g*(1-s)), du = dh*g*s. */
static void swiglu_bwd(int64_t T, int64_t F, const void *dh_, const void *gu_, void *dgu_, void *h_)
{
#pragma omp parallel for if (T * F > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *gu = (const S *)gu_ + t * 2 * F, *dh = (const S *)dh_ + t * F;
        S *dgu = (S *)dgu_ + t * 2 * F, *h = h_ == NULL ? NULL : (S *)h_ + t * F;
        for (int64_t c = 0; c < F; c++) {
            double g = ld(gu[c]), u = ld(gu[F + c]), d = ld(dh[c]), s = 1 / (1 + exp(-g));
            dgu[c] = st(d * u * s * (1 + g * (1 - s)));
            dgu[F + c] = st(d * g * s);
            if (h != NULL)
                h[c] = st(g * s * u);
        }
    }
}

#define GELU_RATE 0.79788456080286535588 /* sqrt(2/pi) */
#define GELU_CUBE 0.044715

static void gelu_fwd(int64_t T, int64_t F, const void *x_, void *h_)
{
#pragma omp parallel for if (T * F > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *x = (const S *)x_ + t * F;
        S *h = (S *)h_ + t * F;
        for (int64_t c = 0; c < F; c++) {
            double v = ld(x[c]);
            h[c] = st(0.5 * v * (1 + tanh(GELU_RATE * (v + GELU_CUBE * v * v * v))));
        }
    }
}

/* With t = tanh(u(x)): gelu' = (1 + t)/2 + x (1 - t^2) u'(x) / 2. */
static void gelu_bwd(int64_t T, int64_t F, const void *dh_, const void *x_, void *dx_, void *h_)
{
#pragma omp parallel for if (T * F > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *x = (const S *)x_ + t * F, *dh = (const S *)dh_ + t * F;
        S *dx = (S *)dx_ + t * F, *h = h_ == NULL ? NULL : (S *)h_ + t * F;
        for (int64_t c = 0; c < F; c++) {
            double v = ld(x[c]), d = ld(dh[c]), th = tanh(GELU_RATE * (v + GELU_CUBE * v * v * v));
            if (h != NULL)
                h[c] = st(0.5 * v * (1 + th));
            dx[c] = st(d * (0.5 * (1 + th) + 0.5 * v * (1 - th * th) * GELU_RATE * (1 + 3 * GELU_CUBE * v * v)));
        }
    }
}

static void embed_fwd(int64_t T, int64_t H, int64_t V, int64_t first, const int32_t *ids, const void *w, void *y)
{
#pragma omp parallel for if (T * H > SMALL)
    for (int64_t t = 0; t < T; t++) {
        int64_t row = ids[t] - first;
        if (row >= 0 && row < V)
            memcpy((S *)y + t * H, (const S *)w + row * H, (size_t)H * sizeof(S));
        else
            memset((S *)y + t * H, 0, (size_t)H * sizeof(S));
    }
}

/* Threads share the columns, so each element is summed in row order by one thread. */
static void embed_bwd(int64_t T, int64_t H, int64_t V, int64_t first, const int32_t *ids, const void *dy, void *dw)
{
#pragma omp parallel for if (T * H > SMALL)
    for (int64_t c0 = 0; c0 < H; c0 += COL_CHUNK) {
        int64_t c1 = H - c0 < COL_CHUNK ? H : c0 + COL_CHUNK;
        for (int64_t t = 0; t < T; t++) {
            int64_t id = ids[t] - first;
            if (id < 0 || id >= V)
                continue;
            A *row = (A *)dw + id * H;
            for (int64_t c = c0; c < c1; c++)
                row[c] = (A)(row[c] + ld(((const S *)dy)[t * H + c]));
        }
    }
}

static void ce_stats(int64_t T, int64_t V, const void *logits, const int32_t *label, const float *weight, double *top, double *sum, double *picked)
{
#pragma omp parallel for if (T * V > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const A *x = (const A *)logits + t * V;
        bool trained = weight[t] != 0;
        double max = -INFINITY, total = 0;
        for (int64_t j = 0; trained && j < V; j++)
            max = x[j] > max ? x[j] : max;
        double base = max == -INFINITY ? 0 : max; /* -inf - -inf would be NaN */
        for (int64_t j = 0; trained && j < V; j++)
            total += exp(x[j] - base);
        top[t] = trained ? max : 0;
        sum[t] = trained ? total : 1;
        picked[t] = trained && label[t] >= 0 && label[t] < V ? x[label[t]] : 0;
    }
}

/* Element j of a row is read before element j of dlogits is written, and S is never wider than A: so they may share memory. */
static void ce_grad(int64_t T, int64_t V, const void *logits, const int32_t *label, const float *weight, double scale, const double *lse,
                    void *dlogits, int64_t ldd)
{
#pragma omp parallel for if (T * V > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const A *x = (const A *)logits + t * V;
        S_alias *d = (S_alias *)dlogits + t * ldd;
        if (weight[t] == 0)
            memset((void *)d, 0, (size_t)V * sizeof(S));
        for (int64_t j = 0; weight[t] != 0 && j < V; j++)
            d[j] = st((double)weight[t] * scale * (exp(x[j] - lse[t]) - (j == label[t])));
    }
}

static void add(int64_t n, void *y, const void *x)
{
#pragma omp parallel for if (n > SMALL)
    for (int64_t i = 0; i < n; i++)
        ((S *)y)[i] = st(ld(((S *)y)[i]) + ld(((const S *)x)[i]));
}

static void acc_add(int64_t n, void *y, const void *x)
{
#pragma omp parallel for if (n > SMALL)
    for (int64_t i = 0; i < n; i++)
        ((A *)y)[i] += ((const A *)x)[i];
}

static void acc_scale(int64_t n, void *y, double a)
{
#pragma omp parallel for if (n > SMALL)
    for (int64_t i = 0; i < n; i++)
        ((A *)y)[i] = (A)(((A *)y)[i] * a);
}

static double acc_sumsq(int64_t n, const void *x)
{
    double total = 0, part[SUMSQ_BATCH];
    for (int64_t b = 0; b < n; b += (int64_t)SUMSQ_CHUNK * SUMSQ_BATCH) {
        int64_t left = n - b, n_part = (left + SUMSQ_CHUNK - 1) / SUMSQ_CHUNK;
        n_part = n_part < SUMSQ_BATCH ? n_part : SUMSQ_BATCH;
#pragma omp parallel for if (left > SMALL)
        for (int64_t c = 0; c < n_part; c++) {
            int64_t lo = b + c * SUMSQ_CHUNK, hi = lo + SUMSQ_CHUNK < n ? lo + SUMSQ_CHUNK : n;
            double sum = 0;
            for (int64_t i = lo; i < hi; i++)
                sum += (double)((const A *)x)[i] * ((const A *)x)[i];
            part[c] = sum;
        }
        for (int64_t c = 0; c < n_part; c++)
            total += part[c];
    }
    return total;
}

static bool acc_finite(int64_t n, const void *x)
{
    int64_t bad = 0;
#pragma omp parallel for reduction(+ : bad) if (n > SMALL)
    for (int64_t i = 0; i < n; i++)
        bad += !isfinite(((const A *)x)[i]);
    return bad == 0;
}

static void to_acc(int64_t n, const void *x, void *y)
{
#pragma omp parallel for if (n > SMALL)
    for (int64_t i = 0; i < n; i++)
        ((A *)y)[i] = (A)ld(((const S *)x)[i]);
}

static void from_acc(int64_t n, const void *x, void *y)
{
#pragma omp parallel for if (n > SMALL)
    for (int64_t i = 0; i < n; i++)
        ((S *)y)[i] = st(((const A *)x)[i]);
}

static void adamw(int64_t n, void *p_, void *m_, void *v_, const void *g_, const cs_update *h, void *store)
{
    A *p = p_, *m = m_, *v = v_;
    double fix1 = 1 / (1 - pow(h->beta1, (double)h->step)), fix2 = 1 / (1 - pow(h->beta2, (double)h->step));
    S *copy = store == p_ ? NULL : store;
#pragma omp parallel for if (n > SMALL)
    for (int64_t i = 0; i < n; i++) {
        double g = ((const A *)g_)[i] * h->grad_scale;
        double m1 = h->beta1 * m[i] + (1 - h->beta1) * g, v1 = h->beta2 * v[i] + (1 - h->beta2) * g * g;
        double p1 = p[i] - h->lr * h->weight_decay * p[i];
        p[i] = (A)(p1 - h->lr * (m1 * fix1) / (sqrt(v1 * fix2) + h->eps));
        m[i] = (A)m1;
        v[i] = (A)v1;
        if (copy != NULL)
            copy[i] = st(p[i]);
    }
}

static void sgd(int64_t n, void *p_, void *m_, const void *g_, const cs_update *h, void *store)
{
    A *p = p_, *m = m_;
    S *copy = store == p_ ? NULL : store;
#pragma omp parallel for if (n > SMALL)
    for (int64_t i = 0; i < n; i++) {
        double d = ((const A *)g_)[i] * h->grad_scale + h->weight_decay * p[i];
        if (m != NULL) {
            d += h->momentum * m[i];
            m[i] = (A)d;
        }
        p[i] = (A)(p[i] - h->lr * d);
        if (copy != NULL)
            copy[i] = st(p[i]);
    }
}

const cs_kernels REF_TABLE = {
    .name = REF_NAME,
    .store = REF_STORE,
    .acc = REF_ACC,
    .gemm_fwd = gemm_fwd,
    .gemm_dgrad = gemm_dgrad,
    .gemm_wgrad = gemm_wgrad,
    .weight_release = weight_release,
    .gemm_bytes = gemm_bytes,
    .bias_grad = bias_grad,
    .rmsnorm_fwd = rmsnorm_fwd,
    .rmsnorm_bwd = rmsnorm_bwd,
    .layernorm_fwd = layernorm_fwd,
    .layernorm_bwd = layernorm_bwd,
    .unit_rows_fwd = unit_rows_fwd,
    .unit_rows_bwd = unit_rows_bwd,
    .rope = rope,
    .attn_fwd = attn_fwd,
    .attn_bwd = attn_bwd,
    .attn_work_bytes = attn_work_bytes,
    .swiglu_fwd = swiglu_fwd,
    .swiglu_bwd = swiglu_bwd,
    .gelu_fwd = gelu_fwd,
    .gelu_bwd = gelu_bwd,
    .embed_fwd = embed_fwd,
    .embed_bwd = embed_bwd,
    .ce_stats = ce_stats,
    .ce_grad = ce_grad,
    .add = add,
    .acc_add = acc_add,
    .acc_scale = acc_scale,
    .acc_sumsq = acc_sumsq,
    .acc_finite = acc_finite,
    .to_acc = to_acc,
    .from_acc = from_acc,
    .adamw = adamw,
    .sgd = sgd,
};
