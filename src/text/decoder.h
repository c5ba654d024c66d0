/* Decoders of tokenizer.json as a chain of steps that text flows through. Every step gets tokens, each in one or more parts, and passes tokens on;
 * it holds back only what it cannot decide yet, so that a stream of ids becomes a stream of text with the same bytes as the whole. */
#ifndef CS_TEXT_DECODER_H
#define CS_TEXT_DECODER_H

#include "text/regex.h"
#include "text/normalize.h"

typedef enum cs_dec_kind {
    CS_DEC_REPLACE,    /* `from` (not empty) becomes `to` */
    CS_DEC_REGEX,      /* what `re` matches becomes `to` */
    CS_DEC_BYTES,      /* ByteFallback: a run of <0xNN> becomes its UTF-8, or one U+FFFD each when it is none */
    CS_DEC_FUSE,       /* all tokens become one */
    CS_DEC_STRIP,      /* `from` (a code point) is dropped up to `start` times in front, `stop` times at the end of a token */
    CS_DEC_META,       /* `from` (a code point) becomes a blank, or nothing in the first token when `drop_first` */
    CS_DEC_BYTE_LEVEL, /* GPT-2's alphabet becomes bytes; all tokens become one, what is no UTF-8 U+FFFD */
    CS_DEC_SUFFIX,     /* `from` becomes a blank, nothing in the last token */
    CS_DEC_JOIN,       /* a blank between tokens */
} cs_dec_kind;

typedef struct cs_dec_step {
    cs_dec_kind kind;
    cs_bytes from, to;
    const cs_regex *re;
    size_t start, stop;
    bool drop_first;
} cs_dec_step;

enum { CS_MAX_DEC_STEPS = 16 };

typedef struct cs_dec_chain {
    cs_dec_step steps[CS_MAX_DEC_STEPS];
    size_t n_steps;
} cs_dec_chain;

/* A stream through a chain. */
typedef struct cs_dec_stream cs_dec_stream;
/* NULL = out of memory. The chain must outlive it. */
cs_dec_stream *cs_dec_stream_create(const cs_dec_chain *chain);
void cs_dec_stream_destroy(cs_dec_stream *s);
/* One token; text that is certain is appended to *out. CS_E_NOMEM, CS_E_FORMAT (a pattern needs too many steps). */
cs_status cs_dec_stream_push(cs_dec_stream *s, const char *token, size_t len, cs_str *out, cs_error *err);
/* The end: everything held back comes out. */
cs_status cs_dec_stream_finish(cs_dec_stream *s, cs_str *out, cs_error *err);

#endif
