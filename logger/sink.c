/* SPDX-License-Identifier: ISC */
/*
 * Where lines go. A write that fails (a full disk) loses its lines, is said once on standard error,
 * and is tried anew with the next ones: a log is never worth stopping the mail for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "logger/logger.h"

enum { SINK_MAX = 64 * 1024 * 1024 };

void
sink_open(struct sink *sink, const char *path)
{
	*sink = (struct sink){.path = path, .fd = -1};
	buf_init(&sink->text, SINK_MAX);
	if (path[0] == '\0')
		return;
	sink->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (sink->fd == -1 && errno == ELOOP &&
	    strncmp(path, "/dev/", 5) == 0) /* /dev/stdout is a link */
		sink->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (sink->fd == -1)
		fprintf(stderr, "logger: open %s: %s\n", path, strerror(errno));
}

void
sink_close(struct sink *sink)
{
	sink_flush(sink);
	fd_close(&sink->fd);
	buf_free(&sink->text);
}

void
sink_check(struct sink *sink)
{
	struct stat by_name, by_fd;

	if (sink->path[0] == '\0' || strncmp(sink->path, "/dev/", 5) == 0)
		return;
	if (sink->fd != -1 && stat(sink->path, &by_name) == 0 && fstat(sink->fd, &by_fd) == 0 &&
	    by_name.st_ino == by_fd.st_ino && by_name.st_dev == by_fd.st_dev)
		return;
	const char *path = sink->path;
	sink_close(sink);
	sink_open(sink, path);
}

void
sink_flush(struct sink *sink)
{
	if (sink->text.n == 0)
		return;
	if (sink->fd != -1 && write_all(sink->fd, sink->text.p, sink->text.n) == -1)
		fprintf(stderr, "logger: write %s: %s\n", sink->path, strerror(errno));
	buf_reset(&sink->text);
}

void
syslog_connect(struct logger *l)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

	fd_close(&l->syslog_fd);
	if (!l->conf->syslog)
		return;
	l->syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->syslog_fd != -1 && connect(l->syslog_fd, (struct sockaddr *)&sun, sizeof sun) == -1)
		fd_close(&l->syslog_fd);
}

void
syslog_line(struct logger *l, int severity, struct str line)
{
	/* RFC 3164's numbers, in the order of the setting's words */
	static const int facilities[] = {2, 3, 1, 16, 17, 18, 19, 20, 21, 22, 23};
	char head[16];

	if (l->syslog_fd == -1)
		syslog_connect(l); /* it may have been started again */
	if (l->syslog_fd == -1)
		return;
	int n = snprintf(
	    head, sizeof head, "<%d>", facilities[l->conf->syslog_facility] * 8 + severity);
	struct iovec iov[] = {
	    {head,		      (size_t)n},
            {(void *)(uintptr_t)line.p, line.n   }
        };
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = 2};
	if (sendmsg(l->syslog_fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) == -1 && errno != EAGAIN)
		fd_close(&l->syslog_fd);
}
