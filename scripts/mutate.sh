#!/bin/bash
# Shows that the comparison of layouts (tests/parallel/test_layouts.c) sees what it should: breaks one thing of the parallel code at a time, in a copy
# of the sources, and demands that the test fails. A run that waits for a message that never comes is ended and counts as seen.
# usage: scripts/mutate.sh FOLDER [NAME...]      (from the root of the repository; no NAME = all; FOLDER is made anew)
set -u
folder=$1
shift
only=" $* "
rm -rf "$folder" && mkdir -p "$folder/tree" || exit 1
cp -r Makefile src tests scripts include "$folder/tree/" 2>/dev/null
cd "$folder/tree" || exit 1
make -j2 BUILD=../build MPI=0 DNNL=0 ../build/tests/parallel/test_layouts >../build.log 2>&1 || { tail -5 ../build.log; exit 1; }
export OMP_WAIT_POLICY=passive
../build/tests/parallel/test_layouts >../plain.log 2>&1 || { echo "the unbroken program fails"; exit 1; }
seen=0 missed=0

# mutate NAME FILE OLD NEW: the first place of FILE where OLD (fixed text) stands becomes NEW
mutate() {
    local name=$1 file=$2 old=$3 new=$4
    [ "$only" = "  " ] || [[ "$only" = *" $name "* ]] || return
    cp "$file" ../original
    if ! OLD=$old NEW=$new perl -0pi -e 's/\Q$ENV{OLD}\E/$ENV{NEW}/ or exit 3' "$file"; then
        echo "FAILED $name: $file has no such place any more"
        missed=$((missed + 1))
    elif ! make -j2 BUILD=../build MPI=0 DNNL=0 ../build/tests/parallel/test_layouts >"../$name.build" 2>&1; then
        echo "FAILED $name: does not build, see $folder/$name.build"
        missed=$((missed + 1))
    elif timeout 300 ../build/tests/parallel/test_layouts >"../$name.log" 2>&1; then
        echo "FAILED $name: the test passes"
        missed=$((missed + 1))
    else
        echo "ok     $name"
        seen=$((seen + 1))
    fi
    cp ../original "$file"
}

mutate sum-of-rows src/nn/region.c 'cs_comm_allreduce_sum(group, y.data, y.rows * y.cols, y.dtype);' ';'
mutate scatter-of-rows src/nn/region.c 'cs_comm_reduce_scatter_sum_v(group, terms.data, y.data, counts_of(ctx, y.cols), y.dtype);' ';'
mutate gather-of-rows src/nn/region.c 'cs_comm_allgather_v(ctx->mesh->group[CS_AXIS_TP], whole.data, counts_of(ctx, x.cols), x.dtype);' ';'
mutate bias-on-every-rank src/nn/linear.c 'return lin->cut != CS_CUT_COLS || ctx->mesh->coord[CS_AXIS_TP] == 0;' 'return true || ctx || lin;'
mutate bias-gradient-twice src/nn/linear.c 'return lin->dbias && (!ctx->sequence_parallel || adds_bias(lin, ctx));' 'return lin->dbias && (ctx || adds_bias(lin, ctx));'
mutate input-gradient-not-summed src/nn/linear.c 'cs_region_sum(ctx, out, dx);' ';'
mutate weight-gradient-of-own-rows src/nn/linear.c 'cs_tensor in = lin->cut == CS_CUT_ROWS ? cs_region_gather(ctx, x) : x;
    CS_ASSERT(in.rows == dy.rows);' 'cs_tensor in = x;
    dy.rows = x.rows;'
