/* The files beside a tokenizer: ids of transformers for many configurations (tests/golden/tok_config.json), what it reports about them, and damaged
 * values with their messages. Each case is a folder made for it. */
#include "base/failpoint.h"
#include "base/io.h"
#include "base/mem.h"
#include "fmt/json.h"
#include "text/tok.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "data_path.h"

static void copy_file(const char *from, const char *dir, const char *name)
{
    uint8_t *data;
    size_t size;
    cs_error err = {0};
    assert_int_equal(cs_io_read_all(test_path(TEST_DATA, from), 1 << 24, &data, &size, &err), CS_OK);
    assert_int_equal(cs_io_write_atomic(test_path(dir, name), data, size, &err), CS_OK);
    cs_free(data);
}

static void write_text(const char *dir, const char *name, const char *text)
{
    cs_error err = {0};
    assert_int_equal(cs_io_write_atomic(test_path(dir, name), text, strlen(text), &err), CS_OK);
}

static const char *make_folder(const char *kind)
{
    static char dir[256];
    snprintf(dir, sizeof dir, "%s", test_make_dir());
    if (strcmp(kind, "spm") == 0) {
        copy_file("tok_tiny.model", dir, "tokenizer.model");
    } else if (strcmp(kind, "json") == 0) {
        copy_file("tok_tiny.json", dir, "tokenizer.json");
    } else {
        copy_file("gpt2_tiny/vocab.json", dir, "vocab.json");
        copy_file("gpt2_tiny/merges.txt", dir, "merges.txt");
    }
    return dir;
}

static void check_ids(const cs_tokenizer *t, const json_t *row, const char *key, int flags, size_t number)
{
    const json_t *text = json_object_get(row, "text"), *want = json_object_get(row, key);
    json_t *v;
    size_t i;
    cs_ids ids = {0};
    cs_error err = {0};
    assert_int_equal(cs_tokenizer_encode(t, json_string_value(text), json_string_length(text), flags, &ids, &err), CS_OK);
    if (ids.len != json_array_size(want))
        fail_msg("case %zu, %s of \"%s\": %zu ids, expected %zu", number, key, json_string_value(text), ids.len, json_array_size(want));
    json_array_foreach(want, i, v)
        if (ids.data[i] != (int32_t)json_integer_value(v))
            fail_msg("case %zu, %s of \"%s\": id %zu is %d, expected %d", number, key, json_string_value(text), i, ids.data[i],
                     (int)json_integer_value(v));
    cs_ids_release(&ids);
}

static void check_case(const json_t *c, size_t number)
{
    static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"};
    const char *dir = make_folder(json_string_value(json_object_get(c, "kind")));
    const json_t *ids = json_object_get(c, "ids");
    json_t *row;
    size_t i;
    cs_error err = {0};
    cs_tokenizer *t = NULL;
    for (size_t k = 0; k < 3; k++) {
        char *text = json_dumps(json_object_get(c, names[k]), 0);
        if (text)
            write_text(dir, names[k], text);
        free(text);
    }
    if (cs_tokenizer_create(dir, &t, &err) != CS_OK)
        fail_msg("case %zu: %s", number, err.msg);
    int32_t own[] = {cs_tokenizer_bos(t), cs_tokenizer_eos(t), cs_tokenizer_pad(t)};
    for (size_t k = 0; k < 3; k++) { /* where transformers has none, the usual names count here */
        int32_t want = (int32_t)json_integer_value(json_array_get(ids, k));
        if (want >= 0 && want != own[k])
            fail_msg("case %zu: special id %zu is %d, expected %d", number, k, own[k], want);
    }
    assert_true(cs_tokenizer_vocab_size(t) >= (int32_t)json_integer_value(json_array_get(ids, 3)));
    json_array_foreach(json_object_get(c, "rows"), i, row) {
        check_ids(t, row, "special", CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL, number);
        check_ids(t, row, "plain", CS_TOK_PARSE_SPECIAL, number);
    }
    cs_tokenizer_destroy(t);
    assert_int_equal(cs_io_remove_tree(dir, &err), CS_OK);
}

