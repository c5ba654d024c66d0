/* Setup of a training run: folder, model, weights, data, in this order; every phase that may fail on one rank is agreed on by all. */
#include "train/autorecompute.h"
#include "train/trainer.h"

#include "base/clock.h"
#include "fmt/json.h"
#include "fmt/limits.h"

#include <limits.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SPANS = 1 << 18 }; /* of a profile, 10 MiB */

/* Where the run starts from. */
typedef struct start_point {
    char *dir;          /* folder with weights, NULL = random */
    bool with_trainer;  /* optimizer, step and data position too */
    json_t *state;
    const char *isa, *gemm; /* kernel choices to replay, borrowed from state */
} start_point;

/* A folder trainer/ without its state is damage, to be reported by the loader, not a checkpoint of weights only. */
static bool has_trainer(const char *dir)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/trainer", dir);
    return cs_io_kind(path, NULL) != CS_FILE_NONE;
}

static cs_status has_any_name(const char *run, bool *any, cs_error *err)
{
    char **names;
    size_t n;
    int64_t iteration;
    *any = false;
    CS_TRY(cs_io_list(run, &names, &n, err));
    for (size_t i = 0; i < n; i++)
        *any |= cs_ckpt_is_name(names[i], &iteration);
    cs_io_list_free(names, n);
    return CS_OK;
}

/* Damaged ones do not count; one that cannot be read now is an error: starting anew beside it would be a loss. */
static cs_status holds_checkpoint(const char *run, bool *holds, cs_error *err)
{
    cs_error why = {0};
    cs_file_kind kind = CS_FILE_NONE;
    char *dir;
    *holds = false;
    if (run)
        CS_TRY(cs_io_stat(run, &kind, NULL, err));
    if (kind != CS_FILE_DIR)
        return CS_OK;
    CS_TRY(has_any_name(run, holds, err));
    cs_status s = *holds ? cs_ckpt_resolve(run, true, &dir, &why) : CS_OK;
    if (s == CS_E_NOMEM || s == CS_E_IO) {
        *err = why;
        return s;
    }
    if (*holds && s == CS_OK)
        cs_free(dir);
    *holds = *holds && s == CS_OK;
    return CS_OK;
}

/* Rank 0 decides; the others get the folder's name from it, so that all read the same one. */
static cs_status choose_start(const cs_train_config *c, start_point *s, cs_error *err)
{
    bool same = c->load && c->save && strcmp(c->load, c->save) == 0;
    bool run_holds, load_holds = false;
    CS_TRY(holds_checkpoint(c->save, &run_holds, err));
    if (c->resume && run_holds) {
        CS_TRY(cs_ckpt_resolve(c->save, true, &s->dir, err));
        s->with_trainer = true;
        return CS_OK;
    }
    if (!c->resume && !same && run_holds)
        return cs_fail(err, CS_E_USAGE, "--save %s already holds checkpoints; add --resume to continue that run, or name another folder", c->save);
    if (!c->load)
        return CS_OK;
    if (same)
        CS_TRY(holds_checkpoint(c->load, &load_holds, err));
    if (cs_io_kind(c->load, NULL) == CS_FILE_NONE || (same && !load_holds)) {
        if (!same)
            return cs_fail(err, CS_E_IO, "--load %s: no such file or folder; check the path", c->load);
        cs_warn("--load %s holds no checkpoint yet: starting from RANDOM weights", c->load);
        return CS_OK;
    }
    CS_TRY(cs_ckpt_resolve(c->load, same, &s->dir, err));
    s->with_trainer = !c->finetune && has_trainer(s->dir);
    return CS_OK;
}

static cs_status share_start(cs_trainer *t, start_point *s, cs_error *err)
{
    struct {
        int64_t len, with_trainer;
    } head = {s->dir ? (int64_t)strlen(s->dir) + 1 : 0, s->with_trainer};
    cs_comm_broadcast(t->world, &head, sizeof head, 0);
    if (head.len > 0 && !s->dir)
        s->dir = cs_malloc((size_t)head.len);
    cs_status status = head.len > 0 && !s->dir ? cs_fail_nomem(err, (size_t)head.len, "a path") : CS_OK;
    CS_TRY(cs_agree(t->world, status, err));
    if (head.len > 0)
        cs_comm_broadcast(t->world, s->dir, head.len, 0);
    s->with_trainer = head.with_trainer != 0;
    return CS_OK;
}

