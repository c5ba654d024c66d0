/* The zip reader: PyTorch's layout and a plain one, zip64 beyond 4 GiB, and what must be refused, with the word or offset in the message. */
#include "base/mem.h"
#include "fmt/zip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "zip_build.h"

enum { ROOM = 1 << 16 };

static void begin(zip_build *z, bool plain)
{
    *z = (zip_build){.b = calloc(1, ROOM), .plain = plain};
}

/* Three entries: "a/data.pkl" with 5 bytes, "a/empty", "a/data/0" with 200 bytes. */
static void usual(zip_build *z, bool plain)
{
    uint8_t data[200];
    begin(z, plain);
    for (int i = 0; i < 200; i++)
        data[i] = (uint8_t)(i * 7);
    zip_add(z, "a/data.pkl", "hello", 5);
    zip_add(z, "a/empty", "", 0);
    zip_add(z, "a/data/0", data, 200);
}

/* Copies to the exact size, so that a read behind the end is seen by the sanitizer. */
static cs_status open_copy(const uint8_t *b, size_t n, cs_zip *zip, uint8_t **copy, cs_error *err)
{
    *copy = malloc(n ? n : 1);
    memcpy(*copy, b, n);
    return cs_zip_init(zip, *copy, n, "x.zip", err);
}

static void expect_bad(const uint8_t *b, size_t n, const char *word, const char *label)
{
    cs_zip zip;
    cs_error err = {0};
    uint8_t *copy;
    int64_t held = cs_mem_bytes();
    cs_status s = open_copy(b, n, &zip, &copy, &err);
    if (s != CS_E_FORMAT || !strstr(err.msg, word) || !strstr(err.msg, "x.zip: "))
        fail_msg("%s: status %d, message '%s' lacks '%s'", label, s, err.msg, word);
    assert_int_equal(cs_mem_bytes(), held);
    free(copy);
}

static void check_usual(const cs_zip *zip, const uint8_t *bytes)
{
    cs_error err = {0};
    const cs_zip_entry *e = cs_zip_find(zip, "a/data.pkl", 10);
    assert_int_equal(zip->n, 3);
    assert_non_null(e);
    assert_int_equal(e->bytes, 5);
    assert_memory_equal(e->data, "hello", 5);
    assert_ptr_equal(e->data, bytes + e->offset);
    assert_int_equal(e->offset % 64, 0);
    e = cs_zip_find(zip, "a/data/0", 8);
    assert_non_null(e);
    assert_int_equal(e->bytes, 200);
    assert_non_null(cs_zip_find(zip, "a/empty", 7));
    assert_null(cs_zip_find(zip, "a/data/", 7));
    for (size_t i = 0; i < zip->n; i++)
        assert_int_equal(cs_zip_check_crc(zip, &zip->entry[i], &err), CS_OK);
}

static void test_good(void **state)
{
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        zip_build z;
        cs_zip zip;
        cs_error err = {0};
        uint8_t *copy;
        usual(&z, plain);
        zip_finish(&z);
        if (open_copy(z.b, z.n, &zip, &copy, &err) != CS_OK)
            fail_msg("%s", err.msg);
        check_usual(&zip, copy);
        copy[cs_zip_find(&zip, "a/data/0", 8)->offset + 3] ^= 1;
        assert_int_equal(cs_zip_check_crc(&zip, cs_zip_find(&zip, "a/data/0", 8), &err), CS_E_FORMAT);
        assert_non_null(strstr(err.msg, "\"a/data/0\" has CRC"));
        cs_zip_release(&zip);
        free(copy);
        free(z.b);
    }
}

typedef enum where { LOCAL, CENTRAL, DESCRIPTOR, END64, LOCATOR, END, NAME_CENTRAL, NAME_LOCAL } where;

