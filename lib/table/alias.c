/* SPDX-License-Identifier: ISC */
/* The parser of aliases(5) files. Input: what the operator wrote. */
#include "lib/table/alias.h"

#include "lib/base/why.h"
#include "lib/table/lines.h"
#include "lib/table/table.h"
#include "lib/table/target.h"

/* Where the name ends: the first colon outside quotes; -1. */
static ptrdiff_t
name_end(struct str line)
{
	bool quoted = false;

	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '\\')
			i++;
		else if (line.p[i] == '"')
			quoted = !quoted;
		else if (line.p[i] == ':' && !quoted)
			return (ptrdiff_t)i;
	}
	return -1;
}

static int
name_read(struct str text, struct buf *name, struct why *why)
{
	buf_reset(name);
	text = str_trim(text);
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '"')
			continue;
		if (c == '\\' && i + 1 < text.n)
			c = text.p[++i];
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (buf_byte(name, c) == -1)
			return why_perm(why, NULL, "the name is over %d bytes", TABLE_KEY_MAX);
	}
	if (name->n == 0)
		return why_perm(why, NULL, "there is no name before the colon");
	if (str_chr(buf_view(name), '@') >= 0)
		return why_perm(
		    why, NULL, "\"%s\": an alias is a local name, without @", buf_cstr(name));
	return 0;
}

static int
value_check(struct str value, struct buf *room, struct why *why)
{
	struct target target;
	struct str rest = value;
	size_t n = 0;
	int more;

	while ((more = target_next(&rest, room, &target, why)) == 1)
		n++;
	if (more == 0 && n == 0)
		return why_perm(why, NULL, "the alias has no target");
	if (value.n > TABLE_VALUE_MAX)
		return why_perm(
		    why, NULL, "the alias is over %d bytes: use :include:", TABLE_VALUE_MAX);
	return more;
}

static int
entry(struct str line, struct buf *name, struct buf *room, alias_entry_fn *on_entry, void *arg,
    struct why *why)
{
	ptrdiff_t colon = name_end(line);

	if (colon < 0)
		return why_perm(why, NULL, "an alias is \"name: target, ...\"");
	struct str value = str_trim(str_from_at(line, (size_t)colon + 1));
	if (name_read(str_sub(line, 0, (size_t)colon), name, why) == -1 ||
	    value_check(value, room, why) == -1)
		return -1;
	return on_entry(arg, buf_view(name), value, why);
}

int
alias_parse(struct str text, const char *path, alias_entry_fn *on_entry, void *arg, struct why *why)
{
	struct lines lines;
	struct buf name, room;
	struct str line;
	struct why inner = {0};
	int more;

	lines_init(&lines, text);
	buf_init(&name, TABLE_KEY_MAX);
	buf_init(&room, TARGET_MAX);
	while ((more = lines_next(&lines, &line, &inner)) == 1)
		if (entry(line, &name, &room, on_entry, arg, &inner) == -1)
			break;
	if (more != 0)
		why_perm(why, NULL, "%s:%zu: %s", path, lines.first, inner.text);
	buf_free(&room);
	buf_free(&name);
	lines_clear(&lines);
	return more == 0 ? 0 : -1;
}
