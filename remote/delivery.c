/* SPDX-License-Identifier: ISC */
/*
 * Deliveries, from DELIVER to DELIVER_ACK. What must always hold: every recipient of a delivery
 * that qmgr has let go (DELIVER_GO) gets exactly one result, which is kept until qmgr acknowledges
 * it; a delivery whose qmgr has gone is either undone (its content has not reached a final dot) or
 * told to the next qmgr.
 */
#include "remote/delivery.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "remote/connector.h"
#include "remote/hosts.h"
#include "remote/result.h"
#include "remote/session.h"

enum { RCPTS_MAX = 10000 };

static void go_on(struct delivery *d);

/* --- memory --- */

static void
rcpt_clear(struct rcpt *r)
{
	free(r->address);
	free(r->original);
	free(r->orcpt);
	free(r->outcome);
}

/* All that is only needed while it runs. */
static void
drop_work(struct delivery *d)
{
	finder_free(&d->finder);
	connector_free(&d->connector);
	session_abort(&d->session);
	hosts_free(&d->hosts);
	buf_free(&d->content);
	fd_close(&d->file);
}

void
delivery_free(struct delivery **dp)
{
	struct delivery *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	drop_work(d);
	if (d->over)
		TAILQ_REMOVE(&d->remote->kept, d, link);
	else
		TAILQ_REMOVE(&d->remote->running, d, link);
	for (size_t i = 0; i < d->nrcpts; i++)
		rcpt_clear(&d->rcpts[i]);
	free(d->rcpts);
	free(d->queue_id);
	free(d->sender);
	free(d->transport);
	free(d->nexthop);
	free(d->envid);
	free(d->client.name);
	free(d->client.addr);
	free(d->client.helo);
	free(d->client.proto);
	free(d);
}

/* --- saying --- */

void
delivery_say(struct delivery *d, enum msg_type type, const void *msg)
{
	if (d->head.id != 0)
		(void)!chan_reply(
		    d->qmgr, &d->head, type, msg); /* a dead channel is told of by on_gone */
	else
		(void)!chan_send(d->qmgr, 0, d->head.trace, type, msg);
}

void
delivery_note(struct delivery *d, const struct why *why)
{
	struct ev_try_failed ev = {.queue_id = str_from(d->queue_id), .text = str_from(why->text)};

	log_event(d->head.trace, EV_TRY_FAILED, &ev);
}

/* The end: all recipients have an outcome. */
static void
finish(struct delivery *d)
{
	struct remote *remote = d->remote;
	struct msg_deliver_end msg = {
	    .queue_id = str_from(d->queue_id),
	    .reached = d->reached,
	    .code = str_from(d->last.code),
	    .text = str_from(d->last.text),
	};

	if (d->qmgr != NULL)
		delivery_say(d, MSG_DELIVER_END, &msg);
	drop_work(d);
	TAILQ_REMOVE(&remote->running, d, link);
	TAILQ_INSERT_TAIL(&remote->kept, d, link);
	d->over = true;
	service_worked(remote->service);
	if (remote->stopping && TAILQ_EMPTY(&remote->running))
		service_exit(remote->service);
}

void
delivery_fail(struct delivery *d, const struct why *why)
{
	if (why != &d->last)
		d->last = *why;
	result_rest(d, &d->last, d->last_relay, d->last_mta);
	finish(d);
}

/* --- the way --- */

static size_t
addresses_allowed(const struct delivery *d)
{
	size_t most = (size_t)d->remote->conf->smtp_mx_address_limit;

	return d->hosts == NULL ? 0 : d->hosts->n < most ? d->hosts->n : most;
}

bool
delivery_last_chance(const struct delivery *d)
{
	if (d->session != NULL && d->session->reused)
		return true; /* no other host is known */
	return d->next_address >= addresses_allowed(d) ||
	       d->sessions >= d->remote->conf->smtp_mx_session_limit;
}

static void
connect_next(struct delivery *d)
{
	struct remote *remote = d->remote;
	struct why why;

	if (remote->nsessions >= (size_t)remote->conf->smtp_session_limit &&
	    !session_quit_oldest(remote)) {
		why_temp(&why, "4.3.2", "too many connections of this machine");
		delivery_fail(d, &why);
		return;
	}
	connector_start(d);
}

