/* Mixed-radix coordinates of the ranks; the only arithmetic on rank numbers outside the back ends. */
#include "comm/mesh.h"

void cs_mesh_coords(const int size[CS_AXIS_COUNT], int rank, int coord[CS_AXIS_COUNT])
{
    for (int a = 0; a < CS_AXIS_COUNT; a++) {
        coord[a] = rank % size[a];
        rank /= size[a];
    }
}

/* Color of the group that stages 0 and size - 1 of a pipeline share; the stages between have one each. */
static int tie_color(const cs_mesh *m)
{
    int stage = m->coord[CS_AXIS_PP];
    if (stage == m->size[CS_AXIS_PP] - 1)
        stage = 0;
    return (stage * m->size[CS_AXIS_DP] + m->coord[CS_AXIS_DP]) * m->size[CS_AXIS_TP] + m->coord[CS_AXIS_TP];
}

cs_status cs_mesh_init(cs_mesh *mesh, cs_comm *world, int tp, int dp, int pp, cs_error *err)
{
    *mesh = (cs_mesh){.world = world, .size = {tp, dp, pp}};
    int n = cs_comm_size(world);
    if (tp < 1 || dp < 1 || pp < 1 || (int64_t)tp * dp > n || (int64_t)tp * dp * pp != n)
        return cs_fail(err, CS_E_USAGE, "tensor %d x data %d x pipeline %d parallel sizes do not multiply to the %d ranks of this run", tp,
                       dp, pp, n);
    cs_mesh_coords(mesh->size, cs_comm_rank(world), mesh->coord);
    for (int a = 0; a < CS_AXIS_COUNT; a++) {
        int color = 0, weight = 1; /* equal for the ranks that differ in axis a only */
        for (int b = 0; b < CS_AXIS_COUNT; b++) {
            if (b == a)
                continue;
            color += mesh->coord[b] * weight;
            weight *= mesh->size[b];
        }
        cs_status s = cs_comm_split(world, color, mesh->coord[a], &mesh->group[a], err);
        if (s != CS_OK) { /* split fails on all ranks or on none */
            cs_mesh_release(mesh);
            return s;
        }
    }
    cs_status s = cs_comm_split(world, tie_color(mesh), mesh->coord[CS_AXIS_PP], &mesh->tie, err);
    if (s != CS_OK)
        cs_mesh_release(mesh);
    return s;
}

void cs_mesh_release(cs_mesh *mesh)
{
    cs_comm_destroy(mesh->tie);
    for (int a = 0; a < CS_AXIS_COUNT; a++)
        cs_comm_destroy(mesh->group[a]);
    *mesh = (cs_mesh){0};
}
