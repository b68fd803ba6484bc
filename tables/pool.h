/* SPDX-License-Identifier: ISC */
/*
 * Threads that look things up and may block. A job goes in from the loop, its answer comes out in
 * the loop; between the two nothing of it is touched by the loop.
 */
#ifndef KP_TABLES_POOL_H
#define KP_TABLES_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/base/why.h"

struct loop;
struct pool;

struct job {
	struct job *next; /* the pool's */
	char *map, *key;  /* owned */
	int64_t deadline; /* clock_ms; a job that no thread took by then is answered as an error */
	int answer;       /* as table_lookup() */
	struct buf value;
	struct why why;
	void *arg; /* the caller's */
};

typedef int pool_lookup_fn(struct str map, struct str key, struct buf *out, struct why *why);
typedef void pool_done_fn(struct job *job); /* in the loop; frees the job with job_free() */

struct pool *pool_new(struct loop *loop, size_t threads, size_t most, pool_lookup_fn *lookup,
    pool_done_fn *on_done, struct why *why) KP_MUST_USE;

/* Waits for the jobs that threads are at; what still waits is freed unanswered. */
void pool_free(struct pool **pp);

/* Takes the job over; -1 with `why` where too many wait (the job is still the caller's). */
int pool_add(struct pool *p, struct job *job, struct why *why) KP_MUST_USE;

struct job *job_new(struct str map, struct str key, int64_t deadline, void *arg);
void job_free(struct job **jp);

#endif