static cs_status read_state(start_point *s, cs_error *err)
{
    char path[PATH_MAX];
    cs_train_state st;
    cs_train_identity id;
    s->isa = s->gemm = NULL;
    if (!s->with_trainer)
        return CS_OK;
    snprintf(path, sizeof path, "%s/trainer/state.json", s->dir);
    if (cs_io_kind(path, NULL) == CS_FILE_NONE)
        return cs_fail(err, CS_E_CKPT, "%s: missing, but the folder trainer/ is there; use another checkpoint, or --finetune for the weights alone",
                       path);
    CS_TRY(cs_json_load(path, CS_LIMIT_CONFIG_BYTES, &s->state, err));
    CS_TRY(cs_train_state_from_json(s->state, path, &st, &id, err));
    s->isa = id.isa;
    s->gemm = id.gemm;
    return CS_OK;
}

static cs_status load_tokenizer(cs_trainer *t, const start_point *s, cs_error *err)
{
    cs_error ignored;
    if (t->cfg.tokenizer)
        return cs_tokenizer_create(t->cfg.tokenizer, &t->tok, err);
    if (s->dir && cs_tokenizer_create(s->dir, &t->tok, &ignored) != CS_OK)
        t->tok = NULL;
    return CS_OK;
}

static cs_status find_spec(cs_trainer *t, const start_point *s, cs_spec *spec, cs_error *err)
{
    if (s->dir)
        CS_TRY(cs_ckpt_read_spec(s->dir, spec, err));
    else
        CS_TRY(cs_train_model_spec(&t->cfg, t->tok ? cs_tokenizer_vocab_size(t->tok) : 0, spec, err));
    CS_TRY(cs_train_check_form(&t->cfg, spec, err));
    if (t->tok && cs_tokenizer_vocab_size(t->tok) > spec->vocab_size)
        return cs_fail(err, CS_E_USAGE, "the tokenizer has %d ids but the model's vocabulary is %lld; use the tokenizer the model was made for",
                       cs_tokenizer_vocab_size(t->tok), (long long)spec->vocab_size);
    if (t->cfg.seq_length > spec->max_pos)
        return cs_fail(err, CS_E_USAGE, "--seq-length %lld exceeds the model's %lld positions", (long long)t->cfg.seq_length,
                       (long long)spec->max_pos);
    if (t->tok && spec->bos < 0)
        spec->bos = cs_tokenizer_bos(t->tok);
    if (t->tok && spec->eos < 0)
        spec->eos = cs_tokenizer_eos(t->tok);
    spec->dtype = cs_train_dtype(&t->cfg);
    t->cfg.data.eod = t->tok ? cs_tokenizer_eos(t->tok) : spec->eos;
    return CS_OK;
}

/* The instruction set that the chosen table was asked by, to ask for it again on resume. */
static const char *isa_of(const cs_model *m, cs_dtype store)
{
    static const char *const names[] = {"avx512", "avx2", "ref"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const cs_kernels *k;
        cs_error ignored;
        const cs_kernels_request req = {store, names[i], m->gemm};
        if (cs_kernels_select(&req, &k, NULL, &ignored) == CS_OK && k == m->k)
            return names[i];
    }
    return "auto";
}

/* Best of three short probes with the instruction that the run's products can use; what `mfu` is a share of. */
static double measure_peak(const cs_trainer *t)
{
    const cs_dtype types[] = {CS_F32, CS_BF16};
    int n = cs_train_dtype(&t->cfg) == CS_BF16 ? 2 : 1;
    double best = 0;
    for (int i = 0; i < 3 * n && cs_train_dtype(&t->cfg) != CS_F64; i++) {
        double work = 0, seconds = cs_probe_flops(types[i % n], (int)t->identity.threads, &work);
        if (seconds > 0 && work / seconds > best)
            best = work / seconds;
    }
    return best;
}

