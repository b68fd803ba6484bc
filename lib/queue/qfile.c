/* SPDX-License-Identifier: ISC */
/*
 * One file a message. The order that durability hangs on:
 *
 *  1. O_EXCL under the final name, lock, head OPEN: from here on a file without a lock and with an
 * OPEN head is rubbish;
 *  2. content, envelope, head COMMITTED; 3. fsync of the file; 4. fsync of the folder; 5. only then
 * a 250.
 *
 * A kill between 2 and 5 leaves a whole message that nobody was promised; it is delivered.
 */
#include "lib/queue/qfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/queue/entry.h"

enum { READ_PART = 256 * 1024, CREATE_TRIES = 100 };

static int
head_write(const struct qfile *qf)
{
	unsigned char bytes[HEAD_SIZE];

	head_encode(&qf->head, bytes);
	return pwrite_all(qf->fd, bytes, sizeof bytes, 0);
}

static XXH3_state_t *
hash_new(void)
{
	XXH3_state_t *hash = XXH3_createState();

	if (hash == NULL)
		fatal("out of memory");
	XXH3_64bits_reset(hash);
	return hash;
}

bool
qfile_claim(int fd)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

/*
 * Between the name and the lock qmgr may take the file for what a dead writer left. It does so with
 * the lock in its own hand, so one of the two sees the other: then the file is made once more.
 */
static int
create_locked(int dirfd, const char *id)
{
	struct stat st;

	for (int tries = 0; tries < CREATE_TRIES; tries++) {
		int fd =
		    openat(dirfd, id, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);
		if (fd == -1 && errno == EEXIST && tries > 0)
			continue;
		if (fd == -1)
			return -1;
		if (qfile_claim(fd) && fstat(fd, &st) == 0 && st.st_nlink > 0)
			return fd;
		close(fd);
	}
	errno = EAGAIN;
	return -1;
}

int
qfile_create(struct qfile *qf, int dirfd, const char *id, uint64_t arrived, struct why *why)
{
	*qf = (struct qfile){
	    .dirfd = dirfd, .head = {.state = HEAD_OPEN, .arrived = arrived}
        };
	snprintf(qf->head.id, sizeof qf->head.id, "%s", id);
	qf->fd = create_locked(dirfd, id);
	if (qf->fd == -1)
		return why_sys(why, "4.3.0", "create queue file");
	qf->hash = hash_new();
	if (fchmod(qf->fd, 0660) == -1 || head_write(qf) == -1) {
		why_sys(why, "4.3.0", "write queue file");
		qfile_abort(qf);
		return -1;
	}
	return 0;
}

int
qfile_write(struct qfile *qf, struct str bytes, struct why *why)
{
	if (pwrite_all(qf->fd, bytes.p, bytes.n, (off_t)(HEAD_SIZE + qf->head.content_size)) == -1)
		return why_sys(why, errno == ENOSPC ? "4.3.1" : "4.3.0", "write queue file");
	XXH3_64bits_update(qf->hash, bytes.p, bytes.n);
	qf->head.content_size += bytes.n;
	return 0;
}

int
qfile_finish(struct qfile *qf, struct str envelope, struct why *why)
{
	qf->head.content_sum = XXH3_64bits_digest(qf->hash);
	qf->head.envelope_size = envelope.n;
	qf->head.envelope_sum = head_sum(envelope.p, envelope.n);
	qf->head.state = HEAD_COMMITTED;
	if (pwrite_all(
		qf->fd, envelope.p, envelope.n, (off_t)(HEAD_SIZE + qf->head.content_size)) == -1 ||
	    head_write(qf) == -1)
		return why_sys(why, errno == ENOSPC ? "4.3.1" : "4.3.0", "write queue file");
	return 0;
}

int
qfile_sync(struct qfile *qf, struct why *why)
{
	return fsync(qf->fd) == -1 ? why_sys(why, "4.3.0", "sync queue file") : 0;
}

void
qfile_abort(struct qfile *qf)
{
	/* The name goes first: a file without a name cannot be found by anybody. */
	if (qf->fd >= 0)
		(void)unlinkat(qf->dirfd, qf->head.id, 0);
	qfile_close(qf);
}

void
qfile_close(struct qfile *qf)
{
	fd_close(&qf->fd);
	XXH3_freeState(qf->hash);
	qf->hash = NULL;
}

uint64_t
qfile_key(const struct head *h)
{
	return h->content_sum ^ h->envelope_sum ^ h->arrived;
}

uint64_t
qfile_entries_at(const struct head *h)
{
	return (head_total(h) + ENTRY_ALIGN - 1) / ENTRY_ALIGN * ENTRY_ALIGN;
}

