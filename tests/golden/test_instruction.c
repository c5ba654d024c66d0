/* The token files that preprocess makes with every handler, against goldens that HF tokenizers and SentencePiece made in
 * tools/oracle/instruction.py: CRC-32 of every .bin and .idx, and the end of the first sample. The cases on shared data need CS_SHARED_DATA. */
#include "base/mem.h"
#include "data/prep.h"
#include "fmt/idxbin.h"
#include "fmt/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "data_path.h"

enum { RECORDS = 50, END = 24 };

static void must(cs_status s, const cs_error *err)
{
    if (s != CS_OK)
        fail_msg("%s", err->msg);
}

/* All records of a file: the elements of an array, or one object a line. */
static json_t *records_of(const char *path)
{
    cs_error err = {0};
    uint8_t *text;
    size_t n;
    json_t *all = NULL, *one;
    must(cs_io_read_all(path, 16 << 20, &text, &n, &err), &err);
    if (text[0] == '[') {
        must(cs_json_parse_lenient((char *)text, n, path, &all, &err), &err);
    } else {
        all = json_array();
        for (char *line = (char *)text, *end; *line; line = end) {
            end = strchr(line, '\n');
            end = end ? end + 1 : line + strlen(line);
            must(cs_json_parse_lenient(line, (size_t)(end - line), path, &one, &err), &err);
            json_array_append_new(all, one);
        }
    }
    cs_free(text);
    return all;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    assert_non_null(s);
    return s;
}

static json_t *as_is(const json_t *all)
{
    return json_deep_copy(all);
}

static json_t *seed_tasks(const json_t *all)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *r = json_array_get(all, i), *list = json_object_get(r, "instances");
        for (size_t k = 0; k < json_array_size(list); k++) {
            json_t *copy = json_deep_copy(json_array_get(list, k));
            json_object_set_new(copy, "instruction", json_string(text_of(r, "instruction")));
            json_array_append_new(out, copy);
        }
    }
    return out;
}

/* Three questions of the evaluation set make a conversation in BELLE's form. */
static json_t *belle(const json_t *all)
{
    json_t *out = json_array();
    for (size_t i = 0; i + 2 < json_array_size(all); i += 3) {
        const json_t *a = json_array_get(all, i), *b = json_array_get(all, i + 1), *c = json_array_get(all, i + 2);
        json_array_append_new(out, json_pack("{s:o, s:s}", "instruction",
                                             json_sprintf("Human:%s\nAssistant:%s\nHuman:%s\nAssistant:%s\nHuman:%s\nAssistant:",
                                                          text_of(a, "question"), text_of(a, "std_answer"), text_of(b, "question"),
                                                          text_of(b, "std_answer"), text_of(c, "question")),
                                             "output", text_of(c, "std_answer")));
    }
    return out;
}

static json_t *leetcode(const json_t *all)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *r = json_array_get(all, i);
        const char *code = text_of(r, "output");
        json_array_append_new(out, json_pack("{s:o, s:s, s:s}", "code_with_problem",
                                             json_sprintf("%s```python\n%s```", text_of(r, "instruction"), code), "code_only", code,
                                             "explanation_only", text_of(r, "input")));
    }
    return out;
}

static json_t *openai(const json_t *all)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *turns = json_object_get(json_array_get(all, i), "conversations");
        json_t *messages = json_array();
        for (size_t k = 0; k < json_array_size(turns); k++) {
            const json_t *t = json_array_get(turns, k);
            json_array_append_new(messages, json_pack("{s:s, s:s}", "role", strcmp(text_of(t, "from"), "gpt") == 0 ? "assistant" : "user", "content",
                                                      text_of(t, "value")));
        }
        json_array_append_new(out, json_pack("{s:o}", "messages", messages));
    }
    return out;
}

static const struct input {
    const char *name, *path; /* below the shared data */
    json_t *(*convert)(const json_t *all);
} inputs[] = {
    {"alpaca_5000", "datasets/alpaca/alpaca_5000.json", as_is},
    {"alpaca_zh_demo", "datasets/alpaca/alpaca_zh_demo.json", as_is},
    {"seed_tasks", "datasets/alpaca/seed_tasks.jsonl", seed_tasks},
    {"zh_seed_tasks", "datasets/belle/zh_seed_tasks.json", seed_tasks},
    {"belle", "datasets/belle/eval_set.json", belle},
    {"leetcode", "datasets/leetcode/leetcode_alpaca_first250.json", leetcode},
    {"leetcode_alpaca", "datasets/leetcode/leetcode_alpaca_first250.json", as_is},
    {"dummy_conversation", "datasets/multiturn/dummy_conversation.json", as_is},
    {"chatalpaca", "datasets/multiturn/chatalpaca_convo_samples.jsonl", as_is},
    {"chatalpaca_messages", "datasets/multiturn/chatalpaca_convo_samples.jsonl", openai},
};

