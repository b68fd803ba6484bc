/* SPDX-License-Identifier: ISC */
/* Small wrappers of system calls that two programs need in the same way. */
#ifndef KP_BASE_IO_H
#define KP_BASE_IO_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/base/attr.h"

struct buf;
struct why;

/* Closes `*fd` where it is one, and sets it to -1. */
void fd_close(int *fd);

/* All of it or -1 with errno; EINTR is tried again. A short pread of the file's end is an error
 * (errno = EIO). */
int write_all(int fd, const void *p, size_t n) KP_MUST_USE;
int pwrite_all(int fd, const void *p, size_t n, off_t at) KP_MUST_USE;
int pread_all(int fd, void *p, size_t n, off_t at) KP_MUST_USE;

/* Appends all of a file up to the buffer's max. 0, or -1 with `why` (too large is permanent). */
int file_read(int dirfd, const char *path, struct buf *b, struct why *why) KP_MUST_USE;

/* O_NONBLOCK and FD_CLOEXEC; -1 with errno. */
int fd_nonblock(int fd) KP_MUST_USE;
int fd_cloexec(int fd, int on) KP_MUST_USE;

/* mkdir with all parents, mode 0755 for those it makes but the last; 0 where it exists. */
int mkdir_all(const char *path, mode_t mode) KP_MUST_USE;

#endif
