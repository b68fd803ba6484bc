/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "lib/base/io.h"
#include "lib/queue/segment.h"
#include "scratch.h"

enum { SIZE = 256 * 1024 };

static struct scratch scratch;

static int
set_up(void **state)
{
	(void)state;
	scratch_make(&scratch);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	scratch_remove(&scratch);
	return 0;
}

static void
append(struct segment *sg, const char *id, size_t size)
{
	static const char zeros[SEGMENT_ALIGN];
	unsigned char frame[SEGMENT_FRAME];
	struct buf message;
	struct why why;
	char *content = malloc(size + 1);

	memset(content, 'x', size);
	scratch_message(&message, id, "a@b", str_make(content, size));
	uint64_t space = segment_space(message.n);
	assert_true(segment_fits(sg, message.n));
	segment_frame(sg, sg->end, message.n, frame);
	struct iovec iov[] = {
	    {frame,		    sizeof frame                               },
	    {message.p,                message.n				  },
	    {(void *)(uintptr_t)zeros, (size_t)(space - SEGMENT_FRAME - message.n)},
	};
	assert_int_equal(segment_write(sg, iov, 3, space, &why), 0);
	buf_free(&message);
	free(content);
}

struct seen {
	char ids[2000];
	int damaged;
};

static void
on_message(void *arg, const struct segment_found *found)
{
	struct seen *seen = arg;
	struct head head;
	struct str content, envelope;
	struct why why;

	assert_int_equal(head_message(found->message, &head, &content, &envelope, &why), 0);
	strcat(seen->ids, head.id);
	strcat(seen->ids, " ");
}

static void
on_damage(void *arg, uint64_t offset, struct str bytes, const char *reason)
{
	struct seen *seen = arg;

	(void)offset;
	(void)bytes;
	assert_non_null(reason);
	seen->damaged++;
}

static struct seen
walk_from(uint64_t number, uint64_t from)
{
	struct seen seen = {0};
	struct segment_visitor visitor = {on_message, on_damage, &seen};
	struct segment_info info;
	struct why why;
	char name[SEGMENT_NAME_SIZE];
	uint64_t end;

	segment_name(number, name);
	int fd = openat(scratch.folders.fd[FOLDER_NEW], name, O_RDONLY);
	assert_int_equal(segment_info(fd, &info, &why), 0);
	assert_int_equal(segment_walk(fd, &info, from, &visitor, &end, &why), 0);
	close(fd);
	return seen;
}

static void
test_append_and_walk(void **state)
{
	struct segment sg, other;
	struct why why;

	(void)state;
	assert_int_equal(segment_create(&sg, scratch.folders.fd[FOLDER_NEW], 1, SIZE, &why), 0);
	assert_int_equal(
	    segment_adopt(&other, scratch.folders.fd[FOLDER_NEW], 1, &why), 0); /* held */
	append(&sg, "ONE", 100);
	append(&sg, "TWO", 5000);
	/* Alive, and nothing is durable yet: nothing is seen. */
	assert_string_equal(walk_from(1, SEGMENT_START).ids, "");
	assert_int_equal(segment_sync(&sg, &why), 0);
	append(&sg, "THREE", 0);
	assert_string_equal(walk_from(1, SEGMENT_START).ids, "ONE TWO ");
	/* Its writer dies: what it had written stands. */
	segment_close(&sg);
	assert_string_equal(walk_from(1, SEGMENT_START).ids, "ONE TWO THREE ");
	assert_int_equal(segment_adopt(&other, scratch.folders.fd[FOLDER_NEW], 1, &why), 1);
	assert_false(segment_fits(&other, 10));
	assert_int_equal(segment_seal(&other, &why), 0);
	append(&other, "FOUR", 10);
	assert_int_equal(segment_sync(&other, &why), 0);
	segment_close(&other);
	assert_string_equal(walk_from(1, SEGMENT_START).ids, "FOUR ");
	assert_int_equal(walk_from(1, SEGMENT_START).damaged, 0);
}

/* A failed write: what was not synced is cut off, and the segment is never written again, nor
 * sealed anew: readers would go by its size. */
static void
test_failed_write(void **state)
{
	struct iovec nowhere = {(void *)1, SEGMENT_ALIGN};
	struct segment sg;
	struct stat st;
	struct why why;

	(void)state;
	assert_int_equal(segment_create(&sg, scratch.folders.fd[FOLDER_NEW], 7, SIZE, &why), 0);
	append(&sg, "ONE", 100);
	assert_int_equal(segment_sync(&sg, &why), 0);
	append(&sg, "TWO", 100);
	assert_int_equal(segment_write(&sg, &nowhere, 1, SEGMENT_ALIGN, &why), -1);
	assert_int_equal(why.class, WHY_TEMP);
	assert_false(segment_fits(&sg, 10));
	assert_int_equal(fstat(sg.fd, &st), 0);
	assert_int_equal(st.st_size, sg.durable);
	assert_string_equal(walk_from(7, SEGMENT_START).ids, "ONE ");
	assert_int_equal(segment_seal(&sg, &why), -1);
	assert_string_equal(walk_from(7, SEGMENT_START).ids, "ONE ");
	segment_close(&sg);
	/* The same when its size is taken for what it was, as after a cut by somebody else. */
	assert_int_equal(segment_adopt(&sg, scratch.folders.fd[FOLDER_NEW], 7, &why), 1);
	sg.size = SIZE;
	assert_int_equal(segment_seal(&sg, &why), -1);
	segment_close(&sg);
	assert_string_equal(walk_from(7, SEGMENT_START).ids, "ONE ");
}

