/* Inside of the file-system seam, shared by io.c, io_map.c and io_copy.c. */
#ifndef CS_BASE_IO_CALL_H
#define CS_BASE_IO_CALL_H

#include "base/error.h"

#include <sys/stat.h>

/* CS_E_IO "path: cannot what: reason" from errno. */
cs_status cs_io_fail_errno(cs_error *err, const char *path, const char *what);
/* One failpoint per system call: 0 = go on, -1 = short transfer, else errno is set and the call must count as failed. */
int cs_io_fault(const char *site);
/* open that goes on after EINTR; -1 with errno. */
int cs_io_open(const char *path, int flags, mode_t mode);
/* Opens for reading and checks that it is a regular file, without blocking on a FIFO. */
cs_status cs_io_open_regular(const char *path, int *fd_out, struct stat *st, cs_error *err);

#endif
