/* `cspeed bench`: the limits of this machine, and what the program's loops reach of them, all in one run.
 * Every figure is the best of `--repeat` runs after a warm-up; candidates that are compared take turns. */
#include "cli/bench.h"
#include "cli/commands.h"

#include "base/mem.h"
#include "base/rng.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(cs_bench_config, field)

static const cs_option rows[] = {
    {"tokens", CS_OPT_INT, AT(tokens), "1024", "1..1048576", "rows of the activations", NULL},
    {"seq-length", CS_OPT_INT, AT(seq), "512", "1..1048576", "tokens of one sequence in attention", NULL},
    {"hidden-size", CS_OPT_INT, AT(hidden), "768", "1..65536", "width of the model", NULL},
    {"ffn-hidden-size", CS_OPT_INT, AT(ffn), "2048", "1..262144", "width of the feed-forward layer", NULL},
    {"num-attention-heads", CS_OPT_INT, AT(heads), "12", "1..1024", "query heads", NULL},
    {"num-key-value-heads", CS_OPT_INT, AT(kv_heads), "12", "1..1024", "key and value heads", NULL},
    {"vocab-size", CS_OPT_INT, AT(vocab), "32000", "1..1048576", "rows of the head", NULL},
    {"num-layers", CS_OPT_INT, AT(layers), "12", "1..1024", "layers of the model in train and decode", NULL},
    {"max-new-tokens", CS_OPT_INT, AT(new_tokens), "32", "1..65536", "tokens that decode makes", NULL},
    {"repeat", CS_OPT_INT, AT(repeat), "5", "1..1000", "runs of each measurement; the best counts", NULL},
    {"kernels", CS_OPT_STR, AT(isa), "auto", NULL, "auto, ref, avx2 or avx512", NULL},
    {"gemm", CS_OPT_STR, AT(gemm), "auto", NULL, "matrix products of `kernels`: auto (measured), own, own-f32, onednn", NULL},
    {"tokenizer-name-or-path", CS_OPT_STR, AT(tokenizer), NULL, NULL, "tokenize: tokenizer file or a folder with one", "tokenizer"},
    {"input", CS_OPT_LIST, AT(input), NULL, NULL, "tokenize: files of plain text", NULL},
};

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    out[0] = (cs_option_group){"bench", rows, sizeof rows / sizeof *rows, config};
    return 1;
}

typedef struct part {
    const char *name;
    cs_status (*run)(cs_bench *b);
    bool by_default;
} part;

/* limits is run first when any of the parts that are shares of it is chosen. */
static const part parts[] = {
    {"limits", cs_bench_limits_run, true},
    {"kernels", cs_bench_kernels_run, true},
    {"gemm", cs_bench_gemm_run, false},
    {"train", cs_bench_train_run, false},
    {"decode", cs_bench_decode_run, false},
    {"tokenize", cs_bench_tokenize_run, false},
};
enum { N_PARTS = sizeof parts / sizeof *parts };

void cs_bench_row(cs_bench *b, const char *part, const char *name, const char *dtype, double value, const char *unit, double limit, const char *of)
{
    bool share = of && limit > 0;
    if (b->text && share)
        printf("%-8s %-34s %-5s %9.1f %-8s %6.1f%% of %s\n", part, name, dtype, value, unit, 100 * value / limit, of);
    else if (b->text)
        printf("%-8s %-34s %-5s %9.1f %s\n", part, name, dtype, value, unit);
    fflush(stdout);
    json_t *row = json_pack("{s:s, s:s, s:s, s:f, s:s}", "part", part, "name", name, "dtype", dtype, "value", value, "unit", unit);
    if (share) {
        json_object_set_new(row, "of", json_string(of));
        json_object_set_new(row, "share", json_real(value / limit));
    }
    json_array_append_new(b->rows, row);
}

