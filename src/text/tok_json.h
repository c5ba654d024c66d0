/* Shared by the readers of Hugging Face's files. */
#ifndef CS_TEXT_TOK_JSON_H
#define CS_TEXT_TOK_JSON_H

#include "text/tok.h"

/* normalizer, pre_tokenizer, post_processor and decoder of tokenizer.json; the vocabulary is complete. */
cs_status cs_tok_json_parts(cs_tokenizer *t, const json_t *root, const char *name, cs_error *err);
/* One merge rule; CS_E_FORMAT when a side or the result is no piece. */
cs_status cs_tok_add_merge(cs_tokenizer *t, cs_bytes a, cs_bytes b, size_t rank, const char *name, cs_error *err);
/* BOS, EOS and PAD by their usual names, where they are not known yet. */
void cs_tok_guess_specials(cs_tokenizer *t);
/* Byte-level pieces: one symbol per byte, and the decoder for them. */
void cs_tok_set_byte_level(cs_tokenizer *t);

#endif
