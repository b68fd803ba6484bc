/* SPDX-License-Identifier: ISC */
/*
 * Results on their way to the disk: for mail in a segment to the result journal, with one write a
 * round and a sync soon after; for a file to its end, synced. A worker gets its acknowledgement
 * when the result has been recorded, and not before.
 */
#ifndef QMGR_RECORD_H
#define QMGR_RECORD_H

#include "lib/queue/entry.h"
#include "qmgr/qmgr.h"

void record_init(struct qmgr *q);

/* Records all that is dirty of a message that lives on, then sends its acks. */
void record_message(struct message *m);

/* Nothing is left to do: DONE in the result journal, or the file's removal. The message's memory is
 * the caller's to free. */
void record_done_in_segment(struct message *m);

/* The message stands in a file now. */
void record_moved(struct qmgr *q, const struct segment_ref *seg, uint64_t offset, const char *id);

/* An entry about a message of a segment. */
void record_entry(const struct message *m, struct entry *e);

/* The entries of what is dirty, as they stand in the message's file from `at` on; clears the marks.
 */
void record_dirty(struct message *m, uint64_t at, struct buf *out);

void acks_add(struct acks *acks, uint64_t worker, uint32_t request, const char *id);
void acks_move(struct acks *to, struct acks *from);
void record_send_acks(struct qmgr *q, struct acks *acks);

/* At the end: all that waits is written. */
void record_finish(struct qmgr *q);

#endif
