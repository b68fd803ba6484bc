/* SPDX-License-Identifier: ISC */
/* Recipients: routes for those that came without, virtual aliases, repeated addresses, limits. */
#ifndef CLEANUP_RECIPIENTS_H
#define CLEANUP_RECIPIENTS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/msg/msg.h"

struct transaction;
struct why;

/* Adds the recipient, and asks router where that is needed. -1: to be refused. */
int recipients_add(
    struct transaction *t, const struct msg_mail_rcpt *m, struct why *why) KP_MUST_USE;

/* A recipient, for the log: the last one whose route is known, or else the last one at all; empty
 * where there is none. */
struct str recipients_shown(const struct transaction *t);

/* Takes out the recipient, and all that it was expanded to; or every recipient. No question may be
 * open. */
void recipients_delete(struct transaction *t, struct str address);
void recipients_delete_all(struct transaction *t);

/* The recipients as the envelope has them; to be freed by envelope_clear(). */
void recipients_to_envelope(struct transaction *t);

void recipients_clear(struct transaction *t);

#endif
