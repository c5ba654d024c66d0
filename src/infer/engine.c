/* Loading for use: folder -> spec -> weights, tokenizer, generation settings. */
#include "infer/engine.h"

#include "base/io.h"
#include "base/log.h"
#include "fmt/limits.h"
#include "ckpt/ckpt.h"
#include "fmt/json.h"

#include <string.h>

#define AT(field) offsetof(cs_engine_options, field)
#define DTYPES "auto|f32|bf16|f64|fp16"
const cs_option cs_engine_option_rows[] = {
    {"load", CS_OPT_STR, AT(load), NULL, NULL,
     "model: Hugging Face folder, checkpoint, run folder (its newest complete checkpoint), Megatron shards, GGUF, llama2.c .bin or .pt", "model"},
    {"tokenizer-name-or-path", CS_OPT_STR, AT(tokenizer), NULL, NULL, "tokenizer file or folder; default: the one in --load", "tokenizer"},
    {"dtype", CS_OPT_ENUM, AT(dtype), "auto", DTYPES, "storage and compute type; auto = the checkpoint's own", NULL},
    {"bf16", CS_OPT_SET, AT(dtype), "bf16", DTYPES, "same as --dtype bf16", NULL},
    {"fp16", CS_OPT_SET, AT(dtype), "fp16", DTYPES, "same as --dtype fp16", NULL},
};
#undef AT
const size_t cs_engine_n_option_rows = sizeof cs_engine_option_rows / sizeof *cs_engine_option_rows;

static cs_dtype choose_dtype(int asked, cs_dtype stored)
{
    static const cs_dtype types[] = {CS_F32, CS_BF16, CS_F64, CS_F16}; /* in the order of DTYPES, behind auto */
    return asked == 0 ? stored : types[asked - 1];
}

/* An id or a list of ids under `key`; leaves `out` alone when there is none. */
static cs_status read_ids(const json_t *obj, const char *key, const char *name, cs_ids *out, cs_error *err)
{
    const json_t *v = json_object_get(obj, key);
    size_t n = json_is_array(v) ? json_array_size(v) : v && !json_is_null(v);
    if (n > 0)
        cs_ids_clear(out);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return cs_fail(err, CS_E_FORMAT, "%s: %s must be a token id or a list of them", name, key);
        cs_ids_push(out, (int32_t)json_integer_value(id));
    }
    return cs_ids_check(out, err);
}

/* Parses dir/file if it is there; *out stays NULL otherwise. */
static cs_status load_optional(const char *dir, const char *file, char *name, size_t size, json_t **out, cs_error *err)
{
    int n = snprintf(name, size, "%s/%s", dir, file);
    if (n < 0 || (size_t)n >= size)
        return cs_fail(err, CS_E_IO, "%s/%s: path too long", dir, file);
    return cs_io_kind(name, NULL) == CS_FILE_NONE ? CS_OK : cs_json_load(name, CS_LIMIT_CONFIG_BYTES, out, err);
}

static cs_status read_special(cs_engine *e, cs_error *err)
{
    char name[512];
    json_t *config = NULL;
    if (e->bos < 0 && e->model->spec.bos < e->model->spec.vocab_size)
        e->bos = (int32_t)e->model->spec.bos;
    if (e->tok && cs_tokenizer_eos(e->tok) >= 0)
        cs_ids_push(&e->eos, cs_tokenizer_eos(e->tok));
    CS_TRY(load_optional(e->dir, "config.json", name, sizeof name, &config, err));
    cs_status s = read_ids(config, "eos_token_id", name, &e->eos, err);
    json_decref(config);
    CS_TRY(s);
    CS_TRY(load_optional(e->dir, "generation_config.json", e->generation_name, sizeof e->generation_name, &e->generation, err));
    if (e->generation && !json_is_object(e->generation))
        return cs_fail(err, CS_E_FORMAT, "%s: expected a JSON object", e->generation_name);
    return read_ids(e->generation, "eos_token_id", e->generation_name, &e->eos, err);
}

cs_status cs_engine_load_tokenizer(cs_engine *e, const char *path, cs_error *err)
{
    if (e->tok)
        return CS_OK;
    CS_TRY(cs_tokenizer_create(path ? path : e->dir, &e->tok, err));
    if (cs_tokenizer_bos(e->tok) >= 0)
        e->bos = cs_tokenizer_bos(e->tok);
    return CS_OK;
}

