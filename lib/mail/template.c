/* SPDX-License-Identifier: ISC */
#include "lib/mail/template.h"

#include <stdbool.h>

#include "lib/base/buf.h"

enum { VALUE_MAX = 1000, DEPTH_MAX = 4 };

struct template
{
	template_fn *value;
	void *arg;
	struct buf *out;
};

static size_t
name_length(struct str text)
{
	size_t n = 0;

	while (n < text.n && (text.p[n] == '_' || (text.p[n] >= 'a' && text.p[n] <= 'z')))
		n++;
	return n;
}

/* Where the brace that is open before `text` closes; its length where it does not. */
static size_t
closing_brace(struct str text)
{
	int open = 1;
	size_t n = 0;

	while (n < text.n && (open += (text.p[n] == '{') - (text.p[n] == '}')) > 0)
		n++;
	return n;
}

static void expand(const struct template *t, struct str text, unsigned depth);

/* What stands behind "${"; returns how much of it that was. */
static size_t
expand_braced(const struct template *t, struct str text, unsigned depth)
{
	char room[VALUE_MAX];
	size_t n = name_length(text), end = closing_brace(text);
	const char *value = t->value(t->arg, str_sub(text, 0, n), room, sizeof room);
	char op = n < end ? text.p[n] : '}';

	if (op == '}')
		(void)!buf_puts(t->out, value);
	else if (op == (value[0] != '\0' ? '?' : ':') && depth < DEPTH_MAX)
		expand(t, str_sub(text, n + 1, end - n - 1), depth + 1);
	return end < text.n ? end + 1 : end;
}

static void
expand(const struct template *t, struct str text, unsigned depth)
{
	char room[VALUE_MAX];

	while (text.n > 0) {
		size_t n = 1;
		if (text.p[0] != '$' || text.n == 1) {
			(void)!buf_byte(t->out, text.p[0]);
		} else if (text.p[1] == '$') {
			(void)!buf_byte(t->out, '$');
			n = 2;
		} else if (text.p[1] == '{') {
			n = 2 + expand_braced(t, str_from_at(text, 2), depth);
		} else {
			n += name_length(str_from_at(text, 1));
			(void)!buf_puts(
			    t->out, t->value(t->arg, str_sub(text, 1, n - 1), room, sizeof room));
		}
		text = str_from_at(text, n);
	}
}

void
template_expand(struct str text, template_fn *value, void *arg, struct buf *out)
{
	struct template t = {value, arg, out};

	expand(&t, text, 0);
}
