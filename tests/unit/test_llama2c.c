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
    static const struct {
        const char *what;
        int v1, at, width, value, longer;
        const char *message; /* whole */
    } bad[] = {
        {"width zero", 0, 0, 4, 0, 0, "m: byte 0: expected 1 to 16777216 as the width of a llama2.c model, found 0"},
        {"width least", 0, 0, 4, INT32_MIN, 0, "m: byte 0: expected 1 to 16777216 as the width of a llama2.c model, found -2147483648"},
        {"width huge", 0, 0, 4, INT32_MAX, 0, "m: byte 0: expected 1 to 16777216 as the width of a llama2.c model, found 2147483647"},
        {"feed-forward zero", 0, 4, 4, 0, 0, "m: byte 4: expected 1 to 16777216 as the feed-forward width of a llama2.c model, found 0"},
        {"feed-forward least", 0, 4, 4, INT32_MIN, 0,
         "m: byte 4: expected 1 to 16777216 as the feed-forward width of a llama2.c model, found -2147483648"},
        {"feed-forward huge", 0, 4, 4, INT32_MAX, 0,
         "m: byte 4: expected 1 to 16777216 as the feed-forward width of a llama2.c model, found 2147483647"},
        {"layers zero", 0, 8, 4, 0, 0, "m: byte 8: expected 1 to 4096 as the number of layers of a llama2.c model, found 0"},
        {"layers least", 0, 8, 4, INT32_MIN, 0, "m: byte 8: expected 1 to 4096 as the number of layers of a llama2.c model, found -2147483648"},
        {"layers huge", 0, 8, 4, INT32_MAX, 0, "m: byte 8: expected 1 to 4096 as the number of layers of a llama2.c model, found 2147483647"},
        {"heads zero", 0, 12, 4, 0, 0, "m: byte 12: expected 1 to 16777216 as the number of heads of a llama2.c model, found 0"},
        {"heads least", 0, 12, 4, INT32_MIN, 0, "m: byte 12: expected 1 to 16777216 as the number of heads of a llama2.c model, found -2147483648"},
        {"heads huge", 0, 12, 4, INT32_MAX, 0, "m: byte 12: expected 1 to 16777216 as the number of heads of a llama2.c model, found 2147483647"},
        {"key heads zero", 0, 16, 4, 0, 0, "m: byte 16: expected 1 to 16777216 as the number of key heads of a llama2.c model, found 0"},
        {"key heads least", 0, 16, 4, INT32_MIN, 0,
         "m: byte 16: expected 1 to 16777216 as the number of key heads of a llama2.c model, found -2147483648"},
        {"key heads huge", 0, 16, 4, INT32_MAX, 0,
         "m: byte 16: expected 1 to 16777216 as the number of key heads of a llama2.c model, found 2147483647"},
        {"vocabulary zero", 0, 20, 4, 0, 0, "m: byte 20: expected 1 to 16777216 as the vocabulary of a llama2.c model, found 0"},
        {"vocabulary least", 0, 20, 4, INT32_MIN, 0, "m: byte 20: expected 1 to 16777216 as the vocabulary of a llama2.c model, found 2147483648"},
        {"vocabulary huge", 0, 20, 4, INT32_MAX, 0, "m: byte 20: expected 1 to 16777216 as the vocabulary of a llama2.c model, found 2147483647"},
        {"positions zero", 0, 24, 4, 0, 0, "m: byte 24: expected 1 to 16777216 as the sequence length of a llama2.c model, found 0"},
        {"positions least", 0, 24, 4, INT32_MIN, 0,
         "m: byte 24: expected 1 to 16777216 as the sequence length of a llama2.c model, found -2147483648"},
        {"positions huge", 0, 24, 4, INT32_MAX, 0,
         "m: byte 24: expected 1 to 16777216 as the sequence length of a llama2.c model, found 2147483647"},
        {"heads that do not divide the width", 0, 12, 4, 3, 0,
         "m: byte 0: a width of 8, 3 heads and 1 key heads do not fit together in a llama2.c model"},
        {"an odd head", 0, 12, 4, 8, 0, "m: byte 0: a width of 8, 8 heads and 1 key heads do not fit together in a llama2.c model"},
        {"more key heads than heads", 0, 16, 4, 4, 0, "m: byte 0: a width of 8, 2 heads and 4 key heads do not fit together in a llama2.c model"},
        {"layers beyond the file", 0, 8, 4, 3, 0, "m: byte 3084: expected 4492 bytes in a llama2.c model with this header, found 3084"},
        {"fewer layers", 0, 8, 4, 1, 0, "m: byte 1676: expected 1676 bytes in a llama2.c model with this header, found 3084"},
        {"an output matrix that is not there", 0, 20, 4, -VOCAB, 0,
         "m: byte 3084: expected 3244 bytes in a llama2.c model with this header, found 3084"},
        {"four bytes more", 0, 0, 0, 0, 4, "m: byte 3084: expected 3084 bytes in a llama2.c model with this header, found 3088"},
        {"version 2", 1, 4, 4, 2, 0, "m: byte 4: expected llama2.c version 1 (f32), found 2; export the model again as version 0 or 1"},
        {"version 0 with a magic", 1, 4, 4, 0, 0,
         "m: byte 4: expected llama2.c version 1 (f32), found 0; export the model again as version 0 or 1"},
        {"version 1: width zero", 1, 8, 4, 0, 0, "m: byte 8: expected 1 to 16777216 as the width of a llama2.c model, found 0"},
        {"version 1: negative vocabulary", 1, 28, 4, -VOCAB, 0,
         "m: byte 28: expected 1 to 16777216 as the vocabulary of a llama2.c model, found -5"},
        {"version 1: classifier flag 7", 1, 36, 1, 7, 0, "m: byte 36: expected 0 or 1 as the shared-classifier flag of a llama2.c model, found 7"},
        {"version 1: shared classifier", 1, 36, 1, 1, 0, "m: byte 3264: expected 3264 bytes in a llama2.c model with this header, found 3424"},
        {"version 1: byte-swapped magic", 1, 0, 4, 0x32346b61, 0,
         "m: byte 0: expected 1 to 16777216 as the width of a llama2.c model, found 842296161"},
        {"version 1: four bytes more", 1, 0, 0, 0, 4, "m: byte 3424: expected 3424 bytes in a llama2.c model with this header, found 3428"},
    };
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
    int wrong = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const image *m = bad[i].v1 ? &b : &a;
        cs_llama2c l;
        cs_error err = {0};
        uint8_t *q = malloc(m->size + 4);
        size_t size = m->size + (size_t)bad[i].longer;
        memcpy(q, m->bytes, m->size);
        memcpy(q + bad[i].at, &bad[i].value, (size_t)bad[i].width);
        cs_status s = cs_llama2c_init(&l, q, size, "m", &err);
        if (s != CS_E_FORMAT || strcmp(err.msg, bad[i].message) != 0) {
            print_error("%s: status %d, message \"%s\", expected \"%s\"\n", bad[i].what, s, err.msg, bad[i].message);
            wrong++;
        }
        free(q);
    }
    assert_int_equal(wrong, 0);
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
