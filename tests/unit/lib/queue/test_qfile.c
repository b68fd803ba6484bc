/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/msg/fields.h"
#include "lib/queue/entry.h"
#include "lib/queue/fsck.h"
#include "lib/queue/qfile.h"
#include "lib/queue/qid.h"
#include "lib/queue/qindex.h"
#include "lib/queue/rebuild.h"
#include "lib/queue/results.h"
#include "lib/queue/summary.h"
#include "scratch.h"

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

#define ID1 "065432100000000ABCD"

static void
test_write_and_read(void **state)
{
	int new = scratch.folders.fd[FOLDER_NEW];
	struct buf message;
	struct head head;
	struct str content, envelope;
	struct qfile qf;
	struct qfile_read r;
	struct why why;

	(void)state;
	scratch_message(&message, ID1, "a@b", STR("Subject: x\r\n\r\nbody\r\n"));
	assert_int_equal(head_message(buf_view(&message), &head, &content, &envelope, &why), 0);
	assert_int_equal(qfile_create(&qf, new, ID1, 5, &why), 0);
	assert_int_equal(qfile_write(&qf, str_sub(content, 0, 7), &why), 0);
	int fd = openat(new, ID1, O_RDWR);
	assert_int_equal(qfile_read(fd, &r, true, &why), QFILE_OPEN);
	assert_false(qfile_claim(fd));
	assert_int_equal(qfile_write(&qf, str_from_at(content, 7), &why), 0);
	assert_int_equal(qfile_finish(&qf, envelope, &why), 0);
	assert_int_equal(qfile_sync(&qf, &why), 0);
	qfile_close(&qf);
	assert_true(qfile_claim(fd));
	int other = openat(new, ID1, O_RDWR);
	assert_false(qfile_claim(other));
	close(other);
	assert_int_equal(qfile_read(fd, &r, true, &why), QFILE_WHOLE);
	assert_int_equal(r.head.content_size, content.n);
	assert_true(str_eq(r.envelope, envelope));

	/* Entries: appended, read, torn, damaged. */
	struct buf entries;
	buf_init(&entries, 4096);
	struct entry e = {.kind = ENTRY_RESULT, .status = DELIVERY_DEFERRED, .text = STR("later")};
	entry_encode(&e, qfile_key(&r.head), r.entries_at, &entries);
	size_t first = entries.n;
	entry_encode(&e, qfile_key(&r.head), r.entries_at + entries.n, &entries);
	uint64_t at = r.entries_at;
	assert_int_equal(pwrite(fd, entries.p, entries.n, (off_t)at), entries.n);
	qfile_read_clear(&r);
	assert_int_equal(qfile_read(fd, &r, true, &why), QFILE_WHOLE);
	assert_int_equal(r.entries_end, at + entries.n);
	qfile_read_clear(&r);
	assert_int_equal(ftruncate(fd, (off_t)(at + entries.n - 3)), 0);
	assert_int_equal(qfile_read(fd, &r, true, &why), QFILE_WHOLE);
	assert_int_equal(r.entries_end, at + first);
	qfile_read_clear(&r);
	assert_int_equal(pwrite(fd, entries.p, entries.n, (off_t)at), entries.n);
	assert_int_equal(pwrite(fd, "?", 1, (off_t)at + 30), 1);
	assert_int_equal(qfile_read(fd, &r, true, &why), QFILE_DAMAGED);
	close(fd);
	assert_int_equal(corrupt_move(&scratch.folders, FOLDER_NEW, ID1, why.text, &why), 0);
	assert_int_equal(faccessat(scratch.folders.fd[FOLDER_CORRUPT], ID1 ".reason", F_OK, 0), 0);
	buf_free(&entries);
	buf_free(&message);
}

static void
test_ids(void **state)
{
	int new = scratch.folders.fd[FOLDER_NEW];
	struct qid a, b;
	struct why why;
	char last[QID_SIZE] = "", id[QID_SIZE];

	(void)state;
	assert_int_equal(qid_open(&a, new, &why), 0);
	assert_int_equal(qid_open(&b, new, &why), 0);
	assert_int_not_equal(a.slot, b.slot);
	assert_int_equal(a.node, b.node);
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(qid_next(&a, id, &why), 0);
		assert_true(qid_valid(str_from(id)));
		assert_true(strcmp(id, last) > 0);
		strcpy(last, id);
	}
	int64_t used = a.last;
	assert_int_equal(qid_time(str_from(last)), used);
	/* A crash: the slot is free, the mark stands, nothing below it is given out again. */
	close(a.fd);
	assert_int_equal(qid_open(&a, new, &why), 0);
	assert_true(a.last > used);
	assert_int_equal(qid_next(&a, id, &why), 0);
	assert_true(strcmp(id, last) > 0);
	qid_close(&b);
	qid_close(&a);
}

