/* Text <-> token ids. One engine per algorithm, loaded from any of the files its users have:
 * tokenizer.model (SentencePiece), tokenizer.json, llama2.c tokenizer .bin, the vocabulary in a .gguf; a directory is searched in that order
 * of preference: tokenizer.json, tokenizer.model, vocab.json with merges.txt, the one *.bin that is a llama2.c tokenizer, the one *.gguf
 * with a vocabulary, merges.txt alone (BLOOM's); tokenizer_config.json, special_tokens_map.json and added_tokens.json beside it refine all
 * but the ones of llama2.c and GGUF. */
#ifndef CS_TEXT_TOKENIZER_H
#define CS_TEXT_TOKENIZER_H

#include "base/error.h"
#include "base/str.h"

typedef struct cs_tokenizer cs_tokenizer;

/* `path`: a file or a directory. CS_E_IO, CS_E_FORMAT (file, offset or line, what was expected), CS_E_NOMEM. */
cs_status cs_tokenizer_create(const char *path, cs_tokenizer **out, cs_error *err);
/* Whether the folder has a file that cs_tokenizer_create would take. CS_E_IO, CS_E_NOMEM. */
cs_status cs_tokenizer_present(const char *dir, bool *present, cs_error *err);
void cs_tokenizer_destroy(cs_tokenizer *tok);

/* What it was read from: "SentencePiece BPE", "tokenizer.json", "GGUF vocabulary", ... Borrowed constant. */
const char *cs_tokenizer_source(const cs_tokenizer *tok);
int32_t cs_tokenizer_vocab_size(const cs_tokenizer *tok); /* highest id + 1, added tokens included */
/* -1 when the tokenizer has none. */
int32_t cs_tokenizer_bos(const cs_tokenizer *tok);
int32_t cs_tokenizer_eos(const cs_tokenizer *tok);
int32_t cs_tokenizer_unk(const cs_tokenizer *tok);
int32_t cs_tokenizer_pad(const cs_tokenizer *tok);
/* Jinja text of its chat template, from a GGUF file or tokenizer_config.json; NULL = none. Borrowed. */
const char *cs_tokenizer_chat_template(const cs_tokenizer *tok);
/* Was it read from a GGUF file, which no other program takes for the tokenizer of a folder? */
bool cs_tokenizer_is_gguf(const cs_tokenizer *tok);
/* Files that make up this tokenizer (to carry over into a checkpoint): number and i-th path, borrowed. */
size_t cs_tokenizer_n_files(const cs_tokenizer *tok);
const char *cs_tokenizer_file(const cs_tokenizer *tok, size_t i);
/* Hash of those files' content (xxh3-64), for the manifest. */
uint64_t cs_tokenizer_hash(const cs_tokenizer *tok);

enum {
    CS_TOK_SPECIAL = 1,       /* add BOS/EOS as the tokenizer's own `encode` does */
    CS_TOK_PARSE_SPECIAL = 2, /* text of special tokens inside the input becomes their ids (as HF does by default) */
    CS_TOK_FRONT = 4,         /* add only what CS_TOK_SPECIAL puts in front */
};
/* Appends the ids of text[0..len) to *out. Any bytes are accepted (invalid UTF-8 by byte fallback or U+FFFD as the original library does).
 * Thread-safe on a const tokenizer. CS_E_NOMEM only. */
cs_status cs_tokenizer_encode(const cs_tokenizer *tok, const char *text, size_t len, int flags, cs_ids *out, cs_error *err);
/* The same, and appends to *ranges (NULL = not wanted) two numbers for each id: bytes [begin, end) of text that it stands for, as the original
 * libraries report them: Encoding.offsets for tokenizer.json (trimmed where the file says so; what normalising put in stands for what it is in
 * front of or replaces), begin and end of SentencePiece's pieces for tokenizer.model (of a code point in bytes the last one has the whole). Ids that
 * are not of the text have [0, 0). Ranges may be empty, overlap, and leave out what the tokenizer drops. Text of less than 2^31 bytes. */
cs_status cs_tokenizer_encode_ranges(const cs_tokenizer *tok, const char *text, size_t len, int flags, cs_ids *out, cs_ids *ranges, cs_error *err);
/* Appends the text of ids[0..n): special tokens left out unless `keep_special`; ids out of range: CS_E_FORMAT naming the position. */
cs_status cs_tokenizer_decode(const cs_tokenizer *tok, const int32_t *ids, size_t n, bool keep_special, cs_str *out, cs_error *err);
/* The raw piece of one id as the vocabulary holds it ("▁the", "<0x0A>"); "" out of range. Borrowed; *len in bytes. */
const char *cs_tokenizer_piece(const cs_tokenizer *tok, int32_t id, size_t *len);
bool cs_tokenizer_is_special(const cs_tokenizer *tok, int32_t id);

/* Streaming decode: the concatenation of what push and finish append equals cs_tokenizer_decode of the whole; what depends on pieces to come is
 * held back: bytes that do not end on a code point, for tokenizer.json whatever its decoders need to see (a run of byte pieces is good or bad as a
 * whole, a decoder behind Fuse may need everything). Zero-initialise. Finish or release it, then it can be used again. */
typedef struct cs_detok {
    struct cs_dec_stream *stream; /* of a tokenizer.json's decoders */
    uint8_t pending[8];
    uint8_t n_pending;
    bool lossy;   /* pending bytes: one U+FFFD per damaged part, not per byte */
    bool started; /* something was written: the leading space rule has been applied */
    bool keep_special; /* for the caller to set: special tokens become text too */
} cs_detok;
cs_status cs_detok_push(cs_detok *d, const cs_tokenizer *tok, int32_t id, cs_str *out, cs_error *err);
/* Releases what is still held back (as U+FFFD when it is no whole code point). Out of memory sets out->failed. */
void cs_detok_finish(cs_detok *d, cs_str *out);
/* Gives a stream up that is not finished. */
void cs_detok_release(cs_detok *d);

#endif
