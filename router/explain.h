/* SPDX-License-Identifier: ISC */
/* `kingpost address test`: the same functions as for mail, with every step told. */
#ifndef KP_ROUTER_EXPLAIN_H
#define KP_ROUTER_EXPLAIN_H

#include "lib/base/attr.h"
#include "router/query.h"

/*
 * `what` "address": class, tables asked, expansions, transport and next hop of the address. "map":
 * `argument` is "NAME KEY", what the tables of the setting NAME say of KEY. The lines go to
 * q->explain. TABLE_FOUND, TABLE_ASKED, or TABLE_ERROR with `why`.
 */
int explain_run(struct query *q, struct str what, struct str argument, struct why *why) KP_MUST_USE;

#endif
