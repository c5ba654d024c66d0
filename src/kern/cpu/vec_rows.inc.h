/* Kernels that work row by row: bias, RMSNorm, RoPE, SwiGLU, embedding. */

/* Sums down the rows: threads own columns, each column is summed in row order. */
static void bias_grad(int64_t T, int64_t N, const void *dy, int64_t ldy, void *db)
{
#pragma omp parallel for schedule(static) if (T * N > SMALL)
    for (int64_t c0 = 0; c0 < N; c0 += COL_CHUNK) {
        vf sum[COL_CHUNK / W];
        for (int j = 0; j < COL_CHUNK / W; j++)
            sum[j] = vzero();
        for (int64_t t = 0; t < T; t++)
            for (int64_t j = 0; j < COL_CHUNK / W && c0 + j * W < N; j++)
                sum[j] += lds((const S *)dy + t * ldy + c0 + j * W, N - c0 - j * W);
        for (int64_t j = 0; j < COL_CHUNK / W && c0 + j * W < N; j++) {
            float *out = (float *)db + c0 + j * W;
            vstore_part(out, vload_part(out, N - c0 - j * W) + sum[j], N - c0 - j * W);
        }
    }
}

static void rmsnorm_fwd(int64_t T, int64_t H, const void *x_, const void *w_, double eps, void *y_, void *rstd_)
{
    const S *w = w_;
#pragma omp parallel for schedule(static) if (T * H > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *x = (const S *)x_ + t * H;
        S *y = (S *)y_ + t * H;
        vf s0 = vzero(), s1 = vzero();
        int64_t c = 0;
        for (; c + 2 * W <= H; c += 2 * W) {
            vf a = lds(x + c, W), b = lds(x + c + W, W);
            s0 = vfma(a, a, s0);
            s1 = vfma(b, b, s1);
        }
        for (; c < H; c += W) {
            vf a = lds(x + c, H - c);
            s0 = vfma(a, a, s0);
        }
        float rstd = (float)(1.0 / sqrt((double)vsum(s0 + s1) / (double)H + eps));
        ((float *)rstd_)[t] = rstd;
        for (c = 0; c < H; c += W)
            sts(y + c, lds(x + c, H - c) * vset1(rstd) * lds(w + c, H - c), H - c);
    }
}

/* dw += sum over rows of dy * x * rstd, by columns. */
static void rmsnorm_dw(int64_t T, int64_t H, const S *dy, const S *x, const float *rstd, float *dw)
{
#pragma omp parallel for schedule(static) if (T * H > SMALL)
    for (int64_t c0 = 0; c0 < H; c0 += COL_CHUNK) {
        vf sum[COL_CHUNK / W];
        for (int j = 0; j < COL_CHUNK / W; j++)
            sum[j] = vzero();
        for (int64_t t = 0; t < T; t++) {
            vf r = vset1(rstd[t]);
            for (int64_t j = 0, c = c0; j < COL_CHUNK / W && c < H; j++, c += W)
                sum[j] = vfma(lds(dy + t * H + c, H - c) * r, lds(x + t * H + c, H - c), sum[j]);
        }
        for (int64_t j = 0, c = c0; j < COL_CHUNK / W && c < H; j++, c += W)
            vstore_part(dw + c, vload_part(dw + c, H - c) + sum[j], H - c);
    }
}

/* With n = x * rstd: dw += dy * n;  dx = rstd * (dy*w - n * mean(dy*w*n)). */
static void rmsnorm_bwd(int64_t T, int64_t H, const void *dy_, const void *x_, const void *w_, const void *rstd_, void *dx_, void *dw)
{
    const float *rstd = rstd_;
    const S *w = w_;
    rmsnorm_dw(T, H, dy_, x_, rstd, dw);
#pragma omp parallel for schedule(static) if (T * H > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *dy = (const S *)dy_ + t * H, *x = (const S *)x_ + t * H;
        S *dx = (S *)dx_ + t * H;
        vf sum = vzero();
        for (int64_t c = 0; c < H; c += W)
            sum = vfma(lds(dy + c, H - c) * lds(w + c, H - c), lds(x + c, H - c), sum);
        float r = rstd[t], pull = (float)((double)vsum(sum) * r * r / (double)H);
        for (int64_t c = 0; c < H; c += W) {
            vf g = lds(dy + c, H - c) * lds(w + c, H - c);
            sts(dx + c, vset1(r) * (g - lds(x + c, H - c) * vset1(pull)), H - c);
        }
    }
}

