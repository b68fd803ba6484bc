/* SPDX-License-Identifier: ISC */
/*
 * The logical lines of a table's text: a line that starts with a blank continues the one before it;
 * empty lines and those whose first other byte is '#' are not there, even between a line and its
 * continuation.
 */
#ifndef KP_TABLE_LINES_H
#define KP_TABLE_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

struct why;

struct lines {
	struct str rest;
	size_t number;     /* of the last physical line taken */
	size_t first;      /* the physical line that the logical one starts on */
	struct buf joined; /* owned: the logical line where it has several parts */
};

enum { LINE_MAX_BYTES = 1024 * 1024 }; /* a logical line: an alias may have thousands of members */

void lines_init(struct lines *l, struct str text);
void lines_clear(struct lines *l);

/* The next one, without blanks at its ends: 1, 0 at the end, -1 with `why` (too long, or a NUL
 * byte). Valid until the next call. */
int lines_next(struct lines *l, struct str *line, struct why *why);

/* Cuts "key value" into its two words; a key in double quotes may hold blanks, \" and \\ (written
 * to `key`). false: no key. */
bool line_pair(struct str line, struct buf *key, struct str *value);

#endif
