/* SPDX-License-Identifier: ISC */
/* From a recipient to its destination: by the route in the envelope while router's tables are the
 * same, else by asking again. */
#ifndef QMGR_ROUTE_H
#define QMGR_ROUTE_H

#include "lib/chan/chan.h"
#include "qmgr/qmgr.h"

/* Puts the recipient into its destination's queue, now or when router has answered; it is pending
 * from here on. */
void route_recipient(struct message *m, size_t index);

/* Drops the questions of a message. */
void route_forget(struct message *m);

/* What router tells by itself. */
extern const struct chan_rule route_rules[];

#endif
