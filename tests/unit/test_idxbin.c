/* Megatron .idx/.bin: real files read and rewritten to the same bytes, every malformed kind, the writer's promises. */
#include "base/failpoint.h"
#include "base/mem.h"
#include "fmt/idxbin.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "data_path.h"

static void assert_same_file(const char *a, const char *b)
{
    cs_map x, y;
    cs_error err = {0};
    assert_int_equal(cs_map_init(&x, a, &err), CS_OK);
    assert_int_equal(cs_map_init(&y, b, &err), CS_OK);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    cs_map_release(&x);
    cs_map_release(&y);
}

static void rewrite(const char *prefix, int64_t n_seq, cs_dtype dtype)
{
    cs_idxbin d;
    cs_idxbin_writer w;
    cs_error err = {0};
    const char *dir = test_make_dir();
    char copy[300], copy_file[310], file[400];
    snprintf(copy, sizeof copy, "%s/new/copy", dir);
    if (cs_idxbin_init(&d, prefix, &err) != CS_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(d.idx.n_seq, n_seq);
    assert_int_equal(d.idx.dtype, dtype);
    assert_int_equal(d.idx.n_tokens * (int64_t)cs_dtype_size(dtype), d.bin_map.size);
    assert_int_equal(cs_idxbin_writer_init(&w, copy, d.idx.dtype, &err), CS_OK);
    for (int64_t doc = 0; doc + 1 < d.idx.n_doc; doc++) {
        for (int64_t i = cs_idx_document(&d.idx, doc); i < cs_idx_document(&d.idx, doc + 1); i++) {
            int64_t n = cs_idx_length(&d.idx, i);
            int32_t *ids = cs_malloc((size_t)n * 4 + 4);
            assert_int_equal(cs_idx_read(&d.idx, d.bin_map.data, i, 0, n, ids, &err), CS_OK);
            assert_int_equal(cs_idxbin_writer_add(&w, ids, n, &err), CS_OK);
            cs_free(ids);
        }
        assert_int_equal(cs_idxbin_writer_end_document(&w, &err), CS_OK);
    }
    assert_int_equal(cs_idxbin_writer_finish(&w, &err), CS_OK);
    for (int i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s.%s", prefix, i ? "bin" : "idx");
        snprintf(copy_file, sizeof copy_file, "%s.%s", copy, i ? "bin" : "idx");
        assert_same_file(file, copy_file);
    }
    char **names;
    size_t n;
    assert_int_equal(cs_io_list(test_path(dir, "new"), &names, &n, &err), CS_OK);
    assert_int_equal(n, 2); /* no temporary file, no lock */
    cs_io_list_free(names, n);
    cs_idxbin_release(&d);
    cs_io_remove_tree(dir, NULL);
}

static void same_bytes_when_rewritten(void **state)
{
    (void)state;
    rewrite(test_path(TEST_DATA, "megatron/demo_text_document"), 20, CS_U16);
    rewrite(test_path(TEST_DATA, "indexmap/b"), 11, CS_I32);
    rewrite(test_path(TEST_DATA, "indexmap/a"), 20, CS_U16);
}

static void shared_sample(void **state)
{
    (void)state;
    const char *shared = getenv("CS_SHARED_DATA");
    if (!shared) {
        print_message("CS_SHARED_DATA is not set: the larger samples are left out\n");
        skip();
    }
    rewrite(test_path(shared, "megatron/nvidia_train/test_text_document"), 1000, CS_I32);
}

/* A good index of 3 sequences (2, 0, 3 tokens of u16) in 2 documents. */
enum { LEN = 34, PTR = LEN + 12, DOC = PTR + 24, GOOD = DOC + 24 };
static void good(uint8_t *p)
{
    uint64_t one = 1, n_seq = 3, n_doc = 3;
    int32_t len[3] = {2, 0, 3};
    int64_t ptr[3] = {0, 4, 4}, doc[3] = {0, 1, 3};
    memcpy(p, "MMIDIDX\0", 9);
    memcpy(p + 9, &one, 8);
    p[17] = 8;
    memcpy(p + 18, &n_seq, 8);
    memcpy(p + 26, &n_doc, 8);
    memcpy(p + LEN, len, 12);
    memcpy(p + PTR, ptr, 24);
    memcpy(p + DOC, doc, 24);
}

static void malformed(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int at, width;
        int64_t value;
        int size;     /* of the file; 0 = as it is */
        int bin_size; /* 0 = 10 */
        const char *message; /* whole */
    } bad[] = {
        {"empty file", 0, 0, 0, -1, 0, "t.idx: byte 0: expected the MMIDIDX magic, found another start; not a Megatron index file"},
        {"magic", 0, 1, 'X', 0, 0, "t.idx: byte 0: expected the MMIDIDX magic, found another start; not a Megatron index file"},
        {"second NUL of the magic", 8, 1, 1, 0, 0, "t.idx: byte 0: expected the MMIDIDX magic, found another start; not a Megatron index file"},
        {"header cut", 0, 0, 0, 30, 0, "t.idx: byte 30: expected the 34 bytes of a header, found the end"},
        {"version 2", 9, 8, 2, 0, 0, "t.idx: byte 9: expected version 1, found 2"},
        {"version 0", 9, 8, 0, 0, 0, "t.idx: byte 9: expected version 1, found 0"},
        {"dtype 0", 17, 1, 0, 0, 0, "t.idx: byte 17: expected dtype code 1-5 or 8, found 0"},
        {"dtype 6", 17, 1, 6, 0, 0,
         "t.idx: byte 17: expected dtype code 1-5 or 8, found 6, a float type (float32 or float64 depending on the writer)"},
        {"dtype 7", 17, 1, 7, 0, 0,
         "t.idx: byte 17: expected dtype code 1-5 or 8, found 7, a float type (float32 or float64 depending on the writer)"},
        {"dtype 9", 17, 1, 9, 0, 0, "t.idx: byte 17: expected dtype code 1-5 or 8, found 9"},
        {"dtype 255", 17, 1, 255, 0, 0, "t.idx: byte 17: expected dtype code 1-5 or 8, found 255"},
        {"sequence count too large", 18, 8, 4, 0, 0, "t.idx: byte 18: 4 sequences and 3 document borders do not fit into a file of 94 bytes"},
        {"sequence count 2^62", 18, 8, INT64_C(1) << 62, 0, 0,
         "t.idx: byte 18: 4611686018427387904 sequences and 3 document borders do not fit into a file of 94 bytes"},
        {"sequence count -1", 18, 8, -1, 0, 0,
         "t.idx: byte 18: 18446744073709551615 sequences and 3 document borders do not fit into a file of 94 bytes"},
        {"document count 2^61", 26, 8, INT64_C(1) << 61, 0, 0,
         "t.idx: byte 18: 3 sequences and 2305843009213693952 document borders do not fit into a file of 94 bytes"},
        {"document count 0", 26, 8, 0, DOC, 0, "t.idx: byte 26: expected at least one document border, found a count of 0"},
        {"document count too large", 26, 8, 4, 0, 0, "t.idx: byte 18: 3 sequences and 4 document borders do not fit into a file of 94 bytes"},
        {"document count too small", 26, 8, 2, 0, 0, "t.idx: byte 86: expected the end or 3 modes behind the document borders, found 8 bytes"},
        {"last byte cut", 0, 0, 0, GOOD - 1, 0, "t.idx: byte 18: 3 sequences and 3 document borders do not fit into a file of 93 bytes"},
        {"one byte too many", 0, 0, 0, GOOD + 1, 0, "t.idx: byte 94: expected the end or 3 modes behind the document borders, found 1 bytes"},
        {"negative length", LEN, 4, -1, 0, 0, "t.idx: byte 34: expected a length >= 0 for sequence 0, found -1"},
        {"length past the .bin", LEN + 8, 4, 4, 0, 0,
         "t.idx: byte 62: sequence 2 (4 tokens from byte 4) ends behind the .bin file of 10 bytes; is the pair from one run?"},
        {"length 2^31-1", LEN + 8, 4, INT32_MAX, 0, 0,
         "t.idx: byte 62: sequence 2 (2147483647 tokens from byte 4) ends behind the .bin file of 10 bytes; is the pair from one run?"},
        {"negative offset", PTR, 8, -2, 0, 0, "t.idx: byte 46: sequence 0 starts at -2, before its predecessor's 0"},
        {"offset goes back", PTR + 16, 8, 2, 0, 0, "t.idx: byte 62: sequence 2 starts at 2, before its predecessor's 4"},
        {"offset past the .bin", PTR + 16, 8, 12, 0, 0,
         "t.idx: byte 62: sequence 2 (3 tokens from byte 12) ends behind the .bin file of 10 bytes; is the pair from one run?"},
        {"offset 2^63-1", PTR + 16, 8, INT64_MAX, 0, 0,
         "t.idx: byte 62: sequence 2 (3 tokens from byte 9223372036854775807) ends behind the .bin file of 10 bytes; is the pair from one run?"},
        {".bin cut", 0, 0, 0, 0, 9,
         "t.idx: byte 62: sequence 2 (3 tokens from byte 4) ends behind the .bin file of 9 bytes; is the pair from one run?"},
        {"first border 1", DOC, 8, 1, 0, 0, "t.idx: byte 70: expected 0 to 0 as document border 0, found 1"},
        {"border goes back", DOC + 8, 8, -1, 0, 0, "t.idx: byte 78: expected 0 to 3 as document border 1, found -1"},
        {"border past the end", DOC + 8, 8, 4, 0, 0, "t.idx: byte 78: expected 0 to 3 as document border 1, found 4"},
        {"last border short", DOC + 16, 8, 2, 0, 0, "t.idx: byte 86: expected the number of sequences 3 as the last document border, found 2"},
        {"older TNTIDX", 0, 8, 0x0000584449544e54LL, 0, 0,
         "t.idx: byte 0: the older TNTIDX index (--dataset-impl lazy or cached); make it again with --dataset-impl mmap"},
        {"an HTML page", 0, 8, 0x50595443444f213cLL, 0, 0,
         "t.idx: byte 0: expected the MMIDIDX magic, found another start; not a Megatron index file"},
        {"version 2^64-1", 9, 8, -1, 0, 0, "t.idx: byte 9: expected version 1, found 18446744073709551615"},
        {"document count -1", 26, 8, -1, 0, 0,
         "t.idx: byte 18: 3 sequences and 18446744073709551615 document borders do not fit into a file of 94 bytes"},
        {"length -2^31", LEN + 4, 4, INT32_MIN, 0, 0, "t.idx: byte 38: expected a length >= 0 for sequence 1, found -2147483648"},
        {"offset -2^63", PTR + 8, 8, INT64_MIN, 0, 0, "t.idx: byte 54: sequence 1 starts at -9223372036854775808, before its predecessor's 0"},
        {"border 2^63-1", DOC + 16, 8, INT64_MAX, 0, 0, "t.idx: byte 86: expected 1 to 3 as document border 2, found 9223372036854775807"},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t size = bad[i].size < 0 ? 0 : bad[i].size > 0 ? (size_t)bad[i].size : GOOD;
        uint8_t full[GOOD + 8] = {0}, *exact = malloc(size + 1);
        cs_error err = {0};
        cs_idx ix;
        good(full);
        memcpy(full + bad[i].at, &bad[i].value, (size_t)bad[i].width);
        memcpy(exact, full, size);
        cs_status s = cs_idx_init(&ix, exact, size, bad[i].bin_size ? (uint64_t)bad[i].bin_size : 10, "t.idx", &err);
        if (s != CS_E_FORMAT || strcmp(err.msg, bad[i].message) != 0) {
            print_error("%s: status %d, message \"%s\", expected \"%s\"\n", bad[i].what, s, err.msg, bad[i].message);
            wrong++;
        }
        free(exact);
    }
    assert_int_equal(wrong, 0);
}

