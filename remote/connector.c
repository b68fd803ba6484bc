/* SPDX-License-Identifier: ISC */
/*
 * Connections under way for one delivery. Each has its own time-out; a next one is started when one
 * fails, or when it is slow and the next address is as good. UNIX sockets are connected by master,
 * for we have no file system.
 */
#include "remote/connector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "remote/delivery.h"
#include "remote/hosts.h"

enum { AT_ONCE_MAX = 4 };

struct attempt {
	struct connector *connector;
	int fd; /* -1: none */
	size_t which;
	struct event ev;
};

struct connector {
	struct delivery *d;
	struct attempt attempts[AT_ONCE_MAX];
	size_t limit; /* addresses behind this one are not tried */
	int winner;   /* a connected socket; -1: none yet */
	size_t which;
	struct event ev_stagger;
	struct loop_task done;
	struct chan *master; /* asked for a UNIX socket */
	uint32_t request;
};

static void start_next(struct connector *c);

static void
attempt_close(struct attempt *a)
{
	if (a->fd == -1)
		return;
	event_del(&a->ev);
	fd_close(&a->fd);
}

void
connector_free(struct connector **cp)
{
	struct connector *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	for (int i = 0; i < AT_ONCE_MAX; i++)
		attempt_close(&c->attempts[i]);
	fd_close(&c->winner);
	event_del(&c->ev_stagger);
	loop_cancel(c->d->remote->loop, &c->done);
	if (c->master != NULL)
		chan_forget(c->master, c->request);
	free(c);
}

static void
on_done(void *arg)
{
	struct connector *c = arg;
	struct delivery *d = c->d;
	int fd = c->winner;
	size_t which = c->which;

	c->winner = -1;
	connector_free(&d->connector);
	delivery_connected(d, fd, which);
}

static bool
any_under_way(const struct connector *c)
{
	for (int i = 0; i < AT_ONCE_MAX; i++)
		if (c->attempts[i].fd != -1)
			return true;
	return false;
}

/* Notes and logs why an address did not answer. */
static void
failed(struct connector *c, size_t which, const char *text)
{
	struct delivery *d = c->d;
	const struct host_address *a = &d->hosts->rows[which];
	char ip[INET6_ADDRSTRLEN];

	address_numeric(&a->sa, ip);
	struct ev_peer_failed ev = {
	    .host = str_from(a->name),
	    .addr = str_from(ip),
	    .port = address_port(&a->sa),
	    .text = str_from(text),
	};
	log_event(d->head.trace, EV_PEER_FAILED, &ev);
	why_temp(
	    &d->last, "4.4.1", "connect to %s[%s]:%u: %s", a->name, ip, address_port(&a->sa), text);
	d->last_relay[0] = '\0';
	str_copy(d->last_mta, sizeof d->last_mta, str_from(a->name));
}

static void
connected(struct connector *c, struct attempt *a)
{
	int on = 1;

	c->winner = a->fd;
	c->which = a->which;
	event_del(&a->ev);
	a->fd = -1;
	setsockopt(c->winner, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	for (int i = 0; i < AT_ONCE_MAX; i++)
		attempt_close(&c->attempts[i]);
	event_del(&c->ev_stagger);
	loop_defer(c->d->remote->loop, &c->done);
}

static void
on_attempt(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *a = arg;
	struct connector *c = a->connector;
	int error = 0;
	socklen_t n = sizeof error;

	if ((what & EV_TIMEOUT) != 0)
		error = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == -1)
		error = errno;
	if (error == 0) {
		connected(c, a);
		return;
	}
	size_t which = a->which;
	attempt_close(a);
	failed(c, which, strerror(error));
	start_next(c);
}

/* Begins a connection; -1 where it failed at once. */
static int
attempt_start(struct connector *c, struct attempt *a, size_t which)
{
	const struct sockaddr_storage *sa = &c->d->hosts->rows[which].sa;
	socklen_t n =
	    sa->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	struct timeval tv = clock_tv(c->d->remote->conf->smtp_connect_timeout);

	int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (const struct sockaddr *)sa, n) == -1 && errno != EINPROGRESS) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	*a = (struct attempt){.connector = c, .fd = fd, .which = which};
	event_assign(&a->ev, c->d->remote->loop->base, fd, EV_WRITE, on_attempt, a);
	if (event_add(&a->ev, &tv) == -1)
		fatal("no event");
	return 0;
}