static int
content_verify(int fd, const struct head *h, struct why *why)
{
	XXH3_state_t *hash = hash_new();
	char *part = xmalloc(READ_PART);
	int rc = 0;

	for (uint64_t at = 0; at < h->content_size && rc == 0;) {
		size_t n =
		    h->content_size - at < READ_PART ? (size_t)(h->content_size - at) : READ_PART;
		if (pread_all(fd, part, n, (off_t)(HEAD_SIZE + at)) == -1)
			rc = why_sys(why, "4.3.0", "read the content");
		XXH3_64bits_update(hash, part, n);
		at += n;
	}
	if (rc == 0 && XXH3_64bits_digest(hash) != h->content_sum)
		rc = why_perm(why, NULL, "the content's checksum is wrong");
	free(part);
	XXH3_freeState(hash);
	return rc;
}

/* Finds the end of the valid entries; -1 where one in the middle is damaged. */
static int
entries_check(struct qfile_read *r, struct str bytes, struct why *why)
{
	struct entry e;
	size_t at = 0;
	int rc;

	while ((rc = entry_decode(bytes, qfile_key(&r->head), r->entries_at, &at, &e)) == 1)
		continue;
	if (rc == -1 && entry_follows(bytes, qfile_key(&r->head), r->entries_at, at))
		return why_perm(why, NULL, "the entry at %llu is damaged",
		    (unsigned long long)(r->entries_at + at));
	r->entries = str_sub(bytes, 0, at);
	r->entries_end = r->entries_at + at;
	return 0;
}

static int
tail_read(int fd, struct qfile_read *r, uint64_t size, struct why *why)
{
	uint64_t from = HEAD_SIZE + r->head.content_size;
	size_t n = (size_t)(size - from), envelope = (size_t)r->head.envelope_size;

	r->bytes = xmalloc(n + 1);
	if (pread_all(fd, r->bytes, n, (off_t)from) == -1)
		return why_sys(why, "4.3.0", "read the envelope");
	r->envelope = str_make(r->bytes, envelope);
	if (head_sum(r->bytes, envelope) != r->head.envelope_sum)
		return why_perm(why, NULL, "the envelope's checksum is wrong");
	r->entries_at = qfile_entries_at(&r->head);
	size_t skip = (size_t)(r->entries_at - from);
	return entries_check(r, skip < n ? str_make(r->bytes + skip, n - skip) : STR_EMPTY, why);
}

enum qfile_state
qfile_read(int fd, struct qfile_read *r, bool verify, struct why *why)
{
	unsigned char bytes[HEAD_SIZE];
	struct stat st;

	*r = (struct qfile_read){0};
	if (fstat(fd, &st) == -1)
		return (enum qfile_state)why_sys(why, "4.3.0", "read queue file");
	if (st.st_size < HEAD_SIZE)
		return st.st_size == 0
			   ? QFILE_OPEN
			   : (enum qfile_state)why_perm(why, NULL, "shorter than a head");
	if (pread_all(fd, bytes, sizeof bytes, 0) == -1)
		return (enum qfile_state)why_sys(why, "4.3.0", "read queue file");
	if (head_decode(bytes, &r->head, why) == -1)
		return QFILE_DAMAGED;
	if (r->head.state == HEAD_OPEN)
		return QFILE_OPEN;
	if (head_total(&r->head) > (uint64_t)st.st_size)
		return (enum qfile_state)why_perm(why, NULL, "cut short");
	if ((verify && content_verify(fd, &r->head, why) == -1) ||
	    tail_read(fd, r, (uint64_t)st.st_size, why) == -1) {
		qfile_read_clear(r);
		return QFILE_DAMAGED;
	}
	return QFILE_WHOLE;
}

void
qfile_read_clear(struct qfile_read *r)
{
	free(r->bytes);
	*r = (struct qfile_read){0};
}

int
qfile_store(int dirfd, const char *name, struct str message, struct str entries, struct why *why)
{
	static const char zeros[ENTRY_ALIGN];
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd == -1)
		return why_sys(why, "4.3.0", "create queue file %s", name);
	size_t pad = (ENTRY_ALIGN - message.n % ENTRY_ALIGN) % ENTRY_ALIGN;
	int rc = write_all(fd, message.p, message.n);
	if (rc == 0)
		rc = write_all(fd, zeros, pad);
	if (rc == 0)
		rc = write_all(fd, entries.p, entries.n);
	if (rc == 0)
		rc = fsync(fd);
	if (rc == -1)
		why_sys(why, "4.3.0", "write queue file %s", name);
	close(fd);
	if (rc == -1)
		(void)unlinkat(dirfd, name, 0);
	return rc;
}