static void good_kinds(void **state)
{
    (void)state;
    uint8_t p[GOOD + 3], tokens[40] = {1, 0, 2, 0, 3, 0, 4, 0, 5, 0};
    cs_idx ix;
    cs_error err = {0};
    int32_t out[3];
    good(p);
    assert_int_equal(cs_idx_init(&ix, p, GOOD, 10, "t", &err), CS_OK);
    assert_null(ix.modes);
    assert_int_equal(cs_idx_read(&ix, tokens, 2, 1, 2, out, &err), CS_OK);
    assert_int_equal(out[0], 4);
    assert_int_equal(out[1], 5);
    memset(p + GOOD, 1, 3);
    assert_int_equal(cs_idx_init(&ix, p, GOOD + 3, 10, "t", &err), CS_OK); /* with modes */
    assert_ptr_equal(ix.modes, p + GOOD);
    for (size_t cut = 0; cut < GOOD; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, p, cut);
        assert_int_equal(cs_idx_init(&ix, exact, cut, 10, "t", &err), CS_E_FORMAT);
        free(exact);
    }
}

static void every_token_type(void **state)
{
    (void)state;
    static const cs_dtype types[] = {CS_U8, CS_I8, CS_I16, CS_I32, CS_I64, CS_U16};
    const int32_t ids[4] = {0, 127, 5, 77};
    const char *prefix = test_path(test_make_dir(), "x");
    cs_error err = {0};
    for (size_t t = 0; t < 6; t++) {
        cs_idxbin_writer w;
        cs_idxbin d;
        int32_t out[4];
        assert_int_equal(cs_idxbin_writer_init(&w, prefix, types[t], &err), CS_OK);
        assert_int_equal(cs_idxbin_writer_add(&w, ids, 4, &err), CS_OK);
        assert_int_equal(cs_idxbin_writer_finish(&w, &err), CS_OK);
        assert_int_equal(cs_idxbin_init(&d, prefix, &err), CS_OK);
        assert_int_equal(d.idx.dtype, types[t]);
        assert_int_equal(cs_idx_read(&d.idx, d.bin_map.data, 0, 0, 4, out, &err), CS_OK);
        assert_memory_equal(out, ids, sizeof ids);
        cs_idxbin_release(&d);
    }
    cs_idxbin_writer w;
    const int32_t big = 70000;
    assert_int_equal(cs_idxbin_writer_init(&w, prefix, CS_U16, &err), CS_OK);
    assert_int_equal(cs_idxbin_writer_add(&w, &big, 1, &err), CS_E_FORMAT);
    cs_idxbin_writer_abort(&w);
    assert_int_equal(cs_idxbin_dtype_for(65499), CS_U16);
    assert_int_equal(cs_idxbin_dtype_for(65500), CS_I32);
}

