/* GGUF: every kind of value, tensors of several types, and damaged files with the exact message. Files are built in memory. */
#include "base/mem.h"
#include "base/str.h"
#include "fmt/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>


static void put(cs_str *s, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        cs_str_putc(s, (char)(v >> 8 * i));
}

static void put_text(cs_str *s, const char *text)
{
    put(s, strlen(text), 8);
    cs_str_puts(s, text);
}

static void put_head(cs_str *s, uint64_t n_tensors, uint64_t n_kv)
{
    cs_str_puts(s, "GGUF");
    put(s, 3, 4);
    put(s, n_tensors, 8);
    put(s, n_kv, 8);
}

static void put_key(cs_str *s, const char *key, cs_gguf_kind kind)
{
    put_text(s, key);
    put(s, kind, 4);
}

static void put_tensor(cs_str *s, const char *name, uint32_t type, int ndim, const uint64_t *dim, uint64_t offset)
{
    put_text(s, name);
    put(s, (uint64_t)ndim, 4);
    for (int i = 0; i < ndim; i++)
        put(s, dim[i], 8);
    put(s, type, 4);
    put(s, offset, 8);
}

static void pad_to(cs_str *s, size_t align, size_t more)
{
    while (s->len % align != 0)
        cs_str_putc(s, 0);
    while (more-- > 0)
        cs_str_putc(s, (char)more);
}

/* Parses a copy of exactly the file's size, so that a sanitizer sees a read behind it. */
static cs_status parse(const cs_str *s, cs_gguf *g, uint8_t **copy, cs_error *err)
{
    *copy = cs_malloc(s->len + !s->len);
    assert_non_null(*copy);
    memcpy(*copy, cs_str_cstr(s), s->len);
    return cs_gguf_init(g, *copy, s->len, "f", err);
}

static void all_values(cs_str *s)
{
    put_head(s, 0, 15);
    put_key(s, "u8", CS_GGUF_U8), put(s, 200, 1);
    put_key(s, "i8", CS_GGUF_I8), put(s, 0x9c, 1);
    put_key(s, "u16", CS_GGUF_U16), put(s, 60000, 2);
    put_key(s, "i16", CS_GGUF_I16), put(s, 0x8ad0, 2);
    put_key(s, "u32", CS_GGUF_U32), put(s, 4000000000u, 4);
    put_key(s, "i32", CS_GGUF_I32), put(s, (uint32_t)-5, 4);
    put_key(s, "f32", CS_GGUF_F32), put(s, 0x3fc00000, 4);
    put_key(s, "bool", CS_GGUF_BOOL), put(s, 1, 1);
    put_key(s, "str", CS_GGUF_STRING), put_text(s, "text");
    put_key(s, "u64", CS_GGUF_U64), put(s, UINT64_MAX, 8);
    put_key(s, "i64", CS_GGUF_I64), put(s, (uint64_t)-7, 8);
    put_key(s, "f64", CS_GGUF_F64), put(s, 0xc004000000000000u, 8);
    put_key(s, "words", CS_GGUF_ARRAY), put(s, CS_GGUF_STRING, 4), put(s, 2, 8), put_text(s, "a"), put_text(s, "");
    put_key(s, "nested", CS_GGUF_ARRAY), put(s, CS_GGUF_ARRAY, 4), put(s, 2, 8);
    put(s, CS_GGUF_U16, 4), put(s, 2, 8), put(s, 5, 2), put(s, 6, 2);
    put(s, CS_GGUF_STRING, 4), put(s, 1, 8), put_text(s, "deep");
    put_key(s, "empty", CS_GGUF_ARRAY), put(s, CS_GGUF_F64, 4), put(s, 0, 8);
}

static int64_t int_of(const cs_gguf *g, const char *key)
{
    int64_t v = 0;
    cs_error err = {0};
    assert_int_equal(cs_gguf_get_int(g, key, &v, &err), CS_OK);
    return v;
}

