/* `cspeed tokenize`: text on stdin -> ids on stdout, and back. Without --jsonl the whole input is one text, its last newline included. */
#include "cli/commands.h"

#include "base/io.h"
#include "ckpt/ckpt.h"
#include "fmt/json.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct tokenize_config {
    const char *load, *tokenizer;
    bool jsonl, no_special, keep_special, decode, pieces;
} tokenize_config;

#define AT(field) offsetof(tokenize_config, field)
static const cs_option rows[] = {
    {"tokenizer-name-or-path", CS_OPT_STR, AT(tokenizer), NULL, NULL, "tokenizer file or a folder with one", "tokenizer"},
    {"load", CS_OPT_STR, AT(load), NULL, NULL, "model folder, checkpoint or run folder whose tokenizer is used", NULL},
    {"jsonl", CS_OPT_FLAG, AT(jsonl), NULL, NULL, "each line a JSON string or {\"text\": ...}, a JSON array of ids a line comes out", NULL},
    {"no-special-tokens", CS_OPT_FLAG, AT(no_special), NULL, NULL, "leave out BOS and EOS", NULL},
    {"decode", CS_OPT_FLAG, AT(decode), NULL, NULL, "ids to text; with --jsonl a JSON array of ids a line to a JSON string a line", NULL},
    {"keep-special-tokens", CS_OPT_FLAG, AT(keep_special), NULL, NULL, "with --decode: show special tokens too", NULL},
    {"pieces", CS_OPT_FLAG, AT(pieces), NULL, NULL, "show pieces: a line of id and piece per token; with --jsonl arrays of pieces", NULL},
};
#undef AT

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    out[0] = (cs_option_group){"Tokenize", rows, sizeof rows / sizeof *rows, config};
    return 1;
}

typedef struct job {
    const tokenize_config *cfg;
    bool json_line; /* --jsonl or --json: results are JSON */
    cs_tokenizer *tok;
    cs_ids ids;
    cs_str out;
} job;

/* A piece as a JSON string; bytes that are not UTF-8 (raw pieces of damaged vocabularies) as U+FFFD by the decoder. */
static json_t *piece_json(const job *j, int32_t id)
{
    size_t len;
    const char *text = cs_tokenizer_piece(j->tok, id, &len);
    json_t *v = json_stringn(text, len);
    return v ? v : json_string("\xef\xbf\xbd");
}

static cs_status put_json(job *j, json_t *value, cs_error *err)
{
    cs_status s = value ? cs_json_dump(value, 0, &j->out, err) : cs_fail_nomem(err, j->ids.len * 16, "a result");
    json_decref(value);
    cs_str_putc(&j->out, '\n');
    return s;
}

/* A line "id<TAB>piece" per token, control bytes as \xNN. */
static void put_pieces(job *j)
{
    for (size_t i = 0; i < j->ids.len; i++) {
        size_t len;
        const char *text = cs_tokenizer_piece(j->tok, j->ids.data[i], &len);
        cs_str_printf(&j->out, "%d\t", j->ids.data[i]);
        for (size_t k = 0; k < len; k++) {
            if ((unsigned char)text[k] < 0x20 || text[k] == 0x7f)
                cs_str_printf(&j->out, "\\x%02x", (unsigned char)text[k]);
            else
                cs_str_putc(&j->out, text[k]);
        }
        cs_str_putc(&j->out, '\n');
    }
}

static cs_status put_ids(job *j, cs_error *err)
{
    if (j->json_line) {
        json_t *list = json_array();
        for (size_t i = 0; list && i < j->ids.len; i++)
            json_array_append_new(list, j->cfg->pieces ? piece_json(j, j->ids.data[i]) : json_integer(j->ids.data[i]));
        if (json_array_size(list) != j->ids.len) {
            json_decref(list);
            list = NULL;
        }
        return put_json(j, list, err);
    }
    if (j->cfg->pieces) {
        put_pieces(j);
    } else {
        for (size_t i = 0; i < j->ids.len; i++)
            cs_str_printf(&j->out, i ? " %d" : "%d", j->ids.data[i]);
        cs_str_putc(&j->out, '\n');
    }
    return CS_OK;
}

static cs_status put_text(job *j, const char *name, cs_error *err)
{
    if (j->cfg->pieces)
        return put_ids(j, err);
    if (!j->json_line)
        return cs_tokenizer_decode(j->tok, j->ids.data, j->ids.len, j->cfg->keep_special, &j->out, err);
    cs_str text = {0};
    cs_status s = cs_tokenizer_decode(j->tok, j->ids.data, j->ids.len, j->cfg->keep_special, &text, err);
    if (s == CS_OK)
        s = put_json(j, json_stringn(cs_str_cstr(&text), text.len), err);
    else if (err)
        cs_error_prefix(err, "%s", name);
    cs_str_release(&text);
    return s;
}

