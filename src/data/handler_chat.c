/* Handlers of our own for the forms that LLaMA-Factory's data sets have: alpaca with history and system, sharegpt and openai with a list of turns.
 * AscendSpeed's text, but every answer is trained, followed by its EOD, and each piece is tokenized by itself, so that no token reaches
 * over the border between what is ignored and what is trained. */
#include "data/handler.h"
#include "data/handler_text.h"
#include "data/instruction_text.h"

#include <stdio.h>
#include <string.h>

/* A sample being put together: what is ignored gathers until an answer comes. */
typedef struct talk {
    cs_emit *e;
    cs_str pending;
    bool answered;
} talk;

static cs_status answer(talk *t, cs_bytes content, cs_error *err)
{
    cs_str text = {0};
    cs_str_puts(&t->pending, CS_INSTRUCTION_ASSISTANT);
    cs_str_put(&text, content);
    cs_str_putc(&text, '\n');
    cs_status s = cs_str_check(&t->pending, err);
    if (s == CS_OK)
        s = cs_str_check(&text, err);
    if (s == CS_OK)
        s = cs_emit_segment(t->e, cs_str_cstr(&t->pending), t->pending.len, false, err);
    if (s == CS_OK)
        s = cs_emit_segment(t->e, text.data, text.len, true, err);
    cs_emit_eod(t->e);
    cs_str_release(&text);
    cs_str_clear(&t->pending);
    t->answered = true;
    return s;
}

/* System text of the record, and its tools in a line behind. */
static cs_status begin(talk *t, const cs_handler_record *r, cs_bytes first_turn, cs_error *err)
{
    cs_str system = {0};
    cs_bytes said, tools;
    CS_TRY(cs_record_string_or_none(r, r->value, NULL, r->columns->system, &said, err));
    CS_TRY(cs_record_string_or_none(r, r->value, NULL, r->columns->tools, &tools, err));
    cs_str_put(&system, said.len > 0 ? said : first_turn);
    if (tools.len > 0) {
        if (system.len > 0)
            cs_str_putc(&system, '\n');
        cs_str_put(&system, tools);
    }
    cs_instruction_begin(&t->pending, (cs_bytes){cs_str_cstr(&system), system.len});
    cs_status s = cs_str_check(&system, err);
    cs_str_release(&system);
    return s;
}

static cs_status finish(talk *t, const cs_handler_record *r, cs_status s, cs_error *err)
{
    cs_str_release(&t->pending); /* turns behind the last answer teach nothing */
    CS_TRY(s);
    if (!t->answered)
        return cs_record_fail(r, err, "the record has no answer");
    return cs_emit_sample(t->e, err);
}

static cs_status history(talk *t, const cs_handler_record *r, cs_error *err)
{
    const json_t *list = r->columns->history ? json_object_get(r->value, r->columns->history) : NULL;
    if (!list || json_is_null(list))
        return CS_OK;
    for (size_t i = 0; i < json_array_size(list) || !json_is_array(list); i++) {
        const json_t *pair = json_array_get(list, i), *q = json_array_get(pair, 0), *a = json_array_get(pair, 1);
        if (!json_is_string(q) || !json_is_string(a) || json_array_size(pair) != 2)
            return cs_record_fail(r, err, "the record has no list of [question, answer] under \"%.200s\"", r->columns->history);
        cs_instruction_user(&t->pending, (cs_bytes){json_string_value(q), json_string_length(q)});
        CS_TRY(answer(t, (cs_bytes){json_string_value(a), json_string_length(a)}, err));
    }
    return CS_OK;
}

cs_status cs_render_alpaca_style(const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    talk t = {.e = e};
    const cs_columns *c = r->columns;
    cs_bytes prompt, query, response;
    CS_TRY(cs_record_string(r, r->value, NULL, c->prompt, &prompt, err));
    CS_TRY(cs_record_string_or_none(r, r->value, NULL, c->query, &query, err));
    CS_TRY(cs_record_string(r, r->value, NULL, c->response, &response, err));
    cs_status s = begin(&t, r, (cs_bytes){"", 0}, err);
    if (s == CS_OK)
        s = history(&t, r, err);
    cs_str_puts(&t.pending, CS_INSTRUCTION_USER);
    cs_str_put(&t.pending, prompt);
    if (query.len > 0)
        cs_str_putc(&t.pending, '\n');
    cs_str_put(&t.pending, query);
    cs_str_putc(&t.pending, '\n');
    if (s == CS_OK)
        s = answer(&t, response, err);
    return finish(&t, r, s, err);
}

