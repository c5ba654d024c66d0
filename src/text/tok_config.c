/* Reading and checking the JSON files beside a tokenizer. */
#include "text/tok_config.h"

#include "fmt/json.h"

#include <stdlib.h>
#include <string.h>

static const char *kind_of(const json_t *v)
{
    static const char *const names[] = {"an object", "an array", "a string", "an integer", "a number", "true", "false", "null"};
    return names[json_typeof(v)];
}

static cs_status wrong(const char *file, const char *key, const char *want, const json_t *found, cs_error *err)
{
    return cs_fail(err, CS_E_FORMAT, "%s: \"%s\": expected %s, found %s", file, key, want, kind_of(found));
}

/* NUL inside would cut the text short: refused. */
static bool whole_text(const json_t *v)
{
    return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v);
}

static bool is_given(const json_t *v)
{
    return v && !json_is_null(v);
}

static cs_status read_flag(const json_t *obj, const char *key, const char *file, int *out, cs_error *err)
{
    const json_t *v = json_object_get(obj, key);
    *out = -1;
    if (!is_given(v))
        return CS_OK;
    if (!json_is_boolean(v))
        return wrong(file, key, "true, false or null", v, err);
    *out = json_is_true(v);
    return CS_OK;
}

static cs_status object_flag(const json_t *obj, const char *flag, const char *file, const char *key, bool *out, cs_error *err)
{
    const json_t *v = json_object_get(obj, flag);
    if (!is_given(v))
        return CS_OK;
    if (!json_is_boolean(v))
        return cs_fail(err, CS_E_FORMAT, "%s: \"%s\": \"%s\": expected true or false, found %s", file, key, flag, kind_of(v));
    *out = json_is_true(v);
    return CS_OK;
}

/* "text" or {"content": "text", "lstrip": ...}. t->content = NULL for null and for the empty text. */
static cs_status read_token(const json_t *v, const char *file, const char *key, cs_config_token *t, cs_error *err)
{
    const json_t *content = json_is_object(v) ? json_object_get(v, "content") : v;
    bool single_word = false;
    *t = (cs_config_token){.id = -1, .file = file, .key = key};
    if (!is_given(v))
        return CS_OK;
    if (!whole_text(content))
        return wrong(file, key, "a text or an object with a text \"content\"", v, err);
    if (json_is_object(v)) {
        CS_TRY(object_flag(v, "special", file, key, &t->special, err));
        CS_TRY(object_flag(v, "lstrip", file, key, &t->lstrip, err));
        CS_TRY(object_flag(v, "rstrip", file, key, &t->rstrip, err));
        CS_TRY(object_flag(v, "single_word", file, key, &single_word, err));
        t->normalized = !t->special;
        CS_TRY(object_flag(v, "normalized", file, key, &t->normalized, err));
        if (single_word)
            return cs_fail(err, CS_E_FORMAT, "%s: \"%s\": \"single_word\": true is not supported", file, key);
    }
    t->content = json_string_length(content) > 0 ? json_string_value(content) : NULL;
    return CS_OK;
}

/* The value of a named token and the file it is from; NULL = nowhere. */
static const json_t *named(const cs_tok_config *c, const char *key, const char **file)
{
    const json_t *here = json_object_get(c->config, key), *there = json_object_get(c->map, key);
    bool map_first = is_given(there) && !(json_object_get(c->config, "added_tokens_decoder") && is_given(here));
    *file = map_first ? c->map_name : c->config_name;
    return map_first ? there : here;
}

static void push(cs_tok_config *c, cs_config_token t)
{
    if (t.content)
        c->token[c->n_tokens++] = t;
}

static int by_id(const void *a, const void *b)
{
    const cs_config_token *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* {"32000": {"content": ...}} */
static cs_status read_decoder(cs_tok_config *c, const json_t *decoder, cs_error *err)
{
    const char *key;
    json_t *row;
    json_object_foreach((json_t *)decoder, key, row) {
        cs_config_token t;
        char *end;
        long long id = strtoll(key, &end, 10);
        if (*key < '0' || *key > '9' || *end != '\0' || id > INT32_MAX - 1)
            return cs_fail(err, CS_E_FORMAT, "%s: \"added_tokens_decoder\": expected ids as keys, found \"%.60s\"", c->config_name, key);
        if (!json_is_object(row))
            return cs_fail(err, CS_E_FORMAT, "%s: \"added_tokens_decoder\": \"%s\": expected an object, found %s", c->config_name, key, kind_of(row));
        CS_TRY(read_token(row, c->config_name, "added_tokens_decoder", &t, err));
        if (!t.content)
            return cs_fail(err, CS_E_FORMAT, "%s: \"added_tokens_decoder\": \"%s\": expected a \"content\" that is not empty", c->config_name, key);
        t.id = id;
        push(c, t);
    }
    qsort(c->token, c->n_tokens, sizeof *c->token, by_id);
    for (size_t i = 1; i < c->n_tokens; i++)
        if (c->token[i].id == c->token[i - 1].id)
            return cs_fail(err, CS_E_FORMAT, "%s: \"added_tokens_decoder\": id %lld occurs twice", c->config_name, (long long)c->token[i].id);
    return CS_OK;
}

/* {"<user>": 32000} */
static cs_status read_added(cs_tok_config *c, cs_error *err)
{
    const char *key;
    json_t *v;
    size_t first = c->n_tokens;
    json_object_foreach(c->added, key, v) {
        int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= INT32_MAX)
            return cs_fail(err, CS_E_FORMAT, "%s: \"%.60s\": expected an id, found %s", c->added_name, key, id < 0 ? kind_of(v) : "a larger integer");
        push(c, (cs_config_token){.content = *key ? key : NULL, .id = id, .normalized = true, .only_id = true, .file = c->added_name, .key = key});
    }
    qsort(c->token + first, c->n_tokens - first, sizeof *c->token, by_id);
    for (size_t i = first + 1; i < c->n_tokens; i++)
        if (c->token[i].id == c->token[i - 1].id)
            return cs_fail(err, CS_E_FORMAT, "%s: \"%.60s\" and \"%.60s\" have the same id %lld", c->added_name, c->token[i - 1].content,
                           c->token[i].content, (long long)c->token[i].id);
    return CS_OK;
}

