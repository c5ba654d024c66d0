/* Opening a source by what its path holds, and what all kinds share. */
#include "ckpt/source.h"

#include "base/mem.h"
#include "fmt/llama2c.h"
#include "fmt/torch_file.h"

#include <string.h>

cs_status cs_source_tables(cs_source *src, cs_error *err)
{
    CS_TRY(cs_param_table_init(&src->table, &src->spec, cs_precision_of(CS_F32), false, &src->arena, err));
    int64_t n = cs_param_n_views(&src->table), at = 0;
    src->view = cs_arena_calloc(&src->arena, (size_t)n, sizeof *src->view);
    src->first_view = cs_arena_calloc(&src->arena, (size_t)src->table.n_rows + 1, sizeof *src->first_view);
    if (!src->view || !src->first_view)
        return cs_fail_nomem(err, (size_t)n * sizeof *src->view, "the list of tensors");
    for (int64_t i = 0; i < n; i++)
        src->view[i] = cs_param_view_at(&src->table, i);
    for (int64_t r = 0; r <= src->table.n_rows; r++) {
        src->first_view[r] = at;
        at += r < src->table.n_rows ? src->table.row[r].n_parts : 0;
    }
    return CS_OK;
}

static cs_status open_file(cs_source *src, const char *path, cs_error *err)
{
    cs_map map;
    CS_TRY(cs_map_init(&map, path, err));
    bool torch = cs_torch_sniff(map.data, map.size), gguf = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    bool llama2c = cs_llama2c_detect(map.data, map.size);
    cs_map_release(&map);
    if (torch)
        return cs_source_open_torch(src, path, err);
    if (gguf)
        return cs_source_open_gguf(src, path, err);
    if (llama2c)
        return cs_source_open_llama2c(src, path, err);
    return cs_fail(err, CS_E_FORMAT, "%s: from byte 0 no llama2.c model (a header whose sizes add up to the file) and no PyTorch or GGUF file; expected "
                   "one of those, a Hugging Face folder, a checkpoint, a run folder or Megatron shards", path);
}

cs_status cs_source_init(cs_source *src, const char *path, const cs_source_hints *hints, cs_error *err)
{
    static const cs_source_hints none;
    *src = (cs_source){0};
    cs_arena_init(&src->arena, "tensor names");
    if (cs_io_kind(path, NULL) != CS_FILE_DIR)
        return open_file(src, path, err);
    if (cs_megatron_present(path))
        return cs_source_open_megatron(src, path, hints ? hints : &none, err);
    return cs_source_open_folder(src, path, err);
}

void cs_source_release(cs_source *src)
{
    if (src->ops)
        src->ops->release(src);
    json_decref(src->config);
    cs_arena_release(&src->arena);
    cs_free(src->dir);
    *src = (cs_source){0};
}

cs_dtype cs_source_dtype(const cs_source *src, int64_t i)
{
    return src->ops->dtype(src, i);
}

void cs_source_read(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out)
{
    src->ops->read(src, i, lo, n, type, out);
}

cs_source_row cs_source_qkv_row(const cs_source *src, int64_t row, int which, int64_t head, int64_t d)
{
    const cs_spec *s = &src->spec;
    int64_t D = s->head_dim, first = src->first_view[row], base[3] = {0, s->n_heads * D, (s->n_heads + s->n_kv_heads) * D}, m = s->n_heads / s->n_kv_heads;
    if (s->family->qkv == CS_QKV_SEPARATE)
        return (cs_source_row){first + which, head * D + d};
    if (s->family->qkv == CS_QKV_BLOCKS)
        return (cs_source_row){first, base[which] + head * D + d};
    int64_t group = which == 0 ? head / m : head, slot = which == 0 ? head % m : m + which - 1;
    return (cs_source_row){first, (group * (m + 2) + slot) * D + d};
}
