/* How Megatron and AscendSpeed cut a model into shards: which rank holds which rows. Reader and writer share it; no file access.
 * Over TP ranks: query, key and value by groups of query heads with their key head ([group][queries.., key, value][dim] inside a rank), gate, up, the
 * embedding and the head by rows (the vocabulary padded), out and down by columns; norms and the biases of out and down are on every rank.
 * Over PP ranks and chunks (virtual stages): chunk by chunk, within a chunk stage by stage. */
#ifndef CS_CKPT_MEGATRON_H
#define CS_CKPT_MEGATRON_H

#include "ckpt/source.h"

typedef enum cs_mg_cut { CS_MG_WHOLE, CS_MG_ROWS, CS_MG_COLS, CS_MG_QKV } cs_mg_cut;

/* A tensor of a shard: a row of the parameter table, one of its parts where those are tensors of their own. */
typedef struct cs_mg_tensor {
    int64_t row;  /* of the parameter table */
    int part;     /* of the row; -1 = all parts as one tensor (query_key_value, the merged mlp.proj) */
    cs_mg_cut cut;
} cs_mg_tensor;

enum { CS_MG_MAX_TENSORS = CS_ROW_PER_LAYER + 4 };

/* The tensors of a layer (layer >= 0) or of the rest of the model (-1), in the order of AscendSpeed's converter, into out; returns their number. */
int cs_mg_tensors(const cs_param_table *table, int64_t layer, bool merged_mlp, cs_mg_tensor out[CS_MG_MAX_TENSORS]);
/* Its name, without ".weight"/".bias" decided by the table: `local` is the layer's number within its stage, `layer` over the model (-1 = none). */
void cs_mg_name(const cs_source *src, const cs_mg_tensor *t, int64_t layer, int64_t local, char *buf, size_t n);
/* True for a tensor of the first stage (embedding and its norm), of the last (final norm, head). */
bool cs_mg_is_first(const cs_mg_tensor *t);
bool cs_mg_is_last(const cs_mg_tensor *t);

/* Vocabulary rounded up to a multiple of `multiple` * tp. */
int64_t cs_mg_padded_vocab(int64_t vocab, int64_t multiple, int64_t tp);

/* Shape of one rank's part: [rows] or [rows, cols]. */
void cs_mg_shape(const cs_source *src, const cs_mg_tensor *t, int64_t tp, int64_t padded_vocab, int64_t shape[2], int *ndim);

/* Where row k of the part of TP rank `rank` comes from. For COLS rows are whole and the rank takes its columns. Padding rows of the vocabulary repeat
 * its last rows, as AscendSpeed does. */
typedef struct cs_mg_origin {
    int64_t view, row; /* of the source, in Hugging Face's order */
    int64_t run;       /* so many rows from here on are neighbours on both sides */
} cs_mg_origin;
cs_mg_origin cs_mg_origin_of(const cs_source *src, const cs_mg_tensor *t, int64_t tp, int64_t padded_vocab, int64_t rank, int64_t k);

/* The other way: the rank and row that hold row r of view i (a view of tensor t's row). For COLS and WHOLE: rank 0, the same row. */
typedef struct cs_mg_place {
    int64_t rank, row, run;
} cs_mg_place;
cs_mg_place cs_mg_place_of(const cs_source *src, const cs_mg_tensor *t, int64_t tp, int64_t padded_vocab, int64_t i, int64_t r);

#endif
