/* SPDX-License-Identifier: ISC */
/*
 * non_smtpd_milters: a message is held here as a whole until they have seen it, as if it had come
 * from localhost by SMTP.
 */
#ifndef KP_PICKUP_MILTER_H
#define KP_PICKUP_MILTER_H

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/msg/msg.h"

struct intake;
struct pickup;
struct screening;
struct why;

int milters_start(struct pickup *p, struct why *why) KP_MUST_USE;

/* Whether messages are to be held. */
bool milters_wanted(const struct pickup *p);

/* A message begins: envelope and content are kept. A pipe in `open` is read here. */
struct screening *screening_new(
    struct intake *in, const struct msg_mail_open *open, struct why *why);
void screening_rcpt(struct screening *sc, const struct msg_mail_rcpt *rcpt);
int screening_data(struct screening *sc, struct str bytes, struct why *why) KP_MUST_USE;

/* So much has been said to be there: then the milters are asked, and the message goes on to cleanup
 * or is refused by intake_refused(). -1: to be refused at once. */
int screening_commit(struct screening *sc, uint64_t size, struct why *why) KP_MUST_USE;

/* Clears the caller's pointer; NULL is fine. */
void screening_free(struct screening **sp);

#endif
