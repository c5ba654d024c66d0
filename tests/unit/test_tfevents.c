/* TensorBoard records against bytes that tensorboard 2.21's own RecordWriter made from the same events. */
#include "base/failpoint.h"
#include "fmt/tfevents.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char golden[] =
    "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b3531102f000000000000006d5d1d500900005040fc54d94110012a"
    "220a0e0a076c6d5f6c6f737315000024410a100a09677261645f6e6f726d15cdcccc3de70fd60e2100000000000000017becf60900008040fc54d9411080bcc1"
    "960b2a100a0e0a076c6d5f6c6f737315000024419c2281c5";

static void write_all(cs_str *s)
{
    const cs_tfevents_value values[] = {{"lm_loss", 10.25}, {"grad_norm", 0.1}};
    cs_tfevents_put_version(s, 1700000000.5);
    cs_tfevents_put_scalars(s, 1700000001.25, 1, values, 2);
    cs_tfevents_put_scalars(s, 1700000002, 3000000000, values, 1);
}

static void test_golden(void **state)
{
    (void)state;
    cs_str s = {0}, hex = {0};
    write_all(&s);
    for (size_t i = 0; i < s.len; i++)
        cs_str_printf(&hex, "%02x", (unsigned char)s.data[i]);
    assert_string_equal(hex.data, golden);
    cs_str_release(&s);
    cs_str_release(&hex);
}

/* RFC 3720, appendix B.4. */
static void test_crc(void **state)
{
    (void)state;
    uint8_t zero[32] = {0}, ones[32], up[32];
    memset(ones, 0xff, 32);
    for (int i = 0; i < 32; i++)
        up[i] = (uint8_t)i;
    assert_int_equal(cs_crc32c(zero, 32), 0x8a9136aa);
    assert_int_equal(cs_crc32c(ones, 32), 0x62a8ab43);
    assert_int_equal(cs_crc32c(up, 32), 0x46dd794e);
    assert_int_equal(cs_crc32c("123456789", 9), 0xe3069283);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    for (int n = 1; n < 30; n++) {
        char spec[20];
        cs_str s = {0};
        cs_error err = {0};
        snprintf(spec, sizeof spec, "mem@%d", n);
        assert_int_equal(cs_failpoint_arm(spec, &err), CS_OK);
        write_all(&s);
        cs_failpoint_arm(NULL, &err);
        cs_status got = cs_str_check(&s, &err);
        size_t len = s.len;
        cs_str_release(&s);
        if (got == CS_OK) {
            assert_int_equal(len, (sizeof golden - 1) / 2);
            assert_true(n > 3);
            return;
        }
        assert_int_equal(got, CS_E_NOMEM);
    }
    fail_msg("never got through");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_crc), cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
