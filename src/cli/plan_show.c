/* What `cspeed plan` prints, as text and as JSON. */
#include "cli/plan.h"

#include "fmt/json.h"

#include <stdio.h>

int64_t cs_plan_largest_stage(const cs_plan *p)
{
    int64_t best = 0;
    for (int64_t i = 1; i < p->request.layout.pp; i++)
        best = p->stage[i].total > p->stage[best].total ? i : best;
    return best;
}

static bool used(const cs_plan *p, int kind)
{
    for (int64_t i = 0; i < p->request.layout.pp; i++)
        if (p->stage[i].bytes[kind] > 0)
            return true;
    return false;
}

/* --- text ------------------------------------------------------------------------------------------------------------------------- */

enum { LABEL = 24, COLUMN = 22 };

static double gib(int64_t bytes)
{
    return (double)bytes / (double)(1 << 30);
}

static void print_head(const cs_plan *p)
{
    const cs_spec *s = &p->spec;
    const cs_layout *l = &p->request.layout;
    printf("%s: %lld layers, hidden %lld, heads %lld/%lld, ffn %lld, vocabulary %lld: %lld parameters\n", s->family->name, (long long)s->n_layers,
           (long long)s->hidden, (long long)s->n_heads, (long long)s->n_kv_heads, (long long)s->ffn, (long long)s->vocab_size,
           (long long)p->parameters);
    printf("%s, %lld %s = TP %lld x PP %lld x DP %lld", cs_dtype_name(p->table.prec.store), (long long)l->world,
           l->world == 1 ? "rank" : "ranks", (long long)l->tp, (long long)l->pp, (long long)l->dp);
    if (l->inference) {
        printf("; generation of %lld x %lld tokens\n", (long long)l->micro_batch, (long long)l->seq_length);
        return;
    }
    if (l->zero > 0)
        printf(", ZeRO %lld", (long long)l->zero);
    if (l->chunks > 1)
        printf(", %lld chunks a stage (%s)", (long long)l->chunks, cs_schedule_name(l->schedule));
    if (l->sequence_parallel && l->tp > 1)
        printf(", sequence parallel");
    if (l->n_stage_again > 0)
        printf(", recomputing layers by stage");
    else if (l->recompute == CS_RECOMPUTE_SELECTIVE) {
        char modules[64];
        cs_layout_drop_text(l->drop, modules, sizeof modules);
        printf(", recomputing %s of every layer", modules);
    } else if (l->recompute != CS_RECOMPUTE_NONE)
        printf(", recomputing %s%lld layers", l->recompute == CS_RECOMPUTE_BLOCK ? "the first " : "groups of ", (long long)l->recompute_layers);
    if (l->n_mbs > 0)
        printf("; %lld micro-batches of up to %lld x %lld tokens\n", (long long)l->n_micro, (long long)l->largest_mbs, (long long)l->seq_length);
    else
        printf("; %lld micro-batches of %lld x %lld tokens\n", (long long)l->n_micro, (long long)l->micro_batch, (long long)l->seq_length);
}

/* First, middle (the first of them holds most) and last stage. */
static int shown_stages(int64_t pp, int64_t stage[3])
{
    int n = 0;
    stage[n++] = 0;
    if (pp > 2)
        stage[n++] = 1;
    if (pp > 1)
        stage[n++] = pp - 1;
    return n;
}

static void print_row(const char *label, const int64_t *value, int n)
{
    printf("%-*s", LABEL, label);
    for (int i = 0; i < n; i++)
        printf(" %*lld", COLUMN, (long long)value[i]);
    putchar('\n');
}

static void print_stages(const cs_plan *p)
{
    static const char *const place[] = {"first", "middle", "last"};
    int64_t at[3], value[3];
    int n = shown_stages(p->request.layout.pp, at);
    char text[48];
    printf("\n%-*s", LABEL, "bytes of a rank");
    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, "stage %lld (%s)", (long long)at[i], n == 1 ? "all" : place[i == n - 1 ? 2 : i]);
        printf(" %*s", COLUMN, text);
    }
    putchar('\n');
