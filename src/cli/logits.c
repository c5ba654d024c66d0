/* `cspeed logits`: the logits of given ids as a .npy file, for comparison with anything. */
#include "cli/commands.h"

#include "base/io.h"
#include "fmt/npy.h"
#include "infer/scoring.h"

#include <stdlib.h>
#include <string.h>

typedef struct logits_config {
    cs_engine_options engine;
    const char *ids, *prompt, *output;
} logits_config;

#define AT(field) offsetof(logits_config, field)
static const cs_option rows[] = {
    {"ids", CS_OPT_STR, AT(ids), NULL, NULL, "token ids separated by spaces or commas, used as given", NULL},
    {"prompt", CS_OPT_STR, AT(prompt), NULL, NULL, "text, with the tokenizer's special tokens", NULL},
    {"output", CS_OPT_STR, AT(output), NULL, NULL, "file to write: float32 [tokens, vocabulary]", "-o"},
};
#undef AT

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    logits_config *c = config;
    out[0] = (cs_option_group){"Model", cs_engine_option_rows, cs_engine_n_option_rows, &c->engine};
    out[1] = (cs_option_group){"Input and output", rows, sizeof rows / sizeof *rows, c};
    return 2;
}

static cs_status check_usage(const logits_config *c, const cs_cli *cli, cs_error *err)
{
    cs_error found = {0};
    if (!c->output)
        cs_fail_also(&found, CS_E_USAGE, "--output FILE.npy is required");
    if (!c->ids == !c->prompt)
        cs_fail_also(&found, CS_E_USAGE, "give either --ids \"1 2 3\" or --prompt TEXT");
    if (cli->options->positional.n > 0)
        cs_fail_also(&found, CS_E_USAGE, "%s: unexpected argument; ids go behind --ids in one pair of quotes", cli->options->positional.items[0]);
    return found.status == CS_OK ? CS_OK : cs_fail(err, CS_E_USAGE, "%s", found.msg);
}

static cs_status parse_ids(const char *text, cs_ids *out, cs_error *err)
{
    static const char between[] = " \t\n,";
    for (const char *p = text + strspn(text, between); *p; p += strspn(p, between)) {
        char word[24];
        size_t n = strcspn(p, between);
        int64_t id;
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), p);
        if (n >= sizeof word || !cs_parse_int(word, &id) || id < 0 || id > INT32_MAX)
            return cs_fail(err, CS_E_USAGE, "--ids: \"%s\" is not a token id", word);
        cs_ids_push(out, (int32_t)id);
        p += n;
    }
    return cs_ids_check(out, err);
}

typedef struct row_writer {
    cs_writer *w;
    float *row;
    int64_t vocab;
    cs_dtype type;
} row_writer;

static cs_status write_row(void *user, int64_t position, const void *logits, cs_error *err)
{
    const row_writer *r = user;
    (void)position;
    for (int64_t v = 0; v < r->vocab; v++)
        r->row[v] = r->type == CS_F64 ? (float)((const double *)logits)[v] : ((const float *)logits)[v];
    return cs_writer_write(r->w, r->row, (size_t)r->vocab * sizeof *r->row, err);
}

static cs_status write_logits(const cs_engine *e, const cs_ids *ids, const char *path, cs_error *err)
{
    cs_writer w;
    char head[CS_NPY_HEAD_MAX];
    int64_t V = e->model->spec.vocab_size;
    row_writer r = {&w, cs_calloc((size_t)V, sizeof *r.row), V, e->model->prec.acc};
    if (!r.row)
        return cs_fail_nomem(err, (size_t)V * sizeof *r.row, "a row of logits");
    cs_status s = cs_writer_init_atomic(&w, path, err);
    if (s == CS_OK) {
        s = cs_writer_write(&w, head, cs_npy_header(head, CS_F32, 2, (int64_t[]){(int64_t)ids->len, V}), err);
        if (s == CS_OK)
            s = cs_logits_each(e, ids->data, (int64_t)ids->len, 0, write_row, &r, err);
        if (s == CS_OK)
            s = cs_writer_commit(&w, err);
        else
            cs_writer_abort(&w);
    }
    cs_free(r.row);
    return s;
}

static cs_status run_on(cs_engine *e, const logits_config *c, cs_ids *ids, cs_error *err)
{
    if (c->prompt) {
        CS_TRY(cs_engine_encode(e, c->prompt, strlen(c->prompt), "--prompt", ids, err));
    } else {
        CS_TRY(parse_ids(c->ids, ids, err));
        if (ids->len == 0)
            return cs_fail(err, CS_E_USAGE, "--ids: no ids in it");
        CS_TRY(cs_engine_check_ids(e, ids->data, ids->len, "--ids", err));
    }
    return write_logits(e, ids, c->output, err);
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    const logits_config *c = config;
    cs_engine e;
    cs_ids ids = {0};
    CS_TRY(check_usage(c, cli, err));
    CS_TRY(cs_engine_init(&e, &c->engine, c->prompt != NULL, err));
    cs_status s = run_on(&e, c, &ids, err);
    cs_ids_release(&ids);
    cs_engine_release(&e);
    return s;
}

const cs_command cs_command_logits = {
    .name = "logits",
    .usage = "cspeed logits --load MODEL --ids \"1 2 3\" --output F.npy",
    .summary = "write a model's logits as a .npy file",
    .config_bytes = sizeof(logits_config),
    .groups = groups,
    .run = run,
};
