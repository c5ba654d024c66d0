/* Model files of llama2.c: the headerless version 0 (7 int32; a negative vocabulary = an output matrix of its own) and version 1 (magic "ak42", f32).
 * Everything is f32, little endian. Rows of q and k stand in pairs (x0 y0 x1 y1 ..) per head; cs_llama2c_row gives the row that
 * belongs at a place of Hugging Face's order (all x, then all y). Pure: no file access. */
#ifndef CS_FMT_LLAMA2C_H
#define CS_FMT_LLAMA2C_H

#include "base/error.h"

typedef enum cs_llama2c_part {
    CS_L2C_EMBED, CS_L2C_ATT_NORM, CS_L2C_WQ, CS_L2C_WK, CS_L2C_WV, CS_L2C_WO, CS_L2C_FFN_NORM, CS_L2C_W1, CS_L2C_W2, CS_L2C_W3, CS_L2C_FINAL_NORM,
    CS_L2C_ROPE, CS_L2C_HEAD, CS_L2C_PART_COUNT
} cs_llama2c_part;

typedef struct cs_llama2c {
    int version;
    int64_t dim, ffn, n_layers, n_heads, n_kv_heads, vocab, max_seq, head_dim;
    bool tied; /* no output matrix: the embedding is used */
    struct {
        int64_t rows, cols; /* of one layer; a vector is [rows, 1] */
        int64_t count;      /* layers, or 1; 0 = absent */
        size_t offset;      /* of the first, bytes from the start of the file */
    } part[CS_L2C_PART_COUNT];
    const uint8_t *bytes; /* borrowed */
} cs_llama2c;

/* Reads the header of a whole file at bytes[0..size), 4-byte aligned, which must outlive *m, and checks that the sizes add up to the file exactly.
 * CS_E_FORMAT with offset. */
cs_status cs_llama2c_init(cs_llama2c *m, const uint8_t *bytes, size_t size, const char *name, cs_error *err);
/* True if the file can only be one of these: the magic, or header sizes that add up to the length exactly. */
bool cs_llama2c_detect(const uint8_t *bytes, size_t size);
/* Weights [rows, cols] of a part that is there; layer 0 for the parts that are not per layer. Borrowed. */
const float *cs_llama2c_tensor(const cs_llama2c *m, cs_llama2c_part part, int64_t layer);
/* The row of the file's q or k matrix that stands at `row` in half order. */
static inline int64_t cs_llama2c_row(int64_t row, int64_t head_dim)
{
    int64_t in_head = row % head_dim, half = in_head / (head_dim / 2);
    return row - in_head + 2 * (in_head % (head_dim / 2)) + half;
}

#endif
