/* SPDX-License-Identifier: ISC */
/*
 * What qmgr does on the disk, in a thread of its own and in groups: files of messages, their
 * entries, the index. A job is a whole change of one message; the group is made durable together,
 * then each job's `on_done` is called in the loop.
 */
#ifndef QMGR_DISK_H
#define QMGR_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "qmgr/qmgr.h"

struct summary;

/* The order within a group: (1) bytes, each file synced; (2) the index; (3) names, folders synced.
 */
struct disk_job {
	struct job job;
	struct qmgr *q;
	struct message *m; /* NULL: none in memory */
	char id[HEAD_ID_MAX];
	enum folder from, to;    /* differ: the file is renamed */
	bool store;              /* a new file in `to`, from a segment: */
	int segment;             /*   its descriptor, */
	uint64_t offset, length; /*   the message in it */
	struct buf entries;      /* appended to the file at `at`, or behind what is stored */
	uint64_t at;
	bool remove;    /* the file goes */
	struct buf row; /* an encoded summary for the index; empty: the index's row goes (`unindex`)
			   or stays */
	bool unindex;
	struct acks acks; /* due when it is done */
	bool failed;
	bool moved; /* the file is in `to`, even where what came after that failed */
	struct why why;
	void (*on_done)(struct disk_job *job); /* frees nothing: disk does */
};

/* Starts the thread. */
void disk_start(struct qmgr *q);

struct disk_job *disk_job_new(struct qmgr *q, struct message *m, const char *id);
void disk_submit(struct disk_job *job);

/* The index's row for the message as it is now, in `folder`. */
void disk_job_index(struct disk_job *job, const struct state *st, enum folder folder);

/* Reading messages back from cur/ and hold/. */
struct loaded {
	struct state st;
	enum folder folder;
	uint64_t entries_end;
};

struct load_job {
	struct job job;
	struct qmgr *q;
	bool due; /* what is due: rows of the index behind `after`, at most `max` */
	struct qindex_key after;
	uint64_t now;
	unsigned max;
	uint64_t next_due;        /* found: when there is more; 0: never */
	bool full;                /* `max` rows were found */
	char (*ids)[HEAD_ID_MAX]; /* or these messages */
	size_t nids;
	char (*missing)[HEAD_ID_MAX]; /* rows of the index without a file */
	size_t nmissing;
	bool unread; /* something that may be there could not be read now: to be tried again */
	struct loaded *found; /* owned; the states are handed over by clearing `bytes` */
	size_t nfound, size;
	void *arg;
	void (*on_done)(struct load_job *job);
};

struct load_job *load_job_new(struct qmgr *q, void (*on_done)(struct load_job *job), void *arg);
void load_job_add(struct load_job *job, const char *id);
void load_submit(struct load_job *job);

/* A piece of work of another kind for the same thread, in order with all that was submitted before.
 */
struct disk_task {
	struct job job;
	struct qmgr *q;
	int fd;
	bool failed;
	struct why why;
	void (*on_done)(struct disk_task *task);
};

/* Syncs `fd` (closed after) and the results' folder. */
void disk_sync_results(struct qmgr *q, int fd, void (*on_done)(struct disk_task *task));

/* Fills an empty index, step by step, between other work. */
void disk_rebuild(struct qmgr *q);

#endif
