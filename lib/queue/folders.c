/* SPDX-License-Identifier: ISC */
/*
 * The folder's name says the state of what is in it. corrupt/ is kept for a person: nothing in it
 * is ever read as mail, overwritten or deleted by kingpost.
 */
#include "lib/queue/folders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/why.h"

static const char *const names[FOLDER_COUNT] = {
    [FOLDER_NEW] = "new",
    [FOLDER_CUR] = "cur",
    [FOLDER_HOLD] = "hold",
    [FOLDER_CORRUPT] = "corrupt",
    [FOLDER_TMP] = "tmp",
    [FOLDER_INDEX] = "index",
    [FOLDER_RESULTS] = "results",
};

enum { NAME_TRIES = 1000 };

const char *
folder_name(enum folder f)
{
	return names[f];
}

int
folders_open(struct folders *f, int queuefd, struct why *why)
{
	for (int i = 0; i < FOLDER_COUNT; i++)
		f->fd[i] = -1;
	for (int i = 0; i < FOLDER_COUNT; i++) {
		mode_t mode = i == FOLDER_NEW ? 0770 : 0700;
		if (mkdirat(queuefd, names[i], mode) == -1 && errno != EEXIST) {
			why_sys(why, "4.3.0", "make queue/%s", names[i]);
			goto fail;
		}
		f->fd[i] =
		    openat(queuefd, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (f->fd[i] == -1) {
			why_sys(why, "4.3.0", "open queue/%s", names[i]);
			goto fail;
		}
	}
	return 0;
fail:
	folders_close(f);
	return -1;
}

void
folders_close(struct folders *f)
{
	for (int i = 0; i < FOLDER_COUNT; i++)
		fd_close(&f->fd[i]);
}

int
folder_each(int dirfd, int (*visit)(void *arg, const char *name), void *arg, struct why *why)
{
	struct dirent *row;
	int rc = 0;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (dir == NULL) {
		why_sys(why, "4.3.0", "read a queue folder");
		fd_close(&fd);
		return -1;
	}
	while (rc == 0 && (row = readdir(dir)) != NULL)
		if (row->d_name[0] != '.' && row->d_type != DT_DIR)
			rc = visit(arg, row->d_name);
	closedir(dir);
	return rc;
}

/* A name in corrupt/ that is not taken: NAME, NAME.1, NAME.2, ... */
static void
free_name(const struct folders *f, const char *name, char *out)
{
	snprintf(out, NAME_MAX, "%s", name);
	for (int i = 1; i < NAME_TRIES && faccessat(f->fd[FOLDER_CORRUPT], out, F_OK, 0) == 0; i++)
		snprintf(out, NAME_MAX, "%s.%d", name, i);
}

static int
write_file(int dirfd, const char *name, struct str bytes, struct why *why)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd == -1)
		return why_sys(why, "4.3.0", "create corrupt/%s", name);
	int rc = write_all(fd, bytes.p, bytes.n) == 0 && fsync(fd) == 0 ? 0 : -1;
	if (rc == -1)
		why_sys(why, "4.3.0", "write corrupt/%s", name);
	close(fd);
	return rc;
}

/* The reason is a help, the damaged thing itself is what counts: a reason that cannot be written is
 * no failure. */
static void
write_reason(const struct folders *f, const char *name, const char *reason)
{
	char path[NAME_MAX + 1], line[1100];

	snprintf(path, sizeof path, "%.*s.reason", NAME_MAX - 8, name);
	snprintf(line, sizeof line, "%.1000s\n", reason);
	(void)write_file(f->fd[FOLDER_CORRUPT], path, str_from(line), NULL);
}

int
corrupt_move(const struct folders *f, enum folder from, const char *name, const char *reason,
    struct why *why)
{
	char to[NAME_MAX];

	free_name(f, name, to);
	if (renameat2(f->fd[from], name, f->fd[FOLDER_CORRUPT], to, RENAME_NOREPLACE) == -1)
		return why_sys(why, "4.3.0", "move %s to corrupt/", name);
	write_reason(f, to, reason);
	if (fsync(f->fd[FOLDER_CORRUPT]) == -1 || fsync(f->fd[from]) == -1)
		return why_sys(why, "4.3.0", "sync corrupt/");
	return 0;
}

int
corrupt_keep(const struct folders *f, const char *name, struct str bytes, const char *reason,
    struct why *why)
{
	char to[NAME_MAX];

	free_name(f, name, to);
	if (write_file(f->fd[FOLDER_CORRUPT], to, bytes, why) == -1)
		return -1;
	write_reason(f, to, reason);
	return fsync(f->fd[FOLDER_CORRUPT]) == -1 ? why_sys(why, "4.3.0", "sync corrupt/") : 0;
}
