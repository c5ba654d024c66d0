/* Tokenizers from GGUF vocabularies: the same ids as the file they were made from, as SentencePiece (Baichuan, with CS_SHARED_DATA) and as HF
 * tokenizers (byte-level) give; folders; damaged vocabularies with their messages. */
#include "base/io.h"
#include "base/mem.h"
#include "fmt/gguf.h"
#include "fmt/json.h"
#include "text/tok.h"
#include "text/tok_hf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "data_path.h"

static cs_tokenizer *open_tok(const char *path)
{
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    if (cs_tokenizer_create(path, &t, &err) != CS_OK)
        fail_msg("%s", err.msg);
    return t;
}

/* Random text over an alphabet of code points, pieces of the vocabulary among them. */
static void random_text(const cs_tokenizer *t, uint64_t *rng, cs_str *out)
{
    static const char *const bits[] = {" ", "  ", "a", "h", "e", "l", "o", "w", "r", "d", "\n", "1", "\xc3\xa9", "\xe4\xb8\xad", "\xff",
                                       "\xf0\x9f\x98\x80", "\xe2\x96\x81", ".", "the", "ing"};
    cs_str_clear(out);
    for (size_t n = (*rng >> 33) % 40; n > 0; n--) {
        *rng = *rng * 6364136223846793005u + 1442695040888963407u;
        size_t len, k = *rng >> 33;
        if (k % 3 == 0) {
            const char *piece = cs_tokenizer_piece(t, (int32_t)(k / 3 % (size_t)cs_tokenizer_vocab_size(t)), &len);
            cs_str_append(out, piece, len);
        } else {
            cs_str_puts(out, bits[k / 3 % (sizeof bits / sizeof *bits)]);
        }
    }
    *rng = *rng * 6364136223846793005u + 1442695040888963407u;
}

static void same_ids(const char *a_path, const char *b_path, size_t n)
{
    cs_tokenizer *a = open_tok(a_path), *b = open_tok(b_path);
    cs_ids x = {0}, y = {0};
    cs_str text = {0};
    cs_error err = {0};
    uint64_t rng = 11;
    assert_int_equal(cs_tokenizer_vocab_size(a), cs_tokenizer_vocab_size(b));
    assert_int_equal(cs_tokenizer_bos(a), cs_tokenizer_bos(b));
    assert_int_equal(cs_tokenizer_eos(a), cs_tokenizer_eos(b));
    assert_int_equal(cs_tokenizer_unk(a), cs_tokenizer_unk(b));
    for (size_t i = 0; i < n; i++) {
        int flags = i % 2 ? CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL : 0;
        random_text(a, &rng, &text);
        cs_ids_clear(&x);
        cs_ids_clear(&y);
        assert_int_equal(cs_tokenizer_encode(a, cs_str_cstr(&text), text.len, flags, &x, &err), CS_OK);
        assert_int_equal(cs_tokenizer_encode(b, cs_str_cstr(&text), text.len, flags, &y, &err), CS_OK);
        if (x.len != y.len || (x.len > 0 && memcmp(x.data, y.data, x.len * sizeof *x.data) != 0))
            fail_msg("text %zu: ids of \"%s\" differ", i, cs_str_cstr(&text));
    }
    cs_ids_release(&x);
    cs_ids_release(&y);
    cs_str_release(&text);
    cs_tokenizer_destroy(a);
    cs_tokenizer_destroy(b);
}

static void as_its_model(void **state)
{
    (void)state;
    same_ids(test_path(TEST_DATA, "vocab_tiny.gguf"), test_path(TEST_DATA, "tok_tiny.model"), 2000);
}

static void shared_llama(void **state)
{
    (void)state;
    const char *shared = getenv("CS_SHARED_DATA");
    if (!shared) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    const char *model = test_path(shared, "tokenizers/llama/tokenizer.model");
    same_ids(test_path(shared, "tokenizers/llama/ggml-vocab-llama-spm.gguf"), model, 2000);
    same_ids(test_path(shared, "models/tiny_random_gguf"), model, 200); /* a folder whose .gguf holds weights too */
}

