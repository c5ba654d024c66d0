/* safetensors: every kind of damage with its whole message, what the reference implementation says about the same bytes, and the second judge of
 * tests/fuzz/st_check.h over all of them and over random mutations. With --dump DIR it writes the files for tools/oracle/st_verdicts.py. */
#include "base/mem.h"
#include "fmt/safetensors.h"
#include "fuzz/st_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "data_path.h"

typedef struct row {
    const char *header;
    int n_data;
    char reference; /* 'a' accepts, 'r' refuses */
    const char *message; /* behind "x: "; NULL: accepted */
    size_t header_len;   /* 0: strlen */
} row;

#define E(fields) "{\"a\":{" fields "}}"
#define A(dtype, shape, range) E("\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" range)
#define T(name, range) "\"" name "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" range "}"
#define X(extra) E("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]," extra)
#define DTYPES "expected a dtype BOOL, U8, I8, F8_E4M3, F8_E5M2, I16, U16, F16, BF16, I32, U32, F32, I64, U64 or F64, found "
#define TEN(x) x x x x x x x x x x

static const row rows[] = {
#include "badfiles_st_rows.h"
};
enum { N_ROWS = sizeof rows / sizeof *rows };

/* Length word + header + data counting up, at its exact size on the heap. */
static uint8_t *make_file(const row *r, size_t *size)
{
    size_t n = r->header_len ? r->header_len : strlen(r->header);
    uint8_t *p = malloc(8 + n + (size_t)r->n_data);
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(n >> 8 * i);
    memcpy(p + 8, r->header, n);
    for (int i = 0; i < r->n_data; i++)
        p[8 + n + (size_t)i] = (uint8_t)i;
    *size = 8 + n + (size_t)r->n_data;
    return p;
}

/* Both judges; what was accepted has tensors that tile the data. Returns the status. */
static cs_status judge(const uint8_t *bytes, size_t size, cs_error *err)
{
    cs_safetensors st;
    int64_t held = cs_mem_bytes();
    *err = (cs_error){0};
    cs_status s = cs_safetensors_init(&st, bytes, size, "x", err);
    assert_true(s == CS_OK || s == CS_E_FORMAT);
    assert_int_equal(err->status, s);
    if (s == CS_OK) {
        size_t at = st.data_start;
        for (size_t i = 0; i < st.n; i++) {
            assert_int_equal(st.tensor[i].offset, at);
            at += st.tensor[i].bytes;
            assert_ptr_equal(cs_safetensors_find(&st, st.tensor[i].name), &st.tensor[i]);
        }
        assert_int_equal(at, size);
        cs_safetensors_release(&st);
    }
    assert_int_equal(cs_mem_bytes(), held);
    if ((s == CS_OK) != st_check(bytes, size))
        fail_msg("the two judges differ: status %d (%s) for %.*s", s, err->msg, size > 8 ? (int)size - 8 : 0, (const char *)bytes + 8);
    return s;
}

static void every_kind_of_damage(void **state)
{
    (void)state;
    size_t refused = 0;
    for (size_t i = 0; i < N_ROWS; i++) {
        size_t size;
        cs_error err;
        uint8_t *p = make_file(&rows[i], &size);
        cs_status s = judge(p, size, &err);
        if (rows[i].message ? s != CS_E_FORMAT || strncmp(err.msg, "x: ", 3) != 0 || strcmp(err.msg + 3, rows[i].message) != 0 : s != CS_OK)
            fail_msg("%.300s: status %d, message \"%s\" instead of \"x: %s\"", rows[i].header, s, err.msg,
                     rows[i].message ? rows[i].message : "none");
        if (rows[i].reference == 'r')
            assert_int_equal(s, CS_E_FORMAT); /* never more than the reference */
        refused += s != CS_OK;
        free(p);
    }
    assert_true(refused >= 80);
}

/* Damage to the length word, and files that end early. */
static void lengths(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *message;
    } bad[] = {
        {"", 0, "x: byte 0: expected the 8 bytes of a safetensors header length, found 0"},
        {"\2\0\0\0\0\0\0", 7, "x: byte 0: expected the 8 bytes of a safetensors header length, found 7"},
        {"\0\0\0\0\0\0\0\0", 8, "x: byte 8: expected the '{' of a safetensors header, found the end of the text"},
        {"\0\0\0\0\0\0\0\0{}", 10, "x: byte 8: expected the '{' of a safetensors header, found the end of the text"},
        {"\1\0\0\0\0\0\0\0{}", 10, "x: byte 9: expected a key in quotes or '}', found the end of the text"},
        {"\2\0\0\0\0\0\0\0{", 9, "x: byte 0: header length 2, but only 1 bytes follow; is the file cut off?"},
        {"\3\0\0\0\0\0\0\0{}", 10, "x: byte 0: header length 3, but only 2 bytes follow; is the file cut off?"},
        {"\0\341\365\5\0\0\0\0{}", 10, "x: byte 0: header length 100000000, but only 2 bytes follow; is the file cut off?"},
        {"\1\341\365\5\0\0\0\0{}", 10, "x: byte 0: expected a header length of at most 100000000, found 100000001; not a safetensors file"},
        {"\2\0\0\0\0\0\0\1{}", 10, "x: byte 0: expected a header length of at most 100000000, found 72057594037927938; not a safetensors file"},
        {"\377\377\377\377\377\377\377\377{}", 10,
         "x: byte 0: expected a header length of at most 100000000, found 18446744073709551615; not a safetensors file"},
        {"<!DOCTYPE html><html>", 21, "x: byte 0: expected a header length of at most 100000000, found 5789751444030890300; not a safetensors file"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cs_error err;
        uint8_t *exact = malloc(bad[i].size ? bad[i].size : 1);
        memcpy(exact, bad[i].bytes, bad[i].size);
        assert_int_equal(judge(exact, bad[i].size, &err), CS_E_FORMAT);
        assert_string_equal(err.msg, bad[i].message);
        free(exact);
    }
    const row good = {"{\"__metadata__\":{\"a\":\"b\"}," T("a", "[0,2]") "," T("b", "[2,4]") "}  ", 4, 'a', NULL, 0};
    size_t size;
    uint8_t *p = make_file(&good, &size);
    for (size_t n = 0; n < size; n++) { /* no prefix of a good file is one */
        cs_error err;
        uint8_t *q = malloc(n ? n : 1);
        memcpy(q, p, n);
        assert_int_equal(judge(q, n, &err), CS_E_FORMAT);
        assert_non_null(strstr(err.msg, "byte"));
        free(q);
    }
    free(p);
}

