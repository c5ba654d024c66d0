/* The file is walked once with a table of the keys that DeepSpeed documents; a value is remembered with its place. What remains are a few rules in
 * which several keys give one option. */
#include "train/deepspeed.h"

#include "base/io.h"
#include "base/log.h"
#include "fmt/json.h"
#include "fmt/json_scan.h"
#include "fmt/limits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum kind { BOOL, NUMBER, TEXT, ANY } kind;

typedef struct row {
    const char *path;   /* keys with dots between; elements of an array by their index */
    kind kind;          /* ANY: scalar or whole subtree */
    const char *option; /* that takes the value; "" = one of the rules below reads it; NULL = no effect on a CPU with shared memory */
} row;

static const row rows[] = {
    {"train_batch_size", NUMBER, "global-batch-size"},
    {"train_micro_batch_size_per_gpu", NUMBER, "micro-batch-size"},
    {"gradient_accumulation_steps", NUMBER, "gradient-accumulation-steps"},
    {"gradient_clipping", NUMBER, "clip-grad"},
    {"optimizer.type", TEXT, ""},
    {"optimizer.params.lr", NUMBER, ""},
    {"optimizer.params.betas.0", NUMBER, "adam-beta1"},
    {"optimizer.params.betas.1", NUMBER, "adam-beta2"},
    {"optimizer.params.eps", NUMBER, "adam-eps"},
    {"optimizer.params.weight_decay", NUMBER, "weight-decay"},
    {"optimizer.params.adam_w_mode", BOOL, ""},
    {"optimizer.params.bias_correction", BOOL, ""},
    {"optimizer.params.amsgrad", BOOL, ""},
    {"optimizer.params.momentum", NUMBER, ""},
    {"optimizer.params.dampening", NUMBER, ""},
    {"optimizer.params.nesterov", BOOL, ""},
    {"optimizer.params.torch_adam", BOOL, NULL},
    {"optimizer.params.fused", BOOL, NULL},
    {"optimizer.legacy_fusion", BOOL, NULL},
    {"scheduler.type", TEXT, ""},
    {"scheduler.params.warmup_min_lr", NUMBER, ""},
    {"scheduler.params.warmup_max_lr", NUMBER, ""},
    {"scheduler.params.warmup_num_steps", NUMBER, ""},
    {"scheduler.params.warmup_type", TEXT, ""},
    {"scheduler.params.total_num_steps", NUMBER, ""},
    {"scheduler.params.last_batch_iteration", NUMBER, NULL},
    {"fp16.enabled", BOOL, ""},
    {"fp16.loss_scale", NUMBER, "loss-scale"},
    {"fp16.initial_scale_power", NUMBER, ""},
    {"fp16.loss_scale_window", NUMBER, "loss-scale-window"},
    {"fp16.hysteresis", NUMBER, "hysteresis"},
    {"fp16.consecutive_hysteresis", BOOL, "consecutive-hysteresis"},
    {"fp16.min_loss_scale", NUMBER, "min-loss-scale"},
    {"fp16.auto_cast", BOOL, NULL},
    {"bf16.enabled", BOOL, ""},
    {"bfloat16.enabled", BOOL, ""},
    {"zero_optimization.stage", NUMBER, "zero-stage"},
    {"zero_optimization.offload_optimizer.device", TEXT, ""},
    {"zero_optimization.offload_optimizer.nvme_path", TEXT, ""},
    {"zero_optimization.offload_optimizer.pin_memory", BOOL, NULL},
    {"zero_optimization.offload_optimizer.buffer_count", NUMBER, NULL},
    {"zero_optimization.offload_optimizer.ratio", NUMBER, NULL},
    {"zero_optimization.offload_optimizer.fast_init", BOOL, NULL},
    {"zero_optimization.offload_optimizer.pipeline_read", BOOL, NULL},
    {"zero_optimization.offload_optimizer.pipeline_write", BOOL, NULL},
    {"zero_optimization.offload_param.device", TEXT, ""},
    {"zero_optimization.offload_param.nvme_path", TEXT, NULL},
    {"zero_optimization.offload_param.pin_memory", BOOL, NULL},
    {"zero_optimization.offload_param.buffer_count", NUMBER, NULL},
    {"zero_optimization.offload_param.buffer_size", NUMBER, NULL},
    {"zero_optimization.offload_param.max_in_cpu", NUMBER, NULL},
    {"zero_optimization.cpu_offload", BOOL, NULL},
    {"zero_optimization.overlap_comm", BOOL, NULL},
    {"zero_optimization.contiguous_gradients", BOOL, NULL},
    {"zero_optimization.reduce_scatter", BOOL, NULL},
    {"zero_optimization.reduce_bucket_size", NUMBER, NULL},
    {"zero_optimization.allgather_partitions", BOOL, NULL},
    {"zero_optimization.allgather_bucket_size", NUMBER, NULL},
    {"zero_optimization.round_robin_gradients", BOOL, NULL},
    {"zero_optimization.sub_group_size", NUMBER, NULL},
    {"zero_optimization.load_from_fp32_weights", BOOL, NULL},
    {"zero_optimization.elastic_checkpoint", BOOL, NULL},
    {"zero_optimization.ignore_unused_parameters", BOOL, NULL},
    {"zero_optimization.stage3_prefetch_bucket_size", NUMBER, NULL},
    {"zero_optimization.stage3_param_persistence_threshold", NUMBER, NULL},
    {"zero_optimization.stage3_max_live_parameters", NUMBER, NULL},
    {"zero_optimization.stage3_max_reuse_distance", NUMBER, NULL},
    {"zero_optimization.stage3_gather_16bit_weights_on_model_save", BOOL, NULL},
    {"zero_optimization.stage3_gather_fp16_weights_on_model_save", BOOL, NULL},
    {"steps_per_print", NUMBER, NULL},
    {"zero_allow_untested_optimizer", BOOL, NULL},
    {"zero_force_ds_cpu_optimizer", BOOL, NULL},
    {"wall_clock_breakdown", BOOL, NULL},
    {"memory_breakdown", BOOL, NULL},
    {"dump_state", BOOL, NULL},
    {"prescale_gradients", BOOL, NULL},
    {"gradient_predivide_factor", NUMBER, NULL},
    {"disable_allgather", BOOL, NULL},
    {"communication_data_type", TEXT, NULL},
    {"data_types.grad_accum_dtype", TEXT, NULL},
    {"activation_checkpointing", ANY, NULL},
    {"checkpoint", ANY, NULL},
    {"flops_profiler", ANY, NULL},
    {"tensorboard", ANY, NULL},
    {"wandb", ANY, NULL},
    {"csv_monitor", ANY, NULL},
    {"comms_logger", ANY, NULL},
    {"aio", ANY, NULL},
};
enum { N_ROWS = sizeof rows / sizeof *rows, PATH = 160 };

