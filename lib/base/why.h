/* SPDX-License-Identifier: ISC */
/*
 * Why something failed: the one error value that everything outside our own bugs comes back as.
 * The same `why` becomes an SMTP reply, a DSN and a log line.
 */
#ifndef KP_BASE_WHY_H
#define KP_BASE_WHY_H

#include "lib/base/attr.h"

enum why_class {
	WHY_NONE,
	WHY_TEMP, /* try again later: 4yz */
	WHY_PERM, /* will not work however often it is tried: 5yz */
};

struct why {
	enum why_class class;
	int smtp;       /* reply code, 0: taken from class and enhanced code (why_smtp()) */
	char code[12];  /* enhanced status code (RFC 3463), "" outside mail */
	char text[512]; /* one line, no CR, LF or NUL inside */
};

/*
 * Each fills `why` (which may be NULL) and returns -1, so that a caller can write
 * `return why_temp(why, "4.3.0", "...")`. `code` may be NULL. Control characters that come
 * in by the arguments are replaced by '?'. why_sys() is temporary and adds strerror(errno).
 */
int why_temp(struct why *why, const char *code, const char *fmt, ...) KP_PRINTF(3, 4);
int why_perm(struct why *why, const char *code, const char *fmt, ...) KP_PRINTF(3, 4);
int why_sys(struct why *why, const char *code, const char *fmt, ...) KP_PRINTF(3, 4);

/* The three-digit SMTP reply code for `why`: its own, or 451 and 550 by class (RFC 5321 4.2). */
int why_smtp(const struct why *why);

#endif
