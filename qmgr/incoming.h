/* SPDX-License-Identifier: ISC */
/*
 * Mail that has just come in: what cleanup announces, what stands in new/ unannounced, and when a
 * segment of the journal may be used again.
 */
#ifndef QMGR_INCOMING_H
#define QMGR_INCOMING_H

#include "lib/chan/chan.h"
#include "qmgr/qmgr.h"

/* What cleanup may say. */
extern const struct chan_rule incoming_rules[];

/* Reads the result journal, then all that stands in new/. -1: the queue cannot be read. */
int incoming_recover(struct qmgr *q, struct why *why) KP_MUST_USE;

/* A channel to cleanup, or its end. */
void incoming_cleanup(struct service *s, struct chan *ch);
void incoming_cleanup_gone(struct service *s, struct chan *ch);

/* There may be room for more messages in memory. */
void incoming_wake(struct qmgr *q);

/* A message of the segment is done or moved. */
void incoming_release(struct qmgr *q, struct segment_ref *seg);

/* Around a sync of the results: what was drained before is free after. */
void incoming_before_sync(struct qmgr *q);
void incoming_results_synced(struct qmgr *q);

void incoming_tick(struct qmgr *q);

#endif
