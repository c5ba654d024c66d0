/* Memory of the ranks, written once at the end of a run. */
#include "train/footprint.h"

#include "base/mem.h"
#include "fmt/json.h"

#include <sys/resource.h>

enum { PEAK, ACTIVATIONS, TEMPORARY, OFFLOADED, RESIDENT, N_FIGURES };

static const char *const keys[N_FIGURES] = {
    [PEAK] = "peak_bytes", [ACTIVATIONS] = "activations_bytes", [TEMPORARY] = "temporary_bytes", [OFFLOADED] = "offloaded_bytes",
    [RESIDENT] = "rss_bytes",
};

double cs_footprint_resident(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss * 1024;
}

static void look(const cs_trainer *t, int64_t peak, int64_t *f)
{
    const cs_model *m = t->model;
    f[PEAK] = peak;
    f[ACTIVATIONS] = (int64_t)m->refill.high_water;
    for (int64_t i = 0; i < m->n_stashes; i++)
        f[ACTIVATIONS] += (int64_t)m->stash[i].arena.high_water;
    f[TEMPORARY] = (int64_t)m->scratch.high_water;
    f[OFFLOADED] = (int64_t)t->dp.offload.bytes;
    f[RESIDENT] = (int64_t)cs_footprint_resident();
}

static cs_status write_ranks(cs_trainer *t, const int64_t *all, cs_error *err)
{
    cs_str text = {0};
    int64_t failures = cs_mem_failures();
    json_t *o = json_object(), *ranks = json_array();
    for (int r = 0; r < cs_comm_size(t->world); r++) {
        int coord[CS_AXIS_COUNT];
        cs_mesh_coords(t->mesh.size, r, coord);
        json_t *row = json_pack("{s:i, s:i, s:i, s:i}", "rank", r, "tp", coord[CS_AXIS_TP], "dp", coord[CS_AXIS_DP], "stage", coord[CS_AXIS_PP]);
        for (int i = 0; i < N_FIGURES; i++)
            json_object_set_new(row, keys[i], json_integer(all[(int64_t)r * N_FIGURES + i]));
        json_array_append_new(ranks, row);
    }
    json_object_set_new(o, "ranks", ranks);
    cs_status status = cs_mem_failures() == failures ? cs_json_dump(o, 1, &text, err) : cs_fail_nomem(err, 1024, "memory.json");
    if (status == CS_OK)
        cs_str_putc(&text, '\n');
    if (status == CS_OK)
        status = cs_str_check(&text, err);
    if (status == CS_OK)
        status = cs_runlog_file(&t->log, "memory.json", cs_str_cstr(&text), err);
    cs_str_release(&text);
    json_decref(o);
    return status;
}

cs_status cs_footprint_write(cs_trainer *t, int64_t peak, cs_error *err)
{
    size_t size = (size_t)cs_comm_size(t->world);
    int64_t *all = cs_calloc(size * (N_FIGURES + 1), sizeof *all), *counts = all ? all + size * N_FIGURES : NULL;
    CS_TRY(cs_agree(t->world, all ? CS_OK : cs_fail_nomem(err, size * (N_FIGURES + 1) * sizeof *all, "memory.json"), err));
    for (size_t r = 0; r < size; r++)
        counts[r] = N_FIGURES;
    look(t, peak, all + (size_t)cs_comm_rank(t->world) * N_FIGURES);
    cs_comm_allgather_v(t->world, all, counts, CS_I64);
    cs_status status = cs_comm_rank(t->world) == 0 ? write_ranks(t, all, err) : CS_OK;
    cs_free(all);
    return cs_agree(t->world, status, err);
}