struct count {
	int entries, damaged;
	char last[400];
};

static void
on_entry(void *arg, const struct entry *e)
{
	struct count *count = arg;

	count->entries++;
	str_copy(count->last, sizeof count->last, e->id);
}

static void
on_damage(void *arg, const char *name, uint64_t offset)
{
	struct count *count = arg;

	(void)name;
	(void)offset;
	count->damaged++;
}

static void
test_results(void **state)
{
	int dir = scratch.folders.fd[FOLDER_RESULTS];
	struct count count = {0};
	struct results_visitor visitor = {on_entry, on_damage, &count};
	struct results r;
	struct why why;

	(void)state;
	assert_int_equal(results_open(&r, dir, 100, &visitor, &why), 0);
	for (int i = 0; i < 3; i++) {
		struct entry e = {.kind = ENTRY_DONE,
		    .id = STR(ID1),
		    .segment = 1,
		    .seal = (uint64_t)(10 + i),
		    .offset = 4096};
		results_add(&r, &e);
		assert_true(results_waiting(&r));
		assert_int_equal(results_write(&r, &why), 0);
		assert_true(results_full(&r));
		assert_int_equal(results_rotate(&r, &why), 0);
	}
	results_forget(&r, 1, 10);
	results_close(&r);
	assert_int_equal(results_open(&r, dir, 100, &visitor, &why), 0);
	assert_int_equal(count.entries, 2);
	results_forget(&r, 1, 11);
	results_forget(&r, 1, 12);
	results_close(&r);
	count.entries = 0;
	assert_int_equal(results_read(dir, &visitor, &why), 0);
	assert_int_equal(count.entries, 0);
	assert_int_equal(count.damaged, 0);
}

static int
on_row(void *arg, const struct summary *sum)
{
	struct count *count = arg;

	count->entries++;
	str_copy(count->last, sizeof count->last, sum->id);
	return 0;
}

static void
put(struct qindex *ix, const char *id, uint64_t next, const char *nexthop)
{
	struct summary_rcpt rcpt = {
	    .address = STR("a@b"), .transport = STR("smtp"), .nexthop = str_from(nexthop)};
	struct summary sum = {
	    .id = str_from(id), .folder = STR("cur"), .next = next, .rcpts = &rcpt, .nrcpts = 1};
	struct why why;

	assert_int_equal(qindex_begin(ix, &why), 0);
	assert_int_equal(qindex_put(ix, &sum, &why), 0);
	assert_int_equal(qindex_complete(ix, &why), 0);
	assert_int_equal(qindex_commit(ix, &why), 0);
}

