/* The pickle is built as the tree is put; then all sizes are known, every offset follows from them, and the file is written once from start to
 * end. The layout of every record, padding included, is PyTorch's. */
#include "fmt/torch_write.h"

#include "base/mem.h"
#include "fmt/bytes.h"
#include "fmt/zip.h"

#include <stdio.h>
#include <string.h>

/* What an open container waits for. */
enum { WANT_ITEM, WANT_KEY, WANT_VALUE };
enum { NAME_REBUILD, NAME_ORDERED, NAME_STORAGE, NAME_COUNT = NAME_STORAGE + CS_DTYPE_COUNT };

_Static_assert(NAME_COUNT <= 24, "every name has a place in the memo");

static const struct {
    cs_dtype dtype;
    const char *name;
} storage_types[] = {{CS_F64, "Double"}, {CS_F32, "Float"}, {CS_F16, "Half"}, {CS_BF16, "BFloat16"}, {CS_I64, "Long"},
                     {CS_I32, "Int"}, {CS_I16, "Short"}, {CS_I8, "Char"}, {CS_U8, "Byte"}, {CS_BOOL, "Bool"}};

void cs_torch_out_release(cs_torch_out *o)
{
    cs_str_release(&o->pickle);
    cs_free(o->tensor);
    *o = (cs_torch_out){0};
}

static void put_op(cs_torch_out *o, int op, int n, uint64_t operand)
{
    uint8_t b[9] = {(uint8_t)op};
    cs_le_put(b + 1, n, operand);
    cs_str_append(&o->pickle, b, 1 + (size_t)n);
}

/* Checks that a value, or key, may come now, and opens the stream at the first one. */
static void begin(cs_torch_out *o, bool can_be_key)
{
    CS_ASSERT(!o->done);
    if (o->pickle.len == 0 && !o->pickle.failed)
        put_op(o, 0x80, 1, 2);
    if (o->depth == 0)
        return;
    uint8_t *want = &o->level[o->depth - 1];
    CS_ASSERT(*want != WANT_KEY || can_be_key);
    if (*want != WANT_ITEM)
        *want = *want == WANT_KEY ? WANT_VALUE : WANT_KEY;
}

/* Behind a value: at the top it is the last one. */
static void end(cs_torch_out *o)
{
    if (o->depth > 0)
        return;
    put_op(o, '.', 0, 0);
    o->done = true;
}

static void open_container(cs_torch_out *o, int op, int want)
{
    begin(o, false);
    CS_ASSERT(o->depth < CS_TORCH_OUT_DEPTH);
    put_op(o, op, 0, 0);
    put_op(o, '(', 0, 0);
    o->level[o->depth++] = (uint8_t)want;
}

void cs_torch_put_dict(cs_torch_out *o)
{
    open_container(o, '}', WANT_KEY);
}

void cs_torch_put_list(cs_torch_out *o)
{
    open_container(o, ']', WANT_ITEM);
}

void cs_torch_put_end(cs_torch_out *o)
{
    CS_ASSERT(o->depth > 0 && o->level[o->depth - 1] != WANT_VALUE);
    put_op(o, o->level[--o->depth] == WANT_KEY ? 'u' : 'e', 0, 0);
    end(o);
}

static void text(cs_torch_out *o, const char *s)
{
    size_t n = strlen(s);
    o->bad_text |= !cs_utf8_valid(s, n);
    o->too_large |= n > INT32_MAX;
    put_op(o, 'X', 4, n);
    cs_str_append(&o->pickle, s, n);
}

/* The shortest form that Python's pickler uses. */
static void integer(cs_torch_out *o, int64_t v)
{
    if (v >= 0 && v < 256)
        put_op(o, 'K', 1, (uint64_t)v);
    else if (v >= 0 && v < 65536)
        put_op(o, 'M', 2, (uint64_t)v);
    else if (v >= INT32_MIN && v <= INT32_MAX)
        put_op(o, 'J', 4, (uint64_t)v);
    else {
        int n = 5; /* the sign bit included */
        while (n < 8 && (v < -((int64_t)1 << (8 * n - 1)) || v >= (int64_t)1 << (8 * n - 1)))
            n++;
        put_op(o, 0x8a, 1, (uint64_t)n);
        uint8_t b[8];
        cs_le_put(b, n, (uint64_t)v);
        cs_str_append(&o->pickle, b, (size_t)n);
    }
}

