/* Attention forward: blocks of queries against blocks of keys with an online softmax (Dao et al., "FlashAttention", 2022), so memory is
 * linear in T and masked blocks are never touched. Scores are kept transposed, S^T[key][query] = K Q^T: softmax statistics are then plain
 * vectors over queries, K and V are used as they lie, and only Q is transposed, once per query block. Few queries (decode) take a second
 * path that streams K and V once per group of query heads.
 * Letters: D head dim, P = D rounded up to W, r query row and c key row within a block, off = position of query 0 minus position of key 0
 * of the block, so query r sees key c when c <= off + r. */

#if defined(__AVX512F__)
enum { ROWS = 4, VECS = 4, BLOCK = 64 };
#else
enum { ROWS = 6, VECS = 2, BLOCK = 48 };
#endif
enum { MAX_HEAD_DIM = 256, PAD = 8, DECODE_ROWS = 4, DECODE_KEYS = 64 };

/* c[ROWS][nv*W] = (add ? c : 0) + sum over k of a[i*a_m + k*a_k] * b[k*ldb ...]; the sum is finished before c is added. */
static inline __attribute__((always_inline)) void tile(const int nv, int64_t K, const float *a, int64_t a_m, int64_t a_k, const float *b,
                                                       int64_t ldb, float *c, int64_t ldc, bool add)
{
    vf s[ROWS][VECS];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
        for (int j = 0; j < nv; j++)
            s[i][j] = vzero();
    for (int64_t k = 0; k < K; k++, a += a_k, b += ldb) {
        vf bj[VECS];
#pragma GCC unroll 8
        for (int j = 0; j < nv; j++)
            bj[j] = vload(b + j * W);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
            vf ai = vset1(a[i * a_m]);
#pragma GCC unroll 8
            for (int j = 0; j < nv; j++)
                s[i][j] = vfma(ai, bj[j], s[i][j]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
        for (int j = 0; j < nv; j++)
            vstore(c + i * ldc + j * W, s[i][j] + (add ? vload(c + i * ldc + j * W) : vzero()));
}

/* ROWS rows of a product: N columns, a multiple of W. */
static void row_panel(int64_t N, int64_t K, const float *a, int64_t a_m, int64_t a_k, const float *b, int64_t ldb, float *c, int64_t ldc, bool add)
{
    for (; N >= VECS * W; N -= VECS * W, b += VECS * W, c += VECS * W)
        tile(VECS, K, a, a_m, a_k, b, ldb, c, ldc, add);
    for (; N >= 2 * W; N -= 2 * W, b += 2 * W, c += 2 * W)
        tile(2, K, a, a_m, a_k, b, ldb, c, ldc, add);
    if (N > 0)
        tile(1, K, a, a_m, a_k, b, ldb, c, ldc, add);
}

static inline int64_t round_up(int64_t x, int64_t to)
{
    return (x + to - 1) / to * to;
}

static inline int64_t clamp(int64_t x, int64_t lo, int64_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* n rows of D elements as f32 rows of P (zero from D), followed by zero rows up to a multiple of ROWS. */
static void unpack_rows(int64_t n, int64_t D, const S *x, int64_t ldx, float *out)
{
    int64_t P = round_up(D, W);
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < P; i += W)
            vstore(out + r * P + i, lds(x + r * ldx + i, D - i));
    memset(out + n * P, 0, (size_t)((round_up(n, ROWS) - n) * P) * sizeof *out);
}

/* out[i][r] = scale * x[r][i] with rows of BLOCK floats; columns from n up to a multiple of W are zero. x holds f32 rows of P. */
static void transpose_rows(int64_t n, int64_t D, const float *x, float scale, float *out)
{
    int64_t P = round_up(D, W), full = round_up(n, W);
    for (int64_t i = 0; i < D; i++) {
        for (int64_t r = 0; r < n; r++)
            out[i * BLOCK + r] = scale * x[r * P + i];
        for (int64_t r = n; r < full; r++)
            out[i * BLOCK + r] = 0;
    }
}

/* One query block of one head: the pieces it works on. */
typedef struct attn_block {
    float qt[MAX_HEAD_DIM * BLOCK];
    float k[(BLOCK + PAD) * MAX_HEAD_DIM], v[(BLOCK + PAD) * MAX_HEAD_DIM], o[(BLOCK + PAD) * MAX_HEAD_DIM];
    float st[(BLOCK + PAD) * BLOCK + PAD]; /* scores, then probabilities: [key][query] */
    float max[BLOCK], sum[BLOCK], shrink[BLOCK];
} attn_block;

/* Biases the scores of the first `end` keys by distance and hides keys that lie before a query's window. */
static void block_bias(attn_block *b, const cs_attn *a, int64_t h, int64_t r0, int64_t end, int64_t off)
{
    vf slope = vset1(a->alibi ? (float)a->alibi[h] : 0), query = viota() + vset1((float)(off + r0));
    for (int64_t c = 0; c < end; c++) {
        float *at = b->st + c * BLOCK + r0;
        vf x = vfma(slope, vset1((float)c) - query, vload(at));
        if (a->window > 0)
            x = vfill_from(x, clamp(c + a->window - off - r0, 0, W), -INFINITY);
        vstore(at, x);
    }
}

/* Scores of nk keys into probabilities for the W queries from r0; updates their running maximum and sum. */
static void block_softmax(attn_block *b, const cs_attn *a, int64_t h, int64_t r0, int64_t nk, int64_t off)
{
    int64_t end = clamp(off + r0 + W, 0, nk); /* keys that at least one of these queries sees */
    vf old = vload(b->max + r0), peak = old, sum = vzero();
    if (a->alibi || a->window > 0)
        block_bias(b, a, h, r0, end, off);
    for (int64_t c = 0; c < end; c++) {
        float *at = b->st + c * BLOCK + r0;
        vf x = vload(at);
        if (c > off + r0) {
            x = vfill_first(x, c - off - r0, -INFINITY);
            vstore(at, x);
        }
        peak = vmax(peak, x);
    }
    vf shrink = vexp(old - peak);
    for (int64_t c = 0; c < end; c++) {
        float *at = b->st + c * BLOCK + r0;
        vf p = vexp(vload(at) - peak);
        vstore(at, p);
        sum += p;
    }
    for (int64_t c = end; c < clamp(end + ROWS, 0, nk); c++)
        vstore(b->st + c * BLOCK + r0, vzero()); /* read by row panels that straddle this vector */
    if (end > 0) {
        vstore(b->sum + r0, vfma(vload(b->sum + r0), shrink, sum));
        vstore(b->max + r0, peak);
    }
    vstore(b->shrink + r0, end > 0 ? shrink : vset1(1.0f));
}

/* Adds nk keys, already in b->k and b->v, to the block's output rows. */
static void block_step(attn_block *b, const cs_attn *a, int64_t h, int64_t nq, int64_t nk, int64_t off)
{
    int64_t D = a->head_dim, P = round_up(D, W), wide = round_up(nq, W);
    for (int64_t c = 0; c < nk; c += ROWS) {
        int64_t lane = clamp(c - off, 0, wide) / W * W; /* queries before this vector see none of these keys */
        row_panel(wide - lane, D, b->k + c * P, P, 1, b->qt + lane, BLOCK, b->st + c * BLOCK + lane, BLOCK, false);
    }
    for (int64_t r0 = 0; r0 < wide; r0 += W)
        block_softmax(b, a, h, r0, nk, off);
    for (int64_t r = 0; r < nq; r += ROWS) {
        int64_t see = clamp(off + r + ROWS, 0, nk);
        if (see == 0)
            continue;
        for (int64_t i = r; i < clamp(r + ROWS, 0, nq); i++)
            if (b->shrink[i] != 1.0f)
                for (int64_t j = 0; j < P; j += W)
                    vstore(b->o + i * P + j, vload(b->o + i * P + j) * vset1(b->shrink[i]));
        row_panel(P, see, b->st + r, 1, BLOCK, b->v, P, b->o + r * P, P, true);
    }
}

/* The block of keys in which the window of a query at position pos begins. */
static int64_t first_key_block(const cs_attn *a, int64_t pos)
{
    return a->window > 0 && pos >= a->window ? (pos - a->window + 1) / BLOCK * BLOCK : 0;
}

/* Queries [q0, q0+nq) of sequence s, counted within the sequence. */
static void attn_query_block(const cs_attn *a, int64_t s, int64_t h, int64_t q0, int64_t nq)
{
    int64_t D = a->head_dim, P = round_up(D, W), g = h / (a->n_heads / a->n_kv_heads), row0 = a->q_start[s] + q0;
    int64_t pos0 = a->n_keys[s] - (a->q_start[s + 1] - a->q_start[s]) + q0, n_see = pos0 + nq;
    attn_block b;
    unpack_rows(nq, D, (const S *)a->q + row0 * a->ldq + h * D, a->ldq, b.o);
    transpose_rows(nq, D, b.o, (float)a->scale, b.qt);
    memset(b.o, 0, (size_t)(round_up(nq, ROWS) * P) * sizeof *b.o);
    memset(b.st, 0, sizeof b.st);
    for (int64_t r = 0; r < BLOCK; r++) {
        b.max[r] = -FLT_MAX; /* finite: with a window, a block may hold no key for this query */
        b.sum[r] = 0;
    }
    for (int64_t k0 = first_key_block(a, pos0); k0 < n_see; k0 += BLOCK) {
        int64_t nk = n_see - k0 < BLOCK ? n_see - k0 : BLOCK, at = k0 * a->k_ld + g * a->k_head;
        unpack_rows(nk, D, (const S *)a->k[s] + at, a->k_ld, b.k);
        unpack_rows(nk, D, (const S *)a->v[s] + at, a->k_ld, b.v);
        block_step(&b, a, h, nq, nk, pos0 - k0);
    }
    for (int64_t r = 0; r < nq; r++) {
        S *out = (S *)a->out + (row0 + r) * a->ld_out + h * D;
        vf inv = vset1(1.0f / b.sum[r]);
        for (int64_t i = 0; i < D; i += W)
            sts(out + i, vload(b.o + r * P + i) * inv, D - i);
        if (a->lse != NULL)
            ((float *)a->lse)[h * a->q_start[a->n_seq] + row0 + r] = b.max[r] + logf(b.sum[r]);
    }
}

/* The dot products of one query with n keys, scaled. */
static void decode_scores(int64_t n, int64_t D, const float *q, const S *k, int64_t ld, float scale, float *score)
{
    for (int64_t c = 0; c < n; c++, k += ld) {
        vf s0 = vzero(), s1 = vzero();
        int64_t i = 0;
        for (; i + 2 * W <= D; i += 2 * W) {
            s0 = vfma(vload(q + i), lds(k + i, W), s0);
            s1 = vfma(vload(q + i + W), lds(k + i + W, W), s1);
        }
        for (; i < D; i += W)
            s0 = vfma(vload(q + i), lds(k + i, D - i), s0);
        score[c] = scale * vsum(s0 + s1);
    }
}

/* acc[i] = acc[i]*shrink + sum over keys of p[c] * v[c][i]. */
static void decode_values(int64_t n, int64_t D, const float *p, const S *v, int64_t ld, float shrink, float *acc)
{
    for (int64_t i = 0; i < D; i += 2 * W) {
        vf s0 = vzero(), s1 = vzero();
        bool two = i + W < D;
        for (int64_t c = 0; c < n; c++) {
            const S *at = v + c * ld + i;
            s0 = vfma(vset1(p[c]), lds(at, D - i), s0);
            if (two)
                s1 = vfma(vset1(p[c]), lds(at + W, D - i - W), s1);
        }
        vstore(acc + i, vfma(vload(acc + i), vset1(shrink), s0));
        vstore(acc + i + W, vfma(vload(acc + i + W), vset1(shrink), s1));
    }
}

/* One query row while keys stream past. */
typedef struct decode_row {
    float q[MAX_HEAD_DIM + W], acc[MAX_HEAD_DIM + W];
    float max, sum;
} decode_row;

/* back: how far key 0 lies before the query. */
static void decode_step(decode_row *d, int64_t n, int64_t D, const S *k, const S *v, int64_t ld, float scale, float slope, int64_t back)
{
    float p[DECODE_KEYS];
    decode_scores(n, D, d->q, k, ld, scale, p);
    vf peak = vset1(d->max), sum = vzero();
    for (int64_t c = 0; slope != 0 && c < n; c += W)
        vstore_part(p + c, vfma(vset1(slope), viota() + vset1((float)(c - back)), vload_part(p + c, n - c)), n - c);
    for (int64_t c = 0; c < n; c += W)
        peak = vmax(peak, vfill_from(vload_part(p + c, n - c), n - c, -INFINITY));
    float next = vmax_lane(peak);
    for (int64_t c = 0; c < n; c += W) {
        vf e = vfill_from(vexp(vload_part(p + c, n - c) - vset1(next)), n - c, 0);
        vstore_part(p + c, e, n - c);
        sum += e;
    }
    float shrink = expf(d->max - next);
    decode_values(n, D, p, v, ld, shrink, d->acc);
    d->sum = d->sum * shrink + vsum(sum);
    d->max = next;
}

/* All queries of one sequence (at most DECODE_ROWS) for the heads [h0, h0+n) of one key head, n <= DECODE_ROWS: K and V are read once. */
static void attn_decode(const cs_attn *a, int64_t s, int64_t h0, int64_t n)
{
    decode_row rows[DECODE_ROWS];
    int64_t D = a->head_dim, g = h0 / (a->n_heads / a->n_kv_heads), nq = a->q_start[s + 1] - a->q_start[s];
    for (int64_t i = 0; i < nq; i++) {
        int64_t row = a->q_start[s] + i, n_see = a->n_keys[s] - nq + i + 1;
        for (int64_t j = 0; j < n; j++) {
            for (int64_t d = 0; d < D; d += W)
                vstore(rows[j].q + d, lds((const S *)a->q + row * a->ldq + (h0 + j) * D + d, D - d));
            memset(rows[j].acc, 0, sizeof rows[j].acc);
            rows[j].max = -INFINITY;
            rows[j].sum = 0;
        }
        for (int64_t k0 = a->window > 0 && n_see > a->window ? n_see - a->window : 0; k0 < n_see; k0 += DECODE_KEYS) {
            int64_t nk = n_see - k0 < DECODE_KEYS ? n_see - k0 : DECODE_KEYS, at = k0 * a->k_ld + g * a->k_head;
            for (int64_t j = 0; j < n; j++)
                decode_step(&rows[j], nk, D, (const S *)a->k[s] + at, (const S *)a->v[s] + at, a->k_ld, (float)a->scale,
                            a->alibi ? (float)a->alibi[h0 + j] : 0, n_see - 1 - k0);
        }
        for (int64_t j = 0; j < n; j++) {
            S *out = (S *)a->out + row * a->ld_out + (h0 + j) * D;
            for (int64_t d = 0; d < D; d += W)
                sts(out + d, vload(rows[j].acc + d) * vset1(1.0f / rows[j].sum), D - d);
            if (a->lse != NULL)
                ((float *)a->lse)[(h0 + j) * a->q_start[a->n_seq] + row] = rows[j].max + logf(rows[j].sum);
        }
    }
}

static void attn_fwd(const cs_attn *a)
{
    CS_ASSERT(a->head_dim <= MAX_HEAD_DIM);
    int64_t group = a->n_heads / a->n_kv_heads, part = group < DECODE_ROWS ? group : DECODE_ROWS, parts = (group + part - 1) / part;
#pragma omp parallel
    for (int64_t s = 0; s < a->n_seq; s++) {
        int64_t nq = a->q_start[s + 1] - a->q_start[s], n_blocks = (nq + BLOCK - 1) / BLOCK;
        if (nq <= DECODE_ROWS) {
#pragma omp for collapse(2) schedule(dynamic) nowait
            for (int64_t g = 0; g < a->n_kv_heads; g++)
                for (int64_t i = 0; i < parts; i++)
                    attn_decode(a, s, g * group + i * part, group - i * part < part ? group - i * part : part);
        } else {
#pragma omp for collapse(2) schedule(dynamic) nowait
            for (int64_t i = 0; i < n_blocks; i++) {
                for (int64_t h = 0; h < a->n_heads; h++) {
                    int64_t q0 = (n_blocks - 1 - i) * BLOCK; /* longest first */
                    attn_query_block(a, s, h, q0, nq - q0 < BLOCK ? nq - q0 : BLOCK);
                }
            }
        }
    }
}
