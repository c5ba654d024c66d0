/* Writing a Hugging Face folder: safetensors in shards with an index, config.json. */
#include "base/mem.h"
#include "ckpt/exporter.h"
#include "ckpt/hf.h"

static cs_status write_tensor(const cs_exporter *x, cs_writer *w, const cs_st_entry *e, cs_error *err)
{
    int64_t cols = e->ndim == 2 ? e->shape[1] : 1, step = CS_EXPORT_SLICE / cols;
    step = step < 1 ? 1 : step;
    for (int64_t lo = 0; lo < e->shape[0]; lo += step) {
        int64_t n = e->shape[0] - lo < step ? e->shape[0] - lo : step;
        cs_source_read(x->src, e->tag, lo, n, e->dtype, x->slice);
        CS_TRY(cs_writer_write(w, x->slice, (size_t)(n * cols) * cs_dtype_size(e->dtype), err));
    }
    return CS_OK;
}

static cs_status write_shard(cs_exporter *x, const cs_st_file *f, cs_error *err)
{
    char path[PATH_MAX];
    cs_writer w;
    CS_TRY(cs_hf_path(path, sizeof path, x->temp, f->name, err));
    CS_TRY(cs_writer_init_plain(&w, path, err));
    cs_status s = cs_writer_write(&w, f->header.data, f->header.len, err);
    for (size_t i = f->first; i < f->first + f->n && s == CS_OK; i++) {
        CS_ASSERT((size_t)w.at == x->plan.entry[i].offset);
        s = write_tensor(x, &w, &x->plan.entry[i], err);
        cs_exporter_progress(x, x->plan.entry[i].bytes);
    }
    if (s == CS_OK)
        return cs_writer_commit(&w, err);
    cs_writer_abort(&w);
    return s;
}

static cs_status plan_hf(cs_exporter *x, cs_error *err)
{
    int64_t n = cs_param_n_views(&x->src->table);
    cs_st_entry *entry = cs_calloc((size_t)n, sizeof *entry);
    if (!entry)
        return cs_fail_nomem(err, (size_t)n * sizeof *entry, "the list of tensors");
    for (int64_t i = 0; i < n; i++) {
        const cs_param_view *v = &x->src->view[i];
        entry[i] = (cs_st_entry){.name = v->name, .ndim = v->ndim, .shape = {v->shape[0], v->ndim == 2 ? v->shape[1] : 0}, .tag = i,
                                 .dtype = cs_exporter_dtype(x, i)};
    }
    cs_status s = cs_st_plan_init(&x->plan, entry, (size_t)n, "model", x->args->max_shard_bytes, err);
    cs_free(entry);
    x->total_bytes = x->plan.total_bytes;
    return s;
}

static cs_status write_hf(cs_exporter *x, cs_error *err)
{
    CS_TRY(cs_exporter_file(x, "config.json", x->config.data, x->config.len, err));
    if (x->plan.index.len > 0)
        CS_TRY(cs_exporter_file(x, "model.safetensors.index.json", x->plan.index.data, x->plan.index.len, err));
    for (size_t i = 0; i < x->plan.n_files; i++)
        CS_TRY(write_shard(x, &x->plan.file[i], err));
    return CS_OK;
}

const cs_exporter_kind cs_exporter_hf = {"hf", plan_hf, write_hf};
