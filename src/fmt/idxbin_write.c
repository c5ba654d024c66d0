/* Writing of Megatron .idx/.bin. Nothing appears under a final name before both files are whole and on disk. */
#include "base/log.h"
#include "base/mem.h"
#include "fmt/idxbin.h"

#include <limits.h>

enum { BUFFER_BYTES = 1 << 18 };
enum { BIN, IDX, BIN_TMP, IDX_TMP, BIN_OLD, IDX_OLD, LOCK, N_PATHS = CS_IDXBIN_PATHS };

static cs_status make_folder(const char *prefix, cs_error *err)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(prefix, '/');
    size_t n = slash ? (size_t)(slash - prefix) : 0;
    if (n == 0)
        return CS_OK;
    if (n >= sizeof dir)
        return cs_fail(err, CS_E_IO, "%s: path too long", prefix);
    memcpy(dir, prefix, n);
    dir[n] = '\0';
    return cs_io_mkdirs(dir, err);
}

static bool there(const cs_idxbin_writer *w, int path)
{
    return cs_io_kind(w->paths[path], NULL) != CS_FILE_NONE;
}

/* Back: an older pair that was set aside takes its place again. Else a newer one stands there whole, and the older one goes. */
static void restore(const cs_idxbin_writer *w, bool back)
{
    if (back && there(w, IDX_OLD))
        back = cs_io_remove_tree(w->paths[IDX], NULL) == CS_OK; /* first, so that there is never an index beside the other one's tokens */
    else if (back && there(w, IDX))
        return;
    if (back && there(w, BIN_OLD))
        back = cs_io_rename(w->paths[BIN_OLD], w->paths[BIN], NULL) == CS_OK || !there(w, BIN_OLD);
    if (back && there(w, IDX_OLD))
        cs_io_rename(w->paths[IDX_OLD], w->paths[IDX], NULL);
    if (back)
        return; /* what could not be moved back is kept */
    for (int i = BIN_OLD; i <= IDX_OLD; i++) {
        cs_error why = {0};
        if (cs_io_remove_tree(w->paths[i], &why) != CS_OK)
            cs_warn("%s; remove it by hand", why.msg);
    }
}

static void forget(cs_idxbin_writer *w)
{
    if (w->lock >= 0) {
        cs_io_remove_tree(w->paths[LOCK], NULL);
        cs_io_unlock(w->lock);
    }
    for (int i = 0; i < N_PATHS; i++)
        cs_free(w->paths[i]);
    cs_free(w->lengths);
    cs_free(w->documents);
    cs_free(w->buffer);
    *w = (cs_idxbin_writer){.lock = -1};
}

/* Everything but what is done to files that are there. */
static cs_status prepare(cs_idxbin_writer *w, const char *prefix, cs_dtype dtype, cs_error *err)
{
    static const char *const suffix[N_PATHS] = {".bin", ".idx", ".bin.tmp", ".idx.tmp", ".bin.old.tmp", ".idx.old.tmp", ".lock"};
    *w = (cs_idxbin_writer){.dtype = dtype, .lock = -1, .bin = {.fd = -1}};
    bool ok = true;
    for (int i = 0; i < N_PATHS; i++) {
        size_t n = strlen(prefix), m = strlen(suffix[i]);
        w->paths[i] = cs_malloc(n + m + 1);
        if (!w->paths[i]) {
            ok = false;
            continue;
        }
        memcpy(w->paths[i], prefix, n);
        memcpy(w->paths[i] + n, suffix[i], m + 1);
    }
    w->buffer = cs_malloc(BUFFER_BYTES);
    cs_status s = ok && w->buffer ? CS_OK : cs_fail_nomem(err, BUFFER_BYTES, "the buffer of an output file");
    for (int i = 0; i < N_PATHS && s == CS_OK; i++) {
        cs_file_kind kind;
        s = cs_io_stat(w->paths[i], &kind, NULL, err);
        if (s == CS_OK && i <= IDX && (kind == CS_FILE_DIR || kind == CS_FILE_OTHER))
            s = cs_fail(err, CS_E_IO, "%s: is not a regular file, cannot write there", w->paths[i]);
    }
    if (s == CS_OK)
        s = make_folder(prefix, err);
    if (s == CS_OK)
        s = cs_io_lock(w->paths[LOCK], 0, &w->lock, err);
    if (s != CS_OK)
        forget(w);
    return s;
}