static void values(void **state)
{
    (void)state;
    cs_str s = {0};
    cs_gguf g;
    uint8_t *copy;
    cs_error err = {0};
    all_values(&s);
    assert_int_equal(parse(&s, &g, &copy, &err), CS_OK);
    assert_int_equal(int_of(&g, "u8"), 200);
    assert_int_equal(int_of(&g, "i8"), -100);
    assert_int_equal(int_of(&g, "u16"), 60000);
    assert_int_equal(int_of(&g, "i16"), -30000);
    assert_int_equal(int_of(&g, "u32"), 4000000000);
    assert_int_equal(int_of(&g, "i32"), -5);
    assert_int_equal(int_of(&g, "i64"), -7);
    int64_t left = 11;
    assert_int_equal(cs_gguf_get_int(&g, "missing", &left, &err), CS_OK);
    assert_int_equal(left, 11);
    assert_int_equal(cs_gguf_get_int(&g, "u64", &left, &err), CS_E_FORMAT); /* beyond int64 */
    assert_int_equal(cs_gguf_get_int(&g, "f32", &left, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "f32: expected an integer below 2^63, found f32"));
    double x = 0;
    assert_int_equal(cs_gguf_get_real(&g, "f32", &x, &err), CS_OK);
    assert_true(x == 1.5);
    assert_int_equal(cs_gguf_get_real(&g, "f64", &x, &err), CS_OK);
    assert_true(x == -2.5);
    bool yes = false;
    assert_int_equal(cs_gguf_get_bool(&g, "bool", &yes, &err), CS_OK);
    assert_true(yes);
    assert_int_equal(cs_gguf_get_bool(&g, "u8", &yes, &err), CS_E_FORMAT);
    const char *text = NULL;
    size_t len = 0;
    assert_int_equal(cs_gguf_get_str(&g, "str", &text, &len, &err), CS_OK);
    assert_int_equal(len, 4);
    assert_memory_equal(text, "text", 4);
    const cs_gguf_value *a;
    assert_int_equal(cs_gguf_get_array(&g, "words", CS_GGUF_F32, &a, &err), CS_E_FORMAT);
    assert_non_null(strstr(err.msg, "words: expected an array of f32, found array of string"));
    assert_int_equal(cs_gguf_get_array(&g, "words", CS_GGUF_STRING, &a, &err), CS_OK);
    cs_gguf_cursor i = {0}, j = {0};
    cs_gguf_value item;
    assert_true(cs_gguf_next(a, &i, &item) && item.bytes == 1 && item.at[0] == 'a');
    assert_true(cs_gguf_next(a, &i, &item) && item.bytes == 0);
    assert_false(cs_gguf_next(a, &i, &item));
    assert_int_equal(cs_gguf_get_array(&g, "nested", CS_GGUF_ARRAY, &a, &err), CS_OK);
    i = (cs_gguf_cursor){0};
    assert_true(cs_gguf_next(a, &i, &item) && item.item == CS_GGUF_U16 && item.n == 2 && item.bytes == 4);
    assert_true(cs_gguf_next(a, &i, &item) && item.item == CS_GGUF_STRING && item.n == 1);
    cs_gguf_value inner;
    assert_true(cs_gguf_next(&item, &j, &inner) && inner.bytes == 4 && memcmp(inner.at, "deep", 4) == 0);
    assert_false(cs_gguf_next(a, &i, &item));
    assert_null(cs_gguf_find(&g, "st"));
    assert_null(cs_gguf_find(&g, "strx"));
    cs_gguf_release(&g);
    cs_free(copy);
    cs_str_release(&s);
}

static void tensors(void **state)
{
    (void)state;
    cs_str s = {0};
    cs_gguf g;
    uint8_t *copy;
    cs_error err = {0};
    put_head(&s, 4, 1);
    put_key(&s, "general.alignment", CS_GGUF_U32), put(&s, 64, 4);
    put_tensor(&s, "b", 8, 2, (uint64_t[]){64, 3}, 64); /* Q8_0: 6 blocks of 34 */
    put_tensor(&s, "a", 0, 1, (uint64_t[]){16}, 0);
    put_tensor(&s, "scalar", 30, 0, NULL, 320);
    put_tensor(&s, "c", 2, 4, (uint64_t[]){32, 1, 1, 1}, 384);
    pad_to(&s, 64, 384 + 18);
    assert_int_equal(parse(&s, &g, &copy, &err), CS_OK);
    assert_int_equal(g.alignment, 64);
    assert_int_equal(g.data_start % 64, 0);
    const cs_gguf_tensor *t = cs_gguf_find_tensor(&g, "b");
    assert_non_null(t);
    assert_int_equal(t->bytes, 204);
    assert_int_equal(t->n, 192);
    assert_int_equal(t->offset, g.data_start + 64);
    assert_ptr_equal(t->data, copy + t->offset);
    assert_string_equal(cs_gguf_type_name(t->type), "Q8_0");
    assert_int_equal(cs_gguf_find_tensor(&g, "scalar")->bytes, 2);
    assert_int_equal(cs_gguf_find_tensor(&g, "c")->bytes, 18);
    assert_null(cs_gguf_find_tensor(&g, "d"));
    cs_gguf_release(&g);
    cs_free(copy);
    cs_str_release(&s);
}

