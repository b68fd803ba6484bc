/* SPDX-License-Identifier: ISC */
/* Filling an empty index from the files of cur/ and hold/: in the order of inodes, with parallel
 * readers, step by step. */
#ifndef KP_QUEUE_REBUILD_H
#define KP_QUEUE_REBUILD_H

#include <stdint.h>

#include "lib/base/attr.h"

struct folders;
struct qindex;
struct why;

struct rebuild;

/* What a rebuild tells its owner. */
struct rebuild_hooks {
	void (*on_progress)(void *arg, uint64_t done, uint64_t total); /* may be NULL */
	void (*on_damage)(
	    void *arg, const char *name, const char *reason); /* the file is in corrupt/ now */
	void *arg;
};

/* Lists the files. `readers` threads will read. NULL with `why`. */
struct rebuild *rebuild_new(const struct folders *f, struct qindex *ix, unsigned readers,
    const struct rebuild_hooks *hooks, struct why *why);

/* Some hundred files. 1: there are more; 0: all done, the index is complete; -1. */
int rebuild_step(struct rebuild *rb, struct why *why) KP_MUST_USE;
void rebuild_free(struct rebuild **rbp);

#endif
