/* SPDX-License-Identifier: ISC */
/* Where mail to an address goes, and whether the address is one. */
#ifndef KP_ROUTER_ROUTE_H
#define KP_ROUTER_ROUTE_H

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/msg/fields.h"
#include "router/query.h"

struct route {
	enum route_verdict verdict;
	enum address_class class;
	bool expand;                       /* virtual aliases apply */
	char address[MSG_ADDRESS_MAX + 1]; /* complete and canonical */
	char transport[64 + 1];
	char nexthop[MSG_NEXTHOP_MAX + 1];
	struct why unknown; /* verdict ROUTE_UNKNOWN: code and text */
};

/* Completes an address as Postfix's trivial-rewrite does: myorigin, mydomain, case of the domain.
 * -1: malformed (5.1.3). */
int route_rewrite(const struct router *r, struct str in, char out[static MSG_ADDRESS_MAX + 1],
    struct why *why) KP_MUST_USE;

/* Class, transport and next hop of a complete address; `out->address` is set by the caller.
 * TABLE_FOUND, TABLE_ASKED or TABLE_ERROR. */
int route_find(struct query *q, struct route *out, struct why *why) KP_MUST_USE;

/* All of RESOLVE: rewrite, class, aliases, recipient check, transport. Answers as route_find(). */
int route_resolve(
    struct query *q, struct str address, struct route *out, struct why *why) KP_MUST_USE;

const char *route_class_name(enum address_class class);

#endif
