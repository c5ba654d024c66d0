/* Error values, the error line on stderr and assertion failures. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char assert_context[64];
static _Atomic uint32_t *last_words_said; /* NULL = this process is alone */

static void append_line(cs_error *err, const char *fmt, va_list args)
{
    size_t used = strlen(err->msg);
    if (used > 0 && used + 1 < sizeof err->msg)
        err->msg[used++] = '\n';
    if (used < sizeof err->msg)
        vsnprintf(err->msg + used, sizeof err->msg - used, fmt, args);
    for (char *p = err->msg + used; *p; p++) /* names and quoted input may hold anything; usage errors are passed on with several lines */
        if (((unsigned char)*p < 0x20 || *p == 0x7f) && !(*p == '\n' && err->status == CS_E_USAGE))
            *p = '?';
}

cs_status cs_fail(cs_error *err, cs_status status, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->status = status;
        err->msg[0] = '\0';
        append_line(err, fmt, args);
        va_end(args);
    }
    return status;
}

cs_status cs_fail_also(cs_error *err, cs_status status, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        if (err->status == CS_OK) {
            err->status = status;
            err->msg[0] = '\0';
        }
        append_line(err, fmt, args);
        va_end(args);
        return err->status;
    }
    return status;
}

cs_status cs_error_prefix(cs_error *err, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text - 2, fmt, args);
    va_end(args);
    strcat(text, ": ");
    size_t n = strlen(text);
    memmove(err->msg + n, err->msg, sizeof err->msg - 1 - n);
    memcpy(err->msg, text, n);
    err->msg[sizeof err->msg - 1] = '\0';
    return err->status;
}

const char *cs_status_name(cs_status status)
{
    switch (status) {
    case CS_OK: return "OK";
    case CS_E_USAGE: return "USAGE";
    case CS_E_FORMAT: return "FORMAT";
    case CS_E_IO: return "IO";
    case CS_E_NOMEM: return "NOMEM";
    case CS_E_NUMERIC: return "NUMERIC";
    case CS_E_PEER: return "PEER";
    case CS_E_CKPT: return "CHECKPOINT";
    case CS_E_INTERNAL: return "INTERNAL";
    }
    return "INTERNAL";
}

void cs_error_print(const cs_error *err)
{
    const char *line = err->msg;
    while (line) {
        const char *end = strchr(line, '\n');
        int n = end ? (int)(end - line) : (int)strlen(line);
        fprintf(stderr, "cspeed: error[%s]: %.*s\n", cs_status_name(err->status), n, line);
        line = end ? end + 1 : NULL;
    }
    fflush(stderr);
}

void cs_error_share_last_words(_Atomic uint32_t *said)
{
    last_words_said = said;
}

void cs_error_last_words(const cs_error *err)
{
    if (!last_words_said || !atomic_exchange(last_words_said, 1))
        cs_error_print(err);
}

void cs_assert_context(const char *text)
{
    snprintf(assert_context, sizeof assert_context, "%s ", text);
}

_Noreturn void cs_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "cspeed: error[INTERNAL]: %sassertion failed at %s:%d: %s; please report this\n",
            assert_context, file, line, cond);
    fflush(stderr);
    _exit(CS_E_INTERNAL);
}
