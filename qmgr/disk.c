/* SPDX-License-Identifier: ISC */
/*
 * The disk's thread. It alone writes the index. A group of jobs is one transaction of the index and
 * one sync of each folder that changed. Order for a message that leaves the journal: its file is
 * whole and synced under tmp/, the index knows it, then it gets its name in cur/; a kill between
 * leaves a row without a file, which is dropped when it is due, and the journal's copy.
 */
#include "qmgr/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "lib/queue/head.h"
#include "lib/queue/qfile.h"
#include "lib/queue/rebuild.h"
#include "lib/queue/segment.h"
#include "lib/queue/summary.h"
#include "qmgr/record.h"

enum { ENTRIES_MAX = 1 << 30 };

/* The thread's own; nothing of qmgr's is touched by it but what never changes. */
struct group_state {
	bool in_index;
	bool touched[FOLDER_COUNT];
};

static struct disk_job *
disk_job_of(struct job *job)
{
	return (struct disk_job *)((char *)job - offsetof(struct disk_job, job));
}

static void
fail(struct disk_job *job, const char *what)
{
	if (job->failed)
		return;
	job->failed = true;
	why_sys(&job->why, "4.3.0", "%s: %s", job->id, what);
}

/* --- stage 1: bytes --- */

static void
store(struct disk_job *job)
{
	char *message = xmalloc((size_t)job->length);

	if (pread_all(job->segment, message, (size_t)job->length, (off_t)job->offset) == -1)
		fail(job, "read the journal");
	else if (qfile_store(job->q->folders.fd[FOLDER_TMP], job->id,
		     str_make(message, (size_t)job->length), buf_view(&job->entries),
		     &job->why) == -1)
		job->failed = true;
	free(message);
}

