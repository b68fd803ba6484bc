/* SPDX-License-Identifier: ISC */
/*
 * After a start of qmgr nothing is delivered until all workers that were handed over with it have
 * reported. A recipient that one of them has under way is `busy` until its result, the end of that
 * delivery, or the worker's death.
 */
#include "qmgr/reports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "lib/queue/entry.h"
#include "qmgr/delivery.h"
#include "qmgr/destination.h"
#include "qmgr/disk.h"
#include "qmgr/message.h"
#include "qmgr/record.h"
#include "qmgr/route.h"

enum { KEY_MAX = HEAD_ID_MAX + 24 };

struct busy {
	uint64_t worker;
	char id[HEAD_ID_MAX];
	uint64_t index;
	bool notice; /* bounce's: its end is that of a notification */
};

/* Something a worker said of a message that is not in memory: loaded, then applied. */
struct said {
	struct qmgr *q;
	uint64_t worker;
	char id[HEAD_ID_MAX];
	bool end; /* the end of a delivery, else a result: */
	uint64_t index, status, smtp;
	char code[MSG_CODE_MAX + 1];
	char *text, *relay, *mta;
};

static struct str
key_of(char *key, const char *id, uint64_t index)
{
	int n = snprintf(key, KEY_MAX, "%s %llu", id, (unsigned long long)index);

	return str_make(key, (size_t)n);
}

void
reports_init(struct qmgr *q)
{
	q->busy = map_new();
	LIST_INIT(&q->workers);
}

bool
reports_busy(const struct message *m, size_t index)
{
	char key[KEY_MAX];

	return map_get(m->q->busy, key_of(key, m->st.head.id, index)) != NULL;
}

static struct worker *
find_worker(const struct qmgr *q, const struct chan *ch)
{
	struct worker *w;

	LIST_FOREACH (w, &q->workers, link)
		if (w->ch == ch)
			return w;
	return NULL;
}

/* --- what comes back --- */

/* The recipient's turn comes again. */
static void
try_again(struct message *m, size_t index)
{
	m->run[index].phase = PHASE_IDLE;
	m->pending--;
	if (!state_rcpt_final(&m->st.rcpts[index]))
		route_recipient(m, index);
}

static void
apply_result(struct message *m, const struct said *s)
{
	struct entry e = {
	    .index = s->index,
	    .status = s->status,
	    .smtp = s->smtp,
	    .code = str_from(s->code),
	    .text = str_from(s->text),
	    .relay = str_from(s->relay),
	    .mta = str_from(s->mta),
	};

	if (s->index >= m->st.env.nrcpts || state_rcpt_final(&m->st.rcpts[s->index]) ||
	    s->status == DELIVERY_NONE)
		return;
	/* Counted as pending for the length of the call where it was not. */
	if (m->run[s->index].phase == PHASE_IDLE)
		m->pending++;
	else if (m->run[s->index].phase != PHASE_BUSY)
		return; /* it is under way once more: that result will count */
	message_result(m, &e);
	delivery_count(m, s->status);
}

/* The end of a delivery of before: what had no result of it is tried again; a notification has been
 * written. */
static void
apply_end(struct message *m, const struct said *s)
{
	bool done = s->code[0] == '\0' || s->code[0] == '2';

	for (size_t i = 0; i < m->st.env.nrcpts; i++) {
		char key[KEY_MAX];
		struct busy *b = map_get(m->q->busy, key_of(key, s->id, i));
		if (b == NULL || b->worker != s->worker)
			continue;
		map_take(m->q->busy, key_of(key, s->id, i));
		if (b->notice && done && m->st.rcpts[i].status == DELIVERY_BOUNCED) {
			m->st.rcpts[i].notices |= 1U << DSN_FAILED;
			m->run[i].dirty = true;
		}
		free(b);
		if (m->run[i].phase == PHASE_BUSY)
			try_again(m, i);
	}
}

static void
apply(struct message *m, const struct said *s)
{
	acks_add(&m->acks, s->worker, 0, s->id);
	if (s->end)
		apply_end(m, s);
	else
		apply_result(m, s);
	message_check(m);
}

static void
said_free(struct said *s)
{
	free(s->text);
	free(s->relay);
	free(s->mta);
	free(s);
}

/* A message that is nowhere was done: the worker may forget it. */
static void
on_loaded(struct load_job *job)
{
	struct said *s = job->arg;
	struct qmgr *q = job->q;
	struct message *m = message_find(q, str_from(s->id));

	if (m == NULL && job->nfound > 0)
		m = message_from_file(q, &job->found[0]);
	if (m != NULL)
		apply(m, s);
	else {
		acks_add(&q->acks, s->worker, 0, s->id);
		loop_defer(&q->service->loop, &q->record_task);
	}
	said_free(s);
}

static void
said(struct qmgr *q, const struct said *what)
{
	struct message *m = message_find(q, str_from(what->id));

	if (m != NULL) {
		apply(m, what);
		return;
	}
	struct said *copy = xcalloc(1, sizeof *copy);
	*copy = *what;
	copy->q = q;
	copy->text = what->text != NULL ? xstrdup(what->text) : NULL;
	copy->relay = what->relay != NULL ? xstrdup(what->relay) : NULL;
	copy->mta = what->mta != NULL ? xstrdup(what->mta) : NULL;
	struct load_job *job = load_job_new(q, on_loaded, copy);
	load_job_add(job, copy->id);
	load_submit(job);
}