static void as_transformers(void **state)
{
    (void)state;
    json_t *root, *c;
    size_t i;
    cs_error err = {0};
    uint8_t *text;
    size_t len;
    assert_int_equal(cs_io_read_all(test_path(TEST_DATA, "../golden/tok_config.json"), 1 << 24, &text, &len, &err), CS_OK);
    assert_int_equal(cs_json_parse_config((const char *)text, len, "golden", &root, &err), CS_OK);
    assert_true(json_array_size(root) >= 26);
    json_array_foreach(root, i, c)
        check_case(c, i);
    json_decref(root);
    cs_free(text);
}

/* ---- damaged values ---- */

static const struct {
    const char *kind, *file, *text, *message; /* message: what follows "<folder>/<file>: " */
} damaged[] = {
    {"spm", "tokenizer_config.json", "[1]", "expected a JSON object"},
    {"spm", "special_tokens_map.json", "3", "expected a JSON object"},
    {"spm", "added_tokens.json", "\"x\"", "expected a JSON object"},
    {"spm", "tokenizer_config.json", "{\"legacy\": 1}", "\"legacy\": expected true, false or null, found an integer"},
    {"spm", "tokenizer_config.json", "{\"add_bos_token\": \"yes\"}", "\"add_bos_token\": expected true, false or null, found a string"},
    {"spm", "tokenizer_config.json", "{\"add_eos_token\": 1.5}", "\"add_eos_token\": expected true, false or null, found a number"},
    {"gpt2", "tokenizer_config.json", "{\"add_prefix_space\": []}", "\"add_prefix_space\": expected true, false or null, found an array"},
    {"spm", "tokenizer_config.json", "{\"tokenizer_class\": 5}", "\"tokenizer_class\": expected a text, found an integer"},
    {"spm", "tokenizer_config.json", "{\"model_max_length\": \"2048\"}", "\"model_max_length\": expected a number, found a string"},
    {"spm", "tokenizer_config.json", "{\"chat_template\": 7}", "\"chat_template\": expected a text or a list of objects, found an integer"},
    {"spm", "tokenizer_config.json", "{\"chat_template\": [{\"name\": \"a\"}]}",
     "\"chat_template\": item 0: expected an object with the texts \"name\" and \"template\", found an object"},
    {"json", "tokenizer_config.json", "{\"bos_token\": 1}", "\"bos_token\": expected a text or an object with a text \"content\", found an integer"},
    {"spm", "tokenizer_config.json", "{\"eos_token\": {\"text\": \"</s>\"}}",
     "\"eos_token\": expected a text or an object with a text \"content\", found an object"},
    {"spm", "special_tokens_map.json", "{\"pad_token\": [\"<pad>\"]}",
     "\"pad_token\": expected a text or an object with a text \"content\", found an array"},
    {"spm", "tokenizer_config.json", "{\"unk_token\": \"a\\u0000b\"}",
     "\"unk_token\": expected a text or an object with a text \"content\", found a string"},
    {"gpt2", "tokenizer_config.json", "{\"mask_token\": {\"content\": \"m\", \"lstrip\": 1}}",
     "\"mask_token\": \"lstrip\": expected true or false, found an integer"},
    {"spm", "tokenizer_config.json", "{\"additional_special_tokens\": \"<a>\"}",
     "\"additional_special_tokens\": expected a list of tokens, found a string"},
    {"spm", "tokenizer_config.json", "{\"additional_special_tokens\": [4]}",
     "\"additional_special_tokens\": expected a text or an object with a text \"content\", found an integer"},
    {"spm", "tokenizer_config.json", "{\"added_tokens_decoder\": []}", "\"added_tokens_decoder\": expected an object, found an array"},
    {"spm", "tokenizer_config.json", "{\"added_tokens_decoder\": {\"x1\": {\"content\": \"a\"}}}",
     "\"added_tokens_decoder\": expected ids as keys, found \"x1\""},
    {"spm", "tokenizer_config.json", "{\"added_tokens_decoder\": {\"99999999999\": {\"content\": \"a\"}}}",
     "\"added_tokens_decoder\": expected ids as keys, found \"99999999999\""},
    {"spm", "tokenizer_config.json", "{\"added_tokens_decoder\": {\"300\": \"a\"}}",
     "\"added_tokens_decoder\": \"300\": expected an object, found a string"},
    {"spm", "tokenizer_config.json", "{\"added_tokens_decoder\": {\"300\": {\"content\": \"\"}}}",
     "\"added_tokens_decoder\": \"300\": expected a \"content\" that is not empty"},
    {"spm", "tokenizer_config.json", "{\"added_tokens_decoder\": {\"300\": {\"content\": \"a\"}, \"0300\": {\"content\": \"b\"}}}",
     "\"added_tokens_decoder\": id 300 occurs twice"},
    {"spm", "tokenizer_config.json", "{\"added_tokens_decoder\": {\"263\": {\"content\": \"<x>\"}}}",
     "\"added_tokens_decoder\": id 263 is \"<x>\", but \"\xe2\x96\x81hello\" in the vocabulary"},
    {"spm", "tokenizer_config.json", "{\"added_tokens_decoder\": {\"1000000\": {\"content\": \"<x>\"}}}",
     "\"added_tokens_decoder\": id 1000000 is too far beyond the vocabulary of 278"},
    {"spm", "tokenizer_config.json", "{\"added_tokens_decoder\": {\"300\": {\"content\": \"a\", \"single_word\": true}}}",
     "\"added_tokens_decoder\": \"single_word\": true is not supported"},
    {"gpt2", "added_tokens.json", "{\"<a>\": \"5\"}", "\"<a>\": expected an id, found a string"},
    {"gpt2", "added_tokens.json", "{\"<a>\": 4294967296}", "\"<a>\": expected an id, found a larger integer"},
    {"gpt2", "added_tokens.json", "{\"<a>\": 300, \"<b>\": 300}", "\"<a>\" and \"<b>\" have the same id 300"},
    {"gpt2", "added_tokens.json", "{\"<a>\": 10}", "\"<a>\": id 10 is \"<a>\", but \"\xc4\x8a\" in the vocabulary"},
};

