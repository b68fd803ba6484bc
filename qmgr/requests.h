/* SPDX-License-Identifier: ISC */
/* What operators and users ask of the queue: listings, and actions on many messages. */
#ifndef QMGR_REQUESTS_H
#define QMGR_REQUESTS_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/chan/chan.h"
#include "qmgr/qmgr.h"

/* Who asks: an operator may see and do all, others see what they submitted themselves. */
struct caller {
	uid_t uid;
	bool privileged;
};

/* Begin a request; its entries and its end are replies to `head`, or it is refused. */
void requests_list(struct qmgr *q, struct chan *ch, const struct chan_head *head,
    const struct caller *who, const struct msg_queue_list *filter);
void requests_act(struct qmgr *q, struct chan *ch, const struct chan_head *head,
    const struct caller *who, const struct msg_queue_act *m);

/* 5.7.1 with a text. */
void requests_refuse(struct chan *ch, const struct chan_head *head, const char *text);

/* How many of a channel's are under way; and when the channel is gone: they end unheard. */
size_t requests_of(const struct qmgr *q, const struct chan *ch);
void requests_of_gone(struct qmgr *q, const struct chan *ch);

/* Those that wait for room go on. */
void requests_tick(struct qmgr *q);

#endif
