/* llama2.c files: both versions built here with known values, the row order of q and k, damage, and the stories model. */
#include "base/io.h"
#include "fmt/llama2c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DIM = 8, FFN = 6, LAYERS = 2, HEADS = 2, KV = 1, VOCAB = 5, SEQ = 3, HEAD_DIM = DIM / HEADS };

typedef struct image {
    uint8_t *bytes;
    size_t size;
} image;

static void put(image *m, const void *p, size_t n)
{
    m->bytes = realloc(m->bytes, m->size + n);
    memcpy(m->bytes + m->size, p, n);
    m->size += n;
}

/* `n` floats tag, tag + 1/1024, ... */
static void put_part(image *m, float tag, int n)
{
    for (int i = 0; i < n; i++) {
        float v = tag + (float)i / 1024;
        put(m, &v, 4);
    }
}

static void put_layers(image *m, float tag, int n)
{
    for (int l = 0; l < LAYERS; l++)
        put_part(m, tag + (float)l, n);
}

static image make_v0(bool tied)
{
    image m = {0};
    const int32_t head[7] = {DIM, FFN, LAYERS, HEADS, KV, tied ? VOCAB : -VOCAB, SEQ};
    put(&m, head, sizeof head);
    put_part(&m, 10, VOCAB * DIM);
    put_layers(&m, 20, DIM);
    put_layers(&m, 30, DIM * DIM);
    put_layers(&m, 40, KV * HEAD_DIM * DIM);
    put_layers(&m, 50, KV * HEAD_DIM * DIM);
    put_layers(&m, 60, DIM * DIM);
    put_layers(&m, 70, DIM);
    put_layers(&m, 80, FFN * DIM);
    put_layers(&m, 90, FFN * DIM);
    put_layers(&m, 100, FFN * DIM);
    put_part(&m, 110, DIM);
    put_part(&m, 120, SEQ * HEAD_DIM);
    if (!tied)
        put_part(&m, 130, VOCAB * DIM);
    return m;
}

static image make_v1(bool tied)
{
    image m = {0};
    const uint32_t start[9] = {0x616b3432, 1, DIM, FFN, LAYERS, HEADS, KV, VOCAB, SEQ};
    const uint8_t flag = tied, zero[256] = {0};
    put(&m, start, sizeof start);
    put(&m, &flag, 1);
    put(&m, zero, 256 - m.size);
    put_layers(&m, 20, DIM);
    put_layers(&m, 70, DIM);
    put_part(&m, 110, DIM);
    put_part(&m, 10, VOCAB * DIM);
    put_layers(&m, 30, DIM * DIM);
    put_layers(&m, 40, KV * HEAD_DIM * DIM);
    put_layers(&m, 50, KV * HEAD_DIM * DIM);
    put_layers(&m, 60, DIM * DIM);
    put_layers(&m, 80, FFN * DIM);
    put_layers(&m, 90, FFN * DIM);
    put_layers(&m, 100, FFN * DIM);
    if (!tied)
        put_part(&m, 130, VOCAB * DIM);
    return m;
}

static void check_parts(const image *file, bool tied)
{
    static const struct {
        cs_llama2c_part part;
        int layer;
        float first;
    } want[] = {{CS_L2C_EMBED, 0, 10}, {CS_L2C_ATT_NORM, 1, 21}, {CS_L2C_WQ, 1, 31}, {CS_L2C_WK, 0, 40}, {CS_L2C_WV, 1, 51}, {CS_L2C_WO, 0, 60},
                {CS_L2C_FFN_NORM, 1, 71}, {CS_L2C_W1, 0, 80}, {CS_L2C_W2, 1, 91}, {CS_L2C_W3, 1, 101}, {CS_L2C_FINAL_NORM, 0, 110}};
    cs_llama2c m;
    cs_error err = {0};
    if (cs_llama2c_init(&m, file->bytes, file->size, "m.bin", &err) != CS_OK)
        fail_msg("%s", err.msg);
    assert_true(cs_llama2c_detect(file->bytes, file->size));
    assert_int_equal(m.vocab, VOCAB);
    assert_int_equal(m.head_dim, HEAD_DIM);
    assert_int_equal(m.tied, tied);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_true(*cs_llama2c_tensor(&m, want[i].part, want[i].layer) == want[i].first);
    assert_int_equal(m.part[CS_L2C_HEAD].count, !tied);
    if (!tied)
        assert_true(*cs_llama2c_tensor(&m, CS_L2C_HEAD, 0) == 130);
}

