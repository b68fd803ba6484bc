/* SPDX-License-Identifier: ISC */
/*
 * Undo: before a write the old bytes are kept, in sectors; a sync of that file forgets them; the
 * power cut puts a random half of them back. A name that was made goes again, unless its folder has
 * been synced.
 */
#include "queue_power.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SECTOR = 512, UNDO_MAX = 1 << 16, NAMES_MAX = 64 };

struct undo {
	int fd;
	off_t at;
	unsigned char old[SECTOR];
	size_t n;
};

static struct {
	unsigned step, target, seed;
	enum power_when when;
	bool cut, off;
	struct undo *undo;
	size_t nundo;
	struct {
		int dir;
		ino_t dir_inode;
		char name[64];
	} names[NAMES_MAX];
	size_t nnames;
} power = {.off = true};

int __real_openat64(int dir, const char *path, int flags, ...);
ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_renameat(int from, const char *a, int to, const char *b);
int __real_unlinkat(int dir, const char *name, int flags);

int __wrap_openat64(int dir, const char *path, int flags, ...);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_renameat(int from, const char *a, int to, const char *b);
int __wrap_unlinkat(int dir, const char *name, int flags);

void
power_set(unsigned step, enum power_when when, bool cut, unsigned seed)
{
	power.off = false;
	power.step = 0;
	power.target = step;
	power.when = when;
	power.cut = cut;
	power.seed = seed;
	power.undo = calloc(UNDO_MAX, sizeof *power.undo);
}

unsigned
power_steps(void)
{
	return power.step;
}

static bool
chance(void)
{
	return rand_r(&power.seed) % 2 == 0;
}

static void
die(void)
{
	for (size_t i = power.nundo; power.cut && i-- > 0;)
		if (chance() && __real_pwrite64(power.undo[i].fd, power.undo[i].old,
				    power.undo[i].n, power.undo[i].at) == -1)
			continue;
	for (size_t i = 0; power.cut && i < power.nnames; i++)
		if (chance())
			__real_unlinkat(power.names[i].dir, power.names[i].name, 0);
	kill(getpid(), SIGKILL);
}

/* true: this is the call, and it is not to be made (or to be made in part by the caller, who then
 * calls die()). */
static bool
now(enum power_when when)
{
	return !power.off && power.target != 0 && power.step == power.target && power.when == when;
}

static void
begin(void)
{
	power.step++;
	if (now(POWER_BEFORE))
		die();
}

static void
end(void)
{
	if (now(POWER_AFTER) || now(POWER_PARTLY))
		die();
}

static void
remember(int fd, off_t at, size_t n)
{
	while (n > 0 && power.cut && power.nundo < UNDO_MAX) {
		size_t part = SECTOR - (size_t)(at % SECTOR);
		struct undo *u = &power.undo[power.nundo];
		if (part > n)
			part = n;
		ssize_t old = pread(fd, u->old, part, at);
		/* Behind the file's end there were zeros, as a new block has. */
		if (old < (ssize_t)part)
			memset(u->old + (old > 0 ? old : 0), 0, part - (size_t)(old > 0 ? old : 0));
		u->fd = fd;
		u->at = at;
		u->n = part;
		power.nundo++;
		at += (off_t)part;
		n -= part;
	}
}

static void
synced(int fd)
{
	struct stat st;
	size_t kept = 0;

	for (size_t i = 0; i < power.nundo; i++)
		if (power.undo[i].fd != fd)
			power.undo[kept++] = power.undo[i];
	power.nundo = kept;
	if (fstat(fd, &st) == -1 || !S_ISDIR(st.st_mode))
		return;
	kept = 0;
	for (size_t i = 0; i < power.nnames; i++)
		if (power.names[i].dir_inode != st.st_ino)
			power.names[kept++] = power.names[i];
	power.nnames = kept;
}

static void
named(int dir, const char *name)
{
	struct stat st;

	if (power.nnames == NAMES_MAX || strchr(name, '/') != NULL || fstat(dir, &st) == -1)
		return;
	power.names[power.nnames].dir = dir;
	power.names[power.nnames].dir_inode = st.st_ino;
	strncpy(power.names[power.nnames].name, name, sizeof power.names[0].name - 1);
	power.nnames++;
}

int
__wrap_openat64(int dir, const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	int mode = (flags & O_CREAT) != 0 ? va_arg(ap, int) : 0;
	va_end(ap);
	if (power.off || (flags & O_CREAT) == 0)
		return __real_openat64(dir, path, flags, mode);
	begin();
	int fd = __real_openat64(dir, path, flags, mode);
	if (fd != -1)
		named(dir, path);
	end();
	return fd;
}

ssize_t
__wrap_pwrite64(int fd, const void *p, size_t n, off_t at)
{
	if (power.off)
		return __real_pwrite64(fd, p, n, at);
	begin();
	remember(fd, at, n);
	ssize_t done = __real_pwrite64(fd, p, now(POWER_PARTLY) ? n / 2 : n, at);
	end();
	return done;
}

ssize_t
__wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t at)
{
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (power.off)
		return __real_pwritev64(fd, iov, n, at);
	begin();
	remember(fd, at, total);
	ssize_t done = __real_pwritev64(fd, iov, now(POWER_PARTLY) ? (n + 1) / 2 : n, at);
	end();
	return done;
}

ssize_t
__wrap_write(int fd, const void *p, size_t n)
{
	off_t at = power.off ? -1 : lseek(fd, 0, SEEK_CUR);

	if (at == -1)
		return __real_write(fd, p, n);
	begin();
	remember(fd, at, n);
	ssize_t done = __real_write(fd, p, now(POWER_PARTLY) ? n / 2 : n);
	end();
	return done;
}

int
__wrap_fsync(int fd)
{
	if (power.off)
		return __real_fsync(fd);
	begin();
	/* The disk is not asked: this layer decides what it has. */
	synced(fd);
	end();
	return 0;
}

int
__wrap_fdatasync(int fd)
{
	return __wrap_fsync(fd);
}

int
__wrap_renameat(int from, const char *a, int to, const char *b)
{
	if (!power.off)
		begin();
	int rc = __real_renameat(from, a, to, b);
	if (!power.off)
		end();
	return rc;
}

int
__wrap_unlinkat(int dir, const char *name, int flags)
{
	if (!power.off)
		begin();
	int rc = __real_unlinkat(dir, name, flags);
	if (!power.off)
		end();
	return rc;
}
