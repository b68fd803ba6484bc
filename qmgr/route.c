/* SPDX-License-Identifier: ISC */
/* A route holds while router's generation does. An answer of router's replaces the envelope's for
 * this activation. */
#include "qmgr/route.h"

#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "qmgr/delivery.h"
#include "qmgr/destination.h"
#include "qmgr/message.h"
#include "qmgr/reports.h"

struct route_question {
	struct message *m;
	struct chan *router;
	uint32_t id;
	size_t index;
	LIST_ENTRY(route_question) link;
};

static void
enqueue(struct message *m, size_t index, struct str transport, struct str nexthop)
{
	struct destination *d = destination_get(m->q, transport, nexthop);

	m->run[index].phase = PHASE_QUEUED;
	destination_add(d, m, (uint32_t)index);
}

/* Ends the attempt for the recipient without one: the reason is ours. */
static void
put_off(struct message *m, size_t index, const struct why *why)
{
	struct entry e = {
	    .index = index,
	    .status = why->class == WHY_PERM ? DELIVERY_BOUNCED : DELIVERY_DEFERRED,
	    .code = str_from(why->code),
	    .text = str_from(why->text),
	};

	delivery_log_own(m, index, &e);
	message_result(m, &e);
}

static void
question_free(struct route_question *rq)
{
	if (rq->router != NULL)
		chan_forget(rq->router, rq->id);
	LIST_REMOVE(rq, link);
	free(rq);
}

void
route_forget(struct message *m)
{
	while (!LIST_EMPTY(&m->questions))
		question_free(LIST_FIRST(&m->questions));
}

/* The text of a route lives as long as the message's envelope does not: it goes into the
 * destination's own name. */
static void
on_route(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct route_question *rq = arg;
	struct message *m = rq->m;
	size_t index = rq->index;
	struct why why;

	rq->router = NULL;
	question_free(rq);
	if (msg != NULL && head->type == MSG_ROUTE) {
		m->q->generation = m->q->generation > msg->route.generation ? m->q->generation
									    : msg->route.generation;
		enqueue(m, index, msg->route.transport, msg->route.nexthop);
		return;
	}
	if (msg != NULL && head->type == MSG_REFUSED)
		why_from_msg(&why, &msg->refused);
	else
		why_temp(&why, "4.3.0", "address routing was interrupted");
	put_off(m, index, &why);
	message_check(m);
}

static void
ask(struct message *m, size_t index)
{
	const struct envelope_rcpt *rcpt = &m->st.env.rcpts[index];
	struct msg_resolve question = {.address = rcpt->address, .sender = m->st.env.sender};
	struct route_question *rq = xcalloc(1, sizeof *rq);
	struct why why;

	*rq = (struct route_question){.m = m, .index = index};
	LIST_INSERT_HEAD(&m->questions, rq, link);
	m->run[index].phase = PHASE_ASKING;
	rq->router = service_peer(m->q->service, PROGRAM_ROUTER, map_hash(rcpt->address));
	if (rq->router != NULL)
		rq->id =
		    chan_call(rq->router, m->st.env.trace, MSG_RESOLVE, &question, on_route, rq);
	if (rq->router != NULL && rq->id != 0)
		return;
	rq->router = NULL;
	question_free(rq);
	why_temp(&why, "4.3.0", "address routing is not available");
	put_off(m, index, &why);
}

/* A content filter's transport:nexthop stands for every route; without a nexthop it is the
 * recipient's domain. */
static void
to_filter(struct message *m, size_t index)
{
	struct str filter = m->st.env.filter, address = m->st.env.rcpts[index].address;
	ptrdiff_t colon = str_chr(filter, ':'), at = str_rchr(address, '@');
	struct str nexthop = colon >= 0 ? str_from_at(filter, (size_t)colon + 1) : STR_EMPTY;

	if (nexthop.n == 0 && at >= 0)
		nexthop = str_from_at(address, (size_t)at + 1);
	enqueue(m, index, colon >= 0 ? str_sub(filter, 0, (size_t)colon) : filter, nexthop);
}

void
route_recipient(struct message *m, size_t index)
{
	const struct envelope_rcpt *rcpt = &m->st.env.rcpts[index];
	const struct qmgr *q = m->q;
	bool holds = rcpt->transport.n != 0 && rcpt->generation != 0 && !m->rerouted &&
		     (q->generation == 0 || rcpt->generation == q->generation);

	m->pending++;
	if (reports_busy(m, index))
		m->run[index].phase = PHASE_BUSY;
	else if (m->st.env.filter.n > 0)
		to_filter(m, index);
	else if (holds)
		enqueue(m, index, rcpt->transport, rcpt->nexthop);
	else
		ask(m, index);
}

static void
on_generation(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct qmgr *q = s->state;

	(void)head;
	q->generation = msg->generation.generation;
}

const struct chan_rule route_rules[] = {
    {MSG_GENERATION, on_generation},
    {MSG_NONE,       NULL         },
};