static void test_versions(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        image a = make_v0(tied), b = make_v1(tied);
        check_parts(&a, tied);
        check_parts(&b, tied);
        free(a.bytes);
        free(b.bytes);
    }
}

static void test_row_order(void **state)
{
    (void)state;
    const int64_t want[8] = {0, 2, 1, 3, 4, 6, 5, 7}; /* two heads of 4 */
    for (int64_t r = 0; r < 8; r++)
        assert_int_equal(cs_llama2c_row(r, 4), want[r]);
    for (int64_t r = 0; r < 6; r++) {
        int64_t row = cs_llama2c_row(r, 6);
        assert_int_equal(row, r < 3 ? 2 * r : 2 * (r - 3) + 1);
    }
}

static void expect_bad(const uint8_t *bytes, size_t size, const char *word)
{
    cs_llama2c m;
    cs_error err = {0};
    assert_int_equal(cs_llama2c_init(&m, bytes, size, "m.bin", &err), CS_E_FORMAT);
    if (!strstr(err.msg, word))
        fail_msg("message '%s' lacks '%s'", err.msg, word);
}

static void test_damage(void **state)
{
    (void)state;
    image a = make_v0(true), b = make_v1(false);
    for (size_t n = 0; n < a.size; n++) {
        uint8_t *q = malloc(n ? n : 1);
        memcpy(q, a.bytes, n);
        expect_bad(q, n, "byte");
        assert_false(cs_llama2c_detect(q, n));
        free(q);
    }
    for (size_t n = 8; n < b.size; n += 3) {
        uint8_t *q = malloc(n);
        memcpy(q, b.bytes, n);
        expect_bad(q, n, "byte");
        free(q);
    }
    for (int at = 0; at < 7; at++) { /* each number: zero, the smallest, huge */
        const int32_t values[] = {0, INT32_MIN, INT32_MAX};
        for (int k = 0; k < 3; k++) {
            int32_t old;
            memcpy(&old, a.bytes + 4 * at, 4);
            memcpy(a.bytes + 4 * at, &values[k], 4);
            expect_bad(a.bytes, a.size, "byte ");
            memcpy(a.bytes + 4 * at, &old, 4);
        }
    }
    a.bytes[12] = 3; /* 3 heads do not divide 8 */
    expect_bad(a.bytes, a.size, "do not fit together");
    b.bytes[4] = 2;
    expect_bad(b.bytes, b.size, "version 2 at byte 4");
    b.bytes[4] = 1;
    b.bytes[36] = 7;
    expect_bad(b.bytes, b.size, "byte 36");
    free(a.bytes);
    free(b.bytes);
}

static void test_stories(void **state)
{
    (void)state;
    cs_map map;
    cs_llama2c m;
    cs_error err = {0};
    assert_int_equal(cs_map_init(&map, "tests/data/stories260K.bin", &err), CS_OK);
    assert_int_equal(cs_llama2c_init(&m, map.data, map.size, map.path, &err), CS_OK);
    assert_int_equal(m.dim, 64);
    assert_int_equal(m.n_layers, 5);
    assert_int_equal(m.n_heads, 8);
    assert_int_equal(m.n_kv_heads, 4);
    assert_int_equal(m.ffn, 172);
    assert_int_equal(m.vocab, 512);
    assert_true(m.tied);
    cs_map_release(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_versions), cmocka_unit_test(test_row_order), cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_stories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
