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

static void malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{'descr': '<i4', 'fortran_order': True, 'shape': (2,), }",
        "{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2, 1), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (-2,), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (9223372036854775807, 4), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
        "{'descr': '<i4', 'shape': (2,), }",
        "{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), 'x': 1, }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), } extra",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2,)",
        "",
    };
    uint8_t buf[256];
    cs_npy a;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cs_error err = {0};
        size_t n = make(buf, bad[i], 8);
        if (cs_npy_parse(&a, buf, n, "x.npy", &err) != CS_E_FORMAT || strncmp(err.msg, "x.npy: ", 7) != 0)
            fail_msg("accepted: %s", bad[i]);
    }
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
