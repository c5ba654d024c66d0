/* Difficult texts through small tokenizers of tests/golden/tok, and through real ones of CS_SHARED_DATA: the ids, byte ranges and text that SentencePiece
 * and HF tokenizers give. Format: tools/oracle/make_tok_goldens.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tok_bloom.h"

#define DIR "tests/golden/tok/"
enum { MAX_IDS = 1024, MAX_BYTES = 4096, N_TEXTS = 210 };

/* Hex digits up to anything else; returns the byte count and moves *at behind them. */
static size_t read_hex(const char **at, char out[MAX_BYTES])
{
    size_t n = 0;
    unsigned byte;
    for (; sscanf(*at, "%2x", &byte) == 1 && **at > ' '; *at += 2) {
        assert_true(n < MAX_BYTES);
        out[n++] = (char)byte;
    }
    return n;
}

static size_t read_ids(const char **at, int32_t out[MAX_IDS])
{
    size_t n = 0;
    for (char *end; **at != ';'; *at = end + (*end == ' ')) {
        assert_true(n < MAX_IDS);
        out[n++] = (int32_t)strtol(*at, &end, 10);
        assert_true(end > *at);
    }
    (*at)++;
    return n;
}

/* "[skip:]length" for each id -> begin and end. */
static size_t read_ranges(const char **at, int32_t out[2 * MAX_IDS])
{
    size_t n = 0;
    int32_t last = 0;
    for (char *end; **at != ';'; *at = end + (*end == ' ')) {
        int32_t length = (int32_t)strtol(*at, &end, 10), skip = 0;
        if (*end == ':') {
            skip = length;
            length = (int32_t)strtol(end + 1, &end, 10);
        }
        assert_true(n < 2 * MAX_IDS && end > *at);
        out[n++] = last + skip;
        out[n++] = last = last + skip + length;
    }
    (*at)++;
    return n;
}

static void check_ranges(const cs_tokenizer *t, const char *text, size_t len, int flags, const int32_t *want, size_t n)
{
    cs_ids ids = {0}, ranges = {0};
    cs_error err = {0};
    assert_int_equal(cs_tokenizer_encode_ranges(t, text, len, flags, &ids, &ranges, &err), CS_OK);
    assert_int_equal(ranges.len, 2 * ids.len);
    for (size_t i = 0; i < n && ranges.len == n; i++)
        if (ranges.data[i] != want[i])
            fail_msg("\"%.60s\": id %zu ends or begins at %d, want %d", text, i / 2, ranges.data[i], want[i]);
    assert_int_equal(ranges.len, n);
    cs_ids_release(&ids);
    cs_ids_release(&ranges);
}

/* Every line of an answer file; flags of encoding. with_ranges: the file has them. */
static void check_file(const cs_tokenizer *t, const char *answers, int flags, bool with_ranges)
{
    static int32_t ids[MAX_IDS], ranges[2 * MAX_IDS];
    static char text[MAX_BYTES], want[MAX_BYTES];
    cs_str a = read_text(answers), texts = read_text(DIR "texts.txt");
    const char *at = cs_str_cstr(&a), *next_text = cs_str_cstr(&texts);
    size_t n_texts = 0, n_random = 0;
    for (char kind; (kind = *at) != '\0'; at++) {
        at += 2;
        size_t n = read_ids(&at, ids), len = 0, bytes;
        if (kind == 't') {
            len = read_hex(&next_text, text);
            assert_int_equal(*next_text++, '\n');
            check_ids(t, text, len, flags, ids, n);
            size_t n_ranges = read_ranges(&at, ranges);
            if (with_ranges)
                check_ranges(t, text, len, flags, ranges, n_ranges);
        }
        bool same = *at == '=';
        at += same;
        bytes = same ? len : read_hex(&at, want);
        check_bytes(t, ids, n, false, same ? text : want, bytes);
        n_texts += kind == 't';
        n_random += kind == 'r';
        assert_int_equal(*at, '\n');
    }
    assert_int_equal(n_texts, N_TEXTS);
    assert_true(n_random >= 20);
    cs_str_release(&a);
    cs_str_release(&texts);
}

static void small_models(void **state)
{
    (void)state;
    static const char *const names[] = {"uni_nmt", "uni_rules", "uni_raw", "bpe_raw", "bpe_rules_suffix"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char model[128], answers[128];
        snprintf(model, sizeof model, DIR "%s.model", names[i]);
        snprintf(answers, sizeof answers, DIR "%s.txt", names[i]);
        cs_tokenizer *t = open_tok(model);
        check_file(t, answers, 0, true);
        cs_tokenizer_destroy(t);
    }
}

enum { FLAGS = CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL };

static void small_pair(void **state)
{
    (void)state;
    cs_tokenizer *t = open_tok(DIR "pair");
    check_file(t, DIR "pair.txt", FLAGS, true);
    cs_tokenizer_destroy(t);
}

static void real_sentencepiece(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"tokenizers/llama/tokenizer.model", DIR "real/llama_spm.txt"},
                                          {"tokenizers/llama/ggml-vocab-llama-spm.gguf", DIR "real/llama_spm.txt"},
                                          {"tokenizers/internlm/tokenizer.model", DIR "real/internlm.txt"}};
    for (size_t i = 0; i < 3; i++) {
        cs_tokenizer *t = open_tok(shared_file(rows[i][0]));
        check_file(t, rows[i][1], 0, false);
        cs_tokenizer_destroy(t);
    }
}

static void real_huggingface(void **state)
{
    (void)state;
    cs_tokenizer *t[] = {open_tok(shared_file("tokenizers/llama/tokenizer.json")), open_tok(shared_file("tokenizers/gpt2/tokenizer.json")),
                         open_pair(shared_file("tokenizers/gpt2")), open_pair(shared_file("tokenizers/aquila"))};
    static const char *const answers[] = {DIR "real/llama.txt", DIR "real/gpt2.txt", DIR "real/gpt2.txt", DIR "real/aquila.txt"};
    for (size_t i = 0; i < 4; i++) {
        check_file(t[i], answers[i], FLAGS, false);
        cs_tokenizer_destroy(t[i]);
    }
}

static void real_bloom(void **state)
{
    (void)state;
    cs_tokenizer *t[] = {open_tok(shared_file("tokenizers/bloom")), open_bloom()};
    for (size_t i = 0; i < 2; i++) {
        check_file(t[i], DIR "real/bloom.txt", FLAGS, false);
        cs_tokenizer_destroy(t[i]);
    }
}

/* Rules for decoded text are refused, not ignored: field 5 of the model with a table in it. */
static void denormalizer_refused(void **state)
{
    (void)state;
    cs_str m = read_text(DIR "bpe_raw.model");
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    cs_str_append(&m, "\x2a\x02\x12\x00", 4); /* an empty table */
    assert_int_equal(cs_tokenizer_create_from_bytes("spm", (const uint8_t *)m.data, m.len, "m", &t, &err), CS_OK);
    cs_tokenizer_destroy(t);
    cs_str_append(&m, "\x2a\x07\x12\x05....", 9);
    m.data[m.len - 1] = '\0';
    assert_int_equal(cs_tokenizer_create_from_bytes("spm", (const uint8_t *)m.data, m.len, "m", &t, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "denormalizer"));
    cs_str_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_models),     cmocka_unit_test(small_pair), cmocka_unit_test(real_sentencepiece),
        cmocka_unit_test(real_huggingface), cmocka_unit_test(real_bloom), cmocka_unit_test(denormalizer_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
