/* Shared by the readers of Hugging Face's files. */
#ifndef CS_TEXT_TOK_JSON_H
#define CS_TEXT_TOK_JSON_H

#include "text/tok.h"
#include "text/tok_json_at.h"

/* A part of tokenizer.json is an object with a "type", or a "Sequence" of such under some key. */
typedef struct cs_part_reader {
    cs_tokenizer *t;
    cs_json_at at;
} cs_part_reader;

typedef struct cs_part_row {
    const char *type;
    cs_status (*read)(cs_part_reader *r, const json_t *obj);
} cs_part_row;

/* Reads what is under root's `key`, every element of a Sequence (under `list`) in order. rows end with a NULL type. Missing or null: *none true. */
cs_status cs_part_read(cs_part_reader *r, const json_t *root, const char *key, const char *list, const cs_part_row *rows, bool *none);
/* A copy of a string member in the tokenizer's memory. */
cs_status cs_part_bytes(cs_part_reader *r, const json_t *obj, const char *key, cs_bytes *out);
/* "pattern": {"String": ...} or {"Regex": ...}: *literal gets the first, *re (owned by the tokenizer) the second or an empty string, which matches
 * everywhere; *text (may be NULL) the regular expression itself, text NULL for a literal. */
cs_status cs_part_pattern(cs_part_reader *r, const json_t *obj, cs_bytes *literal, const cs_regex **re, cs_bytes *text);
cs_status cs_part_regex(cs_part_reader *r, const char *key, cs_bytes pattern, const cs_regex **re);
/* "prepend_scheme" of new files, "add_prefix_space" of old ones. */
cs_status cs_part_prefix(cs_part_reader *r, const json_t *obj, cs_prefix_scheme *out);

/* The parts; vocabulary and model options are complete. */
cs_status cs_tok_json_normalizer(cs_part_reader *r, const json_t *root);
cs_status cs_tok_json_pretok(cs_part_reader *r, const json_t *root);
cs_status cs_tok_json_post(cs_part_reader *r, const json_t *root);
cs_status cs_tok_json_decoder(cs_part_reader *r, const json_t *root);

/* One merge rule; CS_E_FORMAT when a side or the result is no piece. */
cs_status cs_tok_add_merge(cs_tokenizer *t, cs_bytes a, cs_bytes b, size_t rank, const char *name, cs_error *err);
/* BOS, EOS and PAD by their usual names, where they are not known yet. */
void cs_tok_guess_specials(cs_tokenizer *t);
/* Byte-level pieces: one symbol per byte, and the decoder for them. */
void cs_tok_set_byte_level(cs_tokenizer *t);

#endif
