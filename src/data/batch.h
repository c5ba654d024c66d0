/* The rows of ONE micro-batch, token-major: sequences one after the other. Owns nothing. */
#ifndef CS_DATA_BATCH_H
#define CS_DATA_BATCH_H

#include <stdint.h>

typedef struct cs_batch {
    int64_t rows, n_seq;
    const int64_t *seq_start; /* [n_seq+1], seq_start[0] = 0, seq_start[n_seq] = rows */
    const int32_t *tokens;    /* [rows] */
    const int32_t *labels;    /* [rows]; any value where weight is 0; NULL in inference */
    const float *weights;     /* [rows] loss mask; NULL in inference */
    const int32_t *pos;       /* [rows] position of each row for RoPE */
    double trained;           /* sum of weights */
} cs_batch;

#endif