static void damaged_values(void **state)
{
    (void)state;
    int64_t before = cs_mem_bytes();
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        const char *dir = make_folder(damaged[i].kind);
        char want[600];
        cs_tokenizer *t = NULL;
        cs_error err = {0};
        write_text(dir, damaged[i].file, damaged[i].text);
        snprintf(want, sizeof want, "%s/%s: %s", dir, damaged[i].file, damaged[i].message);
        cs_status status = cs_tokenizer_create(dir, &t, &err);
        if (status != CS_E_FORMAT || strcmp(err.msg, want) != 0)
            fail_msg("%s: status %d, \"%s\", expected \"%s\"", damaged[i].text, (int)status, err.msg, want);
        assert_int_equal(cs_io_remove_tree(dir, &err), CS_OK);
    }
    assert_int_equal(cs_mem_bytes(), before);
}

/* The n-th allocation fails, once or from there on: out of memory and nothing else, whatever the loader was probing for; nothing is kept. */
static void loads_or_nomem(const char *path, const char *how)
{
    int64_t before = cs_mem_bytes();
    for (int n = 1;; n++) {
        char spec[32];
        cs_tokenizer *t = NULL;
        cs_error err = {0};
        snprintf(spec, sizeof spec, how, n);
        assert_int_equal(cs_failpoint_arm(spec, &err), CS_OK);
        int64_t failures = cs_mem_failures();
        cs_status status = cs_tokenizer_create(path, &t, &err);
        bool fired = cs_mem_failures() > failures;
        cs_failpoint_arm(NULL, &err);
        if (status != (fired ? CS_E_NOMEM : CS_OK))
            fail_msg("%s, %s: status %d, \"%s\"", path, spec, (int)status, err.msg);
        cs_tokenizer_destroy(t);
        assert_int_equal(cs_mem_bytes(), before);
        if (!fired)
            return;
    }
}