void *cs_bench_array(cs_dtype t, int64_t n, uint64_t site)
{
    size_t bytes;
    if (!cs_mul_checked((size_t)n, cs_dtype_size(t), &bytes))
        return NULL;
    void *p = cs_alloc_aligned(bytes);
    if (!p)
        return NULL;
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < n; at += 4) {
        uint32_t word[4];
        cs_rng_block(1, site, (uint64_t)at / 4, word);
        for (int64_t i = at; i < at + 4 && i < n; i++) {
            float v = (float)(word[i - at] >> 8) * 0x1p-24f - 0.5f;
            if (t == CS_F32)
                ((float *)p)[i] = v;
            else
                ((cs_bf16 *)p)[i] = cs_bf16_from_f32(v);
        }
    }
    return p;
}

double cs_bench_peak(const cs_bench *b, cs_dtype t, const char **of)
{
    bool dot = t == CS_BF16 && b->lim.dot > b->lim.fma;
    *of = dot ? "bf16 dot peak" : "f32 fma peak";
    return dot ? b->lim.dot : b->lim.fma;
}

static cs_status check(const cs_cli *cli, const cs_bench_config *cfg, bool chosen[N_PARTS], cs_error *err)
{
    cs_strlist names = cli->options->positional;
    for (int i = 0; i < N_PARTS; i++)
        chosen[i] = names.n == 0 && parts[i].by_default;
    for (size_t j = 0; j < names.n; j++) {
        bool found = false;
        for (int i = 0; i < N_PARTS; i++)
            if (strcmp(names.items[j], parts[i].name) == 0)
                found = chosen[i] = true;
        if (!found)
            return cs_fail(err, CS_E_USAGE, "%s: no such part of bench; expected limits, kernels, gemm, train, decode or tokenize", names.items[j]);
    }
    for (int i = 1; i < N_PARTS; i++)
        chosen[0] |= chosen[i] && parts[i].run != cs_bench_tokenize_run;
    if (cfg->hidden % cfg->heads || cfg->hidden / cfg->heads > 256 || (cfg->hidden / cfg->heads) % 2)
        return cs_fail(err, CS_E_USAGE, "--hidden-size %lld with %lld heads: expected an even head dimension of at most 256", (long long)cfg->hidden,
                       (long long)cfg->heads);
    if (cfg->heads % cfg->kv_heads)
        return cs_fail(err, CS_E_USAGE, "--num-attention-heads %lld: not a multiple of the %lld key heads", (long long)cfg->heads,
                       (long long)cfg->kv_heads);
    return CS_OK;
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    bool chosen[N_PARTS];
    CS_TRY(check(cli, config, chosen, err));
    cs_bench b = {.cfg = config, .threads = omp_get_max_threads(), .text = !cli->common->json, .rows = json_array(), .err = err};
    cs_status s = b.rows ? CS_OK : cs_fail_nomem(err, 100, "the bench record");
    for (int i = 0; i < N_PARTS && s == CS_OK; i++)
        if (chosen[i])
            s = parts[i].run(&b);
    if (s == CS_OK && cli->common->json) {
        cs_str text = {0};
        json_t *root = json_pack("{s:s, s:i, s:O}", "isa", cs_kernels_cpu_isa(), "threads", b.threads, "rows", b.rows);
        s = root ? cs_json_dump(root, 2, &text, err) : cs_fail_nomem(err, 100, "the bench record");
        if (s == CS_OK)
            puts(cs_str_cstr(&text));
        json_decref(root);
        cs_str_release(&text);
    }
    json_decref(b.rows);
    return s;
}

const cs_command cs_command_bench = {
    .name = "bench",
    .usage = "cspeed bench [limits] [kernels] [gemm] [train] [decode] [tokenize] [flags]",
    .summary = "limits of this machine, and what kernels, training, decoding and tokenizing reach",
    .config_bytes = sizeof(cs_bench_config),
    .groups = groups,
    .run = run,
};
