/* Patterns as tokenizer.json may hold them, the first part of the input, run over the second: an error that says what is not supported, or matches that
 * do not overlap, go forward and end; a pattern that is too dear is an error, never a hang. */
// seeds: tests/fuzz/corpus/regex/*
// options: -max_len=4096
#include "fuzz/fuzz.h"

#include "text/regex.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_part part[2];
    cs_regex *re = NULL;
    cs_regex_work work = {0};
    cs_error err = {0};
    fuzz_split(data, size, part, 2);
    cs_status s = cs_regex_create((const char *)part[0].bytes, part[0].n, &re, &err);
    if (s != CS_OK) {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
        return 0;
    }
    size_t n = cs_utf8_valid_prefix(part[1].bytes, part[1].n), last = 0, begin, end, matches = 0;
    cs_regex_scan scan = {re, &work, (const char *)part[1].bytes, n, 0, SIZE_MAX};
    for (bool found = true; found;) {
        s = cs_regex_next(&scan, &begin, &end, &found, &err);
        FUZZ_CHECK(s == CS_OK || fuzz_refused(s, CS_E_FORMAT, &err));
        if (s != CS_OK || !found)
            break;
        FUZZ_CHECK(begin <= end && end <= n && begin >= last && ++matches <= n + 1);
        last = end;
    }
    cs_regex_work_release(&work);
    cs_regex_destroy(re);
    return 0;
}