static cs_status load(cs_engine *e, const cs_engine_options *o, bool with_tokenizer, cs_error *err)
{
    cs_spec spec;
    if (!o->load)
        return cs_fail(err, CS_E_USAGE, "--load PATH is required: a model folder, a checkpoint or a run folder");
    CS_TRY(cs_ckpt_resolve(o->load, true, &e->dir, err));
    CS_TRY(cs_ckpt_read_spec(e->dir, &spec, err));
    if (with_tokenizer)
        CS_TRY(cs_engine_load_tokenizer(e, o->tokenizer, err));
    cs_model_options opt = {.kernels = {choose_dtype(o->dtype, spec.dtype), "auto", "auto"}, .n_pos = spec.max_pos};
    CS_TRY(cs_model_create(&spec, &opt, &e->model, err));
    bool checked = strcmp(e->dir, o->load) != 0; /* a run folder's newest complete checkpoint was found by its hashes */
    CS_TRY(cs_ckpt_load_weights(e->dir, &spec, &e->model->table, !checked, err));
    cs_model_seal(e->model);
    return read_special(e, err);
}

cs_status cs_engine_init(cs_engine *e, const cs_engine_options *o, bool with_tokenizer, cs_error *err)
{
    *e = (cs_engine){.bos = -1};
    cs_status s = load(e, o, with_tokenizer, err);
    if (s != CS_OK)
        cs_engine_release(e);
    return s;
}

void cs_engine_release(cs_engine *e)
{
    json_decref(e->generation);
    cs_ids_release(&e->eos);
    cs_tokenizer_destroy(e->tok);
    cs_model_destroy(e->model);
    cs_free(e->dir);
    *e = (cs_engine){.bos = -1};
}

cs_status cs_engine_check_ids(const cs_engine *e, const int32_t *ids, size_t n, const char *what, cs_error *err)
{
    const cs_spec *s = &e->model->spec;
    if (n == 0)
        return cs_fail(err, CS_E_USAGE, "%s: no tokens, and the model has no beginning-of-text token to start from", what);
    if (n > (uint64_t)s->max_pos)
        return cs_fail(err, CS_E_USAGE, "%s: %zu tokens, but the model has %lld positions", what, n, (long long)s->max_pos);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= s->vocab_size)
            return cs_fail(err, CS_E_USAGE, "%s: token %zu is id %d, outside the model's vocabulary of %lld", what, i, (int)ids[i],
                           (long long)s->vocab_size);
    return CS_OK;
}

cs_status cs_engine_encode(const cs_engine *e, const char *text, size_t len, const char *what, cs_ids *out, cs_error *err)
{
    size_t at = out->len;
    if (len > 0)
        CS_TRY(cs_tokenizer_encode(e->tok, text, len, CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL, out, err));
    else if (e->bos >= 0)
        cs_ids_push(out, e->bos);
    CS_TRY(cs_ids_check(out, err));
    return cs_engine_check_ids(e, out->data + at, out->len - at, what, err);
}

cs_status cs_rows_init(cs_rows *r, int64_t max_rows, int64_t max_seq, cs_error *err)
{
    *r = (cs_rows){.max_rows = max_rows, .max_seq = max_seq};
    r->seq_start = cs_calloc((size_t)max_seq + 1, sizeof *r->seq_start);
    r->tokens = cs_calloc((size_t)max_rows, sizeof *r->tokens);
    r->pos = cs_calloc((size_t)max_rows, sizeof *r->pos);
    if (r->seq_start && r->tokens && r->pos)
        return CS_OK;
    cs_rows_release(r);
    return cs_fail_nomem(err, (size_t)max_rows * 8 + (size_t)max_seq * 8, "a batch");
}

void cs_rows_release(cs_rows *r)
{
    cs_free(r->seq_start);
    cs_free(r->tokens);
    cs_free(r->pos);
    *r = (cs_rows){0};
}

void cs_rows_clear(cs_rows *r)
{
    r->rows = r->n_seq = 0;
}

void cs_rows_add(cs_rows *r, const int32_t *ids, int64_t n, int64_t pos)
{
    CS_ASSERT(r->n_seq < r->max_seq && r->rows + n <= r->max_rows);
    for (int64_t i = 0; i < n; i++) {
        r->tokens[r->rows + i] = ids[i];
        r->pos[r->rows + i] = (int32_t)(pos + i);
    }
    r->rows += n;
    r->seq_start[++r->n_seq] = r->rows;
}

cs_batch cs_rows_batch(const cs_rows *r)
{
    return (cs_batch){.rows = r->rows, .n_seq = r->n_seq, .seq_start = r->seq_start, .tokens = r->tokens, .pos = r->pos};
}
