/* io.c, io_map.c and io_copy.c are the only files that call open/read/write/fsync/rename/mmap. Every call continues after EINTR and short transfers,
 * counts a failpoint, and reports errors as CS_E_IO with path, what was tried and the system's reason.
 * Nothing appears under its final name before it is whole and on disk. An fsync that failed is never tried again. */
#ifndef CS_BASE_IO_H
#define CS_BASE_IO_H

#include "base/error.h"

/* Read-only map of a regular file; an empty file gives data "" and size 0. `path` is borrowed. */
typedef struct cs_map {
    const uint8_t *data;
    size_t size;
    const char *path;
} cs_map;
/* Missing, directory, FIFO, device: CS_E_IO naming which. */
cs_status cs_map_init(cs_map *map, const char *path, cs_error *err);
void cs_map_release(cs_map *map);

/* `size` > 0 bytes of zeros in a new file of the folder that `path` lies in, mapped for reading and writing. The file has the name `path` for a
 * moment only (what has that name is removed) and goes with the process; its disk space is taken at once. Free with cs_io_scratch_free. */
cs_status cs_io_scratch(const char *path, size_t size, void **memory_create, cs_error *err);
void cs_io_scratch_free(void *memory, size_t size);

typedef enum cs_file_kind { CS_FILE_NONE, CS_FILE_REGULAR, CS_FILE_DIR, CS_FILE_OTHER } cs_file_kind;
/* Follows symlinks; size may be NULL and stays as it is for CS_FILE_NONE. CS_E_IO with the system's reason where neither a thing nor its
 * absence can be made out (no permission, a loop of links, a failing disk). */
cs_status cs_io_stat(const char *path, cs_file_kind *kind, int64_t *size, cs_error *err);
/* The same for callers that open what they find: what cannot be made out counts as a regular file of 0 bytes, and opening it tells why. */
cs_file_kind cs_io_kind(const char *path, int64_t *size);

/* Sequential reading; path "-" is stdin. */
typedef struct cs_reader {
    int fd;
    const char *path;
} cs_reader;
cs_status cs_reader_init(cs_reader *r, const char *path, cs_error *err);
/* Reads up to n bytes; *got == 0 means end of file. */
cs_status cs_reader_read(cs_reader *r, void *buf, size_t n, size_t *got, cs_error *err);
void cs_reader_release(cs_reader *r);

/* Whole file (path "-" is stdin) into one cs_malloc'ed buffer with a NUL behind it; larger than `limit`: CS_E_FORMAT. */
cs_status cs_io_read_all(const char *path, size_t limit, uint8_t **data_create, size_t *size, cs_error *err);

/* A file being written. Atomic kind: bytes go to `path.tmp.<pid>`; commit = fsync, rename, fsync of the folder. */
typedef struct cs_writer {
    int fd;
    char *path, *temp; /* owned; temp NULL for plain and append writers */
    int64_t at;        /* bytes written so far by cs_writer_write */
} cs_writer;
cs_status cs_writer_init_atomic(cs_writer *w, const char *path, cs_error *err);
/* Creates or truncates in place (inside a directory that is itself renamed later). */
cs_status cs_writer_init_plain(cs_writer *w, const char *path, cs_error *err);
cs_status cs_writer_init_append(cs_writer *w, const char *path, cs_error *err);
/* Opens an existing file for cs_writer_pwrite (several ranks write their own ranges of one file). */
cs_status cs_writer_init_update(cs_writer *w, const char *path, cs_error *err);
cs_status cs_writer_write(cs_writer *w, const void *data, size_t n, cs_error *err);
cs_status cs_writer_pwrite(cs_writer *w, const void *data, size_t n, int64_t offset, cs_error *err);
/* Appends bytes [from, from+n) of a regular file; what is no stored byte there is none here. For plain writers. A shorter file: CS_E_IO. */
cs_status cs_writer_copy(cs_writer *w, const char *path, int64_t from, int64_t n, cs_error *err);
/* fsync + (atomic: rename, fsync of the folder) + close. On failure the temp file is gone and the old file untouched. */
cs_status cs_writer_commit(cs_writer *w, cs_error *err);
/* Close without fsync (plain, append) or throw away (atomic). Safe on a zeroed or committed writer. */
void cs_writer_abort(cs_writer *w);

/* cs_writer_init_atomic + write + commit. */
cs_status cs_io_write_atomic(const char *path, const void *data, size_t n, cs_error *err);
cs_status cs_io_truncate(const char *path, int64_t size, cs_error *err);

cs_status cs_io_mkdirs(const char *path, cs_error *err);
/* Rename of a file or folder, then fsync of the target's folder. */
cs_status cs_io_rename(const char *from, const char *to, cs_error *err);
/* As cs_io_rename for a folder whose target may exist: then the two change places in one step, and `from` names the old one afterwards. */
cs_status cs_io_exchange(const char *from, const char *to, cs_error *err);
cs_status cs_io_fsync_dir(const char *path, cs_error *err);
/* Removes a file or a whole tree; a missing path is fine. Never follows symlinks. */
cs_status cs_io_remove_tree(const char *path, cs_error *err);
/* Makes `link` point to `target` by temp + rename + fsync of the folder. */
cs_status cs_io_symlink_atomic(const char *target, const char *link, cs_error *err);
/* Target of a symlink into buf (NUL-terminated); false if it is none. */
bool cs_io_readlink(const char *link, char *buf, size_t n);

/* Names in a folder without "." and "..", sorted bytewise. Free with cs_io_list_free. */
cs_status cs_io_list(const char *dir, char ***names_create, size_t *n, cs_error *err);
void cs_io_list_free(char **names, size_t n);

/* Exclusive lock on a file that is created if missing and holds the owner's pid; waits up to `wait_s` seconds.
 * Taken: CS_E_IO naming the holder's pid. The lock goes with the process. */
cs_status cs_io_lock(const char *path, double wait_s, int *fd_out, cs_error *err);
void cs_io_unlock(int fd);

/* Free bytes on the file system of `path`; -1 when unknown. */
int64_t cs_io_free_bytes(const char *path);

/* Opens /dev/null in place of any closed one of stdin, stdout, stderr, so that no later file lands on their numbers.
 * Called once at the start of the program. */
void cs_io_hold_standard(void);
/* True when stdout is a pipe or socket whose reader is gone. */
bool cs_io_stdout_closed(void);

#endif
