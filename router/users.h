/* SPDX-License-Identifier: ISC */
/*
 * Unix users and groups by way of program tables: a short memory of its answers, and the questions
 * that are under way.
 */
#ifndef KP_ROUTER_USERS_H
#define KP_ROUTER_USERS_H

#include "lib/base/attr.h"
#include "lib/table/table.h"
#include "router/router.h"

void users_init(struct router *r);

/* The table_ask_fn of router's queries; `arg` is the router. Asks program tables where the answer
 * is not remembered. */
int users_ask(void *arg, struct str map, struct str key, struct buf *out, struct why *why);

/* Forgets what is too old, and gives up questions that have waited too long. */
void users_age(struct router *r);

#endif
