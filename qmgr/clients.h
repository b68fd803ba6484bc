/* SPDX-License-Identifier: ISC */
/*
 * The queue socket: mailq, `kingpost queue`. The kernel says who calls: anybody may list mail that
 * he submitted himself; root, qmgr's own user and members of queue_operators_group may see and
 * handle all.
 */
#ifndef QMGR_CLIENTS_H
#define QMGR_CLIENTS_H

#include "lib/base/attr.h"
#include "lib/chan/chan.h"
#include "qmgr/qmgr.h"

/* Looks up the operators, while names can still be looked up. */
void clients_open(struct qmgr *q);

/* A listener for the queue socket, ours from now on. */
void clients_listen(struct qmgr *q, int fd);

/* The same for a channel that master made for an operator. */
extern const struct chan_rule clients_rules[], clients_smtpd_rules[];
void clients_channel_gone(struct service *s, struct chan *ch);

/* Requests that wait for room; clients that say nothing. */
void clients_tick(struct qmgr *q);
void clients_close(struct qmgr *q);

#endif