#define ROW(label, field)                \
    for (int i = 0; i < n; i++)          \
        value[i] = p->stage[at[i]].field; \
    print_row(label, value, n)
    ROW("layers", n_layers);
    ROW("parameters", parameters);
    if (!p->request.layout.inference) {
        ROW("batches in flight", in_flight);
    }
    for (int k = 0; k < CS_MEMORY_COUNT; k++)
        if (used(p, k)) {
            ROW(cs_memory_name((cs_memory_kind)k), bytes[k]);
        }
    ROW("total", total);
    if (p->request.offloads) {
        ROW("optimizer state on disk", offloaded);
    }
#undef ROW
    printf("%-*s", LABEL, "total, GiB");
    for (int i = 0; i < n; i++)
        printf(" %*.3f", COLUMN, gib(p->stage[at[i]].total));
    putchar('\n');
}

/* --- the step --------------------------------------------------------------------------------------------------------------------- */

static void print_step(const cs_plan *p)
{
    const cs_simulation *s = &p->sim;
    const cs_machine *m = &p->machine;
    const cs_layout *l = &p->request.layout;
    double rank = s->tokens_per_s / (double)l->world;
    printf("\nmachine: %s: %.4g GFLOP/s a rank in products, %.4g in attention, %.3g GB/s memory, %lld ranks a host, %.3g GB/s between them;\n"
           "  between hosts %.3g GB/s%s\n", m->name, m->gflops, m->attention_gflops, m->memory_gbs, (long long)m->ranks_per_host, m->host_gbs,
           m->net_gbs, p->measured ? " (assumed: describe the network with --machine)" : "");
    printf("step: %.4g s = %.5g tokens/s, %.5g a rank, %.1f%% of the products' rate\n", s->step_s, s->tokens_per_s, rank,
           100 * rank * p->flops * 1e-9 / m->gflops);
    printf("  computing %.4g s, waiting %.4g s (bubble %.4f of the pipeline's %.4g s), optimizer %.4g s: means over the stages\n", s->compute_s,
           s->bubble * s->pipeline_s, s->bubble, s->pipeline_s, s->optimizer_s);
    if (l->tp > 1)
        printf("  tensor parallel communication %.4g s, all exposed\n", s->tensor_s);
    if (l->pp > 1)
        printf("  messages between stages %.4g s, exposed %.4g s\n", s->messages_s, s->messages_exposed_s);
    if (s->gradients_s > 0)
        printf("  gradients and weights between ranks %.4g s, exposed %.4g s\n", s->gradients_s, s->gradients_exposed_s);
    if (p->steps > 0)
        printf("%.0f steps, %.4g tokens: %.4g days\n", p->steps, p->steps * (double)(l->global_batch * l->seq_length), p->steps * s->step_s / 86400);
    if (p->columns > 0 && l->pp > 1) {
        cs_str text = {0};
        cs_plan_diagram(p, p->columns, &text);
        if (cs_str_check(&text, &(cs_error){0}) == CS_OK)
            printf("\n%s", cs_str_cstr(&text));
        cs_str_release(&text);
    }
}

static const char *recompute_text(const cs_layout *l, char buf[24])
{
    if (l->recompute == CS_RECOMPUTE_SELECTIVE)
        return l->drop == CS_DROP_PARTS ? "parts" : "norms";
    if (l->recompute == CS_RECOMPUTE_BLOCK)
        snprintf(buf, 24, "first %lld", (long long)l->recompute_layers);
    return l->recompute == CS_RECOMPUTE_NONE ? "none" : l->recompute == CS_RECOMPUTE_UNIFORM ? "all" : buf;
}

