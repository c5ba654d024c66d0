/* Opening a PyTorch checkpoint: container, pickle, storages, tensors, in this order; each is checked against the one before. */
#include "fmt/torch_file.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The start of a file of torch.save before 1.6: a pickled magic number of 10 bytes. */
static const uint8_t legacy_magic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

static bool starts_with(const uint8_t *bytes, size_t size, const void *magic, size_t n)
{
    return size >= n && memcmp(bytes, magic, n) == 0;
}

static bool is_tar(const uint8_t *bytes, size_t size)
{
    return size >= 512 && memcmp(bytes + 257, "ustar", 5) == 0;
}

static bool is_legacy(const uint8_t *bytes, size_t size)
{
    return starts_with(bytes, size, legacy_magic, sizeof legacy_magic)
           || (starts_with(bytes, size, legacy_magic, 1) && size > 2 && bytes[1] <= 5
               && starts_with(bytes + 2, size - 2, legacy_magic + 2, sizeof legacy_magic - 2));
}

bool cs_torch_sniff(const uint8_t *bytes, size_t size)
{
    return starts_with(bytes, size, "PK\3\4", 4) || is_legacy(bytes, size) || is_tar(bytes, size);
}

/* Says what it is when it is not a zip file. */
static cs_status check_kind(const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    static const char again[] = "load it in PyTorch and save it again with torch.save";
    if (is_legacy(bytes, size))
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: PyTorch file from before version 1.6, not a zip file; %s", name, again);
    if (is_tar(bytes, size))
        return cs_fail(err, CS_E_FORMAT, "%s: byte 257: tar file, as PyTorch before 0.2 wrote it; %s", name, again);
    if (starts_with(bytes, size, legacy_magic, 1) && size > 1 && bytes[1] <= 5)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: a bare pickle, not a zip file of torch.save", name);
    if (!starts_with(bytes, size, "PK\3\4", 4))
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: not a zip file of torch.save", name);
    return CS_OK;
}

/* <prefix>/<tail>; NULL when absent. The prefix is that of the first entry, and every entry has it. */
static const cs_zip_entry *find_entry(const cs_torch_file *f, size_t prefix, const char *tail, size_t tail_len)
{
    char path[CS_ZIP_MAX_NAME + 1];
    if (prefix + 1 + tail_len > CS_ZIP_MAX_NAME)
        return NULL;
    memcpy(path, f->zip.first, prefix + 1);
    memcpy(path + prefix + 1, tail, tail_len);
    return cs_zip_find(&f->zip, path, prefix + 1 + tail_len);
}

static cs_status check_prefix(const cs_torch_file *f, size_t *prefix, cs_error *err)
{
    const cs_zip *zip = &f->zip;
    const char *slash = zip->first_len > 0 ? memchr(zip->first, '/', zip->first_len) : NULL;
    if (!slash)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: the first entry is not in a folder; not a file of torch.save", f->name);
    *prefix = (size_t)(slash - zip->first);
    for (size_t i = 0; i < zip->n; i++)
        if (zip->entry[i].name_len <= *prefix || memcmp(zip->entry[i].name, zip->first, *prefix + 1) != 0)
            return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: entry \"%.*s\" is not in the folder of the first one", f->name, zip->entry[i].header,
                           (int)zip->entry[i].name_len, zip->entry[i].name);
    return CS_OK;
}

/* Format version and byte order. */
static cs_status check_marks(const cs_torch_file *f, size_t prefix, cs_error *err)
{
    const cs_zip_entry *version = find_entry(f, prefix, "version", 7), *order = find_entry(f, prefix, "byteorder", 9);
    const cs_zip_entry *script = find_entry(f, prefix, "constants.pkl", 13);
    if (script)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: a TorchScript program (it has constants.pkl), not a checkpoint; save its state_dict",
                       f->name, script->header);
    if (!version)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: no entry \"version\"; not a file of torch.save", f->name);
    CS_TRY(cs_zip_check_crc(&f->zip, version, err));
    size_t n = version->bytes;
    n -= n > 0 && version->data[n - 1] == '\n';
    int number = n == 1 ? version->data[0] - '0' : n == 2 && version->data[0] == '1' ? 10 + version->data[1] - '0' : 0;
    if (number < 1 || number > 10)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: format version that is not 1 to 10", f->name, version->offset);
    if (!order)
        return CS_OK;
    CS_TRY(cs_zip_check_crc(&f->zip, order, err));
    if (order->bytes != 6 || memcmp(order->data, "little", 6) != 0)
        return cs_fail(err, CS_E_FORMAT, "%s: byte %zu: byte order that is not \"little\"; save the file on a little-endian machine", f->name,
                       order->offset);
    return CS_OK;
}

