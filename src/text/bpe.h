/* Byte-pair merging: symbols joined best pair first, the leftmost of equal ones, until no pair is in the vocabulary. A queue with lazy
 * deletion: n log n time, linear memory. Text is cut where no merge can ever cross, which changes nothing in the result and keeps the
 * queue small. */
#ifndef CS_TEXT_BPE_H
#define CS_TEXT_BPE_H

#include "base/str.h"
#include "text/trie.h"
#include "text/vocab.h"

typedef enum cs_bpe_kind {
    CS_BPE_TEXT,   /* SentencePiece: a pair merges when its source text is a piece; order by score */
    CS_BPE_PIECES, /* llama2.c: a pair merges when the joined piece texts are a piece; order by score */
    CS_BPE_PAIRS,  /* tokenizer.json: a table of (left id, right id) -> (rank, id) */
} cs_bpe_kind;

typedef struct cs_bpe_pair {
    uint64_t key; /* (left << 32 | right) + 1; 0 = free slot */
    uint32_t rank;
    int32_t id;
} cs_bpe_pair;

struct cs_bpe_walk;

typedef struct cs_bpe {
    cs_bpe_kind kind;
    const cs_vocab *vocab;
    const struct cs_bpe_walk *walk; /* NULL = always by the queue */
    const cs_trie *whole;           /* ignore_merges: pieces that merges do not give for their own text */
    cs_bpe_pair *pairs; /* PAIRS; TEXT when there is a walk */
    uint32_t pair_mask;
    uint64_t *borders; /* bit set of hashed (last code point, first code point) over which some merge goes; NULL = cut nowhere */
    uint32_t border_mask;
    const cs_trie *user;         /* TEXT: pieces that are matched first and never merge; NULL = none */
    bool byte_fallback, fuse_unk, ignore_merges, has_unused;
    int32_t prefix;              /* PIECES: the blank that goes in front of every text, -1 = none */
    bool byte_level;             /* PAIRS: every byte is a symbol of its own */
    int32_t byte_symbol[256];    /* byte_level: id of each byte, -1 = not in the vocabulary */
} cs_bpe;

/* Sets up the table of `n` pairs with room left; then cs_bpe_add_pair for each. A repeated pair keeps the last rank. */
cs_status cs_bpe_init_pairs(cs_bpe *b, cs_arena *arena, size_t n, cs_error *err);
void cs_bpe_add_pair(cs_bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id);
static inline uint32_t cs_bpe_pair_slot(const cs_bpe *b, uint64_t key)
{
    return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & b->pair_mask;
}

/* Makes the tables that speed encoding up. Call when vocabulary, pairs and byte symbols are complete. */
cs_status cs_bpe_finish(cs_bpe *b, cs_arena *arena, cs_error *err);

typedef struct cs_bpe_symbol {
    uint32_t at, len, end; /* source text */
    int32_t prev, next, id;
    bool frozen;
} cs_bpe_symbol;

typedef struct cs_bpe_candidate {
    uint64_t key;   /* rank << 32 | index of the left symbol */
    uint32_t bytes; /* of source text that it covers: tells whether it is stale */
    int32_t id;
} cs_bpe_candidate;

enum { CS_BPE_SEEN_BITS = 17 };

/* Memory of one encode call, reused for all its segments. Zero-initialise. */
typedef struct cs_bpe_work {
    cs_bpe_symbol *symbols;
    cs_bpe_candidate *heap;
    uint32_t *unused_split; /* by id: bytes of the left part of the pair last seen for an unused piece */
    uint64_t *seen;         /* pairs of tokens (left << 32 | right << 1) and whether they stay apart, where their hash says */
    uint64_t *dead;         /* bit set of positions from which no token goes on; all 0 between calls */
    size_t cap_dead;        /* words */
    cs_ids trial;           /* what the queue makes of a short text */
    cs_ids *ends;           /* of this call */
    size_t n_ends;          /* written by this call */
    uint32_t passed;        /* PAIRS: bytes that the ids so far are made of */
    size_t n_symbols, cap_symbols, n_heap, cap_heap;
    bool failed, after_unk;
} cs_bpe_work;

/* Appends the ids of one segment (for TEXT and PAIRS well-formed UTF-8, len < 2^31). Out of memory sets w->failed or out->failed.
 * ends (may be NULL) gets one number per id: where in text[0..len) the source of that id ends. They never decrease; a byte piece covers one
 * byte, a fused unknown its whole run, a blank in front that is not of the text nothing. PAIRS: as tokenizers has it, the bytes that the ids
 * so far are made of, which does not count what was dropped for want of an unknown piece. */
void cs_bpe_encode(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out, cs_ids *ends);
/* Does merging make exactly want[0..n) of a text? By the queue, without a word about the text's surroundings. */
bool cs_bpe_gives(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, const int32_t *want, size_t n);
void cs_bpe_work_release(cs_bpe_work *w);
/* Frees what only long segments need. */
void cs_bpe_work_trim(cs_bpe_work *w);

#endif
