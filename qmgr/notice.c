/* SPDX-License-Identifier: ISC */
/*
 * A notice is a work like any other, for the destination "bounce". What is due follows from the
 * recipient's result and what NOTIFY asked for (RFC 3461 4.1, 5.2); that the sender was told is
 * recorded before the message may go.
 */
#include "qmgr/notice.h"

#include "lib/base/clock.h"
#include "lib/metrics/metrics.h"
#include "qmgr/delivery.h"
#include "qmgr/destination.h"

enum { NOTHING = -1 };

/* What a result means to a sender who asked for news of success. A remote MTA that offers DSN tells
 * him itself. */
static int
success(const struct envelope_rcpt *rcpt, uint64_t status)
{
	if ((rcpt->notify & NOTIFY_SUCCESS) == 0)
		return NOTHING;
	switch (status) {
	case DELIVERY_SENT:
		return destination_program(rcpt->transport) == PROGRAM_LOCAL ? DSN_DELIVERED
									     : NOTHING;
	case DELIVERY_RELAYED:
		return DSN_RELAYED;
	case DELIVERY_EXPANDED:
		return DSN_EXPANDED;
	}
	return NOTHING;
}

static bool
late(const struct message *m)
{
	int64_t after = m->q->conf->delay_warning_time;

	return after > 0 && m->st.env.sender.n != 0 &&
	       wall_us() - (int64_t)m->st.head.arrived >= after * 1000;
}

/* A notification asks the next servers for none (RFC 3461 6.3), yet the postmaster hears of its
 * end.
 */
static bool
ours_failed(const struct message *m, const struct state_rcpt *state)
{
	return state->status == DELIVERY_BOUNCED && (m->st.env.flags & MAIL_NOTIFICATION) != 0;
}

static bool
wants(const struct envelope_rcpt *rcpt, uint64_t what)
{
	return rcpt->notify == NOTIFY_DEFAULT || (rcpt->notify & what) != 0;
}

/* The enum dsn_action that is due for a recipient, or NOTHING. */
static int
due(const struct message *m, size_t i)
{
	const struct envelope_rcpt *rcpt = &m->st.env.rcpts[i];
	const struct state_rcpt *state = &m->st.rcpts[i];
	int action = NOTHING;

	if (ours_failed(m, state))
		action = DSN_FAILED;
	else if ((rcpt->notify & NOTIFY_NEVER) != 0)
		return NOTHING;
	else if (state->status == DELIVERY_BOUNCED)
		action = wants(rcpt, NOTIFY_FAILURE) ? DSN_FAILED : NOTHING;
	else if (state_rcpt_final(state))
		action = success(rcpt, state->status);
	else if (state->status == DELIVERY_DEFERRED && late(m))
		action = wants(rcpt, NOTIFY_DELAY) ? DSN_DELAYED : NOTHING;
	return action != NOTHING && (state->notices & 1U << action) == 0 ? action : NOTHING;
}

bool
notice_start(struct message *m)
{
	int action = NOTHING;
	struct work *w = NULL;

	for (size_t i = 0; i < m->st.env.nrcpts; i++) {
		int one = due(m, i);
		if (one == NOTHING || (action != NOTHING && one != action))
			continue;
		action = one;
		if (w == NULL)
			w = work_new(m, destination_get(m->q, STR("bounce"), STR_EMPTY), action);
		work_add(w, (uint32_t)i);
	}
	if (w == NULL)
		return false;
	m->pending++;
	destination_enqueue(w);
	return true;
}

void
notice_over(struct work *w, bool done)
{
	struct message *m = w->m;

	m->pending--;
	if (!done) {
		m->notice_failed = true;
		return;
	}
	for (size_t i = 0; i < w->n; i++) {
		m->st.rcpts[w->rcpts[i]].notices |= 1U << w->notice;
		m->run[w->rcpts[i]].dirty = true;
	}
}
