/* SPDX-License-Identifier: ISC */
/*
 * Queue ids: 19 upper-case hexadecimal digits: microseconds since 1970 (13), the node (4), the
 * writer's slot (2). Unique for ever and over nodes, sortable by time. A writer's time is
 * max(clock, last + 1) and never passes a mark that stands on disk, so that neither a clock that
 * goes back nor a crash makes an id twice.
 */
#ifndef KP_QUEUE_QID_H
#define KP_QUEUE_QID_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct why;

enum { QID_LEN = 19, QID_SIZE = QID_LEN + 1, QID_SLOTS = 256 };

/* How far ahead a mark is set: what an id's time may be ahead of the clock after a crash. */
#define QID_BLOCK_US (600 * INT64_C(1000000))

struct qid {
	int fd; /* of `ids`; holds the lock of our slot */
	unsigned slot;
	uint16_t node;
	int64_t last; /* time of the last id given out */
	int64_t mark; /* no id over this until the disk has a higher mark */
};

/*
 * Opens (makes, with a random node number) the file `ids` in `dirfd` and takes the lowest free
 * slot. qid_close() gives it back and notes the last time used.
 */
int qid_open(struct qid *q, int dirfd, struct why *why) KP_MUST_USE;
void qid_close(struct qid *q);

/* The next id, into `out` of QID_SIZE. Writes and syncs a new mark where the old one does not
 * reach. */
int qid_next(struct qid *q, char *out, struct why *why) KP_MUST_USE;

/* Whether a new mark should be made soon; qid_reserve() makes it (may be called in a thread, but
 * one at a time). */
bool qid_wants_reserve(const struct qid *q);
int qid_reserve(struct qid *q, struct why *why) KP_MUST_USE;

/* Whether text has the form of an id, and the time in it. */
bool qid_valid(struct str s);
int64_t qid_time(struct str s);

#endif
