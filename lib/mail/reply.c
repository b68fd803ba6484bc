/* SPDX-License-Identifier: ISC */
/*
 * The reply parser of remote, for octets that a hostile server chose. A line is taken whole, by
 * length; the code of each line of a multi-line reply must be the same (RFC 5321 4.2.1); control
 * characters in the text become '?'.
 */
#include "lib/mail/reply.h"

#include <string.h>

#include "lib/base/why.h"

void
reply_init(struct reply *r)
{
	*r = (struct reply){0};
	buf_init(&r->text, REPLY_TEXT_MAX);
	buf_init(&r->line, REPLY_LINE_MAX);
}

void
reply_free(struct reply *r)
{
	buf_free(&r->text);
	buf_free(&r->line);
	reply_init(r);
}

void
reply_reset(struct reply *r)
{
	struct buf text = r->text, line = r->line;

	buf_reset(&text);
	buf_reset(&line);
	*r = (struct reply){.text = text, .line = line};
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
status_code_valid(struct str s)
{
	size_t at = 2;

	if (s.n < 5 || (s.p[0] != '2' && s.p[0] != '4' && s.p[0] != '5') || s.p[1] != '.')
		return false;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;
		while (at < s.n && is_digit(s.p[at])) {
			at++;
			digits++;
		}
		if (digits < 1 || digits > 3)
			return false;
		if (part == 0 && (at >= s.n || s.p[at++] != '.'))
			return false;
	}
	return at == s.n;
}

/* Three digits, the first 2 to 5; -1 otherwise. */
static int
line_code(struct str line)
{
	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' || !is_digit(line.p[1]) ||
	    !is_digit(line.p[2]))
		return -1;
	return (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
}

static void
take_enhanced(struct reply *r, struct str text)
{
	ptrdiff_t blank = str_chr(text, ' ');
	struct str word = blank >= 0 ? str_sub(text, 0, (size_t)blank) : text;

	if (status_code_valid(word) && word.p[0] == '0' + r->code / 100)
		str_copy(r->enhanced, sizeof r->enhanced, word);
}

/* The text of one line with nothing in it that could break a log line or our own line ends. */
static int
add_text(struct reply *r, struct str text)
{
	char *room = buf_room(&r->text, text.n + 1);

	if (room == NULL)
		return -1;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		room[i] = c == '\t' ? ' ' : c < ' ' || c == 0x7f ? '?' : text.p[i];
	}
	buf_grown(&r->text, text.n);
	return 0;
}

/* 1: that was the last line; 0: more follow; -1: no reply. */
static int
take_line(struct reply *r, struct str line, struct why *why)
{
	int code = line_code(line);
	char mark = line.n > 3 ? line.p[3] : ' ';

	if (code == -1 || (mark != ' ' && mark != '-'))
		return why_temp(
		    why, "4.5.0", "bad reply: \"%.*s\"", (int)(line.n < 80 ? line.n : 80), line.p);
	if (r->lines > 0 && code != r->code)
		return why_temp(why, "4.5.0", "bad reply: code %d follows code %d", code, r->code);
	r->code = code;
	struct str text = str_from_at(line, 4);
	if (r->lines > 0 && buf_byte(&r->text, '\n') == -1)
		return why_temp(why, "4.5.0", "reply too long");
	if (++r->lines > REPLY_LINES_MAX || add_text(r, text) == -1)
		return why_temp(why, "4.5.0", "reply too long");
	if (mark == '-')
		return 0;
	take_enhanced(r, text);
	r->complete = true;
	return 1;
}

int
reply_feed(struct reply *r, struct str in, size_t *used, struct why *why)
{
	*used = 0;
	while (*used < in.n && !r->complete) {
		const char *p = in.p + *used;
		const char *lf = memchr(p, '\n', in.n - *used);
		size_t n = lf != NULL ? (size_t)(lf - p) : in.n - *used;
		if (buf_add(&r->line, p, n) == -1)
			return why_temp(why, "4.5.0", "reply line too long");
		*used += n;
		if (lf == NULL)
			break;
		(*used)++;
		struct str line = buf_view(&r->line);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (take_line(r, line, why) == -1)
			return -1;
		buf_reset(&r->line);
	}
	return r->complete ? 1 : 0;
}

bool
reply_line(const struct reply *r, size_t *offset, struct str *line)
{
	struct str text = buf_view(&r->text);

	if (*offset > text.n || r->lines == 0)
		return false;
	*line = str_from_at(text, *offset);
	ptrdiff_t lf = str_chr(*line, '\n');
	if (lf >= 0)
		line->n = (size_t)lf;
	*offset += line->n + 1;
	return true;
}

/* As much of `s` as fits. */
static void
add_cut(struct buf *out, struct str s)
{
	size_t left = out->max - out->n;

	if (buf_str(out, str_sub(s, 0, left)) == -1)
		return;
}

void
reply_show(const struct reply *r, struct buf *out)
{
	size_t offset = 0;
	struct str line;

	for (size_t i = 1; reply_line(r, &offset, &line); i++) {
		char mark[8] = {(char)('0' + r->code / 100 % 10), (char)('0' + r->code / 10 % 10),
		    (char)('0' + r->code % 10), i < r->lines ? '-' : ' '};
		if (i > 1)
			add_cut(out, STR(" "));
		add_cut(out, str_make(mark, 4));
		add_cut(out, line);
	}
}

int
reply_why(const struct reply *r, struct why *why)
{
	struct buf text;
	bool perm = r->code >= 500;

	buf_init(&text, sizeof why->text - 1);
	reply_show(r, &text);
	const char *code = r->enhanced[0] != '\0' ? r->enhanced : perm ? "5.0.0" : "4.0.0";
	if (perm)
		why_perm(why, code, "%s", buf_cstr(&text));
	else
		why_temp(why, code, "%s", buf_cstr(&text));
	why->smtp = r->code;
	buf_free(&text);
	return -1;
}
