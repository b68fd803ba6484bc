/* SPDX-License-Identifier: ISC */
/*
 * Invariant: a result is in `dirty` marks, in the journal's pending bytes, or on its way in a disk
 * job; its ack waits with it. What a kill of qmgr loses of these the worker still has, since it was
 * not acknowledged.
 */
#include "qmgr/record.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/queue/qfile.h"
#include "qmgr/disk.h"
#include "qmgr/incoming.h"
#include "qmgr/message.h"

/* --- acknowledgements --- */

void
acks_add(struct acks *acks, uint64_t worker, uint32_t request, const char *id)
{
	if (acks->n == acks->size) {
		acks->size = acks->size == 0 ? 4 : acks->size * 2;
		acks->items = xrealloc(acks->items, acks->size * sizeof *acks->items);
	}
	struct ack *ack = &acks->items[acks->n++];
	*ack = (struct ack){.worker = worker, .request = request};
	snprintf(ack->id, sizeof ack->id, "%s", id);
}

void
acks_move(struct acks *to, struct acks *from)
{
	for (size_t i = 0; i < from->n; i++)
		acks_add(to, from->items[i].worker, from->items[i].request, from->items[i].id);
	from->n = 0;
}

static struct worker *
find_worker(struct qmgr *q, uint64_t serial)
{
	struct worker *w;

	LIST_FOREACH (w, &q->workers, link)
		if (w->serial == serial)
			return w;
	return NULL;
}

void
record_send_acks(struct qmgr *q, struct acks *acks)
{
	for (size_t i = 0; i < acks->n; i++) {
		const struct ack *ack = &acks->items[i];
		struct worker *w = find_worker(q, ack->worker);
		struct msg_deliver_ack msg = {.queue_id = str_from(ack->id)};
		/* One that died meanwhile has nothing left to forget. */
		if (w != NULL && chan_send(w->ch, ack->request, 0, MSG_DELIVER_ACK, &msg) == -1)
			continue;
	}
	acks->n = 0;
}

/* --- the result journal --- */

static void
arm_sync(struct qmgr *q)
{
	struct timeval tv = clock_tv(q->conf->qmgr_result_sync_delay);

	if (!q->sync_armed && event_add(q->ev_sync, &tv) == 0)
		q->sync_armed = true;
}

static void
on_synced(struct disk_task *task)
{
	struct qmgr *q = task->q;
	struct why why;

	q->syncing = false;
	if (task->failed) {
		/* Final for that file: a new one is begun. What was in it is delivered again at
		 * worst. */
		log_error("%s", task->why.text);
		if (!results_waiting(&q->results) && results_rotate(&q->results, &why) == -1)
			log_error("%s", why.text);
		q->results_dirty = true; /* so that segments which are free are synced for again */
		arm_sync(q);
		return;
	}
	incoming_results_synced(q);
}

static void
sync_now(struct qmgr *q)
{
	struct why why;

	if (q->syncing || !q->results_dirty || results_waiting(&q->results))
		return;
	int fd = fcntl(q->results.fd, F_DUPFD_CLOEXEC, 0);
	if (fd == -1) {
		log_error("result journal: out of file descriptors");
		return;
	}
	q->syncing = true;
	q->results_dirty = false;
	incoming_before_sync(q);
	disk_sync_results(q, fd, on_synced);
	if (results_full(&q->results) && results_rotate(&q->results, &why) == -1)
		log_error("%s", why.text);
}

static void
on_sync_time(evutil_socket_t fd, short what, void *arg)
{
	struct qmgr *q = arg;

	(void)fd;
	(void)what;
	q->sync_armed = false;
	if (results_waiting(&q->results))
		loop_defer(&q->service->loop, &q->record_task);
	sync_now(q);
	if (q->results_dirty)
		arm_sync(q);
}

static void
on_round_end(void *arg)
{
	struct qmgr *q = arg;
	struct why why;

	if (results_waiting(&q->results)) {
		if (results_write(&q->results, &why) == -1) {
			/* The disk is full, as it seems: the acks wait, the timer tries again. */
			log_error("%s", why.text);
			q->results_dirty = true;
			arm_sync(q);
			return;
		}
		q->results_dirty = true;
	}
	record_send_acks(q, &q->acks);
	if (q->results_dirty)
		arm_sync(q);
}

static void
on_retry(struct qmgr *q)
{
	loop_defer(&q->service->loop, &q->record_task);
}

void
record_init(struct qmgr *q)
{
	q->record_task = (struct loop_task){.on_round_end = on_round_end, .arg = q};
	q->ev_sync = event_new(q->service->loop.base, -1, 0, on_sync_time, q);
	if (q->ev_sync == NULL)
		fatal("no timer");
}

