/* SPDX-License-Identifier: ISC */
/* XFORWARD (Postfix's XFORWARD_README): who the original client of a message was, told to a filter
 * before MAIL. */
#ifndef KP_MAIL_XFORWARD_H
#define KP_MAIL_XFORWARD_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

enum xforward_attribute {
	XFORWARD_NAME,
	XFORWARD_ADDR,
	XFORWARD_PORT,
	XFORWARD_PROTO,
	XFORWARD_HELO,
	XFORWARD_IDENT,
	XFORWARD_SOURCE,
	XFORWARD_ATTRIBUTES,
};

/* Their values as they are; "" or NULL: not available. */
struct xforward {
	const char *values[XFORWARD_ATTRIBUTES];
};

/* The attributes that an EHLO line offers behind its keyword, as bits. */
unsigned xforward_offered(struct str words);

/*
 * Appends the next command (without its line end): as many of the offered attributes as fit, from
 * *next on (0 at first). False, and nothing: none is left.
 */
bool xforward_command(
    const struct xforward *x, unsigned offered, size_t *next, struct buf *out) KP_MUST_USE;

#endif