static void layernorm_fwd(int64_t T, int64_t H, const void *x_, const void *w_, const void *b_, double eps, void *y_, void *mean_, void *rstd_)
{
    const S *w = w_, *b = b_;
#pragma omp parallel for schedule(static) if (T * H > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *x = (const S *)x_ + t * H;
        S *y = (S *)y_ + t * H;
        vf sum = vzero(), sumsq = vzero();
        for (int64_t c = 0; c < H; c += W)
            sum += lds(x + c, H - c);
        float mean = (float)((double)vsum(sum) / (double)H);
        for (int64_t c = 0; c < H; c += W) {
            vf d = vfill_from(lds(x + c, H - c) - vset1(mean), H - c, 0);
            sumsq = vfma(d, d, sumsq);
        }
        float rstd = (float)(1.0 / sqrt((double)vsum(sumsq) / (double)H + eps));
        ((float *)mean_)[t] = mean;
        ((float *)rstd_)[t] = rstd;
        for (int64_t c = 0; c < H; c += W) {
            vf n = (lds(x + c, H - c) - vset1(mean)) * vset1(rstd);
            sts(y + c, vfma(n, lds(w + c, H - c), lds(b + c, H - c)), H - c);
        }
    }
}

/* dw += sum over rows of dy * (x - mean) * rstd, db += sum of dy, by columns. */
static void layernorm_dw(int64_t T, int64_t H, const S *dy, const S *x, const float *mean, const float *rstd, float *dw, float *db)
{
#pragma omp parallel for schedule(static) if (T * H > SMALL)
    for (int64_t c0 = 0; c0 < H; c0 += COL_CHUNK) {
        vf sum[COL_CHUNK / W], plain[COL_CHUNK / W];
        for (int j = 0; j < COL_CHUNK / W; j++)
            sum[j] = plain[j] = vzero();
        for (int64_t t = 0; t < T; t++) {
            vf r = vset1(rstd[t]), m = vset1(mean[t]);
            for (int64_t j = 0, c = c0; j < COL_CHUNK / W && c < H; j++, c += W) {
                vf d = lds(dy + t * H + c, H - c);
                sum[j] = vfma(d * r, lds(x + t * H + c, H - c) - m, sum[j]);
                plain[j] += d;
            }
        }
        for (int64_t j = 0, c = c0; j < COL_CHUNK / W && c < H; j++, c += W) {
            vstore_part(dw + c, vload_part(dw + c, H - c) + sum[j], H - c);
            vstore_part(db + c, vload_part(db + c, H - c) + plain[j], H - c);
        }
    }
}

/* With n = (x - mean) * rstd, g = dy * w: dx = rstd * (g - mean(g) - n * mean(g*n)). */
static void layernorm_bwd(int64_t T, int64_t H, const void *dy_, const void *x_, const void *w_, const void *mean_, const void *rstd_, void *dx_,
                          void *dw, void *db)
{
    const float *mean = mean_, *rstd = rstd_;
    const S *w = w_;
    layernorm_dw(T, H, dy_, x_, mean, rstd, dw, db);
#pragma omp parallel for schedule(static) if (T * H > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const S *dy = (const S *)dy_ + t * H, *x = (const S *)x_ + t * H;
        S *dx = (S *)dx_ + t * H;
        vf sum = vzero(), along = vzero(), m = vset1(mean[t]), r = vset1(rstd[t]);
        for (int64_t c = 0; c < H; c += W) {
            vf g = lds(dy + c, H - c) * lds(w + c, H - c);
            sum += g;
            along = vfma(g, (lds(x + c, H - c) - m) * r, along);
        }
        vf shift = vset1((float)((double)vsum(sum) / (double)H)), pull = vset1((float)((double)vsum(along) / (double)H));
        for (int64_t c = 0; c < H; c += W) {
            vf g = lds(dy + c, H - c) * lds(w + c, H - c), n = (lds(x + c, H - c) - m) * r;
            sts(dx + c, r * (g - shift - n * pull), H - c);
        }
    }
}

static void rope(int64_t T, int64_t n_heads, int64_t D, void *x_, int64_t ldx, const int32_t *pos, const void *cos_table, const void *sin_table,
                 int sign)
{
    int64_t half = D / 2;
#pragma omp parallel for schedule(static) if (T * n_heads * D > SMALL)
    for (int64_t t = 0; t < T; t++) {
        const float *cosine = (const float *)cos_table + pos[t] * half, *sine = (const float *)sin_table + pos[t] * half;
        for (int64_t h = 0; h < n_heads; h++) {
            S *x = (S *)x_ + t * ldx + h * D;
            for (int64_t i = 0; i < half; i += W) {
                int64_t m = half - i;
                vf a = lds(x + i, m), b = lds(x + half + i, m);
                vf c = vload_part(cosine + i, m), s = vset1((float)sign) * vload_part(sine + i, m);
                sts(x + i, vfma(a, c, vzero() - b * s), m);
                sts(x + half + i, vfma(b, c, a * s), m);
            }
        }
    }
}

static inline vf sigmoid(vf x)
{
    return vset1(1.0f) / (vset1(1.0f) + vexp(vzero() - x));
}

