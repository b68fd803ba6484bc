/* SPDX-License-Identifier: ISC */
/*
 * An entry on disk: magic (32 bits), kind (16), zero (16), length of its items (32), zero (32),
 * checksum (64); then the items, filled up with zeros to a multiple of 8. The checksum is of the
 * items, seeded with that of the first 16 bytes, the file's key and the entry's offset.
 */
#include "lib/queue/entry.h"

#include <string.h>
#include <xxhash.h>

#include "lib/base/buf.h"
#include "lib/base/panic.h"
#include "lib/msg/fields.h"
#include "lib/queue/item.h"
#include "lib/queue/le.h"

enum { MAGIC = 0x6e65504b /* "KPen" */, SUM_AT = 16, SUM_PREFIX = 32 };

#define TEXT(kind, member, max)                                          \
	{                                                                \
		(kind), ITEM_TEXT, offsetof(struct entry, member), (max) \
	}
#define NUMBER(kind, member)                                           \
	{                                                              \
		(kind), ITEM_NUMBER, offsetof(struct entry, member), 0 \
	}
static const struct item_row rows[] = {
    TEXT(1, id, MSG_ID_MAX),
    NUMBER(2, segment),
    NUMBER(3, seal),
    NUMBER(4, offset),
    NUMBER(5, when),
    NUMBER(6, index),
    NUMBER(7, status),
    NUMBER(8, smtp),
    TEXT(9, code, MSG_CODE_MAX),
    TEXT(10, text, ENTRY_MAX / 2),
    TEXT(11, relay, 512),
    TEXT(12, mta, MSG_NAME_MAX),
    TEXT(13, child, MSG_ID_MAX),
    NUMBER(14, next),
    NUMBER(15, attempts),
    NUMBER(16, expire),
};
#undef TEXT
#undef NUMBER

static uint64_t
sum_of(const char *head, uint64_t key, uint64_t offset, const char *items, size_t n)
{
	char prefix[SUM_PREFIX];

	memcpy(prefix, head, SUM_AT);
	le64_put(prefix + 16, key);
	le64_put(prefix + 24, offset);
	return XXH3_64bits_withSeed(items, n, XXH3_64bits(prefix, sizeof prefix));
}

static size_t
padded(size_t n)
{
	return (n + ENTRY_ALIGN - 1) / ENTRY_ALIGN * ENTRY_ALIGN;
}

void
entry_encode(const struct entry *e, uint64_t key, uint64_t offset, struct buf *out)
{
	static const char zeros[ENTRY_HEAD];
	size_t start = out->n;

	if (buf_add(out, zeros, ENTRY_HEAD) == -1)
		panic("entry: no room");
	item_put_all(out, rows, NELEM(rows), e);
	size_t n = out->n - start - ENTRY_HEAD;
	if (buf_add(out, zeros, padded(n) - n) == -1)
		panic("entry: no room");
	char *head = out->p + start;
	le32_put(head, MAGIC);
	le16_put(head + 4, (uint16_t)e->kind);
	le32_put(head + 8, (uint32_t)n);
	le64_put(head + SUM_AT, sum_of(head, key, offset, head + ENTRY_HEAD, n));
}

static int
fill(struct entry *e, struct str items)
{
	struct str value;
	uint16_t kind;
	int more;

	while ((more = item_next(&items, &kind, &value)) == 1)
		if (item_set(rows, NELEM(rows), e, kind, value) == -1)
			return -1;
	return more;
}

int
entry_decode(struct str bytes, uint64_t key, uint64_t base, size_t *at, struct entry *e)
{
	struct str rest = str_from_at(bytes, *at);

	if (rest.n == 0)
		return 0;
	if (rest.n < ENTRY_HEAD || le32_get(rest.p) != MAGIC)
		return -1;
	size_t n = le32_get(rest.p + 8);
	if (n > ENTRY_MAX || padded(n) > rest.n - ENTRY_HEAD)
		return -1;
	if (le64_get(rest.p + SUM_AT) != sum_of(rest.p, key, base + *at, rest.p + ENTRY_HEAD, n))
		return -1;
	*e = (struct entry){.kind = (enum entry_kind)le16_get(rest.p + 4)};
	if (fill(e, str_sub(rest, ENTRY_HEAD, n)) == -1)
		return -1;
	*at += ENTRY_HEAD + padded(n);
	return 1;
}

bool
entry_follows(struct str bytes, uint64_t key, uint64_t base, size_t at)
{
	struct entry e;

	for (at += ENTRY_ALIGN; at + ENTRY_HEAD <= bytes.n; at += ENTRY_ALIGN) {
		size_t try = at;
		if (le32_get(bytes.p + at) == MAGIC &&
		    entry_decode(bytes, key, base, &try, &e) == 1)
			return true;
	}
	return false;
}
