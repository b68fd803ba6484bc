/* SPDX-License-Identifier: ISC */
/*
 * What comes first on such a listener is the balancer's and not the client's. It is looked at in
 * the socket and taken out of it piece by piece, so that a TLS handshake behind it is left for its
 * reader. Only hosts of smtpd_upstream_proxy_hosts are believed; others are turned away.
 */
#include "smtpd/haproxy.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/mail/proxyhead.h"
#include "smtpd/client.h"
#include "smtpd/session.h"

struct haproxy {
	struct event ev;
	struct buf head;
};

void
haproxy_drop(struct session *s)
{
	struct haproxy *h = s->haproxy;

	s->haproxy = NULL;
	if (h == NULL)
		return;
	event_del(&h->ev);
	buf_free(&h->head);
	free(h);
}

static void
turn_away(struct session *s, const char *text)
{
	log_warning("haproxy read: %s, from [%s]", text, s->client_addr);
	haproxy_drop(s);
	session_end(s);
}

static void
on_expired(struct session *s)
{
	turn_away(s, "no PROXY header in time");
}

static void
begin(struct session *s)
{
	struct proxyhead head;
	struct why why;

	if (proxyhead_parse(buf_view(&s->haproxy->head), &head, &why) == -1) {
		turn_away(s, why.text);
		return;
	}
	haproxy_drop(s);
	if (!head.own)
		session_set_client(s, &head.client);
	session_read(s);
	session_allow(s, s->server->conf->smtpd_timeout);
	client_lookup(s);
}

/* Looks at what is there; takes what belongs to the head. */
static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	struct haproxy *h = s->haproxy;
	char room[PROXYHEAD_MAX + 1];
	struct iovec iov = {room, PROXYHEAD_MAX - h->head.n + 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct why why;
	bool whole;

	(void)what;
	ssize_t n = recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	size_t had = h->head.n;
	if (n <= 0 || buf_add(&h->head, room, (size_t)n) == -1) {
		turn_away(s, "no PROXY header");
		return;
	}
	ssize_t length = proxyhead_length(buf_view(&h->head), &whole, &why);
	if (length == -1) {
		turn_away(s, why.text);
		return;
	}
	buf_cut(&h->head, (size_t)length);
	if (read(fd, room, (size_t)length - had) != length - (ssize_t)had)
		turn_away(s, "the socket took back what it had");
	else if (whole)
		begin(s);
}

void
haproxy_begin(struct session *s)
{
	struct server *server = s->server;
	struct haproxy *h;

	if (!networks_match(&server->proxy_hosts, s->addr)) {
		turn_away(s, "not in smtpd_upstream_proxy_hosts");
		return;
	}
	h = s->haproxy = xcalloc(1, sizeof *h);
	buf_init(&h->head, 2 * PROXYHEAD_MAX + 1);
	event_assign(&h->ev, server->loop->base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
	if (event_add(&h->ev, NULL) == -1)
		fatal("haproxy: no event");
	session_wait(s, server->conf->smtpd_upstream_proxy_timeout, on_expired);
}
