/* SPDX-License-Identifier: ISC */
/*
 * Facts about a message's content in wire form, found in one pass when it is written, in parts of
 * any size. What comes out does not depend on how the content was cut.
 */
#ifndef KP_MAIL_CONTENT_H
#define KP_MAIL_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

struct content_scan {
	/* results, complete after content_end() */
	uint64_t size;
	uint64_t header_size;  /* the empty line behind the header not included */
	uint64_t longest_line; /* octets without the line end */
	uint64_t facts;        /* enum content_fact of lib/msg/fields.h */
	uint64_t received;     /* Received: fields */
	bool bare_newline;     /* some CR or LF stood alone: not wire form */
	/* the state between two parts */
	uint64_t line;        /* octets of the line so far */
	uint64_t line_offset; /* where it began */
	uint64_t crs;         /* CRs so far, and CRLFs */
	uint64_t crlfs;
	size_t name_n;     /* octets of the field's name so far */
	size_t received_n; /* of them as in "received" */
	size_t from_n;     /* of the line as in "From " */
	uint8_t where;
	bool after_cr;
};

void content_begin(struct content_scan *c);
void content_feed(struct content_scan *c, struct str part);

/* The end: a last line without its line end sets FACT_NO_EOL. */
void content_end(struct content_scan *c);

#endif
