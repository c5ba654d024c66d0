/* --profile: the spans of all ranks as a Chrome trace (JSON), one row per rank and kind of activity; about:tracing and Perfetto show it beside the
 * diagram of `plan`. */
#ifndef CS_TRAIN_PROFILE_H
#define CS_TRAIN_PROFILE_H

#include "base/str.h"
#include "base/timeline.h"
#include "comm/mesh.h"

/* Gathers the spans on rank 0, which writes `path` atomically; times in microseconds since `origin` of each rank. Collective over the mesh's world:
 * the same status on all ranks. CS_E_IO, CS_E_NOMEM. */
cs_status cs_profile_write(const cs_timeline *t, const cs_mesh *mesh, double origin, const char *path, cs_error *err);

/* The text, for others who show steps in this form (`plan --trace`); appended to *out, whose status (cs_str_check) tells when memory ran out.
 * Ranks in rising order from 0, then the end. coord: place in the mesh. */
void cs_profile_put(cs_str *out, int rank, const int coord[CS_AXIS_COUNT], const cs_time_span *span, int64_t n, double origin);
void cs_profile_end(cs_str *out, int64_t lost);

#endif
