/* SPDX-License-Identifier: ISC */
/* ETRN (RFC 1985): a client asks for the mail that waits for its domain. */
#ifndef SMTPD_ETRN_H
#define SMTPD_ETRN_H

#include "smtpd/smtpd.h"

void cmd_etrn(struct session *s, struct str argument);

#endif
