/* Vectors that other projects published (CS_SHARED_DATA/vectors), each through every file form that its vocabulary exists in: ids, pieces, text whole
 * and id by id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fmt/json.h"
#include "tok_bloom.h"

static const char *const llama_forms[] = {"tokenizers/llama/tokenizer.model", "tokenizers/llama/tokenizer.json",
                                          "tokenizers/llama/ggml-vocab-llama-spm.gguf"};
enum { N_LLAMA = 3 };

/* Cases of one file separated by a marker, lines of ids without BOS in the other. */
static void llama_cpp(cs_tokenizer *t, const char *vectors)
{
    static const char marker[] = "\n__ggml_vocab_test__\n";
    char name[128];
    snprintf(name, sizeof name, "vectors/llama.cpp/%s.inp", vectors);
    cs_str in = read_text(shared_file(name));
    snprintf(name, sizeof name, "vectors/llama.cpp/%s.out", vectors);
    cs_str out = read_text(shared_file(name));
    char *text = in.data, *line = out.data;
    size_t cases = 0;
    for (char *next; text; text = next, cases++) {
        int32_t ids[512];
        size_t n = 0;
        next = memmem(text, (size_t)(in.data + in.len - text), marker, sizeof marker - 1);
        size_t len = next ? (size_t)(next - text) : (size_t)(in.data + in.len - text);
        for (char *end; *line != '\n' && *line; line = end) {
            ids[n++] = (int32_t)strtol(line, &end, 10);
            while (*end == ' ')
                end++;
            assert_true(end > line && n < 512);
        }
        line += *line == '\n';
        check_ids(t, text, len, 0, ids, n);
        check_bytes(t, ids, n, false, text, len);
        next = next ? next + sizeof marker - 1 : NULL;
    }
    assert_int_equal(cases, 47);
    cs_str_release(&in);
    cs_str_release(&out);
    cs_tokenizer_destroy(t);
}

static void llama_cpp_llama(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_LLAMA; i++)
        llama_cpp(open_tok(shared_file(llama_forms[i])), "ggml-vocab-llama-spm.gguf");
}

static void llama_cpp_gpt2(void **state)
{
    (void)state;
    llama_cpp(open_tok(shared_file("tokenizers/gpt2/tokenizer.json")), "ggml-vocab-gpt-2.gguf");
    llama_cpp(open_pair(shared_file("tokenizers/gpt2")), "ggml-vocab-gpt-2.gguf");
}

/* text -> ids with the tokenizer's own extras, their pieces, the text again without (plain) and with special tokens (full); NULL = not given. */
static void check_case(const cs_tokenizer *t, const json_t *text, const json_t *want, const json_t *pieces, const json_t *plain, const json_t *full)
{
    static int32_t ids[4096];
    size_t n = json_array_size(want), len;
    assert_true(json_is_string(text) && n > 0 && n < 4096);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(want, i));
    check_ids(t, json_string_value(text), json_string_length(text), CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL, ids, n);
    size_t extra = n - json_array_size(pieces); /* the list of pieces may lack BOS */
    for (size_t i = 0; i < json_array_size(pieces); i++) {
        const char *piece = cs_tokenizer_piece(t, ids[i + extra], &len);
        assert_int_equal(len, json_string_length(json_array_get(pieces, i)));
        assert_memory_equal(piece, json_string_value(json_array_get(pieces, i)), len);
    }
    check_text(t, ids, n, false, json_string_value(plain));
    check_text(t, ids, n, true, json_string_value(full));
}

static void transformers_cases(cs_tokenizer *t, const char *vectors)
{
    json_t *root = NULL, *entry;
    const char *key;
    cs_error err = {0};
    assert_int_equal(cs_json_load(shared_file(vectors), 1 << 24, &root, &err), CS_OK);
    assert_int_equal(json_object_size(json_object_get(root, "entries")), 30);
    json_object_foreach(json_object_get(root, "entries"), key, entry)
        check_case(t, json_object_get(entry, "decoded_skip_special"), json_object_get(entry, "input_ids"), json_object_get(entry, "tokens"),
                   json_object_get(entry, "decoded_skip_special"), json_object_get(entry, "decoded_with_special"));
    json_decref(root);
    cs_tokenizer_destroy(t);
}

static void transformers_llama(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_LLAMA; i++)
        transformers_cases(open_tok(shared_file(llama_forms[i])), "vectors/hf_tinyllama_short.json");
}

static void transformers_gpt2(void **state)
{
    (void)state;
    transformers_cases(open_tok(shared_file("tokenizers/gpt2/tokenizer.json")), "vectors/hf_gpt2_short.json");
    transformers_cases(open_pair(shared_file("tokenizers/gpt2")), "vectors/hf_gpt2_short.json");
}

static void long_llama(void **state)
{
    (void)state;
    json_t *root = NULL;
    cs_error err = {0};
    assert_int_equal(cs_json_load(shared_file("vectors/llama_encoded.json"), 1 << 24, &root, &err), CS_OK);
    for (size_t i = 0; i < N_LLAMA; i++) {
        cs_tokenizer *t = open_tok(shared_file(llama_forms[i]));
        check_case(t, json_object_get(root, "text"), json_object_get(root, "token_ids"), json_object_get(root, "bpe_tokens"),
                   json_object_get(root, "text"), json_object_get(root, "decoded_text"));
        cs_tokenizer_destroy(t);
    }
    json_decref(root);
}

static void known_bloom(void **state)
{
    (void)state;
    json_t *root = NULL, *row;
    size_t i;
    cs_error err = {0};
    cs_tokenizer *t[] = {open_tok(shared_file("tokenizers/bloom")), open_bloom()};
    assert_int_equal(cs_json_load(shared_file("vectors/bloom_known.json"), 1 << 20, &root, &err), CS_OK);
    assert_int_equal(json_array_size(json_object_get(root, "cases")), 2);
    for (size_t k = 0; k < 2; k++) {
        json_array_foreach(json_object_get(root, "cases"), i, row)
            check_case(t[k], json_object_get(row, "text"), json_object_get(row, "ids"), NULL, NULL, json_object_get(row, "text"));
        cs_tokenizer_destroy(t[k]);
    }
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_cpp_llama),   cmocka_unit_test(llama_cpp_gpt2), cmocka_unit_test(transformers_llama),
        cmocka_unit_test(transformers_gpt2), cmocka_unit_test(long_llama),     cmocka_unit_test(known_bloom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
