/* Attention of the reference, one query row at a time with an online softmax (Milakov & Gimelshein 2018); memory is one row of D.
 * Backward recomputes the probabilities from the saved logsumexp: one pass over queries gives dq, one over keys gives dk and dv. */
enum { MAX_HEAD_DIM = 256 };

static double dot(int64_t D, const S *a, const S *b)
{
    double sum = 0;
    for (int64_t i = 0; i < D; i++)
        sum += ld(a[i]) * ld(b[i]);
    return sum;
}

/* Score of query head h for a key `back` positions before the query (0 = its own). */
static double attn_score(const cs_attn *a, int64_t h, int64_t back, const S *q, const S *k)
{
    return a->scale * dot(a->head_dim, q, k) - (a->alibi ? a->alibi[h] * (double)back : 0);
}

/* First key that the query at position pos sees. */
static int64_t attn_first_key(const cs_attn *a, int64_t pos)
{
    return a->window > 0 && pos >= a->window ? pos - a->window + 1 : 0;
}

static void attn_row(const cs_attn *a, int64_t s, int64_t row, int64_t h)
{
    int64_t D = a->head_dim, g = h / (a->n_heads / a->n_kv_heads), n_rows = a->q_start[a->n_seq];
    int64_t n_see = a->n_keys[s] - (a->q_start[s + 1] - row) + 1;
    const S *q = (const S *)a->q + row * a->ldq + h * D;
    double max = -INFINITY, sum = 0, acc[MAX_HEAD_DIM] = {0};
    for (int64_t p = attn_first_key(a, n_see - 1); p < n_see; p++) {
        const S *k = (const S *)a->k[s] + p * a->k_ld + g * a->k_head, *v = (const S *)a->v[s] + p * a->k_ld + g * a->k_head;
        double score = attn_score(a, h, n_see - 1 - p, q, k);
        if (score > max) {
            double shrink = exp(max - score);
            for (int64_t i = 0; i < D; i++)
                acc[i] *= shrink;
            sum *= shrink;
            max = score;
        }
        double e = exp(score - max);
        sum += e;
        for (int64_t i = 0; i < D; i++)
            acc[i] += e * ld(v[i]);
    }
    S *out = (S *)a->out + row * a->ld_out + h * D;
    for (int64_t i = 0; i < D; i++)
        out[i] = st(acc[i] / sum);
    if (a->lse != NULL)
        ((A *)a->lse)[h * n_rows + row] = (A)(max + log(sum));
}

static void attn_fwd(const cs_attn *a)
{
    CS_ASSERT(a->head_dim <= MAX_HEAD_DIM);
    for (int64_t s = 0; s < a->n_seq; s++) {
#pragma omp parallel for collapse(2) schedule(dynamic, 4)
        for (int64_t row = a->q_start[s]; row < a->q_start[s + 1]; row++)
            for (int64_t h = 0; h < a->n_heads; h++)
                attn_row(a, s, row, h);
    }
}

/* work holds delta [n_heads, T] in f64: delta(row,h) = dout . out. */
static size_t attn_work_bytes(int64_t T, int64_t n_heads, int64_t n_kv_heads, int64_t D)
{
    (void)n_kv_heads, (void)D;
    return (size_t)(T * n_heads) * sizeof(double);
}

/* One (query row, key) pair of head h: the probability p and ds = d loss / d (q.k), scale included. */
typedef struct attn_pair {
    double p, ds;
} attn_pair;

static attn_pair attn_pair_of(const cs_attn_grad *b, int64_t row, int64_t h, int64_t back, const S *k, const S *v)
{
    const cs_attn *a = b->fwd;
    int64_t D = a->head_dim, n_rows = a->q_start[a->n_seq];
    double score = attn_score(a, h, back, (const S *)a->q + row * a->ldq + h * D, k);
    double p = exp(score - ((const A *)a->lse)[h * n_rows + row]);
    double dp = dot(D, (const S *)b->dout + row * b->ld_dout + h * D, v);
    return (attn_pair){p, a->scale * p * (dp - ((const double *)b->work)[h * n_rows + row])};
}

static void attn_dq_row(const cs_attn_grad *b, int64_t s, int64_t row, int64_t h)
{
    const cs_attn *a = b->fwd;
    int64_t D = a->head_dim, g = h / (a->n_heads / a->n_kv_heads), n_rows = a->q_start[a->n_seq];
    ((double *)b->work)[h * n_rows + row] =
        dot(D, (const S *)b->dout + row * b->ld_dout + h * D, (const S *)a->out + row * a->ld_out + h * D);
    double dq[MAX_HEAD_DIM] = {0};
    for (int64_t pos = row - a->q_start[s], p = attn_first_key(a, pos); p <= pos; p++) {
        const S *k = (const S *)a->k[s] + p * a->k_ld + g * a->k_head, *v = (const S *)a->v[s] + p * a->k_ld + g * a->k_head;
        double ds = attn_pair_of(b, row, h, pos - p, k, v).ds;
        for (int64_t i = 0; i < D; i++)
            dq[i] += ds * ld(k[i]);
    }
    for (int64_t i = 0; i < D; i++)
        ((S *)b->dq)[row * b->ld_dq + h * D + i] = st(dq[i]);
}

/* key is a row number over all sequences. */
static void attn_dkv_row(const cs_attn_grad *b, int64_t s, int64_t key, int64_t g)
{
    const cs_attn *a = b->fwd;
    int64_t D = a->head_dim, group = a->n_heads / a->n_kv_heads, p = key - a->q_start[s];
    const S *k = (const S *)a->k[s] + p * a->k_ld + g * a->k_head, *v = (const S *)a->v[s] + p * a->k_ld + g * a->k_head;
    double dk[MAX_HEAD_DIM] = {0}, dv[MAX_HEAD_DIM] = {0};
    for (int64_t h = g * group; h < (g + 1) * group; h++) {
        int64_t end = a->window > 0 && key + a->window < a->q_start[s + 1] ? key + a->window : a->q_start[s + 1];
        for (int64_t row = key; row < end; row++) {
            attn_pair w = attn_pair_of(b, row, h, row - key, k, v);
            const S *q = (const S *)a->q + row * a->ldq + h * D, *dout = (const S *)b->dout + row * b->ld_dout + h * D;
            for (int64_t i = 0; i < D; i++) {
                dk[i] += w.ds * ld(q[i]);
                dv[i] += w.p * ld(dout[i]);
            }
        }
    }
    for (int64_t i = 0; i < D; i++) {
        ((S *)b->dk)[key * b->ld_dkv + g * D + i] = st(dk[i]);
        ((S *)b->dv)[key * b->ld_dkv + g * D + i] = st(dv[i]);
    }
}

static void attn_bwd(const cs_attn_grad *b)
{
    const cs_attn *a = b->fwd;
    CS_ASSERT(a->head_dim <= MAX_HEAD_DIM);
    for (int64_t s = 0; s < a->n_seq; s++) {
#pragma omp parallel for collapse(2) schedule(dynamic, 4)
        for (int64_t row = a->q_start[s]; row < a->q_start[s + 1]; row++)
            for (int64_t h = 0; h < a->n_heads; h++)
                attn_dq_row(b, s, row, h);
#pragma omp parallel for collapse(2) schedule(dynamic, 4)
        for (int64_t key = a->q_start[s]; key < a->q_start[s + 1]; key++)
            for (int64_t g = 0; g < a->n_kv_heads; g++)
                attn_dkv_row(b, s, key, g);
    }
}