cs_status cs_idxbin_writers_init(cs_idxbin_writer *w, const char *const *prefixes, size_t n, cs_dtype dtype, cs_error *err)
{
    size_t ready = 0;
    bool whole = true;
    cs_status s = CS_OK;
    while (ready < n && (s = prepare(&w[ready], prefixes[ready], dtype, err)) == CS_OK)
        whole &= there(&w[ready++], IDX);
    for (size_t k = 0; k < n && s == CS_OK; k++) {
        restore(&w[k], !whole); /* after a run that was killed between its renames */
        s = cs_writer_init_plain(&w[k].bin, w[k].paths[BIN_TMP], err);
    }
    for (size_t k = 0; k < ready && s != CS_OK; k++)
        cs_idxbin_writer_abort(&w[k]);
    return s;
}

cs_status cs_idxbin_writer_init(cs_idxbin_writer *w, const char *prefix, cs_dtype dtype, cs_error *err)
{
    return cs_idxbin_writers_init(w, &prefix, 1, dtype, err);
}

void cs_idxbin_writer_abort(cs_idxbin_writer *w)
{
    if (!w->buffer)
        return;
    cs_writer_abort(&w->bin);
    if (w->publishing) { /* no .bin without its .idx; what has left its temporary name is in place */
        if (!there(w, IDX_TMP))
            cs_io_remove_tree(w->paths[IDX], NULL);
        if (!there(w, BIN_TMP))
            cs_io_remove_tree(w->paths[BIN], NULL);
        restore(w, !there(w, IDX));
    }
    cs_io_remove_tree(w->paths[BIN_TMP], NULL);
    cs_io_remove_tree(w->paths[IDX_TMP], NULL);
    forget(w);
}

static cs_status flush(cs_idxbin_writer *w, cs_writer *to, cs_error *err)
{
    size_t n = w->used;
    w->used = 0;
    return n > 0 ? cs_writer_write(to, w->buffer, n, err) : CS_OK;
}

static cs_status put(cs_idxbin_writer *w, cs_writer *to, const void *bytes, size_t n, cs_error *err)
{
    if (w->used + n > BUFFER_BYTES)
        CS_TRY(flush(w, to, err));
    memcpy(w->buffer + w->used, bytes, n);
    w->used += n;
    return CS_OK;
}

/* *p grown so that it holds n + 1 entries of `size` bytes. */
static cs_status reserve(void **p, int64_t n, int64_t *cap, size_t size, cs_error *err)
{
    if (n < *cap)
        return CS_OK;
    int64_t more = *cap ? *cap * 2 : 1024;
    void *q = cs_realloc_array(*p, (size_t)more, size);
    if (!q)
        return cs_fail_nomem(err, (size_t)more * size, "the index of an output file");
    *p = q;
    *cap = more;
    return CS_OK;
}

static bool fits(int32_t v, cs_dtype t)
{
    switch (t) {
    case CS_U16: return v >= 0 && v <= UINT16_MAX;
    case CS_U8: return v >= 0 && v <= UINT8_MAX;
    case CS_I8: return v >= INT8_MIN && v <= INT8_MAX;
    case CS_I16: return v >= INT16_MIN && v <= INT16_MAX;
    default: return true;
    }
}

static cs_status add_length(cs_idxbin_writer *w, int64_t n, cs_error *err)
{
    void *lengths = w->lengths;
    CS_TRY(reserve(&lengths, w->n_seq, &w->cap_seq, sizeof *w->lengths, err));
    w->lengths = lengths;
    w->lengths[w->n_seq++] = (int32_t)n;
    return CS_OK;
}