/* Rank 0 measures, the others ask for what it chose. */
static cs_status create_model(cs_trainer *t, const cs_spec *spec, const start_point *s, cs_error *err)
{
    cs_dtype store = cs_train_dtype(&t->cfg);
    char choice[2][16] = {"auto", "auto"};
    cs_model_options opt = {.kernels = {store, t->cfg.isa, t->cfg.gemm}, .training = true, .decay_norms = t->cfg.decay_norms,
                            .n_pos = t->cfg.seq_length, .mesh = &t->mesh,
                            .sequence_parallel = t->layout.sequence_parallel, .sparse = t->layout.zero >= 3};
    const cs_place place = cs_layout_place(&t->layout, t->mesh.coord[CS_AXIS_PP], t->mesh.coord[CS_AXIS_TP], t->chunk);
    opt.place = &place;
    opt.drop = t->drop;
    opt.recompute_group = cs_layout_group(&t->layout);
    cs_layout_drops(&t->layout, t->drop);
    cs_status status = CS_OK;
    int rank = cs_comm_rank(t->world);
    if (s->gemm && strcmp(opt.kernels.gemm, "auto") == 0)
        opt.kernels.gemm = s->gemm;
    if (s->isa && strcmp(opt.kernels.isa, "auto") == 0)
        opt.kernels.isa = s->isa;
    if (rank == 0) {
        const cs_kernels *k;
        const char *gemm;
        cs_error first;
        status = cs_kernels_select(&opt.kernels, &k, &gemm, &first);
        if (status != CS_OK && s->with_trainer) {
            cs_warn("the kernels of the checkpoint (%s, %s) are not to be had here (%s); this run will not repeat it bit by bit", s->isa, s->gemm,
                    first.msg);
            opt.kernels.isa = t->cfg.isa;
            opt.kernels.gemm = t->cfg.gemm;
            status = cs_kernels_select(&opt.kernels, &k, &gemm, &first);
        }
        if (status != CS_OK)
            *err = first;
        else
            snprintf(choice[1], sizeof choice[1], "%s", gemm);
        snprintf(choice[0], sizeof choice[0], "%s", opt.kernels.isa);
    }
    CS_TRY(cs_agree(t->world, status, err));
    cs_comm_broadcast(t->world, choice, sizeof choice, 0);
    opt.kernels.isa = choice[0];
    opt.kernels.gemm = choice[1];
    CS_TRY(cs_model_create(spec, &opt, &t->model, err));
    CS_TRY(cs_agree(t->world, cs_autorecompute_start(t, err), err));
    t->identity.isa = isa_of(t->model, store);
    t->identity.gemm = t->model->gemm;
    t->peak_flops = measure_peak(t);
    return CS_OK;
}

static void warn_of_differences(const cs_trainer *t, const cs_train_identity *old, const char *path)
{
    const struct {
        const char *name;
        int64_t was, now;
    } rows[] = {
        {"seed", old->seed, t->identity.seed},
        {"seq-length", old->seq_length, t->identity.seq_length},
        {"global-batch-size", old->global_batch, t->identity.global_batch},
        {"micro-batch-size", old->micro_batch, t->identity.micro_batch},
        {"data-parallel ranks", old->world, t->identity.world},
        {"threads", old->threads, t->identity.threads},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows && cs_comm_rank(t->world) == 0; i++)
        if (rows[i].was != rows[i].now)
            cs_warn("%s: %s was %lld and is now %lld; the run goes on but does not repeat the old one bit by bit", path, rows[i].name,
                    (long long)rows[i].was, (long long)rows[i].now);
}

static cs_status restore(cs_trainer *t, const start_point *s, cs_error *err)
{
    cs_train_identity old;
    json_t *state = NULL;
    cs_scaler fresh = t->state.scaler;
    CS_TRY(cs_train_state_from_json(s->state, s->dir, &t->state, &old, err));
    if (cs_train_dtype(&t->cfg) != CS_F16 || t->cfg.scaler.constant > 0 || !json_object_get(s->state, "loss_scaler"))
        t->state.scaler = fresh;
    if (t->cfg.no_load_optim) {
        t->state.updates = 0; /* moments that start from zero are corrected as such */
    } else {
        if (strcmp(old.optimizer, t->identity.optimizer) != 0)
            return cs_fail(err, CS_E_USAGE, "%s: the optimizer was %s and is now %s, which keeps other state; use the same --optimizer (and "
                           "--sgd-momentum), or start it afresh with --no-load-optim", s->dir, old.optimizer, t->identity.optimizer);
        cs_opt_state opt = cs_dp_opt_state(&t->dp);
        CS_TRY(cs_ckpt_load_trainer(s->dir, &t->model->table, &opt, &state, err));
        json_decref(state);
    }
    CS_TRY(cs_lr_resume(&t->cfg.lr, &old.schedule, &t->schedule, err));
    if (old.data_hash != t->identity.data_hash && cs_comm_rank(t->world) == 0)
        cs_warn("%s: made with another training set; sample positions refer to the new one", s->dir);
    warn_of_differences(t, &old, s->dir);
    return CS_OK;
}

