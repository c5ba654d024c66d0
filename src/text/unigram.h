/* SentencePiece's unigram model: the best-scoring path of pieces through a text (Viterbi, Kudo 2018), as version 0.2.3 of the
 * library finds it: sums in f32, the first of equal paths wins, a user-defined piece of n bytes scores (n - 1) / 10. As tokenizers has it
 * (`wide`): sums in f64, all pieces alike, unknown neighbours (and the unknown piece itself) fused before byte fallback. */
#ifndef CS_TEXT_UNIGRAM_H
#define CS_TEXT_UNIGRAM_H

#include "base/str.h"
#include "text/trie.h"
#include "text/vocab.h"

typedef struct cs_unigram {
    const cs_vocab *vocab;
    cs_trie trie;   /* of the pieces that may be used */
    double *scores; /* by id */
    size_t max_len; /* bytes of the longest piece */
    double unk_score;
    bool byte_fallback, wide;
} cs_unigram;

/* Of the best path to one position: its score and its last piece, which begins at `from`. */
typedef struct cs_unigram_best {
    double score;
    int32_t id; /* -1 = an unknown code point, INT32_MIN = no path yet */
    uint32_t from;
} cs_unigram_best;

/* Memory of one encode call, reused for all its segments. Zero-initialise. */
typedef struct cs_unigram_work {
    cs_unigram_best *path; /* by position in the part that is being looked at; behind it no paths */
    size_t cap;
} cs_unigram_work;

void cs_unigram_work_release(cs_unigram_work *w);

/* From a complete vocabulary. CS_E_NOMEM, CS_E_FORMAT. */
cs_status cs_unigram_init(cs_unigram *u, cs_arena *arena, const cs_vocab *vocab, bool byte_fallback, cs_error *err);
/* By tokenizers' rules: ids 0..n-1 are pieces; scores[n], which must live as long, are used as they are. */
cs_status cs_unigram_init_wide(cs_unigram *u, cs_arena *arena, const cs_vocab *vocab, double *scores, size_t n, bool byte_fallback, cs_error *err);
/* Appends the ids of well-formed UTF-8 text, len < 2^31; ends as in cs_bpe_encode, but `wide` all bytes of an unknown run have its end. CS_E_NOMEM;
 * CS_E_FORMAT when a code point is in no piece and there is no unknown piece. */
cs_status cs_unigram_encode(const cs_unigram *u, cs_unigram_work *w, const char *text, size_t len, cs_ids *out, cs_ids *ends, cs_error *err);

#endif
