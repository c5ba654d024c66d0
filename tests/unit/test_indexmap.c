/* Index maps against Megatron's own files and numpy goldens; the generator against numpy and torch; checks of cached maps. */
#include "base/mem.h"
#include "data/indexmap.h"
#include "data/mt19937.h"
#include "fmt/npy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "data_path.h"

static void assert_ids(const int64_t *have, const int64_t *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(have[i], want[i]);
}

static void draws(void **state)
{
    (void)state;
    static const int64_t numpy0[10] = {2, 8, 4, 9, 1, 6, 7, 3, 0, 5}, numpy_max[12] = {11, 8, 5, 9, 1, 10, 6, 0, 4, 7, 2, 3};
    static const int64_t torch0[10] = {4, 1, 7, 5, 3, 9, 0, 8, 6, 2}, torch1[7] = {0, 6, 1, 3, 5, 2, 4};
    static const int64_t torch5[16] = {3, 10, 11, 7, 6, 13, 8, 9, 4, 5, 2, 1, 15, 12, 14, 0}, torch2[6] = {848, 205, 453, 475, 414, 614};
    static const int32_t numpy2023[8] = {847, 874, 471, 476, 764, 138, 49, 226};
    int64_t v[1000];
    int32_t a[1000];
    uint32_t b[1000];
    cs_mt19937 g;
    cs_mt19937_init(&g, 5489);
    assert_int_equal(cs_mt19937_u32(&g), 3499211612u); /* the published first output */
    for (int64_t i = 0; i < 12; i++)
        v[i] = i;
    cs_mt19937_init(&g, 4294967295u);
    cs_mt19937_shuffle_i64(&g, v, 12);
    assert_ids(v, numpy_max, 12);
    for (int64_t i = 0; i < 10; i++)
        v[i] = i;
    cs_mt19937_init(&g, 0);
    cs_mt19937_shuffle_i64(&g, v, 10);
    assert_ids(v, numpy0, 10);
    for (int32_t i = 0; i < 1000; i++)
        a[i] = i, b[i] = (uint32_t)i;
    cs_mt19937_init(&g, 2023);
    cs_mt19937_shuffle_i32(&g, a, 1000);
    assert_memory_equal(a, numpy2023, sizeof numpy2023);
    cs_mt19937_init(&g, 2023);
    cs_mt19937_shuffle_u32(&g, b, 1000);
    assert_memory_equal(a, b, sizeof a);
    cs_torch_randperm(0, v, 10);
    assert_ids(v, torch0, 10);
    cs_torch_randperm(1, v, 7);
    assert_ids(v, torch1, 7);
    cs_torch_randperm(5, v, 16);
    assert_ids(v, torch5, 16);
    cs_torch_randperm(2, v, 1000);
    assert_ids(v, torch2, 6);
    for (int i = 0; i < 100; i++) { /* over 32 bits: two draws a number, in range */
        uint64_t max = (UINT64_C(1) << 40) + 12345;
        assert_true(cs_mt19937_below(&g, max) <= max);
    }
}

/* Builds the maps and compares them, byte for byte, with the three files beside the data. */
static void compare(const char *prefix, const char *name, int64_t lo, int64_t hi, int64_t n, int64_t seq, int64_t seed, int64_t epochs, bool apart)
{
    cs_idxbin d;
    cs_error err = {0};
    cs_indexmap built, loaded;
    if (cs_idxbin_init(&d, prefix, &err) != CS_OK)
        fail_msg("%s", err.msg);
    cs_indexmap_key key = {&d.idx, lo, hi, n, seq, seed};
    assert_int_equal(cs_indexmap_build(&built, &key, &err), CS_OK);
    assert_int_equal(built.plan.epochs, epochs);
    assert_int_equal(built.plan.separate_last_epoch, apart);
    if (cs_indexmap_load(&loaded, &key, prefix, name, &err) != CS_OK)
        fail_msg("%s", err.msg);
    assert_memory_equal(built.doc, loaded.doc, (size_t)built.plan.n_doc * 4);
    assert_memory_equal(built.sample, loaded.sample, (size_t)(built.plan.n_sample + 1) * 8);
    assert_memory_equal(built.shuffle, loaded.shuffle, (size_t)built.plan.n_sample * 4);
    cs_indexmap_release(&loaded);
    cs_indexmap_release(&built);
    cs_idxbin_release(&d);
}

