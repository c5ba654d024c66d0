/* See parquet_column.h. */
#include "fmt/parquet_column.h"

#include "fmt/bytes.h"
#include "fmt/limits.h"
#include "fmt/thrift.h"
#include "fmt/zip.h"

#include <string.h>

enum { PAGE_DATA = 0, PAGE_INDEX = 1, PAGE_DICTIONARY = 2, PAGE_DATA_V2 = 3 };
enum { H_TYPE = 1, H_UNPACKED, H_PACKED, H_CRC, H_DATA, H_DICTIONARY = 7, H_DATA_V2 };
enum { N_DETAIL = 9 };

typedef struct page_head {
    int64_t v[H_DATA];        /* by H_TYPE to H_CRC */
    int64_t detail[N_DETAIL]; /* of the page's own kind, by field */
    uint32_t seen, has;       /* bits of v, of detail */
    int kind;                 /* the detail's field: H_DATA, H_DICTIONARY or H_DATA_V2 */
} page_head;

cs_status cs_column_fail(const cs_column *c, const char *what, cs_error *err)
{
    char path[128];
    cs_parquet_path(c->p, (size_t)(c->leaf - c->p->leaves), path, sizeof path);
    return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: row group %zu, column %s, page %lld: %s", c->p->name, c->page_at, c->group, path,
                   (long long)(c->n_pages > 0 ? c->n_pages - 1 : 0), what);
}

void cs_column_release(cs_column *c)
{
    cs_free(c->page);
    cs_free(c->dict_page);
    cs_free(c->dict);
    cs_str_release(&c->held);
}

void cs_column_begin(cs_column *c, size_t group, const cs_parquet_chunk *chunk)
{
    c->group = group;
    c->codec = chunk->codec;
    c->page_at = c->at = chunk->start;
    c->end = chunk->start + chunk->bytes;
    c->end += c->p->slack < c->p->footer - c->end ? c->p->slack : c->p->footer - c->end;
    c->chunk_left = chunk->n_values;
    c->n_pages = c->page_left = 0;
    c->n_dict = 0;
    c->has_dict = c->loaded = false;
}

static cs_status read_head(cs_column *c, page_head *h, cs_error *err)
{
    cs_thrift t = {c->p->bytes, c->at, c->end, c->p->name};
    cs_thrift_field f = {0};
    bool more = true;
    *h = (page_head){.detail = {[7] = 1}}; /* is_compressed of version 2 is true when it is not there */
    for (;;) {
        CS_TRY(cs_thrift_next(&t, &f, &more, err));
        if (!more)
            break;
        if (f.id >= H_TYPE && f.id <= H_CRC) {
            CS_TRY(cs_thrift_int(&t, &f, &h->v[f.id], err));
            h->seen |= 1u << f.id;
        } else if (f.id == H_DATA || f.id == H_DICTIONARY || f.id == H_DATA_V2) {
            CS_TRY(cs_thrift_struct(&t, &f, err));
            CS_TRY(cs_thrift_ints(&t, h->detail, N_DETAIL, &h->has, err));
            h->kind = f.id;
        } else {
            CS_TRY(cs_thrift_skip(&t, &f, err));
        }
    }
    c->at = t.at;
    if ((h->seen & 0xe) != 0xe)
        return cs_column_fail(c, "expected a type and sizes in the page header, found only some", err);
    if (h->v[H_PACKED] < 0 || (uint64_t)h->v[H_PACKED] > c->end - c->at)
        return cs_column_fail(c, "a page that reaches beyond the end of its column", err);
    if (h->v[H_UNPACKED] < 0 || h->v[H_UNPACKED] > CS_LIMIT_PARQUET_PAGE || h->v[H_PACKED] > CS_LIMIT_PARQUET_PAGE)
        return cs_column_fail(c, "a page of more than 1 GiB, or of less than nothing", err);
    if ((h->seen >> H_CRC & 1) && cs_zip_crc(0, c->p->bytes + c->at, (size_t)h->v[H_PACKED]) != (uint32_t)(uint64_t)h->v[H_CRC])
        return cs_column_fail(c, "the page's checksum does not fit its bytes; the file is damaged", err);
    return CS_OK;
}

