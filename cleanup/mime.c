/* SPDX-License-Identifier: ISC */
/*
 * A line is taken when its LF is there. In a header it begins a field, or goes on with one; in a
 * body it is looked at for a boundary of any multipart that we are in (RFC 2046 5.1.2: a boundary
 * of an outer one ends all inside). The header's end decides what follows: a multipart's text, an
 * attached message, or a plain body.
 */
#include "cleanup/mime.h"

#include <string.h>

#include "lib/base/attr.h"

enum { IN_HEADER, IN_PART_HEADER, IN_NESTED_HEADER, IN_BODY };
enum { LINE_MAX_OCTETS = 2048 }; /* of a body's line that is looked at as one */

void
mime_begin(struct mime *m, mime_line_fn *on_line, void *arg, size_t depth_max, size_t boundary_max,
    size_t field_max)
{
	*m = (struct mime){
	    .on_line = on_line,
	    .arg = arg,
	    .depth_max = depth_max < MIME_DEPTH_MAX ? depth_max : MIME_DEPTH_MAX,
	    .boundary_max = boundary_max,
	    .field_max = field_max,
	    .header_end = UINT64_MAX,
	    .where = IN_HEADER,
	};
	buf_init(&m->field, field_max);
	buf_init(&m->line, field_max);
	buf_init(&m->boundaries, (boundary_max + 2) * (m->depth_max + 1));
	buf_init(&m->next, boundary_max + 1);
}

void
mime_clear(struct mime *m)
{
	buf_free(&m->field);
	buf_free(&m->line);
	buf_free(&m->boundaries);
	buf_free(&m->next);
}

static void
say(struct mime *m, enum mime_kind kind, uint64_t offset, uint64_t end, struct str text)
{
	struct mime_line line = {
	    .kind = kind,
	    .offset = offset,
	    .size = end - offset,
	    .text = text,
	    .body_offset = kind == MIME_BODY ? offset - m->part : 0,
	    .whole = m->whole,
	};

	if (!m->stopped && !m->on_line(m->arg, &line))
		m->stopped = true;
}

/* --- fields --- */

static struct str
field_name(struct str field)
{
	size_t n = 0;

	while (n < field.n && field.p[n] > ' ' && field.p[n] < 0x7f && field.p[n] != ':')
		n++;
	return str_sub(field, 0, n);
}

