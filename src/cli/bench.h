/* What the parts of `cspeed bench` share. Private to src/cli. */
#ifndef CS_CLI_BENCH_H
#define CS_CLI_BENCH_H

#include "cli/command.h"
#include "fmt/json.h"
#include "tensor/kernels.h"

typedef struct cs_bench_config {
    int64_t tokens, seq, hidden, ffn, heads, kv_heads, vocab, layers, new_tokens, repeat;
    const char *isa, *gemm, *tokenizer;
    cs_strlist input;
} cs_bench_config;

/* Two forked ranks, by the size of the buffer: GB/s of payload; mib 0: not measured. */
enum { CS_BENCH_RANK_SIZES = 4 };
typedef struct cs_bench_rank_rates {
    int64_t mib[CS_BENCH_RANK_SIZES];
    double copy[CS_BENCH_RANK_SIZES];      /* both copy at once, each its own buffer */
    double allreduce[CS_BENCH_RANK_SIZES]; /* f32 sum of one buffer */
} cs_bench_rank_rates;

/* Measured once, before everything else; 0 = not measured or not there. */
typedef struct cs_bench_limits {
    double fma1, fma, dot1, dot;       /* GFLOP/s on 1 and on all threads */
    double read1, read, copy1, copy;   /* GB/s; copy counts bytes read and bytes written */
    cs_bench_rank_rates ranks;
} cs_bench_limits;

typedef struct cs_bench {
    const cs_bench_config *cfg;
    int threads;
    cs_bench_limits lim;
    bool text;
    json_t *rows; /* array of {part, name, dtype, value, unit[, of, share]} */
    cs_error *err;
} cs_bench;

/* One line and one JSON row. `of` names the limit that `limit` is; NULL = no limit to compare with. */
void cs_bench_row(cs_bench *b, const char *part, const char *name, const char *dtype, double value, const char *unit, double limit, const char *of);
/* Aligned memory filled with numbers in [-0.5, 0.5) of type t; NULL when out of memory. Free with cs_free. */
void *cs_bench_array(cs_dtype t, int64_t n, uint64_t site);
/* The limit that products of this type are measured against: GFLOP/s, its name in *of. */
double cs_bench_peak(const cs_bench *b, cs_dtype t, const char **of);

/* The first n_sizes of 1, 16, 64, 256 MiB, best of `repeat` each; nothing under an MPI launcher. Call it before anything starts a thread. */
cs_status cs_bench_ranks(int64_t repeat, int n_sizes, cs_bench_rank_rates *out, cs_error *err);

/* The sub-benches. Fallible: memory, kernel choice. */
cs_status cs_bench_limits_run(cs_bench *b);
cs_status cs_bench_kernels_run(cs_bench *b);
cs_status cs_bench_gemm_run(cs_bench *b);
cs_status cs_bench_train_run(cs_bench *b);
cs_status cs_bench_decode_run(cs_bench *b);
cs_status cs_bench_tokenize_run(cs_bench *b);

#endif
