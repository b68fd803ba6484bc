/* SPDX-License-Identifier: ISC */
/*
 * Maildir. Steps of one delivery: (1) tmp/NAME is created, written, synced; (2) linked to new/NAME,
 * tmp/NAME removed; (3) new/ is synced, once for all that were linked in this round; (4) the result
 * is sent. A failed sync is final: the name in new/ is taken back, and the delivery is deferred.
 * Every folder is opened without following a link and must be the user's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/str.h"
#include "local/agent/agent.h"

struct maildir {
	int top, tmp, new;
};

static void
maildir_close(struct maildir *m)
{
	fd_close(&m->top);
	fd_close(&m->tmp);
	fd_close(&m->new);
}

static int
folder_open(int at, const char *name, struct why *why)
{
	struct stat st;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid())
		return fd;
	close(fd);
	errno = EPERM;
	return why_temp(why, "4.2.0", "the folder %s belongs to somebody else", name);
}

/* Makes what is missing, and makes it durable. */
static int
subfolder_open(int top, const char *name, struct why *why)
{
	int fd = folder_open(top, name, why);

	if (fd == -1 && errno == ENOENT && mkdirat(top, name, 0700) == 0 && fsync(top) == 0)
		fd = folder_open(top, name, why);
	return fd;
}

/* `target` without the slash at its end, with which a link would be followed. */
static int
maildir_open(struct maildir *m, const char *target, struct why *why)
{
	char path[PATH_MAX];
	size_t n = strlen(target);

	*m = (struct maildir){-1, -1, -1};
	while (n > 1 && target[n - 1] == '/')
		n--;
	if (!str_copy(path, sizeof path, str_make(target, n)))
		return why_temp(why, "4.2.0", "maildir delivery failed: the path is too long");
	errno = 0;
	m->top = folder_open(AT_FDCWD, path, why);
	if (m->top == -1 && errno == ENOENT && mkdir_all(path, 0700) == 0)
		m->top = folder_open(AT_FDCWD, path, why);
	if (m->top == -1)
		return why_file(why, "4.2.0", "maildir delivery failed: open %s", path);
	m->tmp = subfolder_open(m->top, "tmp", why);
	m->new = m->tmp != -1 ? subfolder_open(m->top, "new", why) : -1;
	int cur = m->new != -1 ? subfolder_open(m->top, "cur", why) : -1;
	if (cur == -1) {
		why_file(why, "4.2.0", "maildir delivery failed: folders of %s", path);
		maildir_close(m);
		return -1;
	}
	close(cur);
	return 0;
}

/* time.MusecPpidQcount.host: unique on this machine, as https://cr.yp.to/proto/maildir.html wants
 * it. */
static void
name_make(struct request *r)
{
	char host[256] = "localhost";
	int64_t now = wall_us();

	if (gethostname(host, sizeof host) == -1)
		snprintf(host, sizeof host, "localhost");
	host[sizeof host - 1] = '\0';
	for (char *p = host; *p != '\0'; p++)
		if (*p == '/' || *p == ':' || (unsigned char)*p <= ' ')
			*p = '_';
	snprintf(r->name, sizeof r->name, "%lld.M%06lldP%ldQ%lu.%s", (long long)(now / 1000000),
	    (long long)(now % 1000000), (long)getpid(), ++r->agent->count, host);
}

static int
message_write(struct request *r, int tmp, struct why *why)
{
	int fd = openat(tmp, r->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd == -1)
		return why_file(why, "4.2.0", "maildir delivery failed: create %s", r->name);
	if (content_write(r, fd, false, why) == -1)
		goto fail;
	if (fsync(fd) == -1) {
		why_file(why, "4.3.0", "maildir delivery failed: sync %s", r->name);
		goto fail;
	}
	if (close(fd) == 0)
		return 0;
	fd = -1;
	why_file(why, "4.3.0", "maildir delivery failed: close %s", r->name);
fail:
	fd_close(&fd);
	(void)unlinkat(tmp, r->name, 0); /* what stays in tmp/ is not mail */
	return -1;
}

/* A file system without hard links gets a rename that replaces nothing. */
static int
message_link(const struct request *r, const struct maildir *m, struct why *why)
{
	if (linkat(m->tmp, r->name, m->new, r->name, 0) == 0) {
		(void)unlinkat(m->tmp, r->name, 0); /* what stays in tmp/ is not mail */
		return 0;
	}
	if ((errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK) &&
	    renameat2(m->tmp, r->name, m->new, r->name, RENAME_NOREPLACE) == 0)
		return 0;
	why_file(why, "4.2.0", "maildir delivery failed: link %s", r->name);
	(void)unlinkat(m->tmp, r->name, 0); /* as above */
	return -1;
}

void
maildir_deliver(struct request *r)
{
	struct maildir m;
	struct why why = {0};

	name_make(r);
	if (maildir_open(&m, r->target, &why) == -1) {
		request_end(r, &why);
		return;
	}
	if (message_write(r, m.tmp, &why) == -1 || message_link(r, &m, &why) == -1) {
		maildir_close(&m);
		request_end(r, &why);
		return;
	}
	r->new_dir = m.new;
	m.new = -1;
	maildir_close(&m);
	loop_defer(&r->agent->loop, &r->agent->sync);
}

static bool
same_folder(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

static void
linked_end(struct request *r, int error)
{
	struct why why = {0};

	if (error == 0) {
		request_sent(r, "delivered to maildir");
		return;
	}
	(void)unlinkat(
	    r->new_dir, r->name, 0); /* a second copy is better than none that is durable */
	errno = error;
	why_file(&why, "4.3.0", "maildir delivery failed: sync the folder new/");
	request_end(r, &why);
}

/* One sync for each folder that got something. */
void
maildir_sync(void *agent)
{
	struct agent *a = agent;
	struct request *r, *first, *next;

	for (;;) {
		TAILQ_FOREACH (first, &a->requests, link)
			if (first->new_dir != -1)
				break;
		if (first == NULL)
			return;
		int dir = dup(first->new_dir);
		int error = dir == -1 || fsync(dir) == -1 ? errno : 0;
		for (r = first; r != NULL; r = next) {
			next = TAILQ_NEXT(r, link);
			if (r == first ||
			    (dir != -1 && r->new_dir != -1 && same_folder(r->new_dir, dir)))
				linked_end(r, error);
		}
		fd_close(&dir);
	}
}
