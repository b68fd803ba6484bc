/* SPDX-License-Identifier: ISC */
/*
 * Damage: every bit of a segment's records and of a queue file is turned, and each is cut at every
 * length. What is read afterwards is what was written, or is reported as damaged; never anything
 * else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/queue/entry.h"
#include "lib/queue/qfile.h"
#include "lib/queue/segment.h"
#include "lib/queue/state.h"
#include "tests/unit/lib/queue/scratch.h"

enum { SIZE = 64 * 1024, MESSAGES = 3 };

static const char *const ids[MESSAGES] = {
    "0000000000000000001", "0000000000000000002", "0000000000000000003"};
static struct buf messages[MESSAGES];
static unsigned long tried, identical, reported;

struct seen {
	bool there[MESSAGES];
	unsigned damaged;
};

static void
on_message(void *arg, const struct segment_found *found)
{
	struct seen *seen = arg;

	for (int i = 0; i < MESSAGES; i++)
		if (str_eq(found->message, buf_view(&messages[i]))) {
			seen->there[i] = true;
			return;
		}
	panic("wrong content was read from a segment");
}

static void
on_damage(void *arg, uint64_t offset, struct str bytes, const char *reason)
{
	struct seen *seen = arg;

	(void)offset;
	(void)bytes;
	(void)reason;
	seen->damaged++;
}

static void
read_segment(int fd)
{
	struct seen seen = {0};
	struct segment_visitor visitor = {on_message, on_damage, &seen};
	struct segment_info info;
	struct why why;
	uint64_t end;
	bool all = true;

	tried++;
	/* A segment that cannot be read at all goes to corrupt/ as a whole. */
	if (segment_info(fd, &info, &why) == -1 ||
	    segment_walk(fd, &info, SEGMENT_START, &visitor, &end, &why) == -1) {
		reported++;
		return;
	}
	for (int i = 0; i < MESSAGES; i++)
		all = all && seen.there[i];
	if (!all && seen.damaged == 0)
		panic("a message is missing, and nothing says so");
	identical += all;
	reported += !all;
}

static void
flip(int fd, off_t from, off_t to, void (*check)(int fd))
{
	unsigned char byte, turned;

	for (off_t at = from; at < to; at++)
		for (int bit = 0; bit < 8; bit++) {
			if (pread(fd, &byte, 1, at) != 1)
				fatal_sys("read");
			turned = (unsigned char)(byte ^ 1 << bit);
			if (pwrite(fd, &turned, 1, at) != 1)
				fatal_sys("write");
			check(fd);
			if (pwrite(fd, &byte, 1, at) != 1)
				fatal_sys("write");
		}
}

static void
cut(int fd, off_t from, void (*check)(int fd))
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		fatal_sys("fstat");
	char *whole = malloc((size_t)st.st_size);
	if (whole == NULL || pread_all(fd, whole, (size_t)st.st_size, 0) == -1)
		fatal_sys("read");
	for (off_t n = st.st_size - 1; n >= from; n--) {
		if (ftruncate(fd, n) == -1)
			fatal_sys("ftruncate");
		check(fd);
	}
	if (pwrite_all(fd, whole, (size_t)st.st_size, 0) == -1)
		fatal_sys("write");
	free(whole);
}

static int
make_segment(struct scratch *s, off_t *end)
{
	static const char zeros[SEGMENT_ALIGN];
	unsigned char frame[SEGMENT_FRAME];
	struct segment sg;
	struct why why;
	char name[SEGMENT_NAME_SIZE];

	if (segment_create(&sg, s->folders.fd[FOLDER_NEW], 1, SIZE, &why) == -1)
		fatal("%s", why.text);
	for (int i = 0; i < MESSAGES; i++) {
		uint64_t space = segment_space(messages[i].n);
		segment_frame(&sg, sg.end, messages[i].n, frame);
		struct iovec iov[] = {
		    {frame,                    sizeof frame                                   },
		    {messages[i].p,            messages[i].n                                  },
		    {(void *)(uintptr_t)zeros, (size_t)(space - SEGMENT_FRAME - messages[i].n)},
		};
		if (segment_write(&sg, iov, 3, space, &why) == -1 || segment_sync(&sg, &why) == -1)
			fatal("%s", why.text);
	}
	*end = (off_t)sg.end;
	segment_close(&sg);
	segment_name(1, name);
	return openat(s->folders.fd[FOLDER_NEW], name, O_RDWR);
}

