/* SentencePiece ModelProto (tokenizer.model): bytes in, struct or error with offset out. Checked: every length, finite scores, known piece
 * types, exactly one unknown piece, no empty piece, pieces of UTF-8 within the limits, all 256 byte pieces once when byte_fallback is set and none
 * otherwise, special ids in range, the bounds of the normaliser's blob. That no piece occurs twice is checked where the lookup table is built. */
#ifndef CS_FMT_SPM_H
#define CS_FMT_SPM_H

#include "base/error.h"

/* The numbers of SentencePiece.Type. */
typedef enum cs_piece_type {
    CS_PIECE_NORMAL = 1, CS_PIECE_UNKNOWN, CS_PIECE_CONTROL, CS_PIECE_USER, CS_PIECE_UNUSED, CS_PIECE_BYTE
} cs_piece_type;

typedef enum cs_spm_type { CS_SPM_UNIGRAM = 1, CS_SPM_BPE = 2 } cs_spm_type;

typedef struct cs_spm_str {
    const char *text; /* not NUL-terminated, borrowed from the file's bytes */
    size_t len;
} cs_spm_str;

typedef struct cs_spm_piece {
    cs_spm_str text;
    float score;
    cs_piece_type type;
    size_t offset; /* in the file, for messages */
} cs_spm_piece;

typedef struct cs_spm {
    cs_spm_piece *pieces; /* owned */
    size_t n_pieces;
    cs_spm_type type;
    bool byte_fallback, whitespace_suffix;
    int32_t unk_id;
    cs_spm_str bos_piece, eos_piece, pad_piece, unk_surface;
    bool add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces;
    const uint8_t *charsmap; /* trie units and strings, see text/charsmap.h; size 0 = identity */
    size_t charsmap_bytes, charsmap_offset;
} cs_spm;

/* `bytes` must outlive *out. `name` is for messages. CS_E_FORMAT, CS_E_NOMEM. */
cs_status cs_spm_parse(const uint8_t *bytes, size_t len, const char *name, cs_spm *out, cs_error *err);
void cs_spm_release(cs_spm *spm);
/* A model without pieces and with the values of absent fields, for readers of other files that hold the same things. */
void cs_spm_defaults(cs_spm *out);
/* The bounds of m->charsmap. CS_E_FORMAT. */
cs_status cs_spm_check_charsmap(const cs_spm *m, const char *name, cs_error *err);

/* The value of a piece spelled "<0xAB>" (either case), else -1. */
int cs_spm_byte_value(const char *text, size_t len);

#endif