/* One field of the usual file (PyTorch's layout) set to another value. */
static const struct {
    const char *label;
    where at;
    int entry, offset, width;
    uint64_t value;
    const char *word;
} fields[] = {
    {"no end record", END, 0, 0, 4, 0x06054b51, "no end-of-directory record"},
    {"disk number", END, 0, 4, 2, 1, "several disks"},
    {"directory on another disk", END, 0, 6, 2, 1, "several disks"},
    {"two entry counts", END, 0, 8, 2, 2, "several disks"},
    {"comment length", END, 0, 20, 2, 3, "comment"},
    {"directory size", END, 0, 12, 4, 10, "disagree"},
    {"directory offset", END, 0, 16, 4, 10, "disagree"},
    {"no locator", LOCATOR, 0, 0, 4, 1, "directory should be"},
    {"locator points elsewhere", LOCATOR, 0, 8, 8, 0, "locator does not point"},
    {"locator points behind the end", LOCATOR, 0, 8, 8, UINT64_MAX, "locator does not point"},
    {"locator disk", LOCATOR, 0, 4, 4, 1, "locator does not point"},
    {"two disks", LOCATOR, 0, 16, 4, 2, "locator does not point"},
    {"no zip64 end record", END64, 0, 0, 4, 0, "no zip64 end record"},
    {"zip64 end record longer", END64, 0, 4, 8, 45, "no zip64 end record"},
    {"zip64 disk", END64, 0, 16, 4, 7, "no zip64 end record"},
    {"zip64 counts differ", END64, 0, 24, 8, 2, "two numbers of entries"},
    {"zip64 size lie", END64, 0, 40, 8, 1, "disagree"},
    {"zip64 offset lie", END64, 0, 48, 8, 1, "disagree"},
    {"zip64 offset beyond", END64, 0, 48, 8, UINT64_MAX, "disagree"},
    {"directory signature", CENTRAL, 0, 0, 4, 0, "no directory record"},
    {"encrypted", CENTRAL, 0, 8, 2, 0x809, "encrypted entry"},
    {"strong encryption", CENTRAL, 0, 8, 2, 0x848, "flags 0x0848"},
    {"masked headers", CENTRAL, 1, 8, 2, 0x2808, "flags 0x2808"},
    {"compressed in the directory", CENTRAL, 2, 10, 2, 8, "compressed entry (method 8)"},
    {"compressed in the local header", LOCAL, 2, 8, 2, 8, "flags or method"},
    {"flags differ", LOCAL, 0, 6, 2, 0x800, "flags or method"},
    {"encrypted in the local header", LOCAL, 0, 6, 2, 0x809, "flags or method"},
    {"entry comment", CENTRAL, 0, 32, 2, 1, "comment or on another disk"},
    {"entry on disk 1", CENTRAL, 0, 34, 2, 1, "comment or on another disk"},
    {"name longer than the directory", CENTRAL, 2, 28, 2, 0xffff, "reach behind the directory"},
    {"extra longer than the directory", CENTRAL, 2, 30, 2, 0xffff, "reach behind the directory"},
    {"name shorter", CENTRAL, 2, 28, 2, 7, "not UTF-8, or has"},
    {"name empty", CENTRAL, 2, 28, 2, 0, "entry name that is empty"},
    {"size", CENTRAL, 0, 24, 4, 6, "two sizes"},
    {"stored size", CENTRAL, 0, 20, 4, 6, "two sizes"},
    {"zip64 size without its field", CENTRAL, 0, 24, 4, 0xffffffff, "missing from the zip64"},
    {"zip64 offset without its field", CENTRAL, 0, 42, 4, 0xffffffff, "missing from the zip64"},
    {"offset of the local header", CENTRAL, 1, 42, 4, 3, "overlaps"},
    {"offset behind the directory", CENTRAL, 1, 42, 4, 0xfffffff0, "behind the start of the directory"},
    {"CRC of the directory", CENTRAL, 0, 16, 4, 1, "descriptor is not what"},
    {"local signature", LOCAL, 1, 0, 4, 0x02014b50, "no local header"},
    {"local CRC", LOCAL, 1, 14, 4, 9, "size or CRC of the local header"},
    {"local size", LOCAL, 1, 22, 4, 9, "size or CRC of the local header"},
    {"local stored size", LOCAL, 2, 18, 4, 200, "size or CRC of the local header"},
    {"local name length", LOCAL, 0, 26, 2, 9, "local header's name"},
    {"local name reaches into the directory", LOCAL, 0, 26, 2, 0xffff, "into the directory"},
    {"local extra reaches into the directory", LOCAL, 2, 28, 2, 0xffff, "into the directory"},
    {"local extra shorter", LOCAL, 0, 28, 2, 3, "extra field longer"},
    {"local extra field longer than the extra", LOCAL, 0, 42, 2, 0x7fff, "extra field longer"},
    {"descriptor signature", DESCRIPTOR, 0, 0, 4, 0, "no data descriptor"},
    {"descriptor CRC", DESCRIPTOR, 0, 4, 4, 0, "descriptor is not what"},
    {"descriptor size", DESCRIPTOR, 2, 8, 4, 0, "descriptor is not what"},
    {"descriptor stored size", DESCRIPTOR, 2, 12, 4, 0, "descriptor is not what"},
    {"name differs", NAME_LOCAL, 0, 2, 1, 'D', "local header's name"},
    {"name absolute", NAME_CENTRAL, 0, 0, 1, '/', "entry name that is empty, absolute"},
    {"name with a backslash", NAME_CENTRAL, 0, 1, 1, '\\', "entry name"},
    {"name with a drive", NAME_CENTRAL, 0, 1, 1, ':', "entry name"},
    {"name with NUL", NAME_CENTRAL, 0, 3, 1, 0, "entry name"},
    {"name with newline", NAME_CENTRAL, 0, 3, 1, '\n', "entry name"},
    {"name not UTF-8", NAME_CENTRAL, 0, 3, 1, 0xff, "entry name"},
    {"name with an empty part", NAME_CENTRAL, 0, 2, 1, '/', "entry name"},
    {"name that ends in a slash", NAME_CENTRAL, 0, 9, 1, '/', "entry name"},
};

