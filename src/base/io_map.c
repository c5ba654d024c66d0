/* Files as memory: read-only maps, and scratch files that have no name. */
#include "base/io.h"
#include "base/io_call.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

cs_status cs_map_init(cs_map *map, const char *path, cs_error *err)
{
    struct stat st;
    int fd;
    *map = (cs_map){(const uint8_t *)"", 0, path};
    CS_TRY(cs_io_open_regular(path, &fd, &st, err));
    if (st.st_size > 0) {
        void *p = cs_io_fault("mmap") > 0 ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) {
            cs_status s = cs_io_fail_errno(err, path, "map");
            close(fd);
            return s;
        }
        map->data = p;
        map->size = (size_t)st.st_size;
    }
    close(fd);
    return CS_OK;
}

void cs_map_release(cs_map *map)
{
    if (map->size > 0)
        munmap((void *)map->data, map->size);
    *map = (cs_map){(const uint8_t *)"", 0, NULL};
}

/* Takes the blocks now: a disk that is full later would end the process when a page is written. */
static cs_status reserve(int fd, const char *path, size_t size, cs_error *err)
{
    int code;
    do {
        code = cs_io_fault("write") > 0 ? errno : posix_fallocate(fd, 0, (off_t)size);
    } while (code == EINTR);
    errno = code;
    return code == 0 ? CS_OK : cs_io_fail_errno(err, path, "reserve space in");
}

/* The name is taken exclusively and given up at once: two runs never meet in one file, and what a process killed between the two calls left behind is
 * removed by the next one. */
cs_status cs_io_scratch(const char *path, size_t size, void **out, cs_error *err)
{
    int fd = -1;
    *out = NULL;
    for (int i = 0; fd < 0 && i < 100; i++) {
        if ((cs_io_fault("unlink") > 0 || unlink(path) != 0) && errno != ENOENT)
            return cs_io_fail_errno(err, path, "remove");
        fd = cs_io_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        return cs_io_fail_errno(err, path, "create");
    unlink(path);
    cs_status status = reserve(fd, path, size, err);
    if (status == CS_OK) {
        void *p = cs_io_fault("mmap") > 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            status = cs_io_fail_errno(err, path, "map");
        else
            *out = p;
    }
    close(fd);
    return status;
}

void cs_io_scratch_free(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}
