/* SPDX-License-Identifier: ISC */
/*
 * What the operator is to be told by mail: an account's mail goes to hold. bounce writes it; it is
 * asked again until it has, and what is due is a fact, so that a restart forgets no notice.
 */
#ifndef LIMITER_NOTICES_H
#define LIMITER_NOTICES_H

#include "lib/base/str.h"

struct chan;
struct limiter;
struct notices;

struct notices *notices_new(void);
void notices_free(struct notices **np);

/* After a start: what is due still. */
void notices_recall(struct limiter *l);

/* The account's mail goes to hold from now on; nothing where that has been said of this hold. */
void notices_add(struct limiter *l, struct str login, struct str reason);

/* The hold is over: the next one will be said again. */
void notices_over(struct limiter *l, struct str login);

/* Asks bounce for what is due; to be called every second. */
void notices_tick(struct limiter *l);

#endif
