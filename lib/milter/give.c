/* SPDX-License-Identifier: ISC */
/* Header and body stay where they are, and are written from there as the pipe takes them. */
#include "lib/milter/give.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/milter/mail.h"

enum { INLINE_MAX = 64 * 1024 };

struct milter_gift {
	struct str rest[2]; /* header, body */
	uint64_t size;
	int pipe;
	struct event *ev_write;
	milter_given_fn *done;
	void *arg;
};

void
milter_gift_free(struct milter_gift **gp)
{
	struct milter_gift *g = *gp;

	*gp = NULL;
	if (g == NULL)
		return;
	if (g->ev_write != NULL)
		event_free(g->ev_write);
	fd_close(&g->pipe);
	free(g);
}

static int
send_small(struct chan *ch, uint32_t request, uint64_t trace, struct str rest)
{
	while (rest.n > 0) {
		struct msg_mail_data msg = {.bytes = str_sub(rest, 0, MSG_CHUNK_MAX)};
		if (chan_send(ch, request, trace, MSG_MAIL_DATA, &msg) == -1)
			return -1;
		rest = str_from_at(rest, msg.bytes.n);
	}
	return 0;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct milter_gift *g = arg;
	milter_given_fn *done = g->done;
	void *owner = g->arg;
	uint64_t size = g->size;

	(void)what;
	for (size_t i = 0; i < NELEM(g->rest); i++) {
		while (g->rest[i].n > 0) {
			ssize_t n = write(fd, g->rest[i].p, g->rest[i].n);
			if (n == -1 && errno == EINTR)
				continue;
			if (n == -1 && errno == EAGAIN)
				return;
			if (n == -1) {
				event_del(g->ev_write);
				done(owner, size, false);
				return;
			}
			g->rest[i] = str_from_at(g->rest[i], (size_t)n);
		}
	}
	event_del(g->ev_write);
	fd_close(&g->pipe);
	done(owner, size, true);
}

static int
send_large(struct milter_gift **gp, struct event_base *base, struct chan *ch, uint32_t request,
    uint64_t trace, struct msg_mail_replace *msg, struct milter_gift made)
{
	int ends[2];

	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) == -1)
		return -1;
	msg->content = ends[0];
	int rc = chan_send(ch, request, trace, MSG_MAIL_REPLACE, msg);
	close(ends[0]); /* the channel has its own */
	if (rc == -1) {
		close(ends[1]);
		return -1;
	}
	struct milter_gift *g = xcalloc(1, sizeof *g);
	*g = made;
	g->pipe = ends[1];
	g->ev_write = event_new(base, g->pipe, EV_WRITE | EV_PERSIST, on_writable, g);
	if (g->ev_write == NULL || event_add(g->ev_write, NULL) == -1)
		fatal("milter: no event");
	*gp = g;
	return 0;
}

int
milter_give(struct milter_gift **gp, struct event_base *base, struct chan *cleanup,
    uint32_t request, uint64_t trace, const struct milter_mail *mail, uint64_t *size,
    milter_given_fn *done, void *arg)
{
	struct str header = buf_view(&mail->header);
	struct str body = mail->is_replaced ? buf_view(&mail->replaced) : STR_EMPTY;
	struct msg_mail_replace msg = {
	    .header = header.n, .body = mail->is_replaced, .content = -1};

	*gp = NULL;
	if (!mail->is_changed && !mail->is_replaced)
		return 1;
	*size = header.n + body.n;
	if (*size > INLINE_MAX)
		return send_large(gp, base, cleanup, request, trace, &msg,
		    (struct milter_gift){
			{header, body},
                        *size, -1, NULL, done, arg
                });
	if (chan_send(cleanup, request, trace, MSG_MAIL_REPLACE, &msg) == -1 ||
	    send_small(cleanup, request, trace, header) == -1 ||
	    send_small(cleanup, request, trace, body) == -1)
		return -1;
	return 1;
}
