/* See instruction_text.h. */
#include "data/instruction_text.h"

#include "data/handler_text.h"

#include <string.h>

static const char default_system[] = "Below is an instruction that describes a task, paired with an input that provides further context. "
                                     "Write a response that appropriately completes the request. "
                                     "Please note that you need to think through your response logically and step by step.";

void cs_instruction_begin(cs_str *s, cs_bytes system)
{
    cs_str_putc(s, '\n');
    if (system.len > 0)
        cs_str_put(s, system);
    else
        cs_str_puts(s, default_system);
    cs_str_putc(s, '\n');
}

void cs_instruction_user(cs_str *s, cs_bytes content)
{
    cs_str_puts(s, CS_INSTRUCTION_USER);
    cs_str_put(s, content);
    cs_str_putc(s, '\n');
}

void cs_instruction_assistant(cs_str *s, cs_bytes content)
{
    cs_str_puts(s, CS_INSTRUCTION_ASSISTANT);
    cs_str_put(s, content);
    cs_str_putc(s, '\n');
}

cs_status cs_instruction_emit(const cs_str *s, cs_emit *e, cs_error *err)
{
    CS_TRY(cs_str_check(s, err));
    cs_bytes text = {cs_str_cstr(s), s->len};
    const char *last = cs_text_find_last(text, CS_INSTRUCTION_RESPONSE);
    CS_ASSERT(last);
    size_t n = (size_t)(last - text.text) + strlen(CS_INSTRUCTION_RESPONSE);
    if (n < text.len && text.text[n] == '\n')
        return cs_emit_whole(e, text.text, text.len, text.text, n + 1, err);
    cs_str prompt = {0}; /* an answer that holds "### Response:" in the middle of a line: the prompt is cut there all the same, and a newline set */
    cs_str_append(&prompt, text.text, n);
    cs_str_putc(&prompt, '\n');
    cs_status status = cs_str_check(&prompt, err);
    if (status == CS_OK)
        status = cs_emit_whole(e, text.text, text.len, prompt.data, prompt.len, err);
    cs_str_release(&prompt);
    return status;
}
