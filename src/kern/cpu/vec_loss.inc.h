/* Softmax cross-entropy: one pass over the logits for the logsumexp, a second one only when the gradient is wanted. */

enum { LOSS_CHUNK = 1024 };

/* log(sum(exp(x))) by chunks that stay in the first-level cache, with a running maximum; chunk sums are added in f64. */
static double log_sum_exp(int64_t n, const float *x)
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
        for (int64_t i = lo; i < lo + full; i += W)
            part += vexp(vload(x + i) - vset1(max));
        if (rest > 0)
            part += vfill_from(vexp(vload_part(x + lo + full, rest) - vset1(max)), rest, 0);
        sum += vsum(part);
    }
    return max + log(sum);
}

/* Each vector is read before the (never wider) result is written, so d may start where x starts. */
static void softmax_grad(int64_t n, const float *x, int32_t label, float lse, float scale, S *d)
{
    float label_logit = x[label];
    for (int64_t i = 0; i < n; i += W) {
        vf v = vload_part(x + i, n - i);
        sts(d + i, vexp(v - vset1(lse)) * vset1(scale), n - i);
    }
    vf hit = (vexp(vset1(label_logit) - vset1(lse)) - vset1(1.0f)) * vset1(scale);
    sts(d + label, hit, 1);
}

static void cross_entropy(int64_t T, int64_t V, const void *logits, const int32_t *label, const float *weight, double scale, double *loss,
                          void *dlogits, int64_t ldd)
{
#pragma omp parallel for schedule(static) if (T * V > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const float *x = (const float *)logits + t * V;
        S *d = dlogits == NULL ? NULL : (S *)dlogits + t * ldd;
        loss[t] = 0;
        if (weight[t] != 0) {
            double lse = log_sum_exp(V, x);
            loss[t] = (double)weight[t] * (lse - (double)x[label[t]]);
            if (d != NULL)
                softmax_grad(V, x, label[t], (float)lse, (float)(weight[t] * scale), d);
        } else if (d != NULL) {
            memset((void *)d, 0, (size_t)V * sizeof(S));
        }
    }
}