static void check_golden(const char *path, const char *key, int flags)
{
    json_t *root, *row, *v;
    size_t i, k;
    cs_error err = {0};
    cs_tokenizer *t = open_tok(path);
    cs_ids ids = {0};
    cs_str text = {0};
    assert_int_equal(cs_json_load(test_path(TEST_DATA, "../golden/tok_gguf.json"), 1 << 20, &root, &err), CS_OK);
    assert_true(json_array_size(json_object_get(root, key)) > 40);
    json_array_foreach(json_object_get(root, key), i, row) {
        const json_t *want = json_object_get(row, "ids"), *in = json_object_get(row, "text");
        cs_ids_clear(&ids);
        assert_int_equal(cs_tokenizer_encode(t, json_string_value(in), json_string_length(in), flags, &ids, &err), CS_OK);
        if (ids.len != json_array_size(want))
            fail_msg("%s %zu: %zu ids, expected %zu", key, i, ids.len, json_array_size(want));
        json_array_foreach(want, k, v)
            if (ids.data[k] != (int32_t)json_integer_value(v))
                fail_msg("%s %zu: id %zu is %d, expected %d", key, i, k, ids.data[k], (int)json_integer_value(v));
        cs_str_clear(&text);
        assert_int_equal(cs_tokenizer_decode(t, ids.data, ids.len, true, &text, &err), CS_OK);
        if (flags) /* byte-level text comes back as it was */
            assert_string_equal(cs_str_cstr(&text), json_string_value(in));
    }
    json_decref(root);
    cs_ids_release(&ids);
    cs_str_release(&text);
    cs_tokenizer_destroy(t);
}

static void byte_level(void **state)
{
    (void)state;
    check_golden(test_path(TEST_DATA, "vocab_tiny_gpt2.gguf"), "gpt2", CS_TOK_PARSE_SPECIAL);
}

/* tokenizer.ggml.pre decides where text is cut: the same vocabulary under other names. */
static void splits(void **state)
{
    (void)state;
    static const struct {
        const char *pre;
        int32_t ids[4];
        size_t n;
    } rows[] = {{"gpt-2", {270}, 1}, {"qwen2", {49, 50}, 2}, {"bloom", {270}, 1}};
    uint8_t *data;
    size_t size;
    cs_error err = {0};
    assert_int_equal(cs_io_read_all(test_path(TEST_DATA, "vocab_tiny_gpt2.gguf"), 1 << 20, &data, &size, &err), CS_OK);
    uint8_t *pre = memmem(data, size, "gpt-2", 5);
    assert_non_null(pre);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cs_tokenizer *t = NULL;
        cs_ids ids = {0};
        memcpy(pre, rows[i].pre, 5);
        if (cs_tokenizer_create_from_bytes("gguf", data, size, "f", &t, &err) != CS_OK)
            fail_msg("%s", err.msg);
        assert_int_equal(cs_tokenizer_encode(t, "12", 2, 0, &ids, &err), CS_OK);
        assert_int_equal(ids.len, rows[i].n);
        assert_memory_equal(ids.data, rows[i].ids, ids.len * sizeof *ids.data);
        cs_ids_release(&ids);
        cs_tokenizer_destroy(t);
    }
    cs_free(data);
}

static void shared_baichuan(void **state)
{
    (void)state;
    const char *shared = getenv("CS_SHARED_DATA");
    if (!shared) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    check_golden(test_path(shared, "tokenizers/baichuan"), "baichuan", 0);
}

static void copy_file(const char *from, const char *to)
{
    uint8_t *data;
    size_t size;
    cs_error err = {0};
    assert_int_equal(cs_io_read_all(from, 1 << 24, &data, &size, &err), CS_OK);
    assert_int_equal(cs_io_write_atomic(to, data, size, &err), CS_OK);
    cs_free(data);
}

/* One vocabulary in a folder is found whatever its name; of two one must be named; a GGUF without a tokenizer does not count. */
static void folders(void **state)
{
    (void)state;
    const char *dir = test_make_dir();
    cs_error err = {0};
    cs_tokenizer *t = NULL;
    copy_file("tests/fuzz/corpus/gguf/tensors", test_path(dir, "a-model.gguf"));
    assert_int_equal(cs_tokenizer_create(dir, &t, &err), CS_E_IO);
    copy_file(test_path(TEST_DATA, "vocab_tiny.gguf"), test_path(dir, "m-words.gguf"));
    t = open_tok(dir);
    assert_int_equal(cs_tokenizer_n_files(t), 1);
    assert_non_null(strstr(cs_tokenizer_file(t, 0), "m-words.gguf"));
    cs_tokenizer_destroy(t);
    copy_file(test_path(TEST_DATA, "vocab_tiny_gpt2.gguf"), test_path(dir, "z.gguf"));
    assert_int_equal(cs_tokenizer_create(dir, &t, &err), CS_E_FORMAT);
    assert_true(strstr(err.msg, "m-words.gguf") && strstr(err.msg, "z.gguf"));
    assert_int_equal(cs_io_remove_tree(dir, &err), CS_OK);
}

