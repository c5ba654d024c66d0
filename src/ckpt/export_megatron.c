/* Writing Megatron shards: one PyTorch file per tensor and pipeline rank, filled row by row from the source. Nothing but plain dicts, numbers, text
 * and tensors is in them, so that torch.load(weights_only=True) opens them. */
#include "base/mem.h"
#include "ckpt/cast.h"
#include "ckpt/exporter.h"
#include "ckpt/hf.h"
#include "ckpt/megatron.h"
#include "fmt/json.h"
#include "fmt/torch_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One tensor of the file under way. */
typedef struct out_tensor {
    cs_mg_tensor t;
    cs_dtype dtype;
    int64_t rows, cols; /* of this rank's part */
} out_tensor;

typedef struct out_shard {
    cs_exporter *x;
    int64_t tp, pp;     /* this shard's ranks */
    out_tensor *tensor; /* by tag */
    int64_t n;
} out_shard;

/* Rows [lo, lo+n) of one rank's part into out. */
static void fill_rows(const out_shard *s, const out_tensor *o, int64_t lo, int64_t n, char *out)
{
    const cs_exporter *x = s->x;
    const cs_export_args *a = x->args;
    size_t row_bytes = (size_t)o->cols * cs_dtype_size(o->dtype);
    for (int64_t k = lo, run; k < lo + n; k += run) {
        cs_mg_origin from = cs_mg_origin_of(x->src, &o->t, a->tp, x->padded_vocab, s->tp, k);
        run = from.run < lo + n - k ? from.run : lo + n - k;
        char *to = out + (size_t)(k - lo) * row_bytes;
        if (o->t.cut != CS_MG_COLS) {
            cs_source_read(x->src, from.view, from.row, run, o->dtype, to);
            continue;
        }
        int64_t whole = o->cols * a->tp, fit = CS_EXPORT_SLICE / whole > 0 ? CS_EXPORT_SLICE / whole : 1;
        run = run < fit ? run : fit;
        cs_source_read(x->src, from.view, from.row, run, o->dtype, x->slice);
        for (int64_t r = 0; r < run; r++)
            memcpy(to + (size_t)r * row_bytes, (char *)x->slice + (size_t)(r * whole + s->tp * o->cols) * cs_dtype_size(o->dtype), row_bytes);
    }
}

/* Bytes [offset, offset+n) of a tensor: whole rows where the range begins and ends on them, else through one row's buffer. */
static cs_status fill(void *ctx, int64_t tag, size_t offset, void *out, size_t n, cs_error *err)
{
    out_shard *s = ctx;
    const out_tensor *o = &s->tensor[tag];
    size_t row_bytes = (size_t)o->cols * cs_dtype_size(o->dtype), done = 0;
    char *row = NULL;
    while (done < n) {
        size_t at = offset + done, inside = at % row_bytes, left = n - done;
        if (inside == 0 && left >= row_bytes) {
            size_t rows = left / row_bytes;
            fill_rows(s, o, (int64_t)(at / row_bytes), (int64_t)rows, (char *)out + done);
            done += rows * row_bytes;
            continue;
        }
        if (!row && !(row = cs_malloc(row_bytes)))
            return cs_fail_nomem(err, row_bytes, "a row");
        fill_rows(s, o, (int64_t)(at / row_bytes), 1, row);
        size_t part = row_bytes - inside < left ? row_bytes - inside : left;
        memcpy((char *)out + done, row + inside, part);
        done += part;
    }
    cs_free(row);
    cs_exporter_progress(s->x, n);
    return CS_OK;
}

static void put_json(cs_torch_out *o, const json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        cs_torch_put_dict(o);
        json_object_foreach((json_t *)v, key, item) {
            cs_torch_put_text(o, key);
            put_json(o, item);
        }
        cs_torch_put_end(o);
        break;
    case JSON_ARRAY:
        cs_torch_put_list(o);
        json_array_foreach(v, i, item)
            put_json(o, item);
        cs_torch_put_end(o);
        break;
    case JSON_STRING: cs_torch_put_text(o, json_string_value(v)); break;
    case JSON_INTEGER: cs_torch_put_int(o, json_integer_value(v)); break;
    case JSON_REAL: cs_torch_put_real(o, json_real_value(v)); break;
    case JSON_NULL: cs_torch_put_none(o); break;
    default: cs_torch_put_bool(o, json_is_true(v)); break;
    }
}

static int64_t layers_of_stage(const cs_exporter *x, int64_t pp)
{
    const cs_export_args *a = x->args;
    return a->stage_layers ? a->stage_layers[pp] : x->src->spec.n_layers / a->pp;
}

