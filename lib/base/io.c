/* SPDX-License-Identifier: ISC */
/* System calls until they are done. */
#include "lib/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"

void
fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int
write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t done = write(fd, at, n);
		if (done == -1 && errno == EINTR)
			continue;
		if (done == -1)
			return -1;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int
pwrite_all(int fd, const void *p, size_t n, off_t at)
{
	const char *from = p;

	while (n > 0) {
		ssize_t done = pwrite(fd, from, n, at);
		if (done == -1 && errno == EINTR)
			continue;
		if (done == -1)
			return -1;
		from += done;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int
pread_all(int fd, void *p, size_t n, off_t at)
{
	char *to = p;

	while (n > 0) {
		ssize_t done = pread(fd, to, n, at);
		if (done == -1 && errno == EINTR)
			continue;
		if (done == 0)
			errno = EIO;
		if (done <= 0)
			return -1;
		to += done;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int
file_read(int dirfd, const char *path, struct buf *b, struct why *why)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return why_sys(why, "4.3.0", "open %s", path);
	for (;;) {
		char part[16384];
		ssize_t n = read(fd, part, sizeof part);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			break;
		if (n == -1) {
			why_sys(why, "4.3.0", "read %s", path);
			goto fail;
		}
		if (buf_add(b, part, (size_t)n) == -1) {
			why_perm(why, "5.3.0", "%s is larger than %zu bytes", path, b->max);
			goto fail;
		}
	}
	close(fd);
	return 0;
fail:
	close(fd);
	return -1;
}

int
fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags == -1 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int
fd_cloexec(int fd, int on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0);
}

int
mkdir_all(const char *path, mode_t mode)
{
	char part[PATH_MAX];

	if (strlen(path) >= sizeof part) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (const char *slash = strchr(path + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		memcpy(part, path, (size_t)(slash - path));
		part[slash - path] = '\0';
		if (mkdir(part, 0755) == -1 && errno != EEXIST)
			return -1;
	}
	if (mkdir(path, mode) == -1 && errno != EEXIST)
		return -1;
	return 0;
}
