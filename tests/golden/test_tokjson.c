/* Every component of tokenizer.json against what Hugging Face tokenizers makes of 45 small files and 64 texts: ids, byte ranges, decoded text with
 * and without special tokens, and the stream of each. The file is written by tools/oracle/make_tokjson_goldens.py, which tells its form. */
#include "base/io.h"
#include "base/mem.h"
#include "fmt/json.h"
#include "text/tok.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "data_path.h"

static json_t *golden;

static int load(void **state)
{
    (void)state;
    cs_error err = {0};
    return cs_json_load("tests/golden/tokjson/goldens.json", 1 << 24, &golden, &err) == CS_OK ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static cs_tokenizer *open_file(json_t *file)
{
    json_t *doc = json_object_get(file, "tokenizer");
    cs_str text = {0};
    cs_error err = {0};
    cs_tokenizer *t = NULL;
    const char *model = json_string_value(json_object_get(doc, "model"));
    if (model)
        json_object_set(doc, "model", json_object_get(json_object_get(golden, "models"), model));
    assert_int_equal(cs_json_dump(doc, 0, &text, &err), CS_OK);
    if (cs_tokenizer_create_from_bytes("json", (const uint8_t *)text.data, text.len, "golden", &t, &err) != CS_OK)
        fail_msg("%s: %s", json_string_value(json_object_get(file, "name")), err.msg);
    cs_str_release(&text);
    return t;
}

static void take_ids(const json_t *array, cs_ids *out)
{
    size_t i;
    json_t *v;
    cs_ids_clear(out);
    json_array_foreach((json_t *)array, i, v)
        cs_ids_push(out, (int32_t)json_integer_value(v));
}

/* The golden's short form of ranges. */
static void take_ranges(const json_t *array, cs_ids *out)
{
    size_t i;
    json_t *v;
    int32_t last = 0;
    cs_ids_clear(out);
    json_array_foreach((json_t *)array, i, v) {
        bool joined = json_is_integer(v);
        int32_t begin = joined ? last : (int32_t)json_integer_value(json_array_get(v, 0));
        int32_t end = joined ? last + (int32_t)json_integer_value(v) : (int32_t)json_integer_value(json_array_get(v, 1));
        cs_ids_append(out, (int32_t[]){begin, end}, 2);
        last = end;
    }
}

static void same_numbers(const char *what, const char *name, const char *text, const cs_ids *got, const cs_ids *want)
{
    if (got->len == want->len && (got->len == 0 || memcmp(got->data, want->data, got->len * sizeof *got->data) == 0))
        return;
    for (size_t i = 0; i < got->len || i < want->len; i++)
        print_message("%zu: got %d, want %d\n", i, i < got->len ? got->data[i] : -1, i < want->len ? want->data[i] : -1);
    fail_msg("%s: %s of \"%s\" differ", name, what, text);
}

/* Whole and streamed decode give `want` (NULL = only that they agree). */
static void same_text(const cs_tokenizer *t, const char *name, const cs_ids *ids, bool keep, const char *want)
{
    cs_str whole = {0}, parts = {0};
    cs_detok d = {.keep_special = keep};
    cs_error err = {0};
    if (cs_tokenizer_decode(t, ids->data, ids->len, keep, &whole, &err) != CS_OK)
        fail_msg("%s: %s", name, err.msg);
    if (want && (strlen(want) != whole.len || memcmp(want, cs_str_cstr(&whole), whole.len) != 0))
        fail_msg("%s: decoded \"%s\", want \"%s\"", name, cs_str_cstr(&whole), want);
    for (size_t i = 0; i < ids->len; i++)
        assert_int_equal(cs_detok_push(&d, t, ids->data[i], &parts, &err), CS_OK);
    cs_detok_finish(&d, &parts);
    if (parts.len != whole.len || memcmp(cs_str_cstr(&parts), cs_str_cstr(&whole), whole.len) != 0)
        fail_msg("%s: streamed \"%s\", whole \"%s\"", name, cs_str_cstr(&parts), cs_str_cstr(&whole));
    cs_str_release(&whole);
    cs_str_release(&parts);
}

/* plain: 0 = as the input; full: 0 = as plain; null = the library fails on it. A text with a NUL is compared as far as streams go. */
static void same_texts(const cs_tokenizer *t, const char *name, const cs_ids *ids, const json_t *input, const json_t *plain, const json_t *full)
{
    const json_t *p = json_is_integer(plain) ? input : plain, *f = json_is_integer(full) ? p : full;
    same_text(t, name, ids, false, json_string_length(p) == strlen(json_is_string(p) ? json_string_value(p) : "") ? json_string_value(p) : NULL);
    same_text(t, name, ids, true, json_string_length(f) == strlen(json_is_string(f) ? json_string_value(f) : "") ? json_string_value(f) : NULL);
}

static void check_case(const cs_tokenizer *t, const char *name, const json_t *text, const json_t *row)
{
    const char *s = json_string_value(text);
    size_t len = json_string_length(text);
    const int flags = CS_TOK_SPECIAL | CS_TOK_PARSE_SPECIAL;
    cs_ids want = {0}, ids = {0}, plain = {0}, ranges = {0}, want_ranges = {0};
    cs_error err = {0};
    take_ids(json_array_get(row, 0), &want);
    take_ranges(json_array_get(row, 1), &want_ranges);
    assert_int_equal(cs_tokenizer_encode_ranges(t, s, len, flags, &ids, &ranges, &err), CS_OK);
    assert_int_equal(cs_tokenizer_encode(t, s, len, flags, &plain, &err), CS_OK);
    same_numbers("ids", name, s, &ids, &want);
    same_numbers("ids without ranges", name, s, &plain, &want);
    same_numbers("ranges", name, s, &ranges, &want_ranges);
    same_texts(t, name, &want, text, json_array_get(row, 2), json_array_get(row, 3));
    cs_ids_release(&want);
    cs_ids_release(&ids);
    cs_ids_release(&plain);
    cs_ids_release(&ranges);
    cs_ids_release(&want_ranges);
}

static void goldens(void **state)
{
    (void)state;
    json_t *texts = json_object_get(golden, "texts"), *file, *row;
    size_t k, i;
    assert_true(json_array_size(json_object_get(golden, "files")) >= 40 && json_array_size(texts) >= 60);
    json_array_foreach(json_object_get(golden, "files"), k, file) {
        cs_tokenizer *t = open_file(file);
        const char *name = json_string_value(json_object_get(file, "name"));
        json_array_foreach(json_object_get(file, "cases"), i, row)
            check_case(t, name, json_array_get(texts, i), row);
        json_array_foreach(json_object_get(file, "decode"), i, row) {
            cs_ids ids = {0};
            take_ids(json_array_get(row, 0), &ids);
            same_texts(t, name, &ids, NULL, json_array_get(row, 1), json_array_get(row, 2));
            cs_ids_release(&ids);
        }
        cs_tokenizer_destroy(t);
    }
}

/* Messages name the JSON path, what is expected and what is there. */
static void messages(void **state)
{
    (void)state;
    static const struct {
        const char *part, *says;
    } rows[] = {
        {"\"version\":\"2.0\"", "t: version: expected \"1.0\", found \"2.0\""},
        {"\"added_tokens\":{}", "t: added_tokens: expected an array, found an object"},
        {"\"added_tokens\":[{\"id\":1}]", "t: added_tokens[0].content: expected a string, found nothing"},
        {"\"added_tokens\":[{\"id\":0,\"content\":\"x\"}]", "t: added_tokens[0].id: 0 belongs to \"a\" already"},
        {"\"added_tokens\":[{\"id\":2,\"content\":\"x\",\"lstrip\":1}]", "t: added_tokens[0].lstrip: expected true or false, found 1"},
        {"\"normalizer\":7", "t: normalizer: expected an object, found 7"},
        {"\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Lowercase\"},{\"type\":\"Replace\",\"pattern\":\"a\"}]}",
         "t: normalizer.normalizers[2].pattern: expected {\"String\": ...} or {\"Regex\": ...}, found \"a\""},
        {"\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true}", "t: normalizer.strip_right: expected true or false, found nothing"},
        {"\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"A*==\"}", "t: normalizer.precompiled_charsmap: expected base64, found \"A*==\""},
        {"\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}", "expected a table and its strings, found 3 bytes"},
        {"\"normalizer\":{\"type\":\"BertNormalizer\"}", "t: normalizer.type: BertNormalizer is not supported"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},\"behavior\":\"Removed\",\"invert\":false}",
         "t: pre_tokenizer.pattern.Regex: a group without )"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(*COMMIT)a\"},\"behavior\":\"Removed\",\"invert\":false}", "(* at byte 1"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a)\\\\1\"},\"behavior\":\"Removed\",\"invert\":false}", "a back reference at byte 4"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?{x})\"},\"behavior\":\"Removed\",\"invert\":false}", "this kind of group"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{Foo}\"},\"behavior\":\"Removed\",\"invert\":false}", "pattern.Regex: unknown property"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"removed\",\"invert\":false}",
         "t: pre_tokenizer.behavior: expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, found \"removed\""},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", "t: pre_tokenizer.replacement: expected one character, found \"ab\""},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"a\",\"prepend_scheme\":\"last\"}", "prepend_scheme: expected always, first or never"},
        {"\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":0}", "t: pre_tokenizer.length: expected an integer from 1 to 2147483647, found 0"},
        {"\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}", "t: pre_tokenizer.type: UnicodeScripts is not supported"},
        {"\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":null}", "t: pre_tokenizer.pretokenizers: expected an array, found null"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}", "t: post_processor.single: a template without the text"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}]}",
         "t: post_processor.single[0].SpecialToken.id: \"x\" is not among special_tokens"},
        {"\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",9],\"sep\":[\"a\",0]}", "t: post_processor.cls: expected an id of the vocabulary, found 9"},
        {"\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"WordPiece\"}]}", "t: decoder.decoders[1].type: WordPiece is not supported"},
        {"\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":-1,\"stop\":0}", "t: decoder.start: expected an integer from 0 to 2147483647, found -1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cs_tokenizer *t = NULL;
        cs_error err = {0};
        char text[600];
        snprintf(text, sizeof text, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]},%s}", rows[i].part);
        assert_int_equal(cs_tokenizer_create_from_bytes("json", (const uint8_t *)text, strlen(text), "t", &t, &err), CS_E_FORMAT);
        if (!strstr(err.msg, rows[i].says))
            fail_msg("\"%s\" lacks \"%s\"", err.msg, rows[i].says);
    }
}

