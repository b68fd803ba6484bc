/* SPDX-License-Identifier: ISC */
/* Greylisting: a client that is not known for this sender and recipient is told to come again. */
#ifndef SMTPD_GREYLIST_H
#define SMTPD_GREYLIST_H

#include "smtpd/smtpd.h"

/*
 * Asks limiter for the session's client network, sender and `recipient`. `then` gets NULL where the
 * mail may pass, else a temporary refusal: later, and the session waits; or at once where nobody
 * can be asked (it passes). The session's question slot must be free.
 */
void greylist_ask(struct session *s, struct str recipient, judged_fn *then);

#endif