static cs_status fill_weights(cs_trainer *t, const start_point *s, cs_error *err)
{
    if (!s->dir) {
        cs_param_table_fill(&t->model->table, (uint64_t)t->cfg.seed);
        return CS_OK;
    }
    CS_TRY(cs_ckpt_load_weights(s->dir, &t->model->spec, &t->model->table, true, err));
    cs_param_touch(&t->model->table);
    return CS_OK;
}

static cs_status open_data(cs_trainer *t, cs_error *err)
{
    const cs_train_config *c = &t->cfg;
    int64_t evals = t->total_iters / c->eval_interval + 1;
    int64_t samples = c->train_samples > 0 ? c->train_samples : t->total_iters * c->global_batch;
    const int64_t want[CS_SPLIT_COUNT] = {samples > 0 ? samples : c->global_batch, evals * c->eval_iters * c->global_batch,
                                          c->eval_iters * c->global_batch};
    CS_TRY(cs_datasets_create(&c->data, want, t->world, t->data, err));
    cs_status status = CS_OK;
    for (int i = 0; i < CS_SPLIT_COUNT && status == CS_OK; i++)
        if (t->data[i])
            status = cs_batcher_create(t->data[i], &c->data, t->model->spec.vocab_size, t->mesh.coord[CS_AXIS_DP], t->mesh.size[CS_AXIS_DP],
                                       &t->batcher[i], err);
    CS_TRY(cs_agree(t->world, status, err));
    int64_t n_micro = t->layout.n_micro;
    cs_status room = t->cfg.profile ? cs_timeline_init(&t->timeline, SPANS, err) : CS_OK;
    CS_TRY(cs_agree(t->world, room, err));
    t->model->timeline = t->cfg.profile ? &t->timeline : NULL;
    t->batch = cs_calloc((size_t)n_micro, sizeof *t->batch);
    t->share = cs_calloc(2 * (size_t)n_micro, sizeof *t->share);
    t->losses = t->share ? t->share + n_micro : NULL;
    t->identity.data_hash = cs_dataset_hash(t->data[CS_SPLIT_TRAIN]);
    return cs_agree(t->world, t->batch && t->share ? CS_OK : cs_fail_nomem(err, (size_t)n_micro * sizeof *t->batch, "micro-batches"), err);
}

static cs_status write_run_files(cs_trainer *t, const cs_train_request *req, cs_error *err)
{
    char env[512], host[128] = "";
    gethostname(host, sizeof host - 1);
    snprintf(env, sizeof env,
             "{\n  \"version\": \"%s\",\n  \"host\": \"%s\",\n  \"cpu\": \"%s\",\n  \"kernels\": \"%s\",\n  \"ranks\": %d,\n  \"threads_per_rank\": "
             "%lld,\n"
             "  \"backend\": \"%s\"\n}\n",
             CS_VERSION, host, cs_kernels_cpu_isa(), t->model->k->name, cs_comm_size(t->world), (long long)t->identity.threads,
             cs_comm_backend(t->world));
    CS_TRY(cs_runlog_open(&t->log, t->state.step, t->cfg.tensorboard_dir, err));
    CS_TRY(cs_runlog_file(&t->log, "env.json", env, err));
    CS_TRY(cs_runlog_file(&t->log, "config.json", req->config_json, err));
    return cs_runlog_file(&t->log, "command.txt", req->command, err);
}

