/* One file a rank: the buffers one behind the other. */
#include "parallel/offload.h"

#include "base/io.h"
#include "base/mem.h"

#include <limits.h>
#include <stdio.h>

enum { ALIGN = 4096 };

cs_status cs_offload_init(cs_offload *o, const char *dir, const char *name, size_t each, int n_buffers, void *buffer[CS_OFFLOAD_BUFFERS],
                          cs_error *err)
{
    char path[PATH_MAX];
    size_t room;
    CS_ASSERT(n_buffers >= 1 && n_buffers <= CS_OFFLOAD_BUFFERS);
    *o = (cs_offload){0};
    if (!cs_add_checked(each ? each : 1, ALIGN - 1, &room))
        return cs_fail_nomem(err, each, "optimizer state");
    room = room / ALIGN * ALIGN;
    if (!cs_mul_checked(room, (size_t)n_buffers, &o->bytes) || o->bytes > INT64_MAX)
        return cs_fail_nomem(err, each, "optimizer state");
    if ((size_t)snprintf(path, sizeof path, "%s/cspeed-optimizer-%s", dir, name) >= sizeof path)
        return cs_fail(err, CS_E_IO, "%.1000s...: the path is too long", dir);
    CS_TRY(cs_io_mkdirs(dir, err));
    CS_TRY(cs_io_scratch(path, o->bytes, &o->memory, err));
    for (int i = 0; i < n_buffers; i++)
        buffer[i] = (char *)o->memory + (size_t)i * room;
    return CS_OK;
}

void cs_offload_release(cs_offload *o)
{
    cs_io_scratch_free(o->memory, o->bytes);
    *o = (cs_offload){0};
}
