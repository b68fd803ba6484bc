/* SPDX-License-Identifier: ISC */
/*
 * The index of cur/ and hold/: LMDB, owned by qmgr alone, never trusted over a file. Rows of three
 * tables: `summary` (by queue id), `due` (by next attempt and id; cur/ alone), `dest` (by
 * destination, next attempt and id). One thread writes; other threads may read at the same time.
 * Nothing is synced but at a clean end: after a power cut (another boot id) the index is made anew
 * from the files.
 */
#ifndef KP_QUEUE_QINDEX_H
#define KP_QUEUE_QINDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct summary;
struct why;

struct qindex;

/* A row of `due`: what the next call goes on behind. */
struct qindex_key {
	uint64_t next;
	char id[32];
};

/* Visits a row; -1 ends the walk. */
typedef int qindex_fn(void *arg, const struct summary *sum);

/*
 * Opens (makes) the index in folder `path`; at most `max` bytes. `boot` is this boot's id.
 * `*rebuild`: what was there is missing, damaged or of another boot: it has been emptied, and is to
 * be filled from the files.
 */
struct qindex *qindex_open(
    const char *path, uint64_t max, struct str boot, bool *rebuild, struct why *why);

/* Something in it could not be read: what it says is not complete. Any thread may ask. */
bool qindex_broken(const struct qindex *ix);

/* Removes its file, so that the next qindex_open() finds none. */
void qindex_distrust(const struct qindex *ix);

/* Syncs, and notes that the end was clean where `clean`. */
void qindex_close(struct qindex **ixp, bool clean);

/* A group of changes. After a failure the whole group is void. */
int qindex_begin(struct qindex *ix, struct why *why) KP_MUST_USE;
int qindex_put(struct qindex *ix, const struct summary *sum, struct why *why) KP_MUST_USE;
int qindex_delete(struct qindex *ix, struct str id, struct why *why) KP_MUST_USE;
int qindex_commit(struct qindex *ix, struct why *why) KP_MUST_USE;
void qindex_abort(struct qindex *ix);

/* The index is complete: noted for the next start. To be called within a group. */
int qindex_complete(struct qindex *ix, struct why *why) KP_MUST_USE;

/* Up to `max` rows whose next attempt is due at `now`, behind *after, which moves on. The number of
 * rows, or -1. */
int qindex_due(struct qindex *ix, struct qindex_key *after, uint64_t now, unsigned max,
    qindex_fn *fn, void *arg, struct why *why) KP_MUST_USE;

/* When the first message behind `after` is due: 0 where there is none. */
uint64_t qindex_first_due(struct qindex *ix, const struct qindex_key *after);

/* Up to `max` rows in the order of ids, behind *after (QID text), which moves on. The number of
 * rows, or -1. */
int qindex_list(struct qindex *ix, char after[32], unsigned max, qindex_fn *fn, void *arg,
    struct why *why) KP_MUST_USE;

/* Up to `max` rows that wait for a destination, behind *after, which moves on. */
int qindex_destination(struct qindex *ix, struct str transport, struct str nexthop,
    struct qindex_key *after, unsigned max, qindex_fn *fn, void *arg, struct why *why) KP_MUST_USE;

/* One row: 1, 0 or -1. */
int qindex_get(
    struct qindex *ix, struct str id, qindex_fn *fn, void *arg, struct why *why) KP_MUST_USE;

/* How many rows there are. */
uint64_t qindex_count(struct qindex *ix);

/* How many of them wait for a time: all but those on hold. */
uint64_t qindex_waiting(struct qindex *ix);

#endif
