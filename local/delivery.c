/* SPDX-License-Identifier: ISC */
/*
 * Taking deliveries from qmgr and giving results back. A result stays with its delivery until
 * DELIVER_ACK; a new qmgr hears of all of them by REPORT. The peer is our own qmgr, and still held
 * to the protocol: content of another size than was said, a recipient too many, a part without its
 * beginning: each closes the channel or refuses the delivery.
 */
#include "local/delivery.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/service/service.h"
#include "local/job.h"

enum { RECIPIENTS_MAX = 10000 };

static void
delivery_free(struct delivery **dp)
{
	struct delivery *d = *dp;

	if (d == NULL)
		return;
	TAILQ_REMOVE(&d->l->deliveries, d, link);
	d->l->ndeliveries--;
	for (size_t i = 0; i < d->njobs; i++)
		job_free(&d->jobs[i]);
	free(d->jobs);
	free(d->queue_id);
	free(d->sender);
	free(d->transport);
	free(d->envid);
	free(d->client_addr);
	free(d->client_name);
	free(d->helo);
	free(d->proto);
	free(d->login);
	buf_free(&d->bytes);
	fd_close(&d->content);
	free(d);
	*dp = NULL;
}

static void
stop_check(struct local *l)
{
	if (l->stopping && TAILQ_EMPTY(&l->deliveries))
		service_exit(l->s);
}

void
deliveries_stop(struct local *l)
{
	l->stopping = true;
	stop_check(l);
}

static struct delivery *
delivery_coming(struct chan *ch, const struct chan_head *head)
{
	struct local *l = ((struct service *)chan_owner(ch))->state;
	struct delivery *d;

	TAILQ_FOREACH_REVERSE(d, &l->deliveries, delivery_list, link)
	if (d->state == DELIVERY_COMING && d->ch == ch && d->head.id == head->id)
		return d;
	return NULL;
}

static void
on_deliver(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct local *l = ((struct service *)chan_owner(ch))->state;
	const struct msg_deliver *m = &msg->deliver;

	if (m->recipients == 0 || m->recipients > RECIPIENTS_MAX ||
	    delivery_coming(ch, head) != NULL) {
		chan_fail(ch, "DELIVER with a wrong number of recipients, or twice");
		return;
	}
	struct delivery *d = xcalloc(1, sizeof *d);
	*d = (struct delivery){
	    .l = l,
	    .ch = ch,
	    .head = *head,
	    .queue_id = str_dup(m->queue_id),
	    .sender = str_dup(m->sender),
	    .transport = str_dup(m->transport),
	    .envid = str_dup(m->envid),
	    .client_addr = str_dup(m->client_addr),
	    .client_name = str_dup(m->client_name),
	    .helo = str_dup(m->helo),
	    .proto = str_dup(m->proto),
	    .login = str_dup(m->login),
	    .flags = m->flags,
	    .ret = m->ret,
	    .size = m->size,
	    .offset = m->offset,
	    .header_size = m->header_size,
	    .arrived = m->arrived,
	    .active = m->active,
	    .recipients = m->recipients,
	    .content = chan_take_fd(&msg->deliver.content),
	};
	d->jobs = xcalloc((size_t)m->recipients, sizeof *d->jobs);
	buf_init(&d->bytes, m->size < SIZE_MAX ? (size_t)m->size : 0);
	TAILQ_INSERT_TAIL(&l->deliveries, d, link);
	l->ndeliveries++;
}

static void
on_rcpt(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct delivery *d = delivery_coming(ch, head);

	if (d == NULL || d->njobs == d->recipients) {
		chan_fail(ch, "a recipient of no delivery");
		return;
	}
	d->jobs[d->njobs++] = job_new(d, &msg->deliver_rcpt);
}

static void
on_data(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct delivery *d = delivery_coming(ch, head);

	if (d == NULL || d->content != -1 || buf_str(&d->bytes, msg->deliver_data.bytes) == -1)
		chan_fail(ch, "content of no delivery, or more than was said");
}

static void
on_go(struct chan *ch, const struct chan_head *head, KP_UNUSED union msg_any *msg)
{
	struct delivery *d = delivery_coming(ch, head);

	if (d == NULL || d->njobs != d->recipients || (d->content == -1 && d->bytes.n != d->size)) {
		chan_fail(ch, "a delivery that is not complete");
		return;
	}
	struct local *l = d->l;
	if (l->stopping || l->ndeliveries > (size_t)l->conf->local_deliveries_max) {
		struct why why;
		why_temp(&why, "4.3.2",
		    l->stopping ? "program local is ending"
				: "too many local deliveries are under way");
		chan_refuse(ch, head, &why);
		delivery_free(&d);
		return;
	}
	d->state = DELIVERY_GOING;
	d->started = wall_us();
	service_worked(l->s);
	jobs_start(d);
}

