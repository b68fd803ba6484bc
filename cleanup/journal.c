/* SPDX-License-Identifier: ISC */
/*
 * Segments and group commit.
 *
 *	current   written now			spare	made ready in advance (a job of its own)
 *	closed    full, or of an earlier worker; qmgr has not yet said that all in them is done or
 *moved
 *
 * The group's order: write all, sync once, leave the mark, then answer and announce each. A failed
 *write or sync refuses the whole group with a 451 and retires the segment: nothing of it is tried
 *again. Where no segment has room, the group waits for the spare that is being made.
 */
#include "cleanup/journal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup/announce.h"
#include "cleanup/cleanup.h"
#include "cleanup/transaction.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/queue/folders.h"

enum { IOV_PER_MESSAGE = 5, IOV_MAX_GROUP = 1000, SLOT_SHIFT = 16, NUMBER_MASK = 0xffff };

struct closed {
	struct segment sg;
	LIST_ENTRY(closed) link;
};

struct journal {
	struct cleanup *c;
	struct segment current, spare; /* fd -1: none */
	LIST_HEAD(, closed) closed;
	size_t nclosed;
	uint64_t last_number; /* in our slot */
	struct transaction_group group;
	struct loop_task task;
	struct job prepare;
	struct segment prepared; /* the job's; fd -1: one is to be made */
	struct why prepare_why;
	bool preparing, prepare_failed;
	struct iovec *iov;
};

static void commit_group(void *arg);

bool
journal_takes(const struct journal *j, uint64_t n)
{
	const struct cleanup_conf *conf = j->c->conf;

	/* The limit is of the content; envelope and head have room besides. */
	return conf->common.journal_message_limit > 0 &&
	       n <= (uint64_t)conf->common.journal_message_limit * 2 + SEGMENT_START &&
	       segment_space(n) <= (uint64_t)conf->journal_segment_size - SEGMENT_START;
}

/* --- segments --- */

static void
prepare_run(struct job *job)
{
	struct journal *j = (struct journal *)((char *)job - offsetof(struct journal, prepare));

	bool used = j->prepared.fd != -1;
	uint64_t size = (uint64_t)j->c->conf->journal_segment_size;

	int rc = used ? segment_seal(&j->prepared, &j->prepare_why)
		      : segment_create(
			    &j->prepared, j->c->newfd, j->prepared.number, size, &j->prepare_why);
	j->prepare_failed = rc == -1;
}

static void
refuse_group(struct transaction_group *group, const struct why *why)
{
	struct transaction *t;

	while ((t = TAILQ_FIRST(group)) != NULL) {
		TAILQ_REMOVE(group, t, group);
		transaction_refuse(t, why);
	}
}

static void
prepare_done(struct job *job)
{
	struct journal *j = (struct journal *)((char *)job - offsetof(struct journal, prepare));

	j->preparing = false;
	if (j->prepare_failed) {
		log_error("journal: %s", j->prepare_why.text);
		segment_close(&j->prepared);
		refuse_group(&j->group, &j->prepare_why);
		return;
	}
	j->spare = j->prepared;
	if (!TAILQ_EMPTY(&j->group))
		loop_defer(&j->c->service->loop, &j->task);
}

static void
prepare_spare(struct journal *j, struct segment *used)
{
	j->preparing = true;
	if (used != NULL)
		j->prepared = *used;
	else
		j->prepared = (struct segment){
		    .fd = -1,
		    .number = (uint64_t)(j->c->ids.slot + 1) << SLOT_SHIFT |
			      (++j->last_number & NUMBER_MASK),
		};
	j->prepare = (struct job){.run = prepare_run, .done = prepare_done};
	jobs_add(j->c->jobs, &j->prepare);
}

static void
close_current(struct journal *j)
{
	if (j->current.fd == -1)
		return;
	struct closed *closed = xcalloc(1, sizeof *closed);
	closed->sg = j->current;
	LIST_INSERT_HEAD(&j->closed, closed, link);
	j->nclosed++;
	j->current.fd = -1;
}

