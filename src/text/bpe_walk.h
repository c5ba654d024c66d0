/* Byte-pair merging without merging. The result of BPE is the one sequence of tokens in which every token is what BPE makes of its own text, and
 * every two neighbours are what BPE makes of their joint text: a merge over a border would have happened in the joint text of its neighbours too,
 * because what happens on one side of a border that is not crossed does not depend on the other side. So a text is walked from the left, longest
 * token first, with a step back where no token fits, and each position is given up at most once: time is linear in the text, whatever the text is.
 *
 * Whether two tokens stay apart is read off their merge trees. A token is made by one last merge of two others; the symbols that ever end at the
 * border are the right spine of the left tree, those that begin there the left spine of the right one. A pair of both merges if a rule has it and
 * comes before the merges that use its sides up. This needs trees whose merges come in order of rank; tokens without one (runs of blanks whose pieces
 * have equal scores, for example) are marked odd, and what they do beside others is tried out by the queue of bpe.c, once per pair. */
#ifndef CS_TEXT_BPE_WALK_H
#define CS_TEXT_BPE_WALK_H

#include "text/bpe.h"

typedef struct cs_bpe_token {
    uint32_t len;         /* of its text; 0 = no text leads to this id */
    uint32_t order;       /* rank + 1 of the merge that makes it, 0 = a symbol of the text */
    int32_t left, right;  /* what that merge joins, -1 = a symbol */
    int32_t shorter;      /* the longest other token that its text begins with, -1 = none */
    uint32_t first, last; /* symbols at its ends, as hash values */
    bool odd;             /* order, left, right mean nothing */
} cs_bpe_token;

typedef struct cs_bpe_walk {
    cs_trie trie;         /* of all tokens */
    cs_bpe_token *tokens; /* by id */
    uint64_t *borders;    /* bit set of hashed (last symbol, first symbol) over which some merge goes */
    uint32_t border_shift;
    uint64_t *rules;      /* bit set of hashed pairs that have a rule: most that are asked about have none */
    uint32_t rule_shift;
} cs_bpe_walk;

/* Where the bit of a pair is in `rules`. */
static inline uint32_t cs_bpe_rule_bit(const cs_bpe_walk *k, int32_t left, int32_t right)
{
    return (uint32_t)(((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u >> k->rule_shift);
}

/* Builds b->walk when the vocabulary allows it (never with `plain` false), else leaves it NULL; and b->whole for ignore_merges. Vocabulary, pairs
 * and byte symbols are complete. CS_E_NOMEM, CS_E_FORMAT (vocabulary too large). */
cs_status cs_bpe_walk_init(cs_bpe *b, bool plain, cs_arena *arena, cs_error *err);

/* Does a merge cross the border between two tokens that are made side by side? top: the pair itself counts too. */
bool cs_bpe_crosses(const cs_bpe *b, int32_t left, int32_t right, bool top);

/* Appends the ids of text[0..len), which holds no user-defined piece, as far as all symbols are known; *done gets how far that is (len, or where an
 * unknown symbol begins). `w` remembers pairs. False: w->failed and nothing
 * was appended, or the tables contradict themselves and the queue must do it. */
bool cs_bpe_walk_encode(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out, size_t *done);

#endif
