/* config.json <-> cs_spec. */
#include "model/spec.h"

#include "base/mem.h"
#include "fmt/json.h"
#include "fmt/limits.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    cs_dtype type;
} torch_dtypes[] = {{"float64", CS_F64}, {"float32", CS_F32}, {"float16", CS_F16}, {"bfloat16", CS_BF16}};

static const cs_family *find_family(const char *model_type, const char *architecture)
{
    for (const cs_family *const *f = cs_families; *f; f++) {
        if (model_type && strcmp((*f)->name, model_type) == 0)
            return *f;
        for (const char *const *a = (*f)->architectures; architecture && *a; a++)
            if (strcmp(*a, architecture) == 0)
                return *f;
    }
    return NULL;
}

const cs_family *cs_family_of(const json_t *config)
{
    const json_t *list = json_object_get(config, "architectures");
    return find_family(json_string_value(json_object_get(config, "model_type")), json_string_value(json_array_get(list, 0)));
}

static cs_status read_family(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    const char *type = NULL, *architecture = NULL;
    CS_TRY(cs_json_get_str(config, "model_type", name, &type, err));
    const json_t *list = json_object_get(config, "architectures");
    if (json_is_array(list) && json_is_string(json_array_get(list, 0)))
        architecture = json_string_value(json_array_get(list, 0));
    if (!type && !architecture)
        return cs_fail(err, CS_E_FORMAT, "%s: neither \"model_type\" nor \"architectures\" is there; expected a Hugging Face config.json", name);
    spec->family = cs_family_of(config);
    if (!spec->family)
        return cs_fail(err, CS_E_FORMAT, "%s: model_type \"%s\" (%s) is not a family this version knows", name, type ? type : "?",
                       architecture ? architecture : "no architecture");
    return CS_OK;
}

/* An id, or the first of a list of ids. */
static cs_status read_token(const json_t *config, const char *key, const char *name, int64_t *out, cs_error *err)
{
    const json_t *v = json_object_get(config, key);
    if (json_is_array(v) && json_array_size(v) > 0 && json_is_integer(json_array_get(v, 0))) {
        *out = json_integer_value(json_array_get(v, 0));
        return CS_OK;
    }
    return cs_json_get_int(config, key, name, out, err);
}

static cs_status read_llama3(cs_spec *spec, const json_t *where, const char *name, cs_error *err)
{
    cs_rope_scaling *s = &spec->rope_scaling;
    CS_TRY(cs_json_get_real(where, "low_freq_factor", name, &s->low_freq_factor, err));
    CS_TRY(cs_json_get_real(where, "high_freq_factor", name, &s->high_freq_factor, err));
    CS_TRY(cs_json_get_int(where, "original_max_position_embeddings", name, &s->original_max_pos, err));
    if (!(s->low_freq_factor > 0) || !(s->high_freq_factor > s->low_freq_factor) || s->original_max_pos <= 0)
        return cs_fail(err, CS_E_FORMAT, "%s: rope scaling llama3 needs low_freq_factor > 0, a larger high_freq_factor and "
                       "original_max_position_embeddings > 0", name);
    return CS_OK;
}

/* "rope_theta", "rope_scaling" {type | rope_type, factor, ..} of most files, "rope_parameters" of new ones, "rotary" {base, type} of InternLM. */
static cs_status read_rope(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    static const char *const objects[] = {"rotary", "rope_scaling", "rope_parameters"};
    const char *type = "default";
    const json_t *where = NULL;
    CS_TRY(cs_json_get_real(config, "rope_theta", name, &spec->rope_theta, err));
    for (size_t i = 0; i < 3; i++)
        if (json_is_object(json_object_get(config, objects[i])))
            where = json_object_get(config, objects[i]);
    if (!where)
        return CS_OK;
    CS_TRY(cs_json_get_real(where, "rope_theta", name, &spec->rope_theta, err));
    CS_TRY(cs_json_get_real(where, "base", name, &spec->rope_theta, err));
    CS_TRY(cs_json_get_str(where, "type", name, &type, err));
    CS_TRY(cs_json_get_str(where, "rope_type", name, &type, err));
    /* "dynamic" changes nothing up to max_position_embeddings, and nothing beyond is run. */
    if (strcmp(type, "default") == 0 || strcmp(type, "dynamic") == 0 || strcmp(type, "origin") == 0)
        return CS_OK;
    if (strcmp(type, "linear") != 0 && strcmp(type, "llama3") != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: rope scaling \"%s\" is not in this version; default, dynamic, linear and llama3 are", name, type);
    spec->rope_scaling.rule = strcmp(type, "linear") == 0 ? CS_ROPE_LINEAR : CS_ROPE_LLAMA3;
    CS_TRY(cs_json_get_real(where, "factor", name, &spec->rope_scaling.factor, err));
    if (!(spec->rope_scaling.factor >= 1) || !isfinite(spec->rope_scaling.factor))
        return cs_fail(err, CS_E_FORMAT, "%s: rope scaling \"%s\" needs a factor of at least 1", name, type);
    return spec->rope_scaling.rule == CS_ROPE_LLAMA3 ? read_llama3(spec, where, name, err) : CS_OK;
}