static void test_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        zip_build z;
        usual(&z, false);
        zip_finish(&z);
        const zip_built *e = &z.e[fields[i].entry];
        const size_t base[] = {e->local, e->central, e->descriptor, z.end64, z.locator, z.end, e->central + 46, e->local + 30};
        cs_le_put(z.b + base[fields[i].at] + fields[i].offset, fields[i].width, fields[i].value);
        expect_bad(z.b, z.n, fields[i].word, fields[i].label);
        free(z.b);
    }
}

/* Names that both headers agree on and that are refused all the same. */
static void test_names(void **state)
{
    (void)state;
    static const char *const names[] = {"../etc/passwd", "a/../../b", "/etc/passwd", "a/..", "..", ".", "a/./b", "a//b", "a/", "\\b", "C:/b", "a\tb",
                                        "a\x7f", "\xc0\xaf", "\xed\xa0\x80", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        zip_build z;
        begin(&z, i % 2);
        zip_add(&z, names[i], "x", 1);
        zip_finish(&z);
        expect_bad(z.b, z.n, "entry name that is", names[i]);
        free(z.b);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    zip_build z;
    usual(&z, false); /* two of one name */
    zip_add(&z, "a/data.pkl", "other", 5);
    zip_finish(&z);
    expect_bad(z.b, z.n, "second entry named \"a/data.pkl\"", "duplicate");
    free(z.b);

    usual(&z, false); /* two directory records for one local header */
    z.e[1] = z.e[0];
    zip_finish(&z);
    expect_bad(z.b, z.n, "overlaps", "same entry twice");
    free(z.b);

    usual(&z, true); /* an entry inside the data of another */
    size_t at = z.n;
    zip_add(&z, "a/inner", "x", 1);
    zip_built inner = z.e[3];
    uint8_t head[256];
    memcpy(head, z.b + at, z.n - at);
    size_t n = z.n - at;
    z.n = at;
    z.n_e = 3;
    zip_add(&z, "a/outer", head, n);
    inner.local = z.e[3].data;
    z.e[z.n_e++] = inner;
    zip_finish(&z);
    expect_bad(z.b, z.n, "overlaps", "quine");
    free(z.b);

    usual(&z, false); /* a hidden entry: not in the directory */
    z.n_e = 2;
    zip_finish(&z);
    expect_bad(z.b, z.n, "a/empty", "hidden at the end");
    free(z.b);

    usual(&z, true);
    z.n_e = 2;
    zip_finish(&z);
    expect_bad(z.b, z.n, "in front of the directory belong to no entry", "hidden at the end, plain");
    free(z.b);

    usual(&z, false); /* a hidden entry in the middle */
    z.e[1] = z.e[2];
    z.n_e = 2;
    zip_finish(&z);
    expect_bad(z.b, z.n, "no data descriptor", "hidden in the middle");
    free(z.b);

    begin(&z, false); /* bytes in front of the first entry */
    z.n = 7;
    zip_add(&z, "a/b", "x", 1);
    zip_finish(&z);
    expect_bad(z.b, z.n, "byte 0: 7 bytes in front of", "leading bytes");
    free(z.b);

    begin(&z, true); /* nothing at all */
    zip_finish(&z);
    cs_zip zip;
    assert_int_equal(cs_zip_init(&zip, z.b, z.n, "x", NULL), CS_OK);
    assert_int_equal(zip.n, 0);
    assert_null(cs_zip_find(&zip, "a", 1));
    cs_zip_release(&zip);
    free(z.b);
}

static void test_ends(void **state)
{
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        zip_build z;
        usual(&z, plain);
        zip_finish(&z);
        z.b[z.n] = 0;
        expect_bad(z.b, z.n + 1, "no end-of-directory record", "trailing byte");
        memcpy(z.b + z.n, z.b + z.end, 22); /* the end record twice */
        expect_bad(z.b, z.n + 22, "directory should be", "two end records");
        memmove(z.b + z.n, z.b, z.n); /* the whole file twice */
        expect_bad(z.b, 2 * z.n, plain ? "directory should be" : "locator does not point", "two files");
        expect_bad(z.b, 0, "0 bytes", "empty");
        for (size_t n = 0; n < z.n; n++)
            expect_bad(z.b, n, n < 22 ? "at least 22" : "byte ", "cut");
        cs_le_put(z.b + z.end + 10, 2, 0xffff);
        cs_le_put(z.b + z.end + 8, 2, 0xffff);
        if (plain)
            expect_bad(z.b, z.n, "asks for a zip64 record", "count of ones");
        free(z.b);
    }
    zip_build z;
    usual(&z, true);
    zip_finish(&z);
    cs_le_put(z.b + z.end + 10, 2, 60000); /* far more than the directory can hold */
    cs_le_put(z.b + z.end + 8, 2, 60000);
    expect_bad(z.b, z.n, "60000 entries", "count");
    cs_le_put(z.b + z.end + 10, 2, 2);
    cs_le_put(z.b + z.end + 8, 2, 2);
    expect_bad(z.b, z.n, "behind the last directory record", "fewer");
    free(z.b);
}

