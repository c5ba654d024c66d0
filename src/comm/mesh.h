/* The ranks as a grid {TP, DP, PP}, TP fastest, as Megatron and AscendSpeed number them.
 * Built once by one mixed-radix function, passed to whoever needs it, never global. */
#ifndef CS_COMM_MESH_H
#define CS_COMM_MESH_H

#include "comm/comm.h"

typedef enum cs_axis { CS_AXIS_TP, CS_AXIS_DP, CS_AXIS_PP, CS_AXIS_COUNT, CS_AXIS_NONE = -1 } cs_axis;

typedef struct cs_mesh {
    cs_comm *world;                /* borrowed */
    cs_comm *group[CS_AXIS_COUNT]; /* owned; the ranks that differ from this one in that axis only */
    cs_comm *tie;                  /* owned; the first and the last stage of this pipeline, where a tied embedding lies twice; other stages: alone */
    int size[CS_AXIS_COUNT], coord[CS_AXIS_COUNT];
} cs_mesh;

/* Collective over world. size product must equal the world size, else CS_E_USAGE. */
cs_status cs_mesh_init(cs_mesh *mesh, cs_comm *world, int tp, int dp, int pp, cs_error *err);
void cs_mesh_release(cs_mesh *mesh);
/* Coordinates of a world rank for given sizes: the only place that computes another rank's number. */
void cs_mesh_coords(const int size[CS_AXIS_COUNT], int rank, int coord[CS_AXIS_COUNT]);

#endif
