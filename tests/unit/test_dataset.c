/* Splits, blends, samples and micro-batches, against Python's rounding, numpy's goldens and the definition. */
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/blend.h"
#include "data/dataset.h"
#include "data/split.h"
#include "fmt/idxbin.h"
#include "fmt/npy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "data_path.h"

static char work[300]; /* a folder with writable copies of the two corpora */

static cs_data_config config(const char **path, size_t n, const char *split, int64_t seq, int64_t seed)
{
    return (cs_data_config){.data_path = {path, n}, .split = split, .seq_length = seq, .seed = seed, .eod = -1};
}

static void split_borders(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t n, border[4];
    } rows[] = {
        {"969,30,1", 1000, {0, 969, 999, 1000}}, {"969, 30, 1", 20, {0, 19, 20, 20}}, {"949,50,1", 333, {0, 316, 333, 333}},
        {"1,1,1", 5, {0, 1, 3, 5}}, {"1/1/0", 5, {0, 3, 5, 5}}, {"1,1", 7, {0, 3, 7, 7}}, {"90,5,5", 30, {0, 26, 28, 30}},
        {"98,2,0", 25, {0, 25, 25, 25}}, {"33,33,34", 10, {0, 4, 7, 10}}, {"1", 9, {0, 9, 9, 9}}, {"0,1,1", 3, {0, 0, 1, 3}},
        {"1e-3, .5, .499", 1000, {0, 1, 501, 1000}}, {"1,0,0", 0, {0, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double share[3];
        int64_t border[4];
        cs_error err = {0};
        assert_int_equal(cs_split_parse(rows[i].text, share, &err), CS_OK);
        cs_split_borders(share, rows[i].n, border);
        for (int k = 0; k < 4; k++)
            if (border[k] != rows[i].border[k])
                fail_msg("%s of %lld: border %d is %lld", rows[i].text, (long long)rows[i].n, k, (long long)border[k]);
    }
    static const char *const bad[] = {"", "a", "1,,1", "0,0,0", "-1,2,0", "1,2,3,4", "nan", "inf,1", "1 2,3", "1;2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double share[3];
        cs_error err = {0};
        assert_int_equal(cs_split_parse(bad[i], share, &err), CS_E_USAGE);
    }
}

static void blend_goldens(void **state)
{
    (void)state;
    static const double weights[4][3] = {{0.3, 0.7}, {1, 1, 1}, {0.05, 0.6, 0.35}, {5}};
    static const size_t n[4] = {2, 3, 3, 1};
    for (int c = 0; c < 4; c++) {
        char name[64];
        cs_map m;
        cs_npy a;
        cs_blend b;
        cs_error err = {0};
        snprintf(name, sizeof name, "indexmap/blend%d.npy", c);
        assert_int_equal(cs_map_init(&m, test_path(TEST_DATA, name), &err), CS_OK);
        assert_int_equal(cs_npy_parse(&a, m.data, m.size, name, &err), CS_OK);
        assert_int_equal(cs_blend_init(&b, weights[c], n[c], a.shape[0], &err), CS_OK);
        for (int64_t i = 0; i < a.shape[0]; i++) {
            size_t set;
            int64_t index;
            cs_blend_at(&b, i, &set, &index);
            assert_int_equal(set, ((const int64_t *)a.data)[2 * i]);
            assert_int_equal(index, ((const int64_t *)a.data)[2 * i + 1]);
        }
        cs_blend_release(&b);
        cs_map_release(&m);
    }
    assert_int_equal(cs_blend_ask(100, 0.25), 26);
    assert_int_equal(cs_blend_ask(0, 0.25), 0);
}

static void blend_lists(void **state)
{
    (void)state;
    static const char *bad[][4] = {{"0.5", "p", "0.5"}, {"p", "0.5"}, {"-1", "p"}, {"0", "p", "0", "q"}, {"nan", "p"}};
    static const size_t n[] = {3, 2, 2, 4, 2};
    cs_blend_spec s;
    for (size_t i = 0; i < 5; i++) {
        cs_error err = {0};
        assert_int_equal(cs_blend_spec_init(&s, &(cs_strlist){bad[i], n[i]}, "--data-path", &err), CS_E_USAGE);
    }
    assert_int_equal(cs_blend_spec_init(&s, &(cs_strlist){NULL, 0}, "--data-path", NULL), CS_E_USAGE);
    const char *good[] = {"1", "p", "3", "q"};
    assert_int_equal(cs_blend_spec_init(&s, &(cs_strlist){good, 4}, "--data-path", NULL), CS_OK);
    assert_int_equal(s.n, 2);
    assert_true(s.weight[1] == 0.75);
    assert_string_equal(s.prefix[1], "q");
    cs_blend_spec_release(&s);
}

/* Every sample of a split equals the golden's row. */
static void check_tokens(const cs_data_config *cfg, cs_split split, int64_t n, const char *golden, int64_t size)
{
    int64_t want[CS_SPLIT_COUNT] = {0};
    cs_dataset *d[CS_SPLIT_COUNT];
    cs_error err = {0};
    cs_map m;
    cs_npy a;
    want[split] = n;
    for (int pass = 0; pass < 2; pass++) { /* built, then from the cache */
        if (cs_datasets_create(cfg, want, cs_comm_self(), d, &err) != CS_OK)
            fail_msg("%s", err.msg);
        assert_int_equal(cs_dataset_size(d[split]), size);
        assert_int_equal(cs_map_init(&m, test_path(TEST_DATA, golden), &err), CS_OK);
        assert_int_equal(cs_npy_parse(&a, m.data, m.size, golden, &err), CS_OK);
        assert_int_equal(a.shape[0], size);
        assert_int_equal(a.shape[1], cfg->seq_length + 1);
        for (int64_t i = 0; i < size; i++) {
            int32_t row[64];
            assert_int_equal(cs_dataset_sample(d[split], i, 300, row, &err), CS_OK);
            assert_memory_equal(row, (const int32_t *)a.data + i * a.shape[1], (size_t)a.shape[1] * 4);
        }
        cs_map_release(&m);
        for (int k = 0; k < CS_SPLIT_COUNT; k++) {
            assert_true((d[k] != NULL) == (k == (int)split));
            cs_dataset_destroy(d[k]);
        }
    }
}

static void samples(void **state)
{
    (void)state;
    const char *a = test_path(work, "a"), *b = test_path(work, "b");
    cs_data_config cfg = config(&a, 1, "8,1,1", 16, 1234);
    check_tokens(&cfg, CS_SPLIT_TRAIN, 58, "indexmap/a_train_indexmap_58ns_16sl_1234s_tokens.npy", 60);
    cfg = config(&a, 1, "8,1,1", 8, 5);
    check_tokens(&cfg, CS_SPLIT_TRAIN, 68, "indexmap/a_train_indexmap_68ns_8sl_5s_tokens.npy", 91);
    cfg = config(&a, 1, "5,5,0", 4, 2023);
    check_tokens(&cfg, CS_SPLIT_VALID, 40, "indexmap/a_valid_indexmap_40ns_4sl_2023s_tokens.npy", 71);
    cfg = config(&b, 1, "949,50,1", 7, 99);
    check_tokens(&cfg, CS_SPLIT_TRAIN, 300, "indexmap/b_train_indexmap_300ns_7sl_99s_tokens.npy", 300);
    const char *blend[] = {"0.25", a, "0.75", b};
    cfg = config(blend, 4, "9,1,0", 6, 42);
    check_tokens(&cfg, CS_SPLIT_TRAIN, 37, "indexmap/blended_tokens.npy", 37);
}

/* A folder that takes no files: the maps stay in memory and the samples are the same. */
static void unwritable_folder(void **state)
{
    (void)state;
    const char *a = test_path(work, "a");
    cs_data_config cfg = config(&a, 1, "1,0,0", 10, 777);
    const int64_t want[CS_SPLIT_COUNT] = {3, 0, 0};
    cs_dataset *d[CS_SPLIT_COUNT];
    cs_error err = {0};
    assert_int_equal(cs_failpoint_arm("io:enospc@1+", &err), CS_OK);
    cs_status s = cs_datasets_create(&cfg, want, cs_comm_self(), d, &err);
    cs_failpoint_arm(NULL, &err);
    if (s != CS_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(cs_dataset_size(d[0]), 28);
    cs_dataset_destroy(d[0]);
    assert_int_equal(cs_io_kind(test_path(work, "a_train_indexmap_3ns_10sl_777s_doc_idx.npy"), NULL), CS_FILE_NONE);
}

static void bad_data(void **state)
{
    (void)state;
    const int64_t want[CS_SPLIT_COUNT] = {5, 5, 5};
    cs_dataset *d[CS_SPLIT_COUNT];
    cs_error err = {0};
    const char *a = test_path(work, "a"), *none = test_path(work, "none"), *folder = work;
    cs_data_config cfg = config(&none, 1, "8,1,1", 8, 1);
    assert_int_equal(cs_datasets_create(&cfg, want, cs_comm_self(), d, &err), CS_E_IO);
    assert_non_null(strstr(err.msg, "none.idx"));
    cfg = config(&folder, 1, "8,1,1", 8, 1);
    assert_int_equal(cs_datasets_create(&cfg, want, cs_comm_self(), d, &err), CS_E_IO);
    cfg = config(&a, 1, "8,1,1", 1000, 1); /* 287 tokens in all */
    assert_int_equal(cs_datasets_create(&cfg, want, cs_comm_self(), d, &err), CS_E_USAGE);
    assert_non_null(strstr(err.msg, "needs 1001"));
    for (int k = 0; k < CS_SPLIT_COUNT; k++)
        assert_null(d[k]);
    cfg = config(&a, 1, "1,8,1", 1, 1);
    cfg.data_impl = 2;
    assert_int_equal(cs_datasets_create(&cfg, want, cs_comm_self(), d, &err), CS_E_USAGE);
    cfg = config(&a, 1, "0,8,1", 8, 1); /* training needs documents */
    assert_int_equal(cs_datasets_create(&cfg, want, cs_comm_self(), d, &err), CS_E_USAGE);
    cfg = config(&a, 1, "18,1,1", 30, 1); /* 19 and 8 tokens are left for valid and test */
    assert_int_equal(cs_datasets_create(&cfg, want, cs_comm_self(), d, &err), CS_OK);
    assert_non_null(d[0]);
    assert_null(d[1]);
    assert_null(d[2]);
    int32_t row[31];
    assert_int_equal(cs_dataset_sample(d[0], 0, 20, row, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "a.bin: token "));
    assert_non_null(strstr(err.msg, "vocabulary ends at 19"));
    cs_dataset_destroy(d[0]);
}

/* A corpus of no documents at all. */
static void empty_corpus(void **state)
{
    (void)state;
    const char *e = test_path(work, "empty");
    cs_idxbin_writer w;
    cs_error err = {0};
    cs_dataset *d[CS_SPLIT_COUNT];
    const int64_t want[CS_SPLIT_COUNT] = {1, 0, 0};
    assert_int_equal(cs_idxbin_writer_init(&w, e, CS_U16, &err), CS_OK);
    assert_int_equal(cs_idxbin_writer_finish(&w, &err), CS_OK);
    cs_data_config cfg = config(&e, 1, "1,0,0", 8, 1);
    assert_int_equal(cs_datasets_create(&cfg, want, cs_comm_self(), d, &err), CS_E_USAGE);
    assert_non_null(strstr(err.msg, "empty.idx"));
}

static cs_dataset *open_train(const cs_data_config *cfg, int64_t n)
{
    const int64_t want[CS_SPLIT_COUNT] = {n, 0, 0};
    cs_dataset *d[CS_SPLIT_COUNT];
    cs_error err = {0};
    if (cs_datasets_create(cfg, want, cs_comm_self(), d, &err) != CS_OK)
        fail_msg("%s", err.msg);
    return d[0];
}

/* The ranks of any data-parallel size give the stream of one rank, in blocks; past the end it starts again. */
static void ranks_partition_the_stream(void **state)
{
    (void)state;
    const char *a = test_path(work, "a");
    cs_data_config cfg = config(&a, 1, "8,1,1", 16, 1234);
    cs_dataset *d = open_train(&cfg, 58);
    int64_t size = cs_dataset_size(d);
    cs_error err = {0};
    for (int dp = 1; dp <= 3; dp++)
        for (int rank = 0; rank < dp; rank++) {
            cs_batcher *b;
            cs_batch x;
            assert_int_equal(cs_batcher_create(d, &cfg, 300, rank, dp, &b, &err), CS_OK);
            for (int64_t mbs = 1; mbs <= 3; mbs++)
                for (int64_t consumed = 0; consumed < 2 * size; consumed += mbs * dp) {
                    assert_int_equal(cs_batcher_fill(b, consumed % 2, consumed, mbs, &x, &err), CS_OK);
                    assert_int_equal(x.rows, mbs * 16);
                    assert_int_equal(x.n_seq, mbs);
                    assert_true(x.trained == (double)x.rows);
                    for (int64_t j = 0; j < mbs; j++) {
                        int32_t row[17];
                        assert_int_equal(cs_dataset_sample(d, (consumed + rank * mbs + j) % size, 300, row, &err), CS_OK);
                        assert_memory_equal(x.tokens + j * 16, row, 64);
                        assert_memory_equal(x.labels + j * 16, row + 1, 64);
                        assert_int_equal(x.seq_start[j], j * 16);
                        assert_int_equal(x.pos[j * 16 + 15], 15);
                    }
                    assert_int_equal(x.seq_start[mbs], x.rows);
                }
            for (int64_t slot = 0; slot < 2; slot++)
                assert_int_equal(cs_batcher_fill(b, slot, 0, 3, &x, &err), CS_OK);
            int64_t calls = cs_mem_calls();
            for (int64_t consumed = 0; consumed < 20; consumed++)
                assert_int_equal(cs_batcher_fill(b, consumed % 2, consumed, 3, &x, &err), CS_OK);
            assert_int_equal(cs_mem_calls(), calls);
            cs_batcher_destroy(b);
        }
    cs_dataset_destroy(d);
}

/* One pass of the cyclic loader gives every sample of its whole steps once; another pass, another order. */
static void cyclic_passes(void **state)
{
    (void)state;
    const char *c = test_path(work, "count");
    cs_data_config cfg = config(&c, 1, "1,0,0", 4, 1234);
    cs_idxbin_writer w;
    cs_error err = {0};
    int32_t ids[250], rows[60][5];
    for (int i = 0; i < 250; i++)
        ids[i] = i;
    assert_int_equal(cs_idxbin_writer_init(&w, c, CS_U16, &err), CS_OK);
    assert_int_equal(cs_idxbin_writer_add(&w, ids, 250, &err), CS_OK);
    assert_int_equal(cs_idxbin_writer_finish(&w, &err), CS_OK);
    cfg.dataloader_type = CS_LOADER_CYCLIC;
    cs_dataset *d = open_train(&cfg, 60); /* 62 samples, all different; steps of 2 x 7: two buckets of 28, 56 samples a pass */
    int order[2][56];
    for (int i = 0; i < 60; i++)
        assert_int_equal(cs_dataset_sample(d, i, 300, rows[i], &err), CS_OK);
    for (int pass = 0; pass < 2; pass++) {
        int seen[60] = {0}, n = 0;
        for (int64_t consumed = pass * 56; consumed < (pass + 1) * 56; consumed += 14)
            for (int rank = 0; rank < 2; rank++) {
                cs_batcher *b;
                cs_batch x;
                assert_int_equal(cs_batcher_create(d, &cfg, 300, rank, 2, &b, &err), CS_OK);
                assert_int_equal(cs_batcher_fill(b, 0, consumed, 7, &x, &err), CS_OK);
                for (int j = 0; j < 7; j++)
                    for (int i = rank * 28; i < rank * 28 + 28; i++)
                        if (memcmp(rows[i], x.tokens + j * 4, 16) == 0) {
                            seen[i]++;
                            order[pass][n++] = i;
                            break;
                        }
                cs_batcher_destroy(b);
            }
        assert_int_equal(n, 56);
        for (int i = 0; i < 56; i++)
            assert_int_equal(seen[i], 1);
    }
    assert_memory_not_equal(order[0], order[1], sizeof order[0]);
    cs_batcher *b;
    cs_batch x;
    assert_int_equal(cs_batcher_create(d, &cfg, 300, 0, 2, &b, &err), CS_OK);
    assert_int_equal(cs_batcher_fill(b, 0, 0, 32, &x, &err), CS_E_USAGE);
    cs_batcher_destroy(b);
    cs_dataset_destroy(d);
}

/* Expected cuts, positions and weights by the plain definition. */
static void end_of_document(void **state)
{
    (void)state;
    const char *e = test_path(work, "eod");
    const int32_t ids[] = {9, 4, 5, 9, 6, 7, 8, 9, 9, 1, 2, 3, 9};
    cs_idxbin_writer w;
    cs_error err = {0};
    assert_int_equal(cs_idxbin_writer_init(&w, e, CS_U16, &err), CS_OK);
    assert_int_equal(cs_idxbin_writer_add(&w, ids, 13, &err), CS_OK);
    assert_int_equal(cs_idxbin_writer_finish(&w, &err), CS_OK);
    for (int flags = 0; flags < 8; flags++) {
        cs_data_config cfg = config(&e, 1, "1,0,0", 12, 1);
        cs_batcher *b;
        cs_batch x;
        cfg.eod_mask_loss = flags & 1, cfg.reset_position_ids = flags & 2, cfg.reset_attention_mask = flags & 4;
        cs_dataset *d = open_train(&cfg, 1);
        if (flags) {
            assert_int_equal(cs_batcher_create(d, &cfg, 10, 0, 1, &b, &err), CS_E_USAGE);
            cfg.eod = 9;
        }
        assert_int_equal(cs_batcher_create(d, &cfg, 10, 0, 1, &b, &err), CS_OK);
        assert_int_equal(cs_batcher_fill(b, 0, 0, 2, &x, &err), CS_OK);
        static const int64_t cut[] = {0, 1, 4, 8, 9, 12, 13, 16, 20, 21, 24}, whole[] = {0, 12, 24};
        static const int32_t restart[] = {0, 0, 1, 2, 0, 1, 2, 3, 0, 0, 1, 2};
        int64_t n_seq = flags & 4 ? 10 : 2;
        assert_int_equal(x.n_seq, n_seq);
        assert_memory_equal(x.seq_start, flags & 4 ? cut : whole, (size_t)(n_seq + 1) * 8);
        double trained = 0;
        for (int64_t r = 0; r < 24; r++) {
            float weight = flags & 1 && ids[r % 12] == 9 ? 0.0f : 1.0f;
            assert_int_equal(x.tokens[r], ids[r % 12]);
            assert_int_equal(x.labels[r], ids[r % 12 + 1]);
            assert_int_equal(x.pos[r], flags & 2 ? restart[r % 12] : r % 12);
            assert_true(x.weights[r] == weight);
            trained += weight;
        }
        assert_true(x.trained == trained);
        cs_batcher_destroy(b);
        cs_dataset_destroy(d);
    }
}

static void hashes(void **state)
{
    (void)state;
    const char *a = test_path(work, "a"), *b = test_path(work, "b");
    cs_data_config x = config(&a, 1, "1,0,0", 8, 1), y = config(&b, 1, "1,0,0", 8, 1);
    cs_dataset *d = open_train(&x, 4), *e = open_train(&y, 4), *f = open_train(&x, 9);
    assert_true(cs_dataset_hash(d) == cs_dataset_hash(f));
    assert_true(cs_dataset_hash(d) != cs_dataset_hash(e));
    cs_dataset_destroy(d);
    cs_dataset_destroy(e);
    cs_dataset_destroy(f);
}

static int copy_corpora(void **state)
{
    static const char *const names[] = {"a.bin", "a.idx", "b.bin", "b.idx"};
    (void)state;
    cs_log_set(CS_LOG_QUIET);
    snprintf(work, sizeof work, "%s", test_make_dir());
    for (int i = 0; i < 4; i++) {
        char from[64];
        uint8_t *bytes;
        size_t n;
        snprintf(from, sizeof from, "indexmap/%s", names[i]);
        if (cs_io_read_all(test_path(TEST_DATA, from), 1 << 20, &bytes, &n, NULL) != CS_OK
            || cs_io_write_atomic(test_path(work, names[i]), bytes, n, NULL) != CS_OK)
            return -1;
        cs_free(bytes);
    }
    return 0;
}

static int remove_corpora(void **state)
{
    (void)state;
    return cs_io_remove_tree(work, NULL) == CS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_borders),
        cmocka_unit_test(blend_goldens),
        cmocka_unit_test(blend_lists),
        cmocka_unit_test(samples),
        cmocka_unit_test(unwritable_folder),
        cmocka_unit_test(bad_data),
        cmocka_unit_test(empty_corpus),
        cmocka_unit_test(ranks_partition_the_stream),
        cmocka_unit_test(cyclic_passes),
        cmocka_unit_test(end_of_document),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests(tests, copy_corpora, remove_corpora);
}
