/* safetensors: round trip, index files, real samples. Damaged files are in test_badfiles_st.c. */
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
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", "i:1:1: expected a JSON value, found the end of the text"},
        {"[]", "i: expected an object \"weight_map\", found none; not a safetensors index"},
        {"{}", "i: expected an object \"weight_map\", found none; not a safetensors index"},
        {"{\"weight_map\":[]}", "i: expected an object \"weight_map\", found none; not a safetensors index"},
        {"{\"weight_map\":{}}", "i: expected tensors in \"weight_map\", found none"},
        {"{\"weight_map\":{\"a\":1}}", "i: \"weight_map\": expected a plain file name of at most 200 bytes for \"a\", found no string"},
        {"{\"weight_map\":{\"a\":\"../x\"}}", "i: \"weight_map\": expected a plain file name of at most 200 bytes for \"a\", found \"../x\""},
        {"{\"weight_map\":{\"a\":\"..\"}}", "i: \"weight_map\": expected a plain file name of at most 200 bytes for \"a\", found \"..\""},
        {"{\"weight_map\":{\"a\":\"/etc/x\"}}", "i: \"weight_map\": expected a plain file name of at most 200 bytes for \"a\", found \"/etc/x\""},
        {"{\"weight_map\":{\"a\":\"d/x\"}}", "i: \"weight_map\": expected a plain file name of at most 200 bytes for \"a\", found \"d/x\""},
        {"{\"weight_map\":{\"a\":\"d\\\\x\"}}", "i: \"weight_map\": expected a plain file name of at most 200 bytes for \"a\", found \"d\\x\""},
        {"{\"weight_map\":{\"a\":\"\"}}", "i: \"weight_map\": expected a plain file name of at most 200 bytes for \"a\", found \"\""},
        {"{\"weight_map\":{\"a\":\"x\\u0000y\"}}", "i: \"weight_map\": expected a plain file name of at most 200 bytes for \"a\", found \"x\""},
        {"{\"weight_map\":{\"a\":\"x\",\n\"a\":\"y\"}}", "i:2:1: expected every key of an object once, found \"a\" again"},
        {"{\"metadata\":[],\"weight_map\":{\"a\":\"x\"}}", "i: expected an object for \"metadata\""},
        {"{\"metadata\":{\"total_size\":\"8\"},\"weight_map\":{\"a\":\"x\"}}", "i: expected a number >= 0 for \"total_size\""},
        {"{\"metadata\":{\"total_size\":-8},\"weight_map\":{\"a\":\"x\"}}", "i: expected a number >= 0 for \"total_size\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cs_st_index_init(&index, bad[i].text, strlen(bad[i].text), "i", &err), CS_E_FORMAT);
        assert_string_equal(err.msg, bad[i].message);
    }
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
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_exact_header), cmocka_unit_test(test_shards),     cmocka_unit_test(test_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