/* A value that the file sets. */
typedef struct setting {
    const char *text;   /* in perm; NULL = not set */
    const char *source; /* file:line:column: "path" */
    double number;      /* of a NUMBER; of a BOOL 0 or 1 */
} setting;

typedef struct reader {
    cs_options *opt;
    cs_train_config *cfg;
    cs_arena *perm;
    cs_error *err; /* contradictions, all of them */
    cs_json_scan scan;
    char path[PATH];
    setting set[N_ROWS];
    cs_str idle;   /* names of keys without effect */
    bool speak;
} reader;

static int find_row(const char *path)
{
    for (int i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].path, path) == 0)
            return i;
    return -1;
}

/* Is there a key below this one? */
static bool leads_to_row(const char *path)
{
    size_t n = strlen(path);
    for (int i = 0; i < N_ROWS; i++)
        if (strncmp(rows[i].path, path, n) == 0 && rows[i].path[n] == '.')
            return true;
    return false;
}

static const setting *setting_of(const reader *r, const char *path)
{
    int i = find_row(path);
    CS_ASSERT(i >= 0);
    return &r->set[i];
}

/* --- the walk ---------------------------------------------------------------------------------------------------------------------- */

static void warn_unknown(const reader *r, size_t at)
{
    char place[64];
    cs_json_scan_place(&r->scan, at, place, sizeof place);
    if (r->speak)
        cs_warn("%s%s: unknown key \"%s\": it has no effect", r->scan.name, place, r->path);
}

