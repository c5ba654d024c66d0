/* Writing recorded spans as a Chrome trace. */
#include "train/profile.h"

#include "base/io.h"
#include "base/mem.h"

#include <inttypes.h>

/* Rows of a rank in the trace: passes, what is waited for and sent, collectives within the passes, the rest of the step. */
static int row_of(int32_t kind)
{
    switch (kind) {
    case CS_SPAN_FORWARD:
    case CS_SPAN_BACKWARD: return 0;
    case CS_SPAN_RECEIVE:
    case CS_SPAN_SEND: return 1;
    case CS_SPAN_COLLECTIVE: return 2;
    default: return 3;
    }
}

static const char *const row_names[] = {"compute", "pipeline", "tensor parallel", "step"};

static void put_names(cs_str *out, int rank, const int coord[CS_AXIS_COUNT])
{
    cs_str_printf(out, "%s\n{\"ph\":\"M\",\"pid\":%d,\"name\":\"process_name\",\"args\":{\"name\":\"rank %d (tp %d, dp %d, pp %d)\"}}",
                  rank ? "," : "", rank, rank, coord[CS_AXIS_TP], coord[CS_AXIS_DP], coord[CS_AXIS_PP]);
    for (int i = 0; i < 4; i++)
        cs_str_printf(out, ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"%s\"}}", rank, i, row_names[i]);
}

static void put_span(cs_str *out, int rank, const cs_time_span *s, double origin)
{
    cs_str_printf(out, ",\n{\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"name\":\"%s\",\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"step\":%" PRId64, rank,
                  row_of(s->kind), cs_span_name(s->kind), (s->begin - origin) * 1e6, (s->end - s->begin) * 1e6, s->step);
    if (s->chunk >= 0)
        cs_str_printf(out, ",\"chunk\":%d", s->chunk);
    if (s->micro >= 0)
        cs_str_printf(out, ",\"micro_batch\":%" PRId64, s->micro);
    cs_str_puts(out, "}}");
}

void cs_profile_put(cs_str *out, int rank, const int coord[CS_AXIS_COUNT], const cs_time_span *span, int64_t n, double origin)
{
    if (rank == 0)
        cs_str_puts(out, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
    put_names(out, rank, coord);
    for (int64_t i = 0; i < n; i++)
        put_span(out, rank, &span[i], origin);
}

void cs_profile_end(cs_str *out, int64_t lost)
{
    cs_str_printf(out, "\n],\"otherData\":{\"spans_without_room\":%" PRId64 "}}\n", lost);
}

/* What a rank sends ahead of its spans. */
typedef struct head {
    int64_t n, lost;
    double origin;
} head;

static cs_status put_rank(cs_str *out, int rank, const cs_mesh *mesh, const head *h, const cs_time_span *span, cs_error *err)
{
    int coord[CS_AXIS_COUNT];
    cs_mesh_coords(mesh->size, rank, coord);
    cs_profile_put(out, rank, coord, span, h->n, h->origin);
    return cs_str_check(out, err);
}

/* Rank 0 takes one rank after the other, so that no more than one rank's spans are there at a time. A rank that failed goes on receiving. */
static cs_status gather(const cs_timeline *t, const cs_mesh *mesh, double origin, cs_str *out, int64_t *lost, cs_error *err)
{
    cs_comm *world = mesh->world;
    const head own = {t->n, t->lost, origin};
    cs_xfer x = {0};
    cs_status status = CS_OK;
    if (cs_comm_rank(world) != 0) {
        cs_comm_send_begin(world, &own, sizeof own, 0, 0, &x);
        cs_comm_wait(&x);
        cs_comm_send_begin(world, t->span, t->n * (int64_t)sizeof *t->span, 0, 1, &x);
        cs_comm_wait(&x);
        return CS_OK;
    }
    status = put_rank(out, 0, mesh, &own, t->span, err);
    *lost = t->lost;
    for (int r = 1; r < cs_comm_size(world); r++) {
        head h;
        cs_comm_recv_begin(world, &h, sizeof h, r, 0, &x);
        cs_comm_wait(&x);
        cs_time_span *span = cs_mem_must(cs_malloc((size_t)(h.n + 1) * sizeof *span), (size_t)h.n * sizeof *span, "a rank's timeline");
        cs_comm_recv_begin(world, span, h.n * (int64_t)sizeof *span, r, 1, &x);
        cs_comm_wait(&x);
        if (status == CS_OK)
            status = put_rank(out, r, mesh, &h, span, err);
        *lost += h.lost;
        cs_free(span);
    }
    return status;
}

cs_status cs_profile_write(const cs_timeline *t, const cs_mesh *mesh, double origin, const char *path, cs_error *err)
{
    cs_str out = {0};
    int64_t lost = 0;
    cs_status status = gather(t, mesh, origin, &out, &lost, err);
    cs_profile_end(&out, lost);
    if (status == CS_OK)
        status = cs_str_check(&out, err);
    if (status == CS_OK && cs_comm_rank(mesh->world) == 0)
        status = cs_io_write_atomic(path, out.data, out.len, err);
    cs_str_release(&out);
    return cs_agree(mesh->world, status, err);
}
