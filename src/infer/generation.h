/* Text generation for any number of prompts. Up to batch_size sequences run together: every forward call takes one new token of each running
 * sequence and a piece of the prompts that are still being read; when a sequence is done the next prompt takes its slot. What a prompt gives
 * depends on its own number and the settings only, never on its neighbours (but for rounding: the products of a larger batch may be summed in
 * another order). */
#ifndef CS_INFER_GENERATION_H
#define CS_INFER_GENERATION_H

#include "infer/engine.h"
#include "infer/sampler.h"

enum { CS_GEN_MAX_ROWS = 512 }; /* of one forward call: prompts are read in pieces, so that memory does not follow their length */

typedef struct cs_gen_settings {
    cs_sampling sampling;
    int64_t max_new_tokens;  /* exactly so many unless an end token, a stop string or the model's last position comes first */
    int64_t batch_size;      /* sequences that run together, >= 1 */
    const char *const *stop; /* strings that end a text; not part of it. UTF-8, not empty */
    size_t n_stop;
} cs_gen_settings;

typedef struct cs_gen_prompt {
    const int32_t *ids; /* borrowed; passed cs_engine_check_ids */
    size_t n;
} cs_gen_prompt;

typedef enum cs_gen_end { CS_GEN_STOP, CS_GEN_LENGTH, CS_GEN_CANCELLED } cs_gen_end; /* end token or stop string; out of tokens; by the sink */
const char *cs_gen_end_name(cs_gen_end end);                                         /* "stop", "length", "cancelled" */

/* What a prompt gave; borrowed inside done() only. */
typedef struct cs_gen_result {
    const int32_t *ids; /* new tokens, without the end token */
    size_t n_ids;
    const char *text;   /* of the new tokens; "" without a tokenizer */
    size_t text_len;
    cs_gen_end end;
} cs_gen_result;

typedef struct cs_gen_sink {
    void *user;
    /* New text of a prompt, in order, whole code points, never part of a stop string; called once per token where there is text. Returns false to
     * end that sequence. NULL = not wanted. */
    bool (*text)(void *user, size_t prompt, const char *text, size_t len);
    /* A prompt is finished (in any order). An error ends the whole call. */
    cs_status (*done)(void *user, size_t prompt, const cs_gen_result *result, cs_error *err);
} cs_gen_sink;

/* CS_E_NOMEM; CS_E_NUMERIC when logits are not finite; what the sink returns. */
cs_status cs_generate(const cs_engine *e, const cs_gen_settings *set, const cs_gen_prompt *prompts, size_t n_prompts, const cs_gen_sink *sink,
                      cs_error *err);

#endif
