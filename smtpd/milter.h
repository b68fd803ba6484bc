/* SPDX-License-Identifier: ISC */
/* smtpd_milters: each session's chain, its macros, and the message that they see. */
#ifndef SMTPD_MILTER_H
#define SMTPD_MILTER_H

#include "lib/base/attr.h"
#include "lib/msg/msg.h"
#include "smtpd/smtpd.h"

int milter_open(struct server *server, struct why *why) KP_MUST_USE;
void milter_close(struct server *server);

/* cleanup's answer to submit_look(): what it shows goes to the milters. */
void milter_shown(struct session *s, struct msg_mail_shown *msg);

/* They have no more to say on this message. */
void milter_stop(struct transaction *tx);

#endif
