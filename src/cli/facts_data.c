/* Facts about data sets, metrics and event files, and about files that are recognised but not read. */
#include "cli/facts_put.h"

#include "base/io.h"
#include "base/mem.h"
#include "ckpt/kind.h"
#include "cli/metrics_rows.h"
#include "data/records.h"
#include "fmt/idxbin.h"
#include "fmt/json.h"
#include "fmt/limits.h"
#include "fmt/npy.h"
#include "fmt/tfevents.h"
#include "fmt/wire.h"

#include <limits.h>
#include <string.h>

enum { MOST_TEXT = 80 };

cs_status cs_facts_idxbin(cs_facts *f, const char *path, cs_error *err)
{
    char prefix[PATH_MAX];
    cs_idxbin d;
    if (!cs_kind_idx_prefix(path, prefix, sizeof prefix))
        return cs_fail(err, CS_E_IO, "%s: its .idx is missing", path);
    CS_TRY(cs_idxbin_init(&d, prefix, err));
    int64_t shortest = d.idx.n_seq ? INT64_MAX : 0, longest = 0;
    for (int64_t i = 0; i < d.idx.n_seq; i++) {
        int64_t n = cs_idx_length(&d.idx, i);
        shortest = n < shortest ? n : shortest;
        longest = n > longest ? n : longest;
    }
    put_str(f, "dtype", cs_dtype_name(d.idx.dtype));
    put_int(f, "sequences", d.idx.n_seq);
    put_int(f, "documents", d.idx.n_doc - 1);
    put_int(f, "tokens", d.idx.n_tokens);
    put_int(f, "shortest_sequence", shortest);
    put_int(f, "longest_sequence", longest);
    put_int(f, "bin_bytes", (int64_t)d.bin_map.size);
    put_int(f, "idx_bytes", (int64_t)d.idx_map.size);
    cs_idxbin_release(&d);
    return CS_OK;
}

cs_status cs_facts_npy(cs_facts *f, const char *path, cs_error *err)
{
    cs_map map;
    cs_npy a;
    CS_TRY(cs_map_init(&map, path, err));
    cs_status s = cs_npy_parse(&a, map.data, map.size, path, err);
    if (s == CS_OK) {
        put_str(f, "dtype", cs_dtype_name(a.dtype));
        put(f, "shape", a.ndim == 2 ? json_pack("[I,I]", (json_int_t)a.shape[0], (json_int_t)a.shape[1]) : json_pack("[I]", (json_int_t)a.shape[0]));
        put_int(f, "bytes", (int64_t)map.size);
    }
    cs_map_release(&map);
    return s;
}

/* Names and types of an object's members: {"text": "string"}. */
static json_t *fields_of(cs_facts *f, const json_t *row)
{
    static const char *const names[] = {"object", "array", "string", "integer", "real", "true", "false", "null"};
    json_t *out = json_object(), *v;
    const char *key;
    json_object_foreach((json_t *)row, key, v)
        f->failed |= json_object_set_new(out, key, json_string(names[json_typeof(v)])) != 0;
    return out;
}

static cs_status put_packing(cs_facts *f, const char *path, cs_error *err)
{
    cs_map map;
    CS_TRY(cs_map_init(&map, path, err));
    bool gzip = map.size > 2 && memcmp(map.data, "\x1f\x8b", 2) == 0, zstd = map.size > 4 && memcmp(map.data, "\x28\xb5\x2f\xfd", 4) == 0;
    put_int(f, "bytes", (int64_t)map.size);
    put_str(f, "compression", gzip ? "gzip" : zstd ? "zstd" : NULL);
    cs_map_release(&map);
    return CS_OK;
}

cs_status cs_facts_json(cs_facts *f, const char *path, cs_error *err)
{
    json_t *tree, *value, *keys = json_array();
    const char *key;
    cs_status s = cs_json_load(path, CS_LIMIT_JSON_BYTES, &tree, err);
    if (s == CS_OK && json_is_array(tree)) {
        put_int(f, "records", (int64_t)json_array_size(tree));
        put(f, "first_record", fields_of(f, json_array_get(tree, 0)));
    } else if (s == CS_OK) {
        json_object_foreach(tree, key, value) {
            add(f, keys, json_string(key));
        }
        put(f, "keys", json_incref(keys));
    }
    if (s == CS_OK)
        json_decref(tree);
    json_decref(keys);
    return s;
}

