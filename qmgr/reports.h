/* SPDX-License-Identifier: ISC */
/*
 * Workers that deliver: their channels, and what they say when a channel is fresh. A result is
 * never lost with qmgr: each worker keeps what was not acknowledged, and says first what it is
 * still doing; nothing of that is started a second time.
 */
#ifndef QMGR_REPORTS_H
#define QMGR_REPORTS_H

#include "lib/chan/chan.h"
#include "qmgr/qmgr.h"

/* What remote, local and bounce may say by themselves. */
extern const struct chan_rule reports_rules[];

void reports_init(struct qmgr *q);
void reports_worker(struct service *s, struct chan *ch);
void reports_worker_gone(struct service *s, struct chan *ch);

/* Whether a worker of before the start has this recipient under way; it comes back by itself. */
bool reports_busy(const struct message *m, size_t index);

/* Workers that say nothing for too long; the end of the holding time. */
void reports_tick(struct qmgr *q);

#endif
