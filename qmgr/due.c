/* SPDX-License-Identifier: ISC */
/*
 * The cursor `due_after` stands behind the last row that was loaded: what is before it is in
 * memory, or has been written anew with a later time. When the clock goes back the cursor goes back
 * with it, and after a file that could not be read it begins anew; rows of messages in memory are
 * passed over.
 */
#include "qmgr/due.h"

#include "lib/base/clock.h"
#include "lib/queue/qindex.h"
#include "qmgr/disk.h"
#include "qmgr/message.h"

enum { LOAD_MAX = 500 };

void
due_note(struct qmgr *q, uint64_t next)
{
	if (q->next_due == 0 || next < q->next_due)
		q->next_due = next;
}

static void
on_loaded(struct load_job *job)
{
	struct qmgr *q = job->q;

	q->due_running = false;
	q->due_unread |= job->unread;
	q->due_after = job->after;
	q->next_due = 0;
	if (job->full)
		q->next_due = 1; /* more, as soon as there is room */
	else if (job->next_due != 0)
		due_note(q, job->next_due);
	for (size_t i = 0; i < job->nfound; i++) {
		if (job->found[i].folder != FOLDER_CUR)
			continue;
		struct message *m = message_from_file(q, &job->found[i]);
		if (m != NULL)
			message_activate(m);
	}
}

void
due_again(struct qmgr *q)
{
	if (!q->due_unread || q->due_running)
		return;
	q->due_unread = false;
	q->due_after = (struct qindex_key){0};
	q->next_due = 1;
}

void
due_tick(struct qmgr *q)
{
	uint64_t now = (uint64_t)wall_us();
	size_t room = message_room(q);

	if (q->due_running || q->rebuilding || q->next_due == 0 || q->next_due > now || room == 0)
		return;
	if (q->due_after.next > now)
		q->due_after = (struct qindex_key){0};
	struct load_job *job = load_job_new(q, on_loaded, NULL);
	job->due = true;
	job->after = q->due_after;
	job->now = now;
	job->max = room < LOAD_MAX ? (unsigned)room : LOAD_MAX;
	q->due_running = true;
	load_submit(job);
}
