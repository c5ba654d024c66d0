/* Classes of code points as tokenizer.json means them. libutf8proc has most of it (Unicode 15); the parts of Hugging Face's tokenizers each have
 * tables of their own age, and unidata_tables.h holds the differences. */
#ifndef CS_TEXT_UNIDATA_H
#define CS_TEXT_UNIDATA_H

#include "base/str.h"

#include <utf8proc.h>

/* General category by Unicode 16; of newer marks only that they are marks (MN). */
utf8proc_category_t cs_uni_category(uint32_t c);

typedef enum cs_uni_class { CS_UNI_OTHER, CS_UNI_SPACE, CS_UNI_LETTER, CS_UNI_NUMBER, CS_UNI_MARK } cs_uni_class;
/* What the patterns of splits ask for: \s, \p{L}, \p{N}, \p{M}. */
cs_uni_class cs_uni_class_of(uint32_t c);

bool cs_uni_is_space(uint32_t c);       /* White_Space */
bool cs_uni_is_word(uint32_t c);        /* \w of Rust's regex: letters, marks, decimal digits, connectors, joiners */
bool cs_uni_is_numeric(uint32_t c);     /* Digits */
bool cs_uni_is_punctuation(uint32_t c); /* Punctuation */
bool cs_uni_is_mark(uint32_t c);        /* StripAccents */
/* Lower case into out[2]; number of code points. */
size_t cs_uni_lower(uint32_t c, uint32_t out[2]);

enum { CS_UNI_MAX_DECOMPOSED = 32 };
/* Combining class, full decomposition (with compatibility mappings when `compat`) into out, returns its length; composition of a pair or 0:
 * by the tables of the normalisation forms of tokenizers (Unicode 9). */
uint8_t cs_uni_combining(uint32_t c);
size_t cs_uni_decompose(uint32_t c, bool compat, uint32_t out[CS_UNI_MAX_DECOMPOSED]);
uint32_t cs_uni_compose(uint32_t a, uint32_t b);

/* Appends to *out what a PCRE2 (Unicode 14) character class lacks of a category, "L", "Lu", ..., or of "Han". */
void cs_uni_put_newer(const char *name, cs_str *out);

#endif