static void megatron_files(void **state)
{
    (void)state;
    compare(test_path(TEST_DATA, "megatron/demo_text_document"), "train", 0, 18, 90, 1024, 2023, 3, false);
}

static void numpy_goldens(void **state)
{
    (void)state;
    const char *a = test_path(TEST_DATA, "indexmap/a"), *b = test_path(TEST_DATA, "indexmap/b");
    compare(a, "train", 0, 16, 58, 16, 1234, 4, false);
    compare(a, "train", 0, 16, 68, 8, 5, 3, true);
    compare(a, "valid", 10, 20, 40, 4, 2023, 2, true);
    compare(a, "train", 0, 20, 3, 10, 1, 1, false);
    compare(b, "train", 0, 10, 300, 7, 99, 13, false);
}

/* Files as written are Megatron's bytes. */
static void saved_bytes(void **state)
{
    (void)state;
    const char *prefix = test_path(TEST_DATA, "megatron/demo_text_document"), *dir = test_make_dir();
    static const char *const kinds[] = {"doc", "sample", "shuffle"};
    cs_idxbin d;
    cs_error err = {0};
    cs_indexmap m;
    assert_int_equal(cs_idxbin_init(&d, prefix, &err), CS_OK);
    cs_indexmap_key key = {&d.idx, 0, 18, 90, 1024, 2023};
    assert_int_equal(cs_indexmap_build(&m, &key, &err), CS_OK);
    assert_int_equal(cs_indexmap_save(&m, &key, test_path(dir, "demo_text_document"), "train", &err), CS_OK);
    for (int i = 0; i < 3; i++) {
        char name[128], want[256];
        cs_map x, y;
        snprintf(name, sizeof name, "demo_text_document_train_indexmap_90ns_1024sl_2023s_%s_idx.npy", kinds[i]);
        snprintf(want, sizeof want, "megatron/%s", name);
        assert_int_equal(cs_map_init(&x, test_path(dir, name), &err), CS_OK);
        assert_int_equal(cs_map_init(&y, test_path(TEST_DATA, want), &err), CS_OK);
        assert_int_equal(x.size, y.size);
        assert_memory_equal(x.data, y.data, x.size);
        cs_map_release(&x);
        cs_map_release(&y);
    }
    cs_indexmap_release(&m);
    cs_idxbin_release(&d);
    cs_io_remove_tree(dir, NULL);
}

/* Each way in which a cached map can be wrong is noticed. */
static void stale_cache(void **state)
{
    (void)state;
    static const char *const kinds[] = {"doc", "sample", "shuffle"};
    char prefix[300], path[400];
    const char *dir = test_make_dir();
    cs_idxbin d;
    cs_error err = {0};
    cs_indexmap m, again;
    snprintf(prefix, sizeof prefix, "%s/a", dir);
    assert_int_equal(cs_idxbin_init(&d, test_path(TEST_DATA, "indexmap/a"), &err), CS_OK);
    cs_indexmap_key key = {&d.idx, 0, 16, 68, 8, 5}, other = key;
    assert_int_equal(cs_indexmap_build(&m, &key, &err), CS_OK);
    assert_int_equal(cs_indexmap_load(&again, &key, prefix, "train", &err), CS_E_IO);
    for (int kind = 0; kind < 3; kind++)
        for (int where = 0; where < 6; where++) {
            static const int at[6] = {0, 6, 9, 128, 150, -2}; /* magic, version, header length, two numbers, the last number */
            assert_int_equal(cs_indexmap_save(&m, &key, prefix, "train", &err), CS_OK);
            assert_int_equal(cs_indexmap_load(&again, &key, prefix, "train", &err), CS_OK);
            cs_indexmap_release(&again);
            uint8_t *bytes;
            size_t size;
            snprintf(path, sizeof path, "%s_train_indexmap_68ns_8sl_5s_%s_idx.npy", prefix, kinds[kind]);
            assert_int_equal(cs_io_read_all(path, 1 << 20, &bytes, &size, &err), CS_OK);
            bytes[at[where] < 0 ? size - 2 : (size_t)at[where]] ^= 0x41;
            assert_int_equal(cs_io_write_atomic(path, bytes, size, &err), CS_OK);
            assert_int_equal(cs_indexmap_load(&again, &key, prefix, "train", &err), CS_E_FORMAT);
            assert_int_equal(cs_io_write_atomic(path, bytes, size - 4, &err), CS_OK);
            assert_int_equal(cs_indexmap_load(&again, &key, prefix, "train", &err), CS_E_FORMAT);
            cs_free(bytes);
        }
    /* another --split of the same corpus has the same file names */
    assert_int_equal(cs_indexmap_save(&m, &key, prefix, "train", &err), CS_OK);
    other.lo = 1, other.hi = 17;
    assert_int_equal(cs_indexmap_load(&again, &other, prefix, "train", &err), CS_E_FORMAT);
    cs_indexmap_release(&m);
    cs_idxbin_release(&d);
    cs_io_remove_tree(dir, NULL);
}