/* Whether the line begins a field: a name, blanks, a colon (as lib/mail/header has it). */
static bool
begins_field(struct str line)
{
	size_t n = field_name(line).n, at = n;

	while (at < line.n && (line.p[at] == ' ' || line.p[at] == '\t'))
		at++;
	return n > 0 && at < line.n && line.p[at] == ':';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Blanks and comments (RFC 5322 3.2.2) off the front. */
static struct str
skip_space(struct str s)
{
	size_t i = 0;
	int open = 0;

	for (; i < s.n; i++) {
		if (open > 0 && s.p[i] == '\\') {
			i++;
			continue;
		}
		if (s.p[i] == '(')
			open++;
		else if (open > 0 && s.p[i] == ')')
			open--;
		else if (open == 0 && !is_blank(s.p[i]))
			break;
	}
	return str_from_at(s, i < s.n ? i : s.n);
}

/* A token off the front: up to a blank or one of "()<>@,;:\"/[]?=" (RFC 2045 5.1). */
static struct str
take_token(struct str *s)
{
	size_t n = 0;

	while (n < s->n && !is_blank(s->p[n]) && s->p[n] != '\0' &&
	       strchr("()<>@,;:\\\"/[]?=", s->p[n]) == NULL)
		n++;
	struct str token = str_sub(*s, 0, n);
	*s = str_from_at(*s, n);
	return token;
}

/* A value, quoted or not, into `out` as far as it fits; false where it does not. */
static bool
take_value(struct str *s, struct buf *out)
{
	buf_reset(out);
	if (s->n == 0 || s->p[0] != '"') {
		/* senders leave the quotes away where they must not */
		size_t n = 0;
		while (n < s->n && !is_blank(s->p[n]) && s->p[n] != ';')
			n++;
		struct str value = str_sub(*s, 0, n);
		*s = str_from_at(*s, n);
		return buf_str(out, value) == 0;
	}
	size_t i = 1;
	bool fits = true;
	for (; i < s->n && s->p[i] != '"'; i++) {
		if (s->p[i] == '\\' && i + 1 < s->n)
			i++;
		if (s->p[i] != '\n' && s->p[i] != '\r' && buf_byte(out, s->p[i]) == -1)
			fits = false;
	}
	*s = str_from_at(*s, i + 1);
	return fits;
}

/* The boundary parameter of a multipart's Content-Type goes to `next`. */
static void
find_boundary(struct mime *m, struct str rest)
{
	struct buf value;
	ptrdiff_t semicolon;

	buf_init(&value, m->boundary_max);
	while ((semicolon = str_chr(rest, ';')) >= 0) {
		rest = skip_space(str_from_at(rest, (size_t)semicolon + 1));
		struct str name = take_token(&rest);
		rest = skip_space(rest);
		if (rest.n == 0 || rest.p[0] != '=')
			continue;
		rest = skip_space(str_from_at(rest, 1));
		bool fits = take_value(&rest, &value);
		if (!str_caseis(name, "boundary"))
			continue;
		while (value.n > 0 && is_blank(value.p[value.n - 1]))
			buf_cut(&value, value.n - 1);
		if (fits && value.n > 0 && memchr(value.p, '\0', value.n) == NULL &&
		    buf_str(&m->next, buf_view(&value)) == -1)
			buf_reset(&m->next);
		break;
	}
	buf_free(&value);
}

static void
content_type(struct mime *m, struct str value)
{
	value = skip_space(value);
	struct str type = take_token(&value);
	value = skip_space(value);
	struct str subtype = STR_EMPTY;
	if (value.n > 0 && value.p[0] == '/') {
		value = skip_space(str_from_at(value, 1));
		subtype = take_token(&value);
	}
	m->is_message = str_caseis(type, "message") &&
			(str_caseis(subtype, "rfc822") || str_caseis(subtype, "global"));
	buf_reset(&m->next);
	m->digest = false;
	if (!str_caseis(type, "multipart"))
		return;
	m->digest = str_caseis(subtype, "digest");
	find_boundary(m, value);
}

static void
transfer_encoding(struct mime *m, struct str value)
{
	value = skip_space(value);
	struct str word = take_token(&value);
	m->is_encoded = word.n > 0 && !str_caseis(word, "7bit") && !str_caseis(word, "8bit") &&
			!str_caseis(word, "binary");
}

static void
end_field(struct mime *m, uint64_t end)
{
	static const enum mime_kind kinds[] = {MIME_HEADER, MIME_PART_HEADER, MIME_NESTED_HEADER};
	struct str field = buf_view(&m->field), name = field_name(field);
	bool tells_mime = str_casestarts(name, STR("Content-")) || str_caseis(name, "MIME-Version");

	if (field.n == 0)
		return;
	ptrdiff_t colon = str_chr(field, ':');
	if (colon >= 0 && !m->off && str_caseis(name, "Content-Type"))
		content_type(m, str_from_at(field, (size_t)colon + 1));
	else if (colon >= 0 && !m->off && str_caseis(name, "Content-Transfer-Encoding"))
		transfer_encoding(m, str_from_at(field, (size_t)colon + 1));
	say(m, tells_mime && !m->off ? MIME_PART_HEADER : kinds[m->where], m->start, end, field);
	buf_reset(&m->field);
}

/* --- the structure --- */

/* `is_message`: what it is of where no Content-Type says so (RFC 2046 5.1.5). */
static void
begin_header(struct mime *m, int where, bool is_message)
{
	m->where = where;
	buf_reset(&m->next);
	buf_reset(&m->field);
	m->digest = m->is_encoded = false;
	m->is_message = is_message;
}

/* The empty line behind a header, or the first line that is none of it. */
static void
end_header(struct mime *m, uint64_t body)
{
	if (m->where == IN_HEADER)
		m->header_end = m->line_start;
	m->where = IN_BODY;
	m->part = body;
	if (m->next.n > 0) {
		if (m->depth < m->depth_max &&
		    buf_byte(&m->boundaries, m->digest ? 'd' : 'm') == 0 &&
		    buf_add(&m->boundaries, buf_cstr(&m->next), m->next.n + 1) == 0)
			m->depth++;
	} else if (m->is_message && !m->is_encoded && !m->off) {
		begin_header(m, IN_NESTED_HEADER, false);
	}
	buf_reset(&m->next);
}

/* "--boundary" or "--boundary--" of a multipart that we are in. */
static bool
take_boundary(struct mime *m, struct str line, uint64_t end)
{
	const char *p = buf_cstr(&m->boundaries), *limit = p + m->boundaries.n;

	if (m->depth == 0 || !str_starts(line, STR("--")))
		return false;
	line = str_from_at(line, 2);
	for (size_t level = 1; p < limit; level++) {
		bool digest = *p == 'd';
		struct str boundary = str_from(p + 1);
		p += boundary.n + 2;
		if (!str_starts(line, boundary))
			continue;
		size_t inside = m->boundaries.n - (size_t)(limit - p);
		if (str_starts(str_from_at(line, boundary.n), STR("--"))) {
			/* an epilogue follows: the outer multipart's text */
			buf_cut(&m->boundaries, inside - boundary.n - 2);
			m->depth = level - 1;
			m->where = IN_BODY;
			m->part = end;
		} else {
			buf_cut(&m->boundaries, inside);
			m->depth = level;
			begin_header(m, IN_PART_HEADER, digest);
		}
		return true;
	}
	return false;
}

static void
body_line(struct mime *m, struct str line, uint64_t end)
{
	bool boundary = !m->cut && take_boundary(m, line, end);

	if (boundary)
		m->part = m->line_start;
	say(m, MIME_BODY, m->line_start, end, line);
	if (boundary)
		m->part = end;
}

static void
header_line(struct mime *m, struct str line, uint64_t end)
{
	bool folds = line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t') && m->field.n > 0;

	if (folds) {
		/* what is over the bound is not looked at */
		if (buf_byte(&m->field, '\n') == 0)
			(void)!buf_str(&m->field, line);
		return;
	}
	end_field(m, m->line_start);
	bool mbox = m->where == IN_HEADER && m->line_start == 0 && str_starts(line, STR("From "));
	if (begins_field(line) || mbox) {
		m->start = m->line_start;
		if (buf_str(&m->field, line) == -1)
			buf_reset(&m->field);
		return;
	}
	if (line.n == 0) {
		end_header(m, end);
		return;
	}
	/* a boundary ends a part's header without an empty line; any other line is the body's */
	if (m->where != IN_HEADER && take_boundary(m, line, end)) {
		m->part = m->line_start;
		say(m, MIME_BODY, m->line_start, end, line);
		return;
	}
	end_header(m, m->line_start);
	if (m->where == IN_BODY)
		body_line(m, line, end);
	else
		header_line(m, line, end);
}

/* The line that ends at `end`; `whole`: it does so by its LF. */
static void
take_line(struct mime *m, uint64_t end, bool whole)
{
	struct str line = buf_view(&m->line);

	m->whole = whole;
	if (whole && line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (m->where == IN_BODY)
		body_line(m, line, end);
	else
		header_line(m, line, end);
	m->cut = !whole;
	m->line_start = end;
	buf_reset(&m->line);
}

static void
add(struct mime *m, struct str part)
{
	while (part.n > 0) {
		size_t max = m->where == IN_BODY ? LINE_MAX_OCTETS : m->field_max;
		size_t room = max > m->line.n ? max - m->line.n : 0;
		struct str now = str_sub(part, 0, room);
		/* of a header's line the rest is passed over; a body's is handed out in parts */
		if (room == 0 && m->where != IN_BODY)
			now = part;
		else if (buf_str(&m->line, now) == -1)
			m->stopped = true;
		m->at += now.n;
		part = str_from_at(part, now.n);
		if (m->where == IN_BODY && m->line.n == LINE_MAX_OCTETS && part.n > 0)
			take_line(m, m->at, false);
	}
}

void
mime_feed(struct mime *m, struct str part)
{
	while (part.n > 0 && !m->stopped) {
		const char *lf = memchr(part.p, '\n', part.n);
		size_t n = lf != NULL ? (size_t)(lf - part.p) : part.n;
		add(m, str_sub(part, 0, n));
		part = str_from_at(part, n);
		if (lf == NULL)
			return;
		m->at++;
		part = str_from_at(part, 1);
		take_line(m, m->at, true);
	}
}

void
mime_end(struct mime *m)
{
	if (m->stopped)
		return;
	if (m->line.n > 0)
		take_line(m, m->at, true);
	if (m->where != IN_BODY) {
		end_field(m, m->at);
		if (m->header_end == UINT64_MAX)
			m->header_end = m->at;
	}
}
