/* SPDX-License-Identifier: ISC */
/* A result that limiter does not hear is lost: it gives the probe up after a while, and the next
 * who asks for the address begins another. */
#include "qmgr/probe.h"

#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/queue/entry.h"
#include "lib/service/service.h"
#include "qmgr/delivery.h"
#include "qmgr/message.h"

bool
probe_is(const struct message *m)
{
	return (m->st.env.flags & MAIL_PROBE) != 0;
}

bool
probe_answered(struct message *m)
{
	bool logged = false;

	if (!probe_is(m) || m->st.env.nrcpts < 2)
		return false;
	for (size_t i = 0; i < m->st.env.nrcpts; i++) {
		struct entry e = {
		    .index = i,
		    .status = DELIVERY_SENT,
		    .code = STR("2.0.0"),
		    .text = STR("aliased to multiple recipients"),
		};
		if (state_rcpt_final(&m->st.rcpts[i]) || m->run[i].phase != PHASE_IDLE)
			continue;
		if (!logged)
			delivery_log_own(m, i, &e);
		logged = true;
		m->pending++;
		message_result(m, &e);
	}
	return true;
}

static enum verify_status
verify_status(uint64_t status)
{
	switch (status) {
	case DELIVERY_SENT:
	case DELIVERY_RELAYED:
	case DELIVERY_EXPANDED:
		return VERIFY_DELIVERABLE;
	case DELIVERY_BOUNCED:
		return VERIFY_UNDELIVERABLE;
	}
	return VERIFY_DEFERRED;
}

void
probe_report(const struct message *m)
{
	if (m->st.env.nrcpts == 0)
		return;
	const struct envelope_rcpt *rcpt = &m->st.env.rcpts[0];
	const struct state_rcpt *state = &m->st.rcpts[0];
	struct chan *limiter = service_peer(m->q->service, PROGRAM_LIMITER, 0);
	struct msg_probe_result msg = {
	    .address = rcpt->original.n > 0 ? rcpt->original : rcpt->address,
	    .status = verify_status(state->status),
	    .text = str_sub(str_from(state->text), 0, MSG_TEXT_MAX),
	};

	if (limiter == NULL || chan_send(limiter, 0, m->st.env.trace, MSG_PROBE_RESULT, &msg) == -1)
		log_warning("%s: limiter cannot be told what became of a probe", m->st.head.id);
}
