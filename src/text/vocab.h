/* The pieces of a tokenizer by id and by text. Built once into an arena, read-only afterwards. */
#ifndef CS_TEXT_VOCAB_H
#define CS_TEXT_VOCAB_H

#include "base/mem.h"
#include "fmt/spm.h"

typedef struct cs_piece {
    const char *text; /* owned by the tokenizer's arena, not NUL-terminated */
    uint32_t len;
    float score;
    uint32_t rank; /* order of merging: 0 is best, equal scores have equal ranks */
    uint8_t type;  /* cs_piece_type; 0 = no piece has this id */
    bool findable; /* cs_vocab_find gives it */
    bool special;  /* left out when decoding */
} cs_piece;

typedef struct cs_vocab {
    cs_piece *pieces;
    int32_t n;             /* highest id + 1 */
    uint32_t max_len;      /* bytes of the longest findable piece */
    uint32_t mask;
    uint64_t *slots;       /* hash tag << 32 | id + 1; 0 = free */
    int32_t byte_id[256];  /* id of the piece <0xNN>, -1 = none */
    int32_t unk;           /* -1 = none */
} cs_vocab;

/* Room for n ids, all absent. */
cs_status cs_vocab_init(cs_vocab *v, cs_arena *arena, int32_t n, cs_error *err);
/* Makes the piece of `id` findable by its text. Returns an id that has the same text already, else -1. */
int32_t cs_vocab_index(cs_vocab *v, int32_t id);
/* -1 when no findable piece has this text. */
int32_t cs_vocab_find(const cs_vocab *v, const char *text, size_t len);
/* First id of any piece, findable or not, with this text; -1 = none. Linear: for set-up only. */
int32_t cs_vocab_find_any(const cs_vocab *v, const char *text, size_t len);
/* Fills `rank` from `score`: higher scores first. */
cs_status cs_vocab_rank(cs_vocab *v, cs_error *err);

#endif
