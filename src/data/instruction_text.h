/* AscendSpeed's text of an instruction: "\nSYSTEM\n", then "### Instruction:\n...\n" for each turn of the user and "### Response:\n...\n" for each of
 * the assistant. */
#ifndef CS_DATA_INSTRUCTION_TEXT_H
#define CS_DATA_INSTRUCTION_TEXT_H

#include "data/emit.h"
#include "text/normalize.h"

#define CS_INSTRUCTION_USER "### Instruction:\n"
#define CS_INSTRUCTION_ASSISTANT "### Response:\n"
#define CS_INSTRUCTION_RESPONSE "### Response:"

/* system empty: the sentence of AscendSpeed. */
void cs_instruction_begin(cs_str *s, cs_bytes system);
void cs_instruction_user(cs_str *s, cs_bytes content);
void cs_instruction_assistant(cs_str *s, cs_bytes content);
/* The text as a whole; what stands in front of the answer to its last "### Response:" is the prompt, wherever that came from. CS_E_NOMEM. */
cs_status cs_instruction_emit(const cs_str *s, cs_emit *e, cs_error *err);

#endif
