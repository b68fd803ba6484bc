/* SPDX-License-Identifier: ISC */
/* smtpd_reject_footer: what an operator wants to be read below each refusal. */
#ifndef SMTPD_FOOTER_H
#define SMTPD_FOOTER_H

#include "smtpd/smtpd.h"

/* Says "code text" and the footer, in lines of one reply (RFC 5321 4.2.1); `code` may be NULL. */
void footer_reply(struct session *s, int smtp, const char *code, const char *text);

#endif
