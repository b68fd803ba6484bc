/* SPDX-License-Identifier: ISC */
/*
 * Targets of aliases. One pass over the bytes up to the comma, with three states: plain, in double
 * quotes, in a comment in parentheses. Input may come from any user's ~/.forward.
 */
#include "lib/table/target.h"

#include <string.h>

#include "lib/base/why.h"

/* The length of a quoted string at the front of `s`, its quotes included; 0 where it does not end.
 */
static size_t
quoted_length(struct str s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i + 1;
	}
	return 0;
}

/* The length of a comment at the front of `s`; comments nest (RFC 5322 3.2.2). 0 where it does not
 * end. */
static size_t
comment_length(struct str s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

/* A command, a path or an :include: is text of its own: parentheses mean nothing in it. */
static bool
is_plain_text(struct str item)
{
	return item.n > 0 &&
	       (item.p[0] == '|' || item.p[0] == '/' || str_casestarts(item, STR(":include:")));
}

static int
item_cut(struct str *rest, struct str *item, struct why *why)
{
	size_t i = 0;
	struct str whole = str_trim(*rest);

	while (i < whole.n && whole.p[i] != ',') {
		size_t skip = 1;
		if (whole.p[i] == '"')
			skip = quoted_length(str_from_at(whole, i));
		else if (whole.p[i] == '(' && !is_plain_text(whole))
			skip = comment_length(str_from_at(whole, i));
		else if (whole.p[i] == '\\' && i + 1 < whole.n)
			skip = 2;
		if (skip == 0)
			return why_perm(why, "5.3.5", "a quote or parenthesis is not closed");
		i += skip;
	}
	*item = str_trim(str_sub(whole, 0, i));
	*rest = str_from_at(whole, i < whole.n ? i + 1 : i);
	return 0;
}

/* Copies what stands between quotes, backslashes undone. */
static int
unquote(struct str quoted, struct buf *out)
{
	for (size_t i = 1; i + 1 < quoted.n; i++) {
		if (quoted.p[i] == '\\' && i + 2 < quoted.n)
			i++;
		if (buf_byte(out, quoted.p[i]) == -1)
			return -1;
	}
	return 0;
}

/* Copies an address without its comments; quoted parts stay quoted, blanks outside them go. */
static int
copy_address(struct str item, struct buf *out)
{
	for (size_t i = 0; i < item.n;) {
		struct str here = str_from_at(item, i);
		size_t n = 1;
		if (here.p[0] == '"')
			n = quoted_length(here);
		else if (here.p[0] == '(')
			n = comment_length(here);
		if (n == 0)
			return -1;
		bool keep = here.p[0] != '(' && here.p[0] != ' ' && here.p[0] != '\t';
		if (keep && buf_add(out, here.p, n) == -1)
			return -1;
		i += n;
	}
	return 0;
}

/* "Some Name <address>": what the angle brackets hold, else the item. */
static struct str
in_brackets(struct str item)
{
	ptrdiff_t open = str_rchr(item, '<'), close = str_rchr(item, '>');

	if (open < 0 || close < open)
		return item;
	return str_trim(str_sub(item, (size_t)open + 1, (size_t)(close - open) - 1));
}

static bool
has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' && s.p[i] != '\t')
			return true;
	return memchr(s.p, 0x7f, s.n) != NULL;
}

static const struct {
	struct str mark;
	enum target_kind kind;
	bool keep_mark;
} marks[] = {
    {{":include:", 9}, TARGET_INCLUDE, false},
    {{"|", 1},         TARGET_COMMAND, false},
    {{"/", 1},         TARGET_FILE,    true },
    {{"\\", 1},        TARGET_USER,    false},
};

static int
classify(struct str text, struct target *target, struct why *why)
{
	*target = (struct target){TARGET_ADDRESS, text};
	for (size_t i = 0; i < NELEM(marks); i++) {
		if (!str_casestarts(text, marks[i].mark))
			continue;
		target->kind = marks[i].kind;
		if (!marks[i].keep_mark)
			target->text = str_trim(str_from_at(text, marks[i].mark.n));
		break;
	}
	if (target->text.n == 0)
		return why_perm(why, "5.3.5", "an empty address, file or command");
	if (target->kind == TARGET_INCLUDE && target->text.p[0] != '/')
		return why_perm(why, "5.3.5", ":include: wants the full path of a file");
	return 1;
}

/* An address that was quoted as a whole, "user", is written without quotes where it can be. */
static bool
is_atom(struct str s)
{
	static const char specials[] = " \t\"(),:;<>@[\\]";

	for (size_t i = 0; i < s.n; i++)
		if (memchr(specials, s.p[i], sizeof specials) != NULL) /* its NUL is one of them */
			return false;
	return s.n > 0;
}

static int
item_read(struct str item, struct buf *room)
{
	buf_reset(room);
	bool whole = item.p[0] == '"' && quoted_length(item) == item.n;
	if (whole) {
		if (unquote(item, room) == -1)
			return -1;
		struct str text = buf_view(room);
		if (is_plain_text(text) || is_atom(text) || (text.n > 0 && text.p[0] == '\\'))
			return 0;
		buf_reset(room);
		return buf_str(room, item);
	}
	if (item.p[0] == '|' && item.n > 1) {
		struct str command = str_trim(str_from_at(item, 1));
		bool quoted =
		    command.n > 1 && command.p[0] == '"' && quoted_length(command) == command.n;
		if (buf_byte(room, '|') == -1)
			return -1;
		return quoted ? unquote(command, room) : buf_str(room, command);
	}
	if (is_plain_text(item) || item.p[0] == '\\')
		return buf_str(room, item);
	return copy_address(in_brackets(item), room);
}

int
target_next(struct str *rest, struct buf *room, struct target *target, struct why *why)
{
	struct str item = STR_EMPTY;

	while (item.n == 0) {
		if (str_trim(*rest).n == 0)
			return 0;
		if (item_cut(rest, &item, why) == -1)
			return -1;
	}
	if (has_control(item))
		return why_perm(why, "5.3.5", "a control character in an address, file or command");
	if (item_read(item, room) == -1)
		return why_perm(why, "5.3.5",
		    "an address, file or command is malformed or over %d bytes", TARGET_MAX);
	return classify(buf_view(room), target, why);
}

static bool
line_take(struct target_file *f)
{
	if (f->rest.n == 0)
		return false;
	ptrdiff_t end = str_chr(f->rest, '\n');
	f->line = str_trim(end < 0 ? f->rest : str_sub(f->rest, 0, (size_t)end));
	f->rest = str_from_at(f->rest, end < 0 ? f->rest.n : (size_t)end + 1);
	f->number++;
	if (f->line.n > 0 && f->line.p[0] == '#')
		f->line = STR_EMPTY;
	return true;
}

int
target_file_next(struct target_file *f, struct buf *room, struct target *target, struct why *why)
{
	for (;;) {
		struct why inner = {0};
		int more = target_next(&f->line, room, target, &inner);
		if (more == -1)
			return why_perm(why, inner.code, "line %zu: %s", f->number, inner.text);
		if (more == 1)
			return 1;
		if (!line_take(f))
			return 0;
	}
}
