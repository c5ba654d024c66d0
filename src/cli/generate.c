/* `cspeed generate`: text from prompts. stdout holds the new text and one newline, or one JSON object a line; everything else is on stderr. */
#include "cli/commands.h"
#include "cli/jsonl.h"

#include "base/io.h"
#include "base/log.h"
#include "infer/generation.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct generate_config {
    cs_engine_options engine;
    cs_sampling sampling;
    cs_strlist prompt, stop;
    const char *prompts;
    int64_t max_new_tokens, num_beams, batch_size, seed;
    bool stream, echo;
} generate_config;

#define AT(field) offsetof(generate_config, field)
static const cs_option prompt_rows[] = {
    {"prompt", CS_OPT_LIST, AT(prompt), NULL, NULL, "text to continue; repeatable; \"\" starts from the beginning-of-text token", "-p"},
    {"prompts", CS_OPT_STR, AT(prompts), NULL, NULL, "file of JSON lines {\"prompt\": ...}, - = stdin; one JSON object a line comes out", NULL},
    {"max-new-tokens", CS_OPT_INT, AT(max_new_tokens), "128", "0..", "new tokens per prompt; default: generation_config.json, else 128", "-n"},
    {"stop", CS_OPT_LIST, AT(stop), NULL, NULL, "strings that end the text; they are not part of it", NULL},
    {"stream", CS_OPT_FLAG, AT(stream), NULL, NULL, "print the text of one prompt as it grows (the default on a terminal)", NULL},
    {"echo", CS_OPT_FLAG, AT(echo), NULL, NULL, "print the prompt in front of its text", NULL},
    {"batch-size", CS_OPT_INT, AT(batch_size), "8", "1..4096", "prompts that run together", NULL},
};
static const cs_option sampling_rows[] = {
    {"do-sample", CS_OPT_FLAG, AT(sampling.do_sample), NULL, NULL, "draw the next token; without it the most likely one is taken", NULL},
    {"temperature", CS_OPT_REAL, AT(sampling.temperature), "1", NULL, "logits are divided by it; default: generation_config.json, else 1", NULL},
    {"top-k", CS_OPT_INT, AT(sampling.top_k), "50", NULL, "draw from the k likeliest tokens, 0 = all; default: generation_config.json or 50", NULL},
    {"top-p", CS_OPT_REAL, AT(sampling.top_p), "1", NULL, "draw from the likeliest tokens that reach p; default: generation_config.json or 1", NULL},
    {"min-p", CS_OPT_REAL, AT(sampling.min_p), "0", NULL, "drop tokens less likely than this share of the most likely one", NULL},
    {"repetition-penalty", CS_OPT_REAL, AT(sampling.repetition_penalty), "1", NULL, "makes tokens seen before less likely (above 1)", NULL},
    {"seed", CS_OPT_INT, AT(seed), "1234", "0..", "of the draws; the same seed gives the same text, whatever else is in the batch", NULL},
    {"num-beams", CS_OPT_INT, AT(num_beams), "1", "1..", "beam search is not in this version: only 1", NULL},
};
#undef AT

#define LATER(name, what) {name, CS_OPT_REFUSED, 0, NULL, NULL, what " is not in this version", NULL}
static const cs_option compat_rows[] = {
    LATER("nproc", "generating on several ranks"), LATER("tensor-model-parallel-size", "generating on several ranks"),
    LATER("pipeline-model-parallel-size", "generating on several ranks"), LATER("lora-load", "LoRA"),
    {"tokenizer-not-use-fast", CS_OPT_IGNORED, 0, NULL, NULL, "accepted, no effect here", NULL},
};
#undef LATER

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    generate_config *c = config;
    out[0] = (cs_option_group){"Model", cs_engine_option_rows, cs_engine_n_option_rows, &c->engine};
    out[1] = (cs_option_group){"Prompts", prompt_rows, sizeof prompt_rows / sizeof *prompt_rows, c};
    out[2] = (cs_option_group){"Choice of the next token", sampling_rows, sizeof sampling_rows / sizeof *sampling_rows, c};
    out[3] = (cs_option_group){"Known from other programs", compat_rows, sizeof compat_rows / sizeof *compat_rows, c};
    return 4;
}