static const char *number_text(reader *r, double *value)
{
    cs_json_scan *s = &r->scan;
    char text[64];
    size_t n = s->end - s->start;
    if (s->event == CS_JSON_INTEGER) {
        *value = (double)s->integer;
        return cs_arena_printf(r->perm, "%lld", (long long)s->integer);
    }
    if (n >= sizeof text)
        n = sizeof text - 1;
    memcpy(text, s->bytes + s->start, n);
    text[n] = '\0';
    if (!cs_parse_real(text, value))
        return cs_arena_printf(r->perm, "%s", text);
    bool whole = *value == floor(*value) && fabs(*value) < 9007199254740992.0; /* sizes are often written as 5e8 */
    return whole ? cs_arena_printf(r->perm, "%lld", (long long)*value) : cs_arena_printf(r->perm, "%s", text);
}

/* The scalar that the scan stands at, for row i. */
static cs_status read_scalar(reader *r, int i, cs_error *err)
{
    cs_json_scan *s = &r->scan;
    setting *v = &r->set[i];
    bool is_true = s->event == CS_JSON_TRUE, is_bool = is_true || s->event == CS_JSON_FALSE;
    char place[64];
    if (rows[i].kind == BOOL && !is_bool)
        return cs_json_scan_unexpected(s, "true, false or \"auto\"", err);
    if (rows[i].kind == NUMBER && s->event != CS_JSON_INTEGER && s->event != CS_JSON_REAL)
        return cs_json_scan_unexpected(s, "a number or \"auto\"", err);
    if (rows[i].kind == TEXT && s->event != CS_JSON_STRING)
        return cs_json_scan_unexpected(s, "a string", err);
    if (rows[i].kind == TEXT && (s->nul || s->end - s->start > 4096))
        return cs_json_scan_unexpected(s, "a string of up to 4096 bytes without NUL", err);
    cs_json_scan_place(s, s->start, place, sizeof place);
    v->source = cs_arena_printf(r->perm, "%s%s: \"%s\"", s->name, place, rows[i].path);
    v->number = is_true;
    if (rows[i].kind == TEXT) {
        char *text = cs_arena_alloc(r->perm, s->end - s->start + 1);
        if (text)
            cs_json_scan_text(s, text);
        v->text = text;
    } else {
        v->text = rows[i].kind == NUMBER ? number_text(r, &v->number) : is_true ? "true" : "false";
    }
    return v->text && v->source ? CS_OK : cs_fail_nomem(err, s->end - s->start, "a DeepSpeed configuration");
}

static void add_idle(reader *r, int i)
{
    cs_str_printf(&r->idle, "%s%s", r->idle.len > 0 ? ", " : "", rows[i].path);
}

static cs_status walk_value(reader *r, size_t key_at, cs_error *err);

/* Puts one more key or index behind the path for the length of one value. */
static cs_status walk_member(reader *r, const char *key, size_t n, size_t key_at, cs_error *err)
{
    size_t before = strlen(r->path);
    bool fits = before + n + 2 < sizeof r->path;
    if (!fits)
        n = sizeof r->path - before - 3 < n ? sizeof r->path - before - 3 : n;
    snprintf(r->path + before, sizeof r->path - before, "%s%.*s", before > 0 ? "." : "", (int)n, key);
    CS_TRY(cs_json_scan_next(&r->scan, err));
    cs_status status = walk_value(r, key_at, err);
    r->path[before] = '\0';
    return status;
}

static cs_status walk_object(reader *r, cs_error *err)
{
    cs_json_scan *s = &r->scan;
    CS_TRY(cs_json_scan_next(s, err));
    while (s->event == CS_JSON_KEY) {
        size_t at = s->start;
        CS_TRY(walk_member(r, s->bytes + s->start + 1, s->end - s->start - 2, at, err));
        CS_TRY(cs_json_scan_next(s, err));
    }
    return CS_OK;
}

/* Pairs of numbers are the only arrays that mean something. */
static cs_status walk_array(reader *r, cs_error *err)
{
    cs_json_scan *s = &r->scan;
    size_t before = strlen(r->path);
    int i = 0;
    CS_TRY(cs_json_scan_next(s, err));
    for (; s->event != CS_JSON_ARRAY_END; i++) {
        snprintf(r->path + before, sizeof r->path - before, ".%d", i);
        CS_TRY(walk_value(r, s->start, err));
        r->path[before] = '\0';
        CS_TRY(cs_json_scan_next(s, err));
    }
    return i == 2 ? CS_OK : cs_json_scan_unexpected(s, "two numbers", err);
}