static void print_search(const cs_plan *p)
{
    char buf[24];
    printf("%lld layouts, %lld legal, %lld run on the virtual clock; the fastest:\n", (long long)p->count.tried, (long long)p->count.legal,
           (long long)p->count.timed);
    printf("%4s %4s %5s %6s %-11s %6s %6s %5s %3s %-9s %10s %12s %9s\n", "TP", "PP", "DP", "chunks", "schedule", "mbs", "micros", "ZeRO", "SP",
           "recompute", "step, s", "tokens/s", "GiB");
    for (int i = 0; i < p->n_best; i++) {
        const cs_layout *l = &p->best[i].layout;
        printf("%4lld %4lld %5lld %6lld %-11s %6lld %6lld %5lld %3s %-9s %10.4g %12.5g %9.2f\n", (long long)l->tp, (long long)l->pp, (long long)l->dp,
               (long long)l->chunks, cs_schedule_name(l->schedule), (long long)l->micro_batch, (long long)l->n_micro, (long long)l->zero,
               l->sequence_parallel ? "yes" : "no", recompute_text(l, buf), p->best[i].step_s,
               (double)(l->global_batch * l->seq_length) / p->best[i].step_s, gib(p->best[i].bytes));
    }
    putchar('\n');
}

void cs_plan_print_text(const cs_plan *p)
{
    const cs_layout *l = &p->request.layout;
    const cs_memory *most = &p->stage[cs_plan_largest_stage(p)];
    if (p->n_best > 0)
        print_search(p);
    print_head(p);
    print_stages(p);
    printf("\nlargest rank: %lld bytes = %.3f GiB, on stage %lld; %lld bytes more are asked for and never touched\n", (long long)most->total,
           gib(most->total), (long long)cs_plan_largest_stage(p), (long long)(most->reserved - most->total));
    printf("packed weights and work as by kernels %s on %d %s\n", p->request.kernels->name, p->request.threads,
           p->request.threads == 1 ? "thread" : "threads");
    if (l->inference) {
        printf("the weights' file is mapped while it is read and counts as page cache\n");
        return;
    }
    printf("FLOPs per token: 6 N + 12 L h s = %.6g, N = %lld in matrix products\n", p->flops, (long long)cs_spec_n_matmul_params(&p->spec));
    if (p->executed > p->flops)
        printf("executed with recomputation: %.6g\n", p->executed);
    print_step(p);
}

/* --- JSON ------------------------------------------------------------------------------------------------------------------------- */

static json_t *stage_json(const cs_memory *m, int64_t stage, bool inference)
{
    json_t *o = json_pack("{s:I, s:I, s:I, s:I}", "stage", (json_int_t)stage, "first_layer", (json_int_t)m->first_layer, "num_layers",
                          (json_int_t)m->n_layers, "parameters", (json_int_t)m->parameters);
    if (!inference)
        json_object_set_new(o, "in_flight", json_integer(m->in_flight));
    for (int k = 0; k < CS_MEMORY_COUNT; k++)
        json_object_set_new(o, cs_memory_key((cs_memory_kind)k), json_integer(m->bytes[k]));
    json_object_set_new(o, "total_bytes", json_integer(m->total));
    json_object_set_new(o, "reserved_bytes", json_integer(m->reserved));
    if (m->offloaded > 0)
        json_object_set_new(o, "offloaded_bytes", json_integer(m->offloaded));
    return o;
}

static json_t *stage_times_json(const cs_sim_stage *s)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "compute_s", s->compute, "tensor_s", s->tensor, "messages_s", s->messages, "wait_s",
                     s->wait, "pipeline_end_s", s->pipeline_end, "reduced_s", s->reduced, "optimizer_s", s->optimizer);
}

static json_t *simulation_json(const cs_plan *p)
{
    const cs_simulation *s = &p->sim;
    const cs_layout *l = &p->request.layout;
    json_t *stages = json_array();
    json_t *o = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "step_s", s->step_s, "pipeline_s", s->pipeline_s, "tokens_per_s",
                          s->tokens_per_s, "tokens_per_rank_s", s->tokens_per_s / (double)l->world, "compute_s", s->compute_s, "tensor_s",
                          s->tensor_s,
                          "messages_s", s->messages_s, "messages_exposed_s", s->messages_exposed_s, "gradients_s", s->gradients_s,
                          "gradients_exposed_s", s->gradients_exposed_s, "optimizer_s", s->optimizer_s);
    if (p->steps > 0)
        json_object_set_new(o, "days", json_real(p->steps * s->step_s / 86400));
    for (int64_t i = 0; i < l->pp; i++)
        json_array_append_new(stages, stage_times_json(&s->stage[i]));
    json_object_set_new(o, "stages", stages);
    return o;
}