/* One prompt: where its text and ids are, and its finished line until the lines before it are out. */
typedef struct prompt_row {
    char *text;
    size_t len, first, n_ids; /* ids: in job.ids from `first` */
    char *line;
} prompt_row;

typedef struct job {
    const generate_config *config;
    cs_engine engine;
    prompt_row *row;
    size_t n, cap, printed; /* rows before `printed` are on stdout */
    cs_ids ids;
    bool json, stream;
} job;

static cs_status check_usage(const generate_config *c, const cs_cli *cli, cs_error *err)
{
    cs_error found = {0};
    if (cs_sampling_check(&c->sampling, &found) != CS_OK)
        found.status = CS_E_USAGE;
    if (c->num_beams > 1)
        cs_fail_also(&found, CS_E_USAGE, "--num-beams %lld: beam search is not in this version", (long long)c->num_beams);
    if (c->prompt.n == 0 && !c->prompts)
        cs_fail_also(&found, CS_E_USAGE, "no prompt: give --prompt TEXT (\"\" for a free start) or --prompts FILE.jsonl");
    if (c->prompt.n > 0 && c->prompts)
        cs_fail_also(&found, CS_E_USAGE, "--prompt and --prompts exclude each other");
    if (c->stream && (c->prompts || c->prompt.n > 1))
        cs_fail_also(&found, CS_E_USAGE, "--stream: takes a single --prompt");
    for (size_t i = 0; i < c->stop.n; i++) {
        json_t *valid = json_string(c->stop.items[i]);
        if (!valid || !*c->stop.items[i])
            cs_fail_also(&found, CS_E_USAGE, "--stop: value %zu is %s", i + 1, valid ? "empty" : "not valid UTF-8");
        json_decref(valid);
    }
    if (cli->options->positional.n > 0)
        cs_fail_also(&found, CS_E_USAGE, "%s: unexpected argument; prompts go behind --prompt", cli->options->positional.items[0]);
    return found.status == CS_OK ? CS_OK : cs_fail(err, CS_E_USAGE, "%s", found.msg);
}

/* generation_config.json gives what the command line does not. */
static cs_status apply_generation_config(generate_config *c, const cs_cli *cli, const cs_engine *e, cs_error *err)
{
    const char *name = e->generation_name;
    cs_sampling *s = &c->sampling;
    if (!e->generation)
        return CS_OK;
#define WANTED(flag) (cs_options_given(cli->options, flag) == 0)
    if (WANTED("temperature"))
        CS_TRY(cs_json_get_real(e->generation, "temperature", name, &s->temperature, err));
    if (WANTED("top-k"))
        CS_TRY(cs_json_get_int(e->generation, "top_k", name, &s->top_k, err));
    if (WANTED("top-p"))
        CS_TRY(cs_json_get_real(e->generation, "top_p", name, &s->top_p, err));
    if (WANTED("min-p"))
        CS_TRY(cs_json_get_real(e->generation, "min_p", name, &s->min_p, err));
    if (WANTED("repetition-penalty"))
        CS_TRY(cs_json_get_real(e->generation, "repetition_penalty", name, &s->repetition_penalty, err));
    if (WANTED("max-new-tokens"))
        CS_TRY(cs_json_get_int(e->generation, "max_new_tokens", name, &c->max_new_tokens, err));
#undef WANTED
    if (c->max_new_tokens < 0)
        return cs_fail(err, CS_E_FORMAT, "%s: max_new_tokens %lld is negative", name, (long long)c->max_new_tokens);
    return cs_sampling_check(s, err) == CS_OK ? CS_OK : cs_error_prefix(err, "%s", name);
}