static void token_over_32_bits(void **state)
{
    (void)state;
    uint8_t p[34 + 4 + 8 + 16] = {0}, bin[8] = {0, 0, 0, 0, 1};
    uint64_t one = 1, two = 2;
    int64_t docs[2] = {0, 1};
    int32_t len = 1, out;
    cs_idx ix;
    cs_error err = {0};
    memcpy(p, "MMIDIDX\0", 9);
    memcpy(p + 9, &one, 8);
    p[17] = 5;
    memcpy(p + 18, &one, 8);
    memcpy(p + 26, &two, 8);
    memcpy(p + 34, &len, 4);
    memcpy(p + 46, docs, 16);
    assert_int_equal(cs_idx_init(&ix, p, sizeof p, 8, "t", &err), CS_OK);
    assert_int_equal(cs_idx_read(&ix, bin, 0, 0, 1, &out, &err), CS_E_FORMAT);
}

/* Several sequences in one document, and documents without any. */
static void documents_of_several_sequences(void **state)
{
    (void)state;
    const char *prefix = test_path(test_make_dir(), "x");
    const int32_t ids[3] = {1, 2, 3};
    cs_error err = {0};
    cs_idxbin_writer w;
    cs_idxbin d;
    assert_int_equal(cs_idxbin_writer_init(&w, prefix, CS_I32, &err), CS_OK);
    for (int doc = 0; doc < 3000; doc++) {
        int n = doc == 0 ? 1 : doc % 3;
        for (int i = 0; i < n; i++)
            assert_int_equal(cs_idxbin_writer_add(&w, ids, i + 1, &err), CS_OK);
        assert_int_equal(cs_idxbin_writer_end_document(&w, &err), CS_OK);
    }
    assert_int_equal(cs_idxbin_writer_finish(&w, &err), CS_OK);
    assert_int_equal(cs_idxbin_init(&d, prefix, &err), CS_OK);
    assert_int_equal(d.idx.n_doc, 3001);
    for (int doc = 0; doc < 3000; doc++)
        assert_int_equal(cs_idx_document(&d.idx, doc + 1) - cs_idx_document(&d.idx, doc), doc == 0 ? 1 : doc % 3);
    cs_idxbin_release(&d);
}

