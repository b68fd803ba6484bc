/* SPDX-License-Identifier: ISC */
/*
 * Work that blocks (a sync, a rename, the index) in threads of its own, so that no event loop waits
 * for a disk. A job is embedded in its object; `run` is called in a thread, then `done` in the
 * loop. With one thread jobs run in their order.
 */
#ifndef KP_QUEUE_JOBS_H
#define KP_QUEUE_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct loop;

struct job {
	void (*run)(struct job *job);  /* in a thread */
	void (*done)(struct job *job); /* in the loop; may free the job; may be NULL */
	STAILQ_ENTRY(job) link;
};
STAILQ_HEAD(job_list, job);

/*
 * Around each group of jobs that one thread takes at once: what is done for all of them (a sync of
 * a folder, a commit). `end` gets the group before any of it is reported as done.
 */
struct jobs_group {
	void (*begin)(void *arg);
	void (*end)(void *arg, struct job_list *group);
	void *arg;
};

struct jobs;

/* `group` may be NULL, and is for one thread alone. */
struct jobs *jobs_new(struct loop *loop, unsigned threads, const struct jobs_group *group);

/* Waits for all jobs that were added, calls their `done`, and frees. */
void jobs_free(struct jobs **jp);

/* Adds a job; the threads take it at the end of the round, or when they are free. */
void jobs_add(struct jobs *j, struct job *job);

#endif
