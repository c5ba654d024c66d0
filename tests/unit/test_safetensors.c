/* safetensors: round trip, hand-made broken files with the word or offset that must be in the message, index files, real samples. */
#include "base/io.h"
#include "base/mem.h"
#include "fmt/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Length word + header text + n_data bytes counting up; exact heap size, so that a read behind it is seen by the sanitizer. */
static uint8_t *make_file(const char *header, size_t header_len, size_t n_data, size_t *size)
{
    uint8_t *p = malloc(8 + header_len + n_data);
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(header_len >> 8 * i);
    memcpy(p + 8, header, header_len);
    for (size_t i = 0; i < n_data; i++)
        p[8 + header_len + i] = (uint8_t)i;
    *size = 8 + header_len + n_data;
    return p;
}

typedef struct bad_case {
    const char *header;
    size_t n_data;
    const char *word; /* must be in the message */
} bad_case;

#define A(dtype, shape, range) "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" range "}}"
#define T(name, range) "\"" name "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" range "}"

static const bad_case bad_cases[] = {
    {"[]", 0, "byte 8"},
    {" {}", 0, "byte 8"},
    {"{", 0, "byte 8"},
    {"{}x", 0, "header from byte 8"},
    {"{\"a\"}", 0, "header from byte 8"},
    {"{\"a\":}", 0, "header from byte 8"},
    {"{} {}", 0, "header from byte 8"},
    {"{\"a\":{}", 0, "header from byte 8"},
    {"{\"\xff\":{}}", 0, "header from byte 8"},
    {"{\"\xc0\xaf\":{}}", 0, "header from byte 8"},
    {"{\"a\":NaN}", 0, "header from byte 8"},
    {"{" T("a", "[0,2]") "," T("a", "[0,2]") "}", 2, "header from byte 8"},
    {"{\"a\":[]}", 0, "byte 9: is not an object"},
    {"{\"a\":null}", 0, "byte 9: is not an object"},
    {"{\"a\":3}", 0, "byte 9: is not an object"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,2]}}", 2, "no \"dtype\""},
    {A("3", "[2]", "[0,2]"), 2, "no \"dtype\""},
    {A("\"U8\\u0000\"", "[2]", "[0,2]"), 2, "no \"dtype\""},
    {A("\"u8\"", "[2]", "[0,2]"), 2, "unknown dtype \"u8\""},
    {A("\"F4\"", "[2]", "[0,1]"), 1, "unknown dtype \"F4\""},
    {A("\"\"", "[2]", "[0,2]"), 2, "unknown dtype"},
    {A("\"U8\"", "{}", "[0,2]"), 2, "no \"shape\""},
    {A("\"U8\"", "2", "[0,2]"), 2, "no \"shape\""},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,2]}}", 2, "no \"shape\""},
    {A("\"U8\"", "[-2]", "[0,2]"), 2, "not a whole number"},
    {A("\"U8\"", "[2.0]", "[0,2]"), 2, "not a whole number"},
    {A("\"U8\"", "[\"2\"]", "[0,2]"), 2, "not a whole number"},
    {A("\"U8\"", "[1,1,1,1,1,1,1,1,2]", "[0,2]"), 2, "more than 8 dimensions"},
    {A("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0, "overflows"},
    {A("\"U8\"", "[9223372036854775807,2]", "[0,0]"), 0, "overflows"},
    {A("\"F64\"", "[4611686018427387904]", "[0,0]"), 0, "overflows"},
    {A("\"U8\"", "[99999999999999999999]", "[0,0]"), 0, "header from byte 8"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2]}}", 2, "data_offsets"},
    {A("\"U8\"", "[2]", "[0]"), 2, "data_offsets"},
    {A("\"U8\"", "[2]", "[0,1,2]"), 2, "data_offsets"},
    {A("\"U8\"", "[2]", "[0,\"2\"]"), 2, "data_offsets"},
    {A("\"U8\"", "[2]", "[0.0,2]"), 2, "data_offsets"},
    {A("\"U8\"", "[2]", "{}"), 2, "data_offsets"},
    {A("\"U8\"", "[2]", "[-2,0]"), 2, "negative"},
    {A("\"U8\"", "[2]", "[2,0]"), 2, "begins after its end"},
    {A("\"U8\"", "[2]", "[0,3]"), 2, "ends at byte"},
    {A("\"U8\"", "[2]", "[9223372036854775805,9223372036854775807]"), 2, "ends at byte"},
    {A("\"U8\"", "[2]", "[0,1]"), 2, "1 bytes of data, but shape and dtype need 2"},
    {A("\"F32\"", "[2]", "[0,2]"), 2, "need 8"},
    {A("\"U8\"", "[]", "[0,2]"), 2, "need 1"},
    {A("\"U8\"", "[0]", "[0,2]"), 2, "need 0"},
    {"{" T("a", "[0,2]") "," T("b", "[1,3]") "}", 3, "overlaps"},
    {"{" T("a", "[0,2]") "," T("b", "[0,2]") "}", 2, "overlaps"},
    {"{" T("a", "[0,2]") "," T("b", "[3,5]") "}", 5, "hole of 1 bytes"},
    {"{" T("a", "[1,3]") "}", 3, "hole of 1 bytes"},
    {"{" T("a", "[0,2]") "}", 4, "2 bytes at byte"},
    {"{}", 1, "1 bytes at byte 10"},
    {"{\"__metadata__\":[]}", 0, "__metadata__"},
    {"{\"__metadata__\":\"x\"}", 0, "__metadata__"},
    {"{\"__metadata__\":{\"format\":1}}", 0, "value of \"format\""},
    {"{\"__metadata__\":{\"format\":null}}", 0, "value of \"format\""},
    {"{\"__metadata__\":{\"format\":{}}}", 0, "value of \"format\""},
};

