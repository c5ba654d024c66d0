/* One function per kind of file, each filling the same object. */
#include "cli/facts.h"
#include "cli/facts_put.h"

#include "base/io.h"
#include "base/mem.h"
#include "fmt/limits.h"
#include "ckpt/ckpt.h"
#include "ckpt/hf.h"
#include "ckpt/kind.h"
#include "ckpt/manifest.h"
#include "fmt/json.h"
#include "fmt/llama2c.h"
#include "text/tokenizer.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static json_t *shape_of(cs_facts *f, int ndim, const int64_t *shape)
{
    json_t *a = json_array();
    for (int i = 0; i < ndim; i++)
        add(f, a, json_integer(shape[i]));
    return a;
}

static void put_tensors(cs_facts *f, const cs_hf *hf)
{
    json_t *list = json_array(), *types = json_object();
    int64_t elements = 0;
    size_t n = 0;
    for (size_t k = 0; k < hf->n_shards; k++) {
        const cs_hf_shard *s = &hf->shard[k];
        for (size_t i = 0; i < s->st.n; i++, n++) {
            const cs_st_tensor *t = &s->st.tensor[i];
            const char *type = cs_st_dtype_name(t->dtype);
            json_t *row = json_pack("{s:s, s:s, s:o, s:I}", "name", t->name, "dtype", type, "shape", shape_of(f, t->ndim, t->shape), "bytes",
                                    (json_int_t)t->bytes);
            if (row && hf->n_shards > 1)
                json_object_set_new(row, "file", cs_facts_text(strrchr(s->path, '/') + 1, strlen(strrchr(s->path, '/') + 1), 1 << 14));
            add(f, list, row);
            elements += t->n;
            json_object_set_new(types, type, json_integer(json_integer_value(json_object_get(types, type)) + t->n));
        }
    }
    put_int(f, "tensor_count", (int64_t)n);
    put_int(f, "elements", elements);
    put(f, "elements_by_dtype", types);
    put(f, "tensors", list);
}

static cs_status facts_safetensors(cs_facts *f, const char *path, cs_error *err)
{
    cs_hf hf;
    CS_TRY(cs_hf_init(&hf, path, err));
    put_int(f, "bytes", (int64_t)hf.shard[0].map.size);
    put_int(f, "header_bytes", (int64_t)hf.shard[0].st.data_start - 8);
    put(f, "metadata", hf.shard[0].st.metadata ? json_incref((json_t *)hf.shard[0].st.metadata) : json_object());
    put_tensors(f, &hf);
    cs_hf_release(&hf);
    return CS_OK;
}

static cs_status facts_index(cs_facts *f, const char *path, cs_error *err)
{
    uint8_t *text;
    size_t len;
    cs_st_index index;
    CS_TRY(cs_io_read_all(path, CS_LIMIT_JSON_BYTES, &text, &len, err));
    cs_status s = cs_st_index_init(&index, (const char *)text, len, path, err);
    cs_free(text);
    CS_TRY(s);
    json_t *files = json_array(), *meta = json_object_get(index.tree, "metadata");
    for (size_t i = 0; i < index.n_files; i++)
        add(f, files, json_string(index.file[i]));
    put_int(f, "tensor_count", (int64_t)json_object_size(index.weight_map));
    put(f, "files", files);
    put(f, "metadata", meta ? json_incref(meta) : json_object());
    cs_st_index_release(&index);
    return CS_OK;
}

void cs_facts_put_spec(cs_facts *f, const cs_spec *s)
{
    put_str(f, "model_type", s->family->name);
    put_int(f, "parameters", cs_spec_n_params(s));
    put_int(f, "vocab_size", s->vocab_size);
    put_int(f, "hidden_size", s->hidden);
    put_int(f, "intermediate_size", s->ffn);
    put_int(f, "num_hidden_layers", s->n_layers);
    put_int(f, "num_attention_heads", s->n_heads);
    put_int(f, "num_key_value_heads", s->n_kv_heads);
    put_int(f, "head_dim", s->head_dim);
    put_int(f, "max_position_embeddings", s->max_pos);
    put(f, "rms_norm_eps", json_real(s->norm_eps));
    put(f, "rope_theta", json_real(s->rope_theta));
    put(f, "tie_word_embeddings", json_boolean(s->tied_head));
    put_str(f, "dtype", cs_dtype_name(s->dtype));
}