typedef enum role { ROLE_USER, ROLE_ASSISTANT, ROLE_SYSTEM } role;

static bool is(cs_bytes b, const char *tag)
{
    return tag && b.len == strlen(tag) && memcmp(b.text, tag, b.len) == 0;
}

static cs_status role_of(const cs_handler_record *r, cs_bytes name, size_t turn, role *out, cs_error *err)
{
    const cs_columns *c = r->columns;
    if (is(name, c->user_tag) || is(name, c->observation_tag))
        *out = ROLE_USER;
    else if (is(name, c->assistant_tag) || is(name, c->function_tag))
        *out = ROLE_ASSISTANT;
    else if (is(name, c->system_tag) && turn == 0)
        *out = ROLE_SYSTEM;
    else if (is(name, c->system_tag))
        return cs_record_fail(r, err, "turn %zu of \"%.200s\" is of the system; only the first one can be", turn + 1, c->messages);
    else
        return cs_record_fail(r, err, "turn %zu of \"%.200s\" is of \"%.*s\"; known are \"%s\" and \"%s\"", turn + 1, c->messages,
                              (int)(name.len < 60 ? name.len : 60), name.text, c->user_tag, c->assistant_tag);
    return CS_OK;
}

/* A string, or a list of {"type": "text", "text": ..}, joined in *joined. */
static cs_status content_of(const cs_handler_record *r, const json_t *turn, const char *at, cs_str *joined, cs_bytes *out, cs_error *err)
{
    const json_t *value = json_object_get(turn, r->columns->content_tag);
    if (!json_is_array(value))
        return cs_record_string(r, turn, at, r->columns->content_tag, out, err);
    cs_str_clear(joined);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *part = json_array_get(value, i), *type = json_object_get(part, "type");
        cs_bytes text;
        if (!json_is_string(type) || strcmp(json_string_value(type), "text") != 0)
            return cs_record_fail(r, err, "part %zu of the content of \"%s\" is no text", i + 1, at);
        CS_TRY(cs_record_string(r, part, at, "text", &text, err));
        cs_str_put(joined, text);
    }
    *out = (cs_bytes){cs_str_cstr(joined), joined->len};
    return cs_str_check(joined, err);
}

static cs_status one_turn(talk *t, const cs_handler_record *r, const json_t *turn, size_t i, cs_str *joined, cs_error *err)
{
    char at[256];
    cs_bytes name, content;
    role who = ROLE_USER;
    snprintf(at, sizeof at, "%.200s[%zu]", r->columns->messages, i);
    if (!json_is_object(turn))
        return cs_record_fail(r, err, "the record has no object under \"%s\"", at);
    CS_TRY(cs_record_string(r, turn, at, r->columns->role_tag, &name, err));
    CS_TRY(role_of(r, name, i, &who, err));
    CS_TRY(content_of(r, turn, at, joined, &content, err));
    if (i == 0)
        CS_TRY(begin(t, r, who == ROLE_SYSTEM ? content : (cs_bytes){"", 0}, err));
    if (who == ROLE_USER)
        cs_instruction_user(&t->pending, content);
    return who == ROLE_ASSISTANT ? answer(t, content, err) : CS_OK;
}

cs_status cs_render_messages(const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    talk t = {.e = e};
    cs_str joined = {0};
    const json_t *turns = json_object_get(r->value, r->columns->messages);
    if (!json_is_array(turns))
        return cs_record_fail(r, err, turns ? "the record has no list under \"%.200s\"" : "the record lacks the key \"%.200s\"",
                              r->columns->messages);
    cs_status s = CS_OK;
    for (size_t i = 0; i < json_array_size(turns) && s == CS_OK; i++)
        s = one_turn(&t, r, json_array_get(turns, i), i, &joined, err);
    cs_str_release(&joined);
    return finish(&t, r, s, err);
}