static cs_status read_dtype(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    const char *text = NULL;
    CS_TRY(cs_json_get_str(config, "torch_dtype", name, &text, err));
    CS_TRY(cs_json_get_str(config, "dtype", name, &text, err));
    spec->dtype = CS_F32;
    if (!text)
        return CS_OK;
    for (size_t i = 0; i < sizeof torch_dtypes / sizeof *torch_dtypes; i++)
        if (strcmp(text, torch_dtypes[i].name) == 0) {
            spec->dtype = torch_dtypes[i].type;
            return CS_OK;
        }
    return cs_fail(err, CS_E_FORMAT, "%s: torch_dtype \"%s\"; expected float32, bfloat16, float16 or float64", name, text);
}

static cs_status read_row(cs_spec *spec, const json_t *config, const cs_config_row *row, const char *name, cs_error *err)
{
    void *field = (char *)spec + row->offset;
    switch (row->kind) {
    case CS_CONFIG_INT: return cs_json_get_int(config, row->key, name, field, err);
    case CS_CONFIG_REAL: return cs_json_get_real(config, row->key, name, field, err);
    case CS_CONFIG_BOOL: return cs_json_get_bool(config, row->key, name, field, err);
    default: return read_token(config, row->key, name, field, err);
    }
}

static cs_status read_rows(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    const cs_family *f = spec->family;
    for (size_t t = 0; t < 3 && f->rows[t]; t++)
        for (const cs_config_row *row = f->rows[t]; row->kind != CS_CONFIG_END; row++)
            CS_TRY(read_row(spec, config, row, name, err));
    for (size_t t = 0; t < 3 && f->rows[t]; t++)
        for (const cs_config_row *row = f->rows[t]; row->kind != CS_CONFIG_END; row++)
            if ((row->flags & CS_CONFIG_REQUIRED) && *(int64_t *)(void *)((char *)spec + row->offset) == 0)
                return cs_fail(err, CS_E_FORMAT, "%s: \"%s\" is missing or 0; a %s config needs it", name, row->key, f->name);
    return CS_OK;
}

/* Is v what the JSON text (NULL = nothing) says? Numbers compare by value. */
static cs_status says(const json_t *v, const char *text, bool *same, cs_error *err)
{
    if (!text)
        return CS_OK;
    json_t *want = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!want)
        return cs_fail_nomem(err, 64, "a value of a config");
    *same |= json_is_number(v) && json_is_number(want) ? json_number_value(v) == json_number_value(want) : json_equal(v, want);
    json_decref(want);
    return CS_OK;
}

static cs_status read_fixed(const cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    for (const cs_config_fixed *f = spec->family->fixed; f && f->key; f++) {
        const json_t *v = json_object_get(config, f->key);
        bool same = !v || json_is_null(v);
        if (!same) {
            CS_TRY(says(v, f->value, &same, err));
            CS_TRY(says(v, f->other, &same, err));
        }
        if (!same)
            return cs_fail(err, CS_E_FORMAT, "%s: \"%s\" must be %s in a %s model of this version", name, f->key, f->value, spec->family->name);
    }
    return CS_OK;
}