/* in[0..n) as `unpacked` bytes at *out: the file's own where nothing is packed, else in *buf. */
static cs_status unpack(cs_column *c, cs_unpacker *u, bool packed, const uint8_t *in, size_t n, size_t unpacked, uint8_t **buf, size_t *cap,
                        const uint8_t **out, cs_error *err)
{
    const char *why = NULL;
    *out = in;
    if (c->codec == CS_CODEC_NONE || !packed || unpacked == 0)
        return n == unpacked || unpacked == 0 ? CS_OK : cs_column_fail(c, "packed and unpacked sizes differ, but nothing is packed", err);
    if (c->codec < 0 || c->codec > CS_CODEC_LZ4_RAW || c->codec == CS_CODEC_LZO || c->codec == CS_CODEC_BROTLI)
        return cs_column_fail(c, "a codec that is not read; write the file with SNAPPY, GZIP, ZSTD or LZ4_RAW", err);
    if (!cs_unpack_possible(c->codec, in, n, unpacked))
        return cs_column_fail(c, "the page's bytes cannot unpack to the size that its header says", err);
    if (*cap < unpacked) {
        cs_free(*buf);
        *cap = 0;
        if (!(*buf = cs_malloc(unpacked)))
            return cs_fail_nomem(err, unpacked, c->p->name);
        *cap = unpacked;
    }
    cs_status s = cs_unpack(u, c->codec, in, n, *buf, unpacked, &why);
    *out = *buf;
    if (s == CS_E_NOMEM)
        return cs_fail_nomem(err, unpacked, c->p->name);
    return s == CS_OK ? CS_OK : cs_column_fail(c, why, err);
}

static cs_status read_dictionary(cs_column *c, cs_unpacker *u, const page_head *h, const uint8_t *body, cs_error *err)
{
    const uint8_t *p = NULL;
    cs_values v;
    size_t size = (size_t)h->v[H_UNPACKED], least = c->leaf->width ? c->leaf->width : 4;
    int64_t n = h->detail[1], encoding = h->detail[2];
    if (h->kind != H_DICTIONARY || c->has_dict || c->leaf->type == CS_PARQUET_BOOLEAN)
        return cs_column_fail(c, "a dictionary page that is a second one, has no header of its own, or is of truth values", err);
    if (encoding != CS_ENC_PLAIN && encoding != CS_ENC_PLAIN_DICTIONARY)
        return cs_column_fail(c, "a dictionary that is not in PLAIN encoding", err);
    CS_TRY(unpack(c, u, true, body, (size_t)h->v[H_PACKED], size, &c->dict_page, &c->dict_page_cap, &p, err));
    if (n < 0 || (uint64_t)n > size / least)
        return cs_column_fail(c, "a dictionary of more values than its bytes can hold", err);
    if ((size_t)n > c->dict_cap) {
        cs_free(c->dict);
        c->dict_cap = 0;
        if (!(c->dict = cs_calloc((size_t)n, sizeof *c->dict)))
            return cs_fail_nomem(err, (size_t)n * sizeof *c->dict, c->p->name);
        c->dict_cap = (size_t)n;
    }
    const char *why = cs_values_init(&v, c->leaf, CS_ENC_PLAIN, p, size, &c->held);
    for (c->n_dict = 0; !why && c->n_dict < (size_t)n; c->n_dict++)
        why = cs_values_next(&v, &c->dict[c->n_dict]);
    c->has_dict = true;
    return why ? cs_column_fail(c, why, err) : CS_OK;
}

static int bits_for(int most)
{
    int n = 0;
    while (most >> n)
        n++;
    return n;
}

/* Levels of a page of version 1 at *at: a length and runs, or packed bits. */
static cs_status begin_levels(cs_column *c, cs_runs *r, int most, int64_t encoding, const uint8_t **at, const uint8_t *end, cs_error *err)
{
    int width = bits_for(most);
    size_t have = (size_t)(end - *at), n;
    if (most == 0)
        return CS_OK;
    if (encoding == CS_ENC_RLE) {
        if (have < 4 || cs_le_get(*at, 4) > have - 4)
            return cs_column_fail(c, "levels longer than their page", err);
        n = (size_t)cs_le_get(*at, 4);
        cs_runs_init(r, *at + 4, n, width);
        n += 4;
    } else if (encoding == CS_ENC_BIT_PACKED) {
        n = ((size_t)c->page_left * (size_t)width + 7) / 8;
        if (n > have)
            return cs_column_fail(c, "levels longer than their page", err);
        cs_runs_init_high(r, *at, n, width);
    } else {
        return cs_column_fail(c, "levels in an encoding that is neither RLE nor BIT_PACKED", err);
    }
    *at += n;
    return CS_OK;
}