/* Flags that change nothing are named. */
static void note_unused(const generate_config *c, const cs_options *opt)
{
    static const char *const flags[] = {"temperature", "top-k", "top-p", "min-p", "seed"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags && !c->sampling.do_sample; i++)
        if (cs_options_given(opt, flags[i]) == 2)
            cs_note("--%s has no effect without --do-sample", flags[i]);
}

static cs_status add_prompt(job *j, const char *text, size_t len, const char *what, cs_error *err)
{
    if (j->n == j->cap) {
        size_t cap = j->cap ? j->cap * 2 : 16;
        prompt_row *grown = cs_realloc(j->row, cap * sizeof *grown);
        if (!grown)
            return cs_fail_nomem(err, cap * sizeof *grown, "the prompts");
        j->row = grown;
        j->cap = cap;
    }
    prompt_row *r = &j->row[j->n];
    *r = (prompt_row){.text = cs_malloc(len + 1), .len = len, .first = j->ids.len};
    if (!r->text)
        return cs_fail_nomem(err, len + 1, "a prompt");
    memcpy(r->text, text, len);
    r->text[len] = '\0';
    j->n++;
    CS_TRY(cs_engine_encode(&j->engine, text, len, what, &j->ids, err));
    r->n_ids = j->ids.len - r->first;
    return CS_OK;
}

static cs_status add_json_prompt(job *j, const json_t *obj, const char *name, cs_error *err)
{
    const json_t *text = json_object_get(obj, "prompt");
    if (json_object_get(obj, "messages"))
        return cs_fail(err, CS_E_FORMAT, "%s: \"messages\" needs chat templates, which are not in this version; give \"prompt\"", name);
    if (!json_is_string(text))
        return cs_fail(err, CS_E_FORMAT, "%s: expected {\"prompt\": \"text\"}", name);
    return add_prompt(j, json_string_value(text), json_string_length(text), name, err);
}

static cs_status read_prompts(job *j, const char *path, cs_error *err)
{
    uint8_t *bytes;
    size_t size;
    cs_jsonl it;
    json_t *obj;
    CS_TRY(cs_io_read_all(path, (size_t)1 << 31, &bytes, &size, err));
    cs_jsonl_init(&it, (const char *)bytes, size, strcmp(path, "-") == 0 ? "stdin" : path);
    cs_status s;
    while ((s = cs_jsonl_next(&it, &obj, err)) == CS_OK && obj) {
        s = add_json_prompt(j, obj, it.name, err);
        json_decref(obj);
        if (s != CS_OK)
            break;
    }
    cs_free(bytes);
    return s;
}

static cs_status collect_prompts(job *j, const generate_config *c, cs_error *err)
{
    if (c->prompts)
        return read_prompts(j, c->prompts, err);
    for (size_t i = 0; i < c->prompt.n; i++) {
        char what[40] = "--prompt";
        if (c->prompt.n > 1)
            snprintf(what, sizeof what, "--prompt %zu", i + 1);
        CS_TRY(add_prompt(j, c->prompt.items[i], strlen(c->prompt.items[i]), what, err));
    }
    return CS_OK;
}

static bool print_piece(void *user, size_t prompt, const char *text, size_t len)
{
    const job *j = user;
    (void)prompt;
    if (!j->stream)
        return true;
    fwrite(text, 1, len, stdout);
    return fflush(stdout) == 0;
}

/* {"prompt", "text", "prompt_tokens", "tokens", "finish_reason"}; a prompt that is not UTF-8 is null. */
static cs_status json_line(const prompt_row *p, const cs_gen_result *r, cs_str *out, cs_error *err)
{
    int64_t failures = cs_mem_failures();
    json_t *prompt = json_stringn(p->text, p->len), *text = json_stringn(r->text, r->text_len);
    json_t *obj = json_pack("{so so sI sI ss}", "prompt", prompt ? prompt : json_null(), "text", text ? text : json_null(), "prompt_tokens",
                            (json_int_t)p->n_ids, "tokens", (json_int_t)r->n_ids, "finish_reason", cs_gen_end_name(r->end));
    cs_status s = obj && cs_mem_failures() == failures ? cs_json_dump(obj, 0, out, err) : cs_fail_nomem(err, r->text_len, "a result");
    json_decref(obj);
    while (out->len > 0 && out->data[out->len - 1] == '\n')
        out->data[--out->len] = '\0';
    return s;
}

