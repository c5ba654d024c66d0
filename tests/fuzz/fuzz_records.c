/* The reader of text, JSON and tables, plain, gzip or zstd: the first byte of the input is the kind, the rest the file. Every record lies in what
 * the file unpacks to, in order (a row is a JSON object instead); line numbers never fall; an error names the file, and reading goes on behind it
 * to the end, as --skip-bad does. The unpacked bytes are read beforehand with the stream alone,
 * which must give the same bytes in reads of any size. */
// seeds: tests/data/preprocess/*.zst
// options: -max_len=4096
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "base/str.h"
#include "data/records.h"
#include "data/stream.h"
#include "fmt/json.h"

#include <string.h>

enum { MAX_UNPACKED = 8 << 20, MAX_RECORDS = 200000 };

/* What the file unpacks to, MAX_UNPACKED bytes at most; false when it is damaged (what came before is in *out) or longer. */
static bool unpack(const char *path, size_t step, cs_str *out)
{
    cs_stream *s = NULL;
    cs_error err = {0};
    cs_status status = cs_stream_create(path, &s, &err);
    if (status != CS_OK) {
        FUZZ_CHECK(fuzz_refused(status, CS_E_FORMAT, &err));
        return false;
    }
    char *buf = cs_malloc(step);
    size_t got = 1;
    FUZZ_CHECK(buf);
    while (status == CS_OK && got > 0 && out->len < MAX_UNPACKED) {
        status = cs_stream_read(s, buf, step, &got, &err);
        FUZZ_CHECK(got <= step && (status == CS_OK || fuzz_refused(status, CS_E_FORMAT, &err)));
        cs_str_append(out, buf, got);
    }
    FUZZ_CHECK(!out->failed);
    cs_free(buf);
    cs_stream_destroy(s);
    return status == CS_OK && got == 0;
}

static void check_object(const char *text, size_t len)
{
    json_t *v = NULL;
    FUZZ_CHECK(cs_json_parse(text, len, "row", &v, NULL) == CS_OK && json_is_object(v));
    json_decref(v);
}

static void read_records(const char *path, cs_record_kind kind, const cs_str *plain, bool whole)
{
    cs_records *r = NULL;
    cs_error err = {0};
    cs_status status = cs_records_create(path, kind, &r, &err);
    if (status != CS_OK) {
        FUZZ_CHECK(fuzz_refused(status, CS_E_FORMAT, &err));
        return;
    }
    const char *text = NULL;
    size_t len = 0, from = 0;
    int64_t line = 0, before = 1, n = 0;
    bool table = cs_records_kind(r) == CS_RECORD_CSV || cs_records_kind(r) == CS_RECORD_TSV;
    for (status = CS_OK; n++ < MAX_RECORDS;) {
        status = cs_records_next(r, &text, &len, &line, &err);
        FUZZ_CHECK(status == CS_OK || fuzz_refused(status, CS_E_FORMAT, &err));
        FUZZ_CHECK(!cs_records_lost(r) || !text);
        if (status != CS_OK)
            continue;
        if (!text)
            break;
        FUZZ_CHECK(line >= before);
        before = line;
        if (table)
            check_object(text, len);
        if (!whole || table)
            continue;
        const char *all = cs_str_cstr(plain), *at = len == 0 ? all + from : memmem(all + from, plain->len - from, text, len);
        FUZZ_CHECK(len <= plain->len - from && at);
        from = (size_t)(at - all) + len;
    }
    cs_records_destroy(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    cs_str plain = {0}, again = {0};
    const char *path = fuzz_file("records", data + 1, size - 1);
    bool whole = unpack(path, 1 << 16, &plain);
    if (plain.len < MAX_UNPACKED) {
        fuzz_input_bytes(plain.len);
        FUZZ_CHECK(unpack(path, 1 + data[0], &again) == whole && (again.len == plain.len || !whole)); /* how much comes before damage may differ */
        FUZZ_CHECK(memcmp(cs_str_cstr(&again), cs_str_cstr(&plain), again.len < plain.len ? again.len : plain.len) == 0);
        read_records(path, (cs_record_kind)(data[0] % (CS_RECORD_TSV + 1)), &plain, whole);
    }
    cs_str_release(&plain);
    cs_str_release(&again);
    return 0;
}
