/* SPDX-License-Identifier: ISC */
/* Items are read from disk, which may be damaged behind a checksum that happens to fit: every
 * length is checked. */
#include "lib/queue/item.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/panic.h"
#include "lib/queue/le.h"

static void
put(struct buf *b, uint16_t kind, const void *p, size_t n)
{
	char *room = n > UINT32_MAX ? NULL : buf_room(b, ITEM_HEAD + n);

	if (room == NULL)
		panic("item %u of %zu bytes: no room", (unsigned)kind, n);
	le16_put(room, kind);
	le16_put(room + 2, 0);
	le32_put(room + 4, (uint32_t)n);
	if (n > 0)
		memcpy(room + ITEM_HEAD, p, n);
	buf_grown(b, ITEM_HEAD + n);
}

void
item_put_text(struct buf *b, uint16_t kind, struct str text)
{
	put(b, kind, text.p, text.n);
}

void
item_put_number(struct buf *b, uint16_t kind, uint64_t value)
{
	char bytes[8];

	le64_put(bytes, value);
	put(b, kind, bytes, sizeof bytes);
}

void
item_put_all(struct buf *b, const struct item_row *rows, size_t n, const void *record)
{
	for (size_t i = 0; i < n; i++) {
		const char *at = (const char *)record + rows[i].offset;
		if (rows[i].type == ITEM_NUMBER) {
			uint64_t value;
			memcpy(&value, at, sizeof value);
			if (value != 0)
				item_put_number(b, rows[i].kind, value);
		} else {
			struct str text;
			memcpy(&text, at, sizeof text);
			if (text.n != 0)
				item_put_text(b, rows[i].kind, str_sub(text, 0, rows[i].max));
		}
	}
}

int
item_next(struct str *rest, uint16_t *kind, struct str *value)
{
	if (rest->n == 0)
		return 0;
	if (rest->n < ITEM_HEAD || le16_get(rest->p + 2) != 0)
		return -1;
	size_t n = le32_get(rest->p + 4);
	if (n > rest->n - ITEM_HEAD)
		return -1;
	*kind = le16_get(rest->p);
	*value = str_make(rest->p + ITEM_HEAD, n);
	*rest = str_from_at(*rest, ITEM_HEAD + n);
	return 1;
}

bool
item_number(struct str value, uint64_t *number)
{
	if (value.n != sizeof *number)
		return false;
	*number = le64_get(value.p);
	return true;
}

int
item_set(const struct item_row *rows, size_t n, void *record, uint16_t kind, struct str value)
{
	for (size_t i = 0; i < n; i++) {
		if (rows[i].kind != kind)
			continue;
		char *at = (char *)record + rows[i].offset;
		if (rows[i].type == ITEM_TEXT) {
			if (value.n > rows[i].max)
				return -1;
			memcpy(at, &value, sizeof value);
			return 1;
		}
		uint64_t number;
		if (!item_number(value, &number))
			return -1;
		memcpy(at, &number, sizeof number);
		return 1;
	}
	return 0;
}
