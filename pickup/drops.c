/* SPDX-License-Identifier: ISC */
/*
 * The maildrop: messages that were submitted while pickup could not be reached. Files named
 * "drop.*" are complete; one at a time goes to cleanup, and is removed once that has it. Life of a
 * file: reading (frames, one packet each) -> committed -> removed; refused for now -> tried again
 * later; refused for good or malformed -> renamed to "bad.*" and kept for a person; cut short (its
 * submitter died, and has no success to show) -> removed.
 *
 * Hostile: names and content. The submitter is the owner of the file.
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/layout.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/packet.h"
#include "lib/log/log.h"
#include "pickup/pickup.h"

static const char magic[] = "KPDROP1\n";

enum { INLINE_MAX = 60 * 1024, RETRY_FIRST_MS = 1000 };

struct drops {
	struct pickup *pickup;
	int dir, watch;
	struct event *ev_watch, *ev_retry, *ev_pipe;
	struct map *waiting; /* names of files that were refused for now, until ev_retry */
	struct map *told;    /* the same, and the reason that the log has (owned) */
	int64_t retry_ms;    /* until then; doubled each time, up to maildrop_retry_delay */
	struct loop_task next;
	/* the file under way */
	char name[NAME_MAX + 1];
	int fd, pipe; /* -1: none */
	uid_t uid;
	struct intake *intake;
	bool committed, opened;
	uint64_t size;
	struct buf frame;   /* the packet read last */
	struct str pending; /* of a MAIL_DATA in it: what the pipe has not taken */
};

static void pump(struct drops *d);

/* --- the end of a file --- */

static void
close_file(struct drops *d)
{
	intake_abort(&d->intake);
	if (d->ev_pipe != NULL)
		event_free(d->ev_pipe);
	d->ev_pipe = NULL;
	fd_close(&d->fd);
	fd_close(&d->pipe);
	d->pending = STR_EMPTY;
	d->opened = d->committed = false;
	d->size = 0;
	d->name[0] = '\0';
}

static void
forget(struct drops *d)
{
	free(map_take(d->told, str_from(d->name)));
}

static void
remove_file(struct drops *d)
{
	forget(d);
	if (unlinkat(d->dir, d->name, 0) == -1)
		log_error("maildrop: remove %s: %s", d->name, strerror(errno));
	close_file(d);
}

static void
set_aside(struct drops *d, const char *reason)
{
	char bad[NAME_MAX + 8];

	forget(d);
	snprintf(bad, sizeof bad, "bad.%.*s", (int)(sizeof d->name - 5), d->name);
	log_error(
	    "maildrop: %s (uid %u) is kept as %s: %s", d->name, (unsigned)d->uid, bad, reason);
	if (renameat(d->dir, d->name, d->dir, bad) == -1)
		log_error("maildrop: rename %s: %s", d->name, strerror(errno));
	close_file(d);
	loop_defer(&d->pickup->service->loop, &d->next);
}

/* A reason is logged when it is new. */
static void
tell(struct drops *d, const char *reason)
{
	const char *before = map_get(d->told, str_from(d->name));

	if (before != NULL && strcmp(before, reason) == 0)
		return;
	log_warning("maildrop: %s waits: %s", d->name, reason);
	free(map_put(d->told, str_from(d->name), xstrdup(reason)));
}

/* The others need not wait for this one. */
static void
try_later(struct drops *d, const char *reason)
{
	int64_t longest = d->pickup->conf->maildrop_retry_delay;

	if (d->retry_ms > longest)
		d->retry_ms = longest;
	struct timeval tv = clock_tv(d->retry_ms);
	tell(d, reason);
	map_put(d->waiting, str_from(d->name), d);
	close_file(d);
	if (!evtimer_pending(d->ev_retry, NULL) && evtimer_add(d->ev_retry, &tv) == -1)
		fatal("no timer");
	loop_defer(&d->pickup->service->loop, &d->next);
}

static void
give_up(struct drops *d, const struct why *why)
{
	if (why->class == WHY_PERM)
		set_aside(d, why->text);
	else
		try_later(d, why->text);
}

static void
on_done(void *arg, struct str queue_id, const struct why *why)
{
	struct drops *d = arg;

	(void)queue_id;
	d->intake = NULL; /* it ends with this call */
	if (why != NULL) {
		give_up(d, why);
		return;
	}
	remove_file(d);
	if (d->retry_ms > RETRY_FIRST_MS) { /* cleanup takes mail again: the others need not wait */
		d->retry_ms = RETRY_FIRST_MS;
		evtimer_del(d->ev_retry);
		drops_retry(d->pickup);
		return;
	}
	loop_defer(&d->pickup->service->loop, &d->next);
}

