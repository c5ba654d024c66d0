/* AscendSpeed's handlers for instructions that make one sample a record: Alpaca's form, BELLE's with several turns in one text, LeetCode's. */
#include "data/handler.h"
#include "data/handler_text.h"
#include "data/instruction_text.h"

/* The text as one sample, EOD behind it. */
static cs_status emit_sample(cs_str *text, cs_emit *e, cs_error *err)
{
    cs_status s = cs_instruction_emit(text, e, err);
    cs_str_release(text);
    CS_TRY(s);
    cs_emit_eod(e);
    return cs_emit_sample(e, err);
}

/* The user's content with the newline in front of the input, also when that is empty. */
cs_status cs_render_general_instruction(const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    cs_str text = {0};
    cs_bytes instruction, input, output;
    CS_TRY(cs_record_string(r, r->value, NULL, "instruction", &instruction, err));
    CS_TRY(cs_record_string_or_none(r, r->value, NULL, "input", &input, err));
    CS_TRY(cs_record_string(r, r->value, NULL, "output", &output, err));
    cs_instruction_begin(&text, (cs_bytes){NULL, 0});
    cs_str_puts(&text, CS_INSTRUCTION_USER);
    cs_str_put(&text, instruction);
    cs_str_putc(&text, '\n');
    cs_str_put(&text, input);
    cs_str_putc(&text, '\n');
    cs_instruction_assistant(&text, output);
    return emit_sample(&text, e, err);
}

/* A part between two "Human:" is a question and the answer behind its first "Assistant:"; a part without that is an answer. The last answer is
 * replaced by the output. */
cs_status cs_render_belle(const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    cs_bytes rest, output;
    CS_TRY(cs_record_string(r, r->value, NULL, "instruction", &rest, err));
    CS_TRY(cs_record_string(r, r->value, NULL, "output", &output, err));
    const char *last = cs_text_find_last(rest, "Human:");
    if (!last)
        return cs_record_fail(r, err, "the record has no \"Human:\" under \"instruction\"");
    if (!cs_text_find((cs_bytes){last, rest.len - (size_t)(last - rest.text)}, "Assistant:"))
        return cs_record_fail(r, err, "the record has no \"Assistant:\" behind the last \"Human:\" under \"instruction\"");
    cs_str text = {0};
    cs_instruction_begin(&text, (cs_bytes){NULL, 0});
    while (rest.text) {
        cs_bytes part = cs_text_next_part(&rest, "Human:");
        if (part.len == 0)
            continue;
        cs_bytes first = cs_text_next_part(&part, "Assistant:");
        if (part.text) {
            cs_instruction_user(&text, cs_text_strip(first));
            first = cs_text_next_part(&part, "Assistant:");
        }
        cs_instruction_assistant(&text, cs_text_strip(rest.text ? first : output));
    }
    return emit_sample(&text, e, err);
}

/* What stands in front of the code in the problem is the question; code and explanation are the answer. */
cs_status cs_render_leetcode(const cs_handler_record *r, cs_emit *e, cs_error *err)
{
    cs_str text = {0};
    cs_bytes problem, code, explanation;
    CS_TRY(cs_record_string(r, r->value, NULL, "code_with_problem", &problem, err));
    CS_TRY(cs_record_string(r, r->value, NULL, "code_only", &code, err));
    CS_TRY(cs_record_string(r, r->value, NULL, "explanation_only", &explanation, err));
    cs_instruction_begin(&text, (cs_bytes){NULL, 0});
    cs_instruction_user(&text, cs_text_strip(cs_text_next_part(&problem, "```")));
    cs_str_puts(&text, CS_INSTRUCTION_ASSISTANT);
    cs_str_put(&text, code);
    cs_str_putc(&text, '\n');
    cs_str_put(&text, explanation);
    cs_str_putc(&text, '\n');
    return emit_sample(&text, e, err);
}
