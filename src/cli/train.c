/* cspeed train: starts the ranks and runs the training loop on each. */
#include "cli/commands.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "comm/comm.h"
#include "train/deepspeed.h"
#include "train/trainer.h"

#include <stdio.h>
#include <string.h>

typedef struct launch {
    cs_train_request request;
    cs_train_config *cfg;
    cs_options *options;
    cs_arena *perm;
} launch;

/* A picture of the run beside its numbers; a run too short for a row has none. */
static void draw_losses(const launch *l)
{
    cs_error err = {0};
    char path[4096];
    const char *run = l->request.cfg->save;
    int64_t size = 0;
    if (!run || (size_t)snprintf(path, sizeof path, "%s/metrics.jsonl", run) >= sizeof path)
        return;
    if (cs_io_kind(path, &size) != CS_FILE_REGULAR || size == 0)
        return;
    if (cs_plot_losses(run, l->perm, &err) != CS_OK)
        cs_warn("%s: the loss curve was not drawn: %s", run, err.msg);
}

/* One pass for all mistakes: those of the flags follow those between flags and files. */
static void add_other_mistakes(const cs_train_config *cfg, int64_t world, cs_error *err)
{
    cs_train_config copy = *cfg;
    cs_lr_schedule schedule;
    cs_ramp ramp;
    cs_error more = {0};
    if (cs_train_config_check(&copy, world, &schedule, &ramp, &more) == CS_E_USAGE)
        cs_fail_also(err, CS_E_USAGE, "%s", more.msg);
}

/* Every rank settles its own copy of the options; the first one speaks. */
static cs_status settle_and_run(launch *l, cs_comm *world, cs_str *json, cs_error *err)
{
    cs_status status = cs_train_settle(l->options, l->cfg, cs_comm_rank(world) == 0, l->perm, err);
    if (status == CS_OK)
        status = cs_options_to_json(l->options, json, err);
    else if (status == CS_E_USAGE)
        add_other_mistakes(l->cfg, cs_comm_size(world), err);
    CS_TRY(cs_agree(world, status, err));
    CS_TRY(cs_guard_check_same(world, cs_str_cstr(json), err));
    l->request.config_json = cs_str_cstr(json);
    return cs_train_run(&l->request, world, err);
}

static int rank_main(cs_comm *world, void *arg)
{
    launch l = *(const launch *)arg;
    cs_error err = {0};
    cs_str json = {0};
    cs_status status = settle_and_run(&l, world, &json, &err);
    cs_str_release(&json);
    if (cs_comm_rank(world) != 0)
        return status;
    if (status != CS_OK)
        cs_error_print(&err);
    else
        draw_losses(&l);
    return status;
}

static void command_line(const cs_cli *cli, cs_str *out)
{
    for (int i = 0; i < cli->argc; i++) {
        bool plain = cli->argv[i][0] != '\0' && strspn(cli->argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./,:+@%") ==
                                                    strlen(cli->argv[i]);
        cs_str_puts(out, i > 0 ? " " : "");
        if (!plain)
            cs_str_putc(out, '\'');
        for (const char *c = cli->argv[i]; *c; c++) {
            if (*c == '\'')
                cs_str_puts(out, "'\\''");
            else
                cs_str_putc(out, *c);
        }
        if (!plain)
            cs_str_putc(out, '\'');
    }
    cs_str_putc(out, '\n');
}

static cs_status run_train(const cs_cli *cli, void *config, cs_error *err)
{
    cs_train_config *cfg = config;
    cs_str command = {0};
    if (cli->options->positional.n > 0)
        return cs_fail(err, CS_E_USAGE, "%s: unexpected argument; flags start with --", cli->options->positional.items[0]);
    command_line(cli, &command);
    cs_status status = cs_str_check(&command, err);
    if (status == CS_OK) {
        launch l = {.request = {cfg, NULL, cs_str_cstr(&command), cli->common->threads}, .cfg = cfg, .options = cli->options, .perm = cli->perm};
        status = (cs_status)cs_launch(cfg->nproc, rank_main, &l);
        err->status = status; /* the ranks have said what was wrong */
    }
    cs_str_release(&command);
    return status;
}

static cs_status settle(cs_options *opt, void *config, cs_arena *perm, cs_error *err)
{
    return cs_train_settle(opt, config, true, perm, err);
}

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    return cs_train_option_groups(config, out);
}

const cs_command cs_command_train = {
    .name = "train",
    .aliases = "pretrain finetune",
    .usage = "cspeed train --data-path PREFIX --save RUN (--model-config FILE | --load PATH | --num-layers N ...) --train-iters N [flags]",
    .summary = "pretrain or fine-tune a model",
    .config_bytes = sizeof(cs_train_config),
    .groups = groups,
    .settle = settle,
    .run = run_train,
};
