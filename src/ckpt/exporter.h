/* Private to the exporters: one conversion under way. export.c makes the temporary folder, the configs and the tokenizer files; a kind of output
 * is a row of cs_exporter_kind and writes the weights. */
#ifndef CS_CKPT_EXPORTER_H
#define CS_CKPT_EXPORTER_H

#include "base/log.h"
#include "ckpt/export.h"
#include "fmt/safetensors.h"

#include <limits.h>

enum { CS_EXPORT_SLICE = 1 << 20 }; /* elements read at a time */

typedef struct cs_exporter {
    const cs_source *src;
    const cs_export_args *args;
    char temp[PATH_MAX];
    cs_str config;       /* text of config.json */
    size_t total_bytes;  /* of the weights, once planned */
    size_t done_bytes;
    cs_progress bar;
    cs_st_plan plan;     /* hf */
    int64_t padded_vocab; /* megatron */
    void *slice;         /* at least one row or CS_EXPORT_SLICE elements of 8 bytes */
} cs_exporter;

typedef struct cs_exporter_kind {
    const char *name; /* of --to */
    /* Lays everything out and sets total_bytes; CS_E_USAGE for layouts that cannot be. */
    cs_status (*plan)(cs_exporter *x, cs_error *err);
    /* Writes the weights into x->temp. */
    cs_status (*write)(cs_exporter *x, cs_error *err);
} cs_exporter_kind;
extern const cs_exporter_kind cs_exporter_hf, cs_exporter_megatron;
/* gguf is one file and not a folder. */
cs_status cs_export_gguf(const cs_source *src, const cs_export_args *args, size_t *bytes_out, cs_error *err);

/* The type in which view i is written. */
cs_dtype cs_exporter_dtype(const cs_exporter *x, int64_t i);
/* A whole small file in x->temp; `name` may hold one folder that is there. */
cs_status cs_exporter_file(const cs_exporter *x, const char *name, const void *data, size_t n, cs_error *err);
/* Counts written bytes for the progress bar. */
void cs_exporter_progress(cs_exporter *x, size_t bytes);

#endif
