/* SPDX-License-Identifier: ISC */
/*
 * The reader's side of a segment: what a successor finds after a crash, and what qmgr looks at when
 * it was not told.
 *
 * At a place where no valid frame stands there are three cases. (1) Nothing that was promised is
 * behind it: the end, or a torn tail; the walk ends. (2) The marks, or the frame of a later
 * message, say that it was durable: damage; it is reported, and the walk goes on at the next valid
 * frame. (3) A valid frame follows which says nothing of the place: a group that the power cut took
 * in parts; the valid ones are taken, they may as well be. The seal is a random number, so content
 * that looks like a frame is never taken for one.
 */
#include "lib/queue/segment.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/queue/head.h"
#include "lib/queue/layout.h"
#include "lib/queue/le.h"

static bool
held_by_writer(int fd)
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

static uint64_t
mark_read(const unsigned char *mark, uint64_t seal)
{
	if (le64_get(mark + MARK_AT_SUM) != head_sum(mark, MARK_AT_SUM) || le64_get(mark) != seal)
		return 0;
	return le64_get(mark + 8);
}

/*
 * A header that is damaged does not take the messages with it: only a writer's frame ever stands at
 * SEGMENT_START, so that one's seal may be believed.
 */
static int
seal_of_first(int fd, uint64_t size, uint64_t *seal)
{
	unsigned char frame[SEGMENT_FRAME];
	uint64_t n, durable;

	if (size < SEGMENT_START + SEGMENT_FRAME)
		return 0;
	if (pread_all(fd, frame, sizeof frame, SEGMENT_START) == -1)
		return -1;
	*seal = le64_get(frame + FRAME_AT_SEAL);
	return segment_check(frame, *seal, SEGMENT_START, size, &n, &durable);
}

int
segment_info(int fd, struct segment_info *info, struct why *why)
{
	unsigned char header[SEGMENT_START] = {0};
	struct stat st;

	*info = (struct segment_info){0};
	if (fstat(fd, &st) == -1)
		return why_sys(why, "4.3.0", "read a segment");
	info->size = (uint64_t)st.st_size;
	info->live = held_by_writer(fd);
	/* A file cut short within its header is damage like any other. */
	size_t there = info->size < sizeof header ? (size_t)info->size : sizeof header;
	if (pread_all(fd, header, there, 0) == -1)
		return why_sys(why, "4.3.0", "read a segment");
	if (memcmp(header, layout_segment_magic, sizeof layout_segment_magic) == 0 &&
	    le64_get(header + SEG_AT_SUM) == head_sum(header, SEG_AT_SUM)) {
		info->number = le64_get(header + SEG_AT_NUMBER);
		info->seal = le64_get(header + SEG_AT_SEAL);
	} else {
		int rc = seal_of_first(fd, info->size, &info->seal);
		if (rc == -1)
			return why_sys(why, "4.3.0", "read a segment");
		if (rc == 0)
			return why_perm(why, NULL, "the segment's header is damaged");
	}
	uint64_t a = mark_read(header + MARK_A, info->seal),
		 b = mark_read(header + MARK_B, info->seal);
	info->durable = a > b ? a : b;
	if (info->durable < SEGMENT_START)
		info->durable = SEGMENT_START;
	return 0;
}

bool
segment_check(const unsigned char *frame, uint64_t seal, uint64_t offset, uint64_t size,
    uint64_t *n, uint64_t *durable)
{
	if (le32_get(frame) != FRAME_MAGIC || le64_get(frame + FRAME_AT_SEAL) != seal ||
	    le64_get(frame + FRAME_AT_OFFSET) != offset ||
	    le64_get(frame + FRAME_AT_SUM) != head_sum(frame, FRAME_AT_SUM))
		return false;
	*n = le64_get(frame + FRAME_AT_LENGTH);
	*durable = le64_get(frame + FRAME_AT_DURABLE);
	return offset < size && *n < size && segment_space(*n) <= size - offset;
}

