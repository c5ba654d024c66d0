/* `cspeed score`: log-probabilities of continuations. stdin JSON lines -> stdout JSON lines, same order.
 * A text pair is cut as lm-evaluation-harness does: spaces at the end of the context go to the continuation, both are encoded as one text, and what
 * follows the ids of the context alone is scored. */
#include "cli/commands.h"
#include "cli/jsonl.h"

#include "base/io.h"
#include "infer/scoring.h"

#include <stdio.h>
#include <string.h>

typedef struct score_config {
    cs_engine_options engine;
} score_config;

static size_t groups(void *config, cs_option_group out[CS_MAX_OPTION_GROUPS])
{
    score_config *c = config;
    out[0] = (cs_option_group){"Model", cs_engine_option_rows, cs_engine_n_option_rows, &c->engine};
    return 1;
}

enum { LINES_AT_ONCE = 256 };

typedef struct pair {
    int64_t n, n_context;
} pair;

typedef struct job {
    cs_engine *e;
    const char *tokenizer; /* --tokenizer-name-or-path */
    cs_ids ids;            /* of all pairs, one after the other */
    pair pair[LINES_AT_ONCE];
    cs_score_item item[LINES_AT_ONCE];
    size_t n;
    double *logprob;
    size_t cap;
} job;

static cs_status text_pair(const cs_engine *e, const json_t *context, const json_t *continuation, const char *name, cs_ids *out, pair *p,
                           cs_error *err)
{
    const char *c = json_string_value(context), *t = json_string_value(continuation);
    size_t c_len = json_string_length(context), t_len = json_string_length(continuation), kept = c_len, start = out->len;
    cs_str whole = {0};
    while (kept > 0 && strchr(" \t\n\r\v\f", c[kept - 1]) && c[kept - 1])
        kept--;
    CS_TRY(cs_engine_encode(e, c, kept, name, out, err));
    p->n_context = (int64_t)(out->len - start);
    /* Behind a context of BOS alone the continuation is a text of its own. */
    int flags = CS_TOK_PARSE_SPECIAL | (kept > 0 ? CS_TOK_SPECIAL : 0);
    if (kept > 0)
        out->len = start;
    cs_str_append(&whole, c, c_len);
    cs_str_append(&whole, t, t_len);
    cs_status s = cs_str_check(&whole, err);
    if (s == CS_OK)
        s = cs_tokenizer_encode(e->tok, cs_str_cstr(&whole), whole.len, flags, out, err);
    cs_str_release(&whole);
    p->n = (int64_t)(out->len - start);
    if (p->n < p->n_context)
        p->n_context = p->n;
    return s;
}

static cs_status append_ids(const json_t *list, const char *key, const char *name, cs_ids *out, cs_error *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
            return cs_fail(err, CS_E_FORMAT, "%s: %s[%zu] is not a token id", name, key, i);
        cs_ids_push(out, (int32_t)json_integer_value(v));
    }
    return cs_ids_check(out, err);
}

static cs_status id_pair(const cs_engine *e, const json_t *context, const json_t *continuation, const char *name, cs_ids *out, pair *p, cs_error *err)
{
    size_t start = out->len;
    CS_TRY(append_ids(context, "context_ids", name, out, err));
    if (out->len == start && e->bos >= 0)
        cs_ids_push(out, e->bos);
    p->n_context = (int64_t)(out->len - start);
    CS_TRY(append_ids(continuation, "continuation_ids", name, out, err));
    p->n = (int64_t)(out->len - start);
    return p->n_context > 0 ? CS_OK
                            : cs_fail(err, CS_E_FORMAT, "%s: context_ids is empty and the model has no beginning-of-text token to put there", name);
}

static cs_status read_pair(job *j, const json_t *obj, const char *name, cs_error *err)
{
    const json_t *context = json_object_get(obj, "context"), *continuation = json_object_get(obj, "continuation"),
                 *context_ids = json_object_get(obj, "context_ids"), *continuation_ids = json_object_get(obj, "continuation_ids");
    size_t start = j->ids.len;
    pair *p = &j->pair[j->n];
    if (json_is_array(context_ids) && json_is_array(continuation_ids)) {
        CS_TRY(id_pair(j->e, context_ids, continuation_ids, name, &j->ids, p, err));
    } else if (json_is_string(context) && json_is_string(continuation)) {
        CS_TRY(cs_engine_load_tokenizer(j->e, j->tokenizer, err));
        CS_TRY(text_pair(j->e, context, continuation, name, &j->ids, p, err));
    } else {
        return cs_fail(err, CS_E_FORMAT, "%s: expected {\"context\": text, \"continuation\": text} or {\"context_ids\": [..], "
                                         "\"continuation_ids\": [..]}", name);
    }
    size_t n = j->ids.len - start;
    CS_TRY(cs_engine_check_ids(j->e, j->ids.data + start, n - (n > 1), name, err)); /* the last id is never fed */
    if (n > 1)
        CS_TRY(cs_engine_check_ids(j->e, j->ids.data + start + n - 1, 1, name, err));
    j->n++;
    return CS_OK;
}

