/* Softmax cross-entropy: one pass over the logits for the statistics of the logsumexp, one for the gradient. */

enum { LOSS_CHUNK = 1024 };

/* The largest element, and in *total the sum of exp(x - largest), by chunks that stay in the first-level cache, with a running maximum; chunk sums
 * are added in f64. While the maximum is -inf, 0 is subtracted in its place: -inf - -inf would be NaN. */
static float largest_and_sum(int64_t n, const float *x, double *total)
{
    float max = -INFINITY;
    double sum = 0;
    for (int64_t lo = 0; lo < n; lo += LOSS_CHUNK) {
        int64_t len = n - lo < LOSS_CHUNK ? n - lo : LOSS_CHUNK, full = len / W * W, rest = len - full;
        vf peak = vset1(max), part = vzero();
        for (int64_t i = lo; i < lo + full; i += W)
            peak = vmax(peak, vload(x + i));
        if (rest > 0)
            peak = vmax(peak, vfill_from(vload_part(x + lo + full, rest), rest, -INFINITY));
        float next = vmax_lane(peak);
        if (next > max) {
            sum *= exp((double)max - next);
            max = next;
        }
        vf base = vset1(max == -INFINITY ? 0 : max);
        for (int64_t i = lo; i < lo + full; i += W)
            part += vexp(vload(x + i) - base);
        if (rest > 0)
            part += vfill_from(vexp(vload_part(x + lo + full, rest) - base), rest, 0);
        sum += vsum(part);
    }
    *total = sum;
    return max;
}

static void ce_stats(int64_t T, int64_t V, const void *logits, const int32_t *label, const float *weight, double *top, double *sum, double *picked)
{
#pragma omp parallel for schedule(static) if (T * V > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const float *x = (const float *)logits + t * V;
        top[t] = 0;
        sum[t] = 1;
        picked[t] = 0;
        if (weight[t] != 0) {
            top[t] = largest_and_sum(V, x, &sum[t]);
            picked[t] = label[t] >= 0 && label[t] < V ? x[label[t]] : 0;
        }
    }
}

/* Each vector is read before the (never wider) result is written, so d may start where x starts. */
static void softmax_grad(int64_t n, const float *x, int32_t label, float lse, float scale, S *d)
{
    bool here = label >= 0 && label < n;
    float label_logit = here ? x[label] : 0;
    for (int64_t i = 0; i < n; i += W) {
        vf v = vload_part(x + i, n - i);
        sts(d + i, vexp(v - vset1(lse)) * vset1(scale), n - i);
    }
    vf hit = (vexp(vset1(label_logit) - vset1(lse)) - vset1(1.0f)) * vset1(scale);
    if (here)
        sts(d + label, hit, 1);
}

static void ce_grad(int64_t T, int64_t V, const void *logits, const int32_t *label, const float *weight, double scale, const double *lse,
                    void *dlogits, int64_t ldd)
{
#pragma omp parallel for schedule(static) if (T * V > SMALL)
    for (int64_t t = 0; t < T; t++) {
        S *d = (S *)dlogits + t * ldd;
        if (weight[t] != 0)
            softmax_grad(V, (const float *)logits + t * V, label[t], (float)lse[t], (float)(weight[t] * scale), d);
        else
            memset((void *)d, 0, (size_t)V * sizeof(S));
    }
}
