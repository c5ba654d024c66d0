/* What a Parquet file holds, from its footer alone. */
#include "cli/facts_put.h"

#include "base/io.h"
#include "fmt/parquet.h"

#include <stdio.h>

/* One column over all row groups. */
typedef struct column {
    uint64_t codecs, encodings; /* bits by number; codecs beyond 62 count as 63 */
    int64_t bytes, unpacked_bytes;
} column;

/* "PLAIN, RLE" from bits. */
static json_t *names_of(uint64_t bits, const char *(*name)(int))
{
    char text[300] = "";
    for (int i = 0; i < 64; i++) {
        size_t n = strlen(text);
        if (bits >> i & 1)
            snprintf(text + n, sizeof text - n, "%s%s", n > 0 ? ", " : "", name(i));
    }
    return json_string(text);
}

static const char *codec_name(int number)
{
    return cs_parquet_codec_name(number);
}

static cs_status add_up(const cs_parquet *p, column *all, cs_parquet_chunk *chunks, cs_error *err)
{
    for (size_t g = 0; g < p->n_groups; g++) {
        CS_TRY(cs_parquet_chunks(p, g, chunks, err));
        for (size_t i = 0; i < p->n_leaves; i++) {
            int64_t codec = chunks[i].codec;
            all[i].codecs |= (uint64_t)1 << (codec >= 0 && codec < 63 ? codec : 63);
            all[i].encodings |= chunks[i].encodings;
            if (__builtin_add_overflow(all[i].bytes, (int64_t)chunks[i].bytes, &all[i].bytes) ||
                __builtin_add_overflow(all[i].unpacked_bytes, chunks[i].unpacked_bytes, &all[i].unpacked_bytes))
                return cs_fail(err, CS_E_FORMAT, "%s: offset %zu: the sizes of column %zu overflow", p->name, p->groups[g].at, i);
        }
    }
    return CS_OK;
}

static void put_column(cs_facts *f, json_t *list, const cs_parquet *p, size_t i, const column *c)
{
    char path[1000];
    const cs_parquet_leaf *leaf = &p->leaves[i];
    cs_facts one = {.o = json_object()};
    cs_parquet_path(p, i, path, sizeof path);
    put_str(&one, "name", path);
    put_str(&one, "type", cs_parquet_type_name(leaf->type));
    put_str(&one, "logical_type", leaf->logical);
    put(&one, "optional", json_boolean(leaf->def > leaf->rep));
    put(&one, "repeated", json_boolean(leaf->rep > 0));
    put(&one, "codecs", names_of(c->codecs, codec_name));
    put(&one, "encodings", names_of(c->encodings, cs_parquet_encoding_name));
    put_int(&one, "bytes", c->bytes);
    put_int(&one, "unpacked_bytes", c->unpacked_bytes);
    f->failed |= one.failed;
    add(f, list, one.o);
}

static cs_status put_all(cs_facts *f, const cs_parquet *p, cs_error *err)
{
    column *all = cs_calloc(p->n_leaves ? p->n_leaves : 1, sizeof *all + sizeof(cs_parquet_chunk));
    if (!all)
        return cs_fail_nomem(err, p->n_leaves * sizeof *all, "the columns");
    cs_status s = add_up(p, all, (cs_parquet_chunk *)(all + (p->n_leaves ? p->n_leaves : 1)), err);
    if (s == CS_OK) {
        json_t *list = json_array();
        put_int(f, "bytes", (int64_t)p->size);
        put(f, "written_by", cs_facts_text(p->writer, p->writer_len, 200));
        put_int(f, "rows", p->n_rows);
        put_int(f, "row_groups", (int64_t)p->n_groups);
        for (size_t i = 0; i < p->n_leaves; i++)
            put_column(f, list, p, i, &all[i]);
        put(f, "columns", list);
    }
    cs_free(all);
    return s;
}

cs_status cs_facts_parquet(cs_facts *f, const char *path, cs_error *err)
{
    cs_map map;
    cs_parquet p;
    CS_TRY(cs_map_init(&map, path, err));
    cs_status s = cs_parquet_init(&p, map.data, map.size, path, err);
    if (s == CS_OK) {
        s = put_all(f, &p, err);
        cs_parquet_release(&p);
    }
    cs_map_release(&map);
    return s;
}