void cs_torch_put_text(cs_torch_out *o, const char *s)
{
    begin(o, true);
    text(o, s);
    end(o);
}

void cs_torch_put_int(cs_torch_out *o, int64_t value)
{
    begin(o, true);
    integer(o, value);
    end(o);
}

void cs_torch_put_real(cs_torch_out *o, double value)
{
    uint64_t bits;
    begin(o, false);
    memcpy(&bits, &value, 8);
    put_op(o, 'G', 8, __builtin_bswap64(bits));
    end(o);
}

void cs_torch_put_bool(cs_torch_out *o, bool value)
{
    begin(o, false);
    put_op(o, value ? 0x88 : 0x89, 0, 0);
    end(o);
}

void cs_torch_put_none(cs_torch_out *o)
{
    begin(o, false);
    put_op(o, 'N', 0, 0);
    end(o);
}

/* A name, from the memo when it was used before. */
static void global(cs_torch_out *o, int which, const char *module, const char *name)
{
    uint32_t *memo = &o->memo[which];
    if (*memo > 0) {
        put_op(o, 'h', 1, *memo - 1);
        return;
    }
    cs_str_printf(&o->pickle, "c%s\n%s\n", module, name);
    put_op(o, 'q', 1, o->n_memo);
    *memo = ++o->n_memo;
}

static void tuple(cs_torch_out *o, int n, const int64_t *v)
{
    if (n == 0) {
        put_op(o, ')', 0, 0);
        return;
    }
    if (n > 3)
        put_op(o, '(', 0, 0);
    for (int i = 0; i < n; i++)
        integer(o, v[i]);
    put_op(o, n > 3 ? 't' : 0x84 + n, 0, 0);
}

static void storage_type(cs_torch_out *o, cs_dtype dtype)
{
    char name[32];
    const char *kind = NULL;
    for (size_t i = 0; i < sizeof storage_types / sizeof *storage_types; i++)
        if (storage_types[i].dtype == dtype)
            kind = storage_types[i].name;
    CS_ASSERT(kind);
    snprintf(name, sizeof name, "%sStorage", kind);
    global(o, NAME_STORAGE + (int)dtype, "torch", name);
}

/* _rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict()) */
static void rebuild(cs_torch_out *o, size_t index)
{
    const cs_torch_out_tensor *t = &o->tensor[index];
    int64_t stride[CS_TORCH_OUT_DIMS], step = 1;
    char key[24];
    for (int i = t->ndim - 1; i >= 0; i--) {
        stride[i] = step;
        step *= t->shape[i] > 0 ? t->shape[i] : 1;
    }
    snprintf(key, sizeof key, "%zu", index);
    global(o, NAME_REBUILD, "torch._utils", "_rebuild_tensor_v2");
    cs_str_puts(&o->pickle, "((");
    text(o, "storage");
    storage_type(o, t->dtype);
    text(o, key);
    text(o, "cpu");
    integer(o, (int64_t)(t->bytes / cs_dtype_size(t->dtype)));
    cs_str_puts(&o->pickle, "tQ");
    integer(o, 0);
    tuple(o, t->ndim, t->shape);
    tuple(o, t->ndim, stride);
    put_op(o, 0x89, 0, 0);
    global(o, NAME_ORDERED, "collections", "OrderedDict");
    cs_str_puts(&o->pickle, ")RtR");
}