/* First layer of chunk c of stage p. */
static int64_t first_layer(const cs_exporter *x, int64_t pp, int64_t c)
{
    const cs_export_args *a = x->args;
    int64_t first = 0, per_chunk = x->src->spec.n_layers / (a->pp * a->vp);
    if (!a->stage_layers)
        return (c * a->pp + pp) * per_chunk;
    for (int64_t i = 0; i < pp; i++)
        first += a->stage_layers[i];
    return first;
}

static void put_tensor(out_shard *s, cs_torch_out *o, const cs_mg_tensor *t, int64_t layer, int64_t local)
{
    const cs_exporter *x = s->x;
    char name[160];
    int64_t shape[2];
    int ndim;
    cs_mg_name(x->src, t, layer, local, name, sizeof name);
    cs_mg_shape(x->src, t, x->args->tp, x->padded_vocab, shape, &ndim);
    out_tensor *e = &s->tensor[s->n];
    *e = (out_tensor){*t, cs_exporter_dtype(x, x->src->first_view[t->row]), shape[0], ndim == 2 ? shape[1] : 1};
    cs_torch_put_text(o, name);
    cs_torch_put_tensor(o, e->dtype, ndim, shape, fill, s, s->n++);
}

/* The weights of one chunk as a dict. */
static void put_chunk(out_shard *s, cs_torch_out *o, int64_t c)
{
    const cs_exporter *x = s->x;
    const cs_export_args *a = x->args;
    cs_mg_tensor list[CS_MG_MAX_TENSORS];
    int64_t n_layers = layers_of_stage(x, s->pp) / a->vp, first = first_layer(x, s->pp, c);
    int n = cs_mg_tensors(&x->src->table, -1, a->merged_mlp, list);
    cs_torch_put_dict(o);
    for (int k = 0; k < n; k++)
        if ((cs_mg_is_first(&list[k]) && s->pp == 0 && c == 0) || (cs_mg_is_last(&list[k]) && s->pp == a->pp - 1 && c == a->vp - 1))
            put_tensor(s, o, &list[k], -1, 0);
    for (int64_t l = 0; l < n_layers; l++) {
        cs_mg_tensor layer[CS_MG_MAX_TENSORS];
        int m = cs_mg_tensors(&x->src->table, first + l, a->merged_mlp, layer);
        for (int k = 0; k < m; k++)
            put_tensor(s, o, &layer[k], first + l, l);
    }
    cs_torch_put_end(o);
}

static void put_shard(out_shard *s, cs_torch_out *o, const json_t *config)
{
    const cs_export_args *a = s->x->args;
    const struct {
        const char *key;
        int64_t value;
    } layout[] = {{"tensor_model_parallel_size", a->tp}, {"pipeline_model_parallel_size", a->pp}, {"virtual_pipeline_model_parallel_size", a->vp},
                  {"padded_vocab_size", s->x->padded_vocab}, {"vocab_size", s->x->src->spec.vocab_size}};
    bool nested = a->deepspeed && s->x->src->spec.family->megatron->absolute; /* DeepSpeed's pipeline module inside its engine */
    cs_torch_put_dict(o);
    cs_torch_put_text(o, "checkpoint_version");
    cs_torch_put_real(o, 3.0);
    cs_torch_put_text(o, "config");
    put_json(o, config);
    cs_torch_put_text(o, "layout");
    cs_torch_put_dict(o);
    for (size_t i = 0; i < sizeof layout / sizeof *layout; i++) {
        cs_torch_put_text(o, layout[i].key);
        cs_torch_put_int(o, layout[i].value);
    }
    cs_torch_put_end(o);
    for (int64_t c = 0; c < a->vp; c++) {
        char key[32] = "model";
        if (a->vp > 1)
            snprintf(key, sizeof key, "model%" PRId64, c);
        cs_torch_put_text(o, a->deepspeed ? "module" : key);
        if (nested) {
            cs_torch_put_dict(o);
            cs_torch_put_text(o, "module");
        }
        put_chunk(s, o, c);
        if (nested)
            cs_torch_put_end(o);
    }
    if (a->deepspeed) {
        cs_torch_put_text(o, "dp_world_size");
        cs_torch_put_int(o, 0);
    }
    cs_torch_put_end(o);
}