/* Every single bit flipped: refused, or the same entries with the same data (time stamps and versions mean nothing). */
static void test_flips(void **state)
{
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        zip_build z;
        int accepted = 0;
        usual(&z, plain);
        zip_finish(&z);
        for (size_t bit = 0; bit < 8 * z.n; bit++) {
            cs_zip zip;
            cs_error err = {0};
            uint8_t *copy = malloc(z.n);
            memcpy(copy, z.b, z.n);
            copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (cs_zip_init(&zip, copy, z.n, "x.zip", &err) == CS_OK) {
                accepted++;
                assert_int_equal(zip.n, 3);
                for (int i = 0; i < 3; i++) {
                    const cs_zip_entry *e = cs_zip_find(&zip, z.e[i].name, z.e[i].name_len);
                    assert_true(e && e->offset == z.e[i].data && e->bytes == z.e[i].bytes);
                    bool changed = memcmp(e->data, z.b + z.e[i].data, e->bytes) != 0;
                    assert_int_equal(cs_zip_check_crc(&zip, e, &err), changed ? CS_E_FORMAT : CS_OK);
                }
                cs_zip_release(&zip);
            } else {
                assert_non_null(strstr(err.msg, "byte"));
            }
            free(copy);
        }
        assert_true(accepted > 0);
        free(z.b);
    }
}

/* An entry of more than 4 GiB and one behind it, in address space that is never touched. */
static void test_zip64(void **state)
{
    (void)state;
    size_t big = ((size_t)1 << 32) + 64, room = big + ROOM;
    uint8_t *b = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b == MAP_FAILED)
        skip();
    zip_build z = {.b = b};
    zip_add(&z, "a/data.pkl", "hello", 5);
    zip_add(&z, "a/data/0", NULL, big);
    zip_add(&z, "a/data/1", "0123456789", 10);
    zip_finish(&z);
    cs_zip zip;
    cs_error err = {0};
    if (cs_zip_init(&zip, b, z.n, "big.zip", &err) != CS_OK)
        fail_msg("%s", err.msg);
    const cs_zip_entry *e = cs_zip_find(&zip, "a/data/0", 8), *last = cs_zip_find(&zip, "a/data/1", 8);
    assert_true(e && e->bytes == big && last && last->bytes == 10 && last->offset > big && last->offset % 64 == 0);
    assert_memory_equal(last->data, "0123456789", 10);
    assert_int_equal(cs_zip_check_crc(&zip, last, &err), CS_OK);
    cs_zip_release(&zip);
    static const struct {
        int entry, local;
        size_t offset;
        const char *word;
    } lies[] = {{1, 1, 30 + 8 + 4, "zip64 size of the local header"}, {1, 1, 30 + 8 + 12, "zip64 size of the local header"},
                {2, 1, 30 + 8 + 4, "zip64 offset of the local header"}, {1, 0, 46 + 8 + 4, "two sizes"}, {2, 0, 46 + 8 + 4, "descriptor is not what"},
                {1, 0, 46 + 8 + 2, "extra field longer"}, {1, 1, 30 + 8 + 2, "byte"}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        uint8_t *p = b + (lies[i].local ? z.e[lies[i].entry].local : z.e[lies[i].entry].central) + lies[i].offset;
        *p ^= 8;
        cs_status s = cs_zip_init(&zip, b, z.n, "big.zip", &err);
        if (s != CS_E_FORMAT || !strstr(err.msg, lies[i].word))
            fail_msg("lie %zu: status %d, message '%s' lacks '%s'", i, s, err.msg, lies[i].word);
        *p ^= 8;
    }
    munmap(b, room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good), cmocka_unit_test(test_fields), cmocka_unit_test(test_names), cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_ends), cmocka_unit_test(test_flips), cmocka_unit_test(test_zip64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
