/* GPT-2's alphabet: every byte shown as one printable code point. */
#ifndef CS_TEXT_BYTE_LEVEL_H
#define CS_TEXT_BYTE_LEVEL_H

#include "text/mapped.h"

/* The byte that a code point stands for, -1 = none. */
int cs_byte_level_value(uint32_t cp);
/* Appends the text with each byte made its code point. */
void cs_byte_level_put(cs_view text, cs_mapped *out);
/* The bytes of a text in the alphabet appended to *out; false (and nothing appended) when it holds anything else. */
bool cs_byte_level_bytes(const char *text, size_t len, cs_str *out);

#endif