static void too_small(void **state)
{
    (void)state;
    cs_idxbin d;
    cs_error err = {0};
    cs_indexmap_plan p;
    assert_int_equal(cs_idxbin_init(&d, test_path(TEST_DATA, "indexmap/a"), &err), CS_OK);
    cs_indexmap_key key = {&d.idx, 0, 2, 5, 6, 1}; /* 6 tokens, 7 needed */
    assert_int_equal(cs_indexmap_plan_init(&p, &key, &err), CS_E_USAGE);
    assert_non_null(strstr(err.msg, "hold 6 tokens"));
    assert_non_null(strstr(err.msg, "needs 7"));
    assert_non_null(strstr(err.msg, "a.idx"));
    key.seq_length = 5;
    assert_int_equal(cs_indexmap_plan_init(&p, &key, &err), CS_OK);
    key.lo = 2, key.hi = 3; /* one empty document */
    assert_int_equal(cs_indexmap_plan_init(&p, &key, &err), CS_E_USAGE);
    key = (cs_indexmap_key){&d.idx, 0, 20, INT64_MAX / 2, 16, 1};
    assert_int_equal(cs_indexmap_plan_init(&p, &key, &err), CS_E_USAGE);
    cs_idxbin_release(&d);
}

/* 64-bit: an index of a corpus with more than 2^32 tokens (lengths only), and sizes at which numpy's types grow. */
static void more_than_32_bits(void **state)
{
    (void)state;
    enum { N = 8 };
    int64_t zero[N] = {0};
    int32_t len[N];
    for (int i = 0; i < N; i++)
        len[i] = 2000000000;
    cs_idx ix = {.name = "big", .n_seq = N, .n_doc = N + 1, .dtype = CS_U16, .lengths = (const uint8_t *)len, .offsets = (const uint8_t *)zero};
    cs_indexmap_key key = {&ix, 0, N, 9, 2000000000 - 1, 3};
    cs_indexmap m;
    cs_error err = {0};
    assert_int_equal(cs_indexmap_build(&m, &key, &err), CS_OK);
    assert_int_equal(m.plan.tokens, INT64_C(16000000000));
    int64_t position, offset;
    cs_indexmap_start(&m, 8, &position, &offset);
    assert_int_equal(position * 2000000000 + offset, INT64_C(8) * 1999999999);
    cs_indexmap_release(&m);
    key.seq_length = 1;
    key.n_wanted = INT64_C(5000000000);
    cs_indexmap_plan p;
    assert_int_equal(cs_indexmap_plan_init(&p, &key, &err), CS_OK);
    assert_true(p.wide_shuffle);
    assert_int_equal(p.n_sample, INT64_C(15999999999));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws),
        cmocka_unit_test(megatron_files),
        cmocka_unit_test(numpy_goldens),
        cmocka_unit_test(saved_bytes),
        cmocka_unit_test(stale_cache),
        cmocka_unit_test(too_small),
        cmocka_unit_test(more_than_32_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
