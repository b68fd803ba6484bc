/* SPDX-License-Identifier: ISC */
/*
 * The writer's side of a segment. The order that durability hangs on:
 *
 *  1. zeros over the whole file, header with the first seal, fsync, its name, fsync of the folder:
 * before any message;
 *  2. frames and messages of a group, then one fdatasync; size and blocks do not change, so it is
 * the data alone;
 *  3. the mark "durable up to here", not synced: it outlives the process, and after a power cut the
 * next frame's says it;
 *  4. only now is anybody told.
 *
 * A failed write or sync is final (RELIABILITY: after a failed fsync the pages are clean and a
 * second one lies): what was written since the last good sync is cut off, and the segment is not
 * written again.
 */
#include "lib/queue/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/queue/head.h"
#include "lib/queue/layout.h"
#include "lib/queue/le.h"

enum { ZEROS = 1 << 20, IOV_GROUP = 1000 };

#define MADE "segment-"
#define UNMADE "making-"

static void
make_name(const char *prefix, uint64_t number, char *name)
{
	snprintf(
	    name, SEGMENT_NAME_SIZE, "%s%08llX", prefix, (unsigned long long)number & 0xffffffff);
}

static uint64_t
number_of(const char *prefix, const char *name)
{
	char again[SEGMENT_NAME_SIZE];

	if (strncmp(name, prefix, strlen(prefix)) != 0)
		return 0;
	uint64_t number = strtoull(name + strlen(prefix), NULL, 16);
	make_name(prefix, number, again);
	return strcmp(name, again) == 0 ? number : 0;
}

void
segment_name(uint64_t number, char *name)
{
	make_name(MADE, number, name);
}

uint64_t
segment_number(const char *name)
{
	return number_of(MADE, name);
}

uint64_t
segment_unmade_number(const char *name)
{
	return number_of(UNMADE, name);
}

uint64_t
segment_space(uint64_t n)
{
	return (SEGMENT_FRAME + n + SEGMENT_ALIGN - 1) / SEGMENT_ALIGN * SEGMENT_ALIGN;
}

bool
segment_fits(const struct segment *sg, uint64_t n)
{
	return !sg->failed && n < sg->size && segment_space(n) <= sg->size - sg->end;
}

static int
lock(int fd)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &whole);
}

static int
zero(int fd, uint64_t size)
{
	char *zeros = xcalloc(1, ZEROS);
	int rc = 0;

	for (uint64_t at = 0; at < size && rc == 0; at += ZEROS)
		rc = pwrite_all(
		    fd, zeros, size - at < ZEROS ? (size_t)(size - at) : ZEROS, (off_t)at);
	free(zeros);
	return rc;
}

static int
header_write(struct segment *sg)
{
	unsigned char header[SEGMENT_START] = {0};

	if (getrandom(&sg->seal, sizeof sg->seal, 0) != sizeof sg->seal)
		return -1;
	memcpy(header, layout_segment_magic, sizeof layout_segment_magic);
	le16_put(header + SEG_AT_VERSION, SEGMENT_VERSION);
	le64_put(header + SEG_AT_NUMBER, sg->number);
	le64_put(header + SEG_AT_SEAL, sg->seal);
	le64_put(header + SEG_AT_SIZE, sg->size);
	le64_put(header + SEG_AT_WHEN, (uint64_t)wall_us());
	le64_put(header + SEG_AT_SUM, head_sum(header, SEG_AT_SUM));
	return pwrite_all(sg->fd, header, sizeof header, 0);
}

int
segment_seal(struct segment *sg, struct why *why)
{
	struct stat st;

	errno = ENODATA; /* of a file that has been cut short */
	if (fstat(sg->fd, &st) == -1 || (uint64_t)st.st_size != sg->size ||
	    header_write(sg) == -1 || fdatasync(sg->fd) == -1) {
		sg->failed = true;
		return why_sys(why, "4.3.0", "seal segment %llu", (unsigned long long)sg->number);
	}
	sg->end = sg->durable = SEGMENT_START;
	sg->failed = false;
	return 0;
}