static json_t *search_json(const cs_plan *p)
{
    json_t *list = json_array();
    for (int i = 0; i < p->n_best; i++) {
        const cs_layout *l = &p->best[i].layout;
        char buf[24];
        json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:b, s:s, s:f, s:I}", "tensor_model_parallel_size", (json_int_t)l->tp,
                              "pipeline_model_parallel_size", (json_int_t)l->pp, "data_parallel_size", (json_int_t)l->dp, "chunks",
                              (json_int_t)l->chunks, "schedule", cs_schedule_name(l->schedule), "micro_batch_size", (json_int_t)l->micro_batch,
                              "zero_stage", (json_int_t)l->zero, "sequence_parallel", (int)l->sequence_parallel, "recompute",
                              recompute_text(l, buf), "step_s", p->best[i].step_s, "largest_rank_bytes", (json_int_t)p->best[i].bytes);
        json_array_append_new(list, o);
    }
    return list;
}

cs_status cs_plan_print_json(const cs_plan *p, cs_error *err)
{
    const cs_spec *s = &p->spec;
    const cs_layout *l = &p->request.layout;
    json_t *stages = json_array(), *o = json_object();
    json_object_set_new(o, "model", json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "family", s->family->name, "num_layers", (json_int_t)s->n_layers,
                                              "hidden_size", (json_int_t)s->hidden, "num_attention_heads", (json_int_t)s->n_heads,
                                              "num_key_value_heads", (json_int_t)s->n_kv_heads, "ffn_hidden_size", (json_int_t)s->ffn, "vocab_size",
                                              (json_int_t)s->vocab_size));
    json_object_set_new(o, "layout", json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I}", "world_size", (json_int_t)l->world,
                                               "tensor_model_parallel_size", (json_int_t)l->tp, "pipeline_model_parallel_size", (json_int_t)l->pp,
                                               "data_parallel_size", (json_int_t)l->dp, "chunks", (json_int_t)l->chunks, "zero_stage",
                                               (json_int_t)l->zero, "sequence_parallel", l->sequence_parallel && l->tp > 1, "micro_batch_size",
                                               (json_int_t)l->micro_batch, "seq_length", (json_int_t)l->seq_length));
    json_object_set_new(json_object_get(o, "layout"), "schedule", json_string(cs_schedule_name(l->schedule)));
    json_object_set_new(o, "dtype", json_string(cs_dtype_name(p->table.prec.store)));
    json_object_set_new(o, "kernels", json_string(p->request.kernels->name));
    json_object_set_new(o, "parameters", json_integer(p->parameters));
    json_object_set_new(o, "matmul_parameters", json_integer(cs_spec_n_matmul_params(s)));
    if (!l->inference) {
        json_object_set_new(o, "global_batch_size", json_integer(l->global_batch));
        json_object_set_new(o, "micro_batches", json_integer(l->n_micro));
        json_object_set_new(o, "flops_per_token", json_real(p->flops));
        json_object_set_new(o, "executed_flops_per_token", json_real(p->executed));
        json_object_set_new(o, "bubble", json_real(p->sim.bubble));
        json_object_set_new(o, "simulation", simulation_json(p));
        json_object_set_new(o, "machine", cs_machine_to_json(&p->machine));
        if (p->n_best > 0)
            json_object_set_new(o, "search", search_json(p));
    }
    for (int64_t i = 0; i < l->pp; i++)
        json_array_append_new(stages, stage_json(&p->stage[i], i, l->inference));
    json_object_set_new(o, "stages", stages);
    json_object_set_new(o, "largest_rank_bytes", json_integer(p->stage[cs_plan_largest_stage(p)].total));
    cs_str text = {0};
    cs_status status = cs_json_dump(o, 2, &text, err);
    if (status == CS_OK)
        puts(cs_str_cstr(&text));
    cs_str_release(&text);
    json_decref(o);
    return status;
}
