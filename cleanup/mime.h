/* SPDX-License-Identifier: ISC */
/*
 * Walks the MIME structure of a message (RFC 2045, 2046) as its content comes in, in parts of any
 * size, and hands out its lines: whole header fields with their folds, and lines of bodies. What
 * comes out does not depend on how the content was cut.
 *
 * Nothing is decoded and nothing refused here: what is deeper than the limit, or has a boundary
 * longer than the limit, is plain text.
 */
#ifndef CLEANUP_MIME_H
#define CLEANUP_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum mime_kind {
	MIME_HEADER,      /* a field of the message's own header */
	MIME_PART_HEADER, /* of a part, or one that tells of MIME anywhere (Content-*, MIME-Version)
			   */
	MIME_NESTED_HEADER, /* of an attached message */
	MIME_BODY, /* a line, or a part of a very long one; boundaries are such lines, too */
	MIME_MILTER_HEADER, /* of no structure: a field that a milter made */
	MIME_KINDS,
};

struct mime_line {
	enum mime_kind kind;
	uint64_t offset, size; /* in the content, line ends included */
	struct str text;       /* borrowed: lines apart by LF, without the last line end */
	uint64_t body_offset;  /* of a body's line: where in its part it begins */
	bool whole;            /* ends with its line end */
};

/* False: no more of this content is wanted, nothing will be said. */
typedef bool mime_line_fn(void *arg, const struct mime_line *line);

enum { MIME_DEPTH_MAX = 1000 };

struct mime {
	mime_line_fn *on_line;
	void *arg;
	size_t depth_max, boundary_max, field_max;
	bool off; /* one header, one body: no structure is looked for */
	bool stopped;
	/* the state */
	int where;
	uint64_t at;           /* octets seen */
	uint64_t start;        /* where the line or field under way begins */
	uint64_t part;         /* where the body of this part begins */
	uint64_t header_end;   /* of the message; UINT64_MAX: not there yet */
	struct buf field;      /* a field, until the next line shows that it has no more folds */
	struct buf line;       /* the line under way */
	uint64_t line_start;   /* ... begins here */
	bool cut;              /* ... is the rest of a long one */
	bool whole;            /* the one that is taken ends with its line end */
	struct buf boundaries; /* of the multiparts that we are in, the outermost first: 'm' or 'd'
				(digest), boundary, NUL */
	size_t depth;
	/* of the header under way */
	struct buf next; /* the boundary that its Content-Type gives */
	bool is_message, is_encoded, digest;
};

void mime_begin(struct mime *m, mime_line_fn *on_line, void *arg, size_t depth_max,
    size_t boundary_max, size_t field_max);
void mime_feed(struct mime *m, struct str part);
/* A last line without its line end is a line. */
void mime_end(struct mime *m);
void mime_clear(struct mime *m);

#endif
