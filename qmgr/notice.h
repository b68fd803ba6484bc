/* SPDX-License-Identifier: ISC */
/* Notifications to the sender (RFC 3461): which are due, and asking bounce for them. */
#ifndef QMGR_NOTICE_H
#define QMGR_NOTICE_H

#include <stdbool.h>

#include "qmgr/qmgr.h"

/* Queues the next notification that is due for the message, of all recipients that it concerns.
 * false: none is. */
bool notice_start(struct message *m);

/* bounce has written it (`done`), or could not. The work is freed by the caller. */
void notice_over(struct work *w, bool done);

#endif
