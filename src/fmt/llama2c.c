/* Reader of llama2.c model files. A part is found by adding up the checked sizes of the parts before it; the sum must be the file's length. */
#include "fmt/llama2c.h"

#include "base/mem.h"

#include <string.h>

enum { MAGIC = 0x616b3432, V1_HEADER = 256, MAX_SIZE = 1 << 24, MAX_LAYERS = 4096 };

/* Parts in file order. */
static const cs_llama2c_part order_v0[] = {CS_L2C_EMBED, CS_L2C_ATT_NORM, CS_L2C_WQ, CS_L2C_WK, CS_L2C_WV, CS_L2C_WO, CS_L2C_FFN_NORM,
                                           CS_L2C_W1,    CS_L2C_W2,       CS_L2C_W3, CS_L2C_FINAL_NORM, CS_L2C_ROPE, CS_L2C_HEAD};
static const cs_llama2c_part order_v1[] = {CS_L2C_ATT_NORM, CS_L2C_FFN_NORM, CS_L2C_FINAL_NORM, CS_L2C_EMBED, CS_L2C_WQ, CS_L2C_WK, CS_L2C_WV,
                                           CS_L2C_WO,       CS_L2C_W1,       CS_L2C_W2,         CS_L2C_W3,    CS_L2C_HEAD};

static int32_t word(const uint8_t *p)
{
    return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}

static void set_part(cs_llama2c *m, cs_llama2c_part p, int64_t count, int64_t rows, int64_t cols)
{
    m->part[p].count = count;
    m->part[p].rows = rows;
    m->part[p].cols = cols;
}

static void set_parts(cs_llama2c *m)
{
    int64_t L = m->n_layers, kv = m->n_kv_heads * m->head_dim;
    set_part(m, CS_L2C_EMBED, 1, m->vocab, m->dim);
    set_part(m, CS_L2C_ATT_NORM, L, m->dim, 1);
    set_part(m, CS_L2C_WQ, L, m->dim, m->dim);
    set_part(m, CS_L2C_WK, L, kv, m->dim);
    set_part(m, CS_L2C_WV, L, kv, m->dim);
    set_part(m, CS_L2C_WO, L, m->dim, m->dim);
    set_part(m, CS_L2C_FFN_NORM, L, m->dim, 1);
    set_part(m, CS_L2C_W1, L, m->ffn, m->dim);
    set_part(m, CS_L2C_W2, L, m->dim, m->ffn);
    set_part(m, CS_L2C_W3, L, m->ffn, m->dim);
    set_part(m, CS_L2C_FINAL_NORM, 1, m->dim, 1);
    set_part(m, CS_L2C_ROPE, m->version == 0, m->max_seq, m->head_dim); /* cosines, then sines, half as wide each */
    set_part(m, CS_L2C_HEAD, m->tied ? 0 : 1, m->vocab, m->dim);
}

/* Reads the seven numbers at `at`. */
static cs_status read_sizes(cs_llama2c *m, size_t at, const char *name, cs_error *err)
{
    const struct {
        const char *what;
        int64_t *field, max;
    } rows[] = {{"width", &m->dim, MAX_SIZE},       {"feed-forward width", &m->ffn, MAX_SIZE}, {"number of layers", &m->n_layers, MAX_LAYERS},
                {"number of heads", &m->n_heads, MAX_SIZE}, {"number of key heads", &m->n_kv_heads, MAX_SIZE},
                {"vocabulary", &m->vocab, MAX_SIZE}, {"sequence length", &m->max_seq, MAX_SIZE}};
    for (size_t i = 0; i < 7; i++, at += 4) {
        int64_t v = word(m->bytes + at);
        if (rows[i].field == &m->vocab && m->version == 0) {
            m->tied = v > 0;
            v = v < 0 ? -v : v;
        }
        if (v < 1 || v > rows[i].max)
            return cs_fail(err, CS_E_FORMAT, "%s: llama2.c header: %s at byte %zu is %lld, expected 1 to %lld", name, rows[i].what, at, (long long)v,
                           (long long)rows[i].max);
        *rows[i].field = v;
    }
    if (m->dim % m->n_heads != 0 || m->dim / m->n_heads % 2 != 0 || m->n_kv_heads > m->n_heads || m->n_heads % m->n_kv_heads != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: llama2.c header at byte %zu: width %lld, %lld heads and %lld key heads do not fit together", name,
                       at - 28, (long long)m->dim, (long long)m->n_heads, (long long)m->n_kv_heads);
    m->head_dim = m->dim / m->n_heads;
    return CS_OK;
}

static cs_status place_parts(cs_llama2c *m, size_t at, size_t size, const char *name, cs_error *err)
{
    const cs_llama2c_part *order = m->version == 0 ? order_v0 : order_v1;
    size_t n = m->version == 0 ? sizeof order_v0 / sizeof *order_v0 : sizeof order_v1 / sizeof *order_v1;
    set_parts(m);
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 4;
        m->part[order[i]].offset = at;
        bool ok = cs_mul_checked(bytes, (size_t)m->part[order[i]].rows, &bytes) && cs_mul_checked(bytes, (size_t)m->part[order[i]].cols, &bytes) &&
                  cs_mul_checked(bytes, (size_t)m->part[order[i]].count, &bytes) && cs_add_checked(at, bytes, &at);
        if (!ok)
            return cs_fail(err, CS_E_FORMAT, "%s: llama2.c header: the sizes overflow", name);
    }
    if (at != size)
        return cs_fail(err, CS_E_FORMAT, "%s: a llama2.c model with this header ends at byte %zu, but the file ends at byte %zu", name, at, size);
    return CS_OK;
}

cs_status cs_llama2c_init(cs_llama2c *m, const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    *m = (cs_llama2c){.bytes = bytes};
    if (size < 28)
        return cs_fail(err, CS_E_FORMAT, "%s: %zu bytes; a llama2.c model has a header of at least 28", name, size);
    if ((uint32_t)word(bytes) != MAGIC) {
        CS_TRY(read_sizes(m, 0, name, err));
        return place_parts(m, 28, size, name, err);
    }
    m->version = word(bytes + 4);
    if (m->version != 1)
        return cs_fail(err, CS_E_FORMAT, "%s: llama2.c version %d at byte 4; only 0 and 1 (f32) are read, export the model again as one of those",
                       name, m->version);
    if (size < V1_HEADER)
        return cs_fail(err, CS_E_FORMAT, "%s: %zu bytes; a llama2.c version 1 header has 256", name, size);
    CS_TRY(read_sizes(m, 8, name, err));
    if (bytes[36] > 1)
        return cs_fail(err, CS_E_FORMAT, "%s: llama2.c header: shared-classifier flag at byte 36 is %d, expected 0 or 1", name, bytes[36]);
    m->tied = bytes[36] == 1;
    return place_parts(m, V1_HEADER, size, name, err);
}

bool cs_llama2c_detect(const uint8_t *bytes, size_t size)
{
    cs_llama2c m;
    return (size >= 8 && (uint32_t)word(bytes) == MAGIC) || cs_llama2c_init(&m, bytes, size, "", NULL) == CS_OK;
}

const float *cs_llama2c_tensor(const cs_llama2c *m, cs_llama2c_part part, int64_t layer)
{
    CS_ASSERT(layer >= 0 && layer < m->part[part].count);
    size_t one = (size_t)m->part[part].rows * (size_t)m->part[part].cols * 4;
    return (const float *)(const void *)(m->bytes + m->part[part].offset + one * (size_t)layer);
}