static cs_status print_item(const cs_score_item *it, cs_error *err)
{
    int64_t failures = cs_mem_failures();
    json_t *tokens = json_array(), *logprobs = json_array();
    for (int64_t i = it->n_context; i < it->n; i++) {
        json_array_append_new(tokens, json_integer(it->ids[i]));
        json_array_append_new(logprobs, json_real(it->token_logprob[i - it->n_context]));
    }
    json_t *obj = json_pack("{sf sb so so}", "logprob", it->logprob, "is_greedy", (int)it->is_greedy, "tokens", tokens, "token_logprobs", logprobs);
    cs_str text = {0};
    cs_status s = obj && cs_mem_failures() == failures ? cs_json_dump(obj, 0, &text, err) : cs_fail_nomem(err, (size_t)it->n * 16, "a result");
    while (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    if (s == CS_OK)
        printf("%.*s\n", (int)text.len, cs_str_cstr(&text));
    cs_str_release(&text);
    json_decref(obj);
    return s;
}

static cs_status flush_pairs(job *j, cs_error *err)
{
    size_t at = 0, lp = 0;
    if (j->ids.len > j->cap) {
        double *grown = cs_realloc(j->logprob, j->ids.len * sizeof *grown);
        if (!grown)
            return cs_fail_nomem(err, j->ids.len * sizeof *grown, "log-probabilities");
        j->logprob = grown;
        j->cap = j->ids.len;
    }
    for (size_t i = 0; i < j->n; i++) {
        j->item[i] = (cs_score_item){.ids = j->ids.data + at, .n = j->pair[i].n, .n_context = j->pair[i].n_context, .token_logprob = j->logprob + lp};
        at += (size_t)j->pair[i].n;
        lp += (size_t)(j->pair[i].n - j->pair[i].n_context);
    }
    CS_TRY(cs_score(j->e, j->item, j->n, err));
    for (size_t i = 0; i < j->n; i++)
        CS_TRY(print_item(&j->item[i], err));
    fflush(stdout);
    j->n = 0;
    cs_ids_clear(&j->ids);
    return CS_OK;
}

static cs_status score_lines(job *j, const char *bytes, size_t size, cs_error *err)
{
    cs_jsonl it;
    json_t *obj;
    cs_jsonl_init(&it, bytes, size, "stdin");
    for (;;) {
        CS_TRY(cs_jsonl_next(&it, &obj, err));
        if (!obj)
            return flush_pairs(j, err);
        cs_status s = read_pair(j, obj, it.name, err);
        json_decref(obj);
        CS_TRY(s);
        if (j->n == LINES_AT_ONCE)
            CS_TRY(flush_pairs(j, err));
    }
}

static cs_status run(const cs_cli *cli, void *config, cs_error *err)
{
    const score_config *c = config;
    cs_engine e;
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (cli->options->positional.n > 0)
        return cs_fail(err, CS_E_USAGE, "%s: unexpected argument; the pairs are read from stdin", cli->options->positional.items[0]);
    CS_TRY(cs_engine_init(&e, &c->engine, false, err));
    cs_status s = cs_io_read_all("-", (size_t)1 << 31, &bytes, &size, err);
    job *j = s == CS_OK ? cs_calloc(1, sizeof *j) : NULL;
    if (j) {
        j->e = &e;
        j->tokenizer = c->engine.tokenizer;
        s = score_lines(j, (const char *)bytes, size, err);
        cs_ids_release(&j->ids);
        cs_free(j->logprob);
    } else if (s == CS_OK) {
        s = cs_fail_nomem(err, sizeof *j, "scoring");
    }
    cs_free(j);
    cs_free(bytes);
    cs_engine_release(&e);
    return s;
}

const cs_command cs_command_score = {
    .name = "score",
    .usage = "cspeed score --load MODEL < pairs.jsonl",
    .summary = "log-probabilities of continuations, JSON lines in and out",
    .config_bytes = sizeof(score_config),
    .groups = groups,
    .run = run,
};
