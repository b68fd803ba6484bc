/* SPDX-License-Identifier: ISC */
/*
 * "Queued" to qmgr. Invariant: a durable message has been announced, or `unannounced` is set and
 * qmgr will be told to look for itself (QUEUED with an empty id) as soon as it can be told
 * anything.
 */
#include "cleanup/announce.h"

#include "cleanup/cleanup.h"

static void
on_idle(void *arg)
{
	announce_to_new(arg);
}

void
announce_to_new(struct cleanup *c)
{
	struct chan *qmgr = service_peer(c->service, PROGRAM_QMGR, 0);
	struct msg_queued look = {0};

	if (c->unannounced && qmgr != NULL && chan_send(qmgr, 0, 0, MSG_QUEUED, &look) == 0)
		c->unannounced = false;
}

void
announce(struct cleanup *c, const struct transaction *t, uint64_t segment, uint64_t seal)
{
	struct chan *qmgr = service_peer(c->service, PROGRAM_QMGR, 0);
	struct msg_queued msg = {
	    .queue_id = str_from(t->id),
	    .segment = segment,
	    .seal = seal,
	    .offset = t->offset,
	    .length = t->space,
	};

	if (qmgr != NULL && !chan_busy(qmgr) &&
	    chan_send(qmgr, 0, t->head.trace, MSG_QUEUED, &msg) == 0)
		return;
	c->unannounced = true;
	if (qmgr != NULL)
		chan_on_idle(qmgr, on_idle, c);
}