static void expect_bad(const uint8_t *bytes, size_t size, const char *word)
{
    cs_safetensors st;
    cs_error err = {0};
    int64_t held = cs_mem_bytes();
    assert_int_equal(cs_safetensors_init(&st, bytes, size, "x.safetensors", &err), CS_E_FORMAT);
    assert_int_equal(err.status, CS_E_FORMAT);
    if (!strstr(err.msg, word) || !strstr(err.msg, "x.safetensors"))
        fail_msg("message '%s' lacks '%s' or the file name", err.msg, word);
    assert_int_equal(cs_mem_bytes(), held);
}

static void test_bad_headers(void **state)
{
    (void)state;
    assert_true(sizeof bad_cases / sizeof *bad_cases >= 40);
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        size_t size;
        uint8_t *p = make_file(bad_cases[i].header, strlen(bad_cases[i].header), bad_cases[i].n_data, &size);
        expect_bad(p, size, bad_cases[i].word);
        free(p);
    }
}

static void test_bad_lengths(void **state)
{
    (void)state;
    size_t size;
    uint8_t *p = make_file("{}", 2, 0, &size);
    expect_bad(p, 0, "0 bytes");
    expect_bad(p, 7, "7 bytes");
    expect_bad(p, 9, "byte 0 is 2, but only 1");
    p[0] = 1;
    expect_bad(p, size, "byte 8");
    p[0] = 0;
    expect_bad(p, size, "byte 8");
    p[0] = 3;
    expect_bad(p, size, "only 2 bytes follow");
    p[3] = 6; /* 100,663,299 */
    expect_bad(p, size, "more than 100000000");
    memset(p, 255, 8);
    expect_bad(p, size, "18446744073709551615");
    free(p);
    p = make_file("{}\0", 3, 0, &size); /* a NUL hides nothing */
    expect_bad(p, size, "header from byte 8");
    free(p);
    char deep[4096] = "{\"a\":";
    memset(deep + 5, '[', 4000);
    p = make_file(deep, 4005, 0, &size);
    expect_bad(p, size, "header from byte 8");
    free(p);
}