/* ---- damaged vocabularies ---- */

static void put(cs_str *s, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        cs_str_putc(s, (char)(v >> 8 * i));
}

static void put_text(cs_str *s, const char *text)
{
    put(s, strlen(text), 8);
    cs_str_puts(s, text);
}

typedef struct vocab {
    cs_str s;
    uint64_t n;
} vocab;

static void begin(vocab *v)
{
    *v = (vocab){0};
    cs_str_puts(&v->s, "GGUF");
    put(&v->s, 3, 4);
    put(&v->s, 0, 8);
    put(&v->s, 0, 8);
}

static void key(vocab *v, const char *name, cs_gguf_kind kind)
{
    char full[80];
    snprintf(full, sizeof full, "tokenizer.ggml.%s", name);
    put_text(&v->s, full);
    put(&v->s, kind, 4);
    v->n++;
    memcpy(v->s.data + 16, &v->n, 8);
}

static void key_text(vocab *v, const char *name, const char *text)
{
    key(v, name, CS_GGUF_STRING);
    put_text(&v->s, text);
}

static void key_int(vocab *v, const char *name, uint32_t value)
{
    key(v, name, CS_GGUF_U32);
    put(&v->s, value, 4);
}

static void list(vocab *v, const char *name, cs_gguf_kind item, uint64_t n)
{
    key(v, name, CS_GGUF_ARRAY);
    put(&v->s, item, 4);
    put(&v->s, n, 8);
}

static void words(vocab *v, const char *name, const char *a, const char *b, const char *c)
{
    list(v, name, CS_GGUF_STRING, 3);
    put_text(&v->s, a);
    put_text(&v->s, b);
    put_text(&v->s, c);
}

static void numbers(vocab *v, const char *name, cs_gguf_kind item, uint32_t a, uint32_t b, uint32_t c)
{
    list(v, name, item, 3);
    put(&v->s, a, 4);
    put(&v->s, b, 4);
    put(&v->s, c, 4);
}

/* A good vocabulary of three pieces up to the key named `without`, which the case adds its own way. */
static void three(vocab *v, const char *without)
{
    if (strcmp(without, "model") != 0)
        key_text(v, "model", "llama");
    if (strcmp(without, "tokens") != 0)
        words(v, "tokens", "<unk>", "a", "b");
    if (strcmp(without, "scores") != 0)
        numbers(v, "scores", CS_GGUF_F32, 0, 0, 0);
    if (strcmp(without, "token_type") != 0)
        numbers(v, "token_type", CS_GGUF_I32, 2, 1, 1);
}

static void expect_fail(vocab *v, const char *message)
{
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    int64_t before = cs_mem_bytes();
    cs_status status = cs_tokenizer_create_from_bytes("gguf", (const uint8_t *)v->s.data, v->s.len, "f", &t, &err);
    if (status != CS_E_FORMAT || strcmp(err.msg, message) != 0)
        fail_msg("status %d, \"%s\", expected \"%s\"", (int)status, err.msg, message);
    assert_int_equal(cs_mem_bytes(), before);
    cs_str_release(&v->s);
    begin(v);
}

