/* SPDX-License-Identifier: ISC */
/* The account behind a Unix user's name, and the mailbox behind a virtual address. */
#ifndef KP_ROUTER_MAILBOX_H
#define KP_ROUTER_MAILBOX_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "router/query.h"

struct mailbox {
	char user[64 + 1]; /* "" for a virtual mailbox */
	uint64_t uid, gid;
	char home[4096 + 1];
	char shell[4096 + 1];
	char path[4096 + 1]; /* of a virtual mailbox; ends with a slash for a Maildir */
};

/* Both answer TABLE_FOUND, TABLE_NONE, TABLE_ASKED or TABLE_ERROR. */
int mailbox_of_user(
    struct query *q, struct str name, struct mailbox *box, struct why *why) KP_MUST_USE;
int mailbox_of_address(
    struct query *q, struct str address, struct mailbox *box, struct why *why) KP_MUST_USE;

#endif
