/* Files that we write for torch.load: read back equal, the same bytes every time, one piece in memory, nothing left behind by a failure.
 * With CS_TORCH_OUT=FOLDER the file of test_round_trip stays there as written.pt for tools/oracle/check_torch_written.py. */
#include "base/failpoint.h"
#include "base/io.h"
#include "base/mem.h"
#include "fmt/torch_file.h"
#include "fmt/torch_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

#include "data_path.h"

static const cs_dtype dtypes[] = {CS_F64, CS_F32, CS_F16, CS_BF16, CS_I64, CS_I32, CS_I16, CS_I8, CS_U8, CS_BOOL};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

/* Byte i of tensor `tag`: small enough that every float is finite; of a bool 0 or 1. */
static uint8_t byte_at(int64_t tag, size_t i)
{
    return tag == CS_BOOL ? (uint8_t)(i % 3 == 0) : (uint8_t)((i * 13 + (size_t)tag * 7) % 61);
}

typedef struct filler {
    size_t next, most; /* the offset that must be asked for next; the largest piece */
    int64_t tag, fail_at;
} filler;

static cs_status fill(void *ctx, int64_t tag, size_t offset, void *out, size_t n, cs_error *err)
{
    filler *f = ctx;
    uint8_t *b = out;
    if (offset == 0)
        *f = (filler){0, f->most, tag, f->fail_at};
    assert_true(tag == f->tag && offset == f->next && n > 0 && n <= CS_TORCH_PIECE);
    if (f->fail_at == tag)
        return cs_fail(err, CS_E_NUMERIC, "tensor %lld cannot be had", (long long)tag);
    for (size_t i = 0; i < n; i++)
        b[i] = byte_at(tag, offset + i);
    f->next += n;
    f->most = n > f->most ? n : f->most;
    return CS_OK;
}

/* A dict with every kind of value, tensors of every type and a tied one. */
static void put_tree(cs_torch_out *o, filler *f)
{
    static const int64_t ints[] = {0, 1, 255, 256, 65535, 65536, -1, -128, -70000, INT32_MAX, INT32_MIN, (int64_t)INT32_MAX + 1,
                                   (int64_t)INT32_MIN - 1, (int64_t)1 << 39, ((int64_t)1 << 39) - 1, -((int64_t)1 << 39), -((int64_t)1 << 39) - 1,
                                   (int64_t)1 << 55, INT64_MAX, INT64_MIN};
    cs_torch_put_dict(o);
    cs_torch_put_text(o, "model");
    cs_torch_put_dict(o);
    for (int i = 0; i < N_DTYPES; i++) {
        cs_torch_put_text(o, cs_dtype_name(dtypes[i]));
        cs_torch_put_tensor(o, dtypes[i], 2, (int64_t[]){3, 5}, fill, f, dtypes[i]);
    }
    cs_torch_put_text(o, "large"); /* more than a piece */
    size_t large = cs_torch_put_tensor(o, CS_I16, 3, (int64_t[]){3, 1000, 301}, fill, f, 100);
    cs_torch_put_text(o, "tied");
    cs_torch_put_same(o, large);
    cs_torch_put_text(o, "scalar");
    cs_torch_put_tensor(o, CS_F32, 0, NULL, fill, f, 101);
    cs_torch_put_text(o, "empty");
    cs_torch_put_tensor(o, CS_F32, 3, (int64_t[]){4, 0, 5}, fill, f, 102);
    cs_torch_put_text(o, "four");
    cs_torch_put_tensor(o, CS_U8, 4, (int64_t[]){2, 1, 3, 70000}, fill, f, 103);
    cs_torch_put_end(o);
    cs_torch_put_text(o, "ints");
    cs_torch_put_list(o);
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        cs_torch_put_int(o, ints[i]);
    cs_torch_put_end(o);
    cs_torch_put_text(o, "state");
    cs_torch_put_dict(o);
    for (int i = 0; i < 2; i++) {
        cs_torch_put_int(o, i);
        cs_torch_put_dict(o);
        cs_torch_put_text(o, "step");
        cs_torch_put_tensor(o, CS_F32, 1, (int64_t[]){1}, fill, f, 110 + i);
        cs_torch_put_end(o);
    }
    cs_torch_put_end(o);
    cs_torch_put_text(o, "checkpoint_version");
    cs_torch_put_real(o, 3.0);
    cs_torch_put_text(o, "模型");
    cs_torch_put_text(o, "\xf0\x9f\x99\x82 \n");
    cs_torch_put_text(o, "flags");
    cs_torch_put_list(o);
    cs_torch_put_bool(o, true);
    cs_torch_put_bool(o, false);
    cs_torch_put_none(o);
    cs_torch_put_list(o);
    cs_torch_put_end(o);
    cs_torch_put_dict(o);
    cs_torch_put_end(o);
    cs_torch_put_end(o);
    cs_torch_put_end(o);
}