/* --- a file's messages --- */

static void
on_pipe_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pump(arg);
}

/* Makes the pipe that a large message goes through; its other end is in msg->content for the
 * moment. */
static int
open_pipe(struct drops *d, struct msg_mail_open *msg, struct why *why)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		return why_sys(why, "4.3.0", "make a pipe");
	msg->content = fds[0];
	d->pipe = fds[1];
	d->ev_pipe =
	    event_new(d->pickup->service->loop.base, fds[1], EV_WRITE, on_pipe_writable, d);
	if (d->ev_pipe == NULL)
		fatal("maildrop: no event");
	return 0;
}

static int
on_open(struct drops *d, union msg_any *msg, struct why *why)
{
	struct msg_mail_open *open = &msg->mail_open;

	if (d->opened || open->content != -1)
		return why_perm(why, NULL, "malformed");
	d->opened = true;
	if (open->size > INLINE_MAX && open_pipe(d, open, why) == -1)
		return -1;
	d->intake = intake_open(d->pickup, open, d->uid, on_done, d, why);
	fd_close(&open->content);
	return d->intake != NULL ? 0 : -1;
}

static int
on_data(struct drops *d, union msg_any *msg, struct why *why)
{
	d->size += msg->mail_data.bytes.n;
	if (d->pipe == -1)
		return intake_data(d->intake, msg->mail_data.bytes, why);
	d->pending = msg->mail_data.bytes;
	return 0;
}

static int
on_commit(struct drops *d, union msg_any *msg, struct why *why)
{
	if (msg->mail_commit.size != d->size)
		return why_perm(why, NULL, "%llu bytes of content, where %llu were announced",
		    (unsigned long long)d->size, (unsigned long long)msg->mail_commit.size);
	fd_close(&d->pipe);
	d->committed = true;
	return intake_commit(d->intake, d->size, why);
}

static int
serve_frame(struct drops *d, struct why *why)
{
	struct str rest = buf_view(&d->frame);
	const int none[WIRE_FDS_MAX] = {-1, -1, -1, -1};
	struct packet_part part;
	union msg_any msg;

	if (packet_next(&rest, &part, why) != 1 || rest.n != 0 || part.nfds != 0 || part.reply ||
	    packet_decode(&part, none, &msg, why) == -1)
		return why_perm(why, NULL, "a malformed frame");
	if (part.head.type == MSG_MAIL_OPEN)
		return on_open(d, &msg, why);
	if (d->intake == NULL)
		return why_perm(why, NULL, "does not begin with an envelope");
	if (part.head.type == MSG_MAIL_RCPT)
		return intake_rcpt(d->intake, &msg.mail_rcpt, why);
	if (part.head.type == MSG_MAIL_DATA)
		return on_data(d, &msg, why);
	if (part.head.type == MSG_MAIL_COMMIT)
		return on_commit(d, &msg, why);
	return why_perm(why, NULL, "a frame that has no place here");
}

/* 1: a frame; 0: the file ends before its commit; -1: why. */
static int
read_frame(struct drops *d, struct why *why)
{
	uint32_t n;
	ssize_t got = read(d->fd, &n, sizeof n);

	if (got == -1)
		return why_sys(why, "4.3.0", "read");
	if (got < (ssize_t)sizeof n)
		return 0;
	n = le32toh(n);
	buf_reset(&d->frame);
	char *room = n <= PACKET_MAX ? buf_room(&d->frame, n) : NULL;
	if (room == NULL)
		return why_perm(why, NULL, "a frame of %u bytes", n);
	got = read(d->fd, room, n);
	if (got == -1)
		return why_sys(why, "4.3.0", "read");
	if (got < (ssize_t)n)
		return 0;
	buf_grown(&d->frame, n);
	return 1;
}

/* Empties what waits for the pipe; false where it is full now. */
static bool
feed_pipe(struct drops *d, struct why *why)
{
	while (d->pending.n > 0) {
		ssize_t n = write(d->pipe, d->pending.p, d->pending.n);
		if (n == -1 && errno == EAGAIN) {
			event_add(d->ev_pipe, NULL);
			return false;
		}
		if (n == -1) {
			why_sys(why, "4.3.0", "hand over the content");
			return false;
		}
		d->pending = str_from_at(d->pending, (size_t)n);
	}
	return true;
}

