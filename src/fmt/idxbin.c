/* Reading of Megatron .idx/.bin. Invariant: once cs_idx_init has returned CS_OK, no accessor can leave the two byte ranges. */
#include "fmt/idxbin.h"

#include "base/mem.h"

#include <stdio.h>

enum { HEAD_BYTES = 34 };

static const uint8_t magic[9] = {'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0};

static uint64_t load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static cs_status token_dtype(uint8_t code, const char *name, cs_dtype *out, cs_error *err)
{
    static const int16_t of_code[9] = {-1, CS_U8, CS_I8, CS_I16, CS_I32, CS_I64, -1, -1, CS_U16};
    if (code == 6 || code == 7)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 17: expected dtype code 1-5 or 8, found %d, a float type (float32 or float64 depending on the "
                       "writer)", name, code);
    if (code > 8 || of_code[code] < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 17: expected dtype code 1-5 or 8, found %d", name, code);
    *out = (cs_dtype)of_code[code];
    return CS_OK;
}

/* Splits the file into its arrays: their sizes must add up to the file's. */
static cs_status place_arrays(cs_idx *ix, const uint8_t *data, size_t size, cs_error *err)
{
    uint64_t n_seq = load_u64(data + 18), n_doc = load_u64(data + 26);
    size_t a, b, c, need;
    if (n_seq > INT64_MAX || n_doc > INT64_MAX || !cs_mul_checked(n_seq, 4, &a) || !cs_mul_checked(n_seq, 8, &b) || !cs_mul_checked(n_doc, 8, &c)
        || !cs_add_checked(a, b, &need) || !cs_add_checked(need, c, &need) || !cs_add_checked(need, HEAD_BYTES, &need) || need > size)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 18: %llu sequences and %llu document borders do not fit into a file of %zu bytes", ix->name,
                       (unsigned long long)n_seq, (unsigned long long)n_doc, size);
    if (n_doc < 1)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 26: expected at least one document border, found a count of 0", ix->name);
    if (size != need && size - need != n_seq)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: expected the end or %llu modes behind the document borders, found %zu bytes", ix->name, need,
                       (unsigned long long)n_seq, size - need);
    ix->n_seq = (int64_t)n_seq;
    ix->n_doc = (int64_t)n_doc;
    ix->lengths = data + HEAD_BYTES;
    ix->offsets = ix->lengths + a;
    ix->documents = ix->offsets + b;
    ix->modes = size == need ? NULL : ix->documents + c;
    return CS_OK;
}

static cs_status check_sequences(cs_idx *ix, uint64_t bin_size, cs_error *err)
{
    int64_t width = (int64_t)cs_dtype_size(ix->dtype), before = 0;
    for (int64_t i = 0; i < ix->n_seq; i++) {
        int64_t len = cs_idx_length(ix, i), at = cs_idx_offset(ix, i);
        if (len < 0)
            return cs_fail(err, CS_E_FORMAT, "%s: byte %lld: expected a length >= 0 for sequence %lld, found %lld", ix->name,
                           (long long)(HEAD_BYTES + 4 * i), (long long)i, (long long)len);
        if (at < before)
            return cs_fail(err, CS_E_FORMAT, "%s: byte %lld: sequence %lld starts at %lld, before its predecessor's %lld", ix->name,
                           (long long)(HEAD_BYTES + 4 * ix->n_seq + 8 * i), (long long)i, (long long)at, (long long)before);
        if ((uint64_t)at > bin_size || (uint64_t)(len * width) > bin_size - (uint64_t)at)
            return cs_fail(err, CS_E_FORMAT, "%s: byte %lld: sequence %lld (%lld tokens from byte %lld) ends behind the .bin file of %llu bytes; is "
                           "the pair from one run?", ix->name, (long long)(HEAD_BYTES + 4 * ix->n_seq + 8 * i), (long long)i, (long long)len,
                           (long long)at, (unsigned long long)bin_size);
        before = at;
        if (__builtin_add_overflow(ix->n_tokens, len, &ix->n_tokens))
            return cs_fail(err, CS_E_FORMAT, "%s: byte %lld: the lengths add up to more than 2^63 tokens", ix->name, (long long)(HEAD_BYTES + 4 * i));
    }
    return CS_OK;
}

static cs_status check_documents(const cs_idx *ix, cs_error *err)
{
    int64_t before = 0;
    for (int64_t d = 0; d < ix->n_doc; d++) {
        int64_t v = cs_idx_document(ix, d);
        if (v < before || v > ix->n_seq || (d == 0 && v != 0))
            return cs_fail(err, CS_E_FORMAT, "%s: byte %lld: expected %lld to %lld as document border %lld, found %lld", ix->name,
                           (long long)(HEAD_BYTES + 12 * ix->n_seq + 8 * d), (long long)before, d == 0 ? 0LL : (long long)ix->n_seq, (long long)d,
                           (long long)v);
        before = v;
    }
    if (before != ix->n_seq)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %lld: expected the number of sequences %lld as the last document border, found %lld", ix->name,
                       (long long)(HEAD_BYTES + 12 * ix->n_seq + 8 * (ix->n_doc - 1)), (long long)ix->n_seq, (long long)before);
    return CS_OK;
}

