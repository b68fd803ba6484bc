/* SPDX-License-Identifier: ISC */
/* What a submission lacks (RFC 6409 8): Message-Id, Date and From where there is none; and Bcc,
 * which goes (RFC 5322 3.6.3). */
#ifndef KP_MAIL_COMPLETE_H
#define KP_MAIL_COMPLETE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

struct complete {
	const char *host, *sender, *full_name; /* of the From that is made; `full_name` may be "" */
	const char *id;                        /* for the Message-Id */
	uint64_t arrived;                      /* microseconds since 1970 */
};

/* Appends the fields that the header at the front of `content` lacks. -1: over the buffer's max. */
int complete_missing(struct str content, const struct complete *c, struct buf *out) KP_MUST_USE;

/* Appends the header without Bcc and an mbox "From " line, then what it lacks, and the empty line
 * where the content has none; `*end` is where the rest of the content begins. */
int complete_rewrite(
    struct str content, const struct complete *c, struct buf *out, size_t *end) KP_MUST_USE;

#endif
