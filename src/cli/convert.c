/* `cspeed convert`: weights of any kind this program reads into a Hugging Face folder or Megatron shards. */
#include "cli/commands.h"

#include "base/log.h"
#include "ckpt/export.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct convert_config {
    const char *input, *output, *tokenizer, *max_shard;
    int to, dtype;
    int64_t tp, pp, src_tp, src_pp, layers_per_chunk, vocab_multiple, added_tokens;
    const char *model_config, *type, *partition;
    bool merged_mlp, deepspeed;
} convert_config;

enum { TO_AUTO, TO_HF, TO_MEGATRON, TO_GGUF, DTYPE_Q8_0 = 5 };

static const cs_dtype dtypes[] = {CS_F32, CS_F32, CS_BF16, CS_F16, CS_F64, CS_F32}; /* by index in the choices; the first keeps */

#define AT(field) offsetof(convert_config, field)
static const cs_option rows[] = {
    {"input", CS_OPT_STR, AT(input), NULL, NULL,
     "Hugging Face folder (safetensors or .bin), checkpoint, run folder, Megatron or AscendSpeed shards, llama2.c model .bin or .pt, GGUF",
     "load input-model-dir"},
    {"output", CS_OPT_STR, AT(output), NULL, NULL, "folder to be made; must not exist or be empty. gguf: the file", "output-model-dir"},
    {"to", CS_OPT_ENUM, AT(to), "auto", "auto|hf|megatron|gguf", "kind of the output; auto = megatron when a layout is given, else hf", NULL},
    {"dtype", CS_OPT_ENUM, AT(dtype), "keep", "keep|f32|bf16|fp16|f64|q8_0", "type of the weights written; q8_0 with --to gguf only", NULL},
    {"max-shard-size", CS_OPT_STR, AT(max_shard), "5GB", NULL, "hf: largest weights file: bytes, or a number with KB, MB, GB, KiB, MiB, GiB", NULL},
    {"tokenizer", CS_OPT_STR, AT(tokenizer), NULL, NULL, "tokenizer file or folder to carry over instead of the input's own",
     "tokenizer-name-or-path"},
    {"model-config", CS_OPT_STR, AT(model_config), NULL, NULL, "config.json for shards that do not bring their own", NULL},
    {"type", CS_OPT_STR, AT(type), NULL, NULL, "name of the size (7B, 13B, ...): checked against the model", NULL},
};

static const cs_option shard_rows[] = {
    {"tensor-model-parallel-size", CS_OPT_INT, AT(tp), "0", "0..4096", "tensor ranks of the shards written", "tgt-tensor-model-parallel-size"},
    {"pipeline-model-parallel-size", CS_OPT_INT, AT(pp), "0", "0..4096", "pipeline ranks of the shards written", "tgt-pipeline-model-parallel-size"},
    {"num-layers-per-virtual-pipeline-stage", CS_OPT_INT, AT(layers_per_chunk), "0", "0..", "layers of a virtual stage; 0 = no virtual stages", NULL},
    {"partition-layers", CS_OPT_STR, AT(partition), NULL, NULL, "layers of each pipeline rank, such as 6,11,11,4", NULL},
    {"make-vocab-size-divisible-by", CS_OPT_INT, AT(vocab_multiple), "128", "1..1048576",
     "the vocabulary is padded to a multiple of this times the tensor ranks", NULL},
    {"added-token-num", CS_OPT_INT, AT(added_tokens), "0", "0..1048576", "room for so many more ids before padding", NULL},
    {"merge-mlp", CS_OPT_FLAG, AT(merged_mlp), NULL, NULL, "gate and up as one tensor mlp.proj", "mlp-layer-fusion"},
    {"deepspeed", CS_OPT_FLAG, AT(deepspeed), NULL, NULL, "DeepSpeed's file names (mp_rank_XX_model_states.pt and latest)", NULL},
    {"src-tensor-model-parallel-size", CS_OPT_INT, AT(src_tp), "0", "0..4096", "tensor ranks of the input's shards; 0 = found out", NULL},
    {"src-pipeline-model-parallel-size", CS_OPT_INT, AT(src_pp), "0", "0..4096", "pipeline ranks of the input's shards; 0 = found out", NULL},
    {"bias", CS_OPT_IGNORED, 0, NULL, NULL, "accepted, no effect: the model's config says whether there are biases", NULL},
    {"pse", CS_OPT_IGNORED, 0, NULL, NULL, "accepted, no effect: the model's config says how positions work", NULL},
    {"orig-vocab-size", CS_OPT_IGNORED, 0, NULL, NULL, "accepted, no effect: the model's config says the true vocabulary", NULL},
};

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    out[0] = (cs_option_group){"convert", rows, sizeof rows / sizeof *rows, config};
    out[1] = (cs_option_group){"Megatron shards", shard_rows, sizeof shard_rows / sizeof *shard_rows, config};
    return 2;
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

