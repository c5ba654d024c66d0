/* Where the committed test data are: tests run from the root of the repository, CS_TEST_DATA overrides. Include after cmocka.h. */
#ifndef CS_TESTS_DATA_PATH_H
#define CS_TESTS_DATA_PATH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline const char *test_data_dir(void)
{
    const char *dir = getenv("CS_TEST_DATA");
    return dir ? dir : "tests/data";
}
#define TEST_DATA test_data_dir()

/* A fresh folder for one test; borrowed until the next call. */
static inline const char *test_make_dir(void)
{
    static char dir[256];
    const char *base = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/cs_test_XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(dir))
        abort();
    return dir;
}

/* Joins into one of 64 rotating buffers. */
static inline const char *test_path(const char *dir, const char *name)
{
    static char buf[64][512];
    static int at;
    at = (at + 1) % 64;
    snprintf(buf[at], sizeof buf[at], "%s/%s", dir, name);
    return buf[at];
}

#endif