/* Every file that is a prefix of a good one is refused. */
static void test_truncation(void **state)
{
    (void)state;
    size_t size;
    const char *header = "{" T("a", "[0,2]") "," T("b", "[2,4]") "}  ";
    uint8_t *p = make_file(header, strlen(header), 4, &size);
    cs_safetensors st;
    cs_error err = {0};
    assert_int_equal(cs_safetensors_init(&st, p, size, "good", &err), CS_OK);
    assert_int_equal(st.n, 2);
    cs_safetensors_release(&st);
    for (size_t n = 0; n < size; n++) {
        uint8_t *q = malloc(n ? n : 1);
        memcpy(q, p, n);
        expect_bad(q, n, "byte");
        free(q);
    }
    free(p);
}

static cs_st_entry entry(const char *name, cs_dtype t, int ndim, int64_t a, int64_t b)
{
    return (cs_st_entry){.name = name, .dtype = t, .ndim = ndim, .shape = {a, b}};
}

static uint8_t *write_file(const cs_st_plan *plan, size_t k)
{
    const cs_st_file *f = &plan->file[k];
    uint8_t *p = malloc(f->size);
    memcpy(p, f->header.data, f->header.len);
    for (size_t i = f->first; i < f->first + f->n; i++)
        memset(p + plan->entry[i].offset, (int)plan->entry[i].tag + 1, plan->entry[i].bytes);
    return p;
}

static void test_round_trip(void **state)
{
    (void)state;
    cs_st_entry in[] = {entry("b", CS_F32, 2, 3, 5),  entry("a", CS_F32, 1, 7, 0),    entry("z", CS_F64, 2, 1, 2),
                        entry("s", CS_BF16, 0, 0, 0), entry("none", CS_F16, 2, 0, 4), entry("q\"\\\x01\xc3\xa9", CS_U8, 1, 3, 0)};
    size_t n = sizeof in / sizeof *in;
    const char *order[] = {"z", "a", "b", "s", "none", "q\"\\\x01\xc3\xa9"};
    cs_st_plan plan;
    cs_safetensors st;
    cs_error err = {0};
    for (size_t i = 0; i < n; i++)
        in[i].tag = (int64_t)i;
    assert_int_equal(cs_st_plan_init(&plan, in, n, "model", 0, &err), CS_OK);
    assert_int_equal(plan.n_files, 1);
    assert_string_equal(plan.file[0].name, "model.safetensors");
    assert_int_equal(plan.file[0].header.len % 8, 0);
    assert_int_equal(plan.index.len, 0);
    uint8_t *p = write_file(&plan, 0);
    assert_int_equal(cs_safetensors_init(&st, p, plan.file[0].size, "f", &err), CS_OK);
    assert_int_equal(st.n, n);
    assert_string_equal(json_string_value(json_object_get(st.metadata, "format")), "pt");
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(plan.entry[i].name, order[i]);
        const cs_st_entry *e = &plan.entry[i];
        const cs_st_tensor *t = cs_safetensors_find(&st, e->name);
        assert_non_null(t);
        assert_int_equal(t->offset, e->offset);
        assert_int_equal(t->bytes, e->bytes);
        assert_int_equal(t->dtype, e->dtype);
        assert_int_equal(t->ndim, e->ndim);
        assert_memory_equal(t->shape, e->shape, sizeof e->shape);
        for (size_t k = 0; k < t->bytes; k++)
            assert_int_equal(t->data[k], e->tag + 1);
    }
    assert_null(cs_safetensors_find(&st, "c"));
    cs_safetensors_release(&st);
    cs_st_plan_release(&plan);
    free(p);
}