/* Sizes of a model, or of a family that is not known what its config.json says. */
static cs_status facts_config(cs_facts *f, const char *path, cs_error *err)
{
    json_t *tree;
    cs_spec spec;
    CS_TRY(cs_json_load(path, CS_LIMIT_JSON_BYTES, &tree, err));
    const char *type = json_string_value(json_object_get(tree, "model_type"));
    cs_status s = CS_OK;
    if (json_is_object(tree) && !cs_family_of(tree) && (type || json_object_get(tree, "architectures"))) {
        put_str(f, "model_type", type);
        put_str(f, "note", "not a family that this version runs");
        put(f, "members", cs_facts_members(f, tree));
    } else {
        s = cs_spec_from_json(&spec, tree, path, err);
        if (s == CS_OK)
            cs_facts_put_spec(f, &spec);
    }
    json_decref(tree);
    return s;
}

static void put_manifest(cs_facts *f, const cs_manifest *m)
{
    json_t *files = json_array();
    put_int(f, "iteration", m->iteration);
    put_str(f, "run_id", m->run_id);
    put_str(f, "tokenizer_hash", m->tokenizer_hash);
    for (size_t i = 0; i < m->n_files; i++)
        add(f, files, json_pack("{s:s, s:I}", "name", m->file[i].name, "bytes", (json_int_t)m->file[i].bytes));
    put(f, "files", files);
}

static cs_status facts_manifest(cs_facts *f, const char *path, cs_error *err)
{
    cs_manifest m;
    uint8_t *text;
    size_t len;
    CS_TRY(cs_io_read_all(path, CS_LIMIT_JSON_BYTES, &text, &len, err));
    cs_status s = cs_manifest_parse(&m, (const char *)text, len, path, err);
    cs_free(text);
    CS_TRY(s);
    put_manifest(f, &m);
    cs_manifest_release(&m);
    return CS_OK;
}

static cs_status facts_llama2c(cs_facts *f, const char *path, cs_error *err)
{
    static const char *const names[CS_L2C_PART_COUNT] = {"tok_embeddings", "attention_norm", "wq", "wk", "wv", "wo", "ffn_norm",
                                                         "w1", "w2", "w3", "norm", "freqs", "output"};
    cs_map map;
    cs_llama2c m;
    CS_TRY(cs_map_init(&map, path, err));
    cs_status s = cs_llama2c_init(&m, map.data, map.size, path, err);
    if (s == CS_OK) {
        const struct {
            const char *key;
            int64_t v;
        } rows[] = {{"version", m.version},       {"bytes", (int64_t)map.size}, {"dim", m.dim},
                    {"hidden_dim", m.ffn},        {"n_layers", m.n_layers},     {"n_heads", m.n_heads},
                    {"n_kv_heads", m.n_kv_heads}, {"vocab_size", m.vocab},      {"max_seq_len", m.max_seq}};
        json_t *list = json_array();
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            put_int(f, rows[i].key, rows[i].v);
        put(f, "shared_classifier", json_boolean(m.tied));
        for (int i = 0; i < CS_L2C_PART_COUNT; i++)
            if (m.part[i].count > 0)
                add(f, list, json_pack("{s:s, s:s, s:I, s:[I,I], s:I}", "name", names[i], "dtype", "F32", "count", (json_int_t)m.part[i].count,
                                       "shape", (json_int_t)m.part[i].rows, (json_int_t)m.part[i].cols, "offset", (json_int_t)m.part[i].offset));
        put(f, "tensors", list);
    }
    cs_map_release(&map);
    return s;
}

static cs_status facts_state(cs_facts *f, const char *dir, cs_error *err)
{
    char path[PATH_MAX];
    json_t *state, *value, *shown = json_object();
    const char *key;
    CS_TRY(cs_hf_path(path, sizeof path, dir, "trainer/state.json", err));
    cs_status s = cs_io_kind(path, NULL) == CS_FILE_REGULAR ? cs_json_load(path, CS_LIMIT_JSON_BYTES, &state, err) : CS_E_IO;
    if (s == CS_OK) {
        json_object_foreach(state, key, value) {
            if (!json_is_object(value) && !json_is_array(value))
                json_object_set(shown, key, value);
        }
        put(f, "trainer_state", json_incref(shown));
        json_decref(state);
    }
    json_decref(shown);
    return CS_OK;
}