static json_t *moss(const char *shared)
{
    cs_error err = {0};
    char **names;
    size_t n;
    json_t *all = json_array(), *one;
    char dir[400];
    snprintf(dir, sizeof dir, "%s/datasets/moss", shared);
    must(cs_io_list(dir, &names, &n, &err), &err);
    for (size_t i = 0; i < n; i++) {
        must(cs_json_load(test_path(dir, names[i]), 1 << 20, &one, &err), &err);
        json_array_append_new(all, one);
    }
    cs_io_list_free(names, n);
    return all;
}

/* The first records of the golden's input as lines of JSON in `path`. */
static void write_input(const char *name, const char *handler, const char *shared, const char *path)
{
    cs_error err = {0};
    cs_str text = {0};
    json_t *raw = NULL, *all = NULL;
    bool own = strcmp(name, "records") == 0;
    if (own)
        all = records_of("tests/golden/instruction/records.jsonl");
    else if (strcmp(name, "moss") == 0)
        all = moss(shared);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs && !all; i++)
        if (strcmp(inputs[i].name, name) == 0) {
            raw = records_of(test_path(shared, inputs[i].path));
            all = inputs[i].convert(raw);
        }
    assert_non_null(all);
    for (size_t i = 0; i < json_array_size(all) && i < RECORDS; i++) {
        json_t *r = json_array_get(all, i);
        if (own && strncmp(handler, "Belle", 5) == 0)
            json_object_set_new(r, "instruction", json_string(text_of(r, "belle")));
        must(cs_json_dump(r, 0, &text, &err), &err);
        cs_str_putc(&text, '\n');
    }
    must(cs_io_write_atomic(path, cs_str_cstr(&text), text.len, &err), &err);
    cs_str_release(&text);
    json_decref(raw);
    json_decref(all);
}

static const cs_handler *handler_of(const char *name)
{
    for (size_t i = 0; i < CS_HANDLERS; i++)
        if (strcmp(cs_handlers[i].name, name) == 0)
            return &cs_handlers[i];
    fail_msg("no handler %s", name);
    return NULL;
}

static void same_crc(const char *path, json_int_t want, const char *label)
{
    cs_error err = {0};
    cs_map map;
    must(cs_map_init(&map, path, &err), &err);
    if ((json_int_t)crc32(0, map.data, (uInt)map.size) != want)
        fail_msg("%s: %s differs from the golden", label, path);
    cs_map_release(&map);
}

/* The last tokens of the first sequence, so that a difference shows itself. */
static void same_end(const char *prefix, const json_t *want, bool from_end, const char *label)
{
    cs_error err = {0};
    cs_idxbin d;
    int32_t ids[END];
    must(cs_idxbin_init(&d, prefix, &err), &err);
    int64_t n = json_array_size(want), from = from_end ? cs_idx_length(&d.idx, 0) - n : 0;
    assert_true(n <= END && from >= 0);
    must(cs_idx_read(&d.idx, d.bin_map.data, 0, from, n, ids, &err), &err);
    for (int64_t i = 0; i < n; i++)
        if (ids[i] != json_integer_value(json_array_get(want, (size_t)i)))
            fail_msg("%s: %s: token %lld of the first sequence is %d, not %lld", label, prefix, (long long)(from + i), ids[i],
                     (long long)json_integer_value(json_array_get(want, (size_t)i)));
    cs_idxbin_release(&d);
}

