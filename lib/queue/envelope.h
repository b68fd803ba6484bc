/* SPDX-License-Identifier: ISC */
/*
 * A message's envelope: who sends it to whom, how it came, what its content is made of, and the
 * route of each recipient. It is written once, behind the content, and never changes; what happens
 * later is appended as entries (entry.h).
 */
#ifndef KP_QUEUE_ENVELOPE_H
#define KP_QUEUE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct why;

/* Members as in MAIL_RCPT. All text is borrowed: from the bytes that were decoded, or from who
 * encodes. */
struct envelope_rcpt {
	struct str address, original, orcpt, transport, nexthop;
	uint64_t notify, class, generation;
};

/* A part of what is delivered: `length` bytes at `offset` of the content, or of `added`. */
struct envelope_piece {
	uint64_t offset, length;
	bool added;
};

struct envelope {
	struct str sender, service, client_name, client_addr, helo, proto, tls, login, origin,
	    envid, parent, hold,
	    filter; /* `filter`: the transport:nexthop that all recipients go by */
	uint64_t flags, client_port, uid, ret,
	    trace; /* as in MAIL_OPEN; uid counts with MAIL_LOCAL only */
	uint64_t facts, header_size, longest_line, hops; /* of the content as it is delivered */
	struct str added;                                /* text that pieces refer to */
	struct envelope_piece *pieces;                   /* owned; none: the content as it is */
	size_t npieces;
	struct envelope_rcpt *rcpts; /* owned */
	size_t nrcpts;
};

void envelope_encode(const struct envelope *e, struct buf *out);

/*
 * Reads exactly `bytes`; text stays borrowed from there. -1 with `why` for anything malformed, a
 * piece outside the content (of `content_size` bytes), or no recipient. envelope_clear() frees what
 * is owned.
 */
int envelope_decode(
    struct envelope *e, struct str bytes, uint64_t content_size, struct why *why) KP_MUST_USE;
void envelope_clear(struct envelope *e);

/* Bytes that a delivery sends. */
uint64_t envelope_size(const struct envelope *e, uint64_t content_size);

#endif
