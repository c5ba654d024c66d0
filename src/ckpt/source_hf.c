/* Weights of a Hugging Face folder, a checkpoint or a run folder. */
#include "base/mem.h"
#include "ckpt/cast.h"
#include "ckpt/ckpt.h"
#include "ckpt/hf.h"
#include "ckpt/manifest.h"
#include "ckpt/source.h"

static cs_dtype hf_dtype(const cs_source *src, int64_t i)
{
    return cs_hf_find(src->data, src->view[i].name, NULL)->dtype;
}

static void hf_read(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out)
{
    const cs_st_tensor *t = cs_hf_find(src->data, src->view[i].name, NULL);
    int64_t cols = src->view[i].ndim == 2 ? src->view[i].shape[1] : 1;
    cs_cast(type, out, t->dtype, t->data + (size_t)(lo * cols) * cs_dtype_size(t->dtype), n * cols);
}

static void hf_release(cs_source *src)
{
    if (src->data)
        cs_hf_release(src->data);
    cs_free(src->data);
}

static const cs_source_ops hf_ops = {"Hugging Face folder", hf_dtype, hf_read, hf_release};

cs_status cs_source_open_folder(cs_source *src, const char *path, cs_error *err)
{
    cs_manifest m;
    bool present;
    src->ops = &hf_ops;
    CS_TRY(cs_ckpt_resolve(path, false, &src->dir, err));
    CS_TRY(cs_manifest_load(&m, src->dir, &present, err));
    cs_status s = present ? cs_manifest_check(&m, src->dir, CS_MANIFEST_TOP, err) : CS_OK;
    cs_manifest_release(&m);
    CS_TRY(s);
    CS_TRY(cs_ckpt_read_spec(src->dir, &src->spec, err));
    CS_TRY(cs_hf_json(src->dir, "config.json", &src->config, err));
    cs_hf *hf = src->data = cs_calloc(1, sizeof *hf);
    if (!hf)
        return cs_fail_nomem(err, sizeof *hf, "a model folder");
    CS_TRY(cs_hf_init(hf, src->dir, err));
    src->n_files = hf->n_shards;
    for (size_t i = 0; i < hf->n_shards; i++)
        src->file_bytes += hf->shard[i].map.size;
    hf->optional_prefix = src->spec.family->optional_prefix;
    CS_TRY(cs_source_tables(src, err));
    return cs_hf_check(hf, &src->spec, &src->table, err);
}