static void
result_send(const struct delivery *d, const struct job *job)
{
	struct msg_deliver_result msg = {.queue_id = str_from(d->queue_id)};

	job_result(job, &msg);
	if (d->adopted) {
		if (chan_send(d->ch, 0, d->head.trace, MSG_DELIVER_RESULT, &msg) == -1)
			chan_fail(d->ch, "no room for a result");
	} else {
		chan_reply(d->ch, &d->head, MSG_DELIVER_RESULT, &msg);
	}
}

static void
end_send(const struct delivery *d)
{
	struct msg_deliver_end msg = {.queue_id = str_from(d->queue_id), .reached = 1};

	if (d->adopted) {
		if (chan_send(d->ch, 0, d->head.trace, MSG_DELIVER_END, &msg) == -1)
			chan_fail(d->ch, "no room for a result");
	} else {
		chan_reply(d->ch, &d->head, MSG_DELIVER_END, &msg);
	}
}

void
delivery_job_done(struct delivery *d)
{
	size_t done = 0;

	for (size_t i = 0; i < d->njobs; i++) {
		if (!job_is_done(d->jobs[i]))
			continue;
		if (d->ch != NULL && job_take_news(d->jobs[i]))
			result_send(d, d->jobs[i]);
		done++;
	}
	if (done < d->njobs || d->state != DELIVERY_GOING)
		return;
	d->state = DELIVERY_OVER;
	if (d->ch != NULL)
		end_send(d);
}

/* For one delivery, by the number of its request; or, with none, for what was given in a report. */
static void
on_ack(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct local *l = ((struct service *)chan_owner(ch))->state;
	struct delivery *d, *next;

	for (d = TAILQ_FIRST(&l->deliveries); d != NULL; d = next) {
		next = TAILQ_NEXT(d, link);
		bool meant =
		    head->id == 0 || (!d->adopted && d->ch == ch && d->head.id == head->id);
		if (meant && d->state == DELIVERY_OVER &&
		    str_is(msg->deliver_ack.queue_id, d->queue_id))
			delivery_free(&d);
	}
	stop_check(l);
}

/* A new qmgr: everything that is not acknowledged is its business from now on. */
static void
on_report(struct chan *ch, const struct chan_head *head, KP_UNUSED union msg_any *msg)
{
	struct local *l = ((struct service *)chan_owner(ch))->state;
	struct delivery *d;

	TAILQ_FOREACH (d, &l->deliveries, link) {
		if (d->state == DELIVERY_COMING)
			continue;
		for (size_t i = 0; i < d->njobs; i++) {
			struct msg_report_running running = {
			    str_from(d->queue_id), job_index(d->jobs[i]), 0};
			struct msg_deliver_result result = {.queue_id = str_from(d->queue_id)};
			job_result(d->jobs[i], &result);
			if (job_is_done(d->jobs[i])) {
				(void)job_take_news(d->jobs[i]); /* this is it */
				chan_reply(ch, head, MSG_DELIVER_RESULT, &result);
			} else
				chan_reply(ch, head, MSG_REPORT_RUNNING, &running);
		}
		if (d->ch == ch) /* asked twice: its requests still live */
			continue;
		d->ch = ch;
		d->adopted = true;
	}
	chan_reply(ch, head, MSG_REPORT_END, &(struct msg_report_end){0});
}

/* Drops the recipients that nobody acts on yet: the next qmgr starts them again. */
static void
drop_unstarted(struct delivery *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->njobs; i++) {
		if (job_must_finish(d->jobs[i]))
			d->jobs[kept++] = d->jobs[i];
		else
			job_free(&d->jobs[i]);
	}
	d->njobs = kept;
}

void
deliveries_orphan(struct local *l, const struct chan *ch)
{
	struct delivery *d, *next;

	for (d = TAILQ_FIRST(&l->deliveries); d != NULL; d = next) {
		next = TAILQ_NEXT(d, link);
		if (d->ch != ch)
			continue;
		d->ch = NULL;
		d->adopted = true;
		if (d->state == DELIVERY_COMING) {
			delivery_free(&d);
			continue;
		}
		drop_unstarted(d);
		if (d->njobs == 0)
			delivery_free(&d);
		else
			delivery_job_done(d);
	}
	stop_check(l);
}

int
delivery_read(const struct delivery *d, uint64_t at, char *out, size_t n, struct why *why)
{
	if (at >= d->size)
		return 0;
	if (n > d->size - at)
		n = (size_t)(d->size - at);
	if (d->content == -1)
		memcpy(out, d->bytes.p + at, n);
	else if (pread_all(d->content, out, n, (off_t)(d->offset + at)) == -1)
		return why_sys(why, "4.3.0", "read the message");
	return (int)n;
}

const struct chan_rule delivery_rules[] = {
    {MSG_DELIVER,      on_deliver},
    {MSG_DELIVER_RCPT, on_rcpt   },
    {MSG_DELIVER_DATA, on_data   },
    {MSG_DELIVER_GO,   on_go     },
    {MSG_DELIVER_ACK,  on_ack    },
    {MSG_REPORT,       on_report },
    {MSG_NONE,         NULL      },
};
