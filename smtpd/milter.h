/* SPDX-License-Identifier: ISC */
/* smtpd_milters: each session's chain, its macros, and the message that they see. */
#ifndef SMTPD_MILTER_H
#define SMTPD_MILTER_H

#include "lib/base/attr.h"
#include "smtpd/smtpd.h"

int milter_open(struct server *server, struct why *why) KP_MUST_USE;
void milter_close(struct server *server);

/* Whether the transaction's whole content must stay here until milters have seen it. */
bool milter_holds(const struct session *s);

/* Counts content that is held for milters: false where there is too much of it in this worker. */
bool milter_room(struct session *s, size_t n);

#endif
