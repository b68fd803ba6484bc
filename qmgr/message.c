/* SPDX-License-Identifier: ISC */
/*
 * The life of a message in memory:
 *
 *	activated ─> recipients routed, queued, under way (pending) ─> settled: all final ─> sender
 *told where due ─> gone some deferred ─> file in cur/, index ─> waits
 *
 * Invariant: `pending` counts recipients and notices that are somewhere; message_check() acts at 0,
 *and never while the disk's thread works on the message.
 */
#include "qmgr/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/queue/qfile.h"
#include "lib/queue/segment.h"
#include "qmgr/backoff.h"
#include "qmgr/delivery.h"
#include "qmgr/destination.h"
#include "qmgr/disk.h"
#include "qmgr/due.h"
#include "qmgr/incoming.h"
#include "qmgr/notice.h"
#include "qmgr/probe.h"
#include "qmgr/record.h"
#include "qmgr/route.h"

/* --- beginning and end --- */

struct message *
message_new(struct qmgr *q, struct state *st)
{
	struct message *m = xcalloc(1, sizeof *m);

	m->q = q;
	m->st = *st;
	*st = (struct state){0};
	m->run = xcalloc(m->st.env.nrcpts, sizeof *m->run);
	m->active = (uint64_t)wall_us();
	LIST_INIT(&m->works);
	LIST_INIT(&m->questions);
	map_put(q->messages, str_from(m->st.head.id), m);
	metric_set(METRIC_ACTIVE, ++q->nmessages);
	return m;
}

struct message *
message_find(const struct qmgr *q, struct str id)
{
	return map_get(q->messages, id);
}

void
message_free(struct message *m)
{
	struct qmgr *q = m->q;

	route_forget(m);
	while (!LIST_EMPTY(&m->works))
		work_free(LIST_FIRST(&m->works));
	if (m->is_stuck)
		TAILQ_REMOVE(&q->stuck, m, stuck);
	map_take(q->messages, str_from(m->st.head.id));
	metric_set(METRIC_ACTIVE, --q->nmessages);
	if (m->place == PLACE_SEGMENT && m->segment != NULL)
		incoming_release(q, m->segment);
	free(m->acks.items);
	free(m->wish_text);
	free(m->run);
	state_clear(&m->st);
	free(m);
	incoming_wake(q);
}

size_t
message_room(const struct qmgr *q)
{
	size_t limit = (size_t)q->conf->qmgr_message_active_limit;

	return q->nmessages < limit ? limit - q->nmessages : 0;
}

struct message *
message_from_file(struct qmgr *q, struct loaded *l)
{
	if (message_find(q, str_from(l->st.head.id)) != NULL)
		return NULL;
	enum folder folder = l->folder;
	uint64_t end = l->entries_end;
	struct message *m = message_new(q, &l->st);
	m->place = PLACE_FILE;
	m->folder = folder;
	m->entries_end = end;
	return m;
}

static size_t
unfinished(const struct message *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->st.env.nrcpts; i++)
		n += !state_rcpt_final(&m->st.rcpts[i]);
	return n;
}

void
message_activate(struct message *m)
{
	const struct envelope *env = &m->st.env;

	if (m->place == PLACE_SEGMENT && env->hold.n != 0 && m->st.held == NULL &&
	    m->st.attempts == 0) {
		message_wish(m, WISH_HOLD, env->hold);
		return;
	}
	struct ev_active ev = {
	    .queue_id = str_from(m->st.head.id),
	    .sender = env->sender,
	    .size = state_size(&m->st),
	    .nrcpt = env->nrcpts,
	};
	log_event(env->trace, EV_ACTIVE, &ev);
	m->crashes = 0;
	m->notice_failed = false;
	m->pending++; /* so that nothing ends before all are routed */
	bool answered = probe_answered(m);
	for (size_t i = 0; i < env->nrcpts && !answered; i++)
		if (!state_rcpt_final(&m->st.rcpts[i]) && m->run[i].phase == PHASE_IDLE)
			route_recipient(m, i);
	m->pending--;
	message_check(m);
}

/* --- gone --- */

static void
log_removed(const struct message *m)
{
	struct ev_removed ev = {.queue_id = str_from(m->st.head.id)};

	log_event(m->st.env.trace, EV_REMOVED, &ev);
	if (!probe_is(m))
		metric_add(METRIC_REMOVED, 1);
}

