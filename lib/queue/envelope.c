/* SPDX-License-Identifier: ISC */
/*
 * The envelope as items (item.h): those of the message, its pieces, then for each recipient an item
 * RCPT that begins it and those that belong to it. The numbers in the tables below are on disk:
 * never change one, only add.
 */
#include "lib/queue/envelope.h"

#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/msg/fields.h"
#include "lib/queue/item.h"
#include "lib/queue/le.h"

enum { KIND_PIECE = 30, KIND_RCPT = 64, PIECE_SIZE = 24, ADDED_MAX = 1 << 24 };

#define TEXT(kind, member, max)                                             \
	{                                                                   \
		(kind), ITEM_TEXT, offsetof(struct envelope, member), (max) \
	}
#define NUMBER(kind, member)                                              \
	{                                                                 \
		(kind), ITEM_NUMBER, offsetof(struct envelope, member), 0 \
	}
static const struct item_row message_rows[] = {
    TEXT(1, sender, MSG_ADDRESS_MAX),
    NUMBER(2, flags),
    NUMBER(3, trace),
    TEXT(4, service, 64),
    TEXT(5, client_name, MSG_NAME_MAX),
    TEXT(6, client_addr, 64),
    NUMBER(7, client_port),
    TEXT(8, helo, MSG_NAME_MAX),
    TEXT(9, proto, 16),
    TEXT(10, tls, 1024),
    TEXT(11, login, 256),
    NUMBER(12, uid),
    TEXT(13, origin, 4096),
    TEXT(14, envid, 512),
    NUMBER(15, ret),
    TEXT(16, parent, 1024),
    TEXT(17, hold, MSG_TEXT_MAX),
    NUMBER(18, facts),
    NUMBER(19, header_size),
    NUMBER(20, longest_line),
    NUMBER(21, hops),
    TEXT(22, filter, MSG_NEXTHOP_MAX),
    TEXT(31, added, ADDED_MAX),
};
#undef TEXT
#undef NUMBER

#define TEXT(kind, member, max)                                                  \
	{                                                                        \
		(kind), ITEM_TEXT, offsetof(struct envelope_rcpt, member), (max) \
	}
#define NUMBER(kind, member)                                                   \
	{                                                                      \
		(kind), ITEM_NUMBER, offsetof(struct envelope_rcpt, member), 0 \
	}
static const struct item_row rcpt_rows[] = {
    TEXT(65, original, MSG_ADDRESS_MAX),
    TEXT(66, orcpt, MSG_ADDRESS_MAX),
    NUMBER(67, notify),
    NUMBER(68, class),
    TEXT(69, transport, 64),
    TEXT(70, nexthop, MSG_NEXTHOP_MAX),
    NUMBER(71, generation),
};
#undef TEXT
#undef NUMBER

static void
put_piece(struct buf *out, const struct envelope_piece *piece)
{
	char bytes[PIECE_SIZE];

	le64_put(bytes, piece->offset);
	le64_put(bytes + 8, piece->length);
	le64_put(bytes + 16, piece->added);
	item_put_text(out, KIND_PIECE, str_make(bytes, sizeof bytes));
}

void
envelope_encode(const struct envelope *e, struct buf *out)
{
	item_put_all(out, message_rows, NELEM(message_rows), e);
	for (size_t i = 0; i < e->npieces; i++)
		put_piece(out, &e->pieces[i]);
	for (size_t i = 0; i < e->nrcpts; i++) {
		item_put_text(out, KIND_RCPT, e->rcpts[i].address);
		item_put_all(out, rcpt_rows, NELEM(rcpt_rows), &e->rcpts[i]);
	}
}

/* One pass that only counts, so that the arrays are made once and in size. */
static int
count(struct str bytes, size_t *npieces, size_t *nrcpts)
{
	struct str value;
	uint16_t kind;
	int more;

	*npieces = *nrcpts = 0;
	while ((more = item_next(&bytes, &kind, &value)) == 1) {
		*npieces += kind == KIND_PIECE;
		*nrcpts += kind == KIND_RCPT;
	}
	return more;
}

static int
set_piece(struct envelope_piece *piece, struct str value)
{
	if (value.n != PIECE_SIZE || le64_get(value.p + 16) > 1)
		return -1;
	piece->offset = le64_get(value.p); /* NOLINT(clang-analyzer-core.NullDereference) */
	piece->length = le64_get(value.p + 8);
	piece->added = le64_get(value.p + 16) == 1;
	return 0;
}

static int
set_rcpt(struct envelope_rcpt *rcpt, struct str value)
{
	if (value.n == 0 || value.n > MSG_ADDRESS_MAX)
		return -1;
	rcpt->address = value; /* NOLINT(clang-analyzer-core.NullDereference) */
	return 0;
}

static int
fill(struct envelope *e, struct str bytes)
{
	struct str value;
	uint16_t kind;
	int rc;

	while (item_next(&bytes, &kind, &value) == 1) {
		if (kind == KIND_PIECE)
			rc = set_piece(&e->pieces[e->npieces++], value);
		else if (kind == KIND_RCPT)
			rc = set_rcpt(&e->rcpts[e->nrcpts++], value);
		else if (kind > KIND_RCPT)
			rc = e->nrcpts == 0 ? -1
					    : item_set(rcpt_rows, NELEM(rcpt_rows),
						  &e->rcpts[e->nrcpts - 1], kind, value);
		else
			rc = item_set(message_rows, NELEM(message_rows), e, kind, value);
		if (rc == -1)
			return -1;
	}
	return 0;
}

static bool
pieces_inside(const struct envelope *e, uint64_t content_size)
{
	for (size_t i = 0; i < e->npieces; i++) {
		const struct envelope_piece *piece = &e->pieces[i];
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): as many as were counted */
		uint64_t whole = piece->added ? e->added.n : content_size;
		if (piece->offset > whole || piece->length > whole - piece->offset)
			return false;
	}
	return true;
}

/* Numbers that other programs would refuse in a message. */
static bool
in_range(const struct envelope *e)
{
	if (e->client_port > 65535 || e->ret > RET_HDRS)
		return false;
	for (size_t i = 0; i < e->nrcpts; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): as many as were counted */
		if (e->rcpts[i].notify > 15 || e->rcpts[i].class > 15)
			return false;
	return true;
}

int
envelope_decode(struct envelope *e, struct str bytes, uint64_t content_size, struct why *why)
{
	size_t npieces, nrcpts;

	*e = (struct envelope){0};
	if (count(bytes, &npieces, &nrcpts) == -1)
		return why_perm(why, NULL, "malformed envelope");
	e->pieces = npieces > 0 ? xcalloc(npieces, sizeof *e->pieces) : NULL;
	e->rcpts = nrcpts > 0 ? xcalloc(nrcpts, sizeof *e->rcpts) : NULL;
	if (fill(e, bytes) == -1 || !pieces_inside(e, content_size) || !in_range(e) ||
	    e->nrcpts == 0) {
		envelope_clear(e);
		return why_perm(why, NULL, "malformed envelope");
	}
	return 0;
}

void
envelope_clear(struct envelope *e)
{
	free(e->pieces);
	free(e->rcpts);
	*e = (struct envelope){0};
}

uint64_t
envelope_size(const struct envelope *e, uint64_t content_size)
{
	uint64_t sum = 0;

	if (e->npieces == 0)
		return content_size;
	for (size_t i = 0; i < e->npieces; i++)
		sum += e->pieces[i].length;
	return sum;
}