static void damaged(void **state)
{
    (void)state;
    vocab v;
    begin(&v), three(&v, "model");
    expect_fail(&v, "f: a GGUF file without a tokenizer: tokenizer.ggml.model is missing");
    three(&v, "model"), key_text(&v, "model", "bert");
    expect_fail(&v, "f: offset 218: tokenizer.ggml.model \"bert\" is not supported, only llama, t5 and gpt2");
    three(&v, "model"), key_int(&v, "model", 5);
    expect_fail(&v, "f: offset 218: tokenizer.ggml.model: expected string, found u32");
    three(&v, "tokens");
    expect_fail(&v, "f: tokenizer.ggml.tokens is missing, empty or too long");
    three(&v, "tokens"), numbers(&v, "tokens", CS_GGUF_I32, 1, 2, 3);
    expect_fail(&v, "f: offset 187: tokenizer.ggml.tokens: expected an array of string, found array of i32");
    three(&v, "scores");
    expect_fail(&v, "f: tokenizer.ggml.scores is missing");
    three(&v, "scores"), list(&v, "scores", CS_GGUF_F32, 2), put(&v.s, 0, 8);
    expect_fail(&v, "f: offset 206: tokenizer.ggml.scores has 2 elements for 3 tokens");
    three(&v, "scores"), numbers(&v, "scores", CS_GGUF_F32, 0, 0x7fc00000, 0);
    expect_fail(&v, "f: offset 206: tokenizer.ggml.scores of token 1 is not a finite number");
    three(&v, "token_type"), numbers(&v, "token_type", CS_GGUF_I32, 2, 1, 7);
    expect_fail(&v, "f: offset 202: tokenizer.ggml.token_type of token 2 is 7, expected 1..6");
    three(&v, "token_type"), numbers(&v, "token_type", CS_GGUF_I32, 2, 1, 2);
    expect_fail(&v, "f: offset 202: tokens 0 and 2 are both of type unknown");
    three(&v, "token_type"), numbers(&v, "token_type", CS_GGUF_I32, 2, 1, 6);
    expect_fail(&v, "f: offset 69: byte token 2 is not spelled <0xNN>");
    three(&v, "tokens"), words(&v, "tokens", "<unk>", "a", "a");
    expect_fail(&v, "f: offset 187: pieces 1 and 2 have the same text");
    three(&v, ""), key_int(&v, "bos_token_id", 3);
    expect_fail(&v, "f: offset 263: tokenizer.ggml.bos_token_id is 3, expected an id below 3");
    three(&v, ""), key_text(&v, "eos_token_id", "2");
    expect_fail(&v, "f: offset 263: tokenizer.ggml.eos_token_id: expected an integer below 2^63, found string");
    three(&v, ""), key_int(&v, "add_bos_token", 1);
    expect_fail(&v, "f: offset 263: tokenizer.ggml.add_bos_token: expected bool, found u32");
    three(&v, ""), list(&v, "precompiled_charsmap", CS_GGUF_U8, 4), put(&v.s, 9, 4);
    expect_fail(&v, "f: offset 263: expected a multiple of 4 bytes as a trie's size, found 9");
    three(&v, "model"), key_text(&v, "model", "gpt2"), key_text(&v, "pre", "klingon");
    expect_fail(&v, "f: offset 262: tokenizer.ggml.pre \"klingon\" is not a split this program knows");
    three(&v, "model"), key_text(&v, "model", "gpt2");
    expect_fail(&v, "f: tokenizer.ggml.merges is missing");
    three(&v, "model"), key_text(&v, "model", "gpt2"), list(&v, "merges", CS_GGUF_STRING, 1), put_text(&v.s, "ab");
    expect_fail(&v, "f: offset 262: merge 0 is not two pieces with a blank between them");
    three(&v, "model"), key_text(&v, "model", "gpt2"), list(&v, "merges", CS_GGUF_STRING, 1), put_text(&v.s, "a b");
    expect_fail(&v, "f: merge 0: \"a\" and \"b\": a side or the result is not in the vocabulary");
    cs_str_release(&v.s);
}

/* The files of a Hugging Face folder give the same ids; so does each file alone. */
static void check_files(const char *gguf, bool json, bool model, size_t n)
{
    cs_tok_hf_file file[CS_TOK_HF_FILES];
    cs_error err = {0};
    char dir[256], both[256];
    cs_tokenizer *t = open_tok(gguf);
    assert_true(cs_tokenizer_is_gguf(t));
    snprintf(both, sizeof both, "%s", test_make_dir());
    if (cs_tok_hf_files(t, 99, file, &err) != CS_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < CS_TOK_HF_FILES; i++) {
        assert_int_equal(file[i].name != NULL, i == 0 || (i == 1 ? json : model));
        if (!file[i].name)
            continue;
        assert_int_equal(cs_io_write_atomic(test_path(both, file[i].name), file[i].text.data, file[i].text.len, &err), CS_OK);
        snprintf(dir, sizeof dir, "%s", test_make_dir());
        assert_int_equal(cs_io_write_atomic(test_path(dir, file[0].name), file[0].text.data, file[0].text.len, &err), CS_OK);
        assert_int_equal(cs_io_write_atomic(test_path(dir, file[i].name), file[i].text.data, file[i].text.len, &err), CS_OK);
        if (i > 0)
            same_ids(gguf, dir, n);
        cs_io_remove_tree(dir, NULL);
    }
    same_ids(gguf, both, n);
    cs_io_remove_tree(both, NULL);
    cs_tok_hf_release(file);
    cs_tokenizer_destroy(t);
}