/* On with the file, as far as it goes without waiting. */
static void
pump(struct drops *d)
{
	struct why why = {0};

	while (!d->committed) {
		if (!feed_pipe(d, &why))
			break;
		int more = read_frame(d, &why);
		if (more == 0) {
			log_warning("maildrop: %s ends before its end and is removed: its "
				    "submitter did not succeed",
			    d->name);
			remove_file(d);
			loop_defer(&d->pickup->service->loop, &d->next);
			return;
		}
		if (more == -1 || serve_frame(d, &why) == -1)
			break;
	}
	if (why.class != WHY_NONE)
		give_up(d, &why);
}

/* --- finding files --- */

static int
open_file(struct drops *d, const char *name, struct why *why)
{
	char start[sizeof magic - 1];
	struct stat st;

	if (!str_copy(d->name, sizeof d->name, str_from(name)))
		return why_perm(why, NULL, "its name is too long");
	d->fd = openat(d->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (d->fd == -1 || fstat(d->fd, &st) == -1)
		return why_sys(why, "4.3.0", "open");
	d->uid = st.st_uid;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return why_perm(why, NULL, "no regular file with one name");
	if (read(d->fd, start, sizeof start) != (ssize_t)sizeof start ||
	    memcmp(start, magic, sizeof start) != 0)
		return why_perm(why, NULL, "does not begin as a dropped message does");
	return 0;
}

static bool
next_name(struct drops *d, char name[NAME_MAX + 1])
{
	int fd = openat(d->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd != -1 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	name[0] = '\0';
	if (dir == NULL) {
		fd_close(&fd);
		return false;
	}
	/* The oldest first: names begin with the time. */
	while ((e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, "drop.", 5) == 0 &&
		    map_get(d->waiting, str_from(e->d_name)) == NULL &&
		    (name[0] == '\0' || strcmp(e->d_name, name) < 0))
			(void)str_copy(name, NAME_MAX + 1, str_from(e->d_name));
	closedir(dir);
	return name[0] != '\0';
}

void
drops_scan(struct pickup *p)
{
	struct drops *d = p->drops;
	char name[NAME_MAX + 1];
	struct why why;

	if (d == NULL || d->fd != -1 || p->service->stopping || !next_name(d, name))
		return;
	if (open_file(d, name, &why) == -1)
		give_up(d, &why);
	else
		pump(d);
}

void
drops_retry(struct pickup *p)
{
	struct drops *d = p->drops;

	map_free(&d->waiting, NULL);
	d->waiting = map_new();
	drops_scan(p);
}

static void
on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct drops *d = arg;
	char events[4096];

	(void)what;
	while (read(fd, events, sizeof events) > 0)
		;
	drops_scan(d->pickup);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct drops *d = arg;

	(void)fd;
	(void)what;
	d->retry_ms *= 2;
	drops_retry(d->pickup);
}

static void
on_next(void *arg)
{
	const struct drops *d = arg;

	drops_scan(d->pickup);
}

int
drops_open(struct pickup *p, struct why *why)
{
	struct drops *d = xcalloc(1, sizeof *d);
	struct layout layout;
	char path[PATH_MAX + 16];

	*d = (struct drops){
	    .pickup = p,
	    .retry_ms = RETRY_FIRST_MS,
	    .dir = -1,
	    .watch = -1,
	    .fd = -1,
	    .pipe = -1,
	    .waiting = map_new(),
	    .told = map_new(),
	    .next = {.on_round_end = on_next, .arg = d}
        };
	buf_init(&d->frame, PACKET_MAX);
	p->drops = d;
	if (layout_of(&layout, p->service->root, why) == -1)
		return -1;
	snprintf(path, sizeof path, "%s/maildrop", layout.spool);
	d->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (d->dir == -1 || d->watch == -1 || inotify_add_watch(d->watch, path, IN_MOVED_TO) == -1)
		return why_sys(why, NULL, "watch %s", path);
	d->ev_watch = event_new(p->service->loop.base, d->watch, EV_READ | EV_PERSIST, on_watch, d);
	d->ev_retry = evtimer_new(p->service->loop.base, on_retry, d);
	if (d->ev_watch == NULL || d->ev_retry == NULL || event_add(d->ev_watch, NULL) == -1)
		return why_temp(why, NULL, "maildrop: no event");
	return 0;
}

void
drops_close(struct pickup *p)
{
	if (p->drops != NULL && !p->drops->committed)
		close_file(p->drops);
}
