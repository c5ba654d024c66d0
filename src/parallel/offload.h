/* Optimizer state of one rank in a mapped file instead of memory (DeepSpeed's offload_optimizer to nvme): the system writes pages out when memory is
 * short and brings them back when the update passes over them. The file has no name and goes with the process, however that ends. */
#ifndef CS_PARALLEL_OFFLOAD_H
#define CS_PARALLEL_OFFLOAD_H

#include "base/error.h"

enum { CS_OFFLOAD_BUFFERS = 3 };

typedef struct cs_offload {
    void *memory; /* NULL = not in use */
    size_t bytes;
} cs_offload;

/* Maps n_buffers (at most CS_OFFLOAD_BUFFERS) zeroed buffers of `each` bytes, aligned to pages, in a new file of folder `dir`, which is made where it
 * is missing; its disk space is taken at once. `name` tells the ranks' files apart. Not collective. CS_E_IO, CS_E_NOMEM. */
cs_status cs_offload_init(cs_offload *o, const char *dir, const char *name, size_t each, int n_buffers, void *buffer[CS_OFFLOAD_BUFFERS],
                          cs_error *err);
void cs_offload_release(cs_offload *o);

#endif
