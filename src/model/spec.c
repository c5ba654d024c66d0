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

static cs_status read_rope(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    const json_t *params = json_object_get(config, "rope_parameters"), *scaling = json_object_get(config, "rope_scaling");
    const json_t *where = json_is_object(params) ? params : json_is_object(scaling) ? scaling : NULL;
    const char *type = "default";
    CS_TRY(cs_json_get_real(config, "rope_theta", name, &spec->rope_theta, err));
    if (!where)
        return CS_OK;
    CS_TRY(cs_json_get_real(where, "rope_theta", name, &spec->rope_theta, err));
    CS_TRY(cs_json_get_str(where, "type", name, &type, err));
    CS_TRY(cs_json_get_str(where, "rope_type", name, &type, err));
    if (strcmp(type, "default") != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: rope scaling \"%s\" is not in this version; only plain rotary positions are", name, type);
    return CS_OK;
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

static cs_status read_sizes(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    const struct {
        const char *key;
        int64_t *field;
        bool required;
    } rows[] = {
        {"vocab_size", &spec->vocab_size, true},
        {"hidden_size", &spec->hidden, true},
        {"intermediate_size", &spec->ffn, true},
        {"num_hidden_layers", &spec->n_layers, true},
        {"num_attention_heads", &spec->n_heads, true},
        {"num_key_value_heads", &spec->n_kv_heads, false},
        {"head_dim", &spec->head_dim, false},
        {"max_position_embeddings", &spec->max_pos, false},
        {"max_sequence_length", &spec->max_pos, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CS_TRY(cs_json_get_int(config, rows[i].key, name, rows[i].field, err));
        if (rows[i].required && *rows[i].field == 0)
            return cs_fail(err, CS_E_FORMAT, "%s: \"%s\" is missing or 0; a %s config needs it", name, rows[i].key, spec->family->name);
    }
    if (spec->n_kv_heads == 0)
        spec->n_kv_heads = spec->n_heads;
    if (spec->head_dim == 0 && spec->n_heads > 0)
        spec->head_dim = spec->hidden / spec->n_heads;
    if (spec->max_pos == 0)
        spec->max_pos = 2048;
    return CS_OK;
}

cs_status cs_spec_from_json(cs_spec *spec, const json_t *config, const char *name, cs_error *err)
{
    bool attention_bias = false;
    const char *act = "silu";
    *spec = (cs_spec){.norm_eps = 1e-6, .rope_theta = 10000.0, .init_std = 0.02, .bos = -1, .eos = -1, .pad = -1};
    if (!json_is_object(config))
        return cs_fail(err, CS_E_FORMAT, "%s: expected a JSON object", name);
    CS_TRY(read_family(spec, config, name, err));
    CS_TRY(read_sizes(spec, config, name, err));
    CS_TRY(read_rope(spec, config, name, err));
    CS_TRY(read_dtype(spec, config, name, err));
    CS_TRY(cs_json_get_real(config, "rms_norm_eps", name, &spec->norm_eps, err));
    CS_TRY(cs_json_get_real(config, "initializer_range", name, &spec->init_std, err));
    CS_TRY(cs_json_get_bool(config, "attention_bias", name, &attention_bias, err));
    CS_TRY(cs_json_get_bool(config, "mlp_bias", name, &spec->bias_mlp, err));
    CS_TRY(cs_json_get_bool(config, "tie_word_embeddings", name, &spec->tied_head, err));
    spec->bias_qkv = spec->bias_out = attention_bias;
    CS_TRY(cs_json_get_str(config, "hidden_act", name, &act, err));
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: hidden_act \"%s\"; a %s model has silu", name, act, spec->family->name);
    CS_TRY(read_token(config, "bos_token_id", name, &spec->bos, err));
    CS_TRY(read_token(config, "eos_token_id", name, &spec->eos, err));
    CS_TRY(read_token(config, "pad_token_id", name, &spec->pad, err));
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
    need(s->head_dim > 0 && s->head_dim % 2 == 0 && s->head_dim <= CS_LIMIT_HEAD_DIM, name, "head_dim must be even and from 2 to 256", s->head_dim,
         &found, &status);
    need(s->max_pos > 0 && s->max_pos <= CS_LIMIT_POSITIONS, name, "max_position_embeddings must be from 1 to 2^26", s->max_pos, &found, &status);
    if (!(s->norm_eps >= 0 && s->norm_eps < 1) || !(s->rope_theta > 1) || !isfinite(s->rope_theta) || !(s->init_std >= 0 && s->init_std < 100))
        status = cs_fail_also(&found, CS_E_FORMAT, "%s: rms_norm_eps %g, rope_theta %g or initializer_range %g is out of range", name, s->norm_eps,
                              s->rope_theta, s->init_std);
    if (status != CS_OK && err)
        *err = found;
    return status;
}

static json_t *token_value(int64_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

cs_status cs_spec_to_json(const cs_spec *s, cs_str *out, cs_error *err)
{
    const char *dtype = "float32";
    for (size_t i = 0; i < sizeof torch_dtypes / sizeof *torch_dtypes; i++)
        if (torch_dtypes[i].type == s->dtype)
            dtype = torch_dtypes[i].name;
    json_t *o = json_pack("{s:[s], s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "architectures", s->family->architectures[0], "model_type",
                          s->family->name, "vocab_size", (json_int_t)s->vocab_size, "hidden_size", (json_int_t)s->hidden, "intermediate_size",
                          (json_int_t)s->ffn, "num_hidden_layers", (json_int_t)s->n_layers, "num_attention_heads", (json_int_t)s->n_heads,
                          "num_key_value_heads", (json_int_t)s->n_kv_heads, "head_dim", (json_int_t)s->head_dim, "max_position_embeddings",
                          (json_int_t)s->max_pos);
    json_t *more = json_pack("{s:s, s:f, s:f, s:f, s:n, s:b, s:b, s:b, s:i, s:b, s:o, s:o, s:o, s:s}", "hidden_act", "silu", "rms_norm_eps",
                             s->norm_eps, "rope_theta", s->rope_theta, "initializer_range", s->init_std, "rope_scaling", "attention_bias",
                             s->bias_qkv, "mlp_bias", s->bias_mlp, "tie_word_embeddings", s->tied_head, "pretraining_tp", 1, "use_cache", 1,
                             "bos_token_id", token_value(s->bos), "eos_token_id", token_value(s->eos), "pad_token_id", token_value(s->pad),
                             "torch_dtype", dtype);
    cs_status status = CS_OK;
    if (!o || !more || json_object_update(o, more) != 0)
        status = cs_fail_nomem(err, 1024, "config.json");
    if (status == CS_OK)
        status = cs_json_dump(o, 2, out, err);
    json_decref(o);
    json_decref(more);
    return status;
}

int64_t cs_spec_n_matmul_params(const cs_spec *s)
{
    int64_t attention = s->hidden * s->head_dim * (2 * s->n_heads + 2 * s->n_kv_heads);
    return s->n_layers * (attention + 3 * s->hidden * s->ffn) + s->hidden * s->vocab_size;
}

int64_t cs_spec_n_params(const cs_spec *s)
{
    int64_t heads = s->head_dim * s->n_heads, kv = s->head_dim * s->n_kv_heads;
    int64_t biases = (s->bias_qkv ? heads + 2 * kv : 0) + (s->bias_out ? s->hidden : 0) + (s->bias_mlp ? 2 * s->ffn + s->hidden : 0);
    int64_t embed = s->tied_head ? 0 : s->hidden * s->vocab_size;
    return cs_spec_n_matmul_params(s) + embed + s->n_layers * (2 * s->hidden + biases) + s->hidden;
}
