/* The file-system seam. See io.h for the promises. */
#include "base/io.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/io_call.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

cs_status cs_io_fail_errno(cs_error *err, const char *path, const char *what)
{
    int e = errno;
    const char *hint = e == ENOENT ? "; check the path" : e == ENOSPC || e == EDQUOT ? "; free some space and try again" : "";
    bool long_path = strlen(path) > 1000; /* the reason must fit into the message */
    return cs_fail(err, CS_E_IO, "%.1000s%s: cannot %s: %s%s", path, long_path ? "..." : "", what, strerror(e), hint);
}

int cs_io_fault(const char *site)
{
    int code = cs_failpoint_io(site);
    if (code > 0)
        errno = code;
    return code;
}

int cs_io_open(const char *path, int flags, mode_t mode)
{
    int fd;
    do {
        fd = cs_io_fault(flags & O_CREAT ? "create" : "open") > 0 ? -1 : open(path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static DIR *open_dir(const char *path)
{
    DIR *d;
    do {
        d = cs_io_fault("open") > 0 ? NULL : opendir(path);
    } while (!d && errno == EINTR);
    return d;
}

cs_status cs_io_open_regular(const char *path, int *fd_out, struct stat *st, cs_error *err)
{
    int fd = cs_io_open(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return cs_io_fail_errno(err, path, "open");
    if (fstat(fd, st) != 0) {
        cs_status s = cs_io_fail_errno(err, path, "stat");
        close(fd);
        return s;
    }
    if (!S_ISREG(st->st_mode)) {
        close(fd);
        return cs_fail(err, CS_E_IO, "%s: is %s, expected a regular file", path,
                       S_ISDIR(st->st_mode) ? "a directory" : S_ISFIFO(st->st_mode) ? "a pipe" : S_ISSOCK(st->st_mode) ? "a socket" : "a device");
    }
    *fd_out = fd;
    return CS_OK;
}

cs_status cs_io_stat(const char *path, cs_file_kind *kind, int64_t *size, cs_error *err)
{
    struct stat st;
    *kind = CS_FILE_NONE;
    if (stat(path, &st) != 0) /* ENOTDIR: a file stands where a folder would have to be */
        return errno == ENOENT || errno == ENOTDIR ? CS_OK : cs_io_fail_errno(err, path, "look at");
    if (size)
        *size = (int64_t)st.st_size;
    *kind = S_ISREG(st.st_mode) ? CS_FILE_REGULAR : S_ISDIR(st.st_mode) ? CS_FILE_DIR : CS_FILE_OTHER;
    return CS_OK;
}

cs_file_kind cs_io_kind(const char *path, int64_t *size)
{
    cs_file_kind kind;
    if (cs_io_stat(path, &kind, size, NULL) == CS_OK)
        return kind;
    if (size)
        *size = 0;
    return CS_FILE_REGULAR;
}

cs_status cs_reader_init(cs_reader *r, const char *path, cs_error *err)
{
    struct stat st;
    *r = (cs_reader){.fd = 0, .path = path};
    if (strcmp(path, "-") == 0) {
        r->path = "stdin";
        return CS_OK;
    }
    return cs_io_open_regular(path, &r->fd, &st, err);
}

cs_status cs_reader_read(cs_reader *r, void *buf, size_t n, size_t *got, cs_error *err)
{
    for (;;) {
        int code = cs_io_fault("read");
        ssize_t k = code > 0 ? -1 : read(r->fd, buf, code < 0 && n > 1 ? 1 : n);
        if (k >= 0) {
            *got = (size_t)k;
            return CS_OK;
        }
        if (errno != EINTR)
            return cs_io_fail_errno(err, r->path, "read");
    }
}

void cs_reader_release(cs_reader *r)
{
    if (r->fd > 0)
        close(r->fd);
    r->fd = -1;
}

cs_status cs_io_read_all(const char *path, size_t limit, uint8_t **data_create, size_t *size, cs_error *err)
{
    cs_reader r;
    size_t cap = 1 << 16, used = 0, got = 1;
    cs_status s = CS_OK;
    *data_create = NULL;
    *size = 0;
    CS_TRY(cs_reader_init(&r, path, err));
    int64_t known = 0;
    if (r.fd > 0 && cs_io_kind(path, &known) == CS_FILE_REGULAR && known > 0 && (uint64_t)known < limit)
        cap = (size_t)known + 2;
    uint8_t *data = cs_malloc(cap);
    if (!data)
        s = cs_fail_nomem(err, cap, r.path);
    while (s == CS_OK && got > 0) {
        if (used + 1 >= cap) {
            uint8_t *more = cs_realloc(data, cap * 2);
            if (!more) {
                s = cs_fail_nomem(err, cap * 2, r.path);
                break;
            }
            data = more;
            cap *= 2;
        }
        s = cs_reader_read(&r, data + used, cap - 1 - used, &got, err);
        used += s == CS_OK ? got : 0;
        if (s == CS_OK && used > limit)
            s = cs_fail(err, CS_E_FORMAT, "%s: larger than %zu bytes; not the kind of file expected here", r.path, limit);
    }
    cs_reader_release(&r);
    if (s != CS_OK) {
        cs_free(data);
        return s;
    }
    data[used] = 0;
    *data_create = data;
    *size = used;
    return CS_OK;
}

static char *join(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    char *p = cs_malloc(n + m + 1);
    if (p) {
        memcpy(p, a, n);
        memcpy(p + n, b, m + 1);
    }
    return p;
}

/* The folder that holds `path`. */
static void dir_of(const char *path, char *buf, size_t n)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len == 0)
        snprintf(buf, n, ".");
    else
        snprintf(buf, n, "%.*s", (int)len, path);
}

/* Second try included: what is thrown away should not stay because of one bad moment. */
static int remove_file(const char *path)
{
    int r = -1;
    for (int i = 0; i < 2 && r != 0; i++)
        r = cs_io_fault("unlink") > 0 || (unlink(path) != 0 && errno != ENOENT) ? -1 : 0;
    return r;
}

static cs_status writer_open(cs_writer *w, const char *path, bool atomic, int flags, cs_error *err)
{
    char suffix[32];
    *w = (cs_writer){.fd = -1};
    snprintf(suffix, sizeof suffix, ".tmp.%ld", (long)getpid());
    w->path = cs_strdup(path);
    if (atomic)
        w->temp = join(path, suffix);
    if (!w->path || (atomic && !w->temp)) {
        cs_writer_abort(w);
        return cs_fail_nomem(err, strlen(path), "a file name");
    }
    const char *target = atomic ? w->temp : w->path;
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        cs_status s = cs_fail(err, CS_E_IO, "%s: is %s, cannot write a file there", path, S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
        cs_free(w->temp);
        w->temp = NULL;
        cs_writer_abort(w);
        return s;
    }
    w->fd = cs_io_open(target, flags, 0666);
    if (w->fd < 0) {
        cs_status s = cs_io_fail_errno(err, target, "create");
        cs_free(w->temp);
        w->temp = NULL;
        cs_writer_abort(w);
        return s;
    }
    return CS_OK;
}

cs_status cs_writer_init_atomic(cs_writer *w, const char *path, cs_error *err)
{
    return writer_open(w, path, true, O_WRONLY | O_CREAT | O_TRUNC, err);
}

cs_status cs_writer_init_plain(cs_writer *w, const char *path, cs_error *err)
{
    return writer_open(w, path, false, O_WRONLY | O_CREAT | O_TRUNC, err);
}

cs_status cs_writer_init_append(cs_writer *w, const char *path, cs_error *err)
{
    return writer_open(w, path, false, O_WRONLY | O_CREAT | O_APPEND, err);
}

cs_status cs_writer_init_update(cs_writer *w, const char *path, cs_error *err)
{
    return writer_open(w, path, false, O_WRONLY, err);
}

static cs_status put(cs_writer *w, const void *data, size_t n, int64_t offset, cs_error *err)
{
    const uint8_t *p = data;
    while (n > 0) {
        int code = cs_io_fault("write");
        size_t ask = code < 0 && n > 1 ? n / 2 : n > ((size_t)1 << 30) ? (size_t)1 << 30 : n;
        ssize_t k = code > 0 ? -1 : offset < 0 ? write(w->fd, p, ask) : pwrite(w->fd, p, ask, (off_t)offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return cs_io_fail_errno(err, w->path, "write");
        p += k;
        n -= (size_t)k;
        offset += offset < 0 ? 0 : k;
    }
    return CS_OK;
}

cs_status cs_writer_write(cs_writer *w, const void *data, size_t n, cs_error *err)
{
    CS_TRY(put(w, data, n, -1, err));
    w->at += (int64_t)n;
    return CS_OK;
}

cs_status cs_writer_pwrite(cs_writer *w, const void *data, size_t n, int64_t offset, cs_error *err)
{
    CS_ASSERT(offset >= 0);
    return put(w, data, n, offset, err);
}

static cs_status sync_fd(int fd, const char *path, cs_error *err)
{
    int r;
    do { /* interrupted before it began is no answer about the data; any other error is final */
        r = cs_io_fault("fsync") > 0 ? -1 : fsync(fd);
    } while (r != 0 && errno == EINTR);
    return r != 0 ? cs_io_fail_errno(err, path, "flush to disk") : CS_OK;
}

cs_status cs_io_fsync_dir(const char *path, cs_error *err)
{
    int fd = cs_io_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return cs_io_fail_errno(err, path, "open");
    cs_status s = sync_fd(fd, path, err);
    close(fd);
    return s;
}

static cs_status rename_retry(const char *from, const char *to, cs_error *err)
{
    return cs_io_fault("rename") > 0 || rename(from, to) != 0 ? cs_io_fail_errno(err, to, "rename into place") : CS_OK;
}

cs_status cs_io_rename(const char *from, const char *to, cs_error *err)
{
    char dir[PATH_MAX];
    CS_TRY(rename_retry(from, to, err));
    dir_of(to, dir, sizeof dir);
    return cs_io_fsync_dir(dir, err);
}

cs_status cs_io_exchange(const char *from, const char *to, cs_error *err)
{
    char dir[PATH_MAX];
    if (cs_io_kind(to, NULL) == CS_FILE_NONE)
        return cs_io_rename(from, to, err);
    int r = cs_io_fault("rename") > 0 ? -1 : renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE);
    if (r != 0)
        return cs_io_fail_errno(err, to, "exchange with the new one");
    dir_of(to, dir, sizeof dir);
    return cs_io_fsync_dir(dir, err);
}

cs_status cs_writer_commit(cs_writer *w, cs_error *err)
{
    cs_status s = sync_fd(w->fd, w->path, err);
    int fd = w->fd;
    w->fd = -1;
    int r = close(fd);
    if ((cs_io_fault("close") > 0 || r != 0) && s == CS_OK)
        s = cs_io_fail_errno(err, w->path, "close");
    if (s == CS_OK && w->temp) {
        s = rename_retry(w->temp, w->path, err);
        if (s == CS_OK) {
            char dir[PATH_MAX];
            cs_free(w->temp);
            w->temp = NULL;
            dir_of(w->path, dir, sizeof dir);
            s = cs_io_fsync_dir(dir, err);
        }
    }
    cs_writer_abort(w);
    return s;
}

void cs_writer_abort(cs_writer *w)
{
    if (w->path && w->fd >= 0)
        close(w->fd);
    if (w->temp)
        remove_file(w->temp);
    cs_free(w->path);
    cs_free(w->temp);
    *w = (cs_writer){.fd = -1};
}

cs_status cs_io_write_atomic(const char *path, const void *data, size_t n, cs_error *err)
{
    cs_writer w;
    CS_TRY(cs_writer_init_atomic(&w, path, err));
    cs_status s = cs_writer_write(&w, data, n, err);
    if (s == CS_OK)
        return cs_writer_commit(&w, err);
    cs_writer_abort(&w);
    return s;
}

cs_status cs_io_truncate(const char *path, int64_t size, cs_error *err)
{
    int r;
    do {
        r = cs_io_fault("truncate") > 0 ? -1 : truncate(path, (off_t)size);
    } while (r != 0 && errno == EINTR);
    return r != 0 ? cs_io_fail_errno(err, path, "truncate") : CS_OK;
}

cs_status cs_io_mkdirs(const char *path, cs_error *err)
{
    char buf[PATH_MAX];
    if (strlen(path) >= sizeof buf)
        return cs_fail(err, CS_E_IO, "%s: path too long", path);
    strcpy(buf, path);
    for (char *p = buf + 1;; p++) {
        char c = *p;
        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        int r = cs_io_fault("mkdir") > 0 ? -1 : mkdir(buf, 0777);
        if (r != 0 && (errno != EEXIST || cs_io_kind(buf, NULL) != CS_FILE_DIR))
            return cs_io_fail_errno(err, buf, "create the folder");
        *p = c;
        if (c == '\0')
            return CS_OK;
    }
}

/* Needs no memory of ours: it also runs because there is none. */
static cs_status remove_entries(const char *path, cs_error *err)
{
    char full[PATH_MAX];
    cs_status s = CS_OK;
    DIR *d = open_dir(path);
    if (!d)
        return cs_io_fail_errno(err, path, "open the folder");
    while (s == CS_OK) {
        errno = 0;
        const struct dirent *e = cs_io_fault("list") > 0 ? NULL : readdir(d);
        if (!e && errno != 0)
            s = cs_io_fail_errno(err, path, "list the folder");
        if (!e)
            break;
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            (size_t)snprintf(full, sizeof full, "%s/%s", path, e->d_name) < sizeof full)
            s = cs_io_remove_tree(full, err);
    }
    closedir(d);
    return s;
}

cs_status cs_io_remove_tree(const char *path, cs_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? CS_OK : cs_io_fail_errno(err, path, "stat");
    if (S_ISDIR(st.st_mode)) {
        CS_TRY(remove_entries(path, err));
        return cs_io_fault("rmdir") > 0 || rmdir(path) != 0 ? cs_io_fail_errno(err, path, "remove") : CS_OK;
    }
    return remove_file(path) != 0 ? cs_io_fail_errno(err, path, "remove") : CS_OK;
}

cs_status cs_io_symlink_atomic(const char *target, const char *link, cs_error *err)
{
    char temp[PATH_MAX];
    if ((size_t)snprintf(temp, sizeof temp, "%s.tmp.%ld", link, (long)getpid()) >= sizeof temp)
        return cs_fail(err, CS_E_IO, "%s: path too long", link);
    unlink(temp);
    int r = cs_io_fault("link") > 0 ? -1 : symlink(target, temp);
    if (r != 0)
        return cs_io_fail_errno(err, temp, "create the link");
    cs_status s = cs_io_rename(temp, link, err);
    if (s != CS_OK)
        remove_file(temp);
    return s;
}

bool cs_io_readlink(const char *link, char *buf, size_t n)
{
    ssize_t k = readlink(link, buf, n - 1);
    if (k < 0)
        return false;
    buf[k] = '\0';
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

cs_status cs_io_list(const char *dir, char ***names_create, size_t *n, cs_error *err)
{
    char **names = NULL;
    size_t used = 0, cap = 0;
    cs_status s = CS_OK;
    *names_create = NULL;
    *n = 0;
    DIR *d = open_dir(dir);
    if (!d)
        return cs_io_fail_errno(err, dir, "open the folder");
    while (s == CS_OK) {
        errno = 0;
        struct dirent *e = cs_io_fault("list") > 0 ? NULL : readdir(d);
        if (!e && errno != 0)
            s = cs_io_fail_errno(err, dir, "list the folder");
        if (!e)
            break;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (used == cap) {
            char **more = cs_realloc(names, (cap ? cap * 2 : 16) * sizeof *names);
            if (!more) {
                s = cs_fail_nomem(err, cap * 2 * sizeof *names, dir);
                break;
            }
            names = more;
            cap = cap ? cap * 2 : 16;
        }
        names[used] = cs_strdup(e->d_name);
        if (!names[used])
            s = cs_fail_nomem(err, strlen(e->d_name), dir);
        else
            used++;
    }
    closedir(d);
    if (s != CS_OK) {
        cs_io_list_free(names, used);
        return s;
    }
    if (used > 0)
        qsort(names, used, sizeof *names, compare_names);
    *names_create = names;
    *n = used;
    return CS_OK;
}

void cs_io_list_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cs_free(names[i]);
    cs_free(names);
}

cs_status cs_io_lock(const char *path, double wait_s, int *fd_out, cs_error *err)
{
    int fd = cs_io_open(path, O_RDWR | O_CREAT, 0666);
    if (fd < 0)
        return cs_io_fail_errno(err, path, "create");
    double end = cs_clock_now() + wait_s;
    while ((cs_io_fault("lock") > 0 ? -1 : flock(fd, LOCK_EX | LOCK_NB)) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK) {
            cs_status s = cs_io_fail_errno(err, path, "lock");
            close(fd);
            return s;
        }
        if (cs_clock_now() > end) {
            char pid[32] = "?";
            ssize_t k = pread(fd, pid, sizeof pid - 1, 0);
            pid[k > 0 ? k : 1] = '\0';
            pid[strcspn(pid, "\n")] = '\0';
            close(fd);
            return cs_fail(err, CS_E_IO, "%s: locked by process %s; stop that run or choose another folder", path, pid);
        }
        struct timespec nap = {0, 50000000};
        nanosleep(&nap, NULL);
    }
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        cs_status s = cs_io_fail_errno(err, path, "write");
        close(fd);
        return s;
    }
    *fd_out = fd;
    return CS_OK;
}

void cs_io_unlock(int fd)
{
    if (fd >= 0)
        close(fd);
}

int64_t cs_io_free_bytes(const char *path)
{
    struct statvfs v;
    return statvfs(path, &v) != 0 ? -1 : (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

void cs_io_hold_standard(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return; /* /dev/null is missing: nothing better can be done */
}

bool cs_io_stdout_closed(void)
{
    struct pollfd p = {.fd = 1, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}