static void say_start(const cs_trainer *t, const start_point *s)
{
    const cs_spec *spec = &t->model->spec;
    if (cs_comm_rank(t->world) != 0)
        return;
    cs_note("%s: %lld layers, hidden %lld, heads %lld/%lld, ffn %lld, vocabulary %lld: %.1f M parameters", spec->family->name,
            (long long)spec->n_layers, (long long)spec->hidden, (long long)spec->n_heads, (long long)spec->n_kv_heads, (long long)spec->ffn,
            (long long)spec->vocab_size, (double)cs_spec_n_params(spec) * 1e-6);
    cs_note("%d ranks (%s) x %lld threads, kernels %s; %s; steps %lld to %lld", cs_comm_size(t->world), cs_comm_backend(t->world),
            (long long)t->identity.threads, t->model->k->name, s->dir ? s->dir : "random weights", (long long)t->state.step + 1,
            (long long)t->total_iters);
    const cs_optimizer_options *o = &t->cfg.optimizer;
    char own[80];
    if (t->dp.policy.rule == CS_UPDATE_ADAMW)
        snprintf(own, sizeof own, "betas %g %g, eps %g", o->beta1, o->beta2, o->eps);
    else
        snprintf(own, sizeof own, "momentum %g", o->momentum);
    cs_note("optimizer: %s, lr %g to %g %s, weight decay %g, %s, clip %g", t->dp.policy.rule == CS_UPDATE_ADAMW ? "adam" : "sgd", t->schedule.lr,
            t->schedule.min_lr, cs_lr_style_name(t->schedule.style), o->weight_decay, own, o->clip_grad);
    cs_layout_note(&t->layout);
    cs_train_note_form(&t->cfg, spec);
}

/* Model and data are read by every rank for itself. */
static cs_status check_ranks_agree(cs_trainer *t, cs_error *err)
{
    static const char *const names[CS_SPLIT_COUNT] = {"training data", "validation data", "test data"};
    cs_str text = {0};
    json_t *all = NULL;
    if (cs_comm_size(t->world) == 1)
        return CS_OK;
    cs_status status = cs_spec_to_json(&t->model->spec, &text, err);
    if (status == CS_OK)
        status = cs_json_parse(cs_str_cstr(&text), text.len, "the model's sizes", &all, err);
    for (int i = 0; i < CS_SPLIT_COUNT && status == CS_OK; i++)
        if (t->data[i])
            json_object_set_new(all, names[i], json_sprintf("%016llx", (unsigned long long)cs_dataset_hash(t->data[i])));
    cs_str_clear(&text);
    if (status == CS_OK)
        status = cs_json_dump(all, 0, &text, err);
    json_decref(all);
    status = cs_agree(t->world, status, err);
    if (status == CS_OK)
        status = cs_guard_check_same(t->world, cs_str_cstr(&text), err);
    cs_str_release(&text);
    return status;
}