static cs_status keep_line(job *j, prompt_row *p, const cs_gen_result *r, cs_error *err)
{
    cs_str line = {0};
    cs_status s = CS_OK;
    if (j->json) {
        s = json_line(p, r, &line, err);
    } else {
        if (j->config->echo && !j->stream)
            cs_str_append(&line, p->text, p->len);
        if (!j->stream)
            cs_str_append(&line, r->text, r->text_len);
    }
    cs_str_putc(&line, '\n');
    if (s == CS_OK)
        s = cs_str_check(&line, err);
    if (s != CS_OK) {
        cs_str_release(&line);
        return s;
    }
    p->len = line.len; /* the prompt itself is no longer needed */
    cs_free(p->text);
    p->text = NULL;
    p->line = line.data;
    return CS_OK;
}

static cs_status print_done(void *user, size_t prompt, const cs_gen_result *r, cs_error *err)
{
    job *j = user;
    CS_TRY(keep_line(j, &j->row[prompt], r, err));
    for (; j->printed < j->n && j->row[j->printed].line; j->printed++) {
        prompt_row *p = &j->row[j->printed];
        fwrite(p->line, 1, p->len, stdout);
        cs_free(p->line);
        p->line = NULL;
    }
    if (r->end == CS_GEN_LENGTH && (int64_t)r->n_ids < j->config->max_new_tokens)
        cs_warn("a text ended at the model's last position, %lld, after %zu of %lld new tokens", (long long)j->engine.model->spec.max_pos, r->n_ids,
                (long long)j->config->max_new_tokens);
    return CS_OK;
}

static cs_status generate_all(job *j, generate_config *c, const cs_cli *cli, cs_error *err)
{
    CS_TRY(cs_engine_init(&j->engine, &c->engine, true, err));
    CS_TRY(apply_generation_config(c, cli, &j->engine, err));
    CS_TRY(collect_prompts(j, c, err));
    cs_gen_prompt *prompts = cs_arena_calloc(cli->perm, j->n + 1, sizeof *prompts);
    if (!prompts)
        return cs_fail_nomem(err, j->n * sizeof *prompts, "the prompts");
    for (size_t i = 0; i < j->n; i++)
        prompts[i] = (cs_gen_prompt){j->ids.data + j->row[i].first, j->row[i].n_ids};
    if (j->stream && c->echo)
        fwrite(j->row[0].text, 1, j->row[0].len, stdout);
    cs_gen_settings set = {c->sampling, c->max_new_tokens, c->batch_size, c->stop.items, c->stop.n};
    set.sampling.seed = (uint64_t)c->seed;
    cs_gen_sink sink = {j, print_piece, print_done};
    return cs_generate(&j->engine, &set, prompts, j->n, &sink, err);
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    generate_config *c = config;
    CS_TRY(check_usage(c, cli, err));
    note_unused(c, cli->options);
    job j = {.config = c, .json = cli->common->json || c->prompts};
    j.stream = !j.json && c->prompt.n == 1 && (c->stream || isatty(STDOUT_FILENO) == 1);
    cs_status s = generate_all(&j, c, cli, err);
    for (size_t i = 0; i < j.n; i++) {
        cs_free(j.row[i].text);
        cs_free(j.row[i].line);
    }
    cs_free(j.row);
    cs_ids_release(&j.ids);
    cs_engine_release(&j.engine);
    return s;
}

const cs_command cs_command_generate = {
    .name = "generate",
    .usage = "cspeed generate --load MODEL --prompt TEXT [flags]",
    .summary = "continue prompts, greedy or by sampling",
    .config_bytes = sizeof(generate_config),
    .groups = groups,
    .run = run,
};