size_t cs_torch_put_tensor(cs_torch_out *o, cs_dtype dtype, int ndim, const int64_t *shape, cs_torch_fill fill, void *ctx, int64_t tag)
{
    cs_torch_out_tensor t = {.dtype = dtype, .ndim = ndim, .bytes = cs_dtype_size(dtype), .fill = fill, .ctx = ctx, .tag = tag};
    size_t extent = t.bytes; /* with zeros counted as ones, so that strides fit too */
    CS_ASSERT(ndim >= 0 && ndim <= CS_TORCH_OUT_DIMS && fill);
    begin(o, false);
    for (int i = 0; i < ndim; i++) {
        CS_ASSERT(shape[i] >= 0);
        t.shape[i] = shape[i];
        if (!cs_mul_checked(extent, shape[i] > 0 ? (size_t)shape[i] : 1, &extent) || extent > (size_t)1 << 62)
            o->too_large = true;
        t.bytes *= (size_t)shape[i];
    }
    if (o->n == o->cap && !o->failed) {
        size_t cap = o->cap ? 2 * o->cap : 64;
        cs_torch_out_tensor *more = cs_realloc_array(o->tensor, cap, sizeof *more);
        o->failed = !more;
        o->tensor = more ? more : o->tensor;
        o->cap = more ? cap : o->cap;
    }
    if (!o->failed && !o->too_large) {
        o->tensor[o->n] = t;
        rebuild(o, o->n);
        o->n++;
    }
    end(o);
    return o->n - 1;
}

void cs_torch_put_same(cs_torch_out *o, size_t tensor)
{
    begin(o, false);
    if (!o->failed && !o->too_large) {
        CS_ASSERT(tensor < o->n);
        rebuild(o, tensor);
    }
    end(o);
}

/* ---- the container ---- */

static const char prefix[] = "archive/";
enum { FIXED = 5, LOCAL_MAX = 30 + 64 + 24 + 4 + 64 + 4, CENTRAL_MAX = 46 + 64 + 32, END_BYTES = 56 + 20 + 22 };
static const uint64_t ones = 0xffffffff;

/* One entry: data.pkl, three marks, the storages, the version; in PyTorch's order. */
typedef struct entry {
    char name[40];
    const char *text; /* NULL for a storage */
    size_t bytes, storage;
} entry;

static size_t n_entries(const cs_torch_out *o)
{
    return o->n + FIXED;
}

static entry entry_at(const cs_torch_out *o, size_t i)
{
    static const struct {
        const char *name, *text;
    } fixed[FIXED] = {{"data.pkl", NULL}, {".format_version", "1"}, {".storage_alignment", "64"}, {"byteorder", "little"}, {"version", "3\n"}};
    entry e = {.text = NULL};
    if (i >= 4 && i < 4 + o->n) {
        e.storage = i - 4;
        e.bytes = o->tensor[e.storage].bytes;
        snprintf(e.name, sizeof e.name, "%sdata/%zu", prefix, e.storage);
        return e;
    }
    i = i < 4 ? i : 4;
    snprintf(e.name, sizeof e.name, "%s%s", prefix, fixed[i].name);
    e.text = i == 0 ? cs_str_cstr(&o->pickle) : fixed[i].text;
    e.bytes = i == 0 ? o->pickle.len : strlen(e.text);
    return e;
}

/* Numbers of 8 bytes in the local zip64 field: size twice, then the header's own offset. */
static int n_local64(size_t at, size_t bytes)
{
    return (bytes >= ones ? 2 : 0) + (at >= ones ? 1 : 0);
}

static size_t padding(size_t at, const entry *e)
{
    int n64 = n_local64(at, e->bytes);
    size_t start = at + 30 + strlen(e->name) + (n64 > 0 ? 4 + 8 * (size_t)n64 : 0) + 4;
    return (64 - start % 64) % 64;
}

static size_t data_at(size_t at, const entry *e)
{
    int n64 = n_local64(at, e->bytes);
    return at + 30 + strlen(e->name) + (n64 > 0 ? 4 + 8 * (size_t)n64 : 0) + 4 + padding(at, e);
}

static size_t entry_end(size_t at, const entry *e)
{
    return data_at(at, e) + e->bytes + (n_local64(at, e->bytes) > 0 ? 24 : 16);
}

