/* SPDX-License-Identifier: ISC */
/*
 * Where mail for a recipient goes: router's answers, kept as long as they hold. A route is counted
 * by its users, so that a recipient keeps its own when the cache has dropped it.
 */
#ifndef SMTPD_ROUTES_H
#define SMTPD_ROUTES_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/msg/msg.h"
#include "smtpd/smtpd.h"

struct route {
	unsigned users;
	bool known; /* false: no such recipient, as `why` says */
	bool expand;
	unsigned class; /* enum address_class */
	char *address;
	char *transport;
	char *nexthop;
	uint64_t generation;
	int64_t until; /* clock_ms() */
	struct why *why;
};

/*
 * Calls `then` with the route of `addr`, or with `why` where that cannot be told now: at once where
 * it is known, else later, and the session waits.
 */
void route_ask(struct session *s, const struct addr *addr, route_then_fn *then);

/* From router's answer; one user holds it. */
struct route *route_make(const struct msg_route *msg) KP_MUST_USE;

struct route *route_hold(struct route *route);
void route_drop(struct route **routep);

/* router's tables have changed: forget all older answers. */
void routes_forget(struct server *server);

/* Forgets the session's question to a partner, if there is one. */
void chan_question_drop(struct session *s);

#endif