static cs_status read_pickle(cs_torch_file *f, size_t prefix, cs_error *err)
{
    const cs_zip_entry *e = find_entry(f, prefix, "data.pkl", 8);
    if (!e)
        return cs_fail(err, CS_E_FORMAT, "%s: byte 0: no entry \"data.pkl\"; not a file of torch.save", f->name);
    CS_TRY(cs_zip_check_crc(&f->zip, e, err));
    size_t bytes = strlen(f->name) + e->name_len + 3;
    f->pickle_name = cs_malloc(bytes);
    if (!f->pickle_name)
        return cs_fail_nomem(err, bytes, f->name);
    snprintf(f->pickle_name, bytes, "%s: %.*s", f->name, (int)e->name_len, e->name);
    return cs_pickle_init(&f->pickle, e->data, e->bytes, f->pickle_name, err);
}

/* The entry of a mention of a storage; its size must be right. */
static cs_status find_storage(const cs_torch_file *f, size_t prefix, const cs_pk_storage *s, const cs_zip_entry **out, cs_error *err)
{
    char tail[8 + CS_PK_MAX_KEY];
    const cs_pk_string *key = &f->pickle.string[s->key];
    int n = snprintf(tail, sizeof tail, "data/%.*s", (int)key->len, key->text);
    size_t bytes;
    *out = find_entry(f, prefix, tail, (size_t)n);
    if (!*out)
        return cs_fail(err, CS_E_FORMAT, "%s: pickle byte %u: storage \"%s\" is not in the file", f->pickle_name, s->at, tail);
    if (!cs_mul_checked((size_t)s->n, cs_dtype_size(s->dtype), &bytes) || bytes != (*out)->bytes)
        return cs_fail(err, CS_E_FORMAT, "%s: pickle byte %u: storage \"%s\" of %" PRId64 " %s elements, but its entry at byte %zu has %zu bytes",
                       f->pickle_name, s->at, tail, s->n, cs_dtype_name(s->dtype), (*out)->offset, (*out)->bytes);
    return CS_OK;
}

/* Fills f->storage; storage_of[i] = index there of mention i. */
static cs_status read_storages(cs_torch_file *f, size_t prefix, uint32_t *storage_of, cs_error *err)
{
    const cs_pickle *p = &f->pickle;
    size_t most = p->n_storage < f->zip.n ? p->n_storage : f->zip.n;
    uint32_t *seen = cs_calloc(f->zip.n + 1, sizeof *seen); /* by entry: 1 + index into f->storage */
    f->storage = cs_calloc(most + 1, sizeof *f->storage);
    cs_status s = seen && f->storage ? CS_OK : cs_fail_nomem(err, (f->zip.n + 1) * sizeof *f->storage, f->name);
    for (uint32_t i = 0; i < p->n_storage && s == CS_OK; i++) {
        const cs_zip_entry *e = NULL;
        s = find_storage(f, prefix, &p->storage[i], &e, err);
        if (s != CS_OK)
            break;
        uint32_t *at = &seen[e - f->zip.entry];
        if (*at == 0) {
            f->storage[f->n_storages] = (cs_torch_storage){e, p->storage[i].dtype, p->storage[i].n};
            *at = (uint32_t)++f->n_storages;
        } else if (f->storage[*at - 1].dtype != p->storage[i].dtype) {
            s = cs_fail(err, CS_E_FORMAT, "%s: pickle byte %u: storage \"%.*s\" is of type %s here and %s before", f->pickle_name, p->storage[i].at,
                        (int)e->name_len, e->name, cs_dtype_name(p->storage[i].dtype), cs_dtype_name(f->storage[*at - 1].dtype));
        }
        storage_of[i] = *at - 1;
    }
    cs_free(seen);
    return s;
}

/* One past the last element of the storage that the tensor reaches; false on overflow. t->n is filled. */
static bool reach(const cs_pk_tensor *d, cs_torch_tensor *t, int64_t *end)
{
    int64_t step;
    *end = d->offset;
    t->n = 1;
    for (int i = 0; i < d->ndim; i++)
        if (d->shape[i] == 0)
            t->n = 0;
    if (t->n == 0)
        return true;
    for (int i = 0; i < d->ndim; i++)
        if (__builtin_mul_overflow(t->n, d->shape[i], &t->n) || __builtin_mul_overflow(d->shape[i] - 1, d->stride[i], &step)
            || __builtin_add_overflow(*end, step, end))
            return false;
    return !__builtin_add_overflow(*end, 1, end);
}

static bool is_contiguous(const cs_torch_tensor *t)
{
    int64_t want = 1;
    for (int i = t->ndim - 1; i >= 0 && t->n > 0; i--) {
        if (t->shape[i] != 1 && t->stride[i] != want)
            return false;
        want *= t->shape[i];
    }
    return true;
}

