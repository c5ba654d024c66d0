/* What handlers write to: texts and samples become token ids here and nowhere else, in one place for special tokens, masks, cutting and padding.
 * A record makes one document in every output; the document of a sample handler may hold several sequences, one a sample. */
#ifndef CS_DATA_EMIT_H
#define CS_DATA_EMIT_H

#include "base/error.h"
#include "base/str.h"
#include "text/tokenizer.h"

enum { CS_LABEL_IGNORED = -100 };

/* The outputs of a sample, in this order. */
typedef enum cs_sample_output { CS_SAMPLE_IDS, CS_SAMPLE_MASK, CS_SAMPLE_LABELS, CS_SAMPLE_OUTPUTS } cs_sample_output;

typedef enum cs_long_samples {
    CS_LONG_KEEP, /* whole: training cuts them */
    CS_LONG_CUT,  /* to seq_length + 1 tokens, what training uses */
    CS_LONG_DROP,
} cs_long_samples;

typedef struct cs_emit_rules {
    const cs_tokenizer *tokenizer;
    bool append_eod;      /* the tokenizer has an EOS */
    bool train_on_prompt; /* no label is ignored, those of padding excepted */
    int64_t seq_length;   /* 0 = unknown: no sample is long */
    int long_samples;     /* cs_long_samples */
    int64_t multiple;     /* samples are padded to a multiple of so many tokens; 0, 1 = not padded */
    int32_t pad;          /* id of the padding */
} cs_emit_rules;

typedef struct cs_prep_counts {
    int64_t documents, empty, bad; /* empty: texts without bytes or tokens, records without a sample; bad: records skipped */
    int64_t text_bytes, tokens;
    int64_t samples, trained;      /* sequences of samples; labels that are not ignored */
    int64_t untrained, too_long;   /* samples without such a label; samples of more than seq_length + 1 tokens */
    double seconds;
} cs_prep_counts;

/* The sequences of one output, their ids one after the other. */
typedef struct cs_token_out {
    cs_ids ids;
    struct cs_token_seq {
        int64_t n; /* tokens */
        bool ends_document;
    } *seqs; /* [n] */
    size_t n, cap, n_before, ids_before; /* *_before: where the record in progress began */
} cs_token_out;

void cs_token_out_release(cs_token_out *o);
void cs_token_out_clear(cs_token_out *o); /* memory that something long took is given back */

/* The way of one record into the outputs: begin; any number of calls of a handler; end, or undo and what the record wrote is gone.
 * Zero-initialise with the first four set; release frees working memory only. */
typedef struct cs_emit {
    const cs_emit_rules *rules;
    cs_token_out *out; /* [n_out], borrowed */
    size_t n_out;
    cs_prep_counts *counts; /* borrowed */
    cs_prep_counts counts_before;
    cs_ids ids, labels; /* the sample in progress */
    cs_ids alone;       /* a prompt by itself */
} cs_emit;

void cs_emit_release(cs_emit *e);
void cs_emit_begin(cs_emit *e);
cs_status cs_emit_end(cs_emit *e, cs_error *err);
void cs_emit_undo(cs_emit *e);

/* A whole document of output `k`: the text with the tokenizer's special tokens, EOD behind it with append_eod. A text without tokens is no document.
 * All that follow: CS_E_NOMEM. */
cs_status cs_emit_text(cs_emit *e, size_t k, const char *text, size_t len, cs_error *err);

/* AscendSpeed's way into a sample: the whole text tokenized at once, with special tokens; as many labels ignored as `prompt`, tokenized alone in the
 * same way, has ids. */
cs_status cs_emit_whole(cs_emit *e, const char *text, size_t len, const char *prompt, size_t prompt_len, cs_error *err);
/* Turn by turn: the segment is tokenized by itself, behind what the sample has so far; in front of the first one stand the ids that the tokenizer
 * puts in front of a text, ignored. Labels are ids with `train`, else ignored. */
cs_status cs_emit_segment(cs_emit *e, const char *text, size_t len, bool train, cs_error *err);
/* The text with the tokenizer's special tokens, as cs_tokenizer_encode makes it. */
cs_status cs_emit_special_segment(cs_emit *e, const char *text, size_t len, bool train, cs_error *err);
/* One id with a label of its own; with train_on_prompt an ignored one is the id. */
void cs_emit_id(cs_emit *e, int32_t id, int32_t label);
/* The EOD with append_eod, else nothing; it is trained. */
void cs_emit_eod(cs_emit *e);
/* Ends the sample: cut, padded, and into the three outputs. */
cs_status cs_emit_sample(cs_emit *e, cs_error *err);

#endif
