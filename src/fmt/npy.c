/* .npy reading and writing. The header is a Python dict literal; the three keys may come in any order, as numpy allows. */
#include "fmt/npy.h"

#include "base/io.h"
#include "base/mem.h"
#include "fmt/limits.h"

#include <stdio.h>

static const struct {
    const char *descr;
    cs_dtype dtype;
} kinds[] = {{"<i4", CS_I32}, {"<i8", CS_I64}, {"<u4", CS_U32}, {"<f4", CS_F32}, {"<f8", CS_F64}};

/* A cursor over the header text; `ok` falls once and stays so. */
typedef struct cursor {
    const char *p, *end;
    bool ok;
} cursor;

static void skip_space(cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t'))
        c->p++;
}

static bool accept(cursor *c, const char *text)
{
    size_t n = strlen(text);
    if (!c->ok) /* stay where it went wrong */
        return false;
    skip_space(c);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n) != 0)
        return false;
    c->p += n;
    return true;
}

static void expect(cursor *c, const char *text)
{
    if (c->ok && !accept(c, text))
        c->ok = false;
}

static bool accept_quoted(cursor *c, const char *text)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s'", text);
    if (accept(c, quoted))
        return true;
    snprintf(quoted, sizeof quoted, "\"%s\"", text);
    return accept(c, quoted);
}

static int64_t number(cursor *c)
{
    int64_t v = 0;
    if (!c->ok)
        return 0;
    skip_space(c);
    const char *from = c->p;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *c->p - '0', &v))
            c->ok = false;
    if (c->p == from || !c->ok) {
        c->p = from;
        c->ok = false;
    }
    return v;
}

static void parse_shape(cursor *c, cs_npy *a)
{
    a->shape[1] = 1;
    expect(c, "(");
    a->shape[0] = number(c);
    a->ndim = 1;
    expect(c, ",");
    if (!accept(c, ")")) {
        a->shape[1] = number(c);
        a->ndim = 2;
        accept(c, ",");
        expect(c, ")");
    }
}

/* seen: bit 0 descr, 1 fortran_order, 2 shape. */
static void parse_entry(cursor *c, cs_npy *a, int *seen)
{
    int bit = 8;
    skip_space(c);
    const char *from = c->p;
    if (accept_quoted(c, "descr")) {
        size_t k = 0, n = sizeof kinds / sizeof kinds[0];
        expect(c, ":");
        while (k < n && !accept_quoted(c, kinds[k].descr))
            k++;
        if (k == n)
            c->ok = false;
        else
            a->dtype = kinds[k].dtype;
        bit = 1;
    } else if (accept_quoted(c, "fortran_order")) {
        expect(c, ":");
        expect(c, "False");
        bit = 2;
    } else if (accept_quoted(c, "shape")) {
        expect(c, ":");
        parse_shape(c, a);
        bit = 4;
    }
    if (c->ok && (bit == 8 || (*seen & bit))) {
        c->p = from;
        c->ok = false;
    }
    *seen |= bit;
}

static cs_status fail_header(const cursor *c, int seen, size_t at, const char *name, cs_error *err)
{
    const char *missing = !(seen & 1) ? "descr" : !(seen & 2) ? "fortran_order" : "shape";
    int n = 0;
    while (n < 24 && c->p + n < c->end && c->p[n] >= ' ' && c->p[n] < 0x7f)
        n++;
    if (c->ok && c->p == c->end)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: expected '%s' in the array header, found its end", name, at, missing);
    return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: expected an array header of 'descr' <i4, <i8, <u4, <f4 or <f8, 'fortran_order' False and a "
                   "'shape' of one or two dimensions, found %s%.*s%s", name, at, n ? "\"" : "the end", n, c->p, n ? "\"" : "");
}