/* The bytes of a header, as the reference writer makes them. */
static void test_exact_header(void **state)
{
    (void)state;
    cs_st_entry in[] = {entry("x", CS_BF16, 1, 2, 0), entry("w", CS_F32, 2, 1, 2)};
    const char want[] = "{\"__metadata__\":{\"format\":\"pt\"},\"w\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
                        "\"x\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[8,12]}}";
    cs_st_plan plan;
    assert_int_equal(cs_st_plan_init(&plan, in, 2, "model", 0, NULL), CS_OK);
    assert_memory_equal(plan.file[0].header.data + 8, want, sizeof want - 1);
    assert_int_equal((uint8_t)plan.file[0].header.data[0], plan.file[0].header.len - 8);
    cs_st_plan_release(&plan);
    in[1].name = "x";
    cs_error err = {0};
    assert_int_equal(cs_st_plan_init(&plan, in, 2, "model", 0, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "twice"));
    in[1] = entry("w", CS_F64, 2, INT64_MAX, INT64_MAX);
    assert_int_equal(cs_st_plan_init(&plan, in, 2, "model", 0, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "overflow"));
}

static void test_shards(void **state)
{
    (void)state;
    cs_st_entry in[] = {entry("a", CS_F32, 1, 10, 0), entry("big", CS_F32, 1, 100, 0), entry("b", CS_F32, 1, 10, 0), entry("c", CS_F32, 1, 15, 0)};
    cs_st_plan plan;
    cs_st_index index;
    cs_error err = {0};
    assert_int_equal(cs_st_plan_init(&plan, in, 4, "model", 100, &err), CS_OK);
    assert_int_equal(plan.n_files, 3);
    assert_string_equal(plan.file[2].name, "model-00003-of-00003.safetensors");
    assert_int_equal(plan.file[2].n, 2);
    assert_int_equal(cs_st_index_init(&index, plan.index.data, plan.index.len, "i", &err), CS_OK);
    assert_int_equal(index.n_files, 3);
    assert_string_equal(json_string_value(json_object_get(index.weight_map, "big")), "model-00002-of-00003.safetensors");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(index.tree, "metadata"), "total_size")), 540);
    cs_st_index_release(&index);
    cs_st_plan_release(&plan);
    const char *bad[] = {"", "[]", "{}", "{\"weight_map\":[]}", "{\"weight_map\":{\"a\":1}}", "{\"weight_map\":{\"a\":\"../x\"}}",
                         "{\"weight_map\":{\"a\":\"/etc/x\"}}", "{\"weight_map\":{\"a\":\"\"}}", "{\"weight_map\":{\"a\":\"x\",\"a\":\"y\"}}",
                         "{\"weight_map\":{\"a\":\".\"}}", "{\"weight_map\":{\"a\":\"x\\u0000y\"}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cs_st_index_init(&index, bad[i], strlen(bad[i]), "i", &err), CS_E_FORMAT);
}

/* Real files of other writers; their tensors are a..: six values -3 .. 2. */
static void test_samples(void **state)
{
    (void)state;
    const char *dir = getenv("CS_SHARED_DATA");
    const char *files[] = {"B", "I", "b", "d", "f", "h", "overall", "tiny_model/model"};
    if (!dir) {
        print_message("CS_SHARED_DATA is not set: samples not read\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4096];
        cs_map map;
        cs_safetensors st;
        cs_error err = {0};
        snprintf(path, sizeof path, "%s/safetensors/%s.safetensors", dir, files[i]);
        assert_int_equal(cs_map_init(&map, path, &err), CS_OK);
        if (cs_safetensors_init(&st, map.data, map.size, path, &err) != CS_OK)
            fail_msg("%s", err.msg);
        assert_true(st.n > 0);
        const cs_st_tensor *f = cs_safetensors_find(&st, "f");
        if (f) {
            float v[6];
            const float want[6] = {-3, -2, -1, 0, 1, 2};
            assert_int_equal(f->bytes, sizeof v);
            memcpy(v, f->data, sizeof v);
            for (int k = 0; k < 6; k++)
                assert_true(v[k] == want[k]);
        }
        cs_safetensors_release(&st);
        cs_map_release(&map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_headers), cmocka_unit_test(test_bad_lengths), cmocka_unit_test(test_truncation), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_exact_header), cmocka_unit_test(test_shards),     cmocka_unit_test(test_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
