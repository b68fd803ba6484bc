/* SPDX-License-Identifier: ISC */
/*
 * The data of the DATA command (RFC 5321 4.5.2): dots taken off and put on, in parts of any size.
 * Only CRLF.CRLF ends the data (at the very start .CRLF: the line before was the DATA command),
 * however it was cut into reads.
 */
#ifndef KP_MAIL_DOTSTREAM_H
#define KP_MAIL_DOTSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

struct dot_decoder {
	uint8_t state;
	bool plain; /* no dots, no end: the chunks of BDAT */
	bool ended;
	bool bare_cr; /* a CR without LF was seen; it came out as a blank */
	bool bare_lf; /* a LF without CR was seen; it came out as CRLF */
	bool nul;
	uint64_t line;         /* octets of the line so far */
	uint64_t longest_line; /* octets without the line end */
};

void dot_decode_begin(struct dot_decoder *d);

/* The same for what has no dots and no end of its own, the chunks of BDAT (RFC 3030): line ends
 * alone are looked at. */
void dot_decode_begin_plain(struct dot_decoder *d);

/* Room that dot_decode() may need for `n` octets of input. */
size_t dot_decode_room(size_t n);

/*
 * Decodes `in` into `out`, which has dot_decode_room(in.n) octets and does not overlap it, and sets
 * `*out_n`. Returns how much of `in` it took: all, or up to and with the end of data, where `ended`
 * is set. What comes out has CRLF for every line end, and no other CR or LF.
 */
size_t dot_decode(struct dot_decoder *d, struct str in, char *out, size_t *out_n) KP_MUST_USE;

/* The end of plain data: a CR that was held back comes out, as bare. */
void dot_decode_finish(struct dot_decoder *d, char *out, size_t *out_n);

struct dot_encoder {
	bool mid_line;  /* a dot now is not the first octet of a line */
	bool line_open; /* what came last was not CRLF */
	bool after_cr;
};

void dot_encode_begin(struct dot_encoder *e);

/* Appends `in`, its dots doubled where lines begin with them. A bare CR or LF counts as the end of
 * a line here, so that no reader sees an end. -1: over the buffer's max. */
int dot_encode(struct dot_encoder *e, struct str in, struct buf *out) KP_MUST_USE;

/* Appends the end of data, with a CRLF before it where the content did not end with one. */
int dot_encode_end(struct dot_encoder *e, struct buf *out) KP_MUST_USE;

#endif
