/* SPDX-License-Identifier: ISC */
/* The header of a message in wire form (CRLF): its fields one by one, as views, nothing copied. */
#ifndef KP_MAIL_HEADER_H
#define KP_MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

struct header_field {
	struct str name;  /* without the colon and blanks before it */
	struct str value; /* all behind the colon, folds included, without the last line end */
	size_t offset;    /* of the field in the content */
	size_t size;      /* of the field with its line ends */
};

/*
 * The field at `*offset` (start with 0), which moves on behind it. Returns false at the end of the
 * header: an empty line, a line that is no field, or the end of `content`; `*offset` is then the
 * header's size. An mbox "From " line at the start is a field with the name "From " and an empty
 * value.
 */
bool header_next(struct str content, size_t *offset, struct header_field *f);

/* The size of the header, the empty line behind it not included. */
size_t header_size(struct str content);

/* The first field of that name; false where there is none. */
bool header_find(struct str content, const char *name, struct header_field *f);

/* Appends the value with its folds undone (RFC 5322 2.2.3) and without blanks at its ends. -1: over
 * the buffer's max. */
int header_unfold(struct str value, struct buf *out) KP_MUST_USE;

#endif
