/* The PNG writer, read back by an independent decoder over zlib: structure, checksums, filters, pixels. */
#include "base/failpoint.h"
#include "base/mem.h"
#include "fmt/png.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint8_t pixel(int kind, size_t x, size_t y, size_t c)
{
    if (kind == 0)
        return (uint8_t)(x * 7 + y * 13 + c * 50); /* smooth: Sub and Up win */
    if (kind == 1)
        return (uint8_t)((x * 2654435761u ^ y * 40503u ^ c * 977u) >> 7); /* noise */
    return 255;
}

static void round_trip(int kind, size_t w, size_t h)
{
    uint8_t *rgb = cs_malloc(3 * w * h), *raw = cs_malloc((3 * w + 1) * h);
    for (size_t i = 0; i < 3 * w * h; i++)
        rgb[i] = pixel(kind, i / 3 % w, i / 3 / w, i % 3);
    cs_str out = {0};
    cs_error err = {0};
    assert_int_equal(cs_png_encode(rgb, w, h, &out, &err), CS_OK);
    const uint8_t *p = (const uint8_t *)out.data;
    assert_memory_equal(p, "\x89PNG\r\n\x1a\n", 8);
    size_t at = 8, raw_size = 0;
    static const char *const order[] = {"IHDR", "IDAT", "IEND"};
    for (int i = 0; i < 3; i++) {
        size_t n = be32(p + at);
        assert_true(at + 12 + n <= out.len);
        assert_memory_equal(p + at + 4, order[i], 4);
        assert_int_equal(be32(p + at + 8 + n), crc32(0, p + at + 4, (uInt)(n + 4)));
        if (i == 0) {
            assert_int_equal(be32(p + at + 8), w);
            assert_int_equal(be32(p + at + 12), h);
            assert_memory_equal(p + at + 16, "\x08\x02\0\0\0", 5);
        } else if (i == 1) {
            uLongf size = (uLongf)((3 * w + 1) * h);
            assert_int_equal(uncompress(raw, &size, p + at + 8, (uLong)n), Z_OK);
            raw_size = size;
        }
        at += 12 + n;
    }
    assert_int_equal(at, out.len);
    assert_int_equal(raw_size, (3 * w + 1) * h);
    for (size_t y = 0; y < h; y++) {
        uint8_t *row = raw + y * (3 * w + 1) + 1, filter = row[-1];
        assert_true(filter <= 2);
        for (size_t i = 0; i < 3 * w; i++) {
            if (filter == 1 && i >= 3)
                row[i] = (uint8_t)(row[i] + row[i - 3]);
            if (filter == 2 && y > 0)
                row[i] = (uint8_t)(row[i] + row[(ptrdiff_t)i - (ptrdiff_t)(3 * w + 1)]);
        }
        assert_memory_equal(row, rgb + y * 3 * w, 3 * w);
    }
    cs_str_release(&out);
    cs_free(rgb);
    cs_free(raw);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        round_trip(kind, 1, 1);
        round_trip(kind, 17, 5);
        round_trip(kind, 300, 200);
    }
}

static void test_out_of_memory(void **state)
{
    (void)state;
    static const uint8_t rgb[30 * 3];
    for (int n = 1; n < 40; n++) {
        char spec[20];
        cs_str out = {0};
        cs_error err = {0};
        int64_t before = cs_mem_bytes();
        snprintf(spec, sizeof spec, "mem@%d", n);
        cs_failpoint_arm(spec, &err);
        cs_status s = cs_png_encode(rgb, 6, 5, &out, &err);
        cs_failpoint_arm(NULL, &err);
        cs_str_release(&out);
        assert_int_equal(cs_mem_bytes(), before);
        if (s == CS_OK) {
            assert_true(n > 4);
            return;
        }
        assert_int_equal(s, CS_E_NOMEM);
    }
    fail_msg("never got through");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