static cs_status begin_v1(cs_column *c, cs_unpacker *u, const page_head *h, const uint8_t *body, const uint8_t **at, const uint8_t **end,
                          cs_error *err)
{
    size_t size = (size_t)h->v[H_UNPACKED];
    CS_TRY(unpack(c, u, true, body, (size_t)h->v[H_PACKED], size, &c->page, &c->page_cap, at, err));
    *end = *at + size;
    CS_TRY(begin_levels(c, &c->reps, c->leaf->rep, h->detail[4], at, *end, err));
    return begin_levels(c, &c->defs, c->leaf->def, h->detail[3], at, *end, err);
}

/* Levels stand in front and are never packed. */
static cs_status begin_v2(cs_column *c, cs_unpacker *u, const page_head *h, const uint8_t *body, const uint8_t **at, const uint8_t **end,
                          cs_error *err)
{
    int64_t defs = h->detail[5], reps = h->detail[6], packed = h->v[H_PACKED], size = h->v[H_UNPACKED];
    if (defs < 0 || reps < 0 || defs > packed || reps > packed - defs || defs + reps > size)
        return cs_column_fail(c, "levels longer than their page", err);
    cs_runs_init(&c->reps, body, (size_t)reps, bits_for(c->leaf->rep));
    cs_runs_init(&c->defs, body + reps, (size_t)defs, bits_for(c->leaf->def));
    size -= defs + reps;
    CS_TRY(unpack(c, u, h->detail[7] != 0, body + reps + defs, (size_t)(packed - defs - reps), (size_t)size, &c->page, &c->page_cap, at, err));
    *end = *at + size;
    return CS_OK;
}

/* The next page; a data page is then ready to be read. */
static cs_status next_page(cs_column *c, cs_unpacker *u, cs_error *err)
{
    page_head h;
    const uint8_t *at = NULL, *end = NULL;
    if (c->at >= c->end)
        return cs_column_fail(c, "the column's pages end before the number of values in its metadata", err);
    c->page_at = c->at;
    c->n_pages++;
    CS_TRY(read_head(c, &h, err));
    const uint8_t *body = c->p->bytes + c->at;
    c->at += (size_t)h.v[H_PACKED];
    if (h.v[H_TYPE] == PAGE_DICTIONARY)
        CS_TRY(read_dictionary(c, u, &h, body, err));
    if (h.v[H_TYPE] != PAGE_DATA && h.v[H_TYPE] != PAGE_DATA_V2)
        return CS_OK;
    bool second = h.v[H_TYPE] == PAGE_DATA_V2;
    if (h.kind != (second ? H_DATA_V2 : H_DATA))
        return cs_column_fail(c, "a data page without the header of its kind", err);
    if (h.detail[1] < 0 || h.detail[1] > c->chunk_left)
        return cs_column_fail(c, "more values in the column's pages than its metadata says", err);
    c->page_left = h.detail[1];
    CS_TRY(second ? begin_v2(c, u, &h, body, &at, &end, err) : begin_v1(c, u, &h, body, &at, &end, err));
    const char *why = cs_values_init(&c->values, c->leaf, h.detail[second ? 4 : 2], at, (size_t)(end - at), &c->held);
    if (why)
        return cs_column_fail(c, why, err);
    c->values.dict = c->dict;
    c->values.n_dict = c->n_dict;
    c->chunk_left -= c->page_left;
    return CS_OK;
}

static cs_status read_level(cs_column *c, cs_runs *r, int most, int *out, cs_error *err)
{
    uint32_t level = 0;
    if (most > 0 && !cs_runs_next(r, &level))
        return cs_column_fail(c, "fewer levels in the page than values", err);
    if (level > (uint32_t)most)
        return cs_column_fail(c, "a level above the largest of the column", err);
    *out = (int)level;
    return CS_OK;
}

cs_status cs_column_peek(cs_column *c, cs_unpacker *u, cs_error *err)
{
    if (c->loaded)
        return CS_OK;
    c->rep = c->def = -1;
    while (c->page_left == 0 && c->chunk_left > 0)
        CS_TRY(next_page(c, u, err));
    c->loaded = true;
    if (c->page_left == 0)
        return CS_OK;
    c->page_left--;
    CS_TRY(read_level(c, &c->reps, c->leaf->rep, &c->rep, err));
    return read_level(c, &c->defs, c->leaf->def, &c->def, err);
}

cs_status cs_column_value(cs_column *c, cs_view *out, cs_error *err)
{
    const char *why = cs_values_next(&c->values, out);
    if (c->held.failed)
        return cs_fail_nomem(err, c->held.cap, c->p->name);
    return why ? cs_column_fail(c, why, err) : CS_OK;
}
