/* SPDX-License-Identifier: ISC */
/*
 * What is known of a message: its envelope, and what its entries say has become of each recipient.
 * The same replay serves qmgr, fsck, the rebuilding of the index and `queue cat`.
 */
#ifndef KP_QUEUE_STATE_H
#define KP_QUEUE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/queue/entry.h"
#include "lib/queue/envelope.h"
#include "lib/queue/head.h"

struct buf;
struct summary;
struct why;

/* One recipient; texts are owned, NULL for none. */
struct state_rcpt {
	uint64_t status; /* enum delivery_status of the last attempt */
	uint64_t smtp, when;
	unsigned notices; /* bits 1 << enum dsn_action: what the sender has been told */
	char code[12];
	char *text, *relay, *mta;
};

struct state_child {
	char *parent; /* "ID index leaf" */
	char id[HEAD_ID_MAX];
};

struct state {
	struct head head;
	struct envelope env;
	char *bytes; /* owned: the envelope's, which `env` borrows from */
	struct state_rcpt *rcpts;
	struct state_child *children;
	size_t nchildren;
	uint64_t next, attempts;
	bool expire; /* an operator wants it returned at its next attempt */
	bool done;
	char *held; /* why it is on hold; NULL where unknown */
};

/* Takes copies. -1: the envelope is malformed. */
int state_init(
    struct state *st, const struct head *head, struct str envelope, struct why *why) KP_MUST_USE;
void state_clear(struct state *st);

/* What an entry says; entries of a recipient that there is not are passed over. */
void state_apply(struct state *st, const struct entry *e);

/* All entries that stand in `bytes`, as qfile_read() left them. */
void state_apply_all(struct state *st, struct str bytes, uint64_t key, uint64_t base);

/*
 * All that was applied, as entries again: for a message that gets a file of its own, in which they
 * will stand from offset `at` on.
 */
void state_encode(const struct state *st, uint64_t key, uint64_t at, struct buf *out);

/* The RESULT entry of recipient `index`; texts are borrowed. */
struct entry state_result(const struct state *st, size_t index);

/* Whether nothing is left to try for the recipient: it has a final result. */
bool state_rcpt_final(const struct state_rcpt *rcpt);

/* The child that was committed under this parent key, or NULL. */
const struct state_child *state_child(const struct state *st, struct str parent);

/* Bytes that a delivery sends. */
uint64_t state_size(const struct state *st);

/* The index's row for it; `folder` is "cur" or "hold". Text is borrowed from `st`; summary_clear()
 * frees the rows. */
void state_summary(const struct state *st, const char *folder, struct summary *sum);

#endif
