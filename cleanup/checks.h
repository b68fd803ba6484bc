/* SPDX-License-Identifier: ISC */
/*
 * header_checks, mime_header_checks, nested_header_checks and body_checks: each line of the message
 * is looked up as it comes in, and what the tables say is done in the order of the lines. Where no
 * table is set nothing of this happens.
 */
#ifndef CLEANUP_CHECKS_H
#define CLEANUP_CHECKS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct transaction;
struct why;

/* At the beginning of a message. */
void checks_begin(struct transaction *t);

/* The next bytes, and their end. -1: to be refused. */
int checks_feed(struct transaction *t, struct str bytes, struct why *why) KP_MUST_USE;
int checks_end(struct transaction *t, struct why *why) KP_MUST_USE;

/* Whether something is not answered: at all; of the message's own header. */
bool checks_pending(const struct transaction *t);
bool checks_header_pending(const struct transaction *t);

/* Whether so many lines wait that no more content should be read. */
bool checks_busy(const struct transaction *t);

/*
 * Moves from `content` to `out` what all tables have answered for, with what they made of it. -1:
 * over a bound.
 */
int checks_take(struct transaction *t, struct buf *out, struct why *why) KP_MUST_USE;

/* The fields of t->header that are not in `shown`: milters have made them, and they are looked up
 * in milter_header_checks. Then as above, with the header instead of the content. */
int checks_begin_header(struct transaction *t, struct str shown, struct why *why) KP_MUST_USE;

void checks_clear(struct transaction *t);

#endif
