/* Attention backward. For a block of keys and a block of queries, with P = exp(scale*QK^T - lse) and delta = rowsum(dO * O):
 * dV += P^T dO,  dS = scale * P * (dO V^T - delta),  dK += dS^T Q,  dQ += dS K. Queries are rows here; K and V are transposed once per key block.
 * Two orders of the same work: one task per key head doing everything (5 products), or, when those tasks are too few for the threads, one pass
 * over key blocks for dK, dV and one over query blocks for dQ (7 products). Every sum is formed from the same terms in the same order, so both
 * give the same bits. */

typedef struct attn_bwd_block {
    float kt[MAX_HEAD_DIM * BLOCK], vt[MAX_HEAD_DIM * BLOCK], k[(BLOCK + PAD) * MAX_HEAD_DIM];
    float q[(BLOCK + PAD) * MAX_HEAD_DIM], dout[(BLOCK + PAD) * MAX_HEAD_DIM];
    float dk[(BLOCK + PAD) * MAX_HEAD_DIM], dv[(BLOCK + PAD) * MAX_HEAD_DIM], dq[(BLOCK + PAD) * MAX_HEAD_DIM];
    float p[(BLOCK + PAD) * BLOCK + PAD], ds[(BLOCK + PAD) * BLOCK + PAD]; /* [query][key] */
} attn_bwd_block;

/* work: delta [n_heads, T], then dq sums [n_heads, T, P], all f32. */
static size_t attn_work_bytes(int64_t T, int64_t n_heads, int64_t n_kv_heads, int64_t D)
{
    (void)n_kv_heads;
    return (size_t)(n_heads * T * (round_up(D, W) + 1)) * sizeof(float);
}

static float *work_dq(const cs_attn_grad *g, int64_t h, int64_t row)
{
    const cs_attn *a = g->fwd;
    int64_t T = a->q_start[a->n_seq];
    return (float *)g->work + a->n_heads * T + (h * T + row) * round_up(a->head_dim, W);
}

static void row_delta(const cs_attn_grad *g, int64_t row)
{
    const cs_attn *a = g->fwd;
    int64_t D = a->head_dim, T = a->q_start[a->n_seq];
    for (int64_t h = 0; h < a->n_heads; h++) {
        const S *o = (const S *)a->out + row * a->ld_out + h * D, *d = (const S *)g->dout + row * g->ld_dout + h * D;
        vf sum = vzero();
        for (int64_t i = 0; i < D; i += W)
            sum = vfma(lds(o + i, D - i), lds(d + i, D - i), sum);
        ((float *)g->work)[h * T + row] = vsum(sum);
    }
}

/* Loads keys [k0, k0+nk) of sequence s, key head kv. */
static void load_keys(attn_bwd_block *b, const cs_attn *a, int64_t s, int64_t kv, int64_t k0, int64_t nk)
{
    int64_t D = a->head_dim, at = k0 * a->k_ld + kv * a->k_head;
    unpack_rows(nk, D, (const S *)a->v[s] + at, a->k_ld, b->k);
    transpose_rows(nk, D, b->k, 1.0f, b->vt);
    unpack_rows(nk, D, (const S *)a->k[s] + at, a->k_ld, b->k);
    transpose_rows(nk, D, b->k, 1.0f, b->kt);
}

/* Loads query rows [row0, row0+nq) (over all sequences) of head h. */
static void load_queries(attn_bwd_block *b, const cs_attn_grad *g, int64_t h, int64_t row0, int64_t nq)
{
    const cs_attn *a = g->fwd;
    unpack_rows(nq, a->head_dim, (const S *)a->q + row0 * a->ldq + h * a->head_dim, a->ldq, b->q);
    unpack_rows(nq, a->head_dim, (const S *)g->dout + row0 * g->ld_dout + h * a->head_dim, g->ld_dout, b->dout);
}

/* b->p and b->ds of the loaded blocks. Row r is filled to the end of the vector that holds its last visible key, and at least ROWS beyond
 * that key when the block goes on, with zeros for keys that it does not see. */