/* The first line, unpacked: its members when it is JSON, else how it begins. */
static cs_status put_first_line(cs_facts *f, const char *path, bool json, cs_error *err)
{
    cs_records *r;
    const char *text = NULL;
    size_t len = 0;
    int64_t line;
    CS_TRY(put_packing(f, path, err));
    CS_TRY(cs_records_create(path, CS_RECORD_LINES, &r, err));
    cs_status s = cs_records_next(r, &text, &len, &line, err);
    json_t *row = NULL;
    if (s == CS_OK && json)
        s = cs_json_parse_lenient(text, len, path, &row, err);
    if (s == CS_OK && json)
        put(f, "first_record", fields_of(f, row));
    else if (s == CS_OK)
        put(f, "first_line", cs_facts_text(text ? text : "", len, MOST_TEXT));
    json_decref(row);
    cs_records_destroy(r);
    return s;
}

cs_status cs_facts_jsonl(cs_facts *f, const char *path, cs_error *err)
{
    return put_first_line(f, path, true, err);
}

cs_status cs_facts_text_file(cs_facts *f, const char *path, cs_error *err)
{
    return put_first_line(f, path, false, err);
}

cs_status cs_facts_metrics(cs_facts *f, const char *path, cs_error *err)
{
    static const char *const keys[] = {"lm_loss"};
    cs_metrics m;
    cs_status s = cs_metrics_init(&m, path, keys, 1, err);
    if (s == CS_OK) {
        put_int(f, "rows", (int64_t)m.n_rows);
        put(f, "first_step", m.n_rows ? json_real(m.step[0]) : json_null());
        put(f, "last_step", m.n_rows ? json_real(m.step[m.n_rows - 1]) : json_null());
        double loss = m.n_rows ? m.value[m.n_rows - 1] : 0;
        put(f, "last_lm_loss", m.n_rows && loss - loss == 0 ? json_real(loss) : json_null());
        put(f, "torn_last_line", json_boolean(m.torn));
    }
    cs_metrics_release(&m);
    return s;
}

/* Step and tags of one Event. */
static cs_status read_event(cs_facts *f, cs_wire w, int64_t *step, json_t *tags, cs_error *err)
{
    cs_wire_field event, value, tag;
    bool more, in_summary, in_value;
    for (;;) {
        CS_TRY(cs_wire_next(&w, &event, &more, err));
        if (!more)
            return CS_OK;
        if (event.number == 2 && event.type == 0)
            *step = (int64_t)event.value;
        if (event.number != 5 || event.type != 2)
            continue;
        for (;;) {
            CS_TRY(cs_wire_next(&event.sub, &value, &in_summary, err));
            if (!in_summary)
                break;
            while (value.number == 1 && value.type == 2) {
                CS_TRY(cs_wire_next(&value.sub, &tag, &in_value, err));
                if (!in_value)
                    break;
                if (tag.number != 1 || tag.type != 2)
                    continue;
                json_t *name = cs_facts_text((const char *)tag.sub.bytes + tag.sub.at, tag.sub.end - tag.sub.at, 2 * MOST_TEXT);
                json_t *n = json_object_get(tags, name ? json_string_value(name) : "");
                f->failed |= !name || json_object_set_new(tags, json_string_value(name), json_integer(json_integer_value(n) + 1)) != 0;
                json_decref(name);
            }
        }
    }
}

cs_status cs_facts_tfevents(cs_facts *f, const char *path, cs_error *err)
{
    cs_map map = {0};
    size_t at = 0, from = 0, to = 0;
    int64_t records = 0, step = 0;
    bool more = true, cut = false;
    json_t *tags = json_object();
    cs_status s = cs_map_init(&map, path, err);
    while (s == CS_OK && more) {
        s = cs_tfevents_next(map.data, map.size, path, &at, &from, &to, &more, &cut, err);
        if (s == CS_OK && more)
            s = read_event(f, (cs_wire){map.data, from, to, path}, &step, tags, err);
        records += s == CS_OK && more;
    }
    put_int(f, "records", records);
    put_int(f, "last_event_step", step);
    put(f, "cut_last_record", json_boolean(cut));
    put(f, "values_by_tag", tags);
    cs_map_release(&map);
    return s;
}

static const char not_read[] = "recognised by its first bytes; this version does not read what is in it";

cs_status cs_facts_unread(cs_facts *f, const char *path, cs_error *err)
{
    int64_t size = 0;
    (void)err;
    cs_io_kind(path, &size);
    put_int(f, "bytes", size);
    put_str(f, "note", not_read);
    return CS_OK;
}
