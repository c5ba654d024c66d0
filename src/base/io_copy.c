/* Copying of ranges of files, holes as holes. */
#include "base/io.h"
#include "base/io_call.h"
#include "base/mem.h"

#include <errno.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

/* The next bytes that are stored from `at` on: [*from, *to), both within [at, end]. A file system that knows no holes stores everything. */
static void stored_range(int fd, int64_t at, int64_t end, int64_t *from, int64_t *to)
{
    off_t data = lseek(fd, (off_t)at, SEEK_DATA);
    if (data < 0) {
        *from = errno == ENXIO ? end : at;
        *to = end;
        return;
    }
    off_t hole = lseek(fd, data, SEEK_HOLE);
    *from = data < end ? data : end;
    *to = hole < 0 || hole > end ? end : hole;
}

static cs_status copy_stored(cs_writer *w, int fd, const char *path, int64_t from, int64_t to, int64_t target, uint8_t *block, cs_error *err)
{
    while (from < to) {
        int code = cs_io_fault("read");
        size_t ask = to - from < BLOCK ? (size_t)(to - from) : BLOCK;
        ssize_t k = code > 0 ? -1 : pread(fd, block, code < 0 && ask > 1 ? ask / 2 : ask, (off_t)from);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return cs_io_fail_errno(err, path, "read");
        if (k == 0)
            return cs_fail(err, CS_E_IO, "%s: became shorter while it was read", path);
        CS_TRY(cs_writer_pwrite(w, block, (size_t)k, target, err));
        from += k;
        target += k;
    }
    return CS_OK;
}

/* Size and position of the file being written become w->at. */
static cs_status settle(cs_writer *w, cs_error *err)
{
    int r;
    do {
        r = cs_io_fault("truncate") > 0 ? -1 : ftruncate(w->fd, (off_t)w->at);
    } while (r != 0 && errno == EINTR);
    if (r != 0 || lseek(w->fd, (off_t)w->at, SEEK_SET) < 0)
        return cs_io_fail_errno(err, w->path, "write");
    return CS_OK;
}

cs_status cs_writer_copy(cs_writer *w, const char *path, int64_t from, int64_t n, cs_error *err)
{
    struct stat st;
    int fd;
    CS_TRY(cs_io_open_regular(path, &fd, &st, err));
    uint8_t *block = cs_malloc(BLOCK);
    cs_status s = block ? CS_OK : cs_fail_nomem(err, BLOCK, path);
    if (s == CS_OK && (from < 0 || n < 0 || from > st.st_size || n > st.st_size - from))
        s = cs_fail(err, CS_E_IO, "%s: %lld bytes, %lld from byte %lld are wanted", path, (long long)st.st_size, (long long)n, (long long)from);
    for (int64_t at = from, data, hole; s == CS_OK && at < from + n; at = hole) {
        stored_range(fd, at, from + n, &data, &hole);
        s = copy_stored(w, fd, path, data, hole, w->at + (data - from), block, err);
    }
    if (s == CS_OK) {
        w->at += n;
        s = settle(w, err);
    }
    cs_free(block);
    close(fd);
    return s;
}