cs_status cs_spec_from_json(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    if (!json_is_object(config))
        return cs_fail(err, CS_E_FORMAT, "%s: expected a JSON object", name);
    CS_TRY(read_family(spec, config, name, err));
    const cs_family *family = spec->family;
    *spec = family->defaults;
    spec->family = family;
    spec->bos = spec->eos = spec->pad = -1;
    CS_TRY(read_rows(spec, config, name, err));
    CS_TRY(read_fixed(spec, config, name, err));
    CS_TRY(read_dtype(spec, config, name, err));
    if (family->read)
        CS_TRY(family->read(spec, config, name, err));
    if (spec->pos == CS_POS_ROPE)
        CS_TRY(read_rope(spec, config, name, err));
    if (spec->n_kv_heads == 0)
        spec->n_kv_heads = spec->n_heads;
    if (spec->head_dim == 0 && spec->n_heads > 0)
        spec->head_dim = spec->hidden / spec->n_heads;
    return cs_spec_check(spec, name, err);
}

static void need(bool ok, const char *name, const char *what, int64_t got, cs_error *err, cs_status *status)
{
    if (!ok)
        *status = cs_fail_also(err, CS_E_FORMAT, "%s: %s (got %lld)", name, what, (long long)got);
}

cs_status cs_spec_check(const cs_spec *s, const char *name, cs_error *err)
{
    cs_status status = CS_OK;
    cs_error found = {0};
    need(s->vocab_size > 0 && s->vocab_size <= CS_LIMIT_DIM, name, "vocab_size must be from 1 to 2^24", s->vocab_size, &found, &status);
    need(s->hidden > 0 && s->hidden <= CS_LIMIT_DIM, name, "hidden_size must be from 1 to 2^24", s->hidden, &found, &status);
    need(s->ffn > 0 && s->ffn <= CS_LIMIT_DIM, name, "intermediate_size must be from 1 to 2^24", s->ffn, &found, &status);
    need(s->n_layers > 0 && s->n_layers <= CS_LIMIT_LAYERS, name, "num_hidden_layers must be from 1 to 4096", s->n_layers, &found, &status);
    need(s->n_heads > 0 && s->n_heads <= CS_LIMIT_HEADS, name, "num_attention_heads must be from 1 to 65536", s->n_heads, &found, &status);
    need(s->n_kv_heads > 0 && s->n_kv_heads <= s->n_heads && s->n_heads % s->n_kv_heads == 0, name,
         "num_key_value_heads must divide num_attention_heads", s->n_kv_heads, &found, &status);
    need(s->head_dim > 0 && s->head_dim <= CS_LIMIT_HEAD_DIM && (s->pos != CS_POS_ROPE || s->head_dim % 2 == 0), name,
         "head_dim must be from 1 to 256, and even where positions rotate", s->head_dim, &found, &status);
    need(s->family->qkv == CS_QKV_SEPARATE || s->head_dim * s->n_heads == s->hidden, name, "head_dim times num_attention_heads must be hidden_size",
         s->head_dim, &found, &status);
    need(s->window >= 0 && s->window_from >= 0, name, "sliding_window must be positive", s->window, &found, &status);
    need(s->max_pos > 0 && s->max_pos <= CS_LIMIT_POSITIONS, name, "max_position_embeddings must be from 1 to 2^26", s->max_pos, &found, &status);
    if (!(s->norm_eps >= 0 && s->norm_eps < 1) || !(s->init_std >= 0 && s->init_std < 100))
        status = cs_fail_also(&found, CS_E_FORMAT, "%s: norm epsilon %g or initializer_range %g is out of range", name, s->norm_eps, s->init_std);
    if (s->pos == CS_POS_ROPE && (!(s->rope_theta > 1) || !isfinite(s->rope_theta)))
        status = cs_fail_also(&found, CS_E_FORMAT, "%s: rope_theta %g is out of range", name, s->rope_theta);
    if (status != CS_OK && err)
        *err = found;
    return status;
}

static json_t *token_value(int64_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static json_t *row_value(const cs_spec *s, const cs_config_row *row)
{
    const void *field = (const char *)s + row->offset;
    switch (row->kind) {
    case CS_CONFIG_INT: return json_integer(*(const int64_t *)field);
    case CS_CONFIG_REAL: return json_real(*(const double *)field);
    case CS_CONFIG_BOOL: return json_boolean(*(const bool *)field);
    default: return token_value(*(const int64_t *)field);
    }
}

static bool put(json_t *o, const char *key, json_t *value)
{
    return json_object_set_new(o, key, value) == 0;
}

static bool write_rope(const cs_spec *s, json_t *o)
{
    const cs_rope_scaling *r = &s->rope_scaling;
    json_t *scaling = json_null();
    if (r->rule == CS_ROPE_LINEAR)
        scaling = json_pack("{s:s, s:s, s:f}", "type", "linear", "rope_type", "linear", "factor", r->factor);
    else if (r->rule == CS_ROPE_LLAMA3)
        scaling = json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor", r->factor, "low_freq_factor", r->low_freq_factor,
                            "high_freq_factor", r->high_freq_factor, "original_max_position_embeddings", (json_int_t)r->original_max_pos);
    return put(o, "rope_theta", json_real(s->rope_theta)) && put(o, "rope_scaling", scaling);
}

