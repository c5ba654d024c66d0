/* See parquet_put.h. */
#include "fmt/parquet_put.h"

#include "base/dtype.h"
#include "fmt/bytes.h"
#include "fmt/limits.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes at the start of p[0..n) that stand in a JSON string as they are and are ASCII. */
static size_t plain_prefix(const uint8_t *p, size_t n)
{
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t v, quote, slash;
        memcpy(&v, p + i, 8);
        quote = v ^ ones * '"';
        slash = v ^ ones * '\\';
        /* A byte has its top bit after `x + 0x7f..` unless it is 0, after `x + 0x60..` unless it is below 0x20: no carries, as top bits are cleared
         * first. */
        uint64_t ok = ((quote & ~tops) + ~tops) & ((slash & ~tops) + ~tops) & ((v & ~tops) + ones * 0x60);
        if ((ok & tops) != tops || (v & tops) != 0)
            break;
    }
    while (i < n && p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}

static void put_escape(cs_str *out, uint8_t c)
{
    static const char letters[] = "btn?fr";
    if (c == '"' || c == '\\')
        cs_str_append(out, (char[]){'\\', (char)c}, 2);
    else if (c >= 8 && c <= 13 && c != 11)
        cs_str_append(out, (char[]){'\\', letters[c - 8]}, 2);
    else
        cs_str_printf(out, "\\u%04x", c);
}

bool cs_parquet_put_text(cs_str *out, const void *text, size_t n)
{
    const uint8_t *p = text, *end = p + n, *from = p;
    cs_str_putc(out, '"');
    while (p < end) {
        if (*p >= 0x80) {
            utf8proc_int32_t cp;
            utf8proc_ssize_t len = utf8proc_iterate(p, end - p, &cp);
            if (len <= 0)
                return false;
            p += len;
            continue;
        }
        p += plain_prefix(p, (size_t)(end - p));
        if (p == end || *p >= 0x80)
            continue;
        cs_str_append(out, from, (size_t)(p - from));
        put_escape(out, *p++);
        from = p;
    }
    cs_str_append(out, from, (size_t)(p - from));
    cs_str_putc(out, '"');
    return true;
}

/* The fewest digits that read back as the same value, always with a point or an exponent. */
static void put_real(cs_str *out, double v, bool single)
{
    char text[40];
    if (!isfinite(v)) {
        cs_str_puts(out, "null");
        return;
    }
    bool tiny = fabs(v) < (single ? (double)FLT_MIN : DBL_MIN); /* has fewer digits than others */
    for (int digits = tiny ? 1 : single ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
            break;
    }
    cs_str_puts(out, text);
    if (!strpbrk(text, ".e"))
        cs_str_puts(out, ".0");
}

static void put_hex(cs_str *out, cs_view v, bool uuid)
{
    static const char digits[] = "0123456789abcdef";
    cs_str_putc(out, '"');
    for (size_t i = 0; i < v.n; i++) {
        if (uuid && (i == 4 || i == 6 || i == 8 || i == 10))
            cs_str_putc(out, '-');
        cs_str_append(out, (char[]){digits[v.p[i] >> 4], digits[v.p[i] & 15]}, 2);
    }
    cs_str_putc(out, '"');
}

/* Two's complement with the high byte first, divided by 10 again and again. */
static const char *put_decimal(cs_str *out, const cs_parquet_leaf *leaf, cs_view v)
{
    uint8_t big[CS_LIMIT_PARQUET_DECIMAL];
    char digits[3 * CS_LIMIT_PARQUET_DECIMAL + 4];
    int n = 0;
    if (v.n < 1 || v.n > sizeof big)
        return "a decimal of 0 or more than 64 bytes";
    bool little = leaf->type == CS_PARQUET_INT32 || leaf->type == CS_PARQUET_INT64, negative;
    for (size_t i = 0; i < v.n; i++)
        big[i] = v.p[little ? v.n - 1 - i : i];
    negative = big[0] & 0x80;
    bool carry = true;
    for (size_t i = v.n; negative && i > 0; i--) {
        big[i - 1] = (uint8_t)((~big[i - 1] & 0xff) + (carry ? 1 : 0));
        carry = carry && big[i - 1] == 0;
    }
    for (bool zero = false; !zero || n <= leaf->scale;) {
        unsigned rest = 0;
        zero = true;
        for (size_t i = 0; i < v.n; i++) {
            unsigned part = rest * 256 + big[i];
            big[i] = (uint8_t)(part / 10);
            rest = part % 10;
            zero &= big[i] == 0;
        }
        digits[n++] = (char)('0' + rest);
    }
    cs_str_puts(out, negative ? "\"-" : "\"");
    while (n-- > 0) {
        cs_str_putc(out, digits[n]);
        if (n == leaf->scale && n > 0)
            cs_str_putc(out, '.');
    }
    cs_str_putc(out, '"');
    return NULL;
}

/* Nanoseconds of the day and the Julian day number; 2440588 is 1 January 1970. */
static const char *put_int96(cs_str *out, cs_view v)
{
    int64_t day = (int64_t)cs_le_get(v.p + 8, 4) - 2440588, in_day, ns;
    uint64_t of_day = cs_le_get(v.p, 8);
    if (of_day > INT64_MAX || __builtin_mul_overflow(day, INT64_C(86400000000000), &in_day) || __builtin_add_overflow(in_day, (int64_t)of_day, &ns))
        return "a time beyond 64 bits of nanoseconds";
    cs_str_printf(out, "%lld", (long long)ns);
    return NULL;
}

static void put_uint(cs_str *out, uint64_t v, bool negative)
{
    char text[24];
    int n = sizeof text;
    do {
        text[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    if (negative)
        text[--n] = '-';
    cs_str_append(out, text + n, sizeof text - (size_t)n);
}

static void put_int(cs_str *out, cs_view v)
{
    uint64_t bits = cs_le_get(v.p, (int)v.n);
    bool negative = bits >> (8 * v.n - 1) & 1;
    uint64_t extended = negative && v.n < 8 ? bits | UINT64_MAX << 8 * v.n : bits;
    put_uint(out, negative ? ~extended + 1 : bits, negative);
}

static double real_of(cs_parquet_form form, cs_view v)
{
    uint64_t bits = cs_le_get(v.p, (int)v.n);
    double d;
    float f;
    uint32_t low = (uint32_t)bits;
    if (form == CS_FORM_HALF)
        return (double)cs_f16_to_f32((uint16_t)bits);
    memcpy(&d, &bits, sizeof d);
    memcpy(&f, &low, sizeof f);
    return form == CS_FORM_FLOAT ? (double)f : d;
}

const char *cs_parquet_put(cs_str *out, const cs_parquet_leaf *leaf, cs_view v)
{
    switch (leaf->form) {
    case CS_FORM_BOOL: cs_str_puts(out, v.p[0] ? "true" : "false"); return NULL;
    case CS_FORM_INT: put_int(out, v); return NULL;
    case CS_FORM_UINT: put_uint(out, cs_le_get(v.p, (int)v.n), false); return NULL;
    case CS_FORM_INT96: return put_int96(out, v);
    case CS_FORM_HALF:
    case CS_FORM_FLOAT:
    case CS_FORM_DOUBLE: put_real(out, real_of(leaf->form, v), leaf->form != CS_FORM_DOUBLE); return NULL;
    case CS_FORM_TEXT: return cs_parquet_put_text(out, v.p, v.n) ? NULL : "text that is no UTF-8";
    case CS_FORM_DECIMAL: return put_decimal(out, leaf, v);
    default: put_hex(out, v, leaf->form == CS_FORM_UUID); return NULL;
    }
}