/* Zip64 extra field with the numbers that do not fit into 32 bits; its length, 0 when all fit. */
static size_t put_extra64(uint8_t *b, size_t at, size_t bytes)
{
    int n = n_local64(at, bytes);
    size_t len = 4;
    if (n == 0)
        return 0;
    cs_le_put(b, 2, 1);
    cs_le_put(b + 2, 2, 8 * (uint64_t)n);
    for (int i = 0; i < 2 && bytes >= ones; i++, len += 8)
        cs_le_put(b + len, 8, bytes);
    if (at >= ones) {
        cs_le_put(b + len, 8, at);
        len += 8;
    }
    return len;
}

static cs_status write_local(cs_writer *w, size_t at, const entry *e, cs_error *err)
{
    uint8_t b[LOCAL_MAX] = {0};
    size_t name = strlen(e->name), pad = padding(at, e), n = 30;
    cs_le_put(b, 4, 0x04034b50);
    cs_le_put(b + 6, 2, 0x808); /* UTF-8 name; sizes and CRC behind the data */
    cs_le_put(b + 26, 2, name);
    memcpy(b + n, e->name, name);
    n += name;
    n += put_extra64(b + n, at, e->bytes);
    memcpy(b + n, "FB", 2);
    cs_le_put(b + n + 2, 2, pad);
    memset(b + n + 4, 'Z', pad);
    n += 4 + pad;
    cs_le_put(b + 28, 2, n - 30 - name);
    return cs_writer_write(w, b, n, err);
}

static cs_status write_data(const cs_torch_out *o, cs_writer *w, const entry *e, void *piece, uint32_t *crc, cs_error *err)
{
    *crc = 0;
    if (e->text) {
        *crc = cs_zip_crc(0, e->text, e->bytes);
        return cs_writer_write(w, e->text, e->bytes, err);
    }
    const cs_torch_out_tensor *t = &o->tensor[e->storage];
    for (size_t at = 0; at < e->bytes;) {
        size_t n = e->bytes - at < CS_TORCH_PIECE ? e->bytes - at : CS_TORCH_PIECE;
        CS_TRY(t->fill(t->ctx, t->tag, at, piece, n, err));
        *crc = cs_zip_crc(*crc, piece, n);
        CS_TRY(cs_writer_write(w, piece, n, err));
        at += n;
    }
    return CS_OK;
}

static cs_status write_descriptor(cs_writer *w, size_t at, const entry *e, uint32_t crc, cs_error *err)
{
    uint8_t b[24];
    int width = n_local64(at, e->bytes) > 0 ? 8 : 4;
    cs_le_put(b, 4, 0x08074b50);
    cs_le_put(b + 4, 4, crc);
    cs_le_put(b + 8, width, e->bytes);
    cs_le_put(b + 8 + width, width, e->bytes);
    return cs_writer_write(w, b, 8 + 2 * (size_t)width, err);
}

static cs_status write_central(cs_writer *w, size_t at, const entry *e, uint32_t crc, cs_error *err)
{
    uint8_t b[CENTRAL_MAX] = {0};
    size_t name = strlen(e->name);
    cs_le_put(b, 4, 0x02014b50);
    cs_le_put(b + 8, 2, 0x808);
    cs_le_put(b + 16, 4, crc);
    cs_le_put(b + 20, 4, e->bytes >= ones ? ones : e->bytes);
    cs_le_put(b + 24, 4, e->bytes >= ones ? ones : e->bytes);
    cs_le_put(b + 28, 2, name);
    cs_le_put(b + 42, 4, at >= ones ? ones : at);
    memcpy(b + 46, e->name, name);
    size_t extra = put_extra64(b + 46 + name, at, e->bytes);
    cs_le_put(b + 30, 2, extra);
    return cs_writer_write(w, b, 46 + name + extra, err);
}

