/* SPDX-License-Identifier: ISC */
/*
 * non_smtpd_milters: they see a message as cleanup shows it before it is committed, as if it had
 * come from localhost by SMTP.
 */
#ifndef KP_PICKUP_MILTER_H
#define KP_PICKUP_MILTER_H

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/chan/chan.h"

struct intake;
struct pickup;
struct screening;
struct why;

int milters_start(struct pickup *p, struct why *why) KP_MUST_USE;

/* Whether messages are to be seen by any. */
bool milters_wanted(const struct pickup *p);

/* A message begins; it goes to cleanup meanwhile. */
struct screening *screening_new(struct intake *in);
void screening_rcpt(struct screening *sc, struct str address);

/* So much content has been sent: cleanup is asked to show it. -1: to be refused at once. */
int screening_look(struct screening *sc, uint64_t size, struct why *why) KP_MUST_USE;

/* What cleanup says to that: then the milters are asked, and the message is committed or refused by
 * intake_refused(). False: it is no answer. May free all. */
bool screening_answer(
    struct screening *sc, const struct chan_head *head, union msg_any *msg) KP_MUST_USE;

/* Clears the caller's pointer; NULL is fine. */
void screening_free(struct screening **sp);

#endif