static cs_status set_up(cs_trainer *t, const cs_train_request *req, start_point *s, cs_error *err)
{
    cs_status status = CS_OK;
    cs_spec spec;
    int rank = cs_comm_rank(t->world);
    CS_TRY(cs_agree(t->world, cs_train_config_check(&t->cfg, cs_comm_size(t->world), &t->schedule, &t->ramp, err), err));
    cs_fault_parse(t->cfg.simulate, cs_comm_size(t->world), &t->fault, err); /* checked with the others */
    t->identity.global_batch = t->cfg.global_batch;
    t->identity.micro_batch = t->cfg.micro_batch;
    t->identity.dist_optimizer = t->cfg.dist_optimizer;
    t->identity.optimizer = cs_optimizer_rule_name(cs_optimizer_rule(&t->cfg.optimizer));
    t->total_iters = cs_train_total_iters(&t->cfg, &t->ramp);
    t->layout = cs_train_layout(&t->cfg, cs_comm_size(t->world));
    CS_TRY(cs_agree(t->world, cs_layout_check(&t->layout, NULL, err), err));
    CS_TRY(cs_mesh_init(&t->mesh, t->world, (int)t->layout.tp, (int)t->layout.dp, (int)t->layout.pp, err));
    status = cs_runlog_init(&t->log, rank == 0 ? t->cfg.save : NULL, rank == 0, err);
    if (status == CS_OK && rank == 0) {
        if (t->log.active)
            cs_ckpt_prune_temps(t->cfg.save);
        status = choose_start(&t->cfg, s, err);
    }
    CS_TRY(cs_agree(t->world, status, err));
    CS_TRY(share_start(t, s, err));
    status = read_state(s, err);
    if (status == CS_OK)
        status = load_tokenizer(t, s, err);
    if (status == CS_OK)
        status = find_spec(t, s, &spec, err);
    if (status == CS_OK)
        status = cs_layout_check(&t->layout, &spec, err);
    if (status == CS_OK && !(t->chunk = cs_calloc((size_t)t->layout.chunks, sizeof *t->chunk)))
        status = cs_fail_nomem(err, (size_t)t->layout.chunks * sizeof *t->chunk, "the layout");
    if (status == CS_OK && !(t->drop = cs_calloc((size_t)spec.n_layers, 1)))
        status = cs_fail_nomem(err, (size_t)spec.n_layers, "the layout");
    CS_TRY(cs_agree(t->world, status, err));
    t->guard.state_bytes = 16.0 * (double)cs_spec_n_params(&spec); /* weights, master and two moments */
    cs_guard_section(&t->guard, t->world, "init", -1);
    t->identity.tokenizer_hash = t->tok ? cs_tokenizer_hash(t->tok) : 0;
    CS_TRY(create_model(t, &spec, s, err));
    const cs_dp_policy policy = {.shard_optim = t->layout.zero >= 1, .shard_grad = t->layout.zero >= 2, .shard_param = t->layout.zero >= 3,
                                 .sequence_parallel = t->model->sequence_parallel, .rule = cs_optimizer_rule(&t->cfg.optimizer),
                                 .offload_dir = t->cfg.offload_dir};
    CS_TRY(cs_dp_init(&t->dp, &t->model->table, t->model->k, &t->mesh, policy, err));
    t->has_dp = true;
    cs_model_bind_grad(t->model, t->model->table.grad);
    t->model->hooks = cs_dp_hooks(&t->dp);
    CS_TRY(cs_agree(t->world, fill_weights(t, s, err), err));
    cs_dp_adopt_weights(&t->dp);
    CS_TRY(open_data(t, err));
    CS_TRY(check_ranks_agree(t, err));
    if (s->with_trainer)
        CS_TRY(cs_agree(t->world, restore(t, s, err), err));
    say_start(t, s);
    return cs_agree(t->world, write_run_files(t, req, err), err);
}

cs_status cs_trainer_init(cs_trainer *t, const cs_train_request *req, cs_comm *world, cs_error *err)
{
    static const char *const dtype_names[] = {"f32", "bf16", "f64", "f16"};
    start_point s = {0};
    *t = (cs_trainer){.cfg = *req->cfg, .world = world, .started = cs_clock_now(), .last_saved = -1, .log.lock = -1,
                      .log.metrics.fd = -1, .log.log.fd = -1, .log.events.fd = -1};
    for (int i = 0; i < 2; i++)
        cs_arena_init(&t->tables[i], "schedules");
    t->state.scaler = cs_scaler_start(&t->cfg.scaler, cs_train_dtype(&t->cfg) == CS_F16);
    int64_t threads = req->threads > 0 ? req->threads : omp_get_num_procs() / cs_comm_local_size(world);
    omp_set_num_threads(threads > 0 ? (int)threads : 1);
    t->identity = (cs_train_identity){.seed = t->cfg.seed, .seq_length = t->cfg.seq_length, .world = cs_comm_size(world),
                                      .threads = threads > 0 ? threads : 1, .dtype = dtype_names[t->cfg.dtype]};
    t->guard.given = t->cfg.comm_deadline;
    cs_guard_section(&t->guard, world, "init", -1);
    cs_comm_set_check(world, t->cfg.comm_check);
    cs_status status = set_up(t, req, &s, err);
    json_decref(s.state);
    cs_free(s.dir);
    return status;
}

void cs_trainer_release(cs_trainer *t)
{
    for (int i = 0; i < CS_SPLIT_COUNT; i++) {
        cs_batcher_destroy(t->batcher[i]);
        cs_dataset_destroy(t->data[i]);
    }
    cs_timeline_release(&t->timeline);
    cs_free(t->batch);
    cs_free(t->share);
    for (int i = 0; i < 2; i++)
        cs_arena_release(&t->tables[i]);
    if (t->has_dp)
        cs_dp_release(&t->dp);
    cs_model_destroy(t->model);
    cs_free(t->chunk);
    cs_free(t->drop);
    cs_tokenizer_destroy(t->tok);
    cs_mesh_release(&t->mesh);
    cs_runlog_release(&t->log);
}
