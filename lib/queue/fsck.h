/* SPDX-License-Identifier: ISC */
/* Checks everything in a queue, down to each checksum. It changes nothing; `kingpost queue fsck`
 * shows what it says. */
#ifndef KP_QUEUE_FSCK_H
#define KP_QUEUE_FSCK_H

#include <stdint.h>

#include "lib/base/attr.h"

struct folders;
struct qindex;
struct why;

struct fsck {
	void (*on_problem)(void *arg, const char *where, const char *what);
	void (*on_progress)(
	    void *arg, uint64_t done, uint64_t total); /* files and segments; may be NULL */
	void *arg;
	uint64_t total, done;                  /* files and segments */
	uint64_t messages, segments, problems; /* found */
	uint64_t unfinished; /* files that a writer is at, or that a dead one left */
};

/* Files, segments and result journal; and, where `ix` is not NULL, whether the index agrees. -1:
 * could not even look. */
int fsck_run(
    struct fsck *fs, const struct folders *f, struct qindex *ix, struct why *why) KP_MUST_USE;

#endif
