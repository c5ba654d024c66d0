/* Kernels over flat vectors, cut in chunks of FLAT_CHUNK elements. */

static void add(int64_t n, void *y_, const void *x_)
{
    S *y = y_;
    const S *x = x_;
#pragma omp parallel for schedule(static) if (n > SMALL)
    for (int64_t lo = 0; lo < n; lo += FLAT_CHUNK)
        for (int64_t i = lo, hi = n - lo < FLAT_CHUNK ? n : lo + FLAT_CHUNK; i < hi; i += W)
            sts(y + i, lds(y + i, hi - i) + lds(x + i, hi - i), hi - i);
}

static void acc_add(int64_t n, void *y_, const void *x_)
{
    float *y = y_;
    const float *x = x_;
#pragma omp parallel for schedule(static) if (n > SMALL)
    for (int64_t lo = 0; lo < n; lo += FLAT_CHUNK)
        for (int64_t i = lo, hi = n - lo < FLAT_CHUNK ? n : lo + FLAT_CHUNK; i < hi; i += W)
            vstore_part(y + i, vload_part(y + i, hi - i) + vload_part(x + i, hi - i), hi - i);
}

static void acc_scale(int64_t n, void *y_, double a)
{
    float *y = y_;
#pragma omp parallel for schedule(static) if (n > SMALL)
    for (int64_t lo = 0; lo < n; lo += FLAT_CHUNK)
        for (int64_t i = lo, hi = n - lo < FLAT_CHUNK ? n : lo + FLAT_CHUNK; i < hi; i += W)
            vstore_part(y + i, vload_part(y + i, hi - i) * vset1((float)a), hi - i);
}

static double acc_sumsq(int64_t n, const void *x)
{
    double total = 0, part[SUMSQ_BATCH];
    for (int64_t b = 0; b < n; b += (int64_t)FLAT_CHUNK * SUMSQ_BATCH) {
        int64_t left = n - b, n_part = (left + FLAT_CHUNK - 1) / FLAT_CHUNK;
        n_part = n_part < SUMSQ_BATCH ? n_part : SUMSQ_BATCH;
#pragma omp parallel for schedule(static) if (left > SMALL)
        for (int64_t c = 0; c < n_part; c++) {
            int64_t lo = b + c * FLAT_CHUNK;
            part[c] = vsumsq((const float *)x + lo, n - lo < FLAT_CHUNK ? n - lo : FLAT_CHUNK);
        }
        for (int64_t c = 0; c < n_part; c++)
            total += part[c];
    }
    return total;
}

/* x - x is zero for a finite x and NaN otherwise, and NaN stays in a sum. */
static bool acc_finite(int64_t n, const void *x_)
{
    const float *x = x_;
    int64_t bad = 0;
#pragma omp parallel for schedule(static) reduction(+ : bad) if (n > SMALL)
    for (int64_t lo = 0; lo < n; lo += FLAT_CHUNK) {
        vf sum = vzero();
        for (int64_t i = lo, hi = n - lo < FLAT_CHUNK ? n : lo + FLAT_CHUNK; i < hi; i += W) {
            vf v = vload_part(x + i, hi - i);
            sum += v - v;
        }
        bad += !(vsum(sum) == 0);
    }
    return bad == 0;
}

static void to_acc(int64_t n, const void *x_, void *y_)
{
    const S *x = x_;
    float *y = y_;
#pragma omp parallel for schedule(static) if (n > SMALL)
    for (int64_t lo = 0; lo < n; lo += FLAT_CHUNK)
        for (int64_t i = lo, hi = n - lo < FLAT_CHUNK ? n : lo + FLAT_CHUNK; i < hi; i += W)
            vstore_part(y + i, lds(x + i, hi - i), hi - i);
}

static void from_acc(int64_t n, const void *x_, void *y_)
{
    const float *x = x_;
    S *y = y_;
#pragma omp parallel for schedule(static) if (n > SMALL)
    for (int64_t lo = 0; lo < n; lo += FLAT_CHUNK)
        for (int64_t i = lo, hi = n - lo < FLAT_CHUNK ? n : lo + FLAT_CHUNK; i < hi; i += W)
            sts(y + i, vload_part(x + i, hi - i), hi - i);
}

