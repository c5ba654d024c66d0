/* .npy: numpy's own header bytes, round trips, and malformed headers. */
#include "base/io.h"
#include "base/mem.h"
#include "fmt/npy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "data_path.h"

/* Header text of `dict`, padded to 118 bytes, then `data_bytes` zeros. */
static size_t make(uint8_t *buf, const char *dict, size_t data_bytes)
{
    memcpy(buf, "\x93NUMPY\x01\x00\x76\x00", 10);
    memset(buf + 10, ' ', 118);
    memcpy(buf + 10, dict, strlen(dict));
    buf[127] = '\n';
    memset(buf + 128, 0, data_bytes);
    return 128 + data_bytes;
}

static void same_bytes_as_numpy(void **state)
{
    (void)state;
    static const char *const names[] = {"doc", "sample", "shuffle"};
    for (int i = 0; i < 3; i++) {
        char path[512], copy[64];
        snprintf(path, sizeof path, "%s/indexmap/a_train_indexmap_68ns_8sl_5s_%s_idx.npy", TEST_DATA, names[i]);
        snprintf(copy, sizeof copy, "/tmp/cs_npy_%ld.npy", (long)getpid());
        cs_map m, n;
        cs_error err = {0};
        cs_npy a;
        assert_int_equal(cs_map_init(&m, path, &err), CS_OK);
        assert_int_equal(cs_npy_parse(&a, m.data, m.size, path, &err), CS_OK);
        assert_int_equal(a.ndim, i == 1 ? 2 : 1);
        assert_int_equal(a.dtype, i == 2 ? CS_U32 : CS_I32);
        assert_int_equal(cs_npy_write(copy, a.dtype, a.ndim, a.shape, a.data, &err), CS_OK);
        assert_int_equal(cs_map_init(&n, copy, &err), CS_OK);
        assert_int_equal(m.size, n.size);
        assert_memory_equal(m.data, n.data, m.size);
        cs_map_release(&m);
        cs_map_release(&n);
        remove(copy);
    }
}