/* A pattern that would backtrack for ever ends in a message; one that is only slow does not. */
static void hostile_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        bool ends;
    } rows[] = {{"(a+)+$", false}, {"(a|a)*b|(?:a*)*c", false}, {"(a*)*[bx]", false}, {"(?:a|aa)+[bx]", false},
                {"\\\\s*[\\\\r\\\\n]+", true}, {".*x", true}, {"(?:a?){30}a{30}b", true}};
    char text[4001];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char file[400];
        cs_tokenizer *t = NULL;
        cs_error err = {0};
        cs_ids ids = {0};
        memset(text, rows[i].pattern[0] == '\\' ? ' ' : 'a', 4000);
        memcpy(text + 3999, "!", 2);
        snprintf(file, sizeof file, "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"},"
                 "\"behavior\":\"Isolated\",\"invert\":false}}", rows[i].pattern);
        if (cs_tokenizer_create_from_bytes("json", (const uint8_t *)file, strlen(file), "t", &t, &err) != CS_OK)
            fail_msg("%s", err.msg);
        cs_status s = cs_tokenizer_encode(t, text, 4000, 0, &ids, &err);
        assert_int_equal(s, rows[i].ends ? CS_OK : CS_E_FORMAT);
        if (s != CS_OK)
            assert_non_null(strstr(err.msg, "too many steps"));
        cs_ids_release(&ids);
        cs_tokenizer_destroy(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens),
        cmocka_unit_test(messages),
        cmocka_unit_test(hostile_patterns),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
