/* The one executor of pipeline schedules, and the only place with communication between stages. */
#ifndef CS_PARALLEL_PIPELINE_H
#define CS_PARALLEL_PIPELINE_H

#include "model/model.h"
#include "parallel/dp.h"
#include "parallel/schedule.h"

/* Runs this rank's stage of schedule s over micro-batches batch[n_micro], the same on all ranks of a model (tensor and pipeline parallel). The model
 * has n_slots stashes. scale[i] multiplies the summed loss of micro-batch i for the gradients (unused in a FORWARD schedule). loss[i] gets the sum
 * over micro-batch i of weight * -log p(label) on the ranks of the last stage, 0 on others. Reductions that the table starts early begin in dp and
 * are completed by cs_dp_reduce_grads; NULL: they are not begun. Collective over the pipeline and tensor parallel groups. */
void cs_pipeline_run(cs_model *m, const cs_schedule *s, const cs_batch *batch, const double *scale, cs_dp *dp, double *loss);

#endif