static void check_bytes(const cs_torch_list *list, const char *name, cs_dtype dtype, int ndim, const int64_t *shape, int64_t tag)
{
    const cs_torch_tensor *t = cs_torch_list_find(list, name);
    if (!t || t->dtype != dtype || t->ndim != ndim || !t->contiguous || t->first != 0 || t->offset % 64 != 0)
        fail_msg("%s", name);
    for (int i = 0; i < ndim; i++)
        assert_int_equal(t->shape[i], shape[i]);
    for (size_t i = 0; i < (size_t)t->n * cs_dtype_size(dtype); i++)
        if (t->data[i] != byte_at(tag, i))
            fail_msg("%s: byte %zu", name, i);
}

static void check_file(const char *path)
{
    cs_map map;
    cs_torch_file f;
    cs_torch_list list;
    cs_error err = {0};
    cs_pk_value v;
    assert_int_equal(cs_map_init(&map, path, &err), CS_OK);
    if (cs_torch_file_init(&f, map.data, map.size, path, &err) != CS_OK || cs_torch_check_all(&f, &err) != CS_OK)
        fail_msg("%s", err.msg);
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "model", &v));
    assert_int_equal(cs_torch_list_init(&list, &f, v, &err), CS_OK);
    assert_int_equal(list.n, N_DTYPES + 5);
    for (int i = 0; i < N_DTYPES; i++)
        check_bytes(&list, cs_dtype_name(dtypes[i]), dtypes[i], 2, (int64_t[]){3, 5}, dtypes[i]);
    check_bytes(&list, "large", CS_I16, 3, (int64_t[]){3, 1000, 301}, 100);
    check_bytes(&list, "tied", CS_I16, 3, (int64_t[]){3, 1000, 301}, 100);
    check_bytes(&list, "scalar", CS_F32, 0, NULL, 101);
    check_bytes(&list, "empty", CS_F32, 3, (int64_t[]){4, 0, 5}, 102);
    check_bytes(&list, "four", CS_U8, 4, (int64_t[]){2, 1, 3, 70000}, 103);
    assert_int_equal(cs_torch_list_find(&list, "large")->storage, cs_torch_list_find(&list, "tied")->storage);
    cs_torch_list_release(&list);
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "state.1.step", &v) && v.kind == CS_PK_TENSOR);
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "ints.11", &v) && v.u.i == (int64_t)INT32_MAX + 1);
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "ints.14", &v) && v.u.i == ((int64_t)1 << 39) - 1);
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "ints.16", &v) && v.u.i == -((int64_t)1 << 39) - 1);
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "ints.19", &v) && v.u.i == INT64_MIN);
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "checkpoint_version", &v) && v.u.f == 3.0);
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "模型", &v) && cs_pickle_text_is(&f.pickle, v, "\xf0\x9f\x99\x82 \n"));
    assert_true(cs_pickle_find(&f.pickle, f.pickle.root, "flags.2", &v) && v.kind == CS_PK_NONE);
    cs_torch_file_release(&f);
    cs_map_release(&map);
}

static void test_round_trip(void **state)
{
    (void)state;
    const char *keep = getenv("CS_TORCH_OUT"), *dir = keep ? keep : test_make_dir(), *path = test_path(dir, "written.pt");
    cs_torch_out o = {0};
    filler f = {.fail_at = -1};
    cs_error err = {0};
    cs_map map;
    int64_t held = cs_mem_bytes();
    put_tree(&o, &f);
    int64_t before = cs_mem_peak();
    if (cs_torch_out_save(&o, path, &err) != CS_OK)
        fail_msg("%s", err.msg);
    assert_true(cs_mem_peak() - before < CS_TORCH_PIECE + 65536); /* not the 1.8 MB tensor */
    assert_int_equal(f.most, CS_TORCH_PIECE);
    check_file(path);
    assert_int_equal(cs_map_init(&map, path, &err), CS_OK);
    assert_int_equal(map.size, cs_torch_out_bytes(&o));
    uint64_t hash = XXH3_64bits(map.data, map.size); /* of the bytes that torch.load was seen to open */
    if (hash != 0xe7144bc0c83b8a9e)
        fail_msg("the bytes have changed: hash 0x%016llx; check them with tools/oracle/check_torch_written.py", (unsigned long long)hash);
    cs_map_release(&map);
    cs_torch_out_release(&o);
    assert_int_equal(cs_mem_bytes(), held);
    if (!keep)
        cs_io_remove_tree(dir, NULL);
}

/* What goes wrong leaves no file. */
static void expect_failure(cs_torch_out *o, cs_status want, const char *word)
{
    const char *dir = test_make_dir(), *path = test_path(dir, "w.pt");
    cs_error err = {0};
    char **names;
    size_t n;
    assert_int_equal(cs_torch_out_save(o, path, &err), want);
    if (!strstr(err.msg, word))
        fail_msg("%s", err.msg);
    assert_int_equal(cs_io_list(dir, &names, &n, &err), CS_OK);
    assert_int_equal(n, 0);
    cs_io_list_free(names, n);
    cs_torch_out_release(o);
    cs_io_remove_tree(dir, NULL);
}