void
record_finish(struct qmgr *q)
{
	on_round_end(q);
}

/* --- what is recorded --- */

void
record_entry(const struct message *m, struct entry *e)
{
	struct qmgr *q = m->q;

	e->id = str_from(m->st.head.id);
	e->segment = m->segment->number;
	e->seal = m->segment->seal;
	e->offset = m->offset;
	if (e->when == 0)
		e->when = (uint64_t)wall_us();
	results_add(&q->results, e);
	on_retry(q);
}

static struct entry
child_entry(const struct state_child *child)
{
	return (struct entry){
	    .kind = ENTRY_CHILD, .text = str_from(child->parent), .child = str_from(child->id)};
}

static void
record_in_journal(struct message *m)
{
	struct entry e;

	for (; m->new_children > 0; m->new_children--) {
		e = child_entry(&m->st.children[m->st.nchildren - m->new_children]);
		record_entry(m, &e);
	}
	for (size_t i = 0; i < m->st.env.nrcpts; i++) {
		if (!m->run[i].dirty)
			continue;
		m->run[i].dirty = false;
		e = state_result(&m->st, i);
		record_entry(m, &e);
		for (unsigned action = 0; action < 32; action++)
			if ((m->st.rcpts[i].notices & 1U << action) != 0) {
				e = (struct entry){
				    .kind = ENTRY_NOTIFIED, .index = i, .status = action};
				record_entry(m, &e);
			}
	}
	acks_move(&m->q->acks, &m->acks);
	on_retry(m->q);
}

void
record_dirty(struct message *m, uint64_t at, struct buf *out)
{
	uint64_t key = qfile_key(&m->st.head), base = at - out->n;
	struct entry e;

	for (; m->new_children > 0; m->new_children--) {
		e = child_entry(&m->st.children[m->st.nchildren - m->new_children]);
		entry_encode(&e, key, base + out->n, out);
	}
	for (size_t i = 0; i < m->st.env.nrcpts; i++) {
		if (!m->run[i].dirty)
			continue;
		m->run[i].dirty = false;
		e = state_result(&m->st, i);
		entry_encode(&e, key, base + out->n, out);
		for (unsigned action = 0; action < 32; action++)
			if ((m->st.rcpts[i].notices & 1U << action) != 0) {
				e = (struct entry){
				    .kind = ENTRY_NOTIFIED, .index = i, .status = action};
				entry_encode(&e, key, base + out->n, out);
			}
	}
	if (m->scheduled) {
		m->scheduled = false;
		e = (struct entry){
		    .kind = ENTRY_SCHEDULE,
		    .next = m->st.next,
		    .attempts = m->st.attempts,
		    .expire = m->st.expire,
		    .text = str_from(m->st.held),
		};
		entry_encode(&e, key, base + out->n, out);
	}
}

static void
on_appended(struct disk_job *job)
{
	struct message *m = job->m;

	m->disk--;
	if (job->failed) {
		log_error("%s", job->why.text);
		for (size_t i = 0; i < m->st.env.nrcpts; i++)
			m->run[i].dirty = m->st.rcpts[i].status != DELIVERY_NONE;
		m->new_children = m->st.nchildren;
		acks_move(&m->acks, &job->acks);
		message_stuck(m);
		return;
	}
	m->entries_end = job->at + job->entries.n;
	message_disk_done(m);
}

static void
record_in_file(struct message *m)
{
	if (m->disk > 0) {
		m->check_later = true;
		return;
	}
	struct disk_job *job = disk_job_new(m->q, m, m->st.head.id);
	job->from = job->to = m->folder;
	job->at = m->entries_end;
	record_dirty(m, job->at, &job->entries);
	acks_move(&job->acks, &m->acks);
	job->on_done = on_appended;
	disk_submit(job);
}

void
record_message(struct message *m)
{
	bool dirty = m->acks.n > 0 || m->new_children > 0;

	for (size_t i = 0; i < m->st.env.nrcpts && !dirty; i++)
		dirty = m->run[i].dirty;
	if (!dirty)
		return;
	if (m->place == PLACE_SEGMENT && m->disk == 0)
		record_in_journal(m);
	else
		record_in_file(m);
}

void
record_done_in_segment(struct message *m)
{
	struct entry e = {.kind = ENTRY_DONE};

	record_entry(m, &e);
	acks_move(&m->q->acks, &m->acks);
}

void
record_moved(struct qmgr *q, const struct segment_ref *seg, uint64_t offset, const char *id)
{
	struct entry e = {
	    .kind = ENTRY_MOVED,
	    .id = str_from(id),
	    .segment = seg->number,
	    .seal = seg->seal,
	    .offset = offset,
	    .when = (uint64_t)wall_us(),
	};

	results_add(&q->results, &e);
	on_retry(q);
}
