/* The group of one. comm.c never passes a collective on to it; only memory and splitting are left. */
#include "comm/backend.h"

#include "base/mem.h"

static void *self_alloc(cs_comm *c, int64_t bytes, bool sparse)
{
    (void)c;
    void *p = sparse ? cs_alloc_sparse((size_t)bytes) : cs_alloc_aligned((size_t)bytes);
    if (p && !sparse)
        memset(p, 0, (size_t)bytes);
    return p;
}

static void self_free(cs_comm *c, void *p)
{
    (void)c;
    cs_free(p);
}

static cs_status self_split(cs_comm *parent, int color, int key, cs_comm **out, cs_error *err)
{
    (void)color, (void)key, (void)err;
    *out = parent;
    return CS_OK;
}

static void self_destroy(cs_comm *c)
{
    (void)c;
}

cs_comm *cs_comm_self(void)
{
    static const cs_comm_ops ops = {
        .name = "self", .alloc = self_alloc, .free = self_free, .split = self_split, .destroy = self_destroy};
    static cs_comm self = {.ops = &ops, .rank = 0, .size = 1, .local_size = 1}; /* never written to */
    return &self;
}
