/* SPDX-License-Identifier: ISC */
/*
 * Sockets that need a name: listeners of the services, the three UNIX sockets in run/, and
 * connections to configured targets for workers that cannot open them. A listener that a reload
 * keeps is not touched: no connection is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/net.h"
#include "lib/base/why.h"
#include "master/master.h"

enum { BACKLOG = 4096 }; /* of the sockets in run/ */

struct listener *
listen_find(struct master *m, const char *address)
{
	struct listener *l;

	TAILQ_FOREACH (l, &m->listeners, link)
		if (strcmp(l->address, address) == 0)
			return l;
	return NULL;
}

int
listen_want(struct master *m, const struct setting_list *list, struct why *why)
{
	for (size_t i = 0; i < list->n; i++) {
		struct listener *l = listen_find(m, list->items[i]);
		if (l == NULL) {
			int fd = net_listen(list->items[i], why);
			if (fd == -1)
				return -1;
			l = xcalloc(1, sizeof *l);
			l->address = xstrdup(list->items[i]);
			l->fd = fd;
			TAILQ_INSERT_TAIL(&m->listeners, l, link);
		}
		l->wanted = true;
	}
	return 0;
}

void
listen_sweep(struct master *m)
{
	struct listener *next;

	for (struct listener *l = TAILQ_FIRST(&m->listeners); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		bool wanted = l->wanted;
		l->wanted = false;
		if (wanted || l->kept)
			continue;
		TAILQ_REMOVE(&m->listeners, l, link);
		close(l->fd);
		free(l->address);
		free(l);
	}
}

static int
fill_unix(struct sockaddr_un *sun, const char *path, struct why *why)
{
	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!str_copy(sun->sun_path, sizeof sun->sun_path, str_from(path)))
		return why_perm(why, NULL,
		    "%s: longer than the %zu bytes that a socket's path may have", path,
		    sizeof sun->sun_path - 1);
	return 0;
}

int
listen_unix(const struct master *m, const char *name, mode_t mode, struct why *why)
{
	char path[PATH_MAX + 32];
	struct sockaddr_un sun;

	snprintf(path, sizeof path, "%s/%s", m->all.layout.run, name);
	if (fill_unix(&sun, path, why) == -1)
		return -1;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return why_sys(why, NULL, "socket %s", path);
	unlink(path); /* left over: the pid file's lock says that nobody serves it */
	mode_t old = umask(0777);
	int result = bind(fd, (struct sockaddr *)&sun, sizeof sun);
	umask(old);
	if (result == -1 || chmod(path, mode) == -1 || listen(fd, BACKLOG) == -1) {
		why_sys(why, NULL, "socket %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

static int
connect_to(int family, const void *address, socklen_t n, const char *target, struct why *why)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return why_sys(why, "4.3.0", "connect to %s", target);
	if (connect(fd, address, n) == -1 && errno != EINPROGRESS) {
		why_sys(why, "4.4.1", "connect to %s", target);
		close(fd);
		return -1;
	}
	return fd;
}

int
listen_connect(const char *target, struct why *why)
{
	struct sockaddr_un sun;
	struct addrinfo *info = NULL;

	if (strncmp(target, "unix:", 5) == 0)
		return fill_unix(&sun, target + 5, why) == -1
			   ? -1
			   : connect_to(AF_UNIX, &sun, sizeof sun, target, why);
	if (strncmp(target, "inet:", 5) != 0)
		return why_perm(
		    why, "5.3.5", "%s: expected unix:PATH or inet:ADDRESS:PORT", target);
	if (net_address(target + 5, &info, why) == -1 || info == NULL)
		return -1;
	int fd = connect_to(info->ai_family, info->ai_addr, info->ai_addrlen, target, why);
	freeaddrinfo(info);
	return fd;
}
