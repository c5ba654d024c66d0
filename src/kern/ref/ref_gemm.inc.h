/* Matrix products of the reference: one loop nest for all three, C[M,N] = sum over k of P(m,k) Q(n,k), both operands packed to f64.
 * Each element of C is summed over k in blocks of BLOCK_K, in order, whatever the tile sizes, vector width or number of threads,
 * so that a build of this file with wider vectors gives the same bits. */
enum { BLOCK_M = 32, BLOCK_N = 64, BLOCK_K = 256, TILE_M = 4, LANES = REF_VEC_BYTES / 8, TILE_N = 2 * LANES };
typedef double vd __attribute__((vector_size(REF_VEC_BYTES)));

/* Element (i, k) of an operand is p[i*row + k*step]. */
typedef struct operand {
    const S *p;
    int64_t row, step;
} operand;

/* Where C goes: type S or A, added to when beta; bias is added per column. */
typedef struct target {
    void *p;
    int64_t ld;
    bool is_acc, beta;
    const S *bias;
} target;

/* Rows [i0, i0+n) and k in [k0, k0+nk) into panels of `width` rows: out[panel][k][width], missing rows zero. */
static void pack_operand(const operand *m, int64_t i0, int64_t n, int64_t k0, int64_t nk, int64_t width, double *out)
{
    for (int64_t r = 0; r < n; r += width) {
        int64_t full = n - r < width ? n - r : width;
        const S *base = m->p + (i0 + r) * m->row + k0 * m->step;
        for (int64_t k = 0; k < nk; k++, out += width) {
            for (int64_t i = 0; i < full; i++)
                out[i] = ld(base[i * m->row + k * m->step]);
            for (int64_t i = full; i < width; i++)
                out[i] = 0;
        }
    }
}

/* c[TILE_M][TILE_N] (row stride BLOCK_N) += a^T b over nk packed steps. */
static void tile(int64_t nk, const double *a, const double *b, double *c)
{
    vd s[TILE_M][2] = {{{0}}};
    for (int64_t k = 0; k < nk; k++) {
        vd b0, b1;
        memcpy(&b0, b + k * TILE_N, sizeof b0);
        memcpy(&b1, b + k * TILE_N + LANES, sizeof b1);
        for (int i = 0; i < TILE_M; i++) {
            s[i][0] += a[k * TILE_M + i] * b0;
            s[i][1] += a[k * TILE_M + i] * b1;
        }
    }
    for (int i = 0; i < TILE_M; i++)
        for (int j = 0; j < 2; j++)
            for (int l = 0; l < LANES; l++)
                c[i * BLOCK_N + j * LANES + l] += s[i][j][l];
}

static void store_block(const target *y, int64_t m0, int64_t m, int64_t n0, int64_t n, const double *c)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            int64_t at = (m0 + i) * y->ld + n0 + j;
            double v = c[i * BLOCK_N + j] + (y->bias == NULL ? 0 : ld(y->bias[n0 + j]));
            if (y->is_acc)
                ((A *)y->p)[at] = (A)(v + (y->beta ? (double)((A *)y->p)[at] : 0));
            else
                ((S *)y->p)[at] = st(v + (y->beta ? ld(((S *)y->p)[at]) : 0));
        }
    }
}

static void product(int64_t M, int64_t N, int64_t K, operand p, operand q, target y)
{
#pragma omp parallel for collapse(2) schedule(dynamic) if (M * N * K > 16384)
    for (int64_t m0 = 0; m0 < M; m0 += BLOCK_M) {
        for (int64_t n0 = 0; n0 < N; n0 += BLOCK_N) {
            double a[BLOCK_M * BLOCK_K], b[BLOCK_N * BLOCK_K], c[BLOCK_M * BLOCK_N] = {0};
            int64_t m = M - m0 < BLOCK_M ? M - m0 : BLOCK_M, n = N - n0 < BLOCK_N ? N - n0 : BLOCK_N;
            for (int64_t k0 = 0; k0 < K; k0 += BLOCK_K) {
                int64_t nk = K - k0 < BLOCK_K ? K - k0 : BLOCK_K;
                pack_operand(&p, m0, m, k0, nk, TILE_M, a);
                pack_operand(&q, n0, n, k0, nk, TILE_N, b);
                for (int64_t j = 0; j < n; j += TILE_N)
                    for (int64_t i = 0; i < m; i += TILE_M)
                        tile(nk, a + i * nk, b + j * nk, c + i * BLOCK_N + j);
            }
            store_block(&y, m0, m, n0, n, c);
        }
    }
}

static void gemm_fwd(int64_t T, const void *x, int64_t ldx, cs_weight *w, const void *bias, void *y, int64_t ldy, cs_dtype y_dtype, int beta)
{
    target out = {y, ldy, y_dtype != REF_STORE, beta != 0, bias};
    product(T, w->rows, w->cols, (operand){x, ldx, 1}, (operand){w->data, w->ld, 1}, out);
}

static void gemm_dgrad(int64_t T, const void *dy, int64_t ldy, cs_weight *w, void *dx, int64_t ldx, int beta)
{
    target out = {dx, ldx, false, beta != 0, NULL};
    product(T, w->cols, w->rows, (operand){dy, ldy, 1}, (operand){w->data, 1, w->ld}, out);
}

static void gemm_wgrad(int64_t T, int64_t N, int64_t K, const void *dy, int64_t ldy, const void *x, int64_t ldx, void *dw)
{
    target out = {dw, K, true, true, NULL};
    product(N, K, T, (operand){dy, 1, ldy}, (operand){x, 1, ldx}, out);
}
