/* SPDX-License-Identifier: ISC */
/*
 * Walks the fields of a header (RFC 5322 2.2), for cleanup, bounce, local and `sendmail -t`. Every
 * step moves forward and stays inside the content. What is no field ends the header: the rest is
 * body, as every mail program reads it.
 */
#include "lib/mail/header.h"

#include <string.h>

#include "lib/base/buf.h"

/* The end of the line that starts at `from`, behind its LF. */
static size_t
line_end(struct str content, size_t from)
{
	const char *lf = memchr(content.p + from, '\n', content.n - from);

	return lf != NULL ? (size_t)(lf - content.p) + 1 : content.n;
}

/* The end of the field that starts at `from`: behind the last of its folded lines. */
static size_t
field_end(struct str content, size_t from)
{
	size_t end = line_end(content, from);

	while (end < content.n && (content.p[end] == ' ' || content.p[end] == '\t'))
		end = line_end(content, end);
	return end;
}

/* The length of the name up to the colon (blanks before it not counted), 0 where the line is no
 * field. */
static size_t
name_length(struct str line, size_t *colon)
{
	size_t n = 0;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
		n++;
	*colon = n;
	while (*colon < line.n && (line.p[*colon] == ' ' || line.p[*colon] == '\t'))
		(*colon)++;
	return *colon < line.n && line.p[*colon] == ':' ? n : 0;
}

static struct str
without_line_end(struct str s)
{
	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

bool
header_next(struct str content, size_t *offset, struct header_field *f)
{
	if (*offset >= content.n)
		return false;

	struct str first = str_sub(content, *offset, line_end(content, *offset) - *offset);
	size_t colon;
	size_t n = name_length(first, &colon);
	size_t end = field_end(content, *offset);
	if (n == 0 && *offset == 0 && str_starts(first, STR("From "))) {
		*f = (struct header_field){str_sub(first, 0, 5), STR_EMPTY, 0, end};
		*offset = end;
		return true;
	}
	if (n == 0)
		return false;

	f->name = str_sub(first, 0, n);
	f->offset = *offset;
	f->size = end - *offset;
	f->value = without_line_end(str_sub(content, *offset + colon + 1, f->size - colon - 1));
	*offset = end;
	return true;
}

size_t
header_size(struct str content)
{
	struct header_field f;
	size_t offset = 0;

	while (header_next(content, &offset, &f))
		continue;
	return offset;
}

bool
header_find(struct str content, const char *name, struct header_field *f)
{
	size_t offset = 0;

	while (header_next(content, &offset, f))
		if (str_caseis(f->name, name))
			return true;
	return false;
}

int
header_unfold(struct str value, struct buf *out)
{
	size_t from = 0;

	value = str_trim(value);
	for (size_t i = 0; i <= value.n; i++) {
		if (i < value.n && value.p[i] != '\r' && value.p[i] != '\n')
			continue;
		if (buf_add(out, value.p + from, i - from) == -1)
			return -1;
		from = i + 1;
	}
	return 0;
}