struct walk {
	const unsigned char *bytes; /* the part of the segment from `base` on */
	uint64_t base, limit, size;
	uint64_t seal, durable;
};

static bool
frame_at(const struct walk *w, uint64_t at, uint64_t *n, uint64_t *durable)
{
	return at + SEGMENT_FRAME <= w->limit &&
	       segment_check(w->bytes + (at - w->base), w->seal, at, w->limit, n, durable);
}

/* The next place behind `at` with a valid frame, or `limit`. */
static uint64_t
next_frame(const struct walk *w, uint64_t at)
{
	uint64_t n, durable;

	for (at += SEGMENT_ALIGN; at + SEGMENT_FRAME <= w->limit; at += SEGMENT_ALIGN)
		if (frame_at(w, at, &n, &durable))
			return at;
	return w->limit;
}

/* What was promised, by the marks and by every frame that is there. */
static void
learn_durable(struct walk *w, uint64_t from)
{
	uint64_t n, durable;

	for (uint64_t at = from; at < w->limit;) {
		if (!frame_at(w, at, &n, &durable)) {
			at = next_frame(w, at);
			continue;
		}
		if (durable > w->durable)
			w->durable = durable;
		at += segment_space(n);
	}
}

static void
visit(const struct walk *w, uint64_t at, uint64_t n, const struct segment_visitor *visitor)
{
	struct head head;
	struct str content, envelope;
	struct why why;
	const char *from = (const char *)w->bytes + (at - w->base);
	struct segment_found found = {
	    .offset = at,
	    .length = segment_space(n),
	    .message = str_make(from + SEGMENT_FRAME, (size_t)n),
	};

	if (head_message(found.message, &head, &content, &envelope, &why) == 0)
		visitor->on_message(visitor->arg, &found);
	else if (at < w->durable)
		visitor->on_damage(
		    visitor->arg, at, str_make(from, (size_t)found.length), why.text);
	/* Else a message of which the power cut took a part: never promised. */
}

static uint64_t
walk(struct walk *w, uint64_t from, const struct segment_visitor *visitor)
{
	uint64_t at = from, n, durable;

	learn_durable(w, from);
	while (at < w->limit) {
		if (frame_at(w, at, &n, &durable)) {
			visit(w, at, n, visitor);
			at += segment_space(n);
			continue;
		}
		uint64_t next = next_frame(w, at);
		uint64_t promised = w->durable < next ? w->durable : next;
		if (at < promised)
			visitor->on_damage(visitor->arg, at,
			    str_make(
				(const char *)w->bytes + (at - w->base), (size_t)(promised - at)),
			    "no valid record where one was written");
		if (next >= w->limit)
			return at < promised ? promised : at;
		at = next;
	}
	return at;
}

int
segment_walk(int fd, const struct segment_info *info, uint64_t from,
    const struct segment_visitor *visitor, uint64_t *end, struct why *why)
{
	uint64_t limit = info->live && info->durable < info->size ? info->durable : info->size;

	*end = from;
	if (from < SEGMENT_START)
		from = SEGMENT_START;
	if (from >= limit) {
		/* A file that ends before what it promised has lost messages. */
		if (info->durable > info->size)
			visitor->on_damage(
			    visitor->arg, info->size, STR_EMPTY, "the segment has been cut short");
		return 0;
	}
	unsigned char *bytes = xmalloc((size_t)(limit - from));
	if (pread_all(fd, bytes, (size_t)(limit - from), (off_t)from) == -1) {
		free(bytes);
		return why_sys(why, "4.3.0", "read segment %llu", (unsigned long long)info->number);
	}
	struct walk w = {bytes, from, limit, info->size, info->seal, info->durable};
	*end = walk(&w, from, visitor);
	if (w.durable > info->size)
		visitor->on_damage(
		    visitor->arg, info->size, STR_EMPTY, "the segment has been cut short");
	free(bytes);
	return 0;
}
