/* Inside of a tokenizer: what the loaders fill and the engine reads. Everything lives in `mem`; nothing changes after loading. */
#ifndef CS_TEXT_TOK_H
#define CS_TEXT_TOK_H

#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normalize.h"
#include "text/pretok.h"
#include "text/tok_work.h"
#include "text/tokenizer.h"
#include "text/unigram.h"
#include "text/vocab.h"

#include <jansson.h>

/* A token that is found in the text itself, before the model sees it. */
typedef struct cs_added {
    int32_t id;
    cs_bytes content;
    bool special, lstrip, rstrip, normalized, single_word;
} cs_added;

enum { CS_MAX_EXTRA_IDS = 8, CS_MAX_TOK_FILES = 8, CS_MAX_REGEXES = 80, CS_MAX_TRIMS = 4 };

typedef enum cs_decode_kind {
    CS_DECODE_CHAIN,   /* tokenizer.json's steps */
    CS_DECODE_SPM,     /* SentencePiece: one U+FFFD per byte that is in no code point, U+2581 is a blank */
    CS_DECODE_LLAMA2C, /* llama2.c: bytes as they come, one U+FFFD per damaged part, no blank behind BOS */
} cs_decode_kind;

typedef struct cs_decoder {
    cs_decode_kind kind;
    cs_dec_chain chain;
    bool byte_pieces;       /* SPM, LLAMA2C: <0xNN> is a byte */
    bool drop_blank;        /* SPM: the first U+2581 of the text is dropped, or all leading ones: */
    bool drop_all;
    cs_bytes unknown;       /* SPM: what an unknown piece is shown as */
} cs_decoder;

/* A post-processor that takes blanks out of ranges. */
typedef struct cs_trim {
    bool add_prefix_space; /* one blank in front of the text is not the text's */
    bool joined;           /* ids in front of the text are in the same encoding already */
} cs_trim;

typedef enum cs_range_rule { CS_RANGE_JSON, CS_RANGE_SPM } cs_range_rule; /* whose idea of the text that an id stands for */

struct cs_tokenizer {
    cs_arena mem;
    cs_tok_pool *pool;
    cs_vocab vocab;
    bool is_unigram, lossy_input; /* lossy_input: text is made well-formed first, as HF tokenizers get it */
    cs_range_rule range_rule;
    cs_bpe bpe;
    cs_unigram unigram;
    cs_trie user;
    cs_normalizer norm;
    cs_pretok pretok;
    cs_added *added;
    size_t n_added;
    cs_trie added_raw, added_norm; /* index into `added`, found before and after normalising */
    bool has_raw, has_norm;
    cs_decoder dec;
    cs_bytes *shown;      /* by id: text for the decoder where it is not the piece's, text NULL = the piece's; NULL = nowhere */
    bool needs_source;    /* ranges are carried along even when nobody asked */
    cs_regex *regexes[CS_MAX_REGEXES];
    size_t n_regexes;
    cs_trim trims[CS_MAX_TRIMS];
    size_t n_trims, n_templates, n_joined; /* post-processors so far */
    int32_t bos, eos, unk, pad;
    int32_t prefix[CS_MAX_EXTRA_IDS], suffix[CS_MAX_EXTRA_IDS];
    size_t n_prefix, n_suffix;
    cs_bytes chat_template; /* NUL-terminated; text NULL = none */
    const char *source; /* constant, see cs_tokenizer_source */
    char *files[CS_MAX_TOK_FILES];
    size_t n_files;
    uint64_t hash;
};

/* What stands in the files beside the tokenizer: text/tok_config.h. */
typedef struct cs_tok_config cs_tok_config;

/* Each loader fills a zeroed tokenizer whose `mem` is initialised, from a whole file; bytes need not outlive the call.
 * `name` is for messages. CS_E_FORMAT, CS_E_NOMEM. */
cs_status cs_tok_load_spm(cs_tokenizer *t, const uint8_t *bytes, size_t len, const char *name, const cs_tok_config *cfg, cs_error *err);
/* The same from a model that is parsed already; *m and the file may go afterwards. */
cs_status cs_tok_load_spm_parsed(cs_tokenizer *t, const cs_spm *m, const char *name, const cs_tok_config *cfg, cs_error *err);
/* The vocabulary in a GGUF file (keys tokenizer.ggml.*); weights in it are not touched. */
cs_status cs_tok_load_gguf(cs_tokenizer *t, const uint8_t *bytes, size_t len, const char *name, cs_error *err);
cs_status cs_tok_load_llama2c(cs_tokenizer *t, const uint8_t *bytes, size_t len, const char *name, cs_error *err);
cs_status cs_tok_load_json(cs_tokenizer *t, const char *bytes, size_t len, const char *name, const cs_tok_config *cfg, cs_error *err);
/* GPT-2's pair of files. */
cs_status cs_tok_load_gpt2(cs_tokenizer *t, const cs_bytes vocab, const cs_bytes merges, const char *vocab_name, const char *merges_name,
                           const cs_tok_config *cfg, cs_error *err);

/* BLOOM's merges.txt, which tells its vocabulary too. */
cs_status cs_tok_load_bloom(cs_tokenizer *t, cs_bytes merges, const char *name, cs_error *err);

/* Steps that loaders share. */
/* Builds the two tries from t->added; call when the normaliser is complete. */
cs_status cs_tok_index_added(cs_tokenizer *t, cs_error *err);
/* A copy in t->mem; text NULL = out of memory. */
cs_bytes cs_tok_keep(cs_tokenizer *t, const char *text, size_t len);

/* Tokenizers from memory, for tests and fuzzing; kind: "spm", "llama2c", "gguf", "json". */
cs_status cs_tokenizer_create_from_bytes(const char *kind, const uint8_t *bytes, size_t len, const char *name, cs_tokenizer **out, cs_error *err);

#endif