/* ---- damaged files: `make` builds one, `message` is what the reader must say ---- */

typedef struct bad {
    const char *what;
    void (*make)(cs_str *s);
    const char *message;
} bad;

#define K "general.name"
static void no_magic(cs_str *s) { cs_str_puts(s, "GGML"); put(s, 3, 4); put(s, 0, 8); put(s, 0, 8); }
static void nothing(cs_str *s) { (void)s; }
static void only_magic(cs_str *s) { cs_str_puts(s, "GGUF\3"); }
static void version_1(cs_str *s) { cs_str_puts(s, "GGUF"); put(s, 1, 4); put(s, 0, 8); }
static void big_endian(cs_str *s) { cs_str_puts(s, "GGUF"); put(s, 3u << 24, 4); put(s, 0, 8); }
static void no_counts(cs_str *s) { cs_str_puts(s, "GGUF"); put(s, 3, 4); put(s, 0, 4); }
static void many_tensors(cs_str *s) { put_head(s, UINT64_MAX, 0); }
static void many_kvs(cs_str *s) { put_head(s, 0, (uint64_t)1 << 60); pad_to(s, 1, 100); }
static void key_too_long(cs_str *s) { put_head(s, 0, 1); put(s, UINT64_MAX - 7, 8); pad_to(s, 1, 20); }
static void key_empty(cs_str *s) { put_head(s, 0, 1); put_key(s, "", CS_GGUF_U32); put(s, 1, 4); }
static void key_control(cs_str *s) { put_head(s, 0, 1); put_key(s, "a\nb", CS_GGUF_U32); put(s, 1, 4); }
static void key_utf8(cs_str *s) { put_head(s, 0, 1); put_key(s, "ab\xff", CS_GGUF_U32); put(s, 1, 4); }
static void key_cut(cs_str *s) { put_head(s, 0, 1); put_text(s, "general.architecture"); }
static void key_twice(cs_str *s) { put_head(s, 0, 2); put_key(s, K, CS_GGUF_U8); put(s, 1, 1); put_key(s, K, CS_GGUF_U8); put(s, 1, 1); }
static void kind_unknown(cs_str *s) { put_head(s, 0, 1); put_key(s, K, 13); put(s, 1, 8); }
static void bool_two(cs_str *s) { put_head(s, 0, 1); put_key(s, K, CS_GGUF_BOOL); put(s, 2, 1); }
static void bool_in_list(cs_str *s)
{
    put_head(s, 0, 1), put_key(s, K, CS_GGUF_ARRAY), put(s, CS_GGUF_BOOL, 4), put(s, 3, 8), put(s, 0x30001, 3);
}
static void value_cut(cs_str *s) { put_head(s, 0, 1); put_key(s, K, CS_GGUF_U64); put(s, 1, 7); }
static void string_long(cs_str *s) { put_head(s, 0, 1); put_key(s, K, CS_GGUF_STRING); put(s, (uint64_t)1 << 63, 8); put(s, 0, 8); }
static void item_unknown(cs_str *s) { put_head(s, 0, 1); put_key(s, K, CS_GGUF_ARRAY); put(s, 99, 4); put(s, 0, 8); }
static void array_huge(cs_str *s) { put_head(s, 0, 1); put_key(s, K, CS_GGUF_ARRAY); put(s, CS_GGUF_U64, 4); put(s, (uint64_t)1 << 61, 8); }
static void array_strings(cs_str *s)
{
    put_head(s, 0, 1), put_key(s, K, CS_GGUF_ARRAY), put(s, CS_GGUF_STRING, 4), put(s, 2, 8), put_text(s, "a"), put(s, 5, 8);
}
static void array_deep(cs_str *s)
{
    put_head(s, 0, 1), put_key(s, K, CS_GGUF_ARRAY);
    for (int i = 0; i < 5; i++)
        put(s, CS_GGUF_ARRAY, 4), put(s, 1, 8);
    put(s, CS_GGUF_U8, 4), put(s, 0, 8);
}
static void align_text(cs_str *s) { put_head(s, 0, 1); put_key(s, "general.alignment", CS_GGUF_STRING); put_text(s, "32"); }
static void align_zero(cs_str *s) { put_head(s, 0, 1); put_key(s, "general.alignment", CS_GGUF_U32); put(s, 0, 4); }
static void align_24(cs_str *s) { put_head(s, 0, 1); put_key(s, "general.alignment", CS_GGUF_U32); put(s, 24, 4); }

