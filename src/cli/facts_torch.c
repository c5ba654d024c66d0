/* Facts about PyTorch files and Megatron shards. */
#include "cli/facts_put.h"

#include "base/io.h"
#include "base/mem.h"
#include "ckpt/source.h"
#include "fmt/safetensors.h"
#include "fmt/torch_file.h"

static json_t *shape_json(cs_facts *f, const cs_torch_tensor *t)
{
    json_t *a = json_array();
    for (int i = 0; i < t->ndim; i++)
        add(f, a, json_integer(t->shape[i]));
    return a;
}

static void put_list(cs_facts *f, const cs_torch_list *list)
{
    json_t *rows = json_array(), *types = json_object();
    int64_t elements = 0;
    for (size_t i = 0; i < list->n; i++) {
        const cs_torch_tensor *t = list->item[i].tensor;
        const char *type = cs_st_dtype_name(t->dtype);
        add(f, rows, json_pack("{s:s, s:s, s:o, s:I}", "name", list->item[i].name, "dtype", type, "shape", shape_json(f, t), "bytes",
                               (json_int_t)((size_t)t->n * cs_dtype_size(t->dtype))));
        elements += t->n;
        f->failed |= json_object_set_new(types, type, json_integer(json_integer_value(json_object_get(types, type)) + t->n)) != 0;
    }
    put_int(f, "tensor_count", (int64_t)list->n);
    put_int(f, "elements", elements);
    put(f, "elements_by_dtype", types);
    put(f, "tensors", rows);
}

/* Names outside the reader's table: what the file would import if it were run, which it never is. */
static cs_status put_foreign(cs_facts *f, const cs_pickle *p, cs_error *err)
{
    uint32_t *list;
    size_t n;
    char name[600];
    CS_TRY(cs_pickle_foreign(p, &list, &n, err));
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++) {
        const cs_pk_global *g = &p->global[list[i]];
        snprintf(name, sizeof name, "%.*s.%.*s", (int)g->module_len, g->module, (int)g->name_len, g->name);
        add(f, rows, cs_facts_text(name, strlen(name), 512));
    }
    cs_free(list);
    put(f, "names_not_followed", rows);
    return CS_OK;
}

/* What lies at the top besides tensors. */
static void put_top(cs_facts *f, const cs_pickle *p)
{
    size_t n, len;
    const cs_pk_value *item = cs_pickle_items(p, p->root, &n);
    json_t *keys = json_array();
    for (size_t i = 0; (p->root.kind == CS_PK_DICT || p->root.kind == CS_PK_OBJECT) && i + 1 < n; i += 2) {
        const char *text = cs_pickle_text(p, item[i], &len);
        if (text && item[i + 1].kind != CS_PK_TENSOR)
            add(f, keys, cs_facts_text(text, len, 128));
    }
    put(f, "keys", keys);
}

static cs_status put_torch(cs_facts *f, const cs_torch_file *file, cs_error *err)
{
    cs_torch_list list;
    put_int(f, "storages", (int64_t)file->n_storages);
    put_top(f, &file->pickle);
    CS_TRY(put_foreign(f, &file->pickle, err));
    CS_TRY(cs_torch_list_init(&list, file, file->pickle.root, err));
    put_list(f, &list);
    cs_torch_list_release(&list);
    return CS_OK;
}

cs_status cs_facts_torch(cs_facts *f, const char *path, cs_error *err)
{
    cs_map map;
    cs_torch_file file;
    CS_TRY(cs_map_init(&map, path, err));
    put_int(f, "bytes", (int64_t)map.size);
    cs_status s = cs_torch_file_init(&file, map.data, map.size, map.path, err);
    if (s == CS_OK) {
        s = put_torch(f, &file, err);
        cs_torch_file_release(&file);
    }
    cs_map_release(&map);
    return s;
}

cs_status cs_facts_megatron(cs_facts *f, const char *path, cs_error *err)
{
    cs_source src;
    cs_status s = cs_source_init(&src, path, NULL, err);
    if (s == CS_OK) {
        cs_megatron_layout layout = cs_megatron_layout_of(&src);
        cs_facts_put_spec(f, &src.spec);
        put_int(f, "tensor_model_parallel_size", layout.tp);
        put_int(f, "pipeline_model_parallel_size", layout.pp);
        put_int(f, "virtual_stages", layout.chunks);
        put_int(f, "padded_vocab_size", layout.padded_vocab);
        put_int(f, "files", (int64_t)src.n_files);
        put_int(f, "bytes", (int64_t)src.file_bytes);
    }
    cs_source_release(&src);
    return s;
}
