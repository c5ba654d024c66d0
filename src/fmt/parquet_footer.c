/* See parquet.h: the file's frame, FileMetaData and the row groups. A row group's columns are parsed again when they are read, so that memory does
 * not grow with groups x columns; cs_parquet_init has then seen that all of them are well-formed. */
#include "fmt/parquet.h"

#include "fmt/bytes.h"
#include "fmt/limits.h"
#include "fmt/parquet_schema.h"
#include "fmt/thrift.h"

#include <stdio.h>
#include <string.h>

enum { FRAME = 12, N_META = 12, PAGE_HEADER = 100 }; /* "PAR1" ... length "PAR1" */

bool cs_parquet_is(const uint8_t *bytes, size_t size)
{
    if (size < 5 || memcmp(bytes, "PAR1", 4) != 0)
        return false;
    return bytes[4] == 0x15 || (size >= FRAME && memcmp(bytes + size - 4, "PAR1", 4) == 0);
}

const char *cs_parquet_type_name(cs_parquet_type type)
{
    static const char *const names[] = {"BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"};
    return (size_t)type < sizeof names / sizeof names[0] ? names[type] : "unknown";
}

const char *cs_parquet_codec_name(int64_t codec)
{
    static const char *const names[] = {"UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"};
    return codec >= 0 && (size_t)codec < sizeof names / sizeof names[0] ? names[codec] : "unknown";
}

const char *cs_parquet_encoding_name(int encoding)
{
    static const char *const names[] = {"PLAIN", "unknown", "PLAIN_DICTIONARY", "RLE", "BIT_PACKED", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY",
                                        "DELTA_BYTE_ARRAY", "RLE_DICTIONARY", "BYTE_STREAM_SPLIT"};
    return encoding >= 0 && (size_t)encoding < sizeof names / sizeof names[0] ? names[encoding] : "unknown";
}

void cs_parquet_path(const cs_parquet *p, size_t leaf, char *buf, size_t n)
{
    uint32_t target = p->leaves[leaf].node, at = 0;
    size_t len = 0;
    while (at != target) {
        for (at++; p->nodes[at].end <= target; at = p->nodes[at].end)
            ;
        const cs_parquet_node *c = &p->nodes[at];
        size_t room = n - 1 - len, take = c->name_len < room ? c->name_len : room;
        memcpy(buf + len, c->name, take);
        len += take;
        if (at != target && len < n - 1)
            buf[len++] = '.';
    }
    buf[len] = '\0';
}


static cs_status read_encodings(cs_thrift *t, const cs_thrift_field *f, uint32_t *mask, cs_error *err)
{
    size_t n = 0;
    int64_t v = 0;
    CS_TRY(cs_thrift_list(t, f, CS_THRIFT_I32, &n, err));
    for (size_t i = 0; i < n; i++) {
        CS_TRY(cs_thrift_element_int(t, &v, err));
        *mask |= 1u << (v >= 0 && v < 31 ? v : 31);
    }
    return CS_OK;
}

/* ColumnMetaData: its integers into v[], bits of those that are there into *seen. */
static cs_status read_meta(cs_thrift *t, int64_t v[N_META], uint32_t *seen, uint32_t *mask, cs_error *err)
{
    cs_thrift_field f = {0};
    bool more = true;
    for (;;) {
        CS_TRY(cs_thrift_next(t, &f, &more, err));
        if (!more)
            return CS_OK;
        if (f.id == 2) {
            CS_TRY(read_encodings(t, &f, mask, err));
        } else if (f.id == 1 || (f.id >= 4 && f.id < N_META && f.id != 8)) {
            CS_TRY(cs_thrift_int(t, &f, &v[f.id], err));
            *seen |= 1u << f.id;
        } else {
            CS_TRY(cs_thrift_skip(t, &f, err));
        }
    }
}

