/* Sources of weights: mapped safetensors of a folder, or a llama2.c model whose q and k rows are put into Hugging Face's order on the way. */
#include "base/mem.h"
#include "ckpt/cast.h"
#include "ckpt/ckpt.h"
#include "ckpt/export.h"
#include "ckpt/manifest.h"
#include "model/family/families.h"

#include <string.h>

static cs_status make_table(cs_source *src, cs_error *err)
{
    return cs_param_table_init(&src->table, &src->spec, cs_precision_of(CS_F32), false, &src->arena, err);
}

static cs_status open_folder(cs_source *src, const char *path, cs_error *err)
{
    cs_manifest m;
    bool present;
    CS_TRY(cs_ckpt_resolve(path, false, &src->dir, err));
    CS_TRY(cs_manifest_load(&m, src->dir, &present, err));
    cs_status s = present ? cs_manifest_check(&m, src->dir, CS_MANIFEST_TOP, err) : CS_OK;
    cs_manifest_release(&m);
    CS_TRY(s);
    CS_TRY(cs_ckpt_read_spec(src->dir, &src->spec, err));
    CS_TRY(cs_hf_init(&src->hf, src->dir, err));
    src->hf.optional_prefix = src->spec.family->optional_prefix;
    CS_TRY(make_table(src, err));
    return cs_hf_check(&src->hf, &src->spec, &src->table, err);
}

/* What llama2.c fixes in its code: norm epsilon, rotary base and the ids of its tokenizer. */
static cs_status open_llama2c(cs_source *src, const char *path, cs_error *err)
{
    cs_llama2c *m = &src->l2c;
    src->is_l2c = true;
    CS_TRY(cs_llama2c_init(m, src->map.data, src->map.size, path, err));
    src->spec = (cs_spec){.family = &cs_family_llama, .vocab_size = m->vocab, .hidden = m->dim, .ffn = m->ffn, .n_layers = m->n_layers,
                          .n_heads = m->n_heads, .n_kv_heads = m->n_kv_heads, .head_dim = m->head_dim, .max_pos = m->max_seq, .norm_eps = 1e-5,
                          .rope_theta = 10000.0, .init_std = 0.02, .tied_head = m->tied, .bos = 1, .eos = 2, .pad = -1, .dtype = CS_F32};
    CS_TRY(cs_spec_check(&src->spec, path, err));
    return make_table(src, err);
}

cs_status cs_source_init(cs_source *src, const char *path, cs_error *err)
{
    *src = (cs_source){0};
    cs_arena_init(&src->arena, "tensor names");
    if (cs_io_kind(path, NULL) == CS_FILE_DIR)
        return open_folder(src, path, err);
    CS_TRY(cs_map_init(&src->map, path, err));
    if (cs_llama2c_detect(src->map.data, src->map.size))
        return open_llama2c(src, path, err);
    return cs_fail(err, CS_E_FORMAT, "%s: from byte 0 no llama2.c model (a header whose sizes add up to the file); expected that, a Hugging Face "
                   "folder, a checkpoint or a run folder", path);
}

void cs_source_release(cs_source *src)
{
    cs_hf_release(&src->hf);
    if (src->map.path)
        cs_map_release(&src->map);
    cs_arena_release(&src->arena);
    cs_free(src->dir);
    *src = (cs_source){0};
}

/* Part and layer of a view in a llama2.c model. */
static cs_llama2c_part l2c_part(const cs_source *src, const cs_param_view *v, int64_t *layer)
{
    static const cs_llama2c_part top[CS_ROW_FIRST_LAYER] = {
        [CS_ROW_EMBED] = CS_L2C_EMBED, [CS_ROW_FINAL_NORM] = CS_L2C_FINAL_NORM, [CS_ROW_HEAD] = CS_L2C_HEAD};
    static const cs_llama2c_part in_layer[CS_ROW_PER_LAYER][CS_PARAM_MAX_PARTS] = {
        [CS_ROW_NORM1] = {CS_L2C_ATT_NORM}, [CS_ROW_QKV] = {CS_L2C_WQ, CS_L2C_WK, CS_L2C_WV}, [CS_ROW_OUT] = {CS_L2C_WO},
        [CS_ROW_NORM2] = {CS_L2C_FFN_NORM}, [CS_ROW_UP] = {CS_L2C_W1, CS_L2C_W3},        [CS_ROW_DOWN] = {CS_L2C_W2}};
    int64_t row = v->param - src->table.row, part = 0;
    *layer = 0;
    if (row < CS_ROW_FIRST_LAYER)
        return top[row];
    *layer = (row - CS_ROW_FIRST_LAYER) / CS_ROW_PER_LAYER;
    while (v->param->part[part].name != v->name)
        part++;
    return in_layer[(row - CS_ROW_FIRST_LAYER) % CS_ROW_PER_LAYER][part];
}

cs_dtype cs_source_dtype(const cs_source *src, int64_t i)
{
    return src->is_l2c ? CS_F32 : cs_hf_find(&src->hf, cs_param_view_at(&src->table, i).name, NULL)->dtype;
}

void cs_source_read(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out)
{
    cs_param_view v = cs_param_view_at(&src->table, i);
    int64_t cols = v.ndim == 2 ? v.shape[1] : 1, layer;
    if (!src->is_l2c) {
        const cs_st_tensor *t = cs_hf_find(&src->hf, v.name, NULL);
        cs_cast(type, out, t->dtype, t->data + (size_t)(lo * cols) * cs_dtype_size(t->dtype), n * cols);
        return;
    }
    cs_llama2c_part part = l2c_part(src, &v, &layer);
    const float *w = cs_llama2c_tensor(&src->l2c, part, layer);
    if (part != CS_L2C_WQ && part != CS_L2C_WK) {
        cs_cast(type, out, CS_F32, w + lo * cols, n * cols);
        return;
    }
    for (int64_t r = 0; r < n; r++)
        cs_cast(type, cs_flat_at(out, type, r * cols), CS_F32, w + cs_llama2c_row(lo + r, src->l2c.head_dim) * cols, cols);
}