static void every_type(void **state)
{
    (void)state;
    static const struct {
        cs_dtype t;
        const char *descr;
    } kinds[] = {{CS_I32, "<i4"}, {CS_I64, "<i8"}, {CS_U32, "<u4"}, {CS_F32, "<f4"}, {CS_F64, "<f8"}};
    for (size_t k = 0; k < 5; k++)
        for (int ndim = 1; ndim <= 2; ndim++) {
            char head[CS_NPY_HEAD_MAX + 8 * 6], want[160];
            int64_t shape[2] = {ndim == 1 ? 6 : 3, ndim == 1 ? 1 : 2};
            size_t n = cs_npy_header(head, kinds[k].t, ndim, shape), bytes = 6 * cs_dtype_size(kinds[k].t);
            assert_int_equal(n, 128);
            snprintf(want, sizeof want, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", kinds[k].descr, ndim == 1 ? "(6,)" : "(3, 2)");
            assert_memory_equal(head + 10, want, strlen(want));
            memset(head + n, 7, bytes);
            cs_npy a;
            cs_error err = {0};
            assert_int_equal(cs_npy_parse(&a, (const uint8_t *)head, n + bytes, "a", &err), CS_OK);
            assert_int_equal(a.dtype, kinds[k].t);
            assert_int_equal(a.ndim, ndim);
            assert_int_equal(a.shape[0] * a.shape[1], 6);
            assert_ptr_equal(a.data, head + n);
        }
}

static void other_spellings(void **state)
{
    (void)state;
    uint8_t buf[256];
    cs_npy a;
    cs_error err = {0};
    static const char *const good[] = {
        "{\"shape\":(2,),\"descr\":\"<i4\",\"fortran_order\":False}",
        "{ 'fortran_order' : False , 'shape' : ( 1 , 2 , ) , 'descr' : '<i4' , }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 3), }",
    };
    static const size_t bytes[] = {8, 8, 0};
    for (size_t i = 0; i < 3; i++) {
        size_t n = make(buf, good[i], bytes[i]);
        if (cs_npy_parse(&a, buf, n, "a", &err) != CS_OK)
            fail_msg("%s: %s", good[i], err.msg);
    }
}

#define WANT "expected an array header of 'descr' <i4, <i8, <u4, <f4 or <f8, 'fortran_order' False and a 'shape' of one or two dimensions, found "

/* The bytes before the header text. */
static void malformed_starts(void)
{
    static const struct {
        const char *what, *start; /* of 12 bytes */
        size_t size;
        const char *message;
    } bad[] = {
        {"empty", "", 0, "x: byte 0: expected the NUMPY magic, found another start; not a .npy file"},
        {"cut in the magic", "\x93NUMPY\1\0", 8, "x: byte 0: expected the NUMPY magic, found another start; not a .npy file"},
        {"magic", "\x93numpy\1\0\x76\0  ", 136, "x: byte 0: expected the NUMPY magic, found another start; not a .npy file"},
        {"version 3", "\x93NUMPY\3\0\x76\0  ", 136, "x: byte 6: expected version 1.0 or 2.0, found 3.0"},
        {"version 1.1", "\x93NUMPY\1\1\x76\0  ", 136, "x: byte 6: expected version 1.0 or 2.0, found 1.1"},
        {"header past the end", "\x93NUMPY\1\0\x7f\0  ", 136, "x: byte 8: header of 127 bytes, but the file has only 136; is it cut off?"},
        {"header of 65535", "\x93NUMPY\1\0\xff\xff  ", 136, "x: byte 8: header of 65535 bytes, but the file has only 136; is it cut off?"},
        {"version 2 without its length", "\x93NUMPY\2\0\x76\0", 10, "x: byte 8: header of 118 bytes, but the file has only 10; is it cut off?"},
        {"version 2 with a header of 2^32-1", "\x93NUMPY\2\0\xff\xff\xff\xff", 136,
         "x: byte 8: expected a header of at most 65536 bytes, found 4294967295"},
        {"header of nothing", "\x93NUMPY\1\0\0\0  ", 136, "x: byte 10: " WANT "the end"},
        {"data cut off", "\x93NUMPY\1\0\x76\0{'", 135, "x: byte 128: expected 8 bytes of data for shape (2, 1) of i32, found 7"},
        {"data too long", "\x93NUMPY\1\0\x76\0{'", 137, "x: byte 128: expected 8 bytes of data for shape (2, 1) of i32, found 9"},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t buf[256] = {0}, *exact = malloc(bad[i].size ? bad[i].size : 1);
        cs_error err = {0};
        cs_npy a;
        make(buf, "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", 8);
        memcpy(buf, bad[i].start, bad[i].size < 12 ? bad[i].size : 12);
        memcpy(exact, buf, bad[i].size);
        cs_status s = cs_npy_parse(&a, exact, bad[i].size, "x", &err);
        if (s != CS_E_FORMAT || strcmp(err.msg, bad[i].message) != 0) {
            print_error("%s: status %d, message \"%s\", expected \"%s\"\n", bad[i].what, s, err.msg, bad[i].message);
            wrong++;
        }
        free(exact);
    }
    assert_int_equal(wrong, 0);
}

static void malformed(void **state)
{
    (void)state;
    static const struct {
        const char *dict, *message;
    } bad[] = {
        {"{'descr': '<i4', 'fortran_order': True, 'shape': (2,), }", "x: byte 44: " WANT "\"True, 'shape': (2,), }  \""},
        {"{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }", "x: byte 20: " WANT "\"'>i4', 'fortran_order': \""},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "x: byte 20: " WANT "\"'|O', 'fortran_order': F\""},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (), }", "x: byte 61: " WANT "\"), }                    \""},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2, 1), }", "x: byte 67: " WANT "\"1), }                   \""},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (-2,), }", "x: byte 61: " WANT "\"-2,), }                 \""},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2), }", "x: byte 62: " WANT "\"), }                    \""},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }", "x: byte 128: expected 12 bytes of data for shape (3, 1) of i32, found 8"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (9223372036854775807, 4), }",
         "x: byte 10: the size of shape (9223372036854775807, 4) of i32 overflows"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "x: byte 61: " WANT "\"99999999999999999999,), \""},
        {"{'descr': '<i4', 'shape': (2,), }", "x: byte 128: expected 'fortran_order' in the array header, found its end"},
        {"{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", "x: byte 27: " WANT "\"'descr': '<i4', 'fortran\""},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), 'x': 1, }", "x: byte 66: " WANT "\"'x': 1, }               \""},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), } extra", "x: byte 68: " WANT "\"extra                   \""},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,)", "x: byte 128: " WANT "the end"},
        {"", "x: byte 128: " WANT "the end"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), 'shape': (2,), }", "x: byte 66: " WANT "\"'shape': (2,), }        \""},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }",
         "x: byte 10: the size of shape (4611686018427387904, 4) of i32 overflows"},
        {"[1, 2]", "x: byte 10: " WANT "\"[1, 2]                  \""},
        {"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (2,), }", "x: byte 20: " WANT "\"[('a', '<i4')], 'fortran\""},
    };
    uint8_t buf[256];
    cs_npy a;
    int wrong = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cs_error err = {0};
        size_t n = make(buf, bad[i].dict, 8);
        cs_status s = cs_npy_parse(&a, buf, n, "x", &err);
        if (s != CS_E_FORMAT || strcmp(err.msg, bad[i].message) != 0) {
            print_error("%s: status %d, message \"%s\", expected \"%s\"\n", bad[i].dict, s, err.msg, bad[i].message);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    malformed_starts();
    size_t n = make(buf, "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", 8);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1);
        cs_error err = {0};
        memcpy(exact, buf, cut);
        assert_int_equal(cs_npy_parse(&a, exact, cut, "x.npy", &err), CS_E_FORMAT);
        free(exact);
    }
    cs_error err = {0};
    assert_int_equal(cs_npy_parse(&a, buf, n + 1, "x.npy", &err), CS_E_FORMAT);
    buf[6] = 3;
    assert_int_equal(cs_npy_parse(&a, buf, n, "x.npy", &err), CS_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_as_numpy),
        cmocka_unit_test(every_type),
        cmocka_unit_test(other_spellings),
        cmocka_unit_test(malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