cs_status cs_idx_init(cs_idx *ix, const uint8_t *data, size_t size, uint64_t bin_size, const char *name, cs_error *err)
{
    *ix = (cs_idx){.name = name};
    if (size >= 8 && (memcmp(data, "TNTIDX\0\0", 8) == 0))
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: the older TNTIDX index (--dataset-impl lazy or cached); make it again with "
                       "--dataset-impl mmap", name);
    if (size < sizeof magic || memcmp(data, magic, sizeof magic) != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: expected the MMIDIDX magic, found another start; not a Megatron index file", name);
    if (size < HEAD_BYTES)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: expected the %d bytes of a header, found the end", name, size, HEAD_BYTES);
    if (load_u64(data + 9) != 1)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 9: expected version 1, found %llu", name, (unsigned long long)load_u64(data + 9));
    CS_TRY(token_dtype(data[17], name, &ix->dtype, err));
    CS_TRY(place_arrays(ix, data, size, err));
    CS_TRY(check_sequences(ix, bin_size, err));
    return check_documents(ix, err);
}

/* out[i] = the i-th `type` behind src, unaligned. */
#define READ_AS(type)                                        \
    for (int64_t i = 0; i < n; i++) {                        \
        type v;                                              \
        memcpy(&v, src + (size_t)i * sizeof v, sizeof v);    \
        out[i] = (int32_t)v;                                 \
    }

cs_status cs_idx_read(const cs_idx *ix, const uint8_t *bin, int64_t seq, int64_t from, int64_t n, int32_t *out, cs_error *err)
{
    CS_ASSERT(seq >= 0 && seq < ix->n_seq && from >= 0 && n >= 0 && n <= cs_idx_length(ix, seq) - from);
    if (n == 0)
        return CS_OK;
    const uint8_t *src = bin + cs_idx_offset(ix, seq) + (size_t)from * cs_dtype_size(ix->dtype);
    switch (ix->dtype) {
    case CS_U16: READ_AS(uint16_t) break;
    case CS_I32: memcpy(out, src, (size_t)n * 4); break;
    case CS_U8: READ_AS(uint8_t) break;
    case CS_I8: READ_AS(int8_t) break;
    case CS_I16: READ_AS(int16_t) break;
    default: /* CS_I64 */
        for (int64_t i = 0; i < n; i++) {
            int64_t v;
            memcpy(&v, src + (size_t)i * 8, 8);
            if (v < INT32_MIN || v > INT32_MAX)
                return cs_fail(err, CS_E_FORMAT, "%s: expected a token id of 32 bits as token %lld of sequence %lld (byte %lld of the .bin), found "
                               "%lld", ix->name, (long long)(from + i), (long long)seq, (long long)(cs_idx_offset(ix, seq) + 8 * (from + i)),
                               (long long)v);
            out[i] = (int32_t)v;
        }
    }
    return CS_OK;
}

static char *with_suffix(const char *prefix, const char *suffix)
{
    size_t n = strlen(prefix), m = strlen(suffix);
    char *p = cs_malloc(n + m + 1);
    if (p) {
        memcpy(p, prefix, n);
        memcpy(p + n, suffix, m + 1);
    }
    return p;
}

cs_status cs_idxbin_init(cs_idxbin *d, const char *prefix, cs_error *err)
{
    *d = (cs_idxbin){.idx_path = with_suffix(prefix, ".idx"), .bin_path = with_suffix(prefix, ".bin")};
    cs_status s = CS_OK;
    if (!d->idx_path || !d->bin_path)
        s = cs_fail_nomem(err, strlen(prefix), "a file name");
    if (s == CS_OK)
        s = cs_map_init(&d->idx_map, d->idx_path, err);
    if (s == CS_OK)
        s = cs_map_init(&d->bin_map, d->bin_path, err);
    if (s == CS_OK)
        s = cs_idx_init(&d->idx, d->idx_map.data, d->idx_map.size, d->bin_map.size, d->idx_path, err);
    if (s != CS_OK)
        cs_idxbin_release(d);
    return s;
}

void cs_idxbin_release(cs_idxbin *d)
{
    cs_map_release(&d->idx_map);
    cs_map_release(&d->bin_map);
    cs_free(d->idx_path);
    cs_free(d->bin_path);
    *d = (cs_idxbin){0};
}

cs_dtype cs_idxbin_dtype_for(int64_t vocab)
{
    return vocab < 65500 ? CS_U16 : CS_I32;
}
