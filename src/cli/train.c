/* cspeed train: starts the ranks and runs the training loop on each. */
#include "cli/commands.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "comm/comm.h"
#include "train/trainer.h"

#include <stdio.h>
#include <string.h>

typedef struct launch {
    cs_train_request request;
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


static int rank_main(cs_comm *world, void *arg)
{
    const launch *l = arg;
    cs_error err = {0};
    cs_status status = cs_train_run(&l->request, world, &err);
    if (cs_comm_rank(world) != 0)
        return status;
    if (status != CS_OK)
        cs_error_print(&err);
    else
        draw_losses(l);
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
    cs_str json = {0}, command = {0};
    if (cli->options->positional.n > 0)
        return cs_fail(err, CS_E_USAGE, "%s: unexpected argument; flags start with --", cli->options->positional.items[0]);
    cs_status status = cs_options_to_json(cli->options, &json, err);
    command_line(cli, &command);
    if (status == CS_OK)
        status = cs_str_check(&command, err);
    if (status == CS_OK) {
        launch l = {.request = {cfg, cs_str_cstr(&json), cs_str_cstr(&command), cli->common->threads}, cli->perm};
        status = (cs_status)cs_launch(cfg->nproc, rank_main, &l);
        err->status = status; /* the ranks have said what was wrong */
    }
    cs_str_release(&json);
    cs_str_release(&command);
    return status;
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
    .run = run_train,
};
