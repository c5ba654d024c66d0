/* What tests of tokenizers share: opening one, ids, text and byte ranges against expected ones. Include after cmocka.h. */
#ifndef CS_TESTS_TOK_CHECK_H
#define CS_TESTS_TOK_CHECK_H

#include "base/io.h"
#include "base/mem.h"
#include "data_path.h"
#include "text/tok.h"

#include <string.h>

static inline cs_tokenizer *open_tok(const char *path)
{
    cs_tokenizer *t = NULL;
    cs_error err = {0};
    if (cs_tokenizer_create(path, &t, &err) != CS_OK)
        fail_msg("%s", err.msg);
    return t;
}

static inline void check_ids(const cs_tokenizer *t, const char *text, size_t len, int flags, const int32_t *want, size_t n)
{
    cs_ids ids = {0};
    cs_error err = {0};
    assert_int_equal(cs_tokenizer_encode(t, text, len, flags, &ids, &err), CS_OK);
    if (ids.len != n || (n > 0 && memcmp(ids.data, want, n * sizeof *want) != 0)) {
        for (size_t i = 0; i < ids.len || i < n; i++)
            print_message("%zu: got %d, want %d\n", i, i < ids.len ? ids.data[i] : -1, i < n ? want[i] : -1);
        fail_msg("ids of \"%.60s\" differ", text);
    }
    cs_ids_release(&ids);
}

/* The text of ids is want[0..len) (NULL = any), whole and id by id; only whole code points come out when the whole is well-formed. */
static inline void check_bytes(const cs_tokenizer *t, const int32_t *ids, size_t n, bool keep, const char *want, size_t len)
{
    cs_str whole = {0}, parts = {0};
    cs_detok d = {0};
    cs_error err = {0};
    assert_int_equal(cs_tokenizer_decode(t, ids, n, keep, &whole, &err), CS_OK);
    if (want && (whole.len != len || memcmp(cs_str_cstr(&whole), want, len) != 0))
        fail_msg("text is \"%s\", want \"%.*s\"", cs_str_cstr(&whole), (int)len, want);
    for (size_t i = 0; i < n && !keep; i++)
        assert_int_equal(cs_detok_push(&d, t, ids[i], &parts, &err), CS_OK);
    cs_detok_finish(&d, &parts);
    if (!keep) {
        assert_int_equal(parts.len, whole.len);
        assert_string_equal(cs_str_cstr(&parts), cs_str_cstr(&whole));
    }
    cs_str_release(&whole);
    cs_str_release(&parts);
}

static inline void check_text(const cs_tokenizer *t, const int32_t *ids, size_t n, bool keep, const char *want)
{
    check_bytes(t, ids, n, keep, want, want ? strlen(want) : 0);
}

/* A file under CS_SHARED_DATA; the test is skipped without it. */
static inline const char *shared_file(const char *name)
{
    const char *root = getenv("CS_SHARED_DATA");
    if (!root) {
        print_message("CS_SHARED_DATA is not set\n");
        skip();
    }
    return test_path(root, name);
}

static inline cs_str read_text(const char *path)
{
    uint8_t *data;
    cs_str s = {0};
    size_t n;
    cs_error err = {0};
    assert_int_equal(cs_io_read_all(path, 1 << 26, &data, &n, &err), CS_OK);
    cs_str_append(&s, data, n);
    cs_free(data);
    return s;
}

static inline void write_text(const char *dir, const char *name, const char *data, size_t n)
{
    cs_error err = {0};
    assert_int_equal(cs_io_write_atomic(test_path(dir, name), data, n, &err), CS_OK);
}

/* The vocab.json and merges.txt of a folder, without the tokenizer.json and the configuration that may lie beside them. */
static inline cs_tokenizer *open_pair(const char *folder)
{
    static const char *const names[] = {"vocab.json", "merges.txt"};
    char dir[256], path[512];
    cs_error err = {0};
    snprintf(dir, sizeof dir, "%s", test_make_dir());
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        cs_str text = read_text(path);
        write_text(dir, names[i], text.data, text.len);
        cs_str_release(&text);
    }
    cs_tokenizer *t = open_tok(dir);
    assert_int_equal(cs_tokenizer_n_files(t), 2);
    assert_int_equal(cs_io_remove_tree(dir, &err), CS_OK);
    return t;
}

#endif
