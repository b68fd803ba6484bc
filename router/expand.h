/* SPDX-License-Identifier: ISC */
/* Virtual aliases (virtual(5)): from one address to all that it stands for, in the end. */
#ifndef KP_ROUTER_EXPAND_H
#define KP_ROUTER_EXPAND_H

#include "lib/base/attr.h"
#include "router/query.h"

/* One final address, complete; 0, or -1 with `why` to stop. */
typedef int expand_fn(void *arg, struct str address, struct why *why);

/*
 * Calls `on_address` for each final address, once each. TABLE_FOUND; TABLE_ASKED; or TABLE_ERROR
 * with `why`: a table that cannot tell, or more than the limits allow (both temporary: the operator
 * can mend them).
 */
int expand_address(struct query *q, struct str address, expand_fn *on_address, void *arg,
    struct why *why) KP_MUST_USE;

#endif
