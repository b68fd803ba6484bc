/* SPDX-License-Identifier: ISC */
/*
 * Replies of an SMTP or LMTP server (RFC 5321 4.2), as a client reads them: in parts of any size,
 * limited in octets and lines, by length and never by a NUL.
 */
#ifndef KP_MAIL_REPLY_H
#define KP_MAIL_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

struct why;

enum {
	REPLY_LINE_MAX = 2048, /* octets; RFC 5321 4.5.3.1.5 says 512, real servers more */
	REPLY_LINES_MAX = 100,
	REPLY_TEXT_MAX = 16 * 1024,
};

struct reply {
	int code;          /* 200 to 599 */
	char enhanced[12]; /* "2.1.5", or "" where the server gave none that fits the code */
	size_t lines;
	struct buf text; /* the lines' texts, without code and hyphen, each but the last with a LF
			    behind it */
	struct buf line; /* the line under way */
	bool complete;
};

void reply_init(struct reply *r);
void reply_free(struct reply *r);

/* Ready for the next reply; keeps the memory. */
void reply_reset(struct reply *r);

/*
 * Takes octets from the front of `in`, up to the end of a reply at most; `*used` says how many. 1:
 * `complete`; 0: more is needed; -1: this is no SMTP reply, or over a limit (`why` is temporary:
 * the session is to be given up).
 */
int reply_feed(struct reply *r, struct str in, size_t *used, struct why *why) KP_MUST_USE;

/* The next line's text (start with *offset = 0); false after the last. */
bool reply_line(const struct reply *r, size_t *offset, struct str *line);

/* Appends the reply as one line for log and DSN, "550-5.7.1 no 550 5.7.1 never", cut to what fits.
 */
void reply_show(const struct reply *r, struct buf *out);

/* Fills `why` from a reply that refuses: class by the first digit, code as given or made from it;
 * text as reply_show(). Returns -1. */
int reply_why(const struct reply *r, struct why *why);

/* Whether `s` is an enhanced status code of RFC 3463 ("5.1.1"): class 2, 4 or 5, then one to three
 * digits twice. */
bool status_code_valid(struct str s);

#endif