static void test_failures(void **state)
{
    (void)state;
    cs_torch_out o = {0};
    filler f = {.fail_at = 103};
    put_tree(&o, &f);
    expect_failure(&o, CS_E_NUMERIC, "tensor 103 cannot be had");
    cs_torch_put_text(&o, "\xff");
    expect_failure(&o, CS_E_FORMAT, "not UTF-8");
    cs_torch_put_tensor(&o, CS_F64, 2, (int64_t[]){(int64_t)1 << 40, (int64_t)1 << 40}, fill, &f, 0);
    expect_failure(&o, CS_E_FORMAT, "too large");
    cs_torch_put_tensor(&o, CS_F64, 3, (int64_t[]){(int64_t)1 << 40, (int64_t)1 << 40, 0}, fill, &f, 0);
    expect_failure(&o, CS_E_FORMAT, "too large");
}

/* Each system call and each allocation fails in turn: the old file stays as it was, and alone. */
static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        cs_status want;
    } kinds[] = {{"io:enospc", CS_E_IO}, {"io:eio", CS_E_IO}, {"io:short", CS_OK}, {"mem", CS_E_NOMEM}};
    const char *dir = test_make_dir(), *path = test_path(dir, "w.pt");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        int failed = 0;
        for (int n = 1; n < 60; n++) {
            char spec[32], **names;
            cs_error err = {0};
            cs_map map;
            size_t count;
            cs_torch_out o = {0};
            filler f = {.fail_at = -1};
            int64_t held = cs_mem_bytes();
            assert_int_equal(cs_io_write_atomic(path, "old", 3, &err), CS_OK);
            snprintf(spec, sizeof spec, "%s@%d", kinds[k].kind, n);
            assert_int_equal(cs_failpoint_arm(spec, &err), CS_OK);
            cs_torch_put_list(&o);
            for (int i = 0; i < 3; i++)
                cs_torch_put_tensor(&o, CS_U8, 1, (int64_t[]){100}, fill, &f, i);
            cs_torch_put_end(&o);
            cs_status s = cs_torch_out_save(&o, path, &err);
            cs_failpoint_arm(NULL, &err);
            cs_torch_out_release(&o);
            assert_int_equal(cs_mem_bytes(), held);
            assert_true(s == CS_OK || (s == kinds[k].want && err.msg[0]));
            failed += s != CS_OK;
            assert_int_equal(cs_io_list(dir, &names, &count, &err), CS_OK);
            assert_int_equal(count, 1);
            cs_io_list_free(names, count);
            assert_int_equal(cs_map_init(&map, path, &err), CS_OK);
            if (s != CS_OK && map.size == 3)
                assert_memory_equal(map.data, "old", 3);
            else
                assert_true(map.size > 1000);
            cs_map_release(&map);
            if (s == CS_OK && (kinds[k].want != CS_OK || n == 20))
                break; /* behind the last call */
        }
        assert_true(kinds[k].want == CS_OK ? failed == 0 : failed > 4);
    }
    cs_io_remove_tree(dir, NULL);
}

/* Values at the top that are no dict, and many tensors: names of more than one digit, alignment of each. */
static void test_small(void **state)
{
    (void)state;
    const char *dir = test_make_dir(), *path = test_path(dir, "w.pt");
    filler f = {.fail_at = -1};
    for (int count = 0; count < 1200; count = count * 3 + 1) {
        cs_torch_out o = {0};
        cs_error err = {0};
        cs_map map;
        cs_torch_file file;
        cs_torch_list list;
        cs_torch_put_list(&o);
        for (int i = 0; i < count; i++)
            cs_torch_put_tensor(&o, CS_U8, 1, (int64_t[]){i % 130}, fill, &f, i);
        cs_torch_put_end(&o);
        assert_int_equal(cs_torch_out_save(&o, path, &err), CS_OK);
        assert_int_equal(cs_map_init(&map, path, &err), CS_OK);
        assert_int_equal(map.size, cs_torch_out_bytes(&o));
        if (cs_torch_file_init(&file, map.data, map.size, path, &err) != CS_OK || cs_torch_check_all(&file, &err) != CS_OK)
            fail_msg("%s", err.msg);
        assert_int_equal(cs_torch_list_init(&list, &file, file.pickle.root, &err), CS_OK);
        assert_int_equal(list.n, count);
        for (int i = 0; i < count; i++) {
            char name[16];
            snprintf(name, sizeof name, "%d", i);
            check_bytes(&list, name, CS_U8, 1, (int64_t[]){i % 130}, i);
        }
        cs_torch_list_release(&list);
        cs_torch_file_release(&file);
        cs_map_release(&map);
        cs_torch_out_release(&o);
    }
    cs_io_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_failures), cmocka_unit_test(test_faults),
                                       cmocka_unit_test(test_small)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
