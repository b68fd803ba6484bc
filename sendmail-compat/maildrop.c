/* SPDX-License-Identifier: ISC */
/*
 * maildrop: the one program of kingpost that runs with a group which is not its caller's (setgid
 * kp-drop). It copies standard input to a new file in the maildrop, syncs it, gives it its final
 * name, and does nothing else: what is inside is checked by pickup, which trusts none of it; whose
 * it is says the owner of the file. It takes no options, reads no environment, and opens no name
 * that a caller can choose.
 */
#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/layout.h"
#include "lib/base/why.h"

enum { SIZE_MAX_BYTES = 1024 * 1024 * 1024 };

static const char magic[] = "KPDROP1\n";

static int
give_up(const char *what)
{
	fprintf(stderr, "maildrop: %s: %s\n", what, strerror(errno));
	return EX_TEMPFAIL;
}

/* Descriptors 0 to 2 must be something, or the file would become one of them. */
static void
clean_descriptors(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) != -1 && fd <= STDERR_FILENO)
		;
	close_range(STDERR_FILENO + 1, ~0U, 0);
}

static void
clean_process(void)
{
	struct rlimit limit;

	clearenv();
	clean_descriptors();
	umask(0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write(), not our end */
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_FSIZE, &limit);
	}
}

/* 0, or -1 with errno. */
static int
copy(int to)
{
	char part[64 * 1024];
	size_t total = 0;

	if (write_all(to, magic, sizeof magic - 1) == -1)
		return -1;
	for (;;) {
		ssize_t n = read(STDIN_FILENO, part, sizeof part);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		total += (size_t)n;
		if (total > SIZE_MAX_BYTES) {
			errno = EFBIG;
			return -1;
		}
		if (write_all(to, part, (size_t)n) == -1)
			return -1;
	}
}

/* pickup reads by the folder's group: 0 where the file has it, or gets it (root, without our setgid
 * bit); else -1 with errno. */
static int
give_group(int dir, int fd)
{
	struct stat folder, file;

	if (fstat(dir, &folder) == -1 || fstat(fd, &file) == -1)
		return -1;
	return file.st_gid == folder.st_gid ? 0 : fchown(fd, (uid_t)-1, folder.st_gid);
}

int
main(void)
{
	struct layout layout;
	struct why why;
	char path[PATH_MAX + 16], draft[64], final[64];

	clean_process();
	if (layout_find(&layout, &why) == -1) {
		fprintf(stderr, "maildrop: %s\n", why.text);
		return EX_OSERR;
	}
	snprintf(path, sizeof path, "%s/maildrop", layout.spool);
	int dir = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir == -1)
		return give_up(path);
	snprintf(draft, sizeof draft, "tmp.%08x%08x", arc4random(), arc4random());
	snprintf(final, sizeof final, "drop.%lld.%08x%08x", (long long)time(NULL), arc4random(),
	    arc4random());
	int fd = openat(dir, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd == -1)
		return give_up(path);
	/* 1. the content is on the disk; 2. so is its final name (the folder cannot be opened for a
	 * sync of its own) */
	if (give_group(dir, fd) == -1 || copy(fd) == -1 || fsync(fd) == -1 ||
	    renameat(dir, draft, dir, final) == -1 || syncfs(fd) == -1) {
		int status = give_up(path);
		unlinkat(dir, draft, 0);
		unlinkat(dir, final, 0);
		return status;
	}
	return EX_OK;
}
