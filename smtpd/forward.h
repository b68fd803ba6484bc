/* SPDX-License-Identifier: ISC */
/*
 * What trusted hosts say about another client: XCLIENT puts it in their own place, XFORWARD only
 * says whose mail comes next (Postfix's XCLIENT_README and XFORWARD_README).
 */
#ifndef SMTPD_FORWARD_H
#define SMTPD_FORWARD_H

#include "smtpd/smtpd.h"

/* The original client of the next message; each "" where it is not known. */
struct forward {
	char name[256], addr[INET6_ADDRSTRLEN], ident[64], helo[256], proto[16], source[16];
	uint16_t port;
};

void cmd_xclient(struct session *s, struct str argument);
void cmd_xforward(struct session *s, struct str argument);

/* The EHLO lines, or NULL where the client may not use the command. */
const char *forward_xclient_line(const struct session *s);
const char *forward_xforward_line(const struct session *s);

#endif
