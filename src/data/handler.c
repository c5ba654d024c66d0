/* The table of dataset styles and what they share. */
#include "data/handler.h"

#include <stdarg.h>
#include <stdio.h>

const cs_handler cs_handlers[CS_HANDLERS] = {
    {.name = "GeneralPretrainHandler", .output = CS_HANDLER_KEYS, .plain_text = true, .render = cs_render_general_pretrain},
    {.name = "AlpacaPretrainHandler", .output = CS_HANDLER_TEXT, .render = cs_render_alpaca_pretrain},
    {.name = "StackOverflowPythonPretrainHandler", .output = CS_HANDLER_TEXT, .render = cs_render_stackoverflow},
    {.name = "GeneralInstructionHandler", .output = CS_HANDLER_SAMPLES, .render = cs_render_general_instruction},
    {.name = "BelleMultiTurnInstructionHandler", .output = CS_HANDLER_SAMPLES, .render = cs_render_belle},
    {.name = "MOSSInstructionHandler", .output = CS_HANDLER_SAMPLES, .render = cs_render_moss},
    {.name = "MOSSMultiTurnHandler", .output = CS_HANDLER_SAMPLES, .needs_eos = true, .needs_ids = 197, .render = cs_render_moss_multi_turn},
    {.name = "LeetcodePythonInstructionHandler", .output = CS_HANDLER_SAMPLES, .render = cs_render_leetcode},
    {.name = "alpaca", .output = CS_HANDLER_SAMPLES, .columns = &cs_columns_alpaca, .render = cs_render_alpaca_style},
    {.name = "sharegpt", .output = CS_HANDLER_SAMPLES, .columns = &cs_columns_sharegpt, .render = cs_render_messages},
    {.name = "openai", .output = CS_HANDLER_SAMPLES, .columns = &cs_columns_openai, .render = cs_render_messages},
};

cs_status cs_record_fail(const cs_handler_record *r, cs_error *err, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return cs_fail(err, CS_E_FORMAT, "%s:%lld: %s%s%s", r->file, (long long)r->line, text, r->hint ? "; see --" : "", r->hint ? r->hint : "");
}

static cs_status fail_key(const cs_handler_record *r, const json_t *value, const char *at, const char *key, cs_error *err)
{
    const char *dot = at ? "." : "";
    at = at ? at : "";
    if (!value)
        return cs_record_fail(r, err, "the record lacks the key \"%.200s%s%.200s\"", at, dot, key);
    return cs_record_fail(r, err, "the record has no string under \"%.200s%s%.200s\"", at, dot, key);
}

cs_status cs_record_string(const cs_handler_record *r, const json_t *object, const char *at, const char *key, cs_bytes *out, cs_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return fail_key(r, value, at, key, err);
    *out = (cs_bytes){json_string_value(value), json_string_length(value)};
    return CS_OK;
}

cs_status cs_record_string_or_none(const cs_handler_record *r, const json_t *object, const char *at, const char *key, cs_bytes *out, cs_error *err)
{
    const json_t *value = key ? json_object_get(object, key) : NULL;
    *out = (cs_bytes){"", 0};
    return !value || json_is_null(value) ? CS_OK : cs_record_string(r, object, at, key, out, err);
}