/* Type, codec, counts and places of a column chunk; [4, p->footer) is where pages may lie. */
static cs_status check_meta(const cs_parquet *p, size_t leaf, const int64_t v[N_META], uint32_t seen, size_t at, cs_parquet_chunk *c, cs_error *err)
{
    enum { TYPE = 1, CODEC = 4, VALUES = 5, UNPACKED = 6, PACKED = 7, DATA = 9, DICT = 11 };
    enum { NEEDED = 1 << TYPE | 1 << CODEC | 1 << VALUES | 1 << PACKED | 1 << DATA };
    char path[128];
    cs_parquet_path(p, leaf, path, sizeof path);
    if ((seen & NEEDED) != NEEDED)
        return cs_fail(err, CS_E_FORMAT,
                       "%s: offset %zu: column %s: expected type, codec, number of values, size and page offset in its metadata, found"
                       " only some", p->name, at, path);
    if (v[TYPE] != (int64_t)p->leaves[leaf].type)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: column %s: expected values of type %s as in the schema, found type %lld", p->name, at, path,
                       cs_parquet_type_name(p->leaves[leaf].type), (long long)v[TYPE]);
    if (v[VALUES] < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: column %s: expected a number of values, found %lld", p->name, at, path,
                       (long long)v[VALUES]);
    c->codec = v[CODEC];
    c->n_values = v[VALUES];
    c->unpacked_bytes = v[UNPACKED];
    c->start = 4;
    if (v[VALUES] == 0) /* without pages; the offsets mean nothing then */
        return CS_OK;
    int64_t start = (seen >> DICT & 1) && v[DICT] > 0 && v[DICT] < v[DATA] ? v[DICT] : v[DATA];
    if (start < 4 || v[PACKED] < 0 || (size_t)start > p->footer || (size_t)v[PACKED] > p->footer - (size_t)start)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: column %s: expected pages between offsets 4 and %zu, found %lld bytes at %lld", p->name, at,
                       path, p->footer, (long long)v[PACKED], (long long)start);
    c->start = (size_t)start;
    c->bytes = (size_t)v[PACKED];
    return CS_OK;
}

static cs_status read_chunk(const cs_parquet *p, cs_thrift *t, size_t leaf, cs_parquet_chunk *c, cs_error *err)
{
    int64_t v[N_META] = {0};
    cs_thrift_field f = {0};
    bool more = true, meta = false;
    uint32_t seen = 0;
    size_t at = t->at;
    *c = (cs_parquet_chunk){0};
    for (;;) {
        CS_TRY(cs_thrift_next(t, &f, &more, err));
        if (!more)
            break;
        if (f.id == 1)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected column data in this file, found a reference to another, which is not followed",
                           p->name, f.at);
        if (f.id != 3) {
            CS_TRY(cs_thrift_skip(t, &f, err));
            continue;
        }
        CS_TRY(cs_thrift_struct(t, &f, err));
        CS_TRY(read_meta(t, v, &seen, &c->encodings, err));
        meta = true;
    }
    if (!meta)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected metadata of a column, found none; encrypted columns are not read", p->name, at);
    return check_meta(p, leaf, v, seen, at, c, err);
}

/* One RowGroup; chunks may be NULL. */
static cs_status read_group(const cs_parquet *p, cs_thrift *t, cs_parquet_group *g, cs_parquet_chunk *chunks, cs_error *err)
{
    cs_thrift_field f = {0};
    bool more = true, columns = false;
    cs_parquet_chunk c;
    size_t n = 0;
    *g = (cs_parquet_group){t->at, -1};
    for (;;) {
        CS_TRY(cs_thrift_next(t, &f, &more, err));
        if (!more)
            break;
        if (f.id == 1 && !columns) {
            columns = true;
            CS_TRY(cs_thrift_list(t, &f, CS_THRIFT_STRUCT, &n, err));
            if (n != p->n_leaves)
                return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected the %zu columns of the schema in a row group, found %zu", p->name, f.at,
                               p->n_leaves, n);
            for (size_t i = 0; i < n; i++)
                CS_TRY(read_chunk(p, t, i, chunks ? &chunks[i] : &c, err));
        } else if (f.id == 3) {
            CS_TRY(cs_thrift_int(t, &f, &g->n_rows, err));
        } else {
            CS_TRY(cs_thrift_skip(t, &f, err));
        }
    }
    if (g->n_rows < 0 || (!columns && p->n_leaves > 0))
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected columns and a number of rows in a row group, found %s", p->name, g->at,
                       columns ? "no such number" : "no columns");
    return CS_OK;
}

cs_status cs_parquet_chunks(const cs_parquet *p, size_t group, cs_parquet_chunk *chunks, cs_error *err)
{
    cs_thrift t = {p->bytes, p->groups[group].at, p->size - 8, p->name};
    cs_parquet_group g;
    return read_group(p, &t, &g, chunks, err);
}

