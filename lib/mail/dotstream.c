/* SPDX-License-Identifier: ISC */
/*
 * The dot rule as a machine over octets, whose whole state is one word: no rescan after a split
 *read, so a dot that was taken off can never be seen again as an end. Octets inside lines are
 *copied by memchr() and memcpy().
 *
 *	state     seen                      a dot here        CR        LF
 *	FRESH     CRLF (or nothing yet)     off, -> DOT       -> CR     bare
 *	LOOSE     a bare LF                 off, -> LINE      -> CR     bare
 *	LINE      octets of a line          an octet          -> CR     bare
 *	CR        CR, not yet written       CR was bare       bare      CRLF, -> FRESH
 *	DOT       CRLF .                    an octet          -> DOT_CR bare
 *	DOT_CR    CRLF . CR                 CR was bare       bare      the end
 */
#include "lib/mail/dotstream.h"

#include <string.h>

#include "lib/base/buf.h"

enum { FRESH, LOOSE, LINE, CR, DOT, DOT_CR };

void
dot_decode_begin(struct dot_decoder *d)
{
	*d = (struct dot_decoder){.state = FRESH};
}

void
dot_decode_begin_plain(struct dot_decoder *d)
{
	*d = (struct dot_decoder){.state = FRESH, .plain = true};
}

/* Each LF may become CRLF, and one CR may have been held back. */
size_t
dot_decode_room(size_t n)
{
	return 2 * n + 2;
}

static char *
line_over(struct dot_decoder *d, char *out)
{
	*out++ = '\r';
	*out++ = '\n';
	if (d->line > d->longest_line)
		d->longest_line = d->line;
	d->line = 0;
	return out;
}

static char *
bare_lf(struct dot_decoder *d, char *out)
{
	d->bare_lf = true;
	d->state = LOOSE;
	return line_over(d, out);
}

/* The CR that was held back did not begin a CRLF: a blank in its place. */
static char *
bare_cr(struct dot_decoder *d, char *out)
{
	d->bare_cr = true;
	d->state = LINE;
	d->line++;
	*out++ = ' ';
	return out;
}

/* Octets up to the next CR or LF, at least one; `*in` moves behind them. */
static char *
take_run(struct dot_decoder *d, const char **in, const char *end, char *out)
{
	const char *p = *in;
	size_t n = (size_t)(end - p);
	const char *lf = memchr(p, '\n', n);

	if (lf != NULL)
		n = (size_t)(lf - p);
	const char *cr = memchr(p, '\r', n);
	if (cr != NULL)
		n = (size_t)(cr - p);
	if (!d->nul && memchr(p, '\0', n) != NULL)
		d->nul = true;
	memcpy(out, p, n);
	d->line += n;
	d->state = LINE;
	if (d->line > d->longest_line)
		d->longest_line = d->line;
	*in = p + n;
	return out + n;
}

size_t
dot_decode(struct dot_decoder *d, struct str in, char *out, size_t *out_n)
{
	const char *p = in.p, *end = in.p + in.n;
	char *o = out;

	while (p < end && !d->ended) {
		bool held = d->state == CR || d->state == DOT_CR;
		if (held && *p == '\n') {
			d->ended = d->state == DOT_CR;
			if (!d->ended)
				o = line_over(d, o);
			d->state = FRESH;
			p++;
		} else if (held) {
			o = bare_cr(d, o); /* and look at this octet again, in LINE */
		} else if (*p == '\n') {
			o = bare_lf(d, o);
			p++;
		} else if (*p == '\r') {
			d->state = d->state == DOT ? DOT_CR : CR;
			p++;
		} else if (*p == '.' && !d->plain && (d->state == FRESH || d->state == LOOSE)) {
			d->state = d->state == FRESH ? DOT : LINE;
			p++;
		} else {
			o = take_run(d, &p, end, o);
		}
	}
	*out_n = (size_t)(o - out);
	return (size_t)(p - in.p);
}

void
dot_decode_finish(struct dot_decoder *d, char *out, size_t *out_n)
{
	*out_n = 0;
	if (d->state == CR)
		*out_n = (size_t)(bare_cr(d, out) - out);
}

void
dot_encode_begin(struct dot_encoder *e)
{
	*e = (struct dot_encoder){0};
}

int
dot_encode(struct dot_encoder *e, struct str in, struct buf *out)
{
	size_t at = 0;

	while (at < in.n) {
		const char *p = in.p + at;
		if (*p == '.' && !e->mid_line && buf_byte(out, '.') == -1)
			return -1;
		/* up to and with the next LF, or a CR, which some reader might take for a line end
		 */
		const char *lf = memchr(p, '\n', in.n - at);
		size_t n = lf != NULL ? (size_t)(lf - p) + 1 : in.n - at;
		const char *cr = memchr(p, '\r', n);
		if (cr != NULL)
			n = (size_t)(cr - p) + 1;
		if (buf_add(out, p, n) == -1)
			return -1;
		e->mid_line = p[n - 1] != '\n' && p[n - 1] != '\r';
		e->line_open = p[n - 1] != '\n' || !(n >= 2 ? p[n - 2] == '\r' : e->after_cr);
		e->after_cr = p[n - 1] == '\r';
		at += n;
	}
	return 0;
}

int
dot_encode_end(struct dot_encoder *e, struct buf *out)
{
	return e->line_open ? buf_puts(out, "\r\n.\r\n") : buf_puts(out, ".\r\n");
}
