/* Errors that come from the outside world, as values.
 * A fallible function returns cs_status and fills a caller-owned cs_error once; callers forward it with CS_TRY
 * and may put context in front. A cs_error never owns memory. Our own bugs are CS_ASSERT (exit 70). */
#ifndef CS_BASE_ERROR_H
#define CS_BASE_ERROR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value is the exit code of the program (0 done). */
typedef enum cs_status {
    CS_OK = 0,
    CS_E_USAGE = 2,     /* wrong flags or an illegal combination of them */
    CS_E_FORMAT = 3,    /* bad input file */
    CS_E_IO = 4,        /* missing, unreadable, not a regular file, full disk */
    CS_E_NOMEM = 5,     /* out of memory */
    CS_E_NUMERIC = 6,   /* numerical stop */
    CS_E_PEER = 7,      /* another rank was lost or hangs */
    CS_E_CKPT = 8,      /* checkpoint unusable: a manifest is there and does not match */
    CS_E_INTERNAL = 70, /* our bug */
} cs_status;

/* msg may hold several lines (usage errors are reported all at once); each line is one complete message. */
typedef struct cs_error {
    cs_status status;
    char msg[4000];
} cs_error;

#define CS_TRY(expr)                       \
    do {                                   \
        cs_status cs_try_status_ = (expr); \
        if (cs_try_status_ != CS_OK)       \
            return cs_try_status_;         \
    } while (0)

#define CS_ASSERT(cond)                                      \
    do {                                                     \
        if (!(cond))                                         \
            cs_assert_failed(#cond, __FILE__, __LINE__);     \
    } while (0)

#if defined(__GNUC__)
#define CS_PRINTF(fmt_arg, first) __attribute__((format(printf, fmt_arg, first)))
#else
#define CS_PRINTF(fmt_arg, first)
#endif

/* Marks a function whose unsigned arithmetic wraps on purpose, where fuzz builds check that none does (Makefile). */
#if defined(__clang__)
#define CS_WRAPS __attribute__((no_sanitize("unsigned-integer-overflow")))
#else
#define CS_WRAPS
#endif

/* Fills *err (may be NULL) and returns `status`, so that it can stand in a return statement. Control characters in the text become '?',
 * so that a file name cannot add a line to the message. */
cs_status cs_fail(cs_error *err, cs_status status, const char *fmt, ...) CS_PRINTF(3, 4);

/* Adds one more complete line to *err; the first status stays. For usage errors found in one pass. */
cs_status cs_fail_also(cs_error *err, cs_status status, const char *fmt, ...) CS_PRINTF(3, 4);

/* Puts "text: " in front of the message and returns err->status. */
cs_status cs_error_prefix(cs_error *err, const char *fmt, ...) CS_PRINTF(2, 3);

/* "USAGE", "FORMAT", "IO", ... for the error line. Borrowed constant. */
const char *cs_status_name(cs_status status);

/* Writes `cspeed: error[CODE]: message` to stderr, one line per line of err->msg. */
void cs_error_print(const cs_error *err);

/* Last words of a process that cannot go on: the line is printed unless another process that shares *said (the ranks of a run on one host) had some
 * already. Not shared: always. */
void cs_error_share_last_words(_Atomic uint32_t *said);
void cs_error_last_words(const cs_error *err);

/* Sets what CS_ASSERT prints in front of its line, for example "[tp 0 pp 1 dp 0]". Kept by copy. */
void cs_assert_context(const char *text);

/* Prints the failed condition and ends the process with exit code 70. */
_Noreturn void cs_assert_failed(const char *cond, const char *file, int line);

#endif
