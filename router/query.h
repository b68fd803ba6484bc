/* SPDX-License-Identifier: ISC */
/*
 * One question's view of the tables. Routing functions take it and run to the end in one go; where
 * an answer has to come from program tables first they return TABLE_ASKED, and are run again from
 * the start when it is there.
 */
#ifndef KP_ROUTER_QUERY_H
#define KP_ROUTER_QUERY_H

#include "lib/base/attr.h"
#include "lib/table/address.h"
#include "router/router.h"

struct buf;
struct why;

struct query {
	struct router *r;
	struct table_asker asker;
	struct buf *explain; /* lines of what was asked and answered; NULL: not wanted */
	bool used_unix;      /* the answer rests on a Unix user */
	bool used_remote;    /* ... on a table over a socket */
};

/* Adds a line to the explanation, if one is wanted. */
void query_explain(struct query *q, const char *fmt, ...) KP_PRINTF(2, 3);

/* An address, or a key as it is, in one of the tables; answers as address_lookup(). */
int query_address(struct query *q, enum router_maps maps, const struct address *a, unsigned keys,
    struct buf *out, struct address_found *found, struct why *why) KP_MUST_USE;
int query_key(struct query *q, enum router_maps maps, struct str key, struct buf *out,
    const struct table **which, struct why *why) KP_MUST_USE;

#endif
