/* SPDX-License-Identifier: ISC */
/* The sessions that wait for another delivery to their next hop. */
#ifndef REMOTE_POOL_H
#define REMOTE_POOL_H

#include "remote/session.h"

void pool_add(struct session *s);
void pool_remove(struct session *s);

/* Removes and returns the newest one for this delivery's transport and next hop, or NULL. */
struct session *pool_take(const struct delivery *d);

/* What the sessions of a delivery are found by; the caller frees it. */
char *pool_key(const struct delivery *d);

#endif