static cs_status read_tensor(const cs_torch_file *f, const cs_pk_tensor *d, size_t storage, cs_torch_tensor *t, cs_error *err)
{
    const cs_torch_storage *s = &f->storage[storage];
    int64_t end;
    *t = (cs_torch_tensor){.dtype = s->dtype, .ndim = d->ndim, .requires_grad = d->requires_grad, .storage = storage, .first = d->offset};
    memcpy(t->shape, d->shape, sizeof t->shape);
    for (int i = 0; i < d->ndim; i++)
        t->stride[i] = d->shape[i] == 1 ? 1 : d->stride[i];
    if (!reach(d, t, &end) || end > s->n)
        return cs_fail(err, CS_E_FORMAT, "%s: pickle byte %u: tensor that reaches behind the %" PRId64 " elements of its storage \"%.*s\"",
                       f->pickle_name, d->at, s->n, (int)s->entry->name_len, s->entry->name);
    if (t->n > s->n)
        return cs_fail(err, CS_E_FORMAT, "%s: pickle byte %u: tensor of %" PRId64 " elements that repeats the %" PRId64 " of its storage \"%.*s\"",
                       f->pickle_name, d->at, t->n, s->n, (int)s->entry->name_len, s->entry->name);
    t->contiguous = is_contiguous(t);
    t->offset = s->entry->offset + (size_t)t->first * cs_dtype_size(t->dtype);
    t->data = s->entry->data + (size_t)t->first * cs_dtype_size(t->dtype);
    return CS_OK;
}

static cs_status read_tensors(cs_torch_file *f, size_t prefix, cs_error *err)
{
    const cs_pickle *p = &f->pickle;
    uint32_t *storage_of = cs_calloc((size_t)p->n_storage + 1, sizeof *storage_of);
    f->tensor = cs_calloc((size_t)p->n_tensor + 1, sizeof *f->tensor);
    cs_status s = storage_of && f->tensor ? CS_OK : cs_fail_nomem(err, ((size_t)p->n_tensor + 1) * sizeof *f->tensor, f->name);
    if (s == CS_OK)
        s = read_storages(f, prefix, storage_of, err);
    for (uint32_t i = 0; i < p->n_tensor && s == CS_OK; i++)
        s = read_tensor(f, &p->tensor[i], storage_of[p->tensor[i].storage], &f->tensor[i], err);
    cs_free(storage_of);
    return s;
}

cs_status cs_torch_file_init(cs_torch_file *f, const uint8_t *bytes, size_t size, const char *name, cs_error *err)
{
    size_t prefix = 0;
    *f = (cs_torch_file){.name = name};
    CS_TRY(check_kind(bytes, size, name, err));
    CS_TRY(cs_zip_init(&f->zip, bytes, size, name, err));
    cs_status s = check_prefix(f, &prefix, err);
    if (s == CS_OK)
        s = check_marks(f, prefix, err);
    if (s == CS_OK)
        s = read_pickle(f, prefix, err);
    if (s == CS_OK)
        s = read_tensors(f, prefix, err);
    if (s != CS_OK)
        cs_torch_file_release(f);
    return s;
}

void cs_torch_file_release(cs_torch_file *f)
{
    cs_free(f->tensor);
    cs_free(f->storage);
    cs_pickle_release(&f->pickle);
    cs_free(f->pickle_name);
    cs_zip_release(&f->zip);
    *f = (cs_torch_file){0};
}

cs_status cs_torch_check_storage(const cs_torch_file *f, size_t storage, cs_error *err)
{
    CS_ASSERT(storage < f->n_storages);
    return cs_zip_check_crc(&f->zip, f->storage[storage].entry, err);
}

cs_status cs_torch_check_all(const cs_torch_file *f, cs_error *err)
{
    for (size_t i = 0; i < f->zip.n; i++)
        CS_TRY(cs_zip_check_crc(&f->zip, &f->zip.entry[i], err));
    return CS_OK;
}

/* Copies `n` elements of `size` bytes that lie `step` elements apart. */
static void gather(uint8_t *out, const uint8_t *from, int64_t n, int64_t step, size_t size)
{
    if (step == 1) {
        memcpy(out, from, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(out + (size_t)i * size, from + (size_t)(i * step) * size, size);
}

void cs_torch_read(const cs_torch_tensor *t, int64_t lo, int64_t n, void *out)
{
    int64_t at[CS_TORCH_MAX_DIMS] = {0}, rest = lo, from = 0;
    size_t size = cs_dtype_size(t->dtype);
    uint8_t *to = out;
    int last = t->ndim - 1;
    CS_ASSERT(lo >= 0 && n >= 0 && lo <= t->n && n <= t->n - lo);
    if (n == 0)
        return;
    if (t->contiguous) {
        memcpy(to, t->data + (size_t)lo * size, (size_t)n * size);
        return;
    }
    for (int i = last; i >= 0; rest /= t->shape[i], i--)
        at[i] = rest % t->shape[i];
    for (int i = 0; i <= last; i++)
        from += at[i] * t->stride[i];
    while (n > 0) {
        int64_t run = t->shape[last] - at[last] < n ? t->shape[last] - at[last] : n;
        gather(to, t->data + (size_t)from * size, run, t->stride[last], size);
        to += (size_t)run * size;
        n -= run;
        at[last] += run;
        from += run * t->stride[last];
        for (int i = last; i > 0 && at[i] == t->shape[i]; i--) {
            from += t->stride[i - 1] - at[i] * t->stride[i];
            at[i] = 0;
            at[i - 1]++;
        }
    }
}