/* "6,11,11,4" -> numbers, one per pipeline rank. */
static cs_status parse_partition(const char *text, int64_t pp, int64_t *out, cs_error *err)
{
    int64_t n = 0;
    for (const char *at = text; n < pp; n++) {
        char *end;
        long long v = strtoll(at, &end, 10);
        if (end == at || v < 1 || v > 1 << 20)
            break;
        out[n] = v;
        at = *end == ',' ? end + 1 : end;
        if (*end == '\0')
            return n + 1 == pp ? CS_OK
                               : cs_fail(err, CS_E_USAGE, "--partition-layers %s: %lld numbers for %lld pipeline ranks", text, (long long)n + 1,
                                         (long long)pp);
        if (*end != ',')
            break;
    }
    return cs_fail(err, CS_E_USAGE, "--partition-layers %s: expected %lld positive numbers with commas between them", text, (long long)pp);
}

static void check_flags(const cs_cli *cli, const convert_config *c, cs_export_args *args, cs_error *found)
{
    if (!c->input)
        cs_fail_also(found, CS_E_USAGE, "--input is missing; name a Hugging Face folder, checkpoint, run folder, shards or a llama2.c file");
    if (!c->output)
        cs_fail_also(found, CS_E_USAGE, "--output is missing; name the folder to be made");
    for (size_t i = 0; i < cli->options->positional.n; i++)
        cs_fail_also(found, CS_E_USAGE, "%s: convert takes no arguments; use --input and --output", cli->options->positional.items[i]);
    if (!parse_bytes(c->max_shard, &args->max_shard_bytes))
        cs_fail_also(found, CS_E_USAGE, "--max-shard-size %s: expected bytes or a number with KB, MB, GB, KiB, MiB or GiB", c->max_shard);
    if (c->dtype == DTYPE_Q8_0 && c->to != TO_GGUF)
        cs_fail_also(found, CS_E_USAGE, "--dtype q8_0 needs --to gguf");
    if ((c->to == TO_HF || c->to == TO_GGUF) && (c->tp > 0 || c->pp > 0 || c->deepspeed || c->merged_mlp || c->partition || c->layers_per_chunk > 0))
        cs_fail_also(found, CS_E_USAGE, "--to %s and a layout of shards exclude each other", c->to == TO_HF ? "hf" : "gguf");
}

static cs_status convert(const cs_cli *cli, const convert_config *c, cs_export_args *args, cs_source *src, cs_error *err)
{
    const cs_source_hints hints = {.model_config = c->model_config, .tp = c->src_tp, .pp = c->src_pp};
    int64_t stage_layers[4096];
    size_t bytes = 0;
    CS_TRY(cs_source_init(src, c->input, &hints, err));
    if (c->type)
        CS_TRY(cs_spec_check_label(&src->spec, c->type, err));
    if (c->layers_per_chunk > 0) {
        if (src->spec.n_layers % (args->pp * c->layers_per_chunk) != 0)
            return cs_fail(err, CS_E_USAGE, "--num-layers-per-virtual-pipeline-stage %lld times %lld pipeline ranks does not divide %lld layers",
                           (long long)c->layers_per_chunk, (long long)args->pp, (long long)src->spec.n_layers);
        args->vp = src->spec.n_layers / (args->pp * c->layers_per_chunk);
    }
    if (c->partition) {
        CS_TRY(parse_partition(c->partition, args->pp, stage_layers, err));
        args->stage_layers = stage_layers;
    }
    CS_TRY(cs_export(src, args, &bytes, err));
    report(cli, src, c->output, bytes);
    return CS_OK;
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    const convert_config *c = config;
    bool shards = c->to == TO_MEGATRON || (c->to == TO_AUTO && (c->tp > 0 || c->pp > 0 || c->deepspeed));
    cs_export_args args = {.output = c->output,
                           .to = shards             ? CS_EXPORT_MEGATRON
                                 : c->to == TO_GGUF ? CS_EXPORT_GGUF
                                                    : CS_EXPORT_HF,
                           .keep_dtype = c->dtype == 0,
                           .dtype = dtypes[c->dtype],
                           .q8_0 = c->dtype == DTYPE_Q8_0,
                           .tokenizer = c->tokenizer,
                           .tp = c->tp > 0 ? c->tp : 1,
                           .pp = c->pp > 0 ? c->pp : 1,
                           .vp = 1,
                           .vocab_multiple = c->vocab_multiple,
                           .added_tokens = c->added_tokens,
                           .merged_mlp = c->merged_mlp,
                           .deepspeed = c->deepspeed};
    cs_error found = {0};
    cs_source src = {0};
    check_flags(cli, c, &args, &found);
    if (found.status != CS_OK) {
        *err = found;
        return found.status;
    }
    cs_status s = convert(cli, c, &args, &src, err);
    cs_source_release(&src);
    return s;
}

const cs_command cs_command_convert = {
    .name = "convert",
    .usage = "cspeed convert --input PATH --output DIR [flags]",
    .summary = "convert weights: Hugging Face folders, Megatron shards of any layout, llama2.c, GGUF",
    .config_bytes = sizeof(convert_config),
    .groups = groups,
    .run = run,
};