static void one(cs_str *s, const char *name, uint32_t type, int ndim, const uint64_t *dim, uint64_t offset)
{
    put_head(s, 1, 0);
    put_tensor(s, name, type, ndim, dim, offset);
    pad_to(s, 32, 64);
}
static void name_empty(cs_str *s) { one(s, "", 0, 1, (uint64_t[]){16}, 0); }
static void name_long(cs_str *s) { one(s, "0123456789012345678901234567890123456789012345678901234567890123456789", 0, 1, (uint64_t[]){16}, 0); }
static void dims_5(cs_str *s) { one(s, "t", 0, 5, (uint64_t[]){1, 1, 1, 1, 1}, 0); }
static void dim_zero(cs_str *s) { one(s, "t", 0, 2, (uint64_t[]){16, 0}, 0); }
static void dim_negative(cs_str *s) { one(s, "t", 0, 1, (uint64_t[]){(uint64_t)1 << 63}, 0); }
static void elements_overflow(cs_str *s) { one(s, "t", 0, 3, (uint64_t[]){(uint64_t)1 << 31, (uint64_t)1 << 31, 4}, 0); }
static void bytes_overflow(cs_str *s) { one(s, "t", 0, 2, (uint64_t[]){(uint64_t)1 << 31, (uint64_t)1 << 31}, 0); }
static void type_unknown(cs_str *s) { one(s, "t", 4, 1, (uint64_t[]){32}, 0); }
static void block_rows(cs_str *s) { one(s, "t", 8, 2, (uint64_t[]){16, 2}, 0); }
static void not_aligned(cs_str *s) { one(s, "t", 0, 1, (uint64_t[]){1}, 16); }
static void beyond_file(cs_str *s) { one(s, "t", 0, 1, (uint64_t[]){17}, 0); }
static void offset_wraps(cs_str *s) { one(s, "t", 0, 1, (uint64_t[]){16}, UINT64_MAX - 31); }
static void tensor_cut(cs_str *s) { put_head(s, 1, 0); put_text(s, "a.rather.long.name"); }
static void overlap(cs_str *s)
{
    put_head(s, 2, 0), put_tensor(s, "a", 0, 1, (uint64_t[]){16}, 0), put_tensor(s, "b", 0, 1, (uint64_t[]){8}, 32), pad_to(s, 32, 96);
}
static void name_twice(cs_str *s)
{
    put_head(s, 2, 0), put_tensor(s, "a", 0, 1, (uint64_t[]){8}, 0), put_tensor(s, "a", 0, 1, (uint64_t[]){8}, 32), pad_to(s, 32, 96);
}
static void name_and_place_twice(cs_str *s)
{
    put_head(s, 2, 0), put_tensor(s, "a", 0, 1, (uint64_t[]){8}, 0), put_tensor(s, "a", 0, 1, (uint64_t[]){8}, 0), pad_to(s, 32, 96);
}

