/* SPDX-License-Identifier: ISC */
/*
 * Files: mbox mailboxes and the /file of aliases. Steps: (1) open, without following a link,
 * regular, of one name only; (2) PATH.lock where the folder allows it, and a lock on the file;
 * whoever holds one is waited for by a timer; (3) note the length; (4) append, sync; on any error
 * truncate to the noted length; (5) unlock; (6) the result. After a crash a torn tail may stay;
 * Maildir has none.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "local/agent/agent.h"

enum { RETRY_MS = 200, STALE_LOCK_S = 500 };

/* 1: held (or the folder takes none); 0: somebody else holds it; -1 with `why`. */
static int
dotlock_take(const char *path, bool *made, struct why *why)
{
	char *lock = xasprintf("%s.lock", path);
	struct stat st;
	int rc = 1, fd = open(lock, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	*made = fd != -1;
	if (fd == -1 && errno == EEXIST) {
		rc = 0;
		if (lstat(lock, &st) == 0 && time(NULL) - st.st_mtime > STALE_LOCK_S)
			(void)unlink(lock); /* tried again by the timer */
	} else if (fd == -1 && errno != EACCES && errno != EROFS && errno != EPERM) {
		rc = why_file(why, "4.2.0", "cannot lock %s", path);
	}
	fd_close(&fd);
	free(lock);
	return rc;
}

static void
dotlock_release(const char *path)
{
	char *lock = xasprintf("%s.lock", path);

	(void)unlink(lock); /* one that stays is taken for stale after a while */
	free(lock);
}

static int
file_check(const struct request *r, int fd, struct stat *st, struct why *why)
{
	bool own = (r->flags & AGENT_OWN) != 0;

	if (fstat(fd, st) == -1)
		return why_sys(why, "4.2.0", "look at %s", r->target);
	if (!S_ISREG(st->st_mode))
		return why_perm(why, "5.2.0", "%s is not a regular file", r->target);
	if (st->st_nlink != 1)
		return why_temp(why, "4.2.0", "%s has more than one name, or none", r->target);
	if (own && st->st_uid != geteuid())
		return why_temp(why, "4.2.0", "the mailbox %s belongs to somebody else", r->target);
	if (!own && (st->st_mode & 0111) != 0)
		return why_perm(
		    why, "5.7.1", "%s is executable: mail is not appended to it", r->target);
	return 0;
}

static int
file_open(const struct request *r, struct stat *st, struct why *why)
{
	int fd = open(r->target,
	    O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);

	if (fd == -1)
		return why_file(why, errno == EISDIR || errno == ELOOP ? "4.3.5" : "4.2.0",
		    "open %s", r->target);
	if (file_check(r, fd, st, why) == 0)
		return fd;
	close(fd);
	return -1;
}

/* 1: ours; 0: not now. A mailbox that was renamed meanwhile is opened again by the timer. */
static int
file_lock(const struct request *r, int fd, struct stat *st)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat now;

	if (fcntl(fd, F_OFD_SETLK, &lock) == -1)
		return 0;
	return fstat(fd, st) == 0 && lstat(r->target, &now) == 0 && now.st_ino == st->st_ino &&
	       now.st_dev == st->st_dev;
}

/* "From sender date": no blank in the sender, which would end it for readers of mbox. */
static int
separator_write(const struct request *r, int fd, struct why *why)
{
	char date[64], line[1024];
	time_t now = time(NULL);
	struct tm tm;
	const char *sender = r->sender[0] != '\0' ? r->sender : "MAILER-DAEMON";

	if (localtime_r(&now, &tm) == NULL ||
	    strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &tm) == 0)
		return why_temp(why, "4.3.0", "the clock cannot be read");
	int n = snprintf(line, sizeof line, "From %s  %s\n", sender, date);
	if (n < 0 || (size_t)n >= sizeof line)
		return why_temp(why, "4.3.5", "the sender's address is too long for a mailbox");
	for (char *p = line + 5; p < line + 5 + strlen(sender); p++)
		if (*p == ' ' || *p == '\t')
			*p = '_';
	return write_all(fd, line, (size_t)n) == -1 ? why_file(why, "4.2.0", "write %s", r->target)
						    : 0;
}

static int
folder_sync(const char *path)
{
	char *copy = xstrdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    rc = fd == -1 ? -1 : fsync(fd);

	fd_close(&fd);
	free(copy);
	return rc;
}

static int
append(const struct request *r, int fd, off_t length, struct why *why)
{
	if (separator_write(r, fd, why) == -1 || content_write(r, fd, true, why) == -1)
		goto fail;
	if (write_all(fd, "\n", 1) == -1 || fsync(fd) == -1 ||
	    (length == 0 && folder_sync(r->target) == -1)) {
		why_file(why, "4.2.0", "write %s", r->target);
		goto fail;
	}
	return 0;
fail:
	if (ftruncate(fd, length) == -1 || fsync(fd) == -1)
		return why_temp(
		    why, NULL, "%s, and the part that was written could not be removed", why->text);
	return -1;
}

static void on_retry(evutil_socket_t fd, short what, void *arg);

static void
retry_later(struct request *r)
{
	struct timeval tv = clock_tv(RETRY_MS);
	struct why why = {0};

	if (clock_ms() >= r->give_up) {
		why_temp(&why, "4.2.0", "cannot lock %s: somebody else holds it", r->target);
		request_end(r, &why);
		return;
	}
	if (r->timer == NULL)
		r->timer = evtimer_new(r->agent->loop.base, on_retry, r);
	if (r->timer == NULL || evtimer_add(r->timer, &tv) == -1)
		fatal("no timer");
}

static void
file_try(struct request *r)
{
	struct why why = {0};
	struct stat st;
	bool dotlock = false;
	int fd = file_open(r, &st, &why), rc = -1;

	if (fd != -1)
		rc = dotlock_take(r->target, &dotlock, &why);
	if (rc == 1)
		rc = file_lock(r, fd, &st);
	bool locked = rc == 1;
	if (locked)
		rc = append(r, fd, st.st_size, &why);
	if (dotlock)
		dotlock_release(r->target);
	fd_close(&fd); /* and the lock with it */
	if (locked && rc == 0)
		request_sent(r,
		    (r->flags & AGENT_OWN) != 0 ? "delivered to mailbox" : "delivered to file: %s",
		    r->target);
	else if (rc == -1)
		request_end(r, &why);
	else
		retry_later(r);
}

static void
on_retry(KP_UNUSED evutil_socket_t fd, KP_UNUSED short what, void *arg)
{
	file_try(arg);
}

void
file_deliver(struct request *r)
{
	if (strcmp(r->target, "/dev/null") == 0) {
		request_sent(r, "delivered to file: /dev/null");
		return;
	}
	r->give_up = clock_ms() + (int64_t)r->timeout_ms;
	file_try(r);
}
