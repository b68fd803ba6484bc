/* SPDX-License-Identifier: ISC */
/*
 * The other side of a channel for commands without an event loop: send, then wait with a limit. A
 * command never waits for a dead daemon: each wait has its time-out, and a peer that closes ends it
 * at once.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/chan/packet.h"

enum { SEND_TIMEOUT_MS = 30 * 1000 };

struct chan_client {
	int fd;
	struct packet out;
	char in[PACKET_MAX];
	struct str rest; /* of the packet in `in` */
	int fds[PACKET_FDS_MAX];
	size_t nfds, used;
	enum msg_type last;
	union msg_any msg;
};

static void (*reporter)(const char *peer, const char *text);

void
chan_set_reporter(void (*report)(const char *peer, const char *text))
{
	reporter = report;
}

void
chan_report(const char *peer, const char *text)
{
	if (reporter != NULL)
		reporter(peer, text);
	else
		fprintf(stderr, "channel %s: %s\n", peer, text);
}

struct chan_client *
chan_client_new(int fd)
{
	struct chan_client *c = xcalloc(1, sizeof *c);

	c->fd = fd;
	buf_init(&c->out.bytes, PACKET_MAX);
	return c;
}

static void
close_left(struct chan_client *c)
{
	if (c->last != MSG_NONE)
		packet_close_fds(c->last, &c->msg);
	c->last = MSG_NONE;
}

void
chan_client_free(struct chan_client **cp)
{
	struct chan_client *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	close_left(c);
	while (c->used < c->nfds)
		close(c->fds[c->used++]);
	packet_reset(&c->out);
	buf_free(&c->out.bytes);
	close(c->fd);
	free(c);
}

/* 1: ready; 0: the time is up; -1: errno. */
static int
wait_for(int fd, short events, int64_t until)
{
	for (;;) {
		int64_t left = until - clock_ms();
		struct pollfd p = {fd, events, 0};
		int n = poll(&p, 1, left > 0 ? (int)left : 0);
		if (n != -1 || errno != EINTR)
			return n;
	}
}

int
chan_client_send(
    struct chan_client *c, uint32_t id, enum msg_type type, const void *msg, struct why *why)
{
	struct chan_head head = {.id = id, .type = type};
	int64_t until = clock_ms() + SEND_TIMEOUT_MS;
	bool full;
	int result = -1;

	if (packet_add(&c->out, &head, false, msg, &full, why) == -1)
		return -1;
	while (packet_send(c->fd, &c->out) == -1) {
		if (errno == EINTR)
			continue;
		if ((errno != EAGAIN && errno != ENOBUFS) || wait_for(c->fd, POLLOUT, until) != 1) {
			why_sys(why, "4.3.0", "send to the mail system");
			goto done;
		}
	}
	result = 0;
done:
	packet_reset(&c->out);
	return result;
}

/* 1: a packet is there; 0: the peer closed; -1: why. */
static int
receive(struct chan_client *c, int64_t until, struct why *why)
{
	bool cut;

	for (;;) {
		ssize_t n = packet_receive(c->fd, c->in, c->fds, &c->nfds, &cut);
		c->used = 0;
		if (n > 0 && !cut) {
			c->rest = str_make(c->in, (size_t)n);
			return 1;
		}
		if (n == 0 || (n == -1 && errno == ECONNRESET))
			return 0;
		if (n > 0)
			return why_temp(why, "4.3.0", "out of file descriptors");
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return why_sys(why, "4.3.0", "receive from the mail system");
		int ready = wait_for(c->fd, POLLIN, until);
		if (ready == 0)
			return why_temp(why, "4.3.0", "the mail system does not answer");
		if (ready == -1)
			return why_sys(why, "4.3.0", "wait for the mail system");
	}
}

int
chan_client_receive(struct chan_client *c, int timeout_ms, struct chan_head *head,
    union msg_any **msg, struct why *why)
{
	struct packet_part part;
	int more;

	close_left(c);
	while ((more = packet_next(&c->rest, &part, why)) == 0) {
		int got = receive(c, clock_ms() + timeout_ms, why);
		if (got != 1)
			return got;
	}
	if (more == -1)
		return -1;
	if (part.nfds > c->nfds - c->used)
		return why_perm(why, NULL, "a descriptor is missing");
	if (packet_decode(&part, c->fds + c->used, &c->msg, why) == -1)
		return -1;
	c->used += part.nfds;
	c->last = part.head.type;
	*head = part.head;
	*msg = &c->msg;
	return 1;
}
