/* `cspeed tokenize`: text on stdin -> ids on stdout, and back. Without --jsonl the whole input is one text, its last newline included. */
#include "cli/tokenize.h"
#include "cli/commands.h"

#include "base/io.h"
#include "base/mem.h"
#include "ckpt/ckpt.h"
#include "fmt/json.h"

#include <omp.h>
#include <stdio.h>
#include <unistd.h>

#define AT(field) offsetof(cs_tokenize_config, field)
static const cs_option rows[] = {
    {"tokenizer-name-or-path", CS_OPT_STR, AT(tokenizer), NULL, NULL, "tokenizer file or a folder with one", "tokenizer"},
    {"load", CS_OPT_STR, AT(load), NULL, NULL, "model folder, checkpoint or run folder whose tokenizer is used", NULL},
    {"jsonl", CS_OPT_FLAG, AT(jsonl), NULL, NULL, "each line a JSON string or {\"text\": ...}, a JSON array of ids a line comes out", NULL},
    {"workers", CS_OPT_INT, AT(workers), "0", "0..256",
     "threads of --jsonl, 0 = --threads, which is all cores; the output is the same for any number", NULL},
    {"no-special-tokens", CS_OPT_FLAG, AT(no_special), NULL, NULL, "leave out BOS and EOS", NULL},
    {"no-parse-special", CS_OPT_FLAG, AT(no_parse_special), NULL, NULL,
     "text that reads like a special token (<s>, <|endoftext|>) stays text; without it it becomes the token", NULL},
    {"decode", CS_OPT_FLAG, AT(decode), NULL, NULL, "ids to text; with --jsonl a JSON array of ids a line to a JSON string a line", NULL},
    {"keep-special-tokens", CS_OPT_FLAG, AT(keep_special), NULL, NULL, "with --decode: show special tokens too", NULL},
    {"pieces", CS_OPT_FLAG, AT(pieces), NULL, NULL,
     "a line of id, first byte, end byte and piece per token, tabs between; with --jsonl or --json arrays of objects; with --decode without bytes",
     NULL},
};
#undef AT

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    out[0] = (cs_option_group){"Tokenize", rows, sizeof rows / sizeof *rows, config};
    return 1;
}

cs_status cs_tokenize_write(cs_str *text, bool *gone, cs_error *err)
{
    CS_TRY(cs_str_check(text, err));
    *gone = fwrite(cs_str_cstr(text), 1, text->len, stdout) < text->len || fflush(stdout) != 0;
    cs_str_clear(text);
    return CS_OK;
}

/* The whole input as one text. */
static cs_status encode_all(cs_tokenize_job *j, cs_error *err)
{
    uint8_t *text = NULL;
    size_t len = 0;
    bool gone;
    CS_TRY(cs_io_read_all("-", (size_t)1 << 40, &text, &len, err));
    cs_status s = cs_tokenize_encode(j, (const char *)text, len, err);
    cs_free(text);
    return s == CS_OK ? cs_tokenize_write(j->out, &gone, err) : s;
}

/* --json: one JSON value for all ids. */
static cs_status decode_whole(cs_tokenize_job *j, cs_error *err)
{
    uint8_t *text = NULL;
    size_t len = 0;
    bool gone;
    CS_TRY(cs_io_read_all("-", (size_t)1 << 40, &text, &len, err));
    cs_status s = cs_tokenize_line(j, (const char *)text, len, "stdin", err);
    cs_free(text);
    return s == CS_OK ? cs_tokenize_write(j->out, &gone, err) : s;
}

/* What has been read so far becomes text, or a line each. */
static cs_status decode_part(cs_tokenize_job *j, cs_detok *d, cs_error *err)
{
    if (j->cfg->pieces)
        return cs_tokenize_put_pieces(j, err);
    for (size_t i = 0; i < j->ids.len; i++)
        CS_TRY(cs_detok_push(d, j->tok, j->ids.data[i], j->out, err));
    return CS_OK;
}

/* Ids to text as they come in. */
static cs_status decode_stream(cs_tokenize_job *j, cs_reader *in, cs_error *err)
{
    char part[1 << 16];
    size_t got = 1;
    bool gone = false;
    cs_id_reader ids = {0};
    cs_detok d = {.keep_special = j->cfg->keep_special};
    cs_status s = CS_OK;
    while (s == CS_OK && got > 0 && !gone) {
        s = cs_reader_read(in, part, sizeof part, &got, err);
        if (s != CS_OK)
            break;
        cs_ids_clear(&j->ids);
        s = cs_id_reader_feed(&ids, part, got, cs_tokenizer_vocab_size(j->tok), "stdin", &j->ids, err);
        cs_error late = {0};
        cs_status put = decode_part(j, &d, s == CS_OK ? err : &late);
        if (s != CS_OK || got == 0)
            cs_detok_finish(&d, j->out);
        if (s == CS_OK && got == 0 && isatty(STDOUT_FILENO) && !j->cfg->pieces)
            cs_str_putc(j->out, '\n');
        if (put == CS_OK)
            put = cs_tokenize_write(j->out, &gone, s == CS_OK ? err : &late);
        s = s == CS_OK ? put : s;
    }
    cs_detok_release(&d);
    return s;
}

static cs_status open_tokenizer(const cs_tokenize_config *c, cs_tokenizer **out, cs_error *err)
{
    char *dir = NULL;
    if (!c->tokenizer && !c->load)
        return cs_fail(err, CS_E_USAGE, "no tokenizer: give --tokenizer-name-or-path or --load");
    if (!c->tokenizer)
        CS_TRY(cs_ckpt_resolve(c->load, false, &dir, err));
    cs_status s = cs_tokenizer_create(c->tokenizer ? c->tokenizer : dir, out, err);
    cs_free(dir);
    return s;
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    const cs_tokenize_config *cfg = config;
    cs_str out = {0};
    cs_tokenizer *tok = NULL;
    cs_reader in = {.fd = -1};
    if (cli->options->positional.n > 0)
        return cs_fail(err, CS_E_USAGE, "tokenize reads standard input; unexpected argument %s", cli->options->positional.items[0]);
    CS_TRY(open_tokenizer(cfg, &tok, err));
    cs_tokenize_job j = {.cfg = cfg, .tok = tok, .json = cfg->jsonl || cli->common->json, .out = &out};
    cs_status s;
    if (cfg->jsonl) {
        s = cs_tokenize_lines(cfg, tok, cfg->workers > 0 ? (int)cfg->workers : omp_get_max_threads(), err);
    } else if (!cfg->decode) {
        s = encode_all(&j, err);
    } else if (j.json) {
        s = decode_whole(&j, err);
    } else {
        s = cs_reader_init(&in, "-", err);
        if (s == CS_OK)
            s = decode_stream(&j, &in, err);
        cs_reader_release(&in);
    }
    cs_tokenizer_destroy(tok);
    cs_tokenize_job_release(&j);
    cs_str_release(&out);
    return s;
}

const cs_command cs_command_tokenize = {
    .name = "tokenize",
    .usage = "cspeed tokenize [flags] < text",
    .summary = "text on standard input to token ids, and back",
    .config_bytes = sizeof(cs_tokenize_config),
    .groups = groups,
    .run = run,
};