cs_status cs_idxbin_writer_add(cs_idxbin_writer *w, const int32_t *tokens, int64_t n, cs_error *err)
{
    size_t width = cs_dtype_size(w->dtype);
    if (n < 0 || n > INT32_MAX)
        return cs_fail(err, CS_E_FORMAT, "%s: a sequence of %lld tokens; the format holds at most 2147483647 in one", w->paths[BIN], (long long)n);
    for (int64_t i = 0; i < n; i++) {
        int64_t v = tokens[i]; /* little-endian: the low bytes come first */
        if (!fits(tokens[i], w->dtype))
            return cs_fail(err, CS_E_FORMAT, "%s: token id %d does not fit into %s", w->paths[BIN], tokens[i], cs_dtype_name(w->dtype));
        CS_TRY(put(w, &w->bin, &v, width, err));
    }
    return add_length(w, n, err);
}

cs_status cs_idxbin_writer_end_document(cs_idxbin_writer *w, cs_error *err)
{
    if (!w->documents && w->n_seq == w->n_doc + 1) {
        w->n_doc++;
        return CS_OK;
    }
    void *documents = w->documents;
    bool first = !documents;
    int64_t cap = first ? w->n_doc + 1024 : w->cap_doc;
    if (first) {
        documents = cs_realloc_array(NULL, (size_t)cap, sizeof *w->documents);
        if (!documents)
            return cs_fail_nomem(err, (size_t)cap * sizeof *w->documents, "the index of an output file");
        w->cap_doc = cap;
        for (int64_t d = 0; d < w->n_doc; d++)
            ((int64_t *)documents)[d] = d + 1;
        w->documents = documents;
    } else {
        CS_TRY(reserve(&documents, w->n_doc, &w->cap_doc, sizeof *w->documents, err));
        w->documents = documents;
    }
    w->documents[w->n_doc++] = w->n_seq;
    return CS_OK;
}

/* Tokens that lie one behind the other are copied at once. */
static cs_status append_tokens(cs_idxbin_writer *w, const cs_idxbin *from, cs_error *err)
{
    int64_t width = (int64_t)cs_dtype_size(w->dtype);
    CS_TRY(flush(w, &w->bin, err));
    for (int64_t i = 0; i < from->idx.n_seq;) {
        int64_t begin = cs_idx_offset(&from->idx, i), end = begin;
        for (; i < from->idx.n_seq && cs_idx_offset(&from->idx, i) == end; i++)
            end += cs_idx_length(&from->idx, i) * width;
        CS_TRY(cs_writer_copy(&w->bin, from->bin_path, begin, end - begin, err));
    }
    return CS_OK;
}

cs_status cs_idxbin_writer_append(cs_idxbin_writer *w, const cs_idxbin *from, cs_error *err)
{
    if (from->idx.dtype != w->dtype)
        return cs_fail(err, CS_E_FORMAT, "%s: tokens are %s, those of the data set before are %s; make both with one tokenizer", from->idx_path,
                       cs_dtype_name(from->idx.dtype), cs_dtype_name(w->dtype));
    if (from->idx.modes)
        return cs_fail(err, CS_E_FORMAT, "%s: has modes of several media, which are not carried over", from->idx_path);
    CS_TRY(append_tokens(w, from, err));
    for (int64_t d = 0; d + 1 < from->idx.n_doc; d++) {
        for (int64_t i = cs_idx_document(&from->idx, d); i < cs_idx_document(&from->idx, d + 1); i++)
            CS_TRY(add_length(w, cs_idx_length(&from->idx, i), err));
        CS_TRY(cs_idxbin_writer_end_document(w, err));
    }
    return CS_OK;
}

