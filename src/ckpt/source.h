/* Where weights come from: any kind of checkpoint, seen as the tensors of a Hugging Face folder of its family. Files are mapped; nothing is held
 * besides names. The kinds are rows of cs_source_ops. */
#ifndef CS_CKPT_SOURCE_H
#define CS_CKPT_SOURCE_H

#include "base/io.h"
#include "base/str.h"
#include "model/param.h"

typedef struct cs_source cs_source;

typedef struct cs_source_ops {
    const char *kind; /* "Hugging Face folder", "llama2.c model", ... */
    /* The files' type of view i. */
    cs_dtype (*dtype)(const cs_source *src, int64_t i);
    /* See cs_source_read. */
    void (*read)(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out);
    void (*release)(cs_source *src);
} cs_source_ops;

struct cs_source {
    const cs_source_ops *ops;
    cs_spec spec;
    cs_param_table table; /* names and shapes only: what there is */
    cs_param_view *view;  /* [n_views] */
    int64_t *first_view;  /* [table.n_rows + 1]: views of row r are [first_view[r], first_view[r + 1]) */
    cs_arena arena;       /* owns the tables */
    char *dir;            /* folder with generation_config.json and tokenizer files to carry over; NULL = none */
    char *tokenizer_file; /* that has the tokenizer inside (GGUF); NULL = none */
    json_t *config;       /* config.json as the source has it, owned; NULL = only the spec is known */
    size_t n_files, file_bytes; /* that hold the weights */
    void *data;           /* of the kind */
};

/* What the caller knows about a source that does not describe itself (Megatron shards without a config). */
typedef struct cs_source_hints {
    const char *model_config; /* config.json; NULL = none */
    int64_t tp, pp;           /* layout of the shards; 0 = find out */
} cs_source_hints;

/* Opens a Hugging Face folder (safetensors or pytorch_model.bin), a checkpoint (checked against its manifest), a run folder, Megatron or AscendSpeed
 * shards of any layout (the folder that holds iter_* or release, or the one that holds mp_rank_*), a llama2.c model file, a PyTorch file of one
 * LLaMA with llama2.c's names, or a GGUF model: told apart by content. hints may be NULL.
 * CS_E_IO, CS_E_FORMAT, CS_E_CKPT, CS_E_NOMEM. Release with cs_source_release, after a failure too. */
cs_status cs_source_init(cs_source *src, const char *path, const cs_source_hints *hints, cs_error *err);
void cs_source_release(cs_source *src);
/* The files' type of view i. */
cs_dtype cs_source_dtype(const cs_source *src, int64_t i);
/* Rows [lo, lo+n) of view i (elements for a vector) in the order of the Hugging Face file, converted to `type`, into out. */
void cs_source_read(const cs_source *src, int64_t i, int64_t lo, int64_t n, cs_dtype type, void *out);

/* *foreign: true for what is neither a Hugging Face folder nor one of this program's own: a model file, or shards. CS_E_IO, CS_E_NOMEM. */
cs_status cs_source_is_foreign(const char *path, bool *foreign, cs_error *err);
/* Fills the store of a table of the same spec, and its master if there is one, converting on the way. */
void cs_source_fill(const cs_source *src, cs_param_table *table);

/* Row `d` of a head's query, key or value matrix (or bias; which: 0 q, 1 k, 2 v; `row` is the parameter table's) as a row of a view. */
typedef struct cs_source_row {
    int64_t view, row;
} cs_source_row;
cs_source_row cs_source_qkv_row(const cs_source *src, int64_t row, int which, int64_t head, int64_t d);

/* Steps of the openers: the tables from src->spec, once it is known. */
cs_status cs_source_tables(cs_source *src, cs_error *err);

/* The kinds; `path` as given to cs_source_init. Each sets ops first, so that release works after a failure. */
cs_status cs_source_open_folder(cs_source *src, const char *path, cs_error *err);
cs_status cs_source_open_llama2c(cs_source *src, const char *path, cs_error *err);
cs_status cs_source_open_torch(cs_source *src, const char *path, cs_error *err);
cs_status cs_source_open_megatron(cs_source *src, const char *path, const cs_source_hints *hints, cs_error *err);
cs_status cs_source_open_gguf(cs_source *src, const char *path, cs_error *err);
/* Is the path a folder of Megatron or AscendSpeed shards, or one that leads to such? CS_E_IO, CS_E_NOMEM when that cannot be found out. */
cs_status cs_megatron_present(const char *path, bool *present, cs_error *err);
/* Of a source that cs_source_open_megatron made. */
typedef struct cs_megatron_layout {
    int64_t tp, pp, chunks, padded_vocab;
} cs_megatron_layout;
cs_megatron_layout cs_megatron_layout_of(const cs_source *src);

#endif
