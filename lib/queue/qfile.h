/* SPDX-License-Identifier: ISC */
/*
 * A message in a file of its own: head, content, envelope, then entries. Written by cleanup when it
 * is too large for the journal, or by qmgr when it leaves the journal; the file's name is the queue
 * id.
 */
#ifndef KP_QUEUE_QFILE_H
#define KP_QUEUE_QFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/queue/head.h"

struct buf;
struct why;

/* --- the writer of a new one: cleanup --- */

struct qfile {
	int fd, dirfd; /* dirfd is borrowed */
	void *hash;    /* of the content so far */
	struct head head;
};

/* Makes the file `id` (which must not be there), locks it and writes an OPEN head. */
int qfile_create(
    struct qfile *qf, int dirfd, const char *id, uint64_t arrived, struct why *why) KP_MUST_USE;

/* Appends content. After a failure only qfile_abort() may follow. */
int qfile_write(struct qfile *qf, struct str bytes, struct why *why) KP_MUST_USE;

/* Writes the envelope and the COMMITTED head. Durable only after qfile_sync() and a sync of the
 * folder. */
int qfile_finish(struct qfile *qf, struct str envelope, struct why *why) KP_MUST_USE;
int qfile_sync(struct qfile *qf, struct why *why) KP_MUST_USE;

/* Removes the file, and the name with it. */
void qfile_abort(struct qfile *qf);

/* Gives up lock and descriptor, and keeps the file. */
void qfile_close(struct qfile *qf);

/* --- readers, and who appends: qmgr, fsck --- */

struct qfile_read {
	struct head head;
	char *bytes; /* owned: envelope and entries */
	struct str envelope, entries;
	uint64_t entries_at;  /* in the file */
	uint64_t entries_end; /* where the next entry goes: behind the last valid one */
};

enum qfile_state {
	QFILE_DAMAGED = -1,
	QFILE_OPEN, /* its writer has not finished; see qfile_claim() */
	QFILE_WHOLE,
};

/*
 * Reads all but the content, and checks it; with `verify` the content's checksum, too. The file's
 * key for entries is qfile_key(). A torn entry at the end is left out. QFILE_DAMAGED fills `why`;
 * WHY_TEMP: could not be read just now.
 */
enum qfile_state qfile_read(int fd, struct qfile_read *r, bool verify, struct why *why) KP_MUST_USE;
void qfile_read_clear(struct qfile_read *r);
/* Takes the lock that a writer holds on its file, until `fd` is closed: whoever has it may remove
 * what was never committed. false: the writer lives. */
bool qfile_claim(int fd);
uint64_t qfile_key(const struct head *h);

/* Where entries begin for a head: behind the envelope, aligned. */
uint64_t qfile_entries_at(const struct head *h);

/* Writes a message from the journal (`message`: head, content, envelope) and encoded entries as a
 * new file, and syncs it. */
int qfile_store(int dirfd, const char *name, struct str message, struct str entries,
    struct why *why) KP_MUST_USE;

#endif
