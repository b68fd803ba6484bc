/* SPDX-License-Identifier: ISC */
/* The envelope of a transaction: MAIL, RCPT, and VRFY, which asks what RCPT would. */
#ifndef SMTPD_ENVELOPE_H
#define SMTPD_ENVELOPE_H

#include "smtpd/smtpd.h"

void cmd_mail(struct session *s, struct str argument);
void cmd_rcpt(struct session *s, struct str argument);
void cmd_vrfy(struct session *s, struct str argument);

/* Ends the transaction; what has not been committed is aborted. Clears the caller's pointer; NULL
 * is fine. */
void transaction_free(struct transaction **txp);

#endif