/* The value that the scan stands at; `key_at` is where its key begins. */
static cs_status walk_value(reader *r, size_t key_at, cs_error *err)
{
    cs_json_scan *s = &r->scan;
    int i = find_row(r->path);
    if (i >= 0 && rows[i].kind == ANY) {
        add_idle(r, i);
        return cs_json_scan_skip(s, err);
    }
    if (i < 0 && r->path[0] != '\0' && !leads_to_row(r->path)) {
        warn_unknown(r, key_at);
        return cs_json_scan_skip(s, err);
    }
    if (s->event == CS_JSON_NULL || (s->event == CS_JSON_STRING && cs_json_scan_is(s, "auto")))
        return CS_OK;
    if (i >= 0) {
        CS_TRY(read_scalar(r, i, err));
        if (!rows[i].option)
            add_idle(r, i);
        return CS_OK;
    }
    if (s->event == CS_JSON_OBJECT)
        return walk_object(r, err);
    if (s->event == CS_JSON_ARRAY && r->path[0] != '\0')
        return walk_array(r, err);
    return cs_json_scan_unexpected(s, "an object", err);
}

/* --- what the values mean ---------------------------------------------------------------------------------------------------------- */

static void impose(reader *r, const char *option, const char *text, const char *source)
{
    if (text)
        cs_options_impose(r->opt, option, text, source, r->perm, r->err);
    else
        cs_fail_also(r->err, CS_E_NOMEM, "out of memory for a DeepSpeed configuration");
}

static void impose_setting(reader *r, const char *option, const setting *v)
{
    if (v->text)
        impose(r, option, v->text, v->source);
}

static void refuse(reader *r, const setting *v, bool broken, const char *legal)
{
    if (v->text && broken)
        cs_fail_also(r->err, CS_E_USAGE, "%s: %s is not supported here; legal: %s", v->source, v->text, legal);
}

static bool one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static void set_types(reader *r)
{
    const setting *fp16 = setting_of(r, "fp16.enabled"), *bf16 = setting_of(r, "bf16.enabled"), *power = setting_of(r, "fp16.initial_scale_power");
    if (!bf16->text)
        bf16 = setting_of(r, "bfloat16.enabled");
    const struct {
        const setting *v;
        const char *type;
        int index;
    } types[] = {{fp16, "fp16", 3}, {bf16, "bf16", 1}};
    for (size_t i = 0; i < 2; i++) {
        const setting *v = types[i].v;
        if (v->text && v->number != 0)
            impose(r, "dtype", types[i].type, v->source);
        else if (v->text && r->cfg->dtype == types[i].index && cs_options_stated(r->opt, "dtype"))
            cs_fail_also(r->err, CS_E_USAGE, "%s contradicts --%s: the file says false; give one of them", v->source, types[i].type);
    }
    if (fp16->text && bf16->text && fp16->number != 0 && bf16->number != 0)
        cs_fail_also(r->err, CS_E_USAGE, "%s contradicts %s: both are true; enable one of them", fp16->source, bf16->source);
    refuse(r, power, power->number < 0 || power->number > 100 || power->number != floor(power->number), "0 to 100");
    if (power->text && power->number >= 0 && power->number <= 100)
        impose(r, "initial-loss-scale", cs_arena_printf(r->perm, "%.17g", ldexp(1, (int)power->number)), power->source);
    else if (fp16->text && fp16->number != 0 && !power->text && !cs_options_stated(r->opt, "initial-loss-scale"))
        impose(r, "initial-loss-scale", "65536", fp16->source); /* DeepSpeed's default */
}

static void set_sgd(reader *r, const setting *type)
{
    const setting *momentum = setting_of(r, "optimizer.params.momentum"), *dampening = setting_of(r, "optimizer.params.dampening"),
                  *nesterov = setting_of(r, "optimizer.params.nesterov");
    impose(r, "optimizer", "sgd", type->source);
    impose(r, "sgd-momentum", momentum->text ? momentum->text : "0", momentum->text ? momentum->source : type->source);
    refuse(r, dampening, dampening->number != 0, "0");
    refuse(r, nesterov, nesterov->number != 0, "false");
}