void
delivery_found(struct delivery *d, struct hosts *hosts, const struct why *why)
{
	d->hosts = hosts;
	if (hosts == NULL)
		delivery_fail(d, why);
	else
		connect_next(d);
}

void
delivery_connected(struct delivery *d, int fd, size_t which)
{
	if (fd == -1) {
		delivery_fail(d, &d->last);
		return;
	}
	session_new(d, fd, d->hosts != NULL ? &d->hosts->rows[which] : NULL);
}

void
delivery_session_over(struct delivery *d, const struct why *why)
{
	if (result_complete(d)) {
		finish(d);
		return;
	}
	if (d->qmgr == NULL) { /* nobody waits for another try */
		delivery_free(&d);
		return;
	}
	d->last = why != NULL
		      ? *why
		      : (struct why){.class = WHY_TEMP, .code = "4.3.0", .text = "no result"};
	why = &d->last;
	if (d->hosts == NULL && d->hop.path[0] == '\0' && why->class == WHY_TEMP && !d->committed) {
		go_on(d); /* that was a session used before: now with one of its own */
		return;
	}
	if (why->class == WHY_PERM || d->committed || d->next_address >= addresses_allowed(d) ||
	    d->sessions >= d->remote->conf->smtp_mx_session_limit) {
		delivery_fail(d, why);
		return;
	}
	delivery_note(d, why);
	connect_next(d);
}

void
delivery_session_stale(struct delivery *d)
{
	d->reached = false;
	if (!session_reuse(d))
		go_on(d);
}

/* Looks for the way: nothing is known yet but the next hop's name. */
static void
go_on(struct delivery *d)
{
	const struct remote_conf *conf = d->remote->conf;
	struct why why;

	if (nexthop_parse(&d->hop, str_from(d->transport), str_from(d->nexthop),
		(uint16_t)conf->smtp_tcp_port, (uint16_t)conf->lmtp_tcp_port, &why) == -1) {
		log_warning("transport %s: %s", d->transport, why.text);
		delivery_fail(d, &why);
	} else if (d->hop.path[0] != '\0') {
		connect_next(d);
	} else if (d->hop.literal) {
		d->hosts = xcalloc(1, sizeof *d->hosts);
		d->hosts->n = 1;
		d->hosts->rows = xcalloc(1, sizeof *d->hosts->rows);
		d->hosts->rows[0].sa = d->hop.address;
		memcpy(d->hosts->rows[0].name, d->hop.host, sizeof d->hop.host);
		connect_next(d);
	} else {
		hosts_find(d);
	}
}

static void
start(struct delivery *d)
{
	struct why why;

	d->started = true;
	d->began = wall_us();
	if (d->remote->stopping) {
		why_temp(&why, "4.3.2", "mail system is shutting down");
		delivery_fail(d, &why);
	} else if (!session_reuse(d)) {
		go_on(d);
	}
}

/* --- from qmgr --- */

static struct remote *
remote_of(struct chan *ch)
{
	struct service *service = chan_owner(ch);

	return service->state;
}

static struct delivery *
find_receiving(struct chan *ch, const struct chan_head *head)
{
	struct delivery *d;

	/* what is being received was begun last */
	TAILQ_FOREACH_REVERSE(d, &remote_of(ch)->running, delivery_list, link)
	if (d->qmgr == ch && d->head.id == head->id && !d->started)
		return d;
	chan_fail(ch, "a part of a delivery that was not begun");
	return NULL;
}

static void
on_deliver(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	const struct msg_deliver *m = &msg->deliver;
	struct remote *remote = remote_of(ch);
	struct delivery *d = xcalloc(1, sizeof *d);

	*d = (struct delivery){
	    .remote = remote,
	    .qmgr = ch,
	    .head = *head,
	    .queue_id = str_dup(m->queue_id),
	    .sender = str_dup(m->sender),
	    .transport = str_dup(m->transport),
	    .nexthop = str_dup(m->nexthop),
	    .envid = str_dup(m->envid),
	    .client = {str_dup(m->client_name), str_dup(m->client_addr), str_dup(m->helo),
		       str_dup(m->proto), (unsigned)m->client_port},
	    .flags = m->flags,
	    .facts = m->facts,
	    .size = m->size,
	    .offset = m->offset,
	    .header_size = m->header_size,
	    .arrived = m->arrived,
	    .active = m->active,
	    .ret = (unsigned)m->ret,
	    .wanted_rcpts = m->recipients < RCPTS_MAX ? (size_t)m->recipients : RCPTS_MAX,
	    .file = chan_take_fd(&msg->deliver.content),
	};
	buf_init(&d->content, d->file == -1 ? (size_t)m->size : 0);
	TAILQ_INSERT_TAIL(&remote->running, d, link);
	if (head->id == 0)
		chan_fail(ch, "a delivery without a number");
}

