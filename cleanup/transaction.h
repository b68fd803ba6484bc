/* SPDX-License-Identifier: ISC */
/* The life of one message in cleanup. */
#ifndef CLEANUP_TRANSACTION_H
#define CLEANUP_TRANSACTION_H

#include "lib/chan/chan.h"

#include <stddef.h>

#include "lib/base/str.h"

struct cleanup;
struct transaction;
struct why;

/* What smtpd, pickup, local and bounce may ask. */
extern const struct chan_rule transaction_rules[];

/* A copy in the transaction's `text`, without control characters. */
size_t transaction_keep(struct transaction *t, struct str s);

/* Answers, forgets and frees it. */
void transaction_refuse(struct transaction *t, const struct why *why);
void transaction_queued(struct transaction *t, const char *id);

/* All that a partner had begun and not committed is given up. */
void transaction_partner_gone(struct cleanup *c, const struct chan *ch);

/* Those of which nothing came for too long. */
void transaction_expire_idle(struct cleanup *c);

/* Goes on where nothing is missing any more: content whole, all questions answered. May free it. */
void transaction_proceed(struct transaction *t);

#endif