static void out_of_memory(void **state)
{
    (void)state;
    static const char *const files[] = {"tok_tiny.model", "tok_tiny.json", "tok512.bin", "vocab_tiny.gguf", "vocab_tiny_gpt2.gguf", "gpt2_tiny"};
    const char *dir = test_make_dir();
    char folder[256];
    cs_error err = {0};
    json_set_alloc_funcs(cs_malloc, cs_free);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        loads_or_nomem(test_path(TEST_DATA, files[i]), "mem@%d");
        loads_or_nomem(test_path(TEST_DATA, files[i]), "mem@%d+");
    }
    /* folders in which the tokenizer must be looked for among other files */
    copy_file("tok512.bin", dir, "a.bin");
    copy_file("stories260K.bin", dir, "b.bin");
    loads_or_nomem(dir, "mem@%d");
    assert_int_equal(cs_io_remove_tree(test_path(dir, "a.bin"), &err), CS_OK);
    copy_file("vocab_tiny.gguf", dir, "c.gguf");
    loads_or_nomem(dir, "mem@%d");
    assert_int_equal(cs_io_remove_tree(dir, &err), CS_OK);
    snprintf(folder, sizeof folder, "%s", make_folder("gpt2"));
    write_text(folder, "tokenizer_config.json",
               "{\"pad_token\": \"<p>\", \"model_max_length\": 1000000000000000000000, \"add_bos_token\": true}");
    write_text(folder, "special_tokens_map.json", "{\"bos_token\": {\"content\": \"<s>\", \"lstrip\": true}}");
    write_text(folder, "added_tokens.json", "{\"<a>\": 290, \"<b>\": 280}");
    write_text(folder, "config.json", "{\"model_type\": \"aquila\"}");
    loads_or_nomem(folder, "mem@%d");
    assert_int_equal(cs_io_remove_tree(folder, &err), CS_OK);
}

/* The special ids that Aquila's model code adds, where the folder does not define them. */
static void shared_aquila(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t id;
    } specials[] = {{"<|endoftext|>", 0},  {"<|startofpiece|>", 100000}, {"<|endofpiece|>", 100001}, {"[MASK]", 100003},
                    {"[gMASK]", 100004}, {"[sMASK]", 100005},          {"[CLS]", 100006},          {"</s>", 100007}};
    const char *shared = getenv("CS_SHARED_DATA");
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    if (!shared) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    assert_int_equal(cs_tokenizer_create(test_path(shared, "tokenizers/aquila"), &t, &err), CS_OK);
    assert_int_equal(cs_tokenizer_vocab_size(t), 100008);
    assert_int_equal(cs_tokenizer_bos(t), 100006);
    assert_int_equal(cs_tokenizer_eos(t), 100007);
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
        cs_ids ids = {0};
        assert_int_equal(cs_tokenizer_encode(t, specials[i].text, strlen(specials[i].text), CS_TOK_PARSE_SPECIAL, &ids, &err), CS_OK);
        assert_int_equal(ids.len, 1);
        assert_int_equal(ids.data[0], specials[i].id);
        cs_ids_release(&ids);
    }
    cs_tokenizer_destroy(t);
}

/* BLOOM from its merges.txt alone, the file and the folder; of another list the vocabulary is not known. */
static void shared_bloom(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t ids[8];
        size_t n;
    } known[] = {{"The quick brown fox</s>", {2175, 23714, 73173, 144252, 2}, 5},
                 {"jumps over the lazy dog</s>", {77, 132619, 3478, 368, 109586, 35433, 2}, 7},
                 {"\"", {5}, 1}};
    const char *shared = getenv("CS_SHARED_DATA"), *dir = test_make_dir();
    cs_error err = {0};
    cs_tokenizer *t = NULL;
    copy_file("gpt2_tiny/merges.txt", dir, "merges.txt");
    assert_int_equal(cs_tokenizer_create(dir, &t, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "merges.txt: 15 rules without a vocab.json beside them; only BLOOM's 250434 tell the vocabulary"));
    assert_int_equal(cs_io_remove_tree(dir, &err), CS_OK);
    if (!shared) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    assert_int_equal(cs_tokenizer_create(test_path(shared, "tokenizers/bloom"), &t, &err), CS_OK);
    assert_int_equal(cs_tokenizer_vocab_size(t), 250680);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        cs_ids ids = {0};
        cs_str text = {0};
        assert_int_equal(cs_tokenizer_encode(t, known[i].text, strlen(known[i].text), CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL, &ids, &err), CS_OK);
        assert_int_equal(ids.len, known[i].n);
        assert_memory_equal(ids.data, known[i].ids, ids.len * sizeof *ids.data);
        assert_int_equal(cs_tokenizer_decode(t, ids.data, ids.len, true, &text, &err), CS_OK);
        assert_string_equal(cs_str_cstr(&text), known[i].text);
        cs_ids_release(&ids);
        cs_str_release(&text);
    }
    cs_tokenizer_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_transformers), cmocka_unit_test(damaged_values), cmocka_unit_test(out_of_memory),
                                       cmocka_unit_test(shared_aquila),   cmocka_unit_test(shared_bloom)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