/* Makes `current` one that the message fits in. false: the group has to wait. */
static bool
make_room(struct journal *j, uint64_t n)
{
	if (j->current.fd != -1 && segment_fits(&j->current, n))
		return true;
	if (j->spare.fd == -1) {
		if (!j->preparing)
			prepare_spare(j, NULL);
		return false;
	}
	close_current(j);
	j->current = j->spare;
	j->spare.fd = -1;
	return true;
}

/* One that nobody needs any more goes altogether. */
static void
remove_segment(struct journal *j, struct segment *sg)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(sg->number, name);
	if (unlinkat(j->c->newfd, name, 0) == -1)
		log_warning("journal: cannot remove %s", name);
	segment_close(sg);
}

void
journal_segment_free(struct journal *j, uint64_t number, uint64_t seal)
{
	struct closed *closed;

	LIST_FOREACH (closed, &j->closed, link)
		if (closed->sg.number == number && closed->sg.seal == seal)
			break;
	if (closed == NULL)
		return;
	LIST_REMOVE(closed, link);
	j->nclosed--;
	bool right_size = closed->sg.size == (uint64_t)j->c->conf->journal_segment_size;
	/* One that was adopted is marked failed until it is sealed; one that did fail was cut
	 * short. */
	if (j->spare.fd == -1 && !j->preparing && right_size)
		prepare_spare(j, &closed->sg);
	else
		remove_segment(j, &closed->sg);
	free(closed);
}

/* --- the group --- */

static uint64_t
total_of(const struct transaction *t)
{
	return HEAD_SIZE + t->prefix.n + t->rest.n + t->envelope.n;
}

static size_t
fill_iov(struct journal *j, struct transaction *t, uint64_t offset, struct iovec *iov)
{
	static const char zeros[SEGMENT_ALIGN];
	uint64_t n = total_of(t);

	t->offset = offset;
	t->space = segment_space(n);
	segment_frame(&j->current, offset, n, t->frame);
	iov[0] = (struct iovec){t->frame, sizeof t->frame};
	iov[1] = (struct iovec){t->prefix.p, t->prefix.n};
	iov[2] = (struct iovec){(void *)(uintptr_t)t->rest.p, t->rest.n};
	iov[3] = (struct iovec){t->envelope.p, t->envelope.n};
	iov[4] = (struct iovec){(void *)(uintptr_t)zeros, (size_t)(t->space - SEGMENT_FRAME - n)};
	return IOV_PER_MESSAGE;
}

/* Moves as much of the waiting group as fits in the segment, and in one write, to `part`. */
static int
write_part(struct journal *j, struct transaction_group *part, struct why *why)
{
	struct transaction *t;
	size_t niov = 0;
	uint64_t total = 0;

	TAILQ_INIT(part);
	while ((t = TAILQ_FIRST(&j->group)) != NULL && niov + IOV_PER_MESSAGE <= IOV_MAX_GROUP) {
		uint64_t space = segment_space(total_of(t));
		if (j->current.failed || space > j->current.size - j->current.end - total)
			break;
		niov += fill_iov(j, t, j->current.end + total, j->iov + niov);
		total += space;
		TAILQ_REMOVE(&j->group, t, group);
		TAILQ_INSERT_TAIL(part, t, group);
	}
	return segment_write(&j->current, j->iov, niov, total, why);
}

static int
write_and_sync(struct journal *j, struct transaction_group *done, struct why *why)
{
	struct transaction_group part;
	int64_t start = clock_us();

	TAILQ_INIT(done);
	do {
		int rc = write_part(j, &part, why);
		TAILQ_CONCAT(done, &part, group);
		if (rc == -1)
			return -1;
	} while (
	    !TAILQ_EMPTY(&j->group) && segment_fits(&j->current, total_of(TAILQ_FIRST(&j->group))));
	if (segment_sync(&j->current, why) == -1)
		return -1;
	metric_add(METRIC_SYNCS, 1);
	metric_time(METRIC_SYNC_TIME, clock_us() - start);
	return 0;
}