/* Fails every system call in turn: the right status, an older pair untouched or gone as a whole, no temporary file. */
static void failing_disk(void **state)
{
    (void)state;
    const char *dir = test_make_dir();
    char prefix[300];
    snprintf(prefix, sizeof prefix, "%s/x", dir);
    const int32_t ids[3] = {1, 2, 3};
    bool clean = false;
    for (int call = 1; !clean && call < 100; call++) {
        static char spec[64];
        cs_error err = {0};
        cs_idxbin_writer w;
        snprintf(spec, sizeof spec, "io:enospc@%d", call);
        assert_int_equal(cs_failpoint_arm(spec, &err), CS_OK);
        cs_status s = cs_idxbin_writer_init(&w, prefix, CS_U16, &err);
        bool opened = s == CS_OK;
        if (opened)
            s = cs_idxbin_writer_add(&w, ids, 3, &err);
        if (s == CS_OK)
            s = cs_idxbin_writer_finish(&w, &err);
        else if (opened)
            cs_idxbin_writer_abort(&w);
        cs_failpoint_arm(NULL, &err);
        char **names;
        size_t n;
        assert_int_equal(cs_io_list(dir, &names, &n, &err), CS_OK);
        clean = s == CS_OK && n == 2;
        for (size_t i = 0; i < n; i++)
            if (strstr(names[i], ".tmp"))
                fail_msg("call %d left %s", call, names[i]);
        assert_true(s == CS_OK || s == CS_E_IO);
        cs_io_list_free(names, n);
        cs_io_remove_tree(prefix, NULL);
    }
    assert_true(clean);
    cs_io_remove_tree(dir, NULL);
}

static void two_writers(void **state)
{
    (void)state;
    const char *prefix = test_path(test_make_dir(), "x");
    cs_idxbin_writer a, b;
    cs_error err = {0};
    assert_int_equal(cs_idxbin_writer_init(&a, prefix, CS_I32, &err), CS_OK);
    assert_int_equal(cs_idxbin_writer_init(&b, prefix, CS_I32, &err), CS_E_IO);
    cs_idxbin_writer_abort(&a);
    assert_int_equal(cs_idxbin_writer_init(&b, prefix, CS_I32, &err), CS_OK);
    cs_idxbin_writer_abort(&b);
    cs_idxbin_writer_abort(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_when_rewritten),
        cmocka_unit_test(shared_sample),
        cmocka_unit_test(malformed),
        cmocka_unit_test(good_kinds),
        cmocka_unit_test(every_token_type),
        cmocka_unit_test(token_over_32_bits),
        cmocka_unit_test(documents_of_several_sequences),
        cmocka_unit_test(failing_disk),
        cmocka_unit_test(two_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
