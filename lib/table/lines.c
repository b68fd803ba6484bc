/* SPDX-License-Identifier: ISC */
/* Text of tables, line by line. Input: files that the operator wrote; nothing is taken for granted.
 */
#include "lib/table/lines.h"

#include <string.h>

#include "lib/base/why.h"

void
lines_init(struct lines *l, struct str text)
{
	*l = (struct lines){.rest = text};
	buf_init(&l->joined, LINE_MAX_BYTES);
}

void
lines_clear(struct lines *l)
{
	buf_free(&l->joined);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next physical line, without taking it. */
static struct str
peek(const struct lines *l, size_t *consumed)
{
	ptrdiff_t end = str_chr(l->rest, '\n');
	struct str line = end < 0 ? l->rest : str_sub(l->rest, 0, (size_t)end);

	*consumed = end < 0 ? l->rest.n : (size_t)end + 1;
	return line;
}

static bool
is_empty(struct str line)
{
	struct str text = str_trim(line);

	return text.n == 0 || text.p[0] == '#';
}

int
lines_next(struct lines *l, struct str *line, struct why *why)
{
	bool started = false;

	buf_reset(&l->joined);
	while (l->rest.n > 0) {
		size_t consumed;
		struct str part = peek(l, &consumed);
		bool empty = is_empty(part);
		if (started && !empty && !is_blank(part.p[0]))
			break;
		l->rest = str_from_at(l->rest, consumed);
		l->number++;
		if (empty)
			continue;
		if (!started)
			l->first = l->number;
		if (memchr(part.p, '\0', part.n) != NULL)
			return why_temp(why, "4.3.0", "a NUL byte in line %zu", l->number);
		part = str_trim(part);
		if ((started && buf_byte(&l->joined, ' ') == -1) || buf_str(&l->joined, part) == -1)
			return why_temp(why, "4.3.0", "line %zu is too long", l->first);
		started = true;
	}
	*line = buf_view(&l->joined);
	return started;
}

bool
line_pair(struct str line, struct buf *key, struct str *value)
{
	size_t i = 0;
	bool quoted = line.n > 0 && line.p[0] == '"';

	buf_reset(key);
	for (i = quoted; i < line.n; i++) {
		if (quoted ? line.p[i] == '"' : is_blank(line.p[i]))
			break;
		if (quoted && line.p[i] == '\\' && i + 1 < line.n)
			i++;
		if (buf_byte(key, line.p[i]) == -1)
			return false;
	}
	if (quoted && i == line.n)
		return false;
	*value = str_trim(str_from_at(line, i + quoted));
	return key->n > 0;
}
