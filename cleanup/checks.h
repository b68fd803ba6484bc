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
 * What the tables made of the lines so far is made in `content`, which begins with the message's
 * first octet and holds all that has come. -1: over a bound.
 */
int checks_rewrite(struct transaction *t, struct why *why) KP_MUST_USE;

/* For content that has left for its file by then: the pieces and the added text of the envelope. */
void checks_pieces(struct transaction *t);

void checks_clear(struct transaction *t);

#endif
