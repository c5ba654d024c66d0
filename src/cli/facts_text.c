/* Facts about tokenizers and their parts, and about GGUF files. */
#include "cli/facts_put.h"

#include "base/io.h"
#include "base/mem.h"
#include "fmt/gguf.h"
#include "fmt/json.h"
#include "fmt/limits.h"
#include "text/merges.h"
#include "text/utf8.h"

#include <string.h>

enum { MOST_TEXT = 200, MOST_ITEMS = 8 };

json_t *cs_facts_text(const char *text, size_t len, size_t most)
{
    cs_str s = {0};
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;
    while (i < len && s.len < most) {
        size_t n = cs_utf8_decode(p + i, len - i, NULL);
        if (n == 0)
            cs_str_puts(&s, CS_UTF8_REPLACEMENT);
        else
            cs_str_append(&s, text + i, n);
        i += n == 0 ? 1 : n;
    }
    if (i < len)
        cs_str_puts(&s, "...");
    json_t *v = s.failed ? NULL : json_stringn(cs_str_cstr(&s), s.len);
    cs_str_release(&s);
    return v;
}

json_t *cs_facts_members(cs_facts *f, const json_t *object)
{
    json_t *out = json_object(), *v;
    const char *key;
    json_object_foreach((json_t *)object, key, v) {
        json_t *shown;
        if (json_is_object(v) || json_is_array(v))
            shown = json_pack("{s:I}", json_is_object(v) ? "keys" : "items", (json_int_t)(json_object_size(v) + json_array_size(v)));
        else
            shown = json_is_string(v) ? cs_facts_text(json_string_value(v), json_string_length(v), MOST_TEXT) : json_incref(v);
        f->failed |= json_object_set_new(out, key, shown) != 0;
    }
    return out;
}

void cs_facts_put_tokenizer(cs_facts *f, const cs_tokenizer *t)
{
    json_t *files = json_array();
    for (size_t i = 0; i < cs_tokenizer_n_files(t); i++) {
        const char *path = cs_tokenizer_file(t, i), *slash = strrchr(path, '/');
        const char *base = slash ? slash + 1 : path;
        add(f, files, cs_facts_text(base, strlen(base), 1 << 14));
    }
    json_t *ids = json_pack("{s:i, s:i, s:i, s:i}", "bos", (int)cs_tokenizer_bos(t), "eos", (int)cs_tokenizer_eos(t), "unk",
                            (int)cs_tokenizer_unk(t), "pad", (int)cs_tokenizer_pad(t));
    put_str(f, "tokenizer_source", cs_tokenizer_source(t));
    put_int(f, "tokenizer_vocab_size", cs_tokenizer_vocab_size(t));
    put(f, "tokenizer_ids", ids);
    put(f, "tokenizer_files", files);
}

cs_status cs_facts_tokenizer(cs_facts *f, const char *path, cs_error *err)
{
    cs_tokenizer *t;
    CS_TRY(cs_tokenizer_create(path, &t, err));
    cs_facts_put_tokenizer(f, t);
    cs_tokenizer_destroy(t);
    return CS_OK;
}

static cs_status load_tree(const char *path, json_t **tree, cs_error *err)
{
    uint8_t *text;
    size_t len;
    CS_TRY(cs_io_read_all(path, CS_LIMIT_JSON_BYTES, &text, &len, err));
    cs_status s = cs_json_parse_config((const char *)text, len, path, tree, err);
    cs_free(text);
    return s;
}

cs_status cs_facts_tok_config(cs_facts *f, const char *path, cs_error *err)
{
    json_t *tree;
    CS_TRY(load_tree(path, &tree, err));
    put(f, "members", cs_facts_members(f, tree));
    json_decref(tree);
    return CS_OK;
}

cs_status cs_facts_vocab(cs_facts *f, const char *path, cs_error *err)
{
    json_t *tree, *v;
    const char *key;
    int64_t lowest = INT64_MAX, highest = -1;
    CS_TRY(load_tree(path, &tree, err));
    json_object_foreach(tree, key, v) {
        int64_t id = json_integer_value(v);
        lowest = id < lowest ? id : lowest;
        highest = id > highest ? id : highest;
    }
    put_int(f, "pieces", (int64_t)json_object_size(tree));
    put_int(f, "lowest_id", lowest);
    put_int(f, "highest_id", highest);
    json_decref(tree);
    return CS_OK;
}

