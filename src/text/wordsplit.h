/* Word patterns of well-known tokenizers by hand: linear in the text, without backtracking. */
#ifndef CS_TEXT_WORDSPLIT_H
#define CS_TEXT_WORDSPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the next part of well-formed UTF-8 text p[0..n), n >= 1: a match of the pattern, or (*match false) all that is before the next one. */
typedef size_t cs_split_fn(const uint8_t *p, size_t n, bool *match);

/* GPT-2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ ; everything is part of some match. */
size_t cs_split_gpt2(const uint8_t *p, size_t n, bool *match);
/* \w+|[^\w\s]+ as Rust's regex has it. */
size_t cs_split_words(const uint8_t *p, size_t n, bool *match);
/* The scanner that does what a regular expression of tokenizer.json says; NULL when the pattern is not one of those. */
cs_split_fn *cs_split_find(const char *pattern, size_t len);

#endif