static const bad damaged[] = {
    {"empty file", nothing, "f: offset 0: not a GGUF file: it does not begin with \"GGUF\""},
    {"other magic", no_magic, "f: offset 0: not a GGUF file: it does not begin with \"GGUF\""},
    {"version cut", only_magic, "f: offset 4: version cut off: 1 bytes left, need 4"},
    {"version 1", version_1, "f: offset 4: GGUF version 1, expected 2 or 3"},
    {"big endian", big_endian, "f: offset 4: GGUF version 3 in big-endian order, expected 2 or 3"},
    {"counts cut", no_counts, "f: offset 8: number of tensors cut off: 4 bytes left, need 8"},
    {"2^64-1 tensors", many_tensors, "f: offset 8: 18446744073709551615 tensors do not fit into 0 bytes"},
    {"2^60 key-values", many_kvs, "f: offset 16: 1152921504606846976 key-values do not fit into 100 bytes"},
    {"key length wraps", key_too_long, "f: offset 24: key claims 18446744073709551608 bytes, 20 are left"},
    {"empty key", key_empty, "f: offset 24: key of 0 bytes, expected 1..65535"},
    {"control character", key_control, "f: offset 33: key is not UTF-8 text without control characters: byte 0x0a"},
    {"key not UTF-8", key_utf8, "f: offset 34: key is not UTF-8 text without control characters: byte 0xff"},
    {"no type", key_cut, "f: offset 52: value type cut off: 0 bytes left, need 4"},
    {"key twice", key_twice, "f: offset 49: key \"general.name\" occurs twice, first at offset 24"},
    {"unknown kind", kind_unknown, "f: offset 44: value type 13, expected 0..12"},
    {"bool 2", bool_two, "f: offset 48: bool is 2, expected 0 or 1"},
    {"bool 3 in a list", bool_in_list, "f: offset 62: bool is 3, expected 0 or 1"},
    {"value cut", value_cut, "f: offset 48: value cut off: 7 bytes left, need 8"},
    {"string 2^63", string_long, "f: offset 48: string claims 9223372036854775808 bytes, 8 are left"},
    {"unknown element", item_unknown, "f: offset 48: element type 99, expected 0..12"},
    {"array 2^61", array_huge, "f: offset 52: array claims 2305843009213693952 elements of type u64, 0 bytes are left"},
    {"string in array", array_strings, "f: offset 69: string claims 5 bytes, 0 are left"},
    {"deep array", array_deep, "f: offset 96: arrays nested deeper than 4"},
    {"alignment text", align_text, "f: offset 24: general.alignment must be a u32 power of two, found string 0"},
    {"alignment 0", align_zero, "f: offset 24: general.alignment must be a u32 power of two, found u32 0"},
    {"alignment 24", align_24, "f: offset 24: general.alignment must be a u32 power of two, found u32 24"},
    {"empty name", name_empty, "f: offset 24: tensor name of 0 bytes, expected 1..64"},
    {"long name", name_long, "f: offset 24: tensor name of 70 bytes, expected 1..64"},
    {"tensor cut", tensor_cut, "f: offset 50: number of dimensions cut off: 0 bytes left, need 4"},
    {"5 dimensions", dims_5, "f: offset 33: tensor \"t\" has 5 dimensions, at most 4 are allowed"},
    {"dimension 0", dim_zero, "f: offset 45: dimension 1 of tensor \"t\" is 0, expected 1..2^63-1"},
    {"dimension 2^63", dim_negative, "f: offset 37: dimension 0 of tensor \"t\" is 9223372036854775808, expected 1..2^63-1"},
    {"elements overflow", elements_overflow, "f: offset 33: number of elements of tensor \"t\" overflows"},
    {"bytes overflow", bytes_overflow, "f: offset 33: size of tensor \"t\" overflows"},
    {"unknown type", type_unknown, "f: offset 45: tensor \"t\" has the unknown ggml type 4"},
    {"half a block", block_rows, "f: offset 33: rows of tensor \"t\" have 16 elements, type Q8_0 needs a multiple of 32"},
    {"not aligned", not_aligned, "f: offset 24: data of tensor \"t\" at 16 is not aligned to 32"},
    {"beyond the file", beyond_file, "f: offset 24: data of tensor \"t\" (68 bytes, F32) does not end within the file of 128 bytes"},
    {"offset wraps", offset_wraps, "f: offset 24: data of tensor \"t\" (64 bytes, F32) does not end within the file of 128 bytes"},
    {"overlap", overlap, "f: offset 57: data of tensor \"b\" overlaps that of \"a\""},
    {"name twice", name_twice, "f: offset 57: tensor \"a\" occurs twice, first at offset 24"},
    {"same tensor twice", name_and_place_twice, "f: offset 57: data of tensor \"a\" overlaps that of \"a\""},
};

static void damaged_files(void **state)
{
    (void)state;
    int64_t before = cs_mem_bytes();
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        cs_str s = {0};
        cs_gguf g;
        uint8_t *copy;
        cs_error err = {0};
        damaged[i].make(&s);
        cs_status status = parse(&s, &g, &copy, &err);
        if (status != CS_E_FORMAT || strcmp(err.msg, damaged[i].message) != 0)
            fail_msg("%s: status %d, \"%s\", expected \"%s\"", damaged[i].what, (int)status, err.msg, damaged[i].message);
        cs_free(copy);
        cs_str_release(&s);
    }
    assert_int_equal(cs_mem_bytes(), before);
}

/* Every beginning of a good file without tensor data is refused, and nothing is held. */
static void every_truncation(void **state)
{
    (void)state;
    cs_str s = {0};
    int64_t before = cs_mem_bytes();
    all_values(&s);
    for (size_t n = 0; n < s.len; n++) {
        cs_str part = {.data = s.data, .len = n};
        cs_gguf g;
        uint8_t *copy;
        cs_error err = {0};
        if (parse(&part, &g, &copy, &err) != CS_E_FORMAT)
            fail_msg("the first %zu of %zu bytes were accepted", n, s.len);
        cs_free(copy);
    }
    cs_str_release(&s);
    assert_int_equal(cs_mem_bytes(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values), cmocka_unit_test(tensors), cmocka_unit_test(damaged_files),
                                       cmocka_unit_test(every_truncation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
