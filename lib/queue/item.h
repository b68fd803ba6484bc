/* SPDX-License-Identifier: ISC */
/*
 * Items: how envelopes, entries and the index's summaries are written. An item is a kind (16 bits),
 * 16 bits of zero, a length (32 bits) and that many bytes: text, or a number of 8 bytes. A table
 * says which member of a struct an item is; empty text and 0 are not written, and a kind that a
 * reader does not know is passed over, so that both older and newer versions read what stands
 * there.
 */
#ifndef KP_QUEUE_ITEM_H
#define KP_QUEUE_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

struct buf;

enum { ITEM_HEAD = 8 };

enum item_type { ITEM_NUMBER, ITEM_TEXT };

struct item_row {
	uint16_t kind;
	enum item_type type;
	size_t offset; /* of a uint64_t or a struct str */
	uint32_t max;  /* TEXT: longest */
};

/* Appends one item. `b` has no maximum that this can reach: running over it is our own bug. */
void item_put_text(struct buf *b, uint16_t kind, struct str text);
void item_put_number(struct buf *b, uint16_t kind, uint64_t value);

/* Appends the members of `record` that are not empty. */
void item_put_all(struct buf *b, const struct item_row *rows, size_t n, const void *record);

/* Cuts the next item off the front of `*rest`: 1; 0 at the end; -1 malformed. */
int item_next(struct str *rest, uint16_t *kind, struct str *value);

/* The value of a number item; false where it is none. */
bool item_number(struct str value, uint64_t *number);

/* Sets the member that `kind` stands for: 1; 0 where no row has it; -1 malformed. Text is borrowed
 * from `value`. */
int item_set(const struct item_row *rows, size_t n, void *record, uint16_t kind, struct str value);

#endif
