/* Reader of llama2.c model files. A part is found by adding up the checked sizes of the parts before it; the sum must be the file's length. */
#include "fmt/llama2c.h"

#include "base/mem.h"
#include "fmt/limits.h"

#include <string.h>

enum { MAGIC = 0x616b3432, V1_HEADER = 256 };

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
    } rows[] = {{"width", &m->dim, CS_LIMIT_DIM},
                {"feed-forward width", &m->ffn, CS_LIMIT_DIM},
                {"number of layers", &m->n_layers, CS_LIMIT_LAYERS},
                {"number of heads", &m->n_heads, CS_LIMIT_DIM},
                {"number of key heads", &m->n_kv_heads, CS_LIMIT_DIM},
                {"vocabulary", &m->vocab, CS_LIMIT_DIM},
                {"sequence length", &m->max_seq, CS_LIMIT_DIM}};
    for (size_t i = 0; i < 7; i++, at += 4) {
        int64_t v = word(m->bytes + at);
        if (rows[i].field == &m->vocab && m->version == 0) {
            m->tied = v > 0;
            v = v < 0 ? -v : v;
        }
        if (v < 1 || v > rows[i].max)
            return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: expected 1 to %lld as the %s of a llama2.c model, found %lld", name, at,
                           (long long)rows[i].max, rows[i].what, (long long)v);
        *rows[i].field = v;
    }
    if (m->dim % m->n_heads != 0 || m->dim / m->n_heads % 2 != 0 || m->n_kv_heads > m->n_heads || m->n_heads % m->n_kv_heads != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: a width of %lld, %lld heads and %lld key heads do not fit together in a llama2.c model", name,
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
            return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: the sizes of this llama2.c header overflow", name,
                           m->version == 0 ? (size_t)0 : (size_t)8);
    }
    if (at != size)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: expected %zu bytes in a llama2.c model with this header, found %zu", name,
                       at < size ? at : size, at, size);
    return CS_OK;
}

cs_status cs_llama2c_init(cs_llama2c *m, const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    *m = (cs_llama2c){.bytes = bytes};
    if (size < 28)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: expected the 28 bytes of a llama2.c header, found %zu", name, size);
    if ((uint32_t)word(bytes) != MAGIC) {
        CS_TRY(read_sizes(m, 0, name, err));
        return place_parts(m, 28, size, name, err);
    }
    m->version = word(bytes + 4);
    if (m->version != 1)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 4: expected llama2.c version 1 (f32), found %d; export the model again as version 0 or 1", name,
                       m->version);
    if (size < V1_HEADER)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: expected the 256 bytes of a llama2.c version 1 header, found %zu", name, size);
    CS_TRY(read_sizes(m, 8, name, err));
    if (bytes[36] > 1)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 36: expected 0 or 1 as the shared-classifier flag of a llama2.c model, found %d", name, bytes[36]);
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