static void swiglu_fwd(int64_t T, int64_t F, const void *gu_, void *h_)
{
#pragma omp parallel for schedule(static) if (T * F > SMALL / 4)
    for (int64_t t = 0; t < T; t++) {
        const S *gu = (const S *)gu_ + t * 2 * F;
        S *h = (S *)h_ + t * F;
        for (int64_t c = 0; c < F; c += W) {
            vf g = lds(gu + c, F - c);
            sts(h + c, g * sigmoid(g) * lds(gu + F + c, F - c), F - c);
        }
    }
}

/* With s = sigmoid(g): dg = dh*u*s*(1 + g*(1-s)), du = dh*g*s. */
static void swiglu_bwd(int64_t T, int64_t F, const void *dh_, const void *gu_, void *dgu_, void *h_)
{
#pragma omp parallel for schedule(static) if (T * F > SMALL / 4)
    for (int64_t t = 0; t < T; t++) {
        const S *gu = (const S *)gu_ + t * 2 * F, *dh = (const S *)dh_ + t * F;
        S *dgu = (S *)dgu_ + t * 2 * F, *h = h_ == NULL ? NULL : (S *)h_ + t * F;
        for (int64_t c = 0; c < F; c += W) {
            vf g = lds(gu + c, F - c), u = lds(gu + F + c, F - c), d = lds(dh + c, F - c), s = sigmoid(g);
            sts(dgu + c, d * u * s * vfma(g, vset1(1.0f) - s, vset1(1.0f)), F - c);
            sts(dgu + F + c, d * g * s, F - c);
            if (h != NULL)
                sts(h + c, g * s * u, F - c);
        }
    }
}

/* The argument 2u of the sigmoid in gelu(x) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3): the tanh form, since (1 + tanh u)/2 = sigmoid(2u). */
static inline vf gelu_argument(vf x)
{
    return vset1(1.5957691216057308f) * x * vfma(x * x, vset1(0.044715f), vset1(1.0f));
}

static void gelu_fwd(int64_t T, int64_t F, const void *x_, void *h_)
{
#pragma omp parallel for schedule(static) if (T * F > SMALL / 4)
    for (int64_t t = 0; t < T; t++) {
        const S *x = (const S *)x_ + t * F;
        S *h = (S *)h_ + t * F;
        for (int64_t c = 0; c < F; c += W) {
            vf v = lds(x + c, F - c);
            sts(h + c, v * sigmoid(gelu_argument(v)), F - c);
        }
    }
}

/* With s = sigmoid(2u): gelu' = s + x s (1-s) 2u'. */
static void gelu_bwd(int64_t T, int64_t F, const void *dh_, const void *x_, void *dx_, void *h_)
{
#pragma omp parallel for schedule(static) if (T * F > SMALL / 4)
    for (int64_t t = 0; t < T; t++) {
        const S *x = (const S *)x_ + t * F, *dh = (const S *)dh_ + t * F;
        S *dx = (S *)dx_ + t * F, *h = h_ == NULL ? NULL : (S *)h_ + t * F;
        for (int64_t c = 0; c < F; c += W) {
            vf v = lds(x + c, F - c), d = lds(dh + c, F - c), s = sigmoid(gelu_argument(v));
            vf slope = vset1(1.5957691216057308f) * vfma(v * v, vset1(3 * 0.044715f), vset1(1.0f));
            sts(dx + c, d * vfma(v * s * (vset1(1.0f) - s), slope, s), F - c);
            if (h != NULL)
                sts(h + c, v * s, F - c);
        }
    }
}

static void embed_fwd(int64_t T, int64_t H, int64_t V, int64_t first, const int32_t *ids, const void *w, void *y)
{
#pragma omp parallel for schedule(static) if (T * H > SMALL)
    for (int64_t t = 0; t < T; t++) {
        int64_t row = ids[t] - first;
        if (row >= 0 && row < V)
            memcpy((S *)y + t * H, (const S *)w + row * H, (size_t)H * sizeof(S));
        else
            memset((void *)((S *)y + t * H), 0, (size_t)H * sizeof(S));
    }
}

/* Threads own columns, so each element is summed in row order by one thread. */
static void embed_bwd(int64_t T, int64_t H, int64_t V, int64_t first, const int32_t *ids, const void *dy, void *dw)
{
#pragma omp parallel for schedule(static) if (T * H > SMALL)
    for (int64_t c0 = 0; c0 < H; c0 += 2 * COL_CHUNK) {
        int64_t c1 = H - c0 < 2 * COL_CHUNK ? H : c0 + 2 * COL_CHUNK;
        for (int64_t t = 0; t < T; t++) {
            int64_t id = ids[t] - first;
            if (id < 0 || id >= V)
                continue;
            float *row = (float *)dw + id * H;
            for (int64_t c = c0; c < c1; c += W)
                vstore_part(row + c, vload_part(row + c, c1 - c) + lds((const S *)dy + t * H + c, c1 - c), c1 - c);
        }
    }
}
