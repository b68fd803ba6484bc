/* SPDX-License-Identifier: ISC */
/* Asking tables on behalf of one question, and telling about it. */
#include "router/query.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "router/maps.h"

void
query_explain(struct query *q, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	if (q->explain == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (buf_printf(q->explain, "%s\n", line) == -1)
		q->explain = NULL; /* an explanation that is too long ends there */
}

static int
tell(struct query *q, enum router_maps maps, int answer, const char *key, const struct table *t,
    const struct buf *out, const struct why *why)
{
	if (t != NULL && table_is_unix(t) && answer != TABLE_ASKED)
		q->used_unix = true;
	if (tables_have_remote(&q->r->maps[maps]))
		q->used_remote = true;
	if (answer == TABLE_FOUND)
		query_explain(
		    q, "%s: %s: %s -> %s", maps_name(maps), table_spec(t), key, buf_cstr(out));
	else if (answer == TABLE_NONE && q->r->maps[maps].n > 0)
		query_explain(q, "%s: no entry", maps_name(maps));
	else if (answer == TABLE_ERROR)
		query_explain(q, "%s: %s", maps_name(maps), why->text);
	return answer;
}

int
query_address(struct query *q, enum router_maps maps, const struct address *a, unsigned keys,
    struct buf *out, struct address_found *found, struct why *why)
{
	const struct table_list *list = &q->r->maps[maps];
	struct address_found here = {0};
	int answer = address_lookup(list, a, keys, &q->asker, out, &here, why);

	if (answer == TABLE_NONE && tables_have_unix(list))
		q->used_unix = true;
	if (found != NULL)
		*found = here;
	return tell(q, maps, answer, here.key, here.table, out, why);
}

int
query_key(struct query *q, enum router_maps maps, struct str key, struct buf *out,
    const struct table **which, struct why *why)
{
	char text[TABLE_KEY_MAX + 1];
	const struct table *t = NULL;
	int answer = tables_lookup(&q->r->maps[maps], key, &q->asker, out, &t, why);

	if (which != NULL)
		*which = t;
	if (!str_copy(text, sizeof text, key))
		text[0] = '\0';
	return tell(q, maps, answer, text, t, out, why);
}