static void as_files(void **state)
{
    (void)state;
    check_files(test_path(TEST_DATA, "vocab_tiny.gguf"), false, true, 1000);
    const char *gpt2 = test_path(TEST_DATA, "vocab_tiny_gpt2.gguf");
    check_files(gpt2, true, false, 1000);
    uint8_t *data;
    size_t size;
    cs_error err = {0};
    char dir[256];
    snprintf(dir, sizeof dir, "%s", test_make_dir());
    assert_int_equal(cs_io_read_all(gpt2, 1 << 20, &data, &size, &err), CS_OK);
    for (int i = 0; i < 2; i++) { /* the same pieces cut by other patterns */
        memcpy(memmem(data, size, i ? "qwen2" : "gpt-2", 5), i ? "bloom" : "qwen2", 5);
        assert_int_equal(cs_io_write_atomic(test_path(dir, "v.gguf"), data, size, &err), CS_OK);
        check_files(test_path(dir, "v.gguf"), true, false, 1000);
    }
    cs_free(data);
    cs_io_remove_tree(dir, NULL);
}

static void shared_as_files(void **state)
{
    (void)state;
    const char *shared = getenv("CS_SHARED_DATA");
    if (!shared) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    check_files(test_path(shared, "tokenizers/llama/ggml-vocab-llama-spm.gguf"), true, true, 500);
    check_files(test_path(shared, "tokenizers/baichuan/ggml-vocab-baichuan.gguf"), true, true, 500);
}

/* Every split's name: its pattern travels into tokenizer.json, BOS and the chat template too. */
static void splits_as_files(void **state)
{
    (void)state;
    static const char *const pre[] = {"gpt-2", "qwen2", "bloom", "llama3", "default", "dbrx"};
    static const char chat[] = "{% for m in messages %}\n<\"x\">{{ m }}{% endfor %}";
    for (size_t i = 0; i < sizeof pre / sizeof *pre; i++) {
        vocab v = {0};
        cs_tokenizer *t = NULL, *back = NULL;
        cs_tok_hf_file file[CS_TOK_HF_FILES];
        cs_error err = {0};
        cs_ids a = {0}, b = {0};
        begin(&v);
        three(&v, "model"), key_text(&v, "model", "gpt2"), key_text(&v, "pre", pre[i]), list(&v, "merges", CS_GGUF_STRING, 0);
        put_text(&v.s, "tokenizer.chat_template"), put(&v.s, CS_GGUF_STRING, 4), put_text(&v.s, chat);
        v.n++;
        memcpy(v.s.data + 16, &v.n, 8);
        if (cs_tokenizer_create_from_bytes("gguf", (const uint8_t *)v.s.data, v.s.len, "f", &t, &err) != CS_OK)
            fail_msg("%s: %s", pre[i], err.msg);
        assert_string_equal(cs_tokenizer_chat_template(t), chat);
        if (cs_tok_hf_files(t, 0, file, &err) != CS_OK)
            fail_msg("%s: %s", pre[i], err.msg);
        char dir[256];
        snprintf(dir, sizeof dir, "%s", test_make_dir());
        for (int k = 0; k < 2; k++)
            assert_int_equal(cs_io_write_atomic(test_path(dir, file[k].name), file[k].text.data, file[k].text.len, &err), CS_OK);
        back = open_tok(dir);
        assert_string_equal(cs_tokenizer_chat_template(back), chat);
        assert_int_equal(cs_tokenizer_encode(t, "ab a", 4, CS_TOK_SPECIAL, &a, &err), CS_OK);
        assert_int_equal(cs_tokenizer_encode(back, "ab a", 4, CS_TOK_SPECIAL, &b, &err), CS_OK);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len * sizeof *a.data);
        cs_io_remove_tree(dir, NULL);
        cs_ids_release(&a);
        cs_ids_release(&b);
        cs_tok_hf_release(file);
        cs_tokenizer_destroy(t);
        cs_tokenizer_destroy(back);
        cs_str_release(&v.s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_its_model), cmocka_unit_test(byte_level),   cmocka_unit_test(splits),
                                       cmocka_unit_test(folders),      cmocka_unit_test(damaged),      cmocka_unit_test(shared_llama),
                                       cmocka_unit_test(shared_baichuan), cmocka_unit_test(as_files), cmocka_unit_test(splits_as_files),
                                       cmocka_unit_test(shared_as_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
