/* SPDX-License-Identifier: ISC */
/*
 * Entries: what happened to a message since it was written. They are only ever appended: to the
 * message's file, or, for mail that still stands in a segment, to qmgr's result journal
 * (results.h), where they also name the message.
 */
#ifndef KP_QUEUE_ENTRY_H
#define KP_QUEUE_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

/* On disk: never change a number, only add. A reader passes over kinds that it does not know. */
enum entry_kind {
	ENTRY_RESULT = 1, /* of recipient `index`: status, smtp, code, text, relay, mta */
	ENTRY_NOTIFIED =
	    2, /* the sender has been told of recipient `index` (`status`: which enum dsn_action) */
	ENTRY_CHILD =
	    3, /* `text` is the parent key, `child` the id of the message committed under it */
	ENTRY_SCHEDULE = 4, /* `next`, `attempts`, `expire`, `text` (why it is held) */
	ENTRY_RCPT = 5,     /* recipient added: `text` is an envelope of one recipient */
	ENTRY_EDIT = 6,     /* piece table replaced: `text` is an envelope with pieces */
	ENTRY_DONE = 7,     /* nothing is left to do */
	ENTRY_MOVED = 8,    /* result journal alone: the message is a file now */
};

struct entry {
	enum entry_kind kind;
	struct str id; /* these four in the result journal alone */
	uint64_t segment, seal, offset;
	uint64_t when; /* microseconds since 1970 */
	uint64_t index, status, smtp;
	struct str code, text, relay, mta, child;
	uint64_t next, attempts, expire;
};

enum { ENTRY_HEAD = 24, ENTRY_ALIGN = 8, ENTRY_MAX = 1 << 25 };

/*
 * Appends the entry as it stands at `offset` of a file; `key` binds it to that file, so that bytes
 * of another one are not taken for ours.
 */
void entry_encode(const struct entry *e, uint64_t key, uint64_t offset, struct buf *out);

/*
 * Reads the entry at bytes.p + *at, which is `base` + *at in its file. 1: read, *at is behind it;
 * 0: the end; -1: what stands there is no entry (torn or damaged). Text is borrowed.
 */
int entry_decode(
    struct str bytes, uint64_t key, uint64_t base, size_t *at, struct entry *e) KP_MUST_USE;

/* Whether a valid entry stands anywhere behind `at`: what is at `at` was damaged then, and not
 * torn. */
bool entry_follows(struct str bytes, uint64_t key, uint64_t base, size_t at);

#endif
