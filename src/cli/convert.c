/* `cspeed convert`: weights of any kind this program reads into a Hugging Face folder. */
#include "cli/commands.h"

#include "base/log.h"
#include "ckpt/export.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

typedef struct convert_config {
    const char *input, *output, *tokenizer, *max_shard;
    int to, dtype;
} convert_config;

static const cs_dtype dtypes[] = {CS_F32, CS_F32, CS_BF16, CS_F16, CS_F64}; /* by index in the choices; the first keeps */

static const cs_option rows[] = {
    {"input", CS_OPT_STR, offsetof(convert_config, input), NULL, NULL, "Hugging Face folder, checkpoint, run folder or llama2.c model file", "load"},
    {"output", CS_OPT_STR, offsetof(convert_config, output), NULL, NULL, "folder to be made; must not exist or be empty", NULL},
    {"to", CS_OPT_ENUM, offsetof(convert_config, to), "hf", "hf", "kind of the output", NULL},
    {"dtype", CS_OPT_ENUM, offsetof(convert_config, dtype), "keep", "keep|f32|bf16|fp16|f64", "type of the weights written", NULL},
    {"max-shard-size", CS_OPT_STR, offsetof(convert_config, max_shard), "5GB", NULL,
     "largest weights file: bytes, or a number with KB, MB, GB, KiB, MiB, GiB", NULL},
    {"tokenizer", CS_OPT_STR, offsetof(convert_config, tokenizer), NULL, NULL, "tokenizer file or folder to carry over instead of the input's own",
     "tokenizer-name-or-path"},
};

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    out[0] = (cs_option_group){"convert", rows, sizeof rows / sizeof *rows, config};
    return 1;
}

/* "5GB" -> bytes. */
static bool parse_bytes(const char *text, size_t *out)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"", 1}, {"B", 1}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}};
    char number[32];
    size_t n = strspn(text, "0123456789._");
    double v;
    if (n == 0 || n >= sizeof number)
        return false;
    memcpy(number, text, n);
    number[n] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(text + n, units[i].unit) == 0 && cs_parse_real(number, &v) && v * units[i].factor >= 1 && v * units[i].factor < 9e18) {
            *out = (size_t)(v * units[i].factor);
            return true;
        }
    return false;
}

static void report(const cs_cli *cli, const cs_source *src, const char *output, size_t bytes)
{
    if (!cli->common->json) {
        printf("%s: %lld tensors, %lld parameters, %zu bytes\n", output, (long long)cs_param_n_views(&src->table),
               (long long)cs_spec_n_params(&src->spec), bytes);
        return;
    }
    json_t *o = json_pack("{s:s, s:I, s:I, s:I}", "output", output, "tensors", (json_int_t)cs_param_n_views(&src->table), "parameters",
                          (json_int_t)cs_spec_n_params(&src->spec), "bytes", (json_int_t)bytes);
    json_dumpf(o, stdout, 0);
    puts("");
    json_decref(o);
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    const convert_config *c = config;
    cs_export_args args = {.output = c->output, .keep_dtype = c->dtype == 0, .dtype = dtypes[c->dtype], .tokenizer = c->tokenizer};
    cs_error found = {0};
    size_t bytes = 0;
    cs_source src;
    if (!c->input)
        cs_fail_also(&found, CS_E_USAGE, "--input is missing; name a Hugging Face folder, checkpoint, run folder or llama2.c file");
    if (!c->output)
        cs_fail_also(&found, CS_E_USAGE, "--output is missing; name the folder to be made");
    for (size_t i = 0; i < cli->options->positional.n; i++)
        cs_fail_also(&found, CS_E_USAGE, "%s: convert takes no arguments; use --input and --output", cli->options->positional.items[i]);
    if (!parse_bytes(c->max_shard, &args.max_shard_bytes))
        cs_fail_also(&found, CS_E_USAGE, "--max-shard-size %s: expected bytes or a number with KB, MB, GB, KiB, MiB or GiB", c->max_shard);
    if (found.status != CS_OK) {
        *err = found;
        return found.status;
    }
    cs_status s = cs_source_init(&src, c->input, err);
    if (s == CS_OK)
        s = cs_export_hf(&src, &args, &bytes, err);
    if (s == CS_OK)
        report(cli, &src, c->output, bytes);
    cs_source_release(&src);
    return s;
}

const cs_command cs_command_convert = {
    .name = "convert",
    .usage = "cspeed convert --input PATH --output DIR [flags]",
    .summary = "convert weights into a Hugging Face folder",
    .config_bytes = sizeof(convert_config),
    .groups = groups,
    .run = run,
};
