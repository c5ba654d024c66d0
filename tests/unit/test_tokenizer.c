/* Tokenizers: small ones of our own against ids that SentencePiece 0.2.3, HF tokenizers 0.23 and llama2.c's algorithm gave, streaming
 * against whole decode, and damaged files. */
#include "fmt/llama2c_tok.h"
#include "fmt/spm.h"
#include "text/tok.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tok_check.h"

typedef struct golden {
    const char *text;
    int32_t ids[32];
    size_t n;
} golden;

static void check_goldens(const cs_tokenizer *t, int flags, const golden *g, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_ids(t, g[i].text, strlen(g[i].text), flags, g[i].ids, g[i].n);
}

static void sentencepiece(void **state)
{
    (void)state;
    static const golden g[] = {
        {"hello world", {263, 268}, 2},
        {"  hello\nworlds ll\xc3\xa9", {270, 270, 263, 13, 275, 265, 267, 118, 270, 260, 198, 172}, 12},
        {"", {0}, 0},
        {"hell <user>hello", {270, 261, 270, 269, 262}, 5},
    };
    cs_tokenizer *t = open_tok(test_path(TEST_DATA, "tok_tiny.model"));
    check_goldens(t, 0, g, 4);
    check_ids(t, "\xff", 1, 0, (int32_t[]){270, 242, 194, 192}, 4);
    check_ids(t, "hello", 5, CS_TOK_SPECIAL, (int32_t[]){1, 263}, 2);
    check_ids(t, "<s>hello", 8, CS_TOK_PARSE_SPECIAL, (int32_t[]){1, 263}, 2);
    assert_int_equal(cs_tokenizer_bos(t), 1);
    assert_int_equal(cs_tokenizer_eos(t), 2);
    assert_int_equal(cs_tokenizer_unk(t), 0);
    assert_int_equal(cs_tokenizer_pad(t), -1);
    assert_int_equal(cs_tokenizer_vocab_size(t), 278);
    assert_true(cs_tokenizer_is_special(t, 1) && !cs_tokenizer_is_special(t, 263));
    check_text(t, (int32_t[]){1, 263, 268, 2}, 4, false, "hello world");
    check_text(t, (int32_t[]){1, 263, 2}, 3, true, "<s> hello</s>");
    check_text(t, (int32_t[]){0, 263}, 2, false, " \xe2\x81\x87  hello");
    check_text(t, (int32_t[]){198, 172, 198, 263}, 4, false, "\xc3\xa9\xef\xbf\xbd hello");
    cs_tokenizer_destroy(t);
}

