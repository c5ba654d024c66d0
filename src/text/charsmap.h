/* SentencePiece's precompiled character map: a double-array trie (Darts-clone's unit layout) from byte strings to replacement strings. */
#ifndef CS_TEXT_CHARSMAP_H
#define CS_TEXT_CHARSMAP_H

#include "base/error.h"

typedef struct cs_charsmap {
    const uint8_t *units; /* little-endian u32; borrowed */
    size_t n_units;       /* 0 = identity */
    const char *strings;  /* NUL-terminated ones, the last byte is NUL */
    size_t strings_bytes;
} cs_charsmap;

/* `blob` as cs_spm_parse has checked it. */
void cs_charsmap_init(cs_charsmap *m, const uint8_t *blob, size_t bytes);
/* The longest rule for a beginning of text[0..n): its length and *to (NUL-terminated), or 0. Damaged tables never lead out of bounds. */
size_t cs_charsmap_match(const cs_charsmap *m, const char *text, size_t n, const char **to);
/* May a rule begin with text[0..n)? */
bool cs_charsmap_begins(const cs_charsmap *m, const char *text, size_t n);
/* The same for the shortest rule. */
size_t cs_charsmap_shortest(const cs_charsmap *m, const char *text, size_t n, const char **to);

#endif
