/* Training samples: documents of one or several Megatron .bin/.idx pairs in Megatron's order (doc, sample and shuffle index maps; blending),
 * cut in train/valid/test by --split or taken from files of their own. Or instruction data: a sample is a record in AscendSpeed's order
 * (data/order.h), or with packing a row of several records (data/packing.h). */
#ifndef CS_DATA_DATASET_H
#define CS_DATA_DATASET_H

#include "base/error.h"
#include "base/options.h"
#include "comm/comm.h"
#include "data/batch.h"
#include "data/blend.h"
#include "data/instruct.h"

typedef enum cs_dataloader { CS_LOADER_SINGLE, CS_LOADER_CYCLIC } cs_dataloader;

typedef enum cs_split { CS_SPLIT_TRAIN, CS_SPLIT_VALID, CS_SPLIT_TEST, CS_SPLIT_COUNT } cs_split;

typedef struct cs_data_config {
    cs_strlist data_path;  /* P | W1 P1 W2 P2 ... */
    cs_strlist own_path[CS_SPLIT_COUNT];     /* the same for one split; exclude data_path */
    cs_strlist weighted[CS_SPLIT_COUNT];     /* "NAME: W FROM:TO P, .." */
    const char *weighted_file[CS_SPLIT_COUNT]; /* a file with that text */
    const char *split;     /* "969,30,1" */
    int data_impl;         /* mmap|infer: both map the files; lazy|cached name a format of another time and are refused */
    int64_t seq_length, seed;
    bool eod_mask_loss, reset_position_ids, reset_attention_mask;
    int64_t eod; /* id, or -1 */
    int dataloader_type; /* cs_dataloader */
    bool instruct, packing, keep_last_token;
    int64_t least_rows; /* of a micro-batch of instruction data: rows that are not trained fill it up. 0 = 1 */
} cs_data_config;
extern const cs_option cs_data_options[]; /* rows of the flags above that are flags (not eod, least_rows) */
extern const size_t cs_data_n_options;
/* Rules between them that need no file: one line per mistake is added to err, CS_E_USAGE. */
void cs_data_check(const cs_data_config *cfg, cs_error *err);
/* Where a split comes from that has files of its own; n 0 = it has none. spec borrows from cfg, release it. CS_E_USAGE, CS_E_IO, CS_E_NOMEM. */
cs_status cs_data_source(const cs_data_config *cfg, cs_split split, cs_blend_spec *spec, cs_error *err);

typedef struct cs_dataset cs_dataset; /* one split */

/* Builds or reuses the cached index maps (rank 0 of `world` writes them atomically beside the data, the others wait; a folder that cannot be
 * written means a warning and maps in memory) for n_samples[split] samples each.
 * out[split] is NULL when n_samples is 0, when --split gives it no share, and, for valid and test, with a warning, when its documents hold fewer
 * tokens than one sample: the caller then leaves that evaluation out, as Megatron does. A training split that is too small is CS_E_USAGE.
 * Collective over world. CS_E_IO, CS_E_FORMAT, CS_E_USAGE (bad blend or split, too few tokens), CS_E_NOMEM. On failure every out is NULL. */
cs_status cs_datasets_create(const cs_data_config *cfg, const int64_t n_samples[CS_SPLIT_COUNT], cs_comm *world,
                             cs_dataset *out[CS_SPLIT_COUNT], cs_error *err);
void cs_dataset_destroy(cs_dataset *d);
int64_t cs_dataset_size(const cs_dataset *d);
/* Highest token id + 1 that the sample may hold is checked here: an id >= vocab is CS_E_FORMAT naming file and position. */
cs_status cs_dataset_sample(const cs_dataset *d, int64_t index, int64_t vocab, int32_t *tokens /* [seq+1] */, cs_error *err);
/* xxh3-64 over the .idx files (for the manifest and resume check). */
uint64_t cs_dataset_hash(const cs_dataset *d);

/* Instruction data: the rows of sample `index` are appended (data/instruct.h), at most seq_length; work [3*seq_length]. CS_E_FORMAT. */
cs_status cs_dataset_append(const cs_dataset *d, int64_t index, int64_t vocab, int32_t *work, cs_batch_rows *to, cs_error *err);

/* Cuts a stream of samples into micro-batches as Megatron's samplers do: from `consumed` samples on, each micro-batch takes mbs*dp
 * consecutive indices, DP rank r the r-th block (single); or epoch-seeded permutations (cyclic). Wraps at the end of the data set. */
typedef struct cs_batcher cs_batcher;
cs_status cs_batcher_create(const cs_dataset *d, const cs_data_config *cfg, int64_t vocab, int dp_rank, int dp_size, cs_batcher **out, cs_error *err);
void cs_batcher_destroy(cs_batcher *b);
/* Makes the micro-batch of `mbs` samples that starts after `consumed` samples (of all ranks); *out borrows the batcher's slot memory, valid until
 * the same slot is filled again. No allocation once a slot has had its largest size. */
cs_status cs_batcher_fill(cs_batcher *b, int64_t slot, int64_t consumed, int64_t mbs, cs_batch *out, cs_error *err);

#endif
