/* What fuzz targets share. tests/fuzz/harness.c stands between libFuzzer and every target and checks, for each input:
 *   memory  the bytes held at any moment, ours and the libraries', stay within 16 x input + 64 MiB
 *   leaks   what cs_malloc gave out is back (libFuzzer's own leak check covers the libraries)
 * A target states its property with FUZZ_CHECK; a breach ends the run and libFuzzer keeps the input. */
#ifndef CS_TESTS_FUZZ_H
#define CS_TESTS_FUZZ_H

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond)                                                                       \
    do {                                                                                       \
        if (!(cond)) {                                                                         \
            fprintf(stderr, "%s:%d: property broken: %s\n", __FILE__, __LINE__, #cond);        \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

/* The input stands for `bytes` bytes (what a compressed file unpacks to): the memory limit of this input is counted from the larger one. */
void fuzz_input_bytes(size_t bytes);

/* For a target whose objects live as long as the program and keep working memory between inputs: turns the first leak check off. */
void fuzz_keeps_memory(void);

/* True for an error that bad bytes may give: one of the two statuses, with a message. */
static inline bool fuzz_refused(cs_status status, cs_status wanted, const cs_error *err)
{
    return status == wanted && err->status == wanted && err->msg[0] != '\0';
}

/* Names that files have inside a target: written anew for every input into one folder, which is removed when the program ends. */
const char *fuzz_dir(void);
/* DIR/name with that content; returns the path, borrowed until the 16th next call. */
const char *fuzz_file(const char *name, const void *bytes, size_t n);

/* Cuts the input into parts at each 0xff 0xfe 0xff; part i of [0, n) that is not there is empty. */
typedef struct fuzz_part {
    const uint8_t *bytes;
    size_t n;
} fuzz_part;
void fuzz_split(const uint8_t *data, size_t size, fuzz_part *part, size_t n);

#endif
