/* MOSS's conversations: {"chat": {"turn_1": {"Human": "<|Human|>: ..<eoh>", "MOSS": "<|MOSS|>: ..<eom>", ..}, ..}}. */
#include "data/handler.h"
#include "data/handler_text.h"
#include "data/instruction_text.h"

#include <stdio.h>

/* What one turn says, without the marks. */
typedef struct turn {
    cs_str user_text, assistant_text; /* owned */
    cs_bytes user, assistant;         /* stripped, in them */
} turn;

static void turn_release(turn *t)
{
    cs_str_release(&t->user_text);
    cs_str_release(&t->assistant_text);
}

/* `text` without the first mark, then without the second. */
static cs_status without_marks(cs_bytes text, const char *first, const char *second, cs_str *out, cs_bytes *stripped, cs_error *err)
{
    cs_str once = {0};
    cs_str_clear(out);
    cs_text_without(&once, text, first);
    cs_text_without(out, (cs_bytes){cs_str_cstr(&once), once.len}, second);
    cs_status s = cs_str_check(&once, err);
    if (s == CS_OK)
        s = cs_str_check(out, err);
    cs_str_release(&once);
    *stripped = cs_text_strip((cs_bytes){cs_str_cstr(out), out->len});
    return s;
}

/* *out of chat[name]; *found is false for a turn that is null or empty. */
static cs_status read_turn(const cs_handler_record *r, const char *name, const json_t *value, turn *out, bool *found, cs_error *err)
{
    char at[256];
    cs_bytes user, assistant;
    snprintf(at, sizeof at, "chat.%s", name);
    *found = !json_is_null(value) && !(json_is_object(value) && json_object_size(value) == 0);
    if (!*found)
        return CS_OK;
    if (!json_is_object(value))
        return cs_record_fail(r, err, "the record has no object under \"%s\"", at);
    CS_TRY(cs_record_string(r, value, at, "Human", &user, err));
    CS_TRY(cs_record_string(r, value, at, "MOSS", &assistant, err));
    CS_TRY(without_marks(user, "<eoh>", "<|Human|>: ", &out->user_text, &out->user, err));
    return without_marks(assistant, "<|MOSS|>:", "<eom>", &out->assistant_text, &out->assistant, err);
}

static cs_status chat_of(const cs_handler_record *r, json_t **out, cs_error *err)
{
    json_t *chat = json_object_get(r->value, "chat");
    *out = chat;
    if (!json_is_object(chat))
        return cs_record_fail(r, err, chat ? "the record has no object under \"chat\"" : "the record lacks the key \"chat\"");
    return CS_OK;
}

/* One sample a turn: the conversation up to it. No EOD. */
cs_status cs_render_moss(const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    json_t *chat, *value;
    const char *name;
    turn t = {0};
    cs_str text = {0};
    CS_TRY(chat_of(r, &chat, err));
    cs_status s = CS_OK;
    cs_instruction_begin(&text, (cs_bytes){NULL, 0});
    json_object_foreach(chat, name, value) {
        bool found = false;
        s = read_turn(r, name, value, &t, &found, err);
        if (s == CS_OK && found) {
            cs_instruction_user(&text, t.user);
            cs_instruction_assistant(&text, t.assistant);
            s = cs_instruction_emit(&text, e, err);
            if (s == CS_OK)
                s = cs_emit_sample(e, err);
        }
        if (s != CS_OK)
            break;
    }
    turn_release(&t);
    cs_str_release(&text);
    return s;
}

/* Baichuan 2's form: its ids 195 and 196 in front of question and answer, one sample for the whole conversation. The label of 195 is EOS: that is
 * what ends the answer before it. */
cs_status cs_render_moss_multi_turn(const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    enum { USER_TOKEN = 195, ASSISTANT_TOKEN = 196 };
    json_t *chat, *value;
    const char *name;
    turn t = {0};
    int32_t eos = cs_tokenizer_eos(e->rules->tokenizer);
    CS_TRY(chat_of(r, &chat, err));
    cs_status s = CS_OK;
    bool any = false;
    json_object_foreach(chat, name, value) {
        bool found = false;
        s = read_turn(r, name, value, &t, &found, err);
        if (s == CS_OK && found) {
            any = true;
            cs_emit_id(e, USER_TOKEN, e->rules->train_on_prompt ? USER_TOKEN : eos);
            s = cs_emit_special_segment(e, t.user.text, t.user.len, false, err);
            cs_emit_id(e, ASSISTANT_TOKEN, CS_LABEL_IGNORED);
            if (s == CS_OK)
                s = cs_emit_special_segment(e, t.assistant.text, t.assistant.len, true, err);
        }
        if (s != CS_OK)
            break;
    }
    turn_release(&t);
    CS_TRY(s);
    if (!any)
        return CS_OK;
    cs_emit_id(e, eos, eos);
    return cs_emit_sample(e, err);
}