static void
on_file_gone(struct disk_job *job)
{
	struct message *m = job->m;

	m->disk--;
	if (job->failed) {
		log_error("%s", job->why.text);
		acks_move(&m->acks, &job->acks);
		message_stuck(m);
		return;
	}
	message_free(m);
}

static void
gone(struct message *m)
{
	log_removed(m);
	if (m->place == PLACE_SEGMENT) {
		record_done_in_segment(m);
		message_free(m);
		return;
	}
	struct disk_job *job = disk_job_new(m->q, m, m->st.head.id);
	job->from = job->to = m->folder;
	job->remove = true;
	job->unindex = m->folder != FOLDER_NEW;
	job->on_done = on_file_gone;
	acks_move(&job->acks, &m->acks);
	m->st.done = true;
	disk_submit(job);
}

/* --- to wait on disk --- */

static void
on_put_away(struct disk_job *job)
{
	struct message *m = job->m;
	struct qmgr *q = job->q;

	m->disk--;
	if (job->failed) {
		log_error("%s", job->why.text);
		if (job->moved && !job->store)
			m->folder = job->to;
		acks_move(&m->acks, &job->acks);
		for (size_t i = 0; i < m->st.env.nrcpts; i++)
			m->run[i].dirty = m->st.rcpts[i].status != DELIVERY_NONE;
		m->new_children = m->st.nchildren;
		message_stuck(m);
		return;
	}
	if (job->store) {
		record_moved(q, m->segment, m->offset, m->st.head.id);
		incoming_release(q, m->segment);
		m->segment = NULL;
		m->place = PLACE_FILE;
		m->entries_end = qfile_entries_at(&m->st.head) + job->entries.n;
	} else
		m->entries_end = job->at + job->entries.n;
	m->folder = job->to;
	message_disk_done(m);
}

/* Into a file of `folder` (from the journal, or from another folder), with all that is known, and
 * into the index. */
static void
put_away(struct message *m, enum folder folder)
{
	struct disk_job *job = disk_job_new(m->q, m, m->st.head.id);

	job->to = folder;
	if (m->place == PLACE_SEGMENT) {
		job->store = true;
		job->from = FOLDER_TMP;
		job->segment = m->segment->fd;
		job->offset = m->offset + SEGMENT_FRAME;
		job->length = HEAD_SIZE + m->st.head.content_size + m->st.head.envelope_size;
		state_encode(
		    &m->st, qfile_key(&m->st.head), qfile_entries_at(&m->st.head), &job->entries);
		for (size_t i = 0; i < m->st.env.nrcpts; i++)
			m->run[i].dirty = false;
		m->new_children = 0;
	} else {
		job->from = m->folder;
		job->at = m->entries_end;
		m->scheduled = true;
		record_dirty(m, job->at, &job->entries);
	}
	m->scheduled = false;
	disk_job_index(job, &m->st, folder);
	acks_move(&job->acks, &m->acks);
	job->on_done = on_put_away;
	disk_submit(job);
}

static void
defer(struct message *m)
{
	struct state *st = &m->st;

	st->attempts++;
	st->next = (uint64_t)wall_us() + (uint64_t)backoff_us(m->q->conf, st->attempts);
	m->leaving = true;
	put_away(m, FOLDER_CUR);
	due_note(m->q, st->next);
}

/* --- what is left to do --- */

/* Mail that is too old, or that an operator wants returned: what is deferred is given up with its
 * last reason. */
static void
expire(struct message *m)
{
	const struct envelope *env = &m->st.env;
	int64_t lifetime = env->sender.n == 0 ? m->q->conf->bounce_queue_lifetime
					      : m->q->conf->maximal_queue_lifetime;
	int64_t age = wall_us() - (int64_t)m->st.head.arrived;

	if (unfinished(m) == 0 || (!m->st.expire && age < lifetime * 1000))
		return;
	struct ev_expired ev = {
	    .queue_id = str_from(m->st.head.id),
	    .sender = env->sender,
	    .status = str_from(m->st.expire ? "force-expired" : "expired"),
	};
	log_event(env->trace, EV_EXPIRED, &ev);
	for (size_t i = 0; i < env->nrcpts; i++) {
		if (state_rcpt_final(&m->st.rcpts[i]))
			continue;
		m->st.rcpts[i].status = DELIVERY_BOUNCED;
		m->run[i].dirty = true;
		metric_add(METRIC_BOUNCED, 1);
	}
}