static void
take_result(struct qmgr *q, const struct worker *w, const struct msg_deliver_result *r)
{
	struct said s = {
	    .q = q, .worker = w->serial, .index = r->index, .status = r->status, .smtp = r->smtp};
	char key[KEY_MAX];

	if (!str_copy(s.id, sizeof s.id, r->queue_id) || r->status > DELIVERY_BOUNCED) {
		chan_fail(w->ch, "malformed result");
		return;
	}
	str_copy(s.code, sizeof s.code, r->code);
	s.text = str_dup(r->text);
	s.relay = str_dup(r->relay);
	s.mta = str_dup(r->mta);
	/* `busy` ends with the result; a recipient that is in memory becomes idle by it. */
	free(map_take(q->busy, key_of(key, s.id, s.index)));
	said(q, &s);
	free(s.text);
	free(s.relay);
	free(s.mta);
}

static void
take_end(struct qmgr *q, const struct worker *w, const struct msg_deliver_end *end)
{
	struct said s = {.q = q, .worker = w->serial, .end = true};

	if (!str_copy(s.id, sizeof s.id, end->queue_id)) {
		chan_fail(w->ch, "malformed end");
		return;
	}
	str_copy(s.code, sizeof s.code, end->code);
	said(q, &s);
}

static void
on_result(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	const struct worker *w = find_worker(s->state, ch);

	(void)head;
	if (w != NULL)
		take_result(s->state, w, &msg->deliver_result);
}

static void
on_end(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	const struct worker *w = find_worker(s->state, ch);

	(void)head;
	if (w != NULL)
		take_end(s->state, w, &msg->deliver_end);
}

const struct chan_rule reports_rules[] = {
    {MSG_DELIVER_RESULT, on_result},
    {MSG_DELIVER_END,    on_end   },
    {MSG_NONE,           NULL     },
};

/* --- the report --- */

static void
take_running(struct qmgr *q, const struct worker *w, const struct msg_report_running *r)
{
	struct busy *b = xcalloc(1, sizeof *b);
	char key[KEY_MAX];

	*b = (struct busy){
	    .worker = w->serial, .index = r->index, .notice = w->program == PROGRAM_BOUNCE};
	if (!str_copy(b->id, sizeof b->id, r->queue_id)) {
		chan_fail(w->ch, "malformed report");
		free(b);
		return;
	}
	free(map_put(q->busy, key_of(key, b->id, b->index), b));
	struct message *m = message_find(q, r->queue_id);
	if (m == NULL || r->index >= m->st.env.nrcpts || m->run[r->index].phase != PHASE_QUEUED)
		return;
	/* It stands in a queue already; holding is what made this safe. */
	work_cancel_rcpt(m, (uint32_t)r->index);
	m->run[r->index].phase = PHASE_BUSY;
}

static void
end_holding(struct qmgr *q)
{
	struct worker *w;

	LIST_FOREACH (w, &q->workers, link)
		if (!w->reported)
			return;
	q->holding = false;
	destination_pump(q);
}

static void
on_report(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct worker *w = arg;
	struct qmgr *q = w->q;

	if (msg == NULL)
		return; /* reports_worker_gone() follows */
	if (head->type == MSG_REPORT_RUNNING)
		take_running(q, w, &msg->report_running);
	else if (head->type == MSG_DELIVER_RESULT)
		take_result(q, w, &msg->deliver_result);
	else if (head->type == MSG_REPORT_END) {
		w->reported = true;
		end_holding(q);
		destination_pump(q);
	} else
		chan_fail(w->ch, "malformed report");
}

void
reports_worker(struct service *s, struct chan *ch)
{
	struct qmgr *q = s->state;
	struct worker *w = xcalloc(1, sizeof *w);
	struct msg_report ask = {0};

	*w = (struct worker){
	    .q = q,
	    .ch = ch,
	    .program = service_partner(ch)->program,
	    .serial = ++q->last_worker,
	    .asked = clock_ms(),
	};
	LIST_INIT(&w->works);
	LIST_INSERT_HEAD(&q->workers, w, link);
	if (chan_call(ch, 0, MSG_REPORT, &ask, on_report, w) == 0)
		chan_fail(ch, "it cannot be asked for its report");
}

/* What it had under way since before the start is tried again; what it had from us came back with
 * the channel's end. */
static void
forget_busy(struct qmgr *q, uint64_t worker)
{
	struct str key;
	void *value;
	struct said end = {.q = q, .worker = worker, .end = true, .code = "4.3.0"};
	bool found;

	do {
		size_t cursor = 0;
		found = false;
		while (!found && map_next(q->busy, &cursor, &key, &value))
			found = ((struct busy *)value)->worker == worker;
		if (!found)
			return;
		struct busy *b = value;
		memcpy(end.id, b->id, sizeof end.id);
		struct message *m = message_find(q, str_from(b->id));
		if (m != NULL) {
			apply_end(m, &end);
			message_check(m);
		} else {
			map_take(q->busy, key);
			free(b);
		}
	} while (found);
}

void
reports_worker_gone(struct service *s, struct chan *ch)
{
	struct qmgr *q = s->state;
	struct worker *w = find_worker(q, ch);

	if (w == NULL)
		return;
	LIST_REMOVE(w, link);
	forget_busy(q, w->serial);
	free(w);
	if (q->holding)
		end_holding(q);
	destination_pump(q);
}

void
reports_tick(struct qmgr *q)
{
	struct worker *w;
	int64_t limit = clock_ms() - q->conf->qmgr_report_timeout;

	LIST_FOREACH (w, &q->workers, link)
		if (!w->reported && w->asked < limit)
			chan_fail(w->ch, "it does not say what it was doing");
}