static cs_status read_groups(cs_parquet *p, cs_thrift *t, const cs_thrift_field *f, cs_error *err)
{
    size_t n = 0;
    CS_TRY(cs_thrift_list(t, f, CS_THRIFT_STRUCT, &n, err));
    if (!p->nodes || p->groups || n > CS_LIMIT_PARQUET_GROUPS)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected one list of at most %d row groups behind the schema, found another", p->name,
                       f->at, CS_LIMIT_PARQUET_GROUPS);
    p->groups = cs_calloc(n + 1, sizeof *p->groups);
    if (!p->groups)
        return cs_fail_nomem(err, n * sizeof *p->groups, p->name);
    for (p->n_groups = 0; p->n_groups < n; p->n_groups++)
        CS_TRY(read_group(p, t, &p->groups[p->n_groups], NULL, err));
    return CS_OK;
}

/* parquet-mr before 1.2.9 did not count the header of the dictionary page. */
static size_t slack_of(const cs_parquet *p)
{
    char text[64];
    int version[3] = {0};
    size_t n = p->writer_len < sizeof text - 1 ? p->writer_len : sizeof text - 1;
    memcpy(text, p->writer, n);
    text[n] = '\0';
    if (strncmp(text, "parquet-mr", 10) != 0)
        return 0;
    int found = sscanf(text, "parquet-mr version %5d.%5d.%5d", &version[0], &version[1], &version[2]);
    return found < 3 || version[0] < 1 || (version[0] == 1 && (version[1] < 2 || (version[1] == 2 && version[2] < 9))) ? PAGE_HEADER : 0;
}

static cs_status read_file_meta(cs_parquet *p, cs_thrift *t, cs_error *err)
{
    enum { SCHEMA = 2, ROWS, GROUPS, CREATED_BY = 6, ENCRYPTION = 8 };
    cs_thrift_field f = {0};
    bool more = true;
    const uint8_t *writer = (const uint8_t *)"";
    p->n_rows = -1;
    for (;;) {
        CS_TRY(cs_thrift_next(t, &f, &more, err));
        if (!more)
            break;
        switch (f.id) {
        case SCHEMA: CS_TRY(cs_parquet_schema_read(p, t, &f, err)); break;
        case ROWS: CS_TRY(cs_thrift_int(t, &f, &p->n_rows, err)); break;
        case GROUPS: CS_TRY(read_groups(p, t, &f, err)); break;
        case CREATED_BY: CS_TRY(cs_thrift_bytes(t, &f, &writer, &p->writer_len, err)); break;
        case ENCRYPTION: return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: is encrypted; encrypted columns are not read", p->name, f.at);
        default: CS_TRY(cs_thrift_skip(t, &f, err));
        }
    }
    p->writer = (const char *)writer;
    p->slack = slack_of(p);
    if (!p->nodes || !p->groups || p->n_rows < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected a schema, a number of rows and row groups in the footer, found no %s", p->name,
                       p->footer, !p->nodes ? "schema" : !p->groups ? "row groups" : "number of rows");
    int64_t left = p->n_rows;
    for (size_t i = 0; i < p->n_groups; i++) {
        if (p->groups[i].n_rows > left)
            return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected at most %lld more rows in row group %zu, found %lld", p->name, p->groups[i].at,
                           (long long)left, i, (long long)p->groups[i].n_rows);
        left -= p->groups[i].n_rows;
    }
    if (left > 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected %lld rows in the row groups, found %lld less", p->name, p->footer,
                       (long long)p->n_rows, (long long)left);
    return CS_OK;
}

cs_status cs_parquet_init(cs_parquet *p, const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    *p = (cs_parquet){.bytes = bytes, .size = size, .name = name, .writer = ""};
    if (size < 4 || memcmp(bytes, "PAR1", 4) != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset 0: expected \"PAR1\" at the start of a Parquet file, found other bytes", name);
    if (size < FRAME || memcmp(bytes + size - 4, "PAR1", 4) != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: expected \"PAR1\" at the end of a Parquet file, found other bytes; it is cut off", name,
                       size - 4);
    size_t footer = (size_t)cs_le_get(bytes + size - 8, 4);
    if (footer > size - FRAME)
        return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: footer of %zu bytes does not fit into a file of %zu", name, size - 8, footer, size);
    p->footer = size - 8 - footer;
    cs_thrift t = {bytes, p->footer, size - 8, name};
    cs_status s = read_file_meta(p, &t, err);
    if (s != CS_OK)
        cs_parquet_release(p);
    return s;
}

void cs_parquet_release(cs_parquet *p)
{
    cs_free(p->nodes);
    cs_free(p->leaves);
    cs_free(p->groups);
    *p = (cs_parquet){0};
}
