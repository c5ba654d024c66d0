/* What ranks run on, as numbers for the virtual clock: described in a JSON file, or measured by the caller. */
#ifndef CS_PARALLEL_MACHINE_H
#define CS_PARALLEL_MACHINE_H

#include "base/error.h"

#include <jansson.h>

/* GB = 1e9 bytes. A rank is one process with its threads. */
typedef struct cs_machine {
    char name[80];
    double gflops, attention_gflops;  /* GFLOP/s of a rank: matrix products, attention (operations under the causal mask only) */
    double memory_gbs;                /* memory traffic of a rank while all ranks of its host do the same */
    double rows_gbs;                  /* the bytes of norms, activations, softmax: work row by row; 0 = as memory_gbs */
    double host_gbs, host_latency_s;  /* from one rank to another on a host, all at once */
    double tensor_gbs;                /* the same from memory that they do not share: activations; 0 = as host_gbs */
    double pack_gbs, fresh_gbs;       /* bytes that products lay out anew, and that are taken from the system and given back; 0 = not counted */
    double net_gbs, net_latency_s;    /* a host's connection, each way, shared by its ranks */
    double host_overlap, net_overlap; /* 0..1: share of a transfer that runs beside computing; what is left costs processor time */
    int64_t ranks_per_host;
} cs_machine;

/* Reads {"name", "gflops", "attention_gflops", "memory_gb_per_s", "host_gb_per_s", "host_latency_us", "net_gb_per_s", "net_latency_us",
 * "tensor_gb_per_s", "rows_gb_per_s", "pack_gb_per_s", "fresh_gb_per_s", "host_overlap", "net_overlap",
 * "ranks_per_host"}; name, attention_gflops (= gflops), the four before the overlaps (0), host_overlap (0) and net_overlap (1) may be missing.
 * CS_E_IO; CS_E_FORMAT naming every key that is missing, unknown or out of range. */
cs_status cs_machine_load(const char *path, cs_machine *out, cs_error *err);
/* The same object; NULL when out of memory. */
json_t *cs_machine_to_json(const cs_machine *m);

/* Members of a group that lie `stride` ranks apart, and what a collective among them costs. */
typedef struct cs_sim_group {
    int64_t n, per_host; /* members in all, on one host */
} cs_sim_group;

/* Ranks lie TP fastest, then DP, then PP, and hosts are filled in order. */
cs_sim_group cs_machine_group(const cs_machine *m, int64_t n, int64_t stride);

/* Seconds: of the processor, and beside it. */
typedef struct cs_sim_time {
    double cpu, beside;
} cs_sim_time;

/* Reduce-scatter or all-gather of `bytes` in all: inside the hosts first, then between them with a host's share each. A group of one: 0. */
cs_sim_time cs_machine_scatter(const cs_machine *m, cs_sim_group g, double bytes);
/* One message between two ranks; the latency is part of `beside`. */
cs_sim_time cs_machine_message(const cs_machine *m, bool same_host, double bytes);

#endif
