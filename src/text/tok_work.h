/* Working memory of encode calls, kept by the tokenizer between calls: what was learned about pairs and words stays, and nothing is allocated per
 * text. A call takes one and gives it back; calls at the same time take different ones. */
#ifndef CS_TEXT_TOK_WORK_H
#define CS_TEXT_TOK_WORK_H

#include "text/bpe.h"
#include "text/pretok.h"
#include "text/unigram.h"

typedef struct cs_tok_work {
    cs_bpe_work bpe;
    cs_unigram_work unigram;
    cs_norm_work norm;
    cs_pretok_work words;
    cs_ids ends;   /* of the ids of one word */
    cs_ids blanks; /* of each id of the text: in front and behind */
} cs_tok_work;

typedef struct cs_tok_pool cs_tok_pool;

/* NULL = out of memory. */
cs_tok_pool *cs_tok_pool_create(void);
void cs_tok_pool_destroy(cs_tok_pool *pool);
/* Thread-safe. NULL = out of memory. */
cs_tok_work *cs_tok_work_take(cs_tok_pool *pool);
/* Memory that one long text took is freed; all of it after a failure. */
void cs_tok_work_give(cs_tok_pool *pool, cs_tok_work *w, bool failed);

#endif