static cs_status encode(job *j, const char *text, size_t len, cs_error *err)
{
    int flags = CS_TOK_PARSE_SPECIAL | (j->cfg->no_special ? 0 : CS_TOK_SPECIAL);
    cs_ids_clear(&j->ids);
    CS_TRY(cs_tokenizer_encode(j->tok, text, len, flags, &j->ids, err));
    return put_ids(j, err);
}

/* Numbers between blanks, commas or brackets. */
static cs_status read_ids(job *j, const char *text, size_t len, const char *name, cs_error *err)
{
    size_t count = 0;
    cs_ids_clear(&j->ids);
    for (size_t i = 0; i < len;) {
        if (text[i] && strchr(" \t\r\n,[]", text[i])) {
            i++;
            continue;
        }
        size_t start = i;
        int64_t id = 0;
        while (i < len && text[i] >= '0' && text[i] <= '9' && id < INT32_MAX)
            id = id * 10 + (text[i++] - '0');
        if (i == start || id >= cs_tokenizer_vocab_size(j->tok) || (i < len && !(text[i] && strchr(" \t\r\n,[]", text[i]))))
            return cs_fail(err, CS_E_FORMAT, "%s: item %zu is not a token id in 0..%d", name, count + 1, cs_tokenizer_vocab_size(j->tok) - 1);
        cs_ids_push(&j->ids, (int32_t)id);
        count++;
    }
    return cs_ids_check(&j->ids, err);
}

static cs_status one_line(job *j, const char *line, size_t len, const char *name, cs_error *err)
{
    json_t *v = NULL;
    if (j->cfg->decode) {
        CS_TRY(read_ids(j, line, len, name, err));
        return put_text(j, name, err);
    }
    CS_TRY(cs_json_parse_lenient(line, len, name, &v, err));
    const json_t *text = json_is_object(v) ? json_object_get(v, "text") : v;
    cs_status s = json_is_string(text) ? encode(j, json_string_value(text), json_string_length(text), err)
                                       : cs_fail(err, CS_E_FORMAT, "%s: expected a JSON string or an object with a string \"text\"", name);
    json_decref(v);
    return s;
}

/* What is ready goes out before an error is reported, so that the lines before the bad one are not lost. */
static cs_status write_out(job *j, cs_error *err)
{
    CS_TRY(cs_str_check(&j->out, err));
    fwrite(cs_str_cstr(&j->out), 1, j->out.len, stdout);
    cs_str_clear(&j->out);
    return CS_OK;
}

enum { FLUSH_BYTES = 1 << 16 };

static cs_status all_lines(job *j, const char *text, size_t len, cs_error *err)
{
    int64_t line_no = 0;
    cs_status s = CS_OK;
    for (size_t at = 0, end; at < len && s == CS_OK; at = end + 1) {
        const char *stop = memchr(text + at, '\n', len - at);
        char name[48];
        size_t i = at;
        end = stop ? (size_t)(stop - text) : len;
        snprintf(name, sizeof name, "stdin:%lld", (long long)++line_no);
        while (i < end && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r'))
            i++;
        if (i < end)
            s = one_line(j, text + at, end - at, name, err);
        if (s == CS_OK && j->out.len > FLUSH_BYTES)
            s = write_out(j, err);
    }
    return s;
}

static cs_status run_text(job *j, const char *text, size_t len, cs_error *err)
{
    if (j->cfg->jsonl)
        return all_lines(j, text, len, err);
    if (!j->cfg->decode)
        return encode(j, text, len, err);
    CS_TRY(read_ids(j, text, len, "stdin", err));
    CS_TRY(put_text(j, "stdin", err));
    if (isatty(STDOUT_FILENO) && !j->cfg->pieces)
        cs_str_putc(&j->out, '\n');
    return CS_OK;
}

static cs_status open_tokenizer(const tokenize_config *c, cs_tokenizer **out, cs_error *err)
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
    job j = {.cfg = config};
    uint8_t *text = NULL;
    size_t len = 0;
    j.json_line = j.cfg->jsonl || cli->common->json;
    if (cli->options->positional.n > 0)
        return cs_fail(err, CS_E_USAGE, "tokenize reads standard input; unexpected argument %s", cli->options->positional.items[0]);
    CS_TRY(open_tokenizer(j.cfg, &j.tok, err));
    cs_status s = cs_io_read_all("-", (size_t)1 << 40, &text, &len, err);
    if (s == CS_OK)
        s = run_text(&j, (const char *)text, len, err);
    cs_error late = {0};
    cs_status written = write_out(&j, s == CS_OK ? err : &late);
    cs_free(text);
    cs_tokenizer_destroy(j.tok);
    cs_ids_release(&j.ids);
    cs_str_release(&j.out);
    return s == CS_OK ? written : s;
}

const cs_command cs_command_tokenize = {
    .name = "tokenize",
    .usage = "cspeed tokenize [flags] < text",
    .summary = "text on standard input to token ids, and back",
    .config_bytes = sizeof(tokenize_config),
    .groups = groups,
    .run = run,
};