static cs_status facts_folder(cs_facts *f, const char *dir, cs_error *err)
{
    char path[PATH_MAX];
    cs_hf hf;
    cs_manifest m;
    cs_tokenizer *t;
    bool present;
    CS_TRY(cs_hf_path(path, sizeof path, dir, "config.json", err));
    CS_TRY(facts_config(f, path, err));
    CS_TRY(cs_manifest_load(&m, dir, &present, err));
    if (present)
        put_manifest(f, &m);
    cs_manifest_release(&m);
    CS_TRY(facts_state(f, dir, err));
    CS_TRY(cs_tokenizer_present(dir, &present, err));
    if (present) {
        cs_error why = {0};
        cs_status s = cs_tokenizer_create(dir, &t, &why);
        if (s == CS_OK) {
            cs_facts_put_tokenizer(f, t);
            cs_tokenizer_destroy(t);
        } else if (s == CS_E_FORMAT) { /* the rest can be told nevertheless */
            put_str(f, "tokenizer_error", why.msg);
        } else {
            *err = why;
            return s;
        }
    }
    CS_TRY(cs_hf_init(&hf, dir, err));
    put_tensors(f, &hf);
    cs_hf_release(&hf);
    return CS_OK;
}

static cs_status facts_run(cs_facts *f, const char *run_dir, cs_error *err)
{
    char **names, path[PATH_MAX], *dir;
    size_t n;
    int64_t iteration;
    json_t *list = json_array();
    CS_TRY(cs_io_list(run_dir, &names, &n, err));
    for (size_t i = 0; i < n; i++) {
        if (!cs_ckpt_is_name(names[i], &iteration) || cs_hf_path(path, sizeof path, run_dir, names[i], NULL) != CS_OK)
            continue;
        cs_manifest m;
        bool present = false;
        cs_error why = {0};
        bool complete = cs_manifest_load(&m, path, &present, &why) == CS_OK && present &&
                        cs_manifest_check_sizes(&m, path, CS_MANIFEST_ALL, &why) == CS_OK;
        cs_manifest_release(&m);
        add(f, list, json_pack("{s:s, s:b}", "checkpoint", names[i], "complete", complete));
    }
    cs_io_list_free(names, n);
    put(f, "checkpoints", list);
    CS_TRY(cs_ckpt_resolve(run_dir, false, &dir, err));
    put_str(f, "newest", dir);
    cs_status s = facts_folder(f, dir, err);
    cs_free(dir);
    return s;
}

cs_status cs_facts_of(const char *path, json_t **out_create, cs_error *err)
{
    static cs_facts_fn *const fill[CS_KIND_COUNT] = {
        [CS_KIND_RUN] = facts_run,
        [CS_KIND_CHECKPOINT] = facts_folder,
        [CS_KIND_HF] = facts_folder,
        [CS_KIND_TOKENIZER] = cs_facts_tokenizer,
        [CS_KIND_SAFETENSORS] = facts_safetensors,
        [CS_KIND_ST_INDEX] = facts_index,
        [CS_KIND_CONFIG] = facts_config,
        [CS_KIND_MANIFEST] = facts_manifest,
        [CS_KIND_TOK_CONFIG] = cs_facts_tok_config,
        [CS_KIND_VOCAB] = cs_facts_vocab,
        [CS_KIND_MERGES] = cs_facts_merges,
        [CS_KIND_GGUF] = cs_facts_gguf,
        [CS_KIND_LLAMA2C] = facts_llama2c,
        [CS_KIND_IDXBIN] = cs_facts_idxbin,
        [CS_KIND_NPY] = cs_facts_npy,
        [CS_KIND_METRICS] = cs_facts_metrics,
        [CS_KIND_TFEVENTS] = cs_facts_tfevents,
        [CS_KIND_JSONL] = cs_facts_jsonl,
        [CS_KIND_TEXT] = cs_facts_text_file,
        [CS_KIND_JSON] = cs_facts_json,
        [CS_KIND_TORCH] = cs_facts_torch,
        [CS_KIND_MEGATRON] = cs_facts_megatron,
        [CS_KIND_ZIP] = cs_facts_unread,
        [CS_KIND_PARQUET] = cs_facts_parquet,
    };
    cs_kind kind;
    CS_TRY(cs_kind_of(path, &kind, err));
    cs_facts f = {.o = json_object()};
    if (!f.o)
        return cs_fail_nomem(err, 64, path);
    put_str(&f, "path", path);
    put_str(&f, "kind", cs_kind_text(kind));
    cs_status s = fill[kind](&f, path, err);
    if (s == CS_OK && f.failed)
        s = cs_fail_nomem(err, 4096, path);
    if (s != CS_OK) {
        json_decref(f.o);
        return s;
    }
    *out_create = f.o;
    return CS_OK;
}
