/* SPDX-License-Identifier: ISC */
/*
 * The parameters of MAIL FROM and RCPT TO (RFC 1870, 6152, 6531, 3461, 4954, 8689), and xtext (RFC
 * 3461 4). Values are views into the command's line.
 */
#ifndef KP_MAIL_ESMTP_H
#define KP_MAIL_ESMTP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct why;

/* Extensions: which parameters exist for this session, and what a peer has announced. */
enum esmtp_extension {
	ESMTP_SIZE = 1 << 0,
	ESMTP_8BITMIME = 1 << 1,
	ESMTP_SMTPUTF8 = 1 << 2,
	ESMTP_DSN = 1 << 3,
	ESMTP_PIPELINING = 1 << 4,
	ESMTP_CHUNKING = 1 << 5,
	ESMTP_ENHANCEDSTATUSCODES = 1 << 6,
	ESMTP_STARTTLS = 1 << 7,
	ESMTP_AUTH = 1 << 8,
	ESMTP_REQUIRETLS = 1 << 9,
	ESMTP_LIMITS = 1 << 10,
	ESMTP_XFORWARD = 1 << 11,
};

enum { BODY_NONE, BODY_7BIT, BODY_8BITMIME };

struct esmtp_mail {
	uint64_t size; /* 0: not given */
	unsigned body;
	bool smtputf8;
	bool requiretls;
	unsigned ret;     /* RET_NONE, RET_FULL, RET_HDRS of lib/msg/fields.h */
	struct str envid; /* xtext, checked */
	struct str auth;  /* xtext, checked; empty where not given */
};

struct esmtp_rcpt {
	unsigned notify;  /* NOTIFY_* of lib/msg/fields.h */
	struct str orcpt; /* "type;xtext", checked */
};

/*
 * `params`: what stands behind the path. -1 with `why` where one is malformed or given twice
 * (501 5.5.4), or not of an extension in `offered` (555 5.5.4).
 */
int esmtp_mail(
    struct str params, unsigned offered, struct esmtp_mail *m, struct why *why) KP_MUST_USE;
int esmtp_rcpt(
    struct str params, unsigned offered, struct esmtp_rcpt *r, struct why *why) KP_MUST_USE;

/* What a line of an EHLO reply announces: one bit, or 0. `value` is what stands behind the keyword.
 */
unsigned esmtp_announced(struct str line, struct str *value);

/* Appends `text` as xtext, and back. -1: malformed, a control character would come out, or over the
 * buffer's max. */
int xtext_encode(struct str text, struct buf *out) KP_MUST_USE;
int xtext_decode(struct str xtext, struct buf *out) KP_MUST_USE;
/* Well formed, and printable ASCII when decoded. */
bool xtext_valid(struct str xtext);

#endif
