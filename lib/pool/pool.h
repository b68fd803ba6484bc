/* SPDX-License-Identifier: ISC */
/*
 * Threads for what may block or takes long. A job goes in from the loop and comes back in the loop;
 * between the two nothing of it is touched by the loop.
 */
#ifndef KP_POOL_POOL_H
#define KP_POOL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"

struct loop;
struct pool;
struct why;

/* Embed it in what the job is about. */
struct pool_job {
	struct pool_job *next; /* the pool's */
	int64_t deadline;      /* clock_ms; one that no thread took by then is not run */
	bool late;             /* ... and this says so */
};

typedef void pool_run_fn(struct pool_job *job);  /* in a thread: no lib/chan, no lib/log */
typedef void pool_done_fn(struct pool_job *job); /* in the loop; frees it */

/* `drop` frees a job that will not be run, at pool_free(). */
struct pool *pool_new(struct loop *loop, size_t threads, size_t most, pool_run_fn *run,
    pool_done_fn *on_done, pool_done_fn *drop, struct why *why) KP_MUST_USE;

/* Waits for the jobs that threads are at; what still waits is dropped. */
void pool_free(struct pool **pp);

/* Takes the job over; false where too many wait (the job is still the caller's). */
bool pool_add(struct pool *p, struct pool_job *job) KP_MUST_USE;

#endif
