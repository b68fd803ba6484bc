/* SPDX-License-Identifier: ISC */
/*
 * Destinations: one queue for each (transport, next hop). Deliveries are started round about over
 * all that have work; each has a window of deliveries at once that grows with success and shrinks
 * with failure, and one that never speaks is dead: only a probe is tried, and all else for it put
 * off.
 */
#ifndef QMGR_DESTINATION_H
#define QMGR_DESTINATION_H

#include "qmgr/qmgr.h"

struct why;

void destination_init(struct qmgr *q);

/* Finds or makes it; it goes by itself when it is idle and alive. */
struct destination *destination_get(struct qmgr *q, struct str transport, struct str nexthop);

/* The program that delivers for a transport; PROGRAM_NONE: qmgr itself, or nobody. */
enum program destination_program(struct str transport);

/* Adds a recipient, to the message's last work there while that has room. */
void destination_add(struct destination *d, struct message *m, uint32_t index);
void destination_enqueue(struct work *w);
void destination_dequeue(struct work *w);

/* A delivery is over: what it says of the destination. May free it. */
void destination_feedback(
    struct qmgr *q, struct destination *d, bool reached, struct str code, struct str text);

/* Starts what can be started, at the end of the round. */
void destination_pump(struct qmgr *q);

/* When no more messages may come into memory. */
void destination_make_room(struct qmgr *q);

/* Dead ones whose time has come; an operator's flush makes it come for all. */
void destination_tick(struct qmgr *q);
void destination_revive_all(struct qmgr *q);

#endif
