/* SPDX-License-Identifier: ISC */
/* Access tables: which keys a client, name or address has (access(5)). */
#ifndef KP_ROUTER_ACCESS_H
#define KP_ROUTER_ACCESS_H

#include "lib/msg/fields.h"
#include "router/query.h"

/* What the table written `map` says of `key`. Answers as table_lookup(); a table that the
 * configuration does not name, or that has gone, is TABLE_ERROR. */
int access_find(struct query *q, struct str map, enum access_kind kind, struct str key,
    struct buf *out, struct why *why) KP_MUST_USE;

#endif
