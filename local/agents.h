/* SPDX-License-Identifier: ISC */
/*
 * Delivery agents: one process a user, started by spawn, kept while there is work and a little
 * longer. A request goes to the agent of its user; where too many agents run, it waits until one is
 * free.
 */
#ifndef KP_LOCAL_AGENTS_H
#define KP_LOCAL_AGENTS_H

#include <stdint.h>

#include "lib/chan/chan.h"
#include "lib/base/attr.h"
#include "local/local.h"

struct agent;
struct agent_wish;
struct delivery;

/* Whose agent: a Unix user's, or where `user` is "" that of uid and gid. */
struct agent_user {
	char user[64 + 1];
	uint64_t uid, gid;
	bool mailbox; /* mail for the user, who gets a mailbox; not just a file or command of an
			 alias */
};

/* What to do, and who wants to know. All text is copied where it has to wait. */
struct agent_request {
	struct agent_user who;
	const struct msg_agent_action *action;
	const struct delivery *delivery; /* its content goes along; not for AGENT_READ */
	chan_reply_fn *on_reply; /* AGENT_FORWARD..., DELIVER_RESULT, DELIVER_END; msg NULL where
				    the agent died */
	void *arg;
};

/*
 * Sends it, now or when an agent is free. Never fails at once: a failure comes through on_reply,
 * later. The handle is valid until the callback saw DELIVER_END, REFUSED or NULL; agent_cancel()
 * forgets the answer (what the agent does it still does).
 */
struct agent_wish *agent_ask(struct local *l, const struct agent_request *request) KP_MUST_USE;
void agent_cancel(struct agent_wish **wp);

/* The user's next request gets a new agent: only spawn, when it starts one, can make a mailbox. */
void agent_renew(struct local *l, const struct agent_user *who);

/* Rules for spawn's channel: SPAWN_EXIT. */
extern const struct chan_rule agents_spawn_rules[];

void agents_init(struct local *l);

#endif
