/* SPDX-License-Identifier: ISC */
/*
 * Requests of qmgr: one notification each, as DELIVER, BOUNCE_RCPT..., DELIVER_DATA..., DELIVER_GO.
 * Only the start of the original is kept. A request whose qmgr goes away before it is complete is
 * forgotten; one that cleanup has goes on, and a new qmgr that asks again gets the same
 * notification (it carries the message and recipient that it is for, and cleanup makes one of
 * each).
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "bounce/bounce.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"

static struct job *
find_job(const struct bounce *b, const struct chan *qmgr, uint32_t id)
{
	struct job *job;

	TAILQ_FOREACH (job, &b->jobs, link)
		if (job->qmgr == qmgr && job->head.id == id && job->state == JOB_RECEIVING)
			return job;
	return NULL;
}

static struct job *
job_of(struct chan *ch, const struct chan_head *head)
{
	struct service *s = chan_owner(ch);
	struct job *job = find_job(s->state, ch, head->id);

	if (job == NULL)
		chan_fail(ch, "a part of no request");
	return job;
}

/* The start of a large message, from its own file. */
static void
read_excerpt(struct job *job, int fd, uint64_t offset)
{
	size_t n = job->size < EXCERPT_MAX ? (size_t)job->size : EXCERPT_MAX;
	char *room = buf_room(&job->excerpt, n);

	if (room != NULL && pread_all(fd, room, n, (off_t)offset) == 0)
		buf_grown(&job->excerpt, n);
	/* One that cannot be read leaves a notification without the original's header. */
}

static void
on_deliver(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct bounce *b = s->state;
	const struct msg_deliver *m = &msg->deliver;
	struct job *job;

	if (find_job(b, ch, head->id) != NULL) {
		chan_fail(ch, "a request inside another");
		return;
	}
	job = xcalloc(1, sizeof *job);
	*job = (struct job){
	    .service = s,
	    .qmgr = ch,
	    .head = *head,
	    .queue_id = str_dup(m->queue_id),
	    .sender = str_dup(m->sender),
	    .envid = str_dup(m->envid),
	    .flags = m->flags,
	    .facts = m->facts,
	    .size = m->size,
	    .header_size = m->header_size,
	    .arrived = m->arrived,
	    .ret = m->ret,
	};
	buf_init(&job->excerpt, EXCERPT_MAX);
	TAILQ_INSERT_TAIL(&b->jobs, job, link);
	if (m->content != -1)
		read_excerpt(job, m->content, m->offset);
}

static void
on_rcpt(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	const struct msg_bounce_rcpt *m = &msg->bounce_rcpt;
	struct job *job = job_of(ch, head);

	if (job == NULL)
		return;
	if (job->nreported == JOB_RECIPIENTS_MAX) {
		chan_fail(ch, "too many recipients in one notification");
		return;
	}
	job->reported = xrealloc(job->reported, (job->nreported + 1) * sizeof *job->reported);
	struct reported *r = &job->reported[job->nreported++];
	*r = (struct reported){
	    .index = m->index,
	    .action = m->action,
	    .smtp = m->smtp,
	    .tried = m->tried,
	    .until = m->until,
	    .address = str_dup(m->address),
	    .original = str_dup(m->original),
	    .orcpt = str_dup(m->orcpt),
	    .text = str_dup(m->text),
	    .mta = str_dup(m->mta),
	};
	(void)str_copy(r->code, sizeof r->code, m->code); /* its bound is the message's */
}

static void
on_data(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct job *job = job_of(ch, head);

	if (job == NULL)
		return;
	struct str part = str_sub(msg->deliver_data.bytes, 0, EXCERPT_MAX - job->excerpt.n);
	(void)!buf_str(&job->excerpt, part); /* cut to what fits */
}

static void
on_go(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct job *job = job_of(ch, head);

	(void)msg;
	if (job == NULL)
		return;
	if (job->nreported == 0) {
		chan_fail(ch, "a notification about nobody");
		return;
	}
	job_send(job);
}

/* Nothing is kept here that qmgr would have to hear of: it asks again for what it has no answer to.
 */
static void
on_report(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct msg_report_end end = {0};

	(void)msg;
	chan_reply(ch, head, MSG_REPORT_END, &end);
}

static void
on_ack(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)ch;
	(void)head;
	(void)msg;
}

const struct chan_rule bounce_from_qmgr[] = {
    {MSG_DELIVER,      on_deliver},
    {MSG_BOUNCE_RCPT,  on_rcpt   },
    {MSG_DELIVER_DATA, on_data   },
    {MSG_DELIVER_GO,   on_go     },
    {MSG_REPORT,       on_report },
    {MSG_DELIVER_ACK,  on_ack    },
    {MSG_NONE,         NULL      },
};

void
jobs_lost_qmgr(struct bounce *b, const struct chan *qmgr)
{
	struct job *next;

	for (struct job *job = TAILQ_FIRST(&b->jobs); job != NULL; job = next) {
		next = TAILQ_NEXT(job, link);
		if (job->qmgr != qmgr)
			continue;
		job->qmgr = NULL;
		if (job->state == JOB_RECEIVING)
			job_free(&job);
	}
}

void
job_free(struct job **jobp)
{
	struct job *job = *jobp;
	struct bounce *b;

	*jobp = NULL;
	if (job == NULL)
		return;
	b = job->service->state;
	TAILQ_REMOVE(&b->jobs, job, link);
	if (job->cleanup != NULL)
		chan_forget(job->cleanup, job->cleanup_id);
	for (size_t i = 0; i < job->nreported; i++) {
		struct reported *r = &job->reported[i];
		free(r->address);
		free(r->original);
		free(r->orcpt);
		free(r->text);
		free(r->mta);
	}
	free(job->reported);
	free(job->queue_id);
	free(job->sender);
	free(job->envid);
	buf_free(&job->excerpt);
	free(job);
	bounce_stop_if_done(b);
}
