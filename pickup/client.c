/* SPDX-License-Identifier: ISC */
/*
 * Programs on run/submit: `sendmail`, in any user's hands. Each connection has one message at a
 * time, or passes a session on to smtpd. Who it is says the kernel (SO_PEERCRED). Hostile: all that
 * they send; the channel closes on anything malformed.
 */
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"
#include "pickup/pickup.h"

struct client {
	struct pickup *pickup;
	struct chan *ch;
	struct intake *intake; /* NULL: none under way */
	bool committed;
	struct chan_head request;
	struct ucred cred;
	struct event *ev_timeout;
	TAILQ_ENTRY(client) link;
};

static void
client_free(struct client *c)
{
	struct pickup *p = c->pickup;

	TAILQ_REMOVE(&p->clients, c, link);
	if (p->nclients-- == (size_t)p->conf->pickup_session_limit && p->ev_listen != NULL)
		event_add(p->ev_listen, NULL);
	intake_abort(&c->intake);
	event_free(c->ev_timeout);
	chan_close(&c->ch);
	free(c);
	if (p->service->stopping && p->nclients == 0)
		service_exit(p->service);
}

static void
on_gone(struct chan *ch, void *owner)
{
	(void)ch;
	client_free(owner);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_free(arg);
}

static void
restart_timer(struct client *c)
{
	struct timeval tv = clock_tv(c->pickup->conf->pickup_timeout);

	if (evtimer_add(c->ev_timeout, &tv) == -1)
		fatal("no timer");
}

static void
refuse(struct client *c, const struct why *why)
{
	intake_abort(&c->intake);
	chan_refuse(c->ch, &c->request, why);
}

static void
on_done(void *arg, struct str queue_id, const struct why *why)
{
	struct client *c = arg;
	struct msg_mail_queued reply = {.queue_id = queue_id};

	c->intake = NULL; /* it ends with this call */
	if (why != NULL)
		chan_refuse(c->ch, &c->request, why);
	else
		chan_reply(c->ch, &c->request, MSG_MAIL_QUEUED, &reply);
}

static void
on_open(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct client *c = chan_owner(ch);
	struct why why;

	if (c->intake != NULL) {
		chan_fail(ch, "a message inside another");
		return;
	}
	restart_timer(c);
	c->request = *head;
	c->committed = false;
	c->intake = intake_open(c->pickup, &msg->mail_open, c->cred.uid, on_done, c, &why);
	if (c->intake == NULL)
		chan_refuse(ch, head, &why);
}

/* Parts of a message that has been refused already are passed over: the submitter may not know yet.
 */
static struct client *
feeding(struct chan *ch)
{
	struct client *c = chan_owner(ch);

	restart_timer(c);
	return c->intake != NULL && !c->committed ? c : NULL;
}

static void
after_feeding(struct client *c, int result, const struct why *why)
{
	if (result == -1)
		refuse(c, why);
	else if (intake_busy(c->intake))
		chan_pause(c->ch, true);
}

static void
on_rcpt(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct client *c = feeding(ch);
	struct why why;

	(void)head;
	if (c != NULL)
		after_feeding(c, intake_rcpt(c->intake, &msg->mail_rcpt, &why), &why);
}

static void
on_data(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct client *c = feeding(ch);
	struct why why;

	(void)head;
	if (c != NULL)
		after_feeding(c, intake_data(c->intake, msg->mail_data.bytes, &why), &why);
}

static void
on_commit(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct client *c = feeding(ch);
	struct why why;

	(void)head;
	if (c == NULL)
		return;
	c->committed = true;
	after_feeding(c, intake_commit(c->intake, msg->mail_commit.size, &why), &why);
}

static void
on_abort(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct client *c = chan_owner(ch);

	(void)head;
	(void)msg;
	intake_abort(&c->intake);
}

static void
on_submit_smtp(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct client *c = chan_owner(ch);
	struct chan *smtpd = service_peer(c->pickup->service, PROGRAM_SMTPD, c->cred.uid);
	struct msg_session session = {.uid = c->cred.uid,
	    .origin = msg->submit_smtp.origin,
	    .socket = msg->submit_smtp.socket};
	struct why why;

	if (session.socket == -1) {
		chan_fail(ch, "a session without its socket");
		return;
	}
	if (smtpd != NULL && chan_send(smtpd, 0, log_new_trace(), MSG_SESSION, &session) == 0) {
		chan_done(ch, head, 0);
		return;
	}
	why_temp(&why, "4.3.2", "no SMTP service is running");
	chan_refuse(ch, head, &why);
}

static const struct chan_rule from_client[] = {
    {MSG_MAIL_OPEN,   on_open       },
    {MSG_MAIL_RCPT,   on_rcpt       },
    {MSG_MAIL_DATA,   on_data       },
    {MSG_MAIL_COMMIT, on_commit     },
    {MSG_MAIL_ABORT,  on_abort      },
    {MSG_SUBMIT_SMTP, on_submit_smtp},
    {MSG_NONE,        NULL          },
};

static void
client_new(struct pickup *p, int fd)
{
	struct client *c = xcalloc(1, sizeof *c);
	socklen_t n = sizeof c->cred;

	c->pickup = p;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c->cred, &n) == -1) {
		log_warning("submit: who is calling cannot be told");
		close(fd);
		free(c);
		return;
	}
	c->ev_timeout = evtimer_new(p->service->loop.base, on_timeout, c);
	if (c->ev_timeout == NULL)
		fatal("no timer");
	c->ch = chan_new(&p->service->loop, fd, "submit", from_client, c, on_gone);
	TAILQ_INSERT_TAIL(&p->clients, c, link);
	if (++p->nclients == (size_t)p->conf->pickup_session_limit)
		event_del(
		    p->ev_listen); /* more wait in the socket's queue, then use the maildrop */
	restart_timer(c);
}

static void
on_connection(evutil_socket_t listener, short what, void *arg)
{
	struct pickup *p = arg;

	(void)what;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd != -1)
		client_new(p, fd);
}

void
clients_listen(struct pickup *p, int fd)
{
	p->ev_listen = event_new(p->service->loop.base, fd, EV_READ | EV_PERSIST, on_connection, p);
	if (p->ev_listen == NULL || event_add(p->ev_listen, NULL) == -1)
		fatal("submit: no event");
}

void
clients_resume(struct pickup *p)
{
	struct client *c;

	TAILQ_FOREACH (c, &p->clients, link)
		chan_pause(c->ch, false);
}

void
clients_close(struct pickup *p)
{
	struct client *next;

	if (p->ev_listen != NULL)
		event_free(p->ev_listen);
	p->ev_listen = NULL;
	/* Those that wait for their answer get it; others find the maildrop. */
	for (struct client *c = TAILQ_FIRST(&p->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->intake == NULL || !c->committed)
			client_free(c);
	}
}