static void pair_scores(attn_bwd_block *b, const cs_attn *a, int64_t h, const float *lse, const float *delta, int64_t nq, int64_t nk, int64_t off)
{
    int64_t D = a->head_dim, P = round_up(D, W);
    vf scale = vset1((float)a->scale), slope = vset1(a->alibi ? (float)a->alibi[h] : 0);
    for (int64_t r = 0; r < nq; r += ROWS) {
        int64_t wide = round_up(clamp(off + r + ROWS, 0, nk), W);
        row_panel(wide, D, b->q + r * P, P, 1, b->kt, BLOCK, b->p + r * BLOCK, BLOCK, false);
        row_panel(wide, D, b->dout + r * P, P, 1, b->vt, BLOCK, b->ds + r * BLOCK, BLOCK, false);
    }
    for (int64_t r = 0; r < nq; r++) {
        float *p = b->p + r * BLOCK, *ds = b->ds + r * BLOCK;
        int64_t see = clamp(off + r + 1, 0, nk), c = 0;
        int64_t hidden = a->window > 0 ? off + r + 1 - a->window : 0; /* keys before it lie outside the window */
        vf row_lse = vset1(lse[r]), row_delta = vset1(delta[r]), back = viota() - vset1((float)(off + r));
        for (; c < see; c += W) {
            vf x = vload(p + c) * scale - row_lse;
            if (a->alibi)
                x = vfma(slope, back + vset1((float)c), x);
            vf e = vexp(x), d = e * (vload(ds + c) - row_delta) * scale;
            if (c < hidden) {
                e = vfill_first(e, hidden - c, 0);
                d = vfill_first(d, hidden - c, 0);
            }
            if (c + W > see) {
                e = vfill_from(e, see - c, 0);
                d = vfill_from(d, see - c, 0);
            }
            vstore(p + c, e);
            vstore(ds + c, d);
        }
        for (; c < clamp(see + ROWS, 0, BLOCK); c += W) {
            vstore(p + c, vzero());
            vstore(ds + c, vzero());
        }
    }
}

static void pair_dkv(attn_bwd_block *b, int64_t D, int64_t nq, int64_t nk, int64_t off)
{
    int64_t P = round_up(D, W);
    for (int64_t c = 0; c < nk; c += ROWS) {
        int64_t r = clamp(c - off, 0, nq); /* the first query that sees key c */
        if (r == nq)
            break;
        row_panel(P, nq - r, b->p + r * BLOCK + c, 1, BLOCK, b->dout + r * P, P, b->dv + c * P, P, true);
        row_panel(P, nq - r, b->ds + r * BLOCK + c, 1, BLOCK, b->q + r * P, P, b->dk + c * P, P, true);
    }
}

/* sum[nq][P] (= when first, else +=) dS K. */
static void pair_dq(attn_bwd_block *b, int64_t D, int64_t nq, int64_t nk, int64_t off, bool first, float *sum)
{
    int64_t P = round_up(D, W);
    for (int64_t r = 0; r < nq; r += ROWS)
        row_panel(P, clamp(off + r + ROWS, 0, nk), b->ds + r * BLOCK, BLOCK, 1, b->k, P, b->dq + r * P, P, false);
    for (int64_t i = 0; i < nq * P; i += W)
        vstore(sum + i, vload(b->dq + i) + (first ? vzero() : vload(sum + i)));
}

static void store_rows(int64_t n, int64_t D, const float *x, S *out, int64_t ld)
{
    int64_t P = round_up(D, W);
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < D; i += W)
            sts(out + r * ld + i, vload(x + r * P + i), D - i);
}

/* Keys [k0, k0+nk) of one key head against every query that sees them: dK and dV, and dQ sums too when with_dq. */
static void key_block(const cs_attn_grad *g, int64_t s, int64_t kv, int64_t k0, bool with_dq)
{
    const cs_attn *a = g->fwd;
    int64_t D = a->head_dim, P = round_up(D, W), T = a->q_start[a->n_seq], first = a->q_start[s], n = a->q_start[s + 1] - first;
    int64_t group = a->n_heads / a->n_kv_heads, nk = n - k0 < BLOCK ? n - k0 : BLOCK;
    attn_bwd_block b;
    load_keys(&b, a, s, kv, k0, nk);
    memset(b.p, 0, sizeof b.p);
    memset(b.ds, 0, sizeof b.ds);
    memset(b.dk, 0, (size_t)(round_up(nk, ROWS) * P) * sizeof *b.dk);
    memset(b.dv, 0, (size_t)(round_up(nk, ROWS) * P) * sizeof *b.dv);
    for (int64_t h = kv * group; h < (kv + 1) * group; h++) {
        for (int64_t q0 = k0; q0 < n && first_key_block(a, q0) <= k0; q0 += BLOCK) {
            int64_t nq = n - q0 < BLOCK ? n - q0 : BLOCK, row0 = first + q0;
            load_queries(&b, g, h, row0, nq);
            pair_scores(&b, a, h, (const float *)a->lse + h * T + row0, (const float *)g->work + h * T + row0, nq, nk, q0 - k0);
            pair_dkv(&b, D, nq, nk, q0 - k0);
            if (with_dq)
                pair_dq(&b, D, nq, nk, q0 - k0, k0 == first_key_block(a, q0), work_dq(g, h, row0));
        }
    }
    store_rows(nk, D, b.dk, (S *)g->dk + (first + k0) * g->ld_dkv + kv * D, g->ld_dkv);
    store_rows(nk, D, b.dv, (S *)g->dv + (first + k0) * g->ld_dkv + kv * D, g->ld_dkv);
}