cs_status cs_npy_parse(cs_npy *a, const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    *a = (cs_npy){0};
    if (size < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: expected the NUMPY magic, found another start; not a .npy file", name);
    if ((bytes[6] != 1 && bytes[6] != 2) || bytes[7] != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 6: expected version 1.0 or 2.0, found %d.%d", name, bytes[6], bytes[7]);
    size_t head = bytes[6] == 1 ? 10 : 12, len = bytes[8] | (size_t)bytes[9] << 8;
    if (head == 12 && size >= 12)
        len |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (len > CS_LIMIT_NPY_HEADER)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 8: expected a header of at most %d bytes, found %zu", name, CS_LIMIT_NPY_HEADER, len);
    if (size < head || len > size - head)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 8: header of %zu bytes, but the file has only %zu; is it cut off?", name, len, size);
    cursor c = {(const char *)bytes + head, (const char *)bytes + head + len, true};
    int seen = 0;
    expect(&c, "{");
    while (c.ok && !accept(&c, "}")) {
        parse_entry(&c, a, &seen);
        if (c.ok && !accept(&c, ",")) {
            expect(&c, "}");
            break;
        }
    }
    if (c.ok)
        skip_space(&c);
    if (!c.ok || seen != 7 || c.p != c.end)
        return fail_header(&c, seen, (size_t)((const uint8_t *)c.p - bytes), name, err);
    size_t count, need;
    if (!cs_mul_checked((size_t)a->shape[0], (size_t)a->shape[1], &count) || !cs_mul_checked(count, cs_dtype_size(a->dtype), &need))
        return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: the size of shape (%lld, %lld) of %s overflows", name, head, (long long)a->shape[0],
                       (long long)a->shape[1], cs_dtype_name(a->dtype));
    if (need != size - head - len)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: expected %zu bytes of data for shape (%lld, %lld) of %s, found %zu", name, head + len, need,
                       (long long)a->shape[0], (long long)a->shape[1], cs_dtype_name(a->dtype), size - head - len);
    a->data = bytes + head + len;
    return CS_OK;
}

size_t cs_npy_header(char *head, cs_dtype dtype, int ndim, const int64_t shape[2])
{
    const char *descr = NULL;
    char text[CS_NPY_HEAD_MAX];
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        if (kinds[k].dtype == dtype)
            descr = kinds[k].descr;
    CS_ASSERT(descr && (ndim == 1 || ndim == 2));
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%lld,", descr, (long long)shape[0]);
    n += ndim == 1 ? 0 : snprintf(text + n, sizeof text - (size_t)n, " %lld", (long long)shape[1]);
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    /* numpy leaves room for the first dimension to grow to 21 digits, then fills up to 64 bytes with blanks and one newline */
    int digits = snprintf(NULL, 0, "%lld", (long long)shape[0]);
    size_t total = (10 + (size_t)n + (size_t)(21 - digits) + 1 + 63) / 64 * 64;
    memcpy(head, "\x93NUMPY\x01\x00", 8);
    head[8] = (char)((total - 10) & 255);
    head[9] = (char)((total - 10) >> 8);
    memcpy(head + 10, text, (size_t)n);
    memset(head + 10 + n, ' ', total - 11 - (size_t)n);
    head[total - 1] = '\n';
    return total;
}

cs_status cs_npy_write(const char *path, cs_dtype dtype, int ndim, const int64_t shape[2], const void *data, cs_error *err)
{
    char head[CS_NPY_HEAD_MAX];
    size_t head_bytes = cs_npy_header(head, dtype, ndim, shape), bytes;
    CS_ASSERT(cs_mul_checked((size_t)shape[0], (size_t)(ndim == 2 ? shape[1] : 1), &bytes) && cs_mul_checked(bytes, cs_dtype_size(dtype), &bytes));
    cs_writer w;
    CS_TRY(cs_writer_init_atomic(&w, path, err));
    cs_status s = cs_writer_write(&w, head, head_bytes, err);
    if (s == CS_OK)
        s = cs_writer_write(&w, data, bytes, err);
    if (s == CS_OK)
        return cs_writer_commit(&w, err);
    cs_writer_abort(&w);
    return s;
}
