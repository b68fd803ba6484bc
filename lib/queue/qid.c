/* SPDX-License-Identifier: ISC */
/*
 * The file `ids`: 64 bytes of head (magic, version, node, checksum), then 64 bytes for each of 256
 * slots (mark, checksum). A writer holds a lock on the bytes of its slot while it lives. A slot
 * whose checksum is wrong (a power cut while it was written) counts as one with the highest mark
 * that any other slot has, plus a block.
 */
#include "lib/queue/qid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/why.h"
#include "lib/queue/head.h"
#include "lib/queue/le.h"

enum { CELL = 64, CELL_SUM = 56, IDS_SIZE = CELL * (1 + QID_SLOTS), IDS_VERSION = 1 };

static const char ids_magic[8] = {'K', 'P', 'I', 'D', 'S', '\0', '\r', '\n'};

static void
cell_seal(unsigned char *cell)
{
	le64_put(cell + CELL_SUM, head_sum(cell, CELL_SUM));
}

static bool
cell_whole(const unsigned char *cell)
{
	return le64_get(cell + CELL_SUM) == head_sum(cell, CELL_SUM);
}

/* Written under another name and linked, so that nobody ever sees half of it; who comes second uses
 * the first's. */
static int
ids_create(int dirfd, struct why *why)
{
	unsigned char bytes[IDS_SIZE] = {0};
	uint16_t node;
	char name[32];

	if (getrandom(&node, sizeof node, 0) != sizeof node)
		return why_sys(why, "4.3.0", "random number");
	memcpy(bytes, ids_magic, sizeof ids_magic);
	le16_put(bytes + 8, IDS_VERSION);
	le16_put(bytes + 10, node);
	for (int i = 0; i <= QID_SLOTS; i++)
		cell_seal(bytes + i * CELL);
	snprintf(name, sizeof name, "ids.%ld", (long)getpid());
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (fd == -1)
		return why_sys(why, "4.3.0", "create %s", name);
	int rc = fchmod(fd, 0660) == 0 && write_all(fd, bytes, sizeof bytes) == 0 && fsync(fd) == 0
		     ? 0
		     : -1;
	if (rc == -1)
		why_sys(why, "4.3.0", "write %s", name);
	if (rc == 0 && linkat(dirfd, name, dirfd, "ids", 0) == -1 && errno != EEXIST)
		rc = why_sys(why, "4.3.0", "link %s", name);
	unlinkat(dirfd, name, 0);
	close(fd);
	return rc == 0 && fsync(dirfd) == -1 ? why_sys(why, "4.3.0", "sync the queue's folder")
					     : rc;
}

static bool
slot_take(int fd, unsigned slot)
{
	struct flock lock = {
	    .l_type = F_WRLCK,
	    .l_whence = SEEK_SET,
	    .l_start = (off_t)(slot + 1) * CELL,
	    .l_len = CELL,
	};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static int64_t
mark_of(const unsigned char *bytes, unsigned slot)
{
	const unsigned char *cell = bytes + (slot + 1) * CELL;
	int64_t highest = 0;

	if (cell_whole(cell))
		return (int64_t)le64_get(cell);
	for (unsigned i = 0; i < QID_SLOTS; i++) {
		const unsigned char *other = bytes + (i + 1) * CELL;
		if (cell_whole(other) && (int64_t)le64_get(other) > highest)
			highest = (int64_t)le64_get(other);
	}
	int64_t now = wall_us();
	return (highest > now ? highest : now) + QID_BLOCK_US;
}

static int
ids_read(struct qid *q, struct why *why)
{
	unsigned char bytes[IDS_SIZE];

	if (pread_all(q->fd, bytes, sizeof bytes, 0) == -1)
		return why_sys(why, "4.3.0", "read ids");
	if (memcmp(bytes, ids_magic, sizeof ids_magic) != 0 || !cell_whole(bytes) ||
	    le16_get(bytes + 8) != IDS_VERSION)
		return why_temp(why, "4.3.0",
		    "the file ids is damaged: remove it to have a new node number made");
	q->node = le16_get(bytes + 10);
	for (q->slot = 0; q->slot < QID_SLOTS; q->slot++) {
		if (!slot_take(q->fd, q->slot))
			continue;
		/* Read again: the one before us may have written since. */
		if (pread_all(q->fd, bytes, sizeof bytes, 0) == -1)
			return why_sys(why, "4.3.0", "read ids");
		q->last = q->mark = mark_of(bytes, q->slot);
		return 0;
	}
	return why_temp(why, "4.3.0", "all %d slots of the file ids are taken", QID_SLOTS);
}

int
qid_open(struct qid *q, int dirfd, struct why *why)
{
	*q = (struct qid){.fd = openat(dirfd, "ids", O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
	if (q->fd == -1 && errno == ENOENT) {
		if (ids_create(dirfd, why) == -1)
			return -1;
		q->fd = openat(dirfd, "ids", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	}
	if (q->fd == -1)
		return why_sys(why, "4.3.0", "open ids");
	if (ids_read(q, why) == -1) {
		fd_close(&q->fd);
		return -1;
	}
	return 0;
}

static int
mark_write(const struct qid *q, int64_t mark)
{
	unsigned char cell[CELL] = {0};

	le64_put(cell, (uint64_t)mark);
	cell_seal(cell);
	return pwrite_all(q->fd, cell, sizeof cell, (off_t)(q->slot + 1) * CELL);
}

void
qid_close(struct qid *q)
{
	/* Not synced: at worst the mark that stands there is a block ahead. */
	if (q->fd >= 0 && q->last < q->mark)
		(void)mark_write(q, q->last);
	fd_close(&q->fd);
}

int
qid_reserve(struct qid *q, struct why *why)
{
	int64_t now = wall_us();
	int64_t last = __atomic_load_n(&q->last, __ATOMIC_RELAXED);
	int64_t mark = (now > last ? now : last) + QID_BLOCK_US;

	if (mark_write(q, mark) == -1 || fdatasync(q->fd) == -1)
		return why_sys(why, "4.3.0", "write ids");
	__atomic_store_n(&q->mark, mark, __ATOMIC_RELEASE);
	return 0;
}

bool
qid_wants_reserve(const struct qid *q)
{
	return q->last + QID_BLOCK_US / 2 > __atomic_load_n(&q->mark, __ATOMIC_ACQUIRE);
}

int
qid_next(struct qid *q, char *out, struct why *why)
{
	int64_t now = wall_us();
	int64_t time = now > q->last ? now : q->last + 1;

	if (time > __atomic_load_n(&q->mark, __ATOMIC_ACQUIRE) && qid_reserve(q, why) == -1)
		return -1;
	__atomic_store_n(&q->last, time, __ATOMIC_RELAXED);
	snprintf(out, QID_SIZE, "%013llX%04X%02X", (unsigned long long)time & 0xfffffffffffff,
	    q->node, q->slot & 0xff);
	return 0;
}

bool
qid_valid(struct str s)
{
	if (s.n != QID_LEN)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'A' && s.p[i] <= 'F')))
			return false;
	return true;
}

int64_t
qid_time(struct str s)
{
	int64_t time = 0;

	for (size_t i = 0; i < 13 && i < s.n; i++)
		time = time * 16 + (s.p[i] <= '9' ? s.p[i] - '0' : s.p[i] - 'A' + 10);
	return time;
}