/* Out of hold/ first, then tried. */
static void
unhold(struct message *m, enum wish wish)
{
	if (m->place == PLACE_FILE && m->folder == FOLDER_HOLD) {
		free(m->st.held);
		m->st.held = NULL;
		m->wish = wish;
		m->st.next = (uint64_t)wall_us();
		put_away(m, FOLDER_CUR);
	} else
		message_activate(m);
}

static void
fulfil(struct message *m)
{
	enum wish wish = m->wish;

	m->wish = WISH_NONE;
	switch (wish) {
	case WISH_DELETE:
		gone(m);
		break;
	case WISH_HOLD:
		free(m->st.held);
		m->st.held = m->wish_text != NULL ? m->wish_text : xstrdup("by operator");
		m->wish_text = NULL;
		m->leaving = true;
		put_away(m, FOLDER_HOLD);
		break;
	case WISH_REQUEUE:
		/* From the beginning: new routes, attempts counted anew. */
		m->st.attempts = 0;
		m->st.expire = false;
		m->rerouted = true;
		unhold(m, wish);
		break;
	case WISH_RELEASE:
		unhold(m, wish);
		break;
	case WISH_LEAVE:
	case WISH_NONE:
		break;
	}
}

static void
settle(struct message *m)
{
	if (m->wish != WISH_NONE && m->wish != WISH_LEAVE) {
		fulfil(m);
		return;
	}
	if (probe_is(m)) {
		probe_report(m);
		gone(m);
		return;
	}
	expire(m);
	if (!m->notice_failed && notice_start(m)) {
		record_message(m);
		return;
	}
	if (unfinished(m) == 0 && !m->notice_failed)
		gone(m);
	else
		defer(m);
}

void
message_check(struct message *m)
{
	if (m->disk > 0) {
		m->check_later = true;
		return;
	}
	if (m->pending > 0) {
		record_message(m);
		/* Its segment is wanted again: it gets a file, and goes on from there. */
		if (m->wish == WISH_LEAVE && m->disk == 0) {
			m->wish = WISH_NONE;
			if (m->place == PLACE_SEGMENT)
				put_away(m, FOLDER_CUR);
		}
		return;
	}
	settle(m);
}

void
message_disk_done(struct message *m)
{
	if (m->disk > 0)
		return;
	if (m->leaving && m->wish == WISH_NONE && m->pending == 0) {
		/* While the disk was busy a child may have come in, or a result been told again. */
		record_message(m);
		if (m->disk == 0)
			message_free(m);
		return;
	}
	m->leaving = false;
	if (m->check_later || m->wish != WISH_NONE) {
		m->check_later = false;
		message_check(m);
	}
}

void
message_release(struct message *m)
{
	if (m->disk == 0) {
		message_free(m);
		return;
	}
	m->leaving = true;
}

void
message_stuck(struct message *m)
{
	if (m->is_stuck)
		return;
	m->is_stuck = true;
	m->leaving = false;
	TAILQ_INSERT_TAIL(&m->q->stuck, m, stuck);
}

void
message_retry_stuck(struct qmgr *q)
{
	TAILQ_HEAD(, message) again = TAILQ_HEAD_INITIALIZER(again);
	struct message *m;

	TAILQ_CONCAT(&again, &q->stuck, stuck);
	while ((m = TAILQ_FIRST(&again)) != NULL) {
		TAILQ_REMOVE(&again, m, stuck);
		m->is_stuck = false;
		if (m->st.done)
			gone(m);
		else
			message_check(m);
	}
}

void
message_result(struct message *m, struct entry *e)
{
	e->kind = ENTRY_RESULT;
	e->when = (uint64_t)wall_us();
	state_apply(&m->st, e);
	m->run[e->index].dirty = true;
	m->run[e->index].phase = PHASE_IDLE;
	m->pending--;
}

void
message_wish(struct message *m, enum wish wish, struct str reason)
{
	m->wish = wish;
	free(m->wish_text);
	m->wish_text = reason.n != 0 ? str_dup(reason) : NULL;
	if (wish != WISH_LEAVE)
		work_cancel_queued(m);
	message_check(m);
}
