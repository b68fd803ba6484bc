/* SPDX-License-Identifier: ISC */
/*
 * A journal segment: a file of zeros made in advance, in which one cleanup worker writes whole
 *messages one behind the other, and which is used again under a new seal (a random number) when all
 *in it is done or moved.
 *
 *	0	header: magic, number, seal, size	4096	frame | head | content | envelope |
 *zeros to 64 512	mark A: durable up to			...	frame | ... 1024	mark
 *B
 *
 * A frame carries seal, its own offset, and how far the segment was durable when it was written; so
 *a torn tail (which never had a 250) is told from damage to what was promised.
 */
#ifndef KP_QUEUE_SEGMENT_H
#define KP_QUEUE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct why;

enum {
	SEGMENT_START = 4096, /* offset of the first frame */
	SEGMENT_ALIGN = 64,
	SEGMENT_FRAME = 64,
	SEGMENT_NAME_SIZE = 24,
	SEGMENT_MIN = 64 * 1024,
};

struct segment {
	int fd; /* locked by its writer as long as it lives */
	uint64_t number, seal;
	uint64_t size;    /* of the file */
	uint64_t end;     /* where the next frame goes */
	uint64_t durable; /* all before this has been synced */
	bool failed;      /* a write or sync failed: never written again */
};

/* "segment-00000001" */
void segment_name(uint64_t number, char *name);
/* The number in a name, 0 where it is no segment's. */
uint64_t segment_number(const char *name);
/* The same for one that is being made, or that its maker left when it died. */
uint64_t segment_unmade_number(const char *name);

/* --- the writer: cleanup --- */

/*
 * Makes a segment of `size` bytes, zeroed, sealed and synced, and locks it. Only then it gets its
 * name, so that nobody finds it half made; until then it is "making-00000001".
 */
int segment_create(
    struct segment *sg, int dirfd, uint64_t number, uint64_t size, struct why *why) KP_MUST_USE;

/* Opens and locks one that is there already, to be sealed anew when qmgr says that it is free. 0
 * where another process holds it, 1 done. */
int segment_adopt(struct segment *sg, int dirfd, uint64_t number, struct why *why) KP_MUST_USE;

/* Makes it empty under a new seal, synced. Nothing of the old content is valid from now on. */
int segment_seal(struct segment *sg, struct why *why) KP_MUST_USE;
void segment_close(struct segment *sg);

/* Bytes that a message of `n` bytes takes. */
uint64_t segment_space(uint64_t n);
bool segment_fits(const struct segment *sg, uint64_t n);

/* Fills the frame (of SEGMENT_FRAME bytes) for a message of `n` bytes that will stand at `offset`.
 */
void segment_frame(const struct segment *sg, uint64_t offset, uint64_t n, unsigned char *frame);

/*
 * Writes `total` bytes, frames and all, at the end; the vector is used up. segment_sync() then
 * makes durable all that has been written and leaves the mark that says so. -1: what has been
 * written since the last sync is void, the segment is `failed`, and nothing of it may be tried
 * again.
 */
int segment_write(
    struct segment *sg, struct iovec *iov, size_t n, uint64_t total, struct why *why) KP_MUST_USE;
int segment_sync(struct segment *sg, struct why *why) KP_MUST_USE;

/* --- the reader: qmgr, fsck --- */

struct segment_info {
	uint64_t number, seal, size, durable;
	bool live; /* its writer holds it */
};

/* Header and marks of an open segment. -1: WHY_PERM: damaged; WHY_TEMP: could not be read. */
int segment_info(int fd, struct segment_info *info, struct why *why) KP_MUST_USE;

/* What segment_walk() finds. `bytes` is valid during the call. */
struct segment_found {
	uint64_t offset; /* of the frame */
	uint64_t length; /* of frame, message and padding */
	struct str message;
};

struct segment_visitor {
	void (*on_message)(void *arg, const struct segment_found *found);
	/* Something that was promised and cannot be read. */
	void (*on_damage)(void *arg, uint64_t offset, struct str bytes, const char *reason);
	void *arg;
};

/*
 * Visits all messages from `from` on (SEGMENT_START at least). In a live segment only what is
 * durable is looked at.
 * `*end`: where the walk ended. -1: the segment itself cannot be read.
 */
int segment_walk(int fd, const struct segment_info *info, uint64_t from,
    const struct segment_visitor *visitor, uint64_t *end, struct why *why) KP_MUST_USE;

/* Checks one frame that stands in memory at `offset` of its segment; the message in it has `*n`
 * bytes. */
bool segment_check(const unsigned char *frame, uint64_t seal, uint64_t offset, uint64_t size,
    uint64_t *n, uint64_t *durable);

#endif
