/* SPDX-License-Identifier: ISC */
/* The index's rows as items; rebuilt from the files whenever in doubt. */
#include "lib/queue/summary.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/msg/fields.h"
#include "lib/queue/item.h"

enum { KIND_RCPT = 64, REASON_MAX = MSG_TEXT_MAX };

#define TEXT(kind, member, max)                                            \
	{                                                                  \
		(kind), ITEM_TEXT, offsetof(struct summary, member), (max) \
	}
#define NUMBER(kind, member)                                             \
	{                                                                \
		(kind), ITEM_NUMBER, offsetof(struct summary, member), 0 \
	}
static const struct item_row message_rows[] = {
    TEXT(1, id, MSG_ID_MAX),
    TEXT(2, folder, 16),
    TEXT(3, sender, MSG_ADDRESS_MAX),
    TEXT(4, reason, REASON_MAX),
    NUMBER(5, size),
    NUMBER(6, arrived),
    NUMBER(7, next),
    NUMBER(8, attempts),
    NUMBER(9, expire),
    NUMBER(10, local),
    NUMBER(11, uid),
};
#undef TEXT
#undef NUMBER

#define TEXT(kind, member, max)                                                 \
	{                                                                       \
		(kind), ITEM_TEXT, offsetof(struct summary_rcpt, member), (max) \
	}
static const struct item_row rcpt_rows[] = {
    TEXT(65, original, MSG_ADDRESS_MAX),
    TEXT(66, reason, REASON_MAX),
    TEXT(67, transport, 64),
    TEXT(68, nexthop, MSG_NEXTHOP_MAX),
    {69, ITEM_NUMBER, offsetof(struct summary_rcpt, status), 0},
};
#undef TEXT

void
summary_encode(const struct summary *s, struct buf *out)
{
	item_put_all(out, message_rows, NELEM(message_rows), s);
	for (size_t i = 0; i < s->nrcpts; i++) {
		item_put_text(out, KIND_RCPT, s->rcpts[i].address);
		item_put_all(out, rcpt_rows, NELEM(rcpt_rows), &s->rcpts[i]);
	}
}

static size_t
count_rcpts(struct str bytes)
{
	struct str value;
	uint16_t kind;
	size_t n = 0;

	while (item_next(&bytes, &kind, &value) == 1)
		n += kind == KIND_RCPT;
	return n;
}

static int
set(struct summary *s, uint16_t kind, struct str value)
{
	if (kind < KIND_RCPT)
		return item_set(message_rows, NELEM(message_rows), s, kind, value);
	if (kind == KIND_RCPT) {
		s->rcpts[s->nrcpts++].address = value;
		return value.n > MSG_ADDRESS_MAX ? -1 : 0;
	}
	return s->nrcpts == 0
		   ? -1
		   : item_set(rcpt_rows, NELEM(rcpt_rows), &s->rcpts[s->nrcpts - 1], kind, value);
}

int
summary_decode(struct summary *s, struct str bytes, struct why *why)
{
	struct str value;
	uint16_t kind;
	size_t n = count_rcpts(bytes);
	int more;

	*s = (struct summary){.rcpts = n > 0 ? xcalloc(n, sizeof *s->rcpts) : NULL};
	while ((more = item_next(&bytes, &kind, &value)) == 1)
		if (set(s, kind, value) == -1) {
			more = -1;
			break;
		}
	if (more == 0 && s->id.n != 0)
		return 0;
	summary_clear(s);
	return why_temp(why, "4.3.0", "malformed row in the index");
}

void
summary_clear(struct summary *s)
{
	free(s->rcpts);
	*s = (struct summary){0};
}
