/* Megatron's indexed data set: P.idx describes sequences of token ids that lie one after the other in P.bin.
 *   .idx  "MMIDIDX\0\0" | u64 version 1 | u8 dtype code | u64 n_seq | u64 n_doc | i32 length[n_seq] | i64 byte offset[n_seq]
 *         | i64 document border[n_doc] (first 0, last n_seq) | nothing, or i8 mode[n_seq]
 *   dtype 1 u8, 2 i8, 3 i16, 4 i32, 5 i64, 8 u16. Codes 6 and 7 (floats, swapped between old and new writers) are refused.
 * The arrays are not aligned in the file, so they are read by memcpy. Everything is 64-bit. */
#ifndef CS_FMT_IDXBIN_H
#define CS_FMT_IDXBIN_H

#include "base/dtype.h"
#include "base/error.h"
#include "base/io.h"

#include <string.h>

/* A checked view of the bytes of one .idx; owns nothing. */
typedef struct cs_idx {
    const char *name; /* of the .idx, for messages */
    int64_t n_seq, n_doc;
    int64_t n_tokens; /* sum of all lengths */
    cs_dtype dtype;   /* of the tokens in the .bin */
    const uint8_t *lengths, *offsets, *documents;
    const uint8_t *modes; /* [n_seq] or NULL */
} cs_idx;

/* Checks everything: sizes, lengths >= 0, offsets non-decreasing and offset + length inside bin_size bytes, borders monotone.
 * `name` and `data` are borrowed for the view's life. CS_E_FORMAT with the byte offset and what was expected and found. */
cs_status cs_idx_init(cs_idx *ix, const uint8_t *data, size_t size, uint64_t bin_size, const char *name, cs_error *err);

/* Tokens of sequence i, 0 <= i < n_seq. */
static inline int32_t cs_idx_length(const cs_idx *ix, int64_t i)
{
    int32_t v;
    memcpy(&v, ix->lengths + (size_t)i * 4, 4);
    return v;
}

/* First byte of sequence i in the .bin. */
static inline int64_t cs_idx_offset(const cs_idx *ix, int64_t i)
{
    int64_t v;
    memcpy(&v, ix->offsets + (size_t)i * 8, 8);
    return v;
}

/* First sequence of document d, 0 <= d < n_doc; entry n_doc - 1 is n_seq. */
static inline int64_t cs_idx_document(const cs_idx *ix, int64_t d)
{
    int64_t v;
    memcpy(&v, ix->documents + (size_t)d * 8, 8);
    return v;
}

/* Copies tokens [from, from+n) of sequence `seq` out of the .bin's bytes; the range must lie inside the sequence.
 * CS_E_FORMAT for a 64-bit token that does not fit into 32 bits. */
cs_status cs_idx_read(const cs_idx *ix, const uint8_t *bin, int64_t seq, int64_t from, int64_t n, int32_t *out, cs_error *err);

/* Both files of `prefix` mapped and checked. */
typedef struct cs_idxbin {
    char *idx_path, *bin_path; /* owned */
    cs_map idx_map, bin_map;
    cs_idx idx;
} cs_idxbin;
/* CS_E_IO, CS_E_FORMAT, CS_E_NOMEM; nothing to release on failure. */
cs_status cs_idxbin_init(cs_idxbin *d, const char *prefix, cs_error *err);
void cs_idxbin_release(cs_idxbin *d);

/* CS_U16 when vocab < 65500, else CS_I32: what Megatron's writer takes. */
cs_dtype cs_idxbin_dtype_for(int64_t vocab);

enum { CS_IDXBIN_PATHS = 7 };

/* Streaming writer of one pair. Tokens go to prefix.bin.tmp at once; the lengths (4 bytes a sequence) are kept until finish.
 * The fixed names of the temporary files mean that the next run overwrites what a killed one left; prefix.lock keeps two runs apart.
 * A data set exists under its final name only when the .idx does, and finish renames that last. */
typedef struct cs_idxbin_writer {
    char *paths[CS_IDXBIN_PATHS]; /* owned: .bin, .idx, .bin.tmp, .idx.tmp, .bin.old.tmp, .idx.old.tmp, .lock */
    cs_writer bin;
    cs_dtype dtype;
    int lock;
    int32_t *lengths;
    int64_t n_seq, cap_seq;
    int64_t *documents; /* borders, without the first 0; NULL while every document has one sequence */
    int64_t n_doc, cap_doc;
    uint8_t *buffer; /* tokens not yet written */
    size_t used;
    bool sealed, publishing, aside, published;
} cs_idxbin_writer;

/* dtype: one of the six token types. Makes the folder of `prefix` if it is missing. CS_E_IO (another writer has the lock, unwritable), CS_E_NOMEM. */
cs_status cs_idxbin_writer_init(cs_idxbin_writer *w, const char *prefix, cs_dtype dtype, cs_error *err);
/* Appends one sequence. CS_E_FORMAT when a token does not fit into dtype or n > 2^31-1. */
cs_status cs_idxbin_writer_add(cs_idxbin_writer *w, const int32_t *tokens, int64_t n, cs_error *err);
/* Appends all sequences and documents of another data set. CS_E_FORMAT when its tokens have another dtype or it has modes, CS_E_IO, CS_E_NOMEM. */
cs_status cs_idxbin_writer_append(cs_idxbin_writer *w, const cs_idxbin *from, cs_error *err);
/* Ends a document of all sequences added since the last call. */
cs_status cs_idxbin_writer_end_document(cs_idxbin_writer *w, cs_error *err);
/* Writes the index and flushes both temporary files to disk; nothing may be added after it. Called by finish when it was not called before. CS_E_IO;
 * the writer must then be aborted. */
cs_status cs_idxbin_writer_seal(cs_idxbin_writer *w, cs_error *err);
/* Seals if need be, sets an older pair aside, renames .bin, then .idx. Until finish, abort puts the older pair (or nothing) back. CS_E_IO. */
cs_status cs_idxbin_writer_publish(cs_idxbin_writer *w, cs_error *err);
/* Publishes if need be and removes the older pair. After it, and after a failure, the writer is released and no temporary file is left. */
cs_status cs_idxbin_writer_finish(cs_idxbin_writer *w, cs_error *err);
/* Several pairs that belong together: w[n] for prefixes[n]. finish makes all of them or none. A run that is killed among the renames leaves no
 * mixture of old and new: some index is missing, and the next writers of the same pairs put the older ones back. After a failure of init nothing is
 * to be released; after one of finish every writer must be aborted. Otherwise as for one. */
cs_status cs_idxbin_writers_init(cs_idxbin_writer *w, const char *const *prefixes, size_t n, cs_dtype dtype, cs_error *err);
cs_status cs_idxbin_writers_finish(cs_idxbin_writer *w, size_t n, cs_error *err);
/* Throws everything away. Safe on a zeroed or finished writer. */
void cs_idxbin_writer_abort(cs_idxbin_writer *w);

#endif
