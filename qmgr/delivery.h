/* SPDX-License-Identifier: ISC */
/* One delivery: a work goes to a worker with the content, results come back, the end, the
 * acknowledgement. */
#ifndef QMGR_DELIVERY_H
#define QMGR_DELIVERY_H

#include "lib/chan/chan.h"
#include "qmgr/qmgr.h"

struct entry;

struct work *work_new(struct message *m, struct destination *d, int notice);
void work_add(struct work *w, uint32_t rcpt);
void work_free(struct work *w);

/* What stands in queues of the message comes back undone; what is under way stays. */
void work_cancel_queued(struct message *m);

/* Takes one recipient out of its queue. */
void work_cancel_rcpt(struct message *m, uint32_t rcpt);

/*
 * Gives the work to a worker, or does it here (transports error, retry, discard, and those that
 * nobody serves): true. false: no worker can take it now; nothing has changed.
 */
bool delivery_start(struct work *w);

/* Ends a queued work without an attempt; frees it. */
void delivery_put_off(struct work *w, const char *code, const char *reason);

/* The log line of a result that is qmgr's own. */
void delivery_log_own(const struct message *m, size_t index, const struct entry *e);

/* Counts a result. */
void delivery_count(const struct message *m, uint64_t status);

/* The worker that will deliver for this program and next hop; NULL: none can now. */
struct worker *delivery_worker(struct qmgr *q, enum program p, struct str nexthop);

#endif