static void
read_queue_file(int fd)
{
	struct qfile_read r;
	struct state st;
	struct why why;
	char content[4096];
	size_t n;

	tried++;
	switch (qfile_read(fd, &r, true, &why)) {
	case QFILE_DAMAGED:
		reported++;
		return;
	case QFILE_OPEN: {
		/* Only a file without a byte in it: that never was more. */
		struct stat stat;
		if (fstat(fd, &stat) == -1 || stat.st_size != 0)
			panic("damage was taken for a file that was never committed");
		reported++;
		return;
	}
	case QFILE_WHOLE:
		break;
	}
	n = (size_t)r.head.content_size;
	if (n > sizeof content || pread_all(fd, content, n, HEAD_SIZE) == -1 ||
	    HEAD_SIZE + n + r.envelope.n != messages[0].n ||
	    memcmp(content, messages[0].p + HEAD_SIZE, n) != 0 ||
	    memcmp(r.envelope.p, messages[0].p + HEAD_SIZE + n, r.envelope.n) != 0)
		panic("wrong content was read from a file");
	if (state_init(&st, &r.head, r.envelope, &why) == -1)
		panic("%s", why.text);
	state_apply_all(&st, r.entries, qfile_key(&r.head), r.entries_at);
	/* Entries are there from the first on; none is ever another. */
	if (st.attempts != 0 && (st.attempts != 7 || st.rcpts[0].text == NULL ||
				    strcmp(st.rcpts[0].text, "later") != 0))
		panic("wrong entries were read from a file");
	state_clear(&st);
	qfile_read_clear(&r);
	identical++;
}

static int
make_file(struct scratch *s)
{
	struct head head;
	struct str content, envelope;
	struct buf entries;
	struct why why;

	if (head_message(buf_view(&messages[0]), &head, &content, &envelope, &why) == -1)
		fatal("%s", why.text);
	struct entry result = {.kind = ENTRY_RESULT, .status = 4, .text = STR("later")};
	struct entry schedule = {.kind = ENTRY_SCHEDULE, .attempts = 7};
	buf_init(&entries, 4096);
	uint64_t at = qfile_entries_at(&head);
	entry_encode(&result, qfile_key(&head), at, &entries);
	entry_encode(&schedule, qfile_key(&head), at + entries.n, &entries);
	if (qfile_store(s->folders.fd[FOLDER_CUR], ids[0], buf_view(&messages[0]),
		buf_view(&entries), &why) == -1)
		fatal("%s", why.text);
	buf_free(&entries);
	return openat(s->folders.fd[FOLDER_CUR], ids[0], O_RDWR);
}

int
main(void)
{
	struct scratch s;
	struct stat st;
	off_t end;

	scratch_make(&s);
	for (int i = 0; i < MESSAGES; i++)
		scratch_message(&messages[i], ids[i], "a@b",
		    i == 0   ? STR("Subject: x\r\n\r\none\r\n")
		    : i == 1 ? STR("two\r\n")
			     : STR(""));
	int fd = make_segment(&s, &end);
	read_segment(fd);
	if (identical != 1)
		panic("not even the undamaged segment can be read");
	flip(fd, 0, SEGMENT_FRAME, read_segment);
	flip(fd, 512, 512 + 64, read_segment);
	flip(fd, 1024, 1024 + 64, read_segment);
	flip(fd, SEGMENT_START, end, read_segment);
	if (ftruncate(fd, end) == -1)
		fatal_sys("ftruncate");
	cut(fd, 0, read_segment);
	close(fd);
	fd = make_file(&s);
	if (fstat(fd, &st) == -1)
		fatal_sys("fstat");
	flip(fd, 0, st.st_size, read_queue_file);
	cut(fd, 0, read_queue_file);
	close(fd);
	printf(
	    "%lu damages: %lu changed nothing that counts, %lu were reported, no wrong content\n",
	    tried, identical, reported);
	if (reported < tried / 2)
		panic("too few were reported for this to mean anything");
	for (int i = 0; i < MESSAGES; i++)
		buf_free(&messages[i]);
	scratch_remove(&s);
	return 0;
}
