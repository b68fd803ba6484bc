/* SPDX-License-Identifier: ISC */
/* The lines of Dovecot's authentication protocol, version 1: words apart by tabs, escaped by \001.
 */
#ifndef KEEPER_DOVECOT_LINE_H
#define KEEPER_DOVECOT_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

enum dovecot_word {
	DOVECOT_OTHER, /* to be ignored: COOKIE, SPID, CUID and what later versions bring */
	DOVECOT_VERSION,
	DOVECOT_MECH,
	DOVECOT_DONE,
	DOVECOT_OK,
	DOVECOT_CONT,
	DOVECOT_FAIL,
};

/* Views into the line; texts as they came, still escaped. */
struct dovecot_line {
	enum dovecot_word word;
	uint32_t id;           /* OK, CONT, FAIL */
	uint32_t major, minor; /* VERSION */
	struct str mechanism;  /* MECH */
	bool plaintext, private_mechanism;
	struct str data;   /* CONT: base64 */
	struct str user;   /* OK, FAIL */
	struct str reason; /* FAIL */
	bool temporary;
};

/* One line without its end; -1: malformed. */
int dovecot_parse(struct str line, struct dovecot_line *l) KP_MUST_USE;

/* Appends it escaped, or unescaped; -1 over the buffer's max, or where an escape is broken. */
int dovecot_escape(struct str text, struct buf *out) KP_MUST_USE;
int dovecot_unescape(struct str text, struct buf *out) KP_MUST_USE;

#endif
