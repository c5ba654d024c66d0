/* Handlers for pretraining: a record is one document a key. */
#include "data/handler.h"
#include "data/handler_text.h"

cs_status cs_render_general_pretrain(const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    cs_bytes text = r->text;
    if (!r->value)
        return cs_emit_text(e, 0, text.text, text.len, err);
    for (size_t k = 0; k < r->keys->n; k++) {
        CS_TRY(cs_record_string(r, r->value, NULL, r->keys->items[k], &text, err));
        CS_TRY(cs_emit_text(e, k, text.text, text.len, err));
    }
    return CS_OK;
}

static cs_status emit_built(cs_emit *e, cs_str *text, cs_error *err)
{
    cs_status s = cs_str_check(text, err);
    if (s == CS_OK)
        s = cs_emit_text(e, 0, cs_str_cstr(text), text->len, err);
    cs_str_release(text);
    return s;
}

/* Without an input the section of the input is left out, as Alpaca does. */
cs_status cs_render_alpaca_pretrain(const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    cs_str text = {0};
    cs_bytes instruction, input, output;
    CS_TRY(cs_record_string(r, r->value, NULL, "instruction", &instruction, err));
    CS_TRY(cs_record_string_or_none(r, r->value, NULL, "input", &input, err));
    CS_TRY(cs_record_string(r, r->value, NULL, "output", &output, err));
    cs_str_puts(&text, "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite "
                       "answers to the user's questions.USER: Below is an instruction that describes a task. Write a response that appropriately "
                       "completes the request.\n\n### Instruction:\n");
    cs_str_put(&text, instruction);
    if (input.len > 0) {
        cs_str_puts(&text, "\n\n### Input:\n");
        cs_str_put(&text, input);
    }
    cs_str_puts(&text, "\n\n### Response: ASSISTANT: ");
    cs_str_put(&text, output);
    return emit_built(e, &text, err);
}

cs_status cs_render_stackoverflow(const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    cs_str text = {0};
    cs_bytes title, question, answer;
    CS_TRY(cs_record_string(r, r->value, NULL, "title", &title, err));
    CS_TRY(cs_record_string(r, r->value, NULL, "question_body", &question, err));
    CS_TRY(cs_record_string(r, r->value, NULL, "answer_body", &answer, err));
    cs_str_puts(&text, "In python, ");
    cs_str_put(&text, title);
    cs_str_puts(&text, "\n### Question:\n");
    cs_str_put(&text, question);
    cs_str_puts(&text, "\n### Response:\n");
    cs_str_put(&text, answer);
    cs_str_putc(&text, '\n');
    return emit_built(e, &text, err);
}
