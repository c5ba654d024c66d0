/* --profile: the spans of all ranks as a Chrome trace (JSON), one row per rank and kind of activity; about:tracing and Perfetto show it beside the
 * diagram of `plan`. */
#ifndef CS_TRAIN_PROFILE_H
#define CS_TRAIN_PROFILE_H

#include "base/timeline.h"
#include "comm/mesh.h"

/* Gathers the spans on rank 0, which writes `path` atomically; times in microseconds since `origin` of each rank. Collective over the mesh's world:
 * the same status on all ranks. CS_E_IO, CS_E_NOMEM. */
cs_status cs_profile_write(const cs_timeline *t, const cs_mesh *mesh, double origin, const char *path, cs_error *err);

#endif
