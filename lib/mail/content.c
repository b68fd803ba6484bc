/* SPDX-License-Identifier: ISC */
/*
 * The scan that cleanup makes once, so that nobody has to look at the content again. The body goes
 * by at the speed of memchr(); only the header, which is short, is read octet by octet. The header
 * ends as in lib/mail/header.c: at an empty line, or at a line that is neither a field nor the
 * continuation of one.
 */
#include "lib/mail/content.h"

#include <string.h>

#include "lib/msg/fields.h"

enum where {
	LINE_START, /* in the header, at the first octet of a line */
	NAME,       /* in what may be a field's name */
	NAME_BLANK, /* blanks between the name and its colon */
	VALUE,      /* in a field's value, or in the "From " line of an mbox */
	BODY,
};

static const char received[] = "received";
static const char mbox_from[] = "From ";

void
content_begin(struct content_scan *c)
{
	*c = (struct content_scan){.where = LINE_START};
}

static void
header_over(struct content_scan *c)
{
	c->where = BODY;
	c->header_size = c->line_offset;
}

/* One octet of the name, or the one that ends it. */
static void
in_name(struct content_scan *c, unsigned char b)
{
	bool blank = b == ' ' || b == '\t';

	if (c->from_n == c->line && c->from_n < sizeof mbox_from - 1 &&
	    b == (unsigned char)mbox_from[c->from_n])
		c->from_n++;
	if (b == ':' && c->name_n > 0) {
		if (c->name_n == sizeof received - 1 && c->received_n == c->name_n)
			c->received++;
		c->where = VALUE;
	} else if (blank && c->line_offset == 0 && c->from_n == sizeof mbox_from - 1) {
		c->where = VALUE;
	} else if (blank && c->name_n > 0) {
		c->where = NAME_BLANK;
	} else if (c->where == NAME_BLANK || b <= ' ' || b >= 0x7f || b == ':') {
		header_over(c);
	} else {
		if (c->received_n == c->name_n && c->name_n < sizeof received - 1 &&
		    (b | 0x20) == received[c->name_n])
			c->received_n++;
		c->name_n++;
	}
}

static void
header_octet(struct content_scan *c, unsigned char b)
{
	if (c->where == LINE_START) {
		c->name_n = c->received_n = c->from_n = 0;
		c->where = (b == ' ' || b == '\t') && c->line_offset > 0 ? VALUE : NAME;
	}
	if (c->where != VALUE)
		in_name(c, b);
	else if (b >= 0x80)
		c->facts |= FACT_8BIT_HEADER;
}

/* Ends a line whose LF stands at `offset` of the content; `c->line` counts its octets without the
 * LF. */
static void
line_over(struct content_scan *c, uint64_t offset)
{
	if (c->after_cr) {
		c->crlfs++;
		c->line--;
	} else {
		c->bare_newline = true;
	}
	if (c->line > c->longest_line)
		c->longest_line = c->line;
	if (c->where == VALUE)
		c->where = LINE_START;
	c->line = 0;
	c->line_offset = offset + 1;
}

/* Up to `n` octets without a LF among them. */
static void
line_part(struct content_scan *c, const char *p, size_t n)
{
	if (n == 0)
		return;
	if (c->line == 0 && p[0] == '.')
		c->facts |= FACT_DOT_LINE;
	for (size_t i = 0; i < n && c->where != BODY; i++) {
		header_octet(c, (unsigned char)p[i]);
		c->line++;
		if (c->where == BODY)
			c->line -= i + 1;
		else if (i + 1 == n)
			c->line -= n;
	}
	c->line += n;
	c->after_cr = p[n - 1] == '\r';
}

/* What is counted whatever the line. */
static void
octets(struct content_scan *c, const char *p, size_t n)
{
	unsigned char all = 0;
	size_t crs = 0;

	for (size_t i = 0; i < n; i++) {
		all |= (unsigned char)p[i];
		crs += p[i] == '\r';
	}
	c->crs += crs;
	if (all >= 0x80)
		c->facts |= FACT_8BIT;
	if (memchr(p, '\0', n) != NULL)
		c->facts |= FACT_NUL;
}

void
content_feed(struct content_scan *c, struct str part)
{
	size_t at = 0;

	if (part.n == 0)
		return;
	octets(c, part.p, part.n);
	while (at < part.n) {
		const char *p = part.p + at;
		const char *lf = memchr(p, '\n', part.n - at);
		size_t n = lf != NULL ? (size_t)(lf - p) : part.n - at;
		line_part(c, p, n);
		at += n;
		if (lf == NULL)
			break;
		if (c->where == NAME || c->where == NAME_BLANK ||
		    (c->where == LINE_START && c->line == 0))
			header_over(c);
		line_over(c, c->size + at);
		c->after_cr = false;
		at++;
	}
	c->size += part.n;
}

void
content_end(struct content_scan *c)
{
	if (c->line > 0) {
		c->facts |= FACT_NO_EOL;
		if (c->line > c->longest_line)
			c->longest_line = c->line;
	}
	if (c->crs != c->crlfs)
		c->bare_newline = true;
	if (c->where == NAME || c->where == NAME_BLANK)
		header_over(c);
	else if (c->where != BODY)
		c->header_size = c->size;
}