static void set_optimizer(reader *r)
{
    static const char *const adam[] = {"Adam", "AdamW", "adam", "adamw", "FusedAdam", "CPUAdam", NULL};
    const setting *type = setting_of(r, "optimizer.type"), *apart = setting_of(r, "optimizer.params.adam_w_mode"),
                  *corrected = setting_of(r, "optimizer.params.bias_correction"), *largest = setting_of(r, "optimizer.params.amsgrad");
    bool sgd = type->text && strcmp(type->text, "SGD") == 0;
    refuse(r, type, type->text && !one_of(type->text, adam) && !sgd, "Adam, AdamW, SGD");
    if (sgd)
        set_sgd(r, type);
    if (type->text && one_of(type->text, adam) && r->cfg->optimizer.kind > 1)
        cs_fail_also(r->err, CS_E_USAGE, "%s contradicts --optimizer: the flag says \"sgd\", the file \"%s\"; give one of them", type->source,
                     type->text);
    refuse(r, apart, apart->number == 0, "true (weight decay apart from the gradient)");
    refuse(r, corrected, corrected->number == 0, "true");
    refuse(r, largest, largest->number != 0, "false");
    if (!setting_of(r, "scheduler.params.warmup_max_lr")->text) /* else the schedule's counts, as in DeepSpeed */
        impose_setting(r, "lr", setting_of(r, "optimizer.params.lr"));
}

static void set_schedule(reader *r)
{
    const setting *type = setting_of(r, "scheduler.type"), *min = setting_of(r, "scheduler.params.warmup_min_lr"),
                  *shape = setting_of(r, "scheduler.params.warmup_type"), *steps = setting_of(r, "scheduler.params.warmup_num_steps"),
                  *total = setting_of(r, "scheduler.params.total_num_steps");
    if (!type->text)
        return;
    bool decay = strcmp(type->text, "WarmupDecayLR") == 0, flat = strcmp(type->text, "WarmupLR") == 0;
    refuse(r, type, !decay && !flat, "WarmupLR, WarmupDecayLR; other shapes: --lr-decay-style");
    if (!decay && !flat)
        return;
    refuse(r, min, min->number != 0, "0, where the warm-up starts; --min-lr is where a decay ends");
    refuse(r, shape, shape->text && strcmp(shape->text, "linear") != 0, "\"linear\"");
    if (!shape->text && !(steps->text && steps->number == 0))
        cs_fail_also(r->err, CS_E_USAGE, "%s: without \"warmup_type\" DeepSpeed's warm-up is logarithmic, which is not supported here; legal: "
                     "\"warmup_type\": \"linear\"", type->source);
    impose_setting(r, "lr", setting_of(r, "scheduler.params.warmup_max_lr"));
    impose(r, "lr-warmup-iters", steps->text ? steps->text : "1000", steps->text ? steps->source : type->source);
    impose(r, "lr-decay-style", decay ? "linear" : "constant", type->source);
    impose(r, "min-lr", decay ? "0" : cs_arena_printf(r->perm, "%.17g", r->cfg->lr.min_lr), type->source);
    if (decay)
        impose_setting(r, "lr-decay-iters", total);
}

static void set_offload(reader *r)
{
    static const char *const places[] = {"none", "cpu", "nvme", NULL};
    const setting *device = setting_of(r, "zero_optimization.offload_optimizer.device"),
                  *dir = setting_of(r, "zero_optimization.offload_optimizer.nvme_path"),
                  *weights = setting_of(r, "zero_optimization.offload_param.device");
    bool nvme = device->text && strcmp(device->text, "nvme") == 0;
    refuse(r, device, device->text && !one_of(device->text, places), "none, cpu, nvme");
    refuse(r, weights, weights->text && (!one_of(weights->text, places) || strcmp(weights->text, "nvme") == 0),
           "none, cpu; \"stage\": 3 splits the weights over the ranks");
    if (nvme && !dir->text)
        cs_fail_also(r->err, CS_E_USAGE, "%s: nvme needs \"nvme_path\", a folder", device->source);
    else if (nvme)
        impose_setting(r, "optimizer-offload-dir", dir);
    if (device->text && strcmp(device->text, "cpu") == 0)
        add_idle(r, find_row("zero_optimization.offload_optimizer.device"));
    if (dir->text && !nvme)
        add_idle(r, find_row("zero_optimization.offload_optimizer.nvme_path"));
    if (weights->text && strcmp(weights->text, "cpu") == 0)
        add_idle(r, find_row("zero_optimization.offload_param.device"));
}