cs_status cs_facts_merges(cs_facts *f, const char *path, cs_error *err)
{
    cs_map map;
    cs_bytes left, right;
    bool more = true;
    int64_t n = 0;
    CS_TRY(cs_map_init(&map, path, err));
    cs_merges m = {.text = (const char *)map.data, .len = map.size, .name = path};
    cs_status s = cs_merges_next(&m, &left, &right, &more, err);
    for (; s == CS_OK && more; n++)
        s = cs_merges_next(&m, &left, &right, &more, err);
    put_int(f, "bytes", (int64_t)map.size);
    put_int(f, "rules", n);
    cs_map_release(&map);
    return s;
}

/* ---- GGUF ---- */

static json_t *scalar_of(const cs_gguf_value *v)
{
    int64_t i;
    double x;
    if (v->kind == CS_GGUF_BOOL)
        return json_boolean(v->at[0]);
    if (v->kind == CS_GGUF_STRING)
        return cs_facts_text((const char *)v->at, v->bytes, MOST_TEXT);
    if (cs_gguf_as_int(v, &i))
        return json_integer(i);
    return cs_gguf_as_real(v, &x) && x - x == 0 ? json_real(x) : json_null(); /* infinite ones, u64 beyond int64 */
}

/* Short arrays item by item, long ones by their length. */
static json_t *array_of(cs_facts *f, const cs_gguf_value *v)
{
    if (v->n > MOST_ITEMS || v->item == CS_GGUF_ARRAY)
        return json_sprintf("[%llu items]", (unsigned long long)v->n);
    json_t *list = json_array();
    cs_gguf_cursor i = {0};
    cs_gguf_value item;
    while (cs_gguf_next(v, &i, &item))
        add(f, list, scalar_of(&item));
    return list;
}

static void put_gguf_tensors(cs_facts *f, const cs_gguf *g)
{
    json_t *list = json_array(), *types = json_object();
    int64_t elements = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const cs_gguf_tensor *t = &g->tensor[i];
        const char *type = cs_gguf_type_name(t->type);
        json_t *shape = json_array();
        for (int d = t->ndim; d-- > 0;) /* rows first, as everywhere else here */
            add(f, shape, json_integer(t->dim[d]));
        json_t *row = json_pack("{s:o, s:s, s:o, s:I}", "name", json_stringn(t->name, t->name_len), "dtype", type, "shape", shape, "bytes",
                                (json_int_t)t->bytes);
        add(f, list, row);
        elements += t->n;
        f->failed |= json_object_set_new(types, type, json_integer(json_integer_value(json_object_get(types, type)) + t->n)) != 0;
    }
    put_int(f, "tensor_count", (int64_t)g->n_tensors);
    put_int(f, "elements", elements);
    put(f, "elements_by_dtype", types);
    put(f, "tensors", list);
}

cs_status cs_facts_gguf(cs_facts *f, const char *path, cs_error *err)
{
    cs_map map;
    cs_gguf g;
    CS_TRY(cs_map_init(&map, path, err));
    cs_status s = cs_gguf_init(&g, map.data, map.size, path, err);
    if (s == CS_OK) {
        json_t *list = json_array();
        put_int(f, "bytes", (int64_t)map.size);
        put_int(f, "version", g.version);
        put_int(f, "alignment", (int64_t)g.alignment);
        put_int(f, "header_bytes", (int64_t)g.header_bytes);
        for (size_t i = 0; i < g.n_kv; i++) {
            const cs_gguf_kv *kv = &g.kv[i];
            bool array = kv->value.kind == CS_GGUF_ARRAY;
            add(f, list, json_pack("{s:o, s:s, s:o}", "key", json_stringn(kv->key, kv->key_len), "type",
                                   array ? cs_gguf_kind_name(kv->value.item) : cs_gguf_kind_name(kv->value.kind), "value",
                                   array ? array_of(f, &kv->value) : scalar_of(&kv->value)));
        }
        put(f, "key_values", list);
        put_gguf_tensors(f, &g);
        cs_gguf_release(&g);
    }
    cs_map_release(&map);
    return s;
}