static void
answer(struct journal *j, struct transaction_group *done)
{
	struct transaction *t;
	char id[QID_SIZE];

	while ((t = TAILQ_FIRST(done)) != NULL) {
		TAILQ_REMOVE(done, t, group);
		if ((t->env.flags & MAIL_PROBE) == 0)
			metric_add(METRIC_QUEUED, 1);
		announce(j->c, t, j->current.number, j->current.seal);
		memcpy(id, t->id, sizeof id);
		transaction_queued(t, id);
	}
}

static void
commit_group(void *arg)
{
	struct journal *j = arg;
	struct transaction_group done;
	struct why why = {0};

	while (!TAILQ_EMPTY(&j->group)) {
		if (!make_room(j, total_of(TAILQ_FIRST(&j->group))))
			return; /* prepare_done() comes back to it */
		if (write_and_sync(j, &done, &why) == -1) {
			log_error("journal: %s", why.text);
			close_current(j);
			refuse_group(&done, &why);
			refuse_group(&j->group, &why);
			return;
		}
		answer(j, &done);
	}
	/* The next segment is made before this one is full. */
	if (!j->c->finished && j->spare.fd == -1 && !j->preparing &&
	    j->current.end > j->current.size / 2)
		prepare_spare(j, NULL);
}

void
journal_add(struct journal *j, struct transaction *t)
{
	TAILQ_INSERT_TAIL(&j->group, t, group);
	loop_defer(&j->c->service->loop, &j->task);
}

/* --- beginning and end --- */

/* A segment of our slot that an earlier worker left: closed until qmgr says that it is free. */
static int
on_name(void *arg, const char *name)
{
	struct journal *j = arg;
	uint64_t number = segment_number(name), unmade = segment_unmade_number(name);
	struct why why = {0};

	if (unmade >> SLOT_SHIFT == j->c->ids.slot + 1 && unlinkat(j->c->newfd, name, 0) == -1)
		log_warning("journal: cannot remove %s", name);
	if (number >> SLOT_SHIFT != j->c->ids.slot + 1)
		return 0;
	if ((number & NUMBER_MASK) > j->last_number)
		j->last_number = number & NUMBER_MASK;
	struct closed *closed = xcalloc(1, sizeof *closed);
	int rc = segment_adopt(&closed->sg, j->c->newfd, number, &why);
	if (rc == 1) {
		LIST_INSERT_HEAD(&j->closed, closed, link);
		j->nclosed++;
		return 0;
	}
	free(closed);
	/* A damaged one is qmgr's to keep in corrupt/; its number is not used again. */
	if (rc == -1)
		log_warning("journal: %s", why.text);
	return 0;
}

struct journal *
journal_new(struct cleanup *c, struct why *why)
{
	struct journal *j = xcalloc(1, sizeof *j);

	j->c = c;
	j->current.fd = j->spare.fd = j->prepared.fd = -1;
	LIST_INIT(&j->closed);
	TAILQ_INIT(&j->group);
	j->task = (struct loop_task){.on_round_end = commit_group, .arg = j};
	j->iov = xcalloc(IOV_MAX_GROUP, sizeof *j->iov);
	if (folder_each(c->newfd, on_name, j, why) == -1) {
		journal_free(&j);
		return NULL;
	}
	if (c->conf->common.journal_message_limit > 0)
		prepare_spare(j, NULL);
	return j;
}

void
journal_free(struct journal **jp)
{
	struct journal *j = *jp;
	struct closed *closed;

	*jp = NULL;
	if (j == NULL)
		return;
	loop_cancel(&j->c->service->loop, &j->task);
	while ((closed = LIST_FIRST(&j->closed)) != NULL) {
		LIST_REMOVE(closed, link);
		segment_close(&closed->sg);
		free(closed);
	}
	segment_close(&j->current);
	segment_close(&j->spare);
	free(j->iov);
	free(j);
}