static void check(const json_t *g, const cs_tokenizer *tok, const char *shared, const char *dir)
{
    cs_error err = {0};
    cs_arena perm;
    const char *text[] = {"text"}, *path = test_path(dir, "in.jsonl"), *prefix = test_path(dir, "p");
    cs_strlist keys = {text, 1}, given = {&path, 1};
    cs_inputs in;
    char label[256];
    cs_arena_init(&perm, "test");
    write_input(text_of(g, "input"), text_of(g, "handler"), shared, path);
    must(cs_inputs_expand(&given, CS_RECORD_JSON, &perm, &in, &err), &err);
    cs_prep_config cfg = {.inputs = &in, .handler = handler_of(text_of(g, "handler")), .keys = keys, .prefix = prefix, .workers = 1,
                          .log_interval = 1000};
    if (cfg.handler->columns)
        cfg.columns = *cfg.handler->columns;
    cfg.outputs = cs_prep_outputs(cfg.handler, &keys);
    cfg.rules = (cs_emit_rules){.tokenizer = tok, .append_eod = json_is_true(json_object_get(g, "eod")),
                                .train_on_prompt = json_is_true(json_object_get(g, "prompt"))};
    cs_prep_counts counts;
    must(cs_preprocess_run(&cfg, &counts, &err), &err);
    snprintf(label, sizeof label, "%s, %s, %s, eod %d, prompt %d", text_of(g, "input"), cfg.handler->name, text_of(g, "tokenizer"),
             cfg.rules.append_eod, cfg.rules.train_on_prompt);
    const json_t *crc = json_object_get(g, "crc"), *first = json_object_get(g, "first");
    assert_int_equal(json_array_size(crc), 2 * cfg.outputs.n);
    for (size_t k = 0; k < cfg.outputs.n; k++) {
        char name[400];
        snprintf(name, sizeof name, "%s_%s_document", prefix, cfg.outputs.items[k]);
        if (cfg.outputs.n == 1 || k != CS_SAMPLE_MASK)
            same_end(name, json_array_get(first, k == CS_SAMPLE_LABELS), cfg.outputs.n > 1, label);
        for (size_t e = 0; e < 2; e++) {
            char file[420];
            snprintf(file, sizeof file, "%s.%s", name, e ? "idx" : "bin");
            same_crc(file, json_integer_value(json_array_get(crc, 2 * k + e)), label);
        }
    }
    assert_int_equal(cfg.handler->output == CS_HANDLER_SAMPLES ? counts.samples : counts.documents,
                     json_integer_value(json_object_get(g, "sequences")));
    cs_arena_release(&perm);
}

static void run(bool with_shared)
{
    cs_error err = {0};
    json_t *goldens;
    cs_tokenizer *tok = NULL;
    const char *shared = getenv("CS_SHARED_DATA"), *dir = test_make_dir(), *open = "";
    size_t n = 0;
    if (with_shared && !shared) {
        print_message("CS_SHARED_DATA is not set: the cases on larger files are left out\n");
        skip();
    }
    must(cs_json_load("tests/golden/instruction/goldens.json", 1 << 20, &goldens, &err), &err);
    for (int pass = 0; pass < 3; pass++) /* in the order of the tokenizers, which are opened once */
        for (size_t i = 0; i < json_array_size(goldens); i++) {
            const json_t *g = json_array_get(goldens, i);
            const char *path = text_of(g, "tokenizer");
            static const char *const order[2][3] = {{"data/tok_tiny.json", "data/tok_tiny.model", ""},
                                                    {"tokenizers/llama", "tokenizers/gpt2/tokenizer.json", "tokenizers/internlm/tokenizer.model"}};
            if (strcmp(path, order[with_shared][pass]) != 0)
                continue;
            if (strcmp(open, path) != 0) {
                cs_tokenizer_destroy(tok);
                must(cs_tokenizer_create(with_shared ? test_path(shared, path) : test_path("tests", path), &tok, &err), &err);
                open = path;
            }
            check(g, tok, shared, dir);
            n++;
        }
    assert_true(n >= 48);
    print_message("%zu cases\n", n);
    cs_tokenizer_destroy(tok);
    json_decref(goldens);
    cs_io_remove_tree(dir, NULL);
}

static void made_up_records(void **state)
{
    (void)state;
    run(false);
}

static void shared_files(void **state)
{
    (void)state;
    run(true);
}

/* The names that --handler-name offers are those of the table, in its order. */
static void names(void **state)
{
    (void)state;
    const char *at = CS_HANDLER_NAMES;
    for (size_t i = 0; i < CS_HANDLERS; i++) {
        size_t n = strcspn(at, "|");
        assert_int_equal(n, strlen(cs_handlers[i].name));
        assert_memory_equal(at, cs_handlers[i].name, n);
        at += n + (at[n] == '|');
    }
    assert_int_equal(*at, '\0');
    assert_string_equal(cs_handlers[CS_HANDLER_ALPACA].name, "alpaca");
    assert_string_equal(cs_handlers[CS_HANDLER_SHAREGPT].name, "sharegpt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(made_up_records), cmocka_unit_test(shared_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