static void
on_rcpt(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	const struct msg_deliver_rcpt *m = &msg->deliver_rcpt;
	struct delivery *d = find_receiving(ch, head);

	if (d == NULL)
		return;
	if (d->nrcpts == d->wanted_rcpts) {
		chan_fail(ch, "more recipients than announced");
		return;
	}
	if (d->rcpts == NULL)
		d->rcpts = xcalloc(d->wanted_rcpts, sizeof *d->rcpts);
	d->rcpts[d->nrcpts++] = (struct rcpt){
	    .index = m->index,
	    .address = str_dup(m->address),
	    .original = str_dup(m->original.n > 0 ? m->original : m->address),
	    .orcpt = str_dup(m->orcpt),
	    .notify = (unsigned)m->notify,
	};
}

static void
on_data(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct delivery *d = find_receiving(ch, head);

	if (d != NULL && buf_str(&d->content, msg->deliver_data.bytes) == -1)
		chan_fail(ch, "more content than announced");
}

static void
on_go(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct delivery *d = find_receiving(ch, head);

	(void)msg;
	if (d == NULL)
		return;
	if (d->nrcpts == 0 || d->nrcpts != d->wanted_rcpts ||
	    (d->file == -1 && d->content.n != d->size)) {
		chan_fail(ch, "a delivery that is not whole");
		return;
	}
	start(d);
}

static bool
same_request(const struct delivery *d, const struct chan_head *head)
{
	return d->head.id == 0 || head->id == 0 || d->head.id == head->id;
}

static void
on_ack(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct delivery *d, *next;

	for (d = TAILQ_FIRST(&remote_of(ch)->kept); d != NULL; d = next) {
		next = TAILQ_NEXT(d, link);
		if (d->qmgr == ch && same_request(d, head) &&
		    str_is(msg->deliver_ack.queue_id, d->queue_id))
			delivery_free(&d);
	}
}

/* What a new qmgr has to know of one delivery that it did not begin. */
static void
report(struct delivery *d, struct chan *ch, const struct chan_head *head)
{
	if (d->qmgr != NULL)
		return;
	d->qmgr = ch;
	d->head = *head; /* its results so far go as replies to the question */
	for (size_t i = 0; i < d->nrcpts; i++) {
		struct msg_report_running running = {str_from(d->queue_id), d->rcpts[i].index, 0};
		if (d->rcpts[i].outcome != NULL)
			result_tell(d, &d->rcpts[i]);
		else
			delivery_say(d, MSG_REPORT_RUNNING, &running);
	}
	d->head.id = 0;
}

static void
on_report(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct remote *remote = remote_of(ch);
	struct msg_report_end end = {0};
	struct delivery *d;

	(void)msg;
	TAILQ_FOREACH (d, &remote->running, link)
		report(d, ch, head);
	TAILQ_FOREACH (d, &remote->kept, link)
		report(d, ch, head);
	(void)!chan_reply(ch, head, MSG_REPORT_END, &end);
}

const struct chan_rule remote_from_qmgr[] = {
    {MSG_DELIVER,      on_deliver},
    {MSG_DELIVER_RCPT, on_rcpt   },
    {MSG_DELIVER_DATA, on_data   },
    {MSG_DELIVER_GO,   on_go     },
    {MSG_DELIVER_ACK,  on_ack    },
    {MSG_REPORT,       on_report },
    {MSG_NONE,         NULL      },
};

void
deliveries_lost_qmgr(struct remote *remote, const struct chan *qmgr)
{
	struct delivery *d, *next;

	for (d = TAILQ_FIRST(&remote->running); d != NULL; d = next) {
		next = TAILQ_NEXT(d, link);
		if (d->qmgr != qmgr)
			continue;
		d->qmgr = NULL;
		d->head.id = 0;
		if (!d->committed)
			delivery_free(&d);
	}
	TAILQ_FOREACH (d, &remote->kept, link) {
		if (d->qmgr != qmgr)
			continue;
		d->qmgr = NULL;
		d->head.id = 0;
	}
}
