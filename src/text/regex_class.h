/* Character classes of Oniguruma's syntax: nested, intersected, with negated members, which PCRE2 does not have. */
#ifndef CS_TEXT_REGEX_CLASS_H
#define CS_TEXT_REGEX_CLASS_H

#include "base/str.h"

/* The pattern and the place in it. */
typedef struct cs_regex_in {
    const char *p;
    size_t n, i;
    cs_error *why;
} cs_regex_in;

/* `in` stands behind '['. Appends an expression for one code point of the class; `in` then stands behind ']'. */
cs_status cs_regex_put_class(cs_regex_in *in, cs_str *out);
/* One of the letters d D w W s S h H, or p P with {name} behind it (`in` stands behind the letter): an expression for one code point. */
cs_status cs_regex_put_escape_class(cs_regex_in *in, char letter, cs_str *out);
bool cs_regex_is_class_letter(char c);
/* The code point of an escape like \x41, \u00e9, \n, \. where `in` stands behind the backslash. */
cs_status cs_regex_escape_cp(cs_regex_in *in, uint32_t *cp);

#endif