static cs_status write_shard(cs_exporter *x, int64_t tp, int64_t pp, const json_t *config, cs_error *err)
{
    const cs_export_args *a = x->args;
    char name[64], folder[PATH_MAX], path[PATH_MAX];
    cs_torch_out out = {0};
    int64_t n = 8 + layers_of_stage(x, pp) * CS_MG_MAX_TENSORS;
    out_shard s = {x, tp, pp, cs_calloc((size_t)n, sizeof *s.tensor), 0};
    cs_status status = s.tensor ? CS_OK : cs_fail_nomem(err, (size_t)n * sizeof *s.tensor, "a shard");
    if (a->deepspeed)
        snprintf(name, sizeof name, "release/mp_rank_%02" PRId64 "_model_states.pt", pp * a->tp + tp);
    else if (a->pp == 1)
        snprintf(name, sizeof name, "release/mp_rank_%02" PRId64, tp);
    else
        snprintf(name, sizeof name, "release/mp_rank_%02" PRId64 "_%03" PRId64, tp, pp);
    if (status == CS_OK)
        status = cs_hf_path(folder, sizeof folder, x->temp, name, err);
    if (status == CS_OK && !a->deepspeed)
        status = cs_io_mkdirs(folder, err);
    if (status == CS_OK)
        status = a->deepspeed ? (snprintf(path, sizeof path, "%s", folder), CS_OK) : cs_hf_path(path, sizeof path, folder, "model_optim_rng.pt", err);
    if (status == CS_OK) {
        put_shard(&s, &out, config);
        status = cs_torch_out_save(&out, path, err);
    }
    cs_torch_out_release(&out);
    cs_free(s.tensor);
    return status;
}

static cs_status check_layout(const cs_exporter *x, cs_error *err)
{
    const cs_spec *s = &x->src->spec;
    const cs_export_args *a = x->args;
    cs_error found = {0};
    int64_t sum = 0;
    for (int64_t i = 0; a->stage_layers && i < a->pp; i++)
        sum += a->stage_layers[i];
    const struct {
        bool broken;
        const char *what;
        int64_t value;
    } rules[] = {
        {s->n_heads % a->tp != 0, "--tensor-model-parallel-size must divide the attention heads, there are", s->n_heads},
        {s->n_kv_heads % a->tp != 0, "--tensor-model-parallel-size must divide the key and value heads, there are", s->n_kv_heads},
        {s->ffn % a->tp != 0, "--tensor-model-parallel-size must divide the feed-forward width, which is", s->ffn},
        {!a->stage_layers && s->n_layers % (a->pp * a->vp) != 0,
         "--pipeline-model-parallel-size times virtual stages must divide the layers, there are", s->n_layers},
        {a->stage_layers && (sum != s->n_layers || a->vp > 1), "--partition-layers must add up to the layers (without virtual stages), there are",
         s->n_layers},
        {a->deepspeed && a->vp > 1, "--deepspeed: these files have no virtual stages; asked for", a->vp},
        {a->deepspeed && a->pp > 1 && !s->family->megatron->absolute,
         "--deepspeed: these files hold all layers in this family, the pipeline size must be 1, not", a->pp},
        {a->merged_mlp && !s->family->megatron->merged_mlp,
         "--merge-mlp: leave it out, this family has no gate to merge with the up-projection of width", s->ffn},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].broken)
            cs_fail_also(&found, CS_E_USAGE, "%s %" PRId64, rules[i].what, rules[i].value);
    if (found.status != CS_OK)
        *err = found;
    return found.status;
}

static cs_status plan_megatron(cs_exporter *x, cs_error *err)
{
    CS_TRY(check_layout(x, err));
    x->padded_vocab = cs_mg_padded_vocab(x->src->spec.vocab_size + x->args->added_tokens, x->args->vocab_multiple, x->args->tp);
    for (int64_t i = 0; i < cs_param_n_views(&x->src->table); i++) {
        const cs_param_view *v = &x->src->view[i];
        int64_t rows = v->param == &x->src->table.row[CS_ROW_EMBED] || v->param == &x->src->table.row[CS_ROW_HEAD] ? x->padded_vocab : v->shape[0];
        x->total_bytes += (size_t)(rows * (v->ndim == 2 ? v->shape[1] : 1)) * cs_dtype_size(cs_exporter_dtype(x, i));
    }
    return CS_OK;
}

static cs_status write_megatron(cs_exporter *x, cs_error *err)
{
    char release[PATH_MAX];
    json_t *config;
    CS_TRY(cs_hf_path(release, sizeof release, x->temp, "release", err));
    CS_TRY(cs_io_mkdirs(release, err));
    CS_TRY(cs_json_parse(x->config.data, x->config.len, "config.json", &config, err));
    cs_status s = CS_OK;
    for (int64_t pp = 0; pp < x->args->pp && s == CS_OK; pp++)
        for (int64_t tp = 0; tp < x->args->tp && s == CS_OK; tp++)
            s = write_shard(x, tp, pp, config, err);
    json_decref(config);
    CS_TRY(s);
    return cs_exporter_file(x, x->args->deepspeed ? "latest" : "latest_checkpointed_iteration.txt", "release\n", 8, err);
}

const cs_exporter_kind cs_exporter_megatron = {"megatron", plan_megatron, write_megatron};