/* A segment that its maker left half made is nobody's: it has no segment's name, and goes. */
static void
test_half_made(void **state)
{
	const char *left = "making-00000009";
	int new = scratch.folders.fd[FOLDER_NEW];
	struct segment sg;
	struct why why;

	(void)state;
	close(openat(new, left, O_WRONLY | O_CREAT, 0600));
	assert_int_equal(segment_number(left), 0);
	assert_int_equal(segment_unmade_number(left), 9);
	assert_int_equal(segment_unmade_number("segment-00000009"), 0);
	assert_int_equal(segment_create(&sg, new, 9, SIZE, &why), 0);
	assert_int_equal(faccessat(new, left, F_OK, 0), -1);
	assert_string_equal(walk_from(9, SEGMENT_START).ids, "");
	segment_close(&sg);
	/* Nor does one take the place of another. */
	assert_int_equal(segment_create(&sg, new, 9, SIZE, &why), -1);
	assert_int_equal(faccessat(new, left, F_OK, 0), -1);
}

static void
poke(uint64_t number, off_t at)
{
	char name[SEGMENT_NAME_SIZE], byte;

	segment_name(number, name);
	int fd = openat(scratch.folders.fd[FOLDER_NEW], name, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte = (char)(byte ^ 0x10);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void
test_damage_in_the_middle(void **state)
{
	struct segment sg;
	struct why why;
	struct seen seen;

	(void)state;
	assert_int_equal(segment_create(&sg, scratch.folders.fd[FOLDER_NEW], 2, SIZE, &why), 0);
	append(&sg, "ONE", 1000);
	uint64_t second = sg.end;
	append(&sg, "TWO", 1000);
	uint64_t third = sg.end;
	append(&sg, "THREE", 1000);
	assert_int_equal(segment_sync(&sg, &why), 0);
	segment_close(&sg);
	poke(2, (off_t)second + 20); /* a frame */
	seen = walk_from(2, SEGMENT_START);
	assert_string_equal(seen.ids, "ONE THREE ");
	assert_int_equal(seen.damaged, 1);
	poke(2, (off_t)third + SEGMENT_FRAME + HEAD_SIZE + 500); /* a content */
	seen = walk_from(2, SEGMENT_START);
	assert_string_equal(seen.ids, "ONE ");
	assert_int_equal(seen.damaged, 2);
	poke(2, 24); /* the header: the first frame's seal stands in */
	assert_string_equal(walk_from(2, SEGMENT_START).ids, "ONE ");
}

static void
test_torn_tail(void **state)
{
	struct segment sg;
	struct why why;
	struct seen seen;

	(void)state;
	assert_int_equal(segment_create(&sg, scratch.folders.fd[FOLDER_NEW], 3, SIZE, &why), 0);
	append(&sg, "ONE", 1000);
	assert_int_equal(segment_sync(&sg, &why), 0);
	uint64_t second = sg.end;
	append(&sg, "TWO", 1000); /* never synced */
	segment_close(&sg);
	poke(3, (off_t)second + SEGMENT_FRAME + 10);
	seen = walk_from(3, SEGMENT_START);
	assert_string_equal(seen.ids, "ONE ");
	assert_int_equal(seen.damaged, 0);
}

/* Content that looks like a frame is not one: the seal is not known to who writes mail. */
static void
test_forged_frame(void **state)
{
	struct segment sg, forger = {.seal = 1};
	unsigned char frame[SEGMENT_FRAME];
	struct why why;

	(void)state;
	assert_int_equal(segment_create(&sg, scratch.folders.fd[FOLDER_NEW], 4, SIZE, &why), 0);
	append(&sg, "ONE", 4000);
	assert_int_equal(segment_sync(&sg, &why), 0);
	uint64_t inside = SEGMENT_START + 1024;
	segment_frame(&forger, inside, 64, frame);
	assert_int_equal(pwrite_all(sg.fd, frame, sizeof frame, (off_t)inside), 0);
	segment_close(&sg);
	poke(4, SEGMENT_START + 1);
	assert_string_equal(walk_from(4, SEGMENT_START).ids, "");
	assert_int_equal(walk_from(4, SEGMENT_START).damaged, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_append_and_walk),
	    cmocka_unit_test(test_failed_write),
	    cmocka_unit_test(test_half_made),
	    cmocka_unit_test(test_damage_in_the_middle),
	    cmocka_unit_test(test_torn_tail),
	    cmocka_unit_test(test_forged_frame),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
