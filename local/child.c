/* SPDX-License-Identifier: ISC */
/*
 * One message into cleanup, under the parent's key: cleanup answers with the child that is there
 * already, so that a kill between the child's commit and the parent's result doubles nothing.
 * Content follows as fast as the channel takes it.
 */
#include "local/child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/service/service.h"
#include "local/delivery.h"

struct child {
	const struct delivery *d;
	struct chan *ch;
	uint32_t request;
	struct buf prefix; /* goes before the content */
	uint64_t at;       /* of the content, sent so far */
	bool waiting;      /* for the channel to be idle, in the list of such */
	void (*on_done)(void *arg, const char *queue_id, const struct why *why);
	void *arg;
	TAILQ_ENTRY(child) link;
};

static void
wait_end(struct child *c)
{
	if (c->waiting)
		TAILQ_REMOVE(&c->d->l->slow, c, link);
	c->waiting = false;
}

void
child_free(struct child **cp)
{
	struct child *c = *cp;

	if (c == NULL)
		return;
	if (c->request != 0) {
		chan_forget(c->ch, c->request);
		if (chan_send(c->ch, c->request, c->d->head.trace, MSG_MAIL_ABORT,
			&(struct msg_mail_abort){0}) == -1)
			chan_fail(c->ch, "an abort could not be sent");
	}
	wait_end(c);
	buf_free(&c->prefix);
	free(c);
	*cp = NULL;
}

static void
child_end(struct child *c, const char *queue_id, const struct why *why)
{
	void (*on_done)(void *, const char *, const struct why *) = c->on_done;
	void *arg = c->arg;

	child_free(&c);
	on_done(arg, queue_id, why);
}

static void
on_cleanup(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct child *c = arg;
	struct why why = {0};
	char id[MSG_ID_MAX + 1];

	c->request = 0;
	if (msg == NULL) {
		why_temp(&why, "4.3.0", "program cleanup died");
	} else if (head->type == MSG_REFUSED) {
		why_from_msg(&why, &msg->refused);
	} else if (head->type != MSG_MAIL_QUEUED ||
		   !str_copy(id, sizeof id, msg->mail_queued.queue_id)) {
		why_temp(&why, "4.3.0", "program cleanup gave a wrong answer");
	}
	child_end(c, why.class == WHY_NONE ? id : NULL, &why);
}

static int
send(struct child *c, enum msg_type type, const void *msg)
{
	return chan_send(c->ch, c->request, c->d->head.trace, type, msg);
}

static int
envelope_send(struct child *c, const struct child_plan *plan)
{
	const struct delivery *d = plan->delivery;
	char parent[MSG_ID_MAX + 64];
	int n = snprintf(
	    parent, sizeof parent, "%s %llu 0", d->queue_id, (unsigned long long)plan->index);
	struct msg_mail_open open = {
	    .sender = str_from(plan->sender),
	    .flags = MAIL_RESUBMIT | (d->flags & (MAIL_8BITMIME | MAIL_SMTPUTF8 | MAIL_REQUIRETLS |
						     MAIL_NOTIFICATION)),
	    .size = c->prefix.n + d->size,
	    .service = STR("local"),
	    .envid = str_from(d->envid),
	    .ret = d->ret,
	    .parent = str_make(parent, (size_t)n),
	    .content = -1,
	};

	if (send(c, MSG_MAIL_OPEN, &open) == -1)
		return -1;
	for (size_t i = 0; i < plan->n; i++) {
		const struct child_recipient *r = &plan->recipients[i];
		struct msg_mail_rcpt rcpt = {
		    .address = str_from(r->address),
		    .original = str_from(r->original),
		    .orcpt = str_from(r->orcpt),
		    .notify = r->notify,
		};
		if (send(c, MSG_MAIL_RCPT, &rcpt) == -1)
			return -1;
	}
	return send(c, MSG_MAIL_DATA, &(struct msg_mail_data){.bytes = buf_view(&c->prefix)});
}

static void on_idle(void *arg);

/* 1: all is sent; 0: the channel is full; -1: `why`. */
static int
content_step(struct child *c, struct why *why)
{
	char part[MSG_CHUNK_MAX];

	while (c->at < c->d->size) {
		if (chan_busy(c->ch)) {
			c->waiting = true;
			TAILQ_INSERT_TAIL(&c->d->l->slow, c, link);
			chan_on_idle(c->ch, on_idle, c->d->l);
			return 0;
		}
		int n = delivery_read(c->d, c->at, part, sizeof part, why);
		if (n == -1)
			return -1;
		struct msg_mail_data data = {.bytes = str_make(part, (size_t)n)};
		if (send(c, MSG_MAIL_DATA, &data) == -1)
			return why_temp(why, "4.3.0", "the channel to program cleanup is gone");
		c->at += (uint64_t)n;
	}
	struct msg_mail_commit commit = {.size = c->prefix.n + c->d->size};
	return send(c, MSG_MAIL_COMMIT, &commit) == -1
		   ? why_temp(why, "4.3.0", "the channel to program cleanup is gone")
		   : 1;
}

/* Some channel to cleanup has room again: each of those that wait now has one try. */
static void
on_idle(void *arg)
{
	struct local *l = arg;
	struct child *c, *last = TAILQ_LAST(&l->slow, child_list);
	bool more = last != NULL;

	while (more && (c = TAILQ_FIRST(&l->slow)) != NULL) {
		struct why why = {0};
		more = c != last;
		wait_end(c);
		if (content_step(c, &why) == -1)
			child_end(c, NULL, &why);
	}
}

struct child *
child_start(const struct child_plan *plan, struct why *why)
{
	const struct delivery *d = plan->delivery;
	struct chan *ch = service_peer(d->l->s, PROGRAM_CLEANUP, d->head.trace);
	struct child *c;

	if (ch == NULL) {
		why_temp(why, "4.3.0", "program cleanup is not there");
		return NULL;
	}
	c = xcalloc(1, sizeof *c);
	*c = (struct child){.d = d, .ch = ch, .on_done = plan->on_done, .arg = plan->arg};
	buf_init(&c->prefix, MSG_CHUNK_MAX);
	c->request = chan_open(ch, on_cleanup, c);
	if (buf_printf(&c->prefix, "Delivered-To: %s\r\n", plan->delivered_to) == -1 ||
	    envelope_send(c, plan) == -1)
		why_temp(
		    why, "4.3.0", "the forwarded message could not be handed to program cleanup");
	else if (content_step(c, why) != -1)
		return c;
	child_free(&c);
	return NULL;
}