/* Ten million brackets, a million dimensions: refused at their place, without memory for them. */
static void large_headers(void **state)
{
    (void)state;
    enum { N = 10000000 };
    static const char start[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[";
    char *text = malloc(N);
    cs_safetensors st;
    cs_error err;
    uint8_t *p;
    row r = {.header = text, .header_len = N};
    size_t size;
    memset(text, '[', N);
    memcpy(text, "{\"a\":", 5);
    p = make_file(&r, &size);
    assert_int_equal(cs_safetensors_init(&st, p, size, "x", &err), CS_E_FORMAT);
    assert_string_equal(err.msg, "x: byte 76: expected at most 64 levels of arrays and objects, found one more");
    free(p);
    for (size_t i = 0; i < N; i++)
        text[i] = i % 2 ? ',' : '1';
    memcpy(text, start, sizeof start - 1);
    text[sizeof start - 1] = '1', text[sizeof start] = ',';
    memcpy(text + N - 3, "]}}", 3);
    for (size_t i = sizeof start - 1; i < N - 3; i++)
        text[i] = (i - (sizeof start - 1)) % 2 ? ',' : '1';
    if (text[N - 4] == ',')
        text[N - 4] = ' ', text[N - 5] = '1';
    p = make_file(&r, &size);
    assert_int_equal(cs_safetensors_init(&st, p, size, "x", &err), CS_E_FORMAT);
    assert_string_equal(err.msg, "x: byte 52: tensor \"a\": expected at most 8 dimensions, found more");
    free(p);
    free(text);
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

/* One or two changes: a byte, a piece cut out or doubled, a word of the format put in. Returns the new size. */
static size_t mutate(uint8_t *p, size_t size, size_t room, uint64_t *x)
{
    static const char *const words[] = {"{", "}", "[", "]", ",", ":", "\"", "0", "1", "2", "-0", "9223372036854775807", "18446744073709551616", "1e9",
                                        "null", "\"U8\"", "\"F32\"", "\\u0000", "\\ud800", "\xc3\xa9", "\xff", "\"a\"", "\"dtype\"",
                                        "\"__metadata__\"", " "};
    for (uint64_t k = next_random(x) % 2 + 1; k > 0; k--) {
        size_t at = next_random(x) % (size + 1), n = next_random(x) % 12 + 1;
        const char *word = words[next_random(x) % (sizeof words / sizeof *words)];
        size_t len = strlen(word);
        switch (next_random(x) % 4) {
        case 0:
            if (at < size)
                p[at] = (uint8_t)next_random(x);
            break;
        case 1:
            n = n > size - at ? size - at : n;
            memmove(p + at, p + at + n, size - at - n);
            size -= n;
            break;
        case 2:
            n = n > size - at ? size - at : n;
            if (size + n > room)
                break;
            memmove(p + at + n, p + at, size - at);
            size += n;
            break;
        default:
            if (size + len > room)
                break;
            memmove(p + at + len, p + at, size - at);
            memcpy(p + at, word, len);
            size += len;
        }
    }
    return size;
}

static void mutations(void **state)
{
    (void)state;
    enum { ROUNDS = 60000, ROOM = 4096 };
    uint64_t x = 88172645463325252;
    size_t accepted = 0;
    for (int i = 0; i < ROUNDS; i++) {
        size_t size, n, data;
        cs_error err;
        const row *r = &rows[next_random(&x) % N_ROWS];
        while (r->message && i % 4 != 0) /* mostly from good files */
            r = &rows[next_random(&x) % N_ROWS];
        uint8_t *p = make_file(r, &size), *buf = malloc(ROOM);
        if (size > ROOM / 2)
            size = ROOM / 2;
        memcpy(buf, p, size);
        free(p);
        data = (size_t)r->n_data < size ? (size_t)r->n_data : 0;
        n = mutate(buf, size, ROOM - 64, &x);
        if (i % 8 != 0 && n >= 8 + data)
            for (int k = 0; k < 8; k++)
                buf[k] = (uint8_t)((n - 8 - data) >> 8 * k);
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, buf, n);
        accepted += judge(exact, n, &err) == CS_OK;
        free(exact);
        free(buf);
    }
    print_message("%zu of %d mutations accepted\n", accepted, ROUNDS);
    assert_true(accepted > ROUNDS / 100); /* else the comparison would say little */
}

static int dump(const char *dir)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        size_t size;
        char name[64];
        uint8_t *p = make_file(&rows[i], &size);
        snprintf(name, sizeof name, "%03zu-%c.safetensors", i, rows[i].reference);
        FILE *f = fopen(test_path(dir, name), "wb");
        if (!f || fwrite(p, 1, size, f) != size || fclose(f) != 0)
            return 1;
        free(p);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind_of_damage), cmocka_unit_test(lengths), cmocka_unit_test(large_headers),
                                       cmocka_unit_test(mutations)};
    if (argc == 3 && strcmp(argv[1], "--dump") == 0)
        return dump(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