/* The constants of one AdamW step in f32: p = p*keep - rate*m / (sqrt(v)*fix2 + eps), with rate = lr/(1-beta1^t), fix2 = 1/sqrt(1-beta2^t). */
typedef struct adamw_step {
    float beta1, grad1, beta2, grad2, keep, rate, fix2, eps, grad_scale;
} adamw_step;

static void adamw_chunk(int64_t n, float *p, float *m, float *v, const float *g, const adamw_step *k, S *store)
{
    vf beta1 = vset1(k->beta1), grad1 = vset1(k->grad1), beta2 = vset1(k->beta2), grad2 = vset1(k->grad2);
    vf keep = vset1(k->keep), rate = vset1(k->rate), fix2 = vset1(k->fix2), eps = vset1(k->eps), scale = vset1(k->grad_scale);
    for (int64_t i = 0; i < n; i += W) {
        int64_t left = n - i;
        vf d = vload_part(g + i, left) * scale;
        vf m1 = vfma(vload_part(m + i, left), beta1, d * grad1), v1 = vfma(vload_part(v + i, left), beta2, d * d * grad2);
        vf p1 = vload_part(p + i, left) * keep - rate * m1 / vfma(vsqrt(v1), fix2, eps);
        vstore_part(p + i, p1, left);
        vstore_part(m + i, m1, left);
        vstore_part(v + i, v1, left);
        if (store != NULL)
            sts(store + i, p1, left);
    }
}

static void adamw(int64_t n, void *p_, void *m_, void *v_, const void *g_, const cs_update *h, void *store)
{
    float *p = p_, *m = m_, *v = v_;
    S *copy = store == p_ ? NULL : store;
    const float *g = g_;
    adamw_step k = {
        .beta1 = (float)h->beta1,
        .grad1 = (float)(1 - h->beta1),
        .beta2 = (float)h->beta2,
        .grad2 = (float)(1 - h->beta2),
        .keep = (float)(1 - h->lr * h->weight_decay),
        .rate = (float)(h->lr / (1 - pow(h->beta1, (double)h->step))),
        .fix2 = (float)(1 / sqrt(1 - pow(h->beta2, (double)h->step))),
        .eps = (float)h->eps,
        .grad_scale = (float)h->grad_scale,
    };
#pragma omp parallel for schedule(static) if (n > SMALL)
    for (int64_t lo = 0; lo < n; lo += FLAT_CHUNK)
        adamw_chunk(n - lo < FLAT_CHUNK ? n - lo : FLAT_CHUNK, p + lo, m + lo, v + lo, g + lo, &k, copy == NULL ? NULL : copy + lo);
}

/* Momentum NULL: none is kept. */
static void sgd_chunk(int64_t n, float *p, float *m, const float *g, const cs_update *h, S *store)
{
    vf rate = vset1((float)h->lr), decay = vset1((float)h->weight_decay), momentum = vset1((float)h->momentum), scale = vset1((float)h->grad_scale);
    for (int64_t i = 0; i < n; i += W) {
        int64_t left = n - i;
        vf p0 = vload_part(p + i, left), d = vfma(p0, decay, vload_part(g + i, left) * scale);
        if (m != NULL) {
            d = vfma(vload_part(m + i, left), momentum, d);
            vstore_part(m + i, d, left);
        }
        p0 = p0 - rate * d;
        vstore_part(p + i, p0, left);
        if (store != NULL)
            sts(store + i, p0, left);
    }
}

static void sgd(int64_t n, void *p_, void *m_, const void *g_, const cs_update *h, void *store)
{
    float *p = p_, *m = m_;
    const float *g = g_;
    S *copy = store == p_ ? NULL : store;
#pragma omp parallel for schedule(static) if (n > SMALL)
    for (int64_t lo = 0; lo < n; lo += FLAT_CHUNK)
        sgd_chunk(n - lo < FLAT_CHUNK ? n - lo : FLAT_CHUNK, p + lo, m == NULL ? NULL : m + lo, g + lo, h, copy == NULL ? NULL : copy + lo);
}