static cs_status write_index(cs_idxbin_writer *w, cs_writer *out, cs_error *err)
{
    static const uint8_t code_of[CS_DTYPE_COUNT] = {[CS_U8] = 1, [CS_I8] = 2, [CS_I16] = 3, [CS_I32] = 4, [CS_I64] = 5, [CS_U16] = 8};
    uint64_t version = 1, n_seq = (uint64_t)w->n_seq, n_doc = (uint64_t)w->n_doc + 1;
    int64_t width = (int64_t)cs_dtype_size(w->dtype), at = 0;
    CS_TRY(put(w, out, "MMIDIDX\0", 9, err));
    CS_TRY(put(w, out, &version, 8, err));
    CS_TRY(put(w, out, &code_of[w->dtype], 1, err));
    CS_TRY(put(w, out, &n_seq, 8, err));
    CS_TRY(put(w, out, &n_doc, 8, err));
    for (int64_t i = 0; i < w->n_seq; i++)
        CS_TRY(put(w, out, &w->lengths[i], 4, err));
    for (int64_t i = 0; i < w->n_seq; i++) {
        CS_TRY(put(w, out, &at, 8, err));
        at += w->lengths[i] * width;
    }
    for (int64_t d = 0; d <= w->n_doc; d++) {
        int64_t border = d == 0 ? 0 : w->documents ? w->documents[d - 1] : d;
        CS_TRY(put(w, out, &border, 8, err));
    }
    return flush(w, out, err);
}

cs_status cs_idxbin_writer_seal(cs_idxbin_writer *w, cs_error *err)
{
    cs_writer idx = {.fd = -1};
    if (w->n_seq > (w->n_doc == 0 ? 0 : w->documents ? w->documents[w->n_doc - 1] : w->n_doc))
        CS_TRY(cs_idxbin_writer_end_document(w, err));
    CS_TRY(flush(w, &w->bin, err));
    CS_TRY(cs_writer_init_plain(&idx, w->paths[IDX_TMP], err));
    cs_status s = write_index(w, &idx, err);
    if (s == CS_OK)
        s = cs_writer_commit(&idx, err);
    cs_writer_abort(&idx);
    if (s == CS_OK)
        s = cs_writer_commit(&w->bin, err);
    w->sealed = s == CS_OK;
    return s;
}

/* From here to the last rename there is no data set of this name. */
static cs_status set_aside(cs_idxbin_writer *w, cs_error *err)
{
    w->publishing = w->aside = true;
    if (there(w, IDX))
        CS_TRY(cs_io_rename(w->paths[IDX], w->paths[IDX_OLD], err));
    if (there(w, BIN))
        CS_TRY(cs_io_rename(w->paths[BIN], w->paths[BIN_OLD], err));
    return CS_OK;
}

cs_status cs_idxbin_writer_publish(cs_idxbin_writer *w, cs_error *err)
{
    if (!w->sealed)
        CS_TRY(cs_idxbin_writer_seal(w, err));
    if (!w->aside)
        CS_TRY(set_aside(w, err));
    CS_TRY(cs_io_rename(w->paths[BIN_TMP], w->paths[BIN], err));
    CS_TRY(cs_io_rename(w->paths[IDX_TMP], w->paths[IDX], err));
    w->published = true;
    return CS_OK;
}

cs_status cs_idxbin_writer_finish(cs_idxbin_writer *w, cs_error *err)
{
    cs_status s = w->published ? CS_OK : cs_idxbin_writer_publish(w, err);
    if (s == CS_OK) {
        restore(w, false);
        w->publishing = false;
    }
    cs_idxbin_writer_abort(w);
    return s;
}

cs_status cs_idxbin_writers_finish(cs_idxbin_writer *w, size_t n, cs_error *err)
{
    for (size_t k = 0; k < n; k++)
        CS_TRY(cs_idxbin_writer_seal(&w[k], err));
    for (size_t k = 0; k < n; k++)
        CS_TRY(set_aside(&w[k], err));
    for (size_t k = 0; k < n; k++)
        CS_TRY(cs_idxbin_writer_publish(&w[k], err));
    for (size_t k = 0; k < n; k++)
        CS_TRY(cs_idxbin_writer_finish(&w[k], err));
    return CS_OK;
}