static bool write_config(const cs_spec *s, json_t *o)
{
    const cs_family *f = s->family;
    const char *dtype = "float32";
    for (size_t i = 0; i < sizeof torch_dtypes / sizeof *torch_dtypes; i++)
        if (torch_dtypes[i].type == s->dtype)
            dtype = torch_dtypes[i].name;
    bool ok = put(o, "architectures", json_pack("[s]", f->architectures[0])) && put(o, "model_type", json_string(f->name));
    for (size_t t = 0; t < 3 && f->rows[t]; t++)
        for (const cs_config_row *row = f->rows[t]; row->kind != CS_CONFIG_END; row++)
            if (row->flags & CS_CONFIG_WRITE)
                ok = ok && put(o, row->key, row_value(s, row));
    for (const cs_config_fixed *fixed = f->fixed; fixed && fixed->key; fixed++)
        ok = ok && put(o, fixed->key, json_loads(fixed->value, JSON_DECODE_ANY, NULL));
    if (s->pos == CS_POS_ROPE)
        ok = ok && write_rope(s, o);
    if (f->write)
        ok = ok && f->write(s, o);
    return ok && put(o, "use_cache", json_true()) && put(o, "torch_dtype", json_string(dtype));
}

cs_status cs_spec_to_json(const cs_spec *s, cs_str *out, cs_error *err)
{
    json_t *o = json_object();
    cs_status status = o && write_config(s, o) ? cs_json_dump(o, 2, out, err) : cs_fail_nomem(err, 1024, "config.json");
    json_decref(o);
    return status;
}

cs_status cs_spec_check_label(const cs_spec *s, const char *name, cs_error *err)
{
    cs_str labels = {0};
    for (const cs_size_label *l = s->family->sizes; l && l->name; l++) {
        cs_str_printf(&labels, "%s%s", labels.len ? ", " : "", l->name);
        if (strcmp(l->name, name) != 0)
            continue;
        cs_str_release(&labels);
        if (l->n_layers == s->n_layers && l->hidden == s->hidden && l->n_heads == s->n_heads)
            return CS_OK;
        return cs_fail(err, CS_E_USAGE, "--type %s means %lld layers, hidden %lld, %lld heads in the %s family; the model has %lld, %lld and %lld",
                       name, (long long)l->n_layers, (long long)l->hidden, (long long)l->n_heads, s->family->name, (long long)s->n_layers,
                       (long long)s->hidden, (long long)s->n_heads);
    }
    cs_status status = cs_fail(err, CS_E_USAGE, "--type %s is no size of the %s family; it has %s", name, s->family->name,
                               labels.len ? cs_str_cstr(&labels) : "no names for sizes");
    cs_str_release(&labels);
    return status;
}

int64_t cs_spec_ffn_rows(const cs_spec *s)
{
    return s->family->act == CS_ACT_SWIGLU ? 2 * s->ffn : s->ffn;
}

int64_t cs_spec_n_matmul_params(const cs_spec *s)
{
    int64_t attention = s->hidden * s->head_dim * (2 * s->n_heads + 2 * s->n_kv_heads);
    return s->n_layers * (attention + s->hidden * (cs_spec_ffn_rows(s) + s->ffn)) + s->hidden * s->vocab_size;
}

int64_t cs_spec_n_params(const cs_spec *s)
{
    int64_t heads = s->head_dim * s->n_heads, kv = s->head_dim * s->n_kv_heads, norm = s->family->norm == CS_NORM_LAYER ? 2 * s->hidden : s->hidden;
    int64_t biases = (s->bias_qkv ? heads + 2 * kv : 0) + (s->bias_out ? s->hidden : 0) + (s->bias_mlp ? cs_spec_ffn_rows(s) + s->hidden : 0);
    int64_t embed = s->tied_head ? 0 : s->hidden * s->vocab_size;
    return cs_spec_n_matmul_params(s) + embed + s->n_layers * (2 * norm + biases) + norm * (1 + s->family->embed_norm);
}
