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
#include "text/utf8.h"

typedef struct cs_bpe_token {
    uint32_t len : 31; /* of its text; 0 = no text leads to this id */
    uint32_t odd : 1;  /* it has no tree */
    int32_t shorter;   /* the longest other token that its text begins with, -1 = none */
} cs_bpe_token;

typedef struct cs_bpe_tree {
    uint32_t order;      /* rank + 1 of the merge that makes the token, 0 = a symbol of the text */
    int32_t left, right; /* what that merge joins, -1 = a symbol */
} cs_bpe_tree;

/* Where the three bytes of a code point lead to from the root of the trie. Most Chinese characters are tokens or unknown and `alone`: text is cut
 * there, and what they become needs no more than this. */
typedef struct cs_bpe_start {
    uint32_t base : 24;  /* of the node, 0 = nothing goes on from here */
    uint32_t len : 2;    /* of the token: */
    uint32_t alone : 1;  /* a symbol, known or not, that no merge takes */
    int32_t id;          /* the longest token in the three bytes, -1 = none */
} cs_bpe_start;

enum { CS_BPE_STARTS = 0x10000 };

typedef struct cs_bpe_walk {
    cs_trie trie;         /* of all tokens */
    cs_bpe_token *tokens; /* by id */
    cs_bpe_tree *trees;   /* by id */
    cs_bpe_start *starts; /* by code point; those that are not three bytes long are not used */
    bool byte_ids;        /* every unknown symbol becomes the ids of its bytes */
    uint64_t *borders;    /* bit set of hashed (symbol, symbol behind it) between which some merge goes: most steps are decided by it. It is asked by
                           * the text around the border, not by the tokens, so that its answer does not wait for theirs. */
    uint32_t border_shift;
    uint64_t *rules;      /* bit set of hashed pairs that have a rule: most that are asked about have none */
    uint32_t rule_shift;
} cs_bpe_walk;

/* Where the bit of a pair is in `rules`. */
static inline uint32_t cs_bpe_rule_bit(const cs_bpe_walk *k, int32_t left, int32_t right)
{
    return (uint32_t)(((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u >> k->rule_shift);
}

/* Where the bit of the border in front of text[at], 0 < at < len, is in `borders`. A symbol is a byte or a code point. */
static inline uint32_t cs_bpe_border_bit(const cs_bpe *b, uint32_t shift, const char *text, size_t at, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;
    uint32_t left = p[at - 1], right = p[at];
    if (!b->byte_level && left >= 0x80 && (at < 3 || (left = cs_utf8_three(p + at - 3)) == 0))
        cs_utf8_last(p, at, &left);
    if (!b->byte_level && right >= 0x80 && (len - at < 3 || (right = cs_utf8_three(p + at)) == 0))
        cs_utf8_decode(p + at, len - at, &right);
    return (left * 0x9e3779b1u + right * 0x85ebca77u) >> shift;
}

/* Builds b->walk when the vocabulary allows it (never with `plain` false), else leaves it NULL; and b->whole for ignore_merges. Vocabulary, pairs
 * and byte symbols are complete. CS_E_NOMEM, CS_E_FORMAT (vocabulary too large). */
cs_status cs_bpe_walk_init(cs_bpe *b, bool plain, cs_arena *arena, cs_error *err);

/* Does a merge cross the border between two tokens that are made side by side? top: the pair itself counts too. */
bool cs_bpe_crosses(const cs_bpe *b, int32_t left, int32_t right, bool top);

/* Appends the ids of text[0..len), which holds no user-defined piece, as far as all symbols are known or, when no ends are asked for, become bytes;
 * *done gets how far that is (len, or where an unknown symbol begins). `w` remembers pairs. False: nothing was appended; w->failed or out->failed,
 * or the tables contradict themselves and the queue must do it. */
bool cs_bpe_walk_encode(const cs_bpe *b, cs_bpe_work *w, const char *text, size_t len, cs_ids *out, size_t *done);

#endif