static const char *const list_keys[] = {"additional_special_tokens", "extra_special_tokens"};
enum { N_LISTS = 2, N_NAMED = 7 };

static size_t most_tokens(const cs_tok_config *c)
{
    size_t n = json_object_size(json_object_get(c->config, "added_tokens_decoder")) + json_object_size(c->added) + N_NAMED;
    for (size_t k = 0; k < N_LISTS; k++) {
        const char *file;
        const json_t *v = named(c, list_keys[k], &file);
        n += json_array_size(v) + json_object_size(v);
    }
    return n;
}

/* A list of tokens, or an object name -> token. */
static cs_status read_list(cs_tok_config *c, const char *key, cs_error *err)
{
    const char *file, *name;
    const json_t *list = named(c, key, &file);
    json_t *v;
    size_t i;
    cs_config_token t;
    if (!is_given(list))
        return CS_OK;
    if (!json_is_array(list) && !json_is_object(list))
        return wrong(file, key, "a list of tokens", list, err);
    json_array_foreach(list, i, v) {
        CS_TRY(read_token(v, file, key, &t, err));
        t.special = true;
        push(c, t);
    }
    json_object_foreach((json_t *)list, name, v) {
        CS_TRY(read_token(v, file, key, &t, err));
        t.special = true;
        push(c, t);
    }
    return CS_OK;
}

static cs_status read_named(cs_tok_config *c, cs_error *err)
{
    static const char *const keys[N_NAMED] = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
    const char **const slots[N_NAMED] = {&c->bos, &c->eos, &c->unk, NULL, &c->pad, NULL, NULL};
    for (size_t i = 0; i < N_NAMED; i++) {
        const char *file;
        const json_t *v = named(c, keys[i], &file);
        cs_config_token t;
        CS_TRY(read_token(v, file, keys[i], &t, err));
        t.special = true;
        if (!json_is_object(v))
            t.normalized = false;
        push(c, t);
        if (slots[i])
            *slots[i] = t.content;
    }
    return CS_OK;
}

/* chat_template: a text, or a list of {"name": ..., "template": ...}. */
static cs_status check_template(const cs_tok_config *c, cs_error *err)
{
    const json_t *v = json_object_get(c->config, "chat_template");
    json_t *row;
    size_t i;
    if (!is_given(v) || json_is_string(v))
        return CS_OK;
    if (!json_is_array(v))
        return wrong(c->config_name, "chat_template", "a text or a list of objects", v, err);
    json_array_foreach(v, i, row)
        if (!json_is_string(json_object_get(row, "name")) || !json_is_string(json_object_get(row, "template")))
            return cs_fail(err, CS_E_FORMAT, "%s: \"chat_template\": item %zu: expected an object with the texts \"name\" and \"template\", found %s",
                           c->config_name, i, kind_of(row));
    return CS_OK;
}

cs_status cs_tok_config_read(cs_tok_config *c, cs_error *err)
{
    const json_t *decoder = json_object_get(c->config, "added_tokens_decoder"), *v;
    size_t most = most_tokens(c);
    if (is_given(decoder) && !json_is_object(decoder))
        return wrong(c->config_name, "added_tokens_decoder", "an object", decoder, err);
    CS_TRY(read_flag(c->config, "add_bos_token", c->config_name, &c->add_bos, err));
    CS_TRY(read_flag(c->config, "add_eos_token", c->config_name, &c->add_eos, err));
    CS_TRY(read_flag(c->config, "legacy", c->config_name, &c->legacy, err));
    CS_TRY(read_flag(c->config, "add_prefix_space", c->config_name, &c->add_prefix_space, err));
    v = json_object_get(c->config, "tokenizer_class");
    if (is_given(v) && !whole_text(v))
        return wrong(c->config_name, "tokenizer_class", "a text", v, err);
    c->class_name = json_string_value(v);
    v = json_object_get(c->config, "model_max_length");
    if (is_given(v) && !json_is_number(v))
        return wrong(c->config_name, "model_max_length", "a number", v, err);
    CS_TRY(check_template(c, err));
    c->token = cs_calloc(most, sizeof *c->token);
    if (!c->token)
        return cs_fail_nomem(err, most * sizeof *c->token, "added tokens");
    if (is_given(decoder))
        CS_TRY(read_decoder(c, decoder, err));
    else
        CS_TRY(read_added(c, err));
    CS_TRY(read_named(c, err));
    for (size_t k = 0; k < N_LISTS; k++)
        CS_TRY(read_list(c, list_keys[k], err));
    return CS_OK;
}

void cs_tok_config_release(cs_tok_config *c)
{
    json_decref(c->config);
    json_decref(c->map);
    json_decref(c->added);
    cs_free(c->token);
    *c = (cs_tok_config){0};
}
