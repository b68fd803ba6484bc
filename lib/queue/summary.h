/* SPDX-License-Identifier: ISC */
/* What the index holds of a waiting message: all that a listing shows, so that `mailq` opens no
 * message. */
#ifndef KP_QUEUE_SUMMARY_H
#define KP_QUEUE_SUMMARY_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct why;

struct summary_rcpt {
	struct str address, original, reason, transport, nexthop;
	uint64_t status;
};

struct summary {
	struct str id, folder, sender, reason;
	uint64_t size, arrived, next, attempts, expire, local, uid;
	struct summary_rcpt *rcpts; /* owned: those that are not done */
	size_t nrcpts;
};

void summary_encode(const struct summary *s, struct buf *out);
/* Text is borrowed from `bytes`; summary_clear() frees the rows. */
int summary_decode(struct summary *s, struct str bytes, struct why *why) KP_MUST_USE;
void summary_clear(struct summary *s);

#endif