static void
append(struct disk_job *job)
{
	int fd = openat(job->q->folders.fd[job->from], job->id, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	/* What a torn entry left behind the last valid one is cut off. */
	if (fd == -1 || ftruncate(fd, (off_t)job->at) == -1 ||
	    pwrite_all(fd, job->entries.p, job->entries.n, (off_t)job->at) == -1 || fsync(fd) == -1)
		fail(job, "append to the queue file");
	fd_close(&fd);
}

static bool
index_begin(struct qmgr *q, struct group_state *g, struct why *why)
{
	if (!g->in_index && qindex_begin(q->index, why) == 0)
		g->in_index = true;
	return g->in_index;
}

static void
index_change(struct disk_job *job, struct group_state *g)
{
	struct summary sum;

	if (job->failed || (job->row.n == 0 && !job->unindex))
		return;
	if (!index_begin(job->q, g, &job->why)) {
		job->failed = true;
		return;
	}
	if (job->unindex) {
		job->failed = qindex_delete(job->q->index, str_from(job->id), &job->why) == -1;
		return;
	}
	if (summary_decode(&sum, buf_view(&job->row), &job->why) == -1) {
		job->failed = true;
		return;
	}
	job->failed = qindex_put(job->q->index, &sum, &job->why) == -1;
	summary_clear(&sum);
}

static void
disk_run(struct job *base)
{
	struct disk_job *job = disk_job_of(base);

	/* A file goes before its row: a row without a file is dropped, a file without a row would
	 * come back one day. */
	if (job->remove) {
		if (unlinkat(job->q->folders.fd[job->from], job->id, 0) == -1 && errno != ENOENT)
			fail(job, "remove the queue file");
	} else if (job->store)
		store(job);
	else if (job->entries.n > 0)
		append(job);
}

/* --- stages 2 and 3: the index, then names --- */

static void
rename_one(struct disk_job *job, struct group_state *g)
{
	const int *fd = job->q->folders.fd;
	enum folder from = job->store ? FOLDER_TMP : job->from;

	if (job->failed || job->remove || from == job->to)
		return;
	job->moved = renameat(fd[from], job->id, fd[job->to], job->id) == 0;
	if (!job->moved)
		fail(job, "rename the queue file");
	g->touched[job->to] = true;
	g->touched[from] = g->touched[from] || from != FOLDER_TMP;
}

static bool is_disk_job(const struct job *job);

static void
sync_folders(struct qmgr *q, struct job_list *list, const struct group_state *g)
{
	struct job *base;
	bool failed = false;

	for (int i = 0; i < FOLDER_COUNT; i++)
		failed |= g->touched[i] && fsync(q->folders.fd[i]) == -1;
	if (!failed)
		return;
	STAILQ_FOREACH (base, list, link)
		if (is_disk_job(base))
			fail(disk_job_of(base), "sync the folder");
}

static void
index_commit(struct job_list *list, struct qmgr *q, struct group_state *g)
{
	struct job *base;
	struct why why;

	if (!g->in_index || qindex_commit(q->index, &why) == 0)
		return;
	STAILQ_FOREACH (base, list, link)
		if (is_disk_job(base)) {
			disk_job_of(base)->failed = true;
			disk_job_of(base)->why = why;
		}
}

static void
group_end(void *arg, struct job_list *list)
{
	struct qmgr *q = arg;
	struct group_state g = {0};
	struct job *base;

	STAILQ_FOREACH (base, list, link)
		if (is_disk_job(base))
			index_change(disk_job_of(base), &g);
	index_commit(list, q, &g);
	STAILQ_FOREACH (base, list, link)
		if (is_disk_job(base))
			rename_one(disk_job_of(base), &g);
	sync_folders(q, list, &g);
}

/* --- jobs, in the loop --- */

static void
disk_done(struct job *base)
{
	struct disk_job *job = disk_job_of(base);

	if (!job->failed)
		record_send_acks(job->q, &job->acks);
	job->on_done(job);
	free(job->acks.items);
	buf_free(&job->entries);
	buf_free(&job->row);
	free(job);
}

static bool
is_disk_job(const struct job *job)
{
	return job->run == disk_run;
}

struct disk_job *
disk_job_new(struct qmgr *q, struct message *m, const char *id)
{
	struct disk_job *job = xcalloc(1, sizeof *job);

	job->job = (struct job){.run = disk_run, .done = disk_done};
	job->q = q;
	job->m = m;
	snprintf(job->id, sizeof job->id, "%s", id);
	buf_init(&job->entries, ENTRIES_MAX);
	buf_init(&job->row, ENTRIES_MAX);
	if (m != NULL)
		m->disk++;
	return job;
}

void
disk_submit(struct disk_job *job)
{
	jobs_add(job->q->disk, &job->job);
}

void
disk_job_index(struct disk_job *job, const struct state *st, enum folder folder)
{
	struct summary sum;

	state_summary(st, folder_name(folder), &sum);
	summary_encode(&sum, &job->row);
	summary_clear(&sum);
}

void
disk_start(struct qmgr *q)
{
	struct jobs_group group = {.end = group_end, .arg = q};

	q->disk = jobs_new(&q->service->loop, 1, &group);
	q->reader = jobs_new(&q->service->loop, 1, NULL);
}

/* --- loading --- */

static struct load_job *
load_job_of(struct job *job)
{
	return (struct load_job *)((char *)job - offsetof(struct load_job, job));
}

static void
add_found(struct load_job *job, struct state *st, enum folder folder, uint64_t entries_end)
{
	if (job->nfound == job->size) {
		job->size = job->size == 0 ? 16 : job->size * 2;
		job->found = xrealloc(job->found, job->size * sizeof *job->found);
	}
	job->found[job->nfound++] =
	    (struct loaded){.st = *st, .folder = folder, .entries_end = entries_end};
}

static void
add_missing(struct load_job *job, const char *id)
{
	job->missing = xrealloc(job->missing, (job->nmissing + 1) * sizeof *job->missing);
	snprintf(job->missing[job->nmissing++], sizeof *job->missing, "%s", id);
}

/* A damaged file goes to corrupt/ and is never read as mail; its row goes. */
static void
damaged(struct load_job *job, enum folder folder, const char *id, const struct why *found)
{
	struct why why;

	log_error("%s: queue file is damaged: %s", id, found->text);
	if (corrupt_move(&job->q->folders, folder, id, found->text, &why) == -1)
		log_error("%s: %s", id, why.text);
	else if (folder != FOLDER_NEW)
		add_missing(job, id);
}

/* 1: it is there (loaded, or set aside); 0: not there; -1: could not tell. */
static int
load_from(struct load_job *job, enum folder folder, const char *id)
{
	struct qfile_read r;
	struct state st;
	struct why why = {0};
	int fd = openat(job->q->folders.fd[folder], id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1 && errno == ENOENT)
		return 0;
	if (fd == -1) {
		log_error("%s: open the queue file: %s", id, strerror(errno));
		return -1;
	}
	/* The content, too: it is going to be sent, and a power cut may have been between. */
	enum qfile_state found = qfile_read(fd, &r, true, &why);
	close(fd);
	if (found == QFILE_OPEN)
		return 1;
	if (found == QFILE_DAMAGED && why.class != WHY_PERM) {
		log_error("%s: %s", id, why.text);
		return -1;
	}
	if (found == QFILE_DAMAGED) {
		damaged(job, folder, id, &why);
		return 1;
	}
	if (state_init(&st, &r.head, r.envelope, &why) == -1)
		damaged(job, folder, id, &why);
	else {
		state_apply_all(&st, r.entries, qfile_key(&r.head), r.entries_at);
		add_found(job, &st, folder, r.entries_end);
	}
	qfile_read_clear(&r);
	return 1;
}

/* As load_from(), wherever it is: a file changes its folder by this thread alone. */
static int
load_message(struct load_job *job, const char *id)
{
	static const enum folder folders[] = {FOLDER_CUR, FOLDER_HOLD, FOLDER_NEW};
	int rc = 0;

	for (size_t i = 0; i < NELEM(folders) && rc == 0; i++)
		rc = load_from(job, folders[i], id);
	return rc;
}

static int
on_due_row(void *arg, const struct summary *sum)
{
	struct load_job *job = arg;
	char id[HEAD_ID_MAX];

	if (str_copy(id, sizeof id, sum->id))
		load_job_add(job, id);
	return 0;
}

static void
load_run(struct job *base)
{
	struct load_job *job = load_job_of(base);
	struct why why;

	if (job->due) {
		int n = qindex_due(
		    job->q->index, &job->after, job->now, job->max, on_due_row, job, &why);
		if (n == -1) {
			log_error("%s", why.text);
			job->unread = true;
		}
		job->full = n == (int)job->max;
		job->next_due = qindex_first_due(job->q->index, &job->after);
	}
	for (size_t i = 0; i < job->nids; i++) {
		int rc = load_message(job, job->ids[i]);
		job->unread |= rc == -1;
		if (rc == 0)
			add_missing(job, job->ids[i]);
	}
}

static void
on_unindexed(struct disk_job *job)
{
	if (job->failed)
		log_error("%s", job->why.text);
}

/* A row whose file a kill took away, or never let come into being: the journal has the message, or
 * it is done; or whose file lies in corrupt/ now. */
static void
drop_missing(struct load_job *job)
{
	for (size_t i = 0; i < job->nmissing; i++) {
		if (map_get(job->q->messages, str_from(job->missing[i])) != NULL)
			continue;
		struct disk_job *drop = disk_job_new(job->q, NULL, job->missing[i]);
		drop->from = drop->to = FOLDER_CUR;
		drop->unindex = true;
		drop->on_done = on_unindexed;
		disk_submit(drop);
	}
	free(job->missing);
}

static void
load_done(struct job *base)
{
	struct load_job *job = load_job_of(base);

	job->on_done(job);
	drop_missing(job);
	for (size_t i = 0; i < job->nfound; i++)
		if (job->found[i].st.bytes != NULL)
			state_clear(&job->found[i].st);
	free(job->found);
	free(job->ids);
	free(job);
}

struct load_job *
load_job_new(struct qmgr *q, void (*on_done)(struct load_job *job), void *arg)
{
	struct load_job *job = xcalloc(1, sizeof *job);

	job->job = (struct job){.run = load_run, .done = load_done};
	job->q = q;
	job->on_done = on_done;
	job->arg = arg;
	return job;
}

void
load_job_add(struct load_job *job, const char *id)
{
	job->ids = xrealloc(job->ids, (job->nids + 1) * sizeof *job->ids);
	snprintf(job->ids[job->nids++], sizeof *job->ids, "%s", id);
}

void
load_submit(struct load_job *job)
{
	jobs_add(job->q->disk, &job->job);
}

/* --- the result journal, and the rebuilding of the index --- */

static void
sync_run(struct job *base)
{
	struct disk_task *task =
	    (struct disk_task *)((char *)base - offsetof(struct disk_task, job));

	if (fdatasync(task->fd) == -1 || fsync(task->q->folders.fd[FOLDER_RESULTS]) == -1) {
		why_sys(&task->why, "4.3.0", "sync the result journal");
		task->failed = true;
	}
	fd_close(&task->fd);
}

static void
task_done(struct job *base)
{
	struct disk_task *task =
	    (struct disk_task *)((char *)base - offsetof(struct disk_task, job));

	task->on_done(task);
	free(task);
}

void
disk_sync_results(struct qmgr *q, int fd, void (*on_done)(struct disk_task *task))
{
	struct disk_task *task = xcalloc(1, sizeof *task);

	*task = (struct disk_task){
	    .job = {.run = sync_run, .done = task_done},
	    .q = q,
	    .fd = fd,
	    .on_done = on_done,
	};
	jobs_add(q->disk, &task->job);
}

static void
on_rebuild_damage(void *arg, const char *name, const char *reason)
{
	(void)arg;
	log_error("%s: queue file is damaged: %s", name, reason);
}

static void
rebuild_run(struct job *base)
{
	struct disk_task *task =
	    (struct disk_task *)((char *)base - offsetof(struct disk_task, job));
	struct qmgr *q = task->q;
	struct rebuild_hooks hooks = {.on_damage = on_rebuild_damage};
	int more = 1;

	if (q->rebuild == NULL)
		q->rebuild = rebuild_new(&q->folders, q->index,
		    (unsigned)q->conf->qmgr_rebuild_readers, &hooks, &task->why);
	if (q->rebuild == NULL || (more = rebuild_step(q->rebuild, &task->why)) == -1)
		task->failed = true;
	if (more != 1)
		rebuild_free(&q->rebuild);
}

static void
on_rebuilt(struct disk_task *task)
{
	struct qmgr *q = task->q;

	if (task->failed)
		log_error("index: %s", task->why.text);
	else if (q->rebuild != NULL)
		disk_rebuild(q);
	else {
		log_info(
		    "index: complete, %llu messages", (unsigned long long)qindex_count(q->index));
		q->rebuilding = false;
		q->next_due = 1; /* look at once */
	}
}

void
disk_rebuild(struct qmgr *q)
{
	struct disk_task *task = xcalloc(1, sizeof *task);

	q->rebuilding = true;
	*task = (struct disk_task){
	    .job = {.run = rebuild_run, .done = task_done},
	    .q = q,
	    .on_done = on_rebuilt,
	};
	jobs_add(q->disk, &task->job);
}
