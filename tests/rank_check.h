/* Checks inside a rank that a test has forked or that is one of an MPI job. */
#ifndef CS_TESTS_RANK_CHECK_H
#define CS_TESTS_RANK_CHECK_H

#include <stdio.h>
#include <unistd.h>

/* In a rank there is no cmocka: a failed check ends the rank with a line and code 99. */
#define CHECK(cond)                                                                \
    do {                                                                           \
        if (!(cond)) {                                                             \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #cond); \
            _exit(99);                                                             \
        }                                                                          \
    } while (0)

#endif