static void apply(reader *r)
{
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].option && rows[i].option[0] != '\0')
            impose_setting(r, rows[i].option, &r->set[i]);
    set_types(r);
    set_optimizer(r);
    set_schedule(r);
    set_offload(r);
    r->cfg->micro_from_batch = setting_of(r, "train_batch_size")->text && setting_of(r, "gradient_accumulation_steps")->text &&
                               !setting_of(r, "train_micro_batch_size_per_gpu")->text && !cs_options_stated(r->opt, "micro-batch-size");
    if (r->speak && r->idle.len > 0)
        cs_note("%s: no effect on this machine, accepted: %s", r->scan.name, cs_str_cstr(&r->idle));
}

static cs_status read_file(reader *r, const char *path, cs_error *err)
{
    uint8_t *bytes;
    size_t size;
    json_t *tree;
    cs_error stop = {0};
    CS_TRY(cs_io_read_all(path, CS_LIMIT_CONFIG_BYTES, &bytes, &size, err));
    cs_status status = cs_json_parse((const char *)bytes, size, path, &tree, &stop);
    if (status == CS_OK) {
        json_decref(tree);
        cs_json_scan_init(&r->scan, (const char *)bytes, size, path);
        status = cs_json_scan_next(&r->scan, &stop);
        if (status == CS_OK)
            status = walk_value(r, 0, &stop);
    }
    if (status == CS_OK)
        apply(r);
    else
        *err = stop;
    cs_free(bytes);
    return status;
}

/* AscendSpeed's names of the recomputation rules. */
static void settle_policy(cs_options *opt, cs_train_config *c, bool speak, cs_arena *perm, cs_error *err)
{
    enum { UNSET, FULL, BLOCK, CUSTOM };
    static const char *const methods[] = {[FULL] = "uniform", [BLOCK] = "block", [CUSTOM] = "custom"};
    if (c->checkpoint_policy != UNSET && c->recompute == 0 && speak)
        cs_note("--checkpoint-policy acts only with --checkpoint-activations");
    if (c->checkpoint_policy != UNSET)
        cs_options_impose(opt, "recompute-method", methods[c->checkpoint_policy], "--checkpoint-policy", perm, err);
    if (c->checkpoint_policy != BLOCK && cs_options_stated(opt, "checkpoint-block-layer") && speak)
        cs_note("--checkpoint-block-layer acts only with --checkpoint-policy block");
}

cs_status cs_train_settle(cs_options *opt, cs_train_config *cfg, bool speak, cs_arena *perm, cs_error *err)
{
    cs_error found = {0};
    if (cfg->deepspeed && !cfg->deepspeed_config)
        cs_fail_also(&found, CS_E_USAGE, "--deepspeed needs --deepspeed-config FILE");
    if (!cfg->deepspeed && cfg->deepspeed_config)
        cs_fail_also(&found, CS_E_USAGE, "--deepspeed-config %s counts only with --deepspeed; add it, or leave both out", cfg->deepspeed_config);
    settle_policy(opt, cfg, speak, perm, &found);
    if (cfg->deepspeed && cfg->deepspeed_config) {
        reader *r = cs_arena_calloc(perm, 1, sizeof *r);
        if (!r)
            return cs_fail_nomem(err, sizeof *r, "a DeepSpeed configuration");
        *r = (reader){.opt = opt, .cfg = cfg, .perm = perm, .err = &found, .speak = speak};
        cs_status status = read_file(r, cfg->deepspeed_config, err);
        cs_str_release(&r->idle);
        CS_TRY(status);
    }
    if (found.status != CS_OK)
        *err = found;
    return found.status;
}

void cs_train_settle_batch(cs_train_config *c, int64_t world, cs_error *err)
{
    int64_t model, step;
    if (c->accumulation == 0 || __builtin_mul_overflow(c->tp, c->pp, &model) || model < 1 || world < model || world % model != 0)
        return;
    int64_t dp = world / model;
    if (c->micro_from_batch && c->global_batch > 0 && c->accumulation <= c->global_batch && c->global_batch % (c->accumulation * dp) == 0)
        c->micro_batch = c->global_batch / (c->accumulation * dp);
    if (__builtin_mul_overflow(c->micro_batch, c->accumulation, &step) || __builtin_mul_overflow(step, dp, &step))
        return;
    if (c->global_batch == 0)
        c->global_batch = step;
    if (c->global_batch != step)
        cs_fail_also(err, CS_E_USAGE,
                     "--global-batch-size (train_batch_size) %lld must be micro batch size %lld x gradient accumulation steps %lld x DP %lld = %lld",
                     (long long)c->global_batch, (long long)c->micro_batch, (long long)c->accumulation, (long long)dp, (long long)step);
}