static struct attempt *
free_attempt(struct connector *c)
{
	for (int i = 0; i < AT_ONCE_MAX; i++)
		if (c->attempts[i].fd == -1)
			return &c->attempts[i];
	return NULL;
}

/* Whether the next address may be tried beside the ones under way. */
static bool
next_is_equal(const struct connector *c)
{
	const struct delivery *d = c->d;

	return d->next_address < c->limit && d->hosts->rows[d->next_address].preference ==
						 d->hosts->rows[d->next_address - 1].preference;
}

static void
stagger(struct connector *c)
{
	struct timeval tv = clock_tv(c->d->remote->conf->smtp_address_stagger);

	if (next_is_equal(c) && free_attempt(c) != NULL)
		evtimer_add(&c->ev_stagger, &tv);
}

/* Starts one more attempt; with none left and none under way, all have failed. */
static void
start_next(struct connector *c)
{
	struct delivery *d = c->d;

	while (d->next_address < c->limit && (!any_under_way(c) || next_is_equal(c))) {
		struct attempt *a = free_attempt(c);
		if (a == NULL)
			return;
		size_t which = d->next_address++;
		if (attempt_start(c, a, which) == 0) {
			stagger(c);
			return;
		}
		failed(c, which, strerror(errno));
	}
	if (!any_under_way(c))
		loop_defer(d->remote->loop, &c->done);
}

static void
on_stagger(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start_next(arg);
}

static void
on_master(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct connector *c = arg;
	struct delivery *d = c->d;

	c->master = NULL;
	if (msg != NULL && head->type == MSG_CONNECTED)
		c->winner = chan_take_fd(&msg->connected.socket);
	if (c->winner != -1 && fd_nonblock(c->winner) == -1)
		fd_close(&c->winner);
	if (c->winner == -1) {
		struct str text =
		    msg != NULL && head->type == MSG_REFUSED ? msg->refused.text : STR("no answer");
		why_temp(&d->last, "4.4.1", "connect to %s[%s]: %.*s",
		    d->remote->conf->common.myhostname, d->hop.path, STR_ARG(text));
	}
	loop_defer(d->remote->loop, &c->done);
}

static void
on_master_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct connector *c = arg;

	(void)fd;
	(void)what;
	if (c->master != NULL)
		chan_forget(c->master, c->request);
	on_master(c, NULL, NULL);
}

static void
connect_unix(struct connector *c)
{
	struct delivery *d = c->d;
	struct timeval tv = clock_tv(d->remote->conf->smtp_connect_timeout);
	struct msg_connect msg = {.target = str_from(d->nexthop)};

	event_del(&c->ev_stagger);
	evtimer_assign(&c->ev_stagger, d->remote->loop->base, on_master_timeout, c);
	evtimer_add(&c->ev_stagger, &tv);
	c->master = service_master(d->remote->service);
	if (c->master != NULL)
		c->request = chan_call(c->master, d->head.trace, MSG_CONNECT, &msg, on_master, c);
	if (c->request == 0) {
		c->master = NULL;
		on_master(c, NULL, NULL);
	}
}

void
connector_start(struct delivery *d)
{
	struct connector *c = xcalloc(1, sizeof *c);
	int64_t most = d->remote->conf->smtp_mx_address_limit;

	*c = (struct connector){
	    .d = d, .winner = -1, .done = {.on_round_end = on_done, .arg = c}
        };
	for (int i = 0; i < AT_ONCE_MAX; i++)
		c->attempts[i].fd = -1;
	d->connector = c;
	evtimer_assign(&c->ev_stagger, d->remote->loop->base, on_stagger, c);
	if (d->hop.path[0] != '\0') {
		connect_unix(c);
		return;
	}
	c->limit = d->hosts->n < (size_t)most ? d->hosts->n : (size_t)most;
	start_next(c);
}
