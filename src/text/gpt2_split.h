/* GPT-2's word pattern: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
#ifndef CS_TEXT_GPT2_SPLIT_H
#define CS_TEXT_GPT2_SPLIT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the word that well-formed UTF-8 text p[0..n), n >= 1, begins with. */
size_t cs_gpt2_word(const uint8_t *p, size_t n);

#endif