static void huggingface(void **state)
{
    (void)state;
    static const golden g[] = {
        {"hello world", {1, 263, 268}, 3},
        {"  hello\nworlds ll\xc3\xa9", {1, 270, 270, 263, 13, 275, 265, 267, 118, 270, 260, 198, 172}, 13},
        {"", {1}, 1},
        {"hell <user>hello", {1, 270, 261, 270, 63, 120, 118, 272, 276, 65, 262}, 11},
    };
    cs_tokenizer *t = open_tok(test_path(TEST_DATA, "tok_tiny.json"));
    check_goldens(t, CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL, g, 4);
    check_text(t, (int32_t[]){1, 263, 268}, 3, false, "hello world");
    check_text(t, (int32_t[]){198, 172, 198, 263}, 4, false, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd hello");
    check_text(t, (int32_t[]){198, 172}, 2, false, "\xc3\xa9");
    cs_tokenizer_destroy(t);
}

static void llama2c(void **state)
{
    (void)state;
    cs_tokenizer *t = open_tok(test_path(TEST_DATA, "tok512.bin"));
    cs_error err = {0};
    check_ids(t, "Hello  world", 12, CS_TOK_SPECIAL, (int32_t[]){1, 346, 306, 414, 410, 263, 304, 341}, 8);
    check_ids(t, "\xa9"
                 "a\xf7", 3, CS_TOK_SPECIAL, (int32_t[]){1, 410, 172, 412, 250}, 5);
    check_ids(t, "", 0, CS_TOK_SPECIAL, (int32_t[]){1}, 1);
    check_text(t, (int32_t[]){1, 346, 306, 414, 410, 263, 304, 341}, 8, false, "Hello  world");
    size_t len;
    assert_memory_equal(cs_tokenizer_piece(t, 265, &len), " the", 4);
    assert_int_equal(len, 4);
    assert_string_equal(cs_tokenizer_piece(t, 512, &len), "");
    cs_str out = {0};
    assert_int_equal(cs_tokenizer_decode(t, (int32_t[]){1, 512}, 2, false, &out, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "position 1"));
    cs_str_release(&out);
    cs_tokenizer_destroy(t);
}

static void copy(const char *dir, const char *name, const char *from)
{
    cs_str data = read_text(test_path(TEST_DATA, from));
    write_text(dir, name, data.data, data.len);
    cs_str_release(&data);
}

static void put_text(const char *dir, const char *name, const char *text)
{
    write_text(dir, name, text, strlen(text));
}

/* What a folder holds decides, and its configuration refines it. */
static void folders(void **state)
{
    (void)state;
    char dir[256];
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    snprintf(dir, sizeof dir, "%s", test_make_dir());
    assert_int_equal(cs_tokenizer_create(dir, &t, &err), CS_E_IO);
    put_text(dir, "pytorch_model.bin", "PK\x03\x04 not a tokenizer");
    copy(dir, "any name.bin", "tok512.bin");
    t = open_tok(dir);
    uint64_t first = cs_tokenizer_hash(t);
    assert_int_equal(cs_tokenizer_vocab_size(t), 512);
    assert_int_equal(cs_tokenizer_n_files(t), 1);
    cs_tokenizer_destroy(t);
    copy(dir, "second.bin", "tok512.bin");
    assert_int_equal(cs_tokenizer_create(dir, &t, &err), CS_E_FORMAT);
    copy(dir, "tokenizer.model", "tok_tiny.model");
    put_text(dir, "tokenizer_config.json", "{\"tokenizer_class\":\"LLaMATokenizer\",\"add_bos_token\":false,\"add_eos_token\":true,\"legacy\":false,"
                                           "\"eos_token\":{\"content\":\"</s>\"},\"pad_token\":\"<unk>\","
                                           "\"added_tokens_decoder\":{\"280\":{\"content\":\"<chat>\",\"special\":true}}}");
    t = open_tok(dir);
    assert_true(cs_tokenizer_hash(t) != first);
    assert_int_equal(cs_tokenizer_n_files(t), 2);
    assert_int_equal(cs_tokenizer_pad(t), 0);
    assert_int_equal(cs_tokenizer_vocab_size(t), 281);
    check_ids(t, "hello<chat>hello", 16, CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL, (int32_t[]){263, 280, 262, 2}, 4);
    cs_tokenizer_destroy(t);
    put_text(dir, "tokenizer_config.json", "{]");
    assert_int_equal(cs_tokenizer_create(dir, &t, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "tokenizer_config.json:1:"));
    assert_int_equal(cs_io_remove_tree(dir, &err), CS_OK);
}

/* Every cut of a file is an error or a whole tokenizer, never a fault. */
static void cut_files(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *file;
    } rows[] = {{"spm", "tok_tiny.model"}, {"llama2c", "tok512.bin"}, {"json", "tok_tiny.json"}};
    for (size_t r = 0; r < 3; r++) {
        uint8_t *data;
        size_t n, good = 0;
        cs_error err = {0};
        assert_int_equal(cs_io_read_all(test_path(TEST_DATA, rows[r].file), 1 << 24, &data, &n, &err), CS_OK);
        for (size_t cut = 0; cut < n; cut++) {
            cs_tokenizer *t = NULL;
            uint8_t *exact = cs_malloc(cut + 1); /* so that a sanitizer sees a read behind the cut */
            memcpy(exact, data, cut);
            cs_status s = cs_tokenizer_create_from_bytes(rows[r].kind, exact, cut, "cut", &t, &err);
            assert_true(s == CS_OK || s == CS_E_FORMAT);
            good += s == CS_OK;
            if (s == CS_OK)
                cs_tokenizer_destroy(t);
            cs_free(exact);
        }
        assert_true(rows[r].kind[0] == 'j' ? good == 0 : good < n / 5);
        cs_free(data);
    }
}

/* Streaming equals the whole for every pair of ids near the byte pieces and for random runs of a big vocabulary. */
static void streaming(void **state)
{
    (void)state;
    const char *paths[] = {test_path(TEST_DATA, "tok_tiny.model"), test_path(TEST_DATA, "tok_tiny.json"), test_path(TEST_DATA, "tok512.bin")};
    for (size_t k = 0; k < 3; k++) {
        cs_tokenizer *t = open_tok(paths[k]);
        uint32_t x = 1;
        for (int round = 0; round < 3000; round++) {
            int32_t ids[700];
            size_t n = round % 50 == 0 ? 700 : (size_t)round % 13;
            for (size_t i = 0; i < n; i++) {
                x = x * 1664525u + 1013904223u;
                ids[i] = n == 700 ? 3 + (int32_t)((x >> 16) % 256) : (int32_t)((x >> 16) % (uint32_t)cs_tokenizer_vocab_size(t));
            }
            check_text(t, ids, n, false, NULL);
        }
        cs_tokenizer_destroy(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentencepiece),   cmocka_unit_test(huggingface), cmocka_unit_test(llama2c),           cmocka_unit_test(folders),
        cmocka_unit_test(cut_files),       cmocka_unit_test(streaming),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