static void
test_index(void **state)
{
	char path[100];
	struct why why;
	struct count count = {0};
	struct qindex_key after = {0};
	bool rebuild;

	(void)state;
	snprintf(path, sizeof path, "%s/index", scratch.path);
	struct qindex *ix = qindex_open(path, 1 << 24, STR("boot-1"), &rebuild, &why);
	assert_non_null(ix);
	assert_true(rebuild);
	put(ix, "A1", 100, "x");
	put(ix, "A2", 50, "x");
	put(ix, "A3", 200, "y");
	assert_int_equal(qindex_due(ix, &after, 150, 10, on_row, &count, &why), 2);
	assert_string_equal(count.last, "A1");
	assert_int_equal(qindex_due(ix, &after, 150, 10, on_row, &count, &why), 0);
	assert_int_equal(qindex_first_due(ix, &after), 200);
	after = (struct qindex_key){0};
	assert_int_equal(
	    qindex_destination(ix, STR("smtp"), STR("x"), &after, 10, on_row, &count, &why), 2);
	put(ix, "A1", 300, "y"); /* moves in both tables */
	after = (struct qindex_key){0};
	assert_int_equal(
	    qindex_destination(ix, STR("smtp"), STR("x"), &after, 10, on_row, &count, &why), 1);
	after = (struct qindex_key){0};
	assert_int_equal(qindex_due(ix, &after, 1000, 10, on_row, &count, &why), 3);
	assert_string_equal(count.last, "A1");
	assert_int_equal(qindex_begin(ix, &why), 0);
	assert_int_equal(qindex_delete(ix, STR("A2"), &why), 0);
	assert_int_equal(qindex_commit(ix, &why), 0);
	char at[32] = "";
	assert_int_equal(qindex_list(ix, at, 1, on_row, &count, &why), 1);
	assert_string_equal(count.last, "A1");
	assert_int_equal(qindex_list(ix, at, 9, on_row, &count, &why), 1);
	assert_string_equal(count.last, "A3");
	assert_int_equal(qindex_count(ix), 2);
	/* A kill, same boot; a clean end, another boot; a power cut. */
	qindex_close(&ix, false);
	ix = qindex_open(path, 1 << 24, STR("boot-1\n"), &rebuild, &why);
	assert_false(rebuild);
	qindex_close(&ix, true);
	ix = qindex_open(path, 1 << 24, STR("boot-2"), &rebuild, &why);
	assert_false(rebuild);
	assert_int_equal(qindex_count(ix), 2);
	qindex_close(&ix, false);
	ix = qindex_open(path, 1 << 24, STR("boot-3"), &rebuild, &why);
	assert_true(rebuild);
	assert_int_equal(qindex_count(ix), 0);
	qindex_close(&ix, false);
}

static void
on_problem(void *arg, const char *where, const char *what)
{
	struct count *count = arg;

	count->damaged++;
	snprintf(count->last, sizeof count->last, "%s: %s", where, what);
}

static void
on_file_damage(void *arg, const char *name, const char *reason)
{
	struct count *count = arg;

	(void)name;
	(void)reason;
	count->damaged++;
}

static void
test_rebuild_and_fsck(void **state)
{
	char path[100], id[QID_SIZE];
	struct why why;
	struct count count = {0}, damage = {0};
	struct rebuild_hooks hooks = {.on_damage = on_file_damage, .arg = &damage};
	struct fsck fs = {.on_problem = on_problem, .arg = &count};
	bool fresh;
	int more;

	(void)state;
	for (unsigned i = 0; i < 1200; i++) {
		struct buf message;
		snprintf(id, sizeof id, "%019X", i);
		scratch_message(&message, id, "a@b", STR("x\r\n"));
		int dir = scratch.folders.fd[i % 3 == 0 ? FOLDER_HOLD : FOLDER_CUR];
		assert_int_equal(qfile_store(dir, id, buf_view(&message), STR_EMPTY, &why), 0);
		buf_free(&message);
	}
	int fd = openat(scratch.folders.fd[FOLDER_CUR], "0000000000000000001", O_RDWR);
	assert_int_equal(pwrite(fd, "?", 1, HEAD_SIZE + 5), 1); /* in the envelope */
	close(fd);
	snprintf(path, sizeof path, "%s/index", scratch.path);
	struct qindex *ix = qindex_open(path, 1 << 26, STR("boot-4"), &fresh, &why);
	assert_non_null(ix);
	struct rebuild *rb = rebuild_new(&scratch.folders, ix, 3, &hooks, &why);
	assert_non_null(rb);
	while ((more = rebuild_step(rb, &why)) == 1)
		continue;
	assert_int_equal(more, 0);
	rebuild_free(&rb);
	assert_int_equal(qindex_count(ix), 1199);
	assert_int_equal(damage.damaged, 1);
	assert_int_equal(fsck_run(&fs, &scratch.folders, ix, &why), 0);
	assert_int_equal(fs.messages, 1199);
	assert_int_equal(fs.problems, 0);
	/* What fsck finds: a content that changed, a file that is not indexed. */
	fd = openat(scratch.folders.fd[FOLDER_CUR], "0000000000000000002", O_RDWR);
	assert_int_equal(pwrite(fd, "y", 1, HEAD_SIZE), 1);
	close(fd);
	fs = (struct fsck){.on_problem = on_problem, .arg = &count};
	assert_int_equal(fsck_run(&fs, &scratch.folders, ix, &why), 0);
	assert_true(fs.problems >= 1);
	qindex_close(&ix, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_write_and_read),
	    cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_results),
	    cmocka_unit_test(test_index),
	    cmocka_unit_test(test_rebuild_and_fsck),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
