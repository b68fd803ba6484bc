/* SPDX-License-Identifier: ISC */
/* MAIL and RCPT as a client says them, with the parameters that the server has offered. */
#ifndef KP_MAIL_COMMAND_H
#define KP_MAIL_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

struct command_mail {
	struct str sender;
	unsigned offered; /* enum esmtp_extension */
	uint64_t size;
	bool body_8bit, smtputf8, requiretls;
	unsigned ret;      /* RET_NONE, RET_FULL, RET_HDRS of lib/msg/fields.h */
	const char *envid; /* xtext; NULL or "": none */
};

struct command_rcpt {
	struct str address;
	unsigned offered;
	unsigned notify;   /* NOTIFY_* of lib/msg/fields.h */
	const char *orcpt; /* "type;xtext"; NULL or "": none */
	const char
	    *original; /* ORCPT is made of it where a notification is asked for; may be NULL */
};

/* Appends the line, without its end; -1: over the buffer's max. SMTPUTF8 and REQUIRETLS are said
 * whether offered or not: who asks for them has looked. */
int command_mail(const struct command_mail *m, struct buf *out) KP_MUST_USE;
int command_rcpt(const struct command_rcpt *r, struct buf *out) KP_MUST_USE;

#endif