/* The zip64 end record, its locator and the end record; PyTorch always writes all three. */
static cs_status write_end(cs_writer *w, size_t n, size_t directory, size_t bytes, cs_error *err)
{
    uint8_t b[END_BYTES] = {0}, *locator = b + 56, *last = b + 76;
    cs_le_put(b, 4, 0x06064b50);
    cs_le_put(b + 4, 8, 44);
    cs_le_put(b + 12, 2, 0x31e);
    cs_le_put(b + 14, 2, 45);
    cs_le_put(b + 24, 8, n);
    cs_le_put(b + 32, 8, n);
    cs_le_put(b + 40, 8, bytes);
    cs_le_put(b + 48, 8, directory);
    cs_le_put(locator, 4, 0x07064b50);
    cs_le_put(locator + 8, 8, directory + bytes);
    cs_le_put(locator + 16, 4, 1);
    cs_le_put(last, 4, 0x06054b50);
    cs_le_put(last + 8, 2, n >= 0xffff ? 0xffff : n);
    cs_le_put(last + 10, 2, n >= 0xffff ? 0xffff : n);
    cs_le_put(last + 12, 4, bytes >= ones ? ones : bytes);
    cs_le_put(last + 16, 4, directory >= ones ? ones : directory);
    return cs_writer_write(w, b, sizeof b, err);
}

size_t cs_torch_out_bytes(const cs_torch_out *o)
{
    size_t at = 0, central = 0;
    uint8_t b[32];
    CS_ASSERT(o->done);
    for (size_t i = 0; i < n_entries(o); i++) {
        entry e = entry_at(o, i);
        central += 46 + strlen(e.name) + put_extra64(b, at, e.bytes);
        at = entry_end(at, &e);
    }
    return at + central + END_BYTES;
}

static cs_status write_all(const cs_torch_out *o, cs_writer *w, void *piece, uint32_t *crc, cs_error *err)
{
    size_t at = 0;
    for (size_t i = 0; i < n_entries(o); i++) {
        entry e = entry_at(o, i);
        CS_TRY(write_local(w, at, &e, err));
        CS_TRY(write_data(o, w, &e, piece, &crc[i], err));
        CS_TRY(write_descriptor(w, at, &e, crc[i], err));
        at = entry_end(at, &e);
        CS_ASSERT((size_t)w->at == at);
    }
    size_t directory = at;
    at = 0;
    for (size_t i = 0; i < n_entries(o); i++) {
        entry e = entry_at(o, i);
        CS_TRY(write_central(w, at, &e, crc[i], err));
        at = entry_end(at, &e);
    }
    return write_end(w, n_entries(o), directory, (size_t)w->at - directory, err);
}

cs_status cs_torch_out_write(const cs_torch_out *o, cs_writer *w, cs_error *err)
{
    CS_ASSERT(o->done && w->at == 0);
    CS_TRY(cs_str_check(&o->pickle, err));
    if (o->failed)
        return cs_fail_nomem(err, 2 * o->cap * sizeof *o->tensor, "the list of tensors");
    if (o->bad_text)
        return cs_fail(err, CS_E_FORMAT, "%s: a text for the file is not UTF-8", w->path);
    if (o->too_large)
        return cs_fail(err, CS_E_FORMAT, "%s: a tensor or text is too large for the file", w->path);
    uint32_t *crc = cs_calloc(n_entries(o), sizeof *crc);
    void *piece = cs_alloc_aligned(CS_TORCH_PIECE);
    cs_status s = crc && piece ? write_all(o, w, piece, crc, err) : cs_fail_nomem(err, CS_TORCH_PIECE, "a piece of a tensor");
    cs_free(piece);
    cs_free(crc);
    return s;
}

cs_status cs_torch_out_save(const cs_torch_out *o, const char *path, cs_error *err)
{
    cs_writer w;
    CS_TRY(cs_writer_init_atomic(&w, path, err));
    cs_status s = cs_torch_out_write(o, &w, err);
    if (s == CS_OK)
        return cs_writer_commit(&w, err);
    cs_writer_abort(&w);
    return s;
}