mutate largest-logit-of-own src/nn/loss.c 'cs_comm_allreduce_max(tp, c->top, c->n, CS_F64);' '(void)tp;'
mutate exponentials-of-own src/nn/loss.c 'cs_comm_allreduce_sum(tp, c->sum, 2 * c->n, CS_F64);' '(void)tp;'
mutate label-of-whole-vocabulary src/nn/loss.c '- loss->first)' ')'
mutate head-gradient-not-summed src/nn/loss.c 'cs_region_sum(ctx, dx, saved->dx);' ';'
mutate embedding-not-summed src/nn/embed.c 'cs_region_sum(ctx, terms, y);' ';'
mutate embedding-gradient-of-own-rows src/nn/embed.c 'cs_tensor whole = cs_region_gather(ctx, dy);' 'cs_tensor whole = dy;'
mutate slopes-of-the-first-heads src/model/model.c 'm->alibi + t->place.tp_rank * heads' 'm->alibi'
mutate rows-of-another-rank src/model/param.c 'part->lo = part->rows * p->tp_rank / p->tp;' 'part->lo = part->rows * (p->tp - 1 - p->tp_rank) / p->tp;'
mutate columns-of-another-rank src/model/param.c 'p->full_cols * place->tp_rank / place->tp : 0;' 'p->full_cols * (place->tp - 1 - place->tp_rank) / place->tp : 0;'
mutate heads-of-the-first-rank src/model/param.c '*in_file = place->tp_rank * kv * (group + 2) + i;' '*in_file = i;'
mutate recomputed-from-elsewhere src/model/stage.c 'cs_tensor x = stash->input[first];' 'cs_tensor x = stash->input[0];'
mutate stages-swapped src/parallel/layout.c 'int64_t first = cs_layout_first_layer(l, stage, c);' 'int64_t first = cs_layout_first_layer(l, l->pp - 1 - stage, c);'
mutate same-samples-on-every-rank src/parallel/layout.c 'dp_rank * cs_layout_mbs(l, micro)' '0 * dp_rank * cs_layout_mbs(l, micro)'
mutate norm-gradients-of-own-rows src/parallel/dp.c 'sum_over_tensor_ranks(dp, p->lo, p->hi);' ';'
mutate tied-sum-dropped src/parallel/dp.c 'cs_comm_allreduce_sum(dp->mesh->tie, grad_at(dp, embed->offset), embed->n, t->prec.acc);' ';'
mutate replicas-in-the-norm src/parallel/dp.c '(!g->replicated || dp->mesh->coord[CS_AXIS_TP] == 0)' '(g->replicated || !g->replicated)'
mutate tied-copy-in-the-norm src/parallel/dp.c 'return !g->copy && ' 'return '
mutate norm-of-one-stage src/parallel/dp.c 'cs_comm_allreduce_sum(dp->mesh->group[CS_AXIS_PP], &sum, 1, CS_F64);' ';'
mutate norm-of-one-tensor-rank src/parallel/dp.c 'cs_comm_allreduce_sum(dp->mesh->group[CS_AXIS_TP], &sum, 1, CS_F64);' ';'
mutate gradients-not-reduced src/parallel/dp.c 'cs_comm_allreduce_sum_begin(dp->group, grad, p->hi - p->lo, t->prec.acc, &dp->under_way[g]);' ';'
mutate others-gradients-kept src/parallel/dp.c 'drop_others(dp, g, dp->grad, dp->table->prec.acc);' ';'
mutate weights-not-spread src/parallel/dp.c 'for (int64_t g = 0; dp->policy.shard_optim && !dp->policy.shard_param' 'for (int64_t g = 1; dp->policy.shard_optim && !dp->policy.shard_param'
mutate reduction-too-early src/parallel/dp.c 'bool here = (l >= layers.lo && l < layers.hi)' 'bool here = (l >= 0 && l < layers.hi)'
mutate moments-of-another-part src/parallel/dp.c 'dp->m ? cs_flat_at(dp->m, acc, own.at)' 'dp->m ? cs_flat_at(dp->m, acc, own.at / 2)'
mutate the-other-norm-again src/model/block.c 'cs_norm_again(&b->norm1, ctx' 'cs_norm_again(&b->norm2, ctx'
mutate attention-again-in-place src/nn/attention.c 'saved->out = out;' ';'
echo "$seen mutations seen, $missed not"
[ "$missed" = 0 ]