int
segment_create(struct segment *sg, int dirfd, uint64_t number, uint64_t size, struct why *why)
{
	char name[SEGMENT_NAME_SIZE], unmade[SEGMENT_NAME_SIZE];

	make_name(MADE, number, name);
	make_name(UNMADE, number, unmade);
	*sg = (struct segment){
	    .number = number, .size = size, .end = SEGMENT_START, .durable = SEGMENT_START};
	(void)unlinkat(dirfd, unmade, 0); /* an earlier worker's: the numbers are the slot's own */
	sg->fd = openat(dirfd, unmade, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (sg->fd == -1)
		return why_sys(why, "4.3.0", "create %s", name);
	if (fchmod(sg->fd, 0660) == -1 || lock(sg->fd) == -1 || zero(sg->fd, size) == -1 ||
	    header_write(sg) == -1 || fsync(sg->fd) == -1 ||
	    renameat2(dirfd, unmade, dirfd, name, RENAME_NOREPLACE) == -1 || fsync(dirfd) == -1) {
		why_sys(why, "4.3.0", "prepare %s", name);
		(void)unlinkat(dirfd, unmade, 0);
		fd_close(&sg->fd);
		return -1;
	}
	return 0;
}

int
segment_adopt(struct segment *sg, int dirfd, uint64_t number, struct why *why)
{
	char name[SEGMENT_NAME_SIZE];
	struct stat st;

	segment_name(number, name);
	*sg = (struct segment){.number = number, .failed = true};
	sg->fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (sg->fd == -1)
		return why_sys(why, "4.3.0", "open %s", name);
	if (lock(sg->fd) == -1) {
		fd_close(&sg->fd);
		return errno == EAGAIN || errno == EACCES ? 0
							  : why_sys(why, "4.3.0", "lock %s", name);
	}
	struct segment_info info;
	if (fstat(sg->fd, &st) == -1 || segment_info(sg->fd, &info, why) == -1) {
		fd_close(&sg->fd);
		return why_temp(why, "4.3.0", "%s is damaged", name);
	}
	sg->size = (uint64_t)st.st_size;
	sg->seal = info.seal;
	return 1;
}

void
segment_close(struct segment *sg)
{
	fd_close(&sg->fd);
}

void
segment_frame(const struct segment *sg, uint64_t offset, uint64_t n, unsigned char *frame)
{
	memset(frame, 0, SEGMENT_FRAME);
	le32_put(frame, FRAME_MAGIC);
	le16_put(frame + 4, SEGMENT_VERSION);
	le64_put(frame + FRAME_AT_SEAL, sg->seal);
	le64_put(frame + FRAME_AT_OFFSET, offset);
	le64_put(frame + FRAME_AT_LENGTH, n);
	le64_put(frame + FRAME_AT_DURABLE, sg->durable);
	le64_put(frame + FRAME_AT_SUM, head_sum(frame, FRAME_AT_SUM));
}

/* Best effort: whoever reads the segment from now on shall not find what nobody was promised. */
static int
give_up(struct segment *sg, const char *what, struct why *why)
{
	static const unsigned char nothing[SEGMENT_FRAME];

	why_sys(why, "4.3.0", "%s segment %llu", what, (unsigned long long)sg->number);
	sg->failed = true;
	if (ftruncate(sg->fd, (off_t)sg->durable) == -1 &&
	    pwrite_all(sg->fd, nothing, sizeof nothing, (off_t)sg->durable) == -1)
		why_sys(why, "4.3.0", "%s segment %llu, and cut it back", what,
		    (unsigned long long)sg->number);
	sg->size = 0; /* too short to be sealed anew: readers go by the file's real size */
	return -1;
}

/* Moves on past `done` bytes. */
static void
advance(struct iovec **iov, size_t *n, size_t done)
{
	while (*n > 0 && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

int
segment_write(struct segment *sg, struct iovec *iov, size_t n, uint64_t total, struct why *why)
{
	uint64_t at = sg->end;

	while (n > 0) {
		ssize_t done =
		    pwritev(sg->fd, iov, (int)(n < IOV_GROUP ? n : IOV_GROUP), (off_t)at);
		if (done == -1 && errno == EINTR)
			continue;
		if (done == 0)
			errno = ENOSPC;
		if (done <= 0)
			return give_up(sg, "write", why);
		at += (uint64_t)done;
		advance(&iov, &n, (size_t)done);
	}
	sg->end += total;
	return 0;
}

/* Two places in turn, so that one is whole even when the power goes while the other is written. */
static int
mark_write(const struct segment *sg)
{
	unsigned char mark[MARK_SIZE] = {0};
	off_t at = (sg->durable / SEGMENT_ALIGN) % 2 == 0 ? MARK_A : MARK_B;

	le64_put(mark, sg->seal);
	le64_put(mark + 8, sg->durable);
	le64_put(mark + MARK_AT_SUM, head_sum(mark, MARK_AT_SUM));
	return pwrite_all(sg->fd, mark, sizeof mark, at);
}

int
segment_sync(struct segment *sg, struct why *why)
{
	uint64_t before = sg->durable;

	if (fdatasync(sg->fd) == -1)
		return give_up(sg, "sync", why);
	sg->durable = sg->end;
	if (mark_write(sg) == 0)
		return 0;
	sg->durable = before; /* what is refused is cut off, though the disk has it */
	return give_up(sg, "mark", why);
}