/* One key head of a sequence and the query heads that share it: dK, dV and dQ. */
static void key_head(const cs_attn_grad *g, int64_t s, int64_t kv)
{
    const cs_attn *a = g->fwd;
    int64_t D = a->head_dim, first = a->q_start[s], n = a->q_start[s + 1] - first, group = a->n_heads / a->n_kv_heads;
    for (int64_t k0 = 0; k0 < n; k0 += BLOCK)
        key_block(g, s, kv, k0, true);
    for (int64_t h = kv * group; h < (kv + 1) * group; h++)
        store_rows(n, D, work_dq(g, h, first), (S *)g->dq + first * g->ld_dq + h * D, g->ld_dq);
}

/* dQ of queries [q0, q0+BLOCK) of one head. */
static void query_block_dq(const cs_attn_grad *g, int64_t s, int64_t h, int64_t q0)
{
    const cs_attn *a = g->fwd;
    int64_t D = a->head_dim, T = a->q_start[a->n_seq], n = a->q_start[s + 1] - a->q_start[s], row0 = a->q_start[s] + q0;
    int64_t nq = n - q0 < BLOCK ? n - q0 : BLOCK, kv = h / (a->n_heads / a->n_kv_heads);
    attn_bwd_block b;
    memset(b.p, 0, sizeof b.p);
    memset(b.ds, 0, sizeof b.ds);
    load_queries(&b, g, h, row0, nq);
    for (int64_t first = first_key_block(a, q0), k0 = first; k0 < q0 + nq; k0 += BLOCK) {
        int64_t nk = n - k0 < BLOCK ? n - k0 : BLOCK;
        load_keys(&b, a, s, kv, k0, nk);
        pair_scores(&b, a, h, (const float *)a->lse + h * T + row0, (const float *)g->work + h * T + row0, nq, nk, q0 - k0);
        pair_dq(&b, D, nq, nk, q0 - k0, k0 == first, work_dq(g, h, row0));
    }
    store_rows(nq, D, work_dq(g, h, row0), (S *)g->dq + row0 * g->ld_dq + h * D, g->ld_dq);
}

static void attn_bwd(const cs_attn_grad *g)
{
    const cs_attn *a = g->fwd;
    CS_ASSERT(a->head_dim <= MAX_HEAD_DIM);
    int64_t T = a->q_start[a->n_seq];
    bool by_head = a->n_seq * a->n_kv_heads >= 2 * omp_get_max_threads();
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int64_t row = 0; row < T; row++)
            row_delta(g, row);
        for (int64_t s = 0; s < a->n_seq; s++) {
            int64_t n_blocks = (a->q_start[s + 1] - a->q_start[s] + BLOCK - 1) / BLOCK;
#pragma omp for schedule(dynamic) nowait
            for (int64_t kv = 0; kv < (by_head ? a->n_kv_heads : 0); kv++)
                key_head(g, s, kv);
#pragma omp for collapse(2) schedule(dynamic) nowait
            for (int64_t i = 0; i < (by_head ? 0 : n_blocks); i++)
                for (int64_t kv = 0; kv < a->n_kv_heads; kv++)
                    key_block(g, s, kv, i * BLOCK, false);
#pragma omp for collapse(2) schedule(dynamic) nowait
            for (int64_t i = 0; i < (by_head ? 0 : n_blocks); i++)
                for (int64_t h = 0; h < a->n_heads; h++)
                    query_block_dq(g, s, h, (n_blocks - 1 - i) * BLOCK);
        }
    }
}
