/* SPDX-License-Identifier: ISC */
/*
 * fsck reads what recovery would read, with the same functions, and adds the content's checksums.
 * Mail may come and go while it runs: a file that is gone when it is opened is no problem.
 */
#include "lib/queue/fsck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/why.h"
#include "lib/queue/folders.h"
#include "lib/queue/qfile.h"
#include "lib/queue/qid.h"
#include "lib/queue/qindex.h"
#include "lib/queue/results.h"
#include "lib/queue/segment.h"
#include "lib/queue/state.h"
#include "lib/queue/summary.h"

struct run {
	struct fsck *fs;
	const struct folders *folders;
	struct qindex *ix;
	enum folder folder;
	const char *name; /* of the segment that is read */
	uint64_t indexed; /* files that the index should know */
};

static void
problem(struct run *run, const char *name, const char *what)
{
	char where[300];

	snprintf(where, sizeof where, "%s/%s", folder_name(run->folder), name);
	run->fs->problems++;
	run->fs->on_problem(run->fs->arg, where, what);
}

static int
on_count(void *arg, const char *name)
{
	struct fsck *fs = arg;

	(void)name;
	fs->total++;
	return 0;
}

struct wanted {
	const char *folder;
	bool same;
};

static int
on_row(void *arg, const struct summary *sum)
{
	struct wanted *wanted = arg;

	wanted->same = str_is(sum->folder, wanted->folder);
	return 0;
}

static void
check_index(struct run *run, const char *name)
{
	struct wanted wanted = {.folder = folder_name(run->folder)};

	if (run->ix == NULL || run->folder == FOLDER_NEW)
		return;
	run->indexed++;
	if (qindex_get(run->ix, str_from(name), on_row, &wanted, NULL) != 1)
		problem(run, name, "not in the index");
	else if (!wanted.same)
		problem(run, name, "the index has it in another folder");
}

static void
check_state(struct run *run, const char *name, const struct qfile_read *r)
{
	struct state st;
	struct why why;

	run->fs->messages++;
	if (!str_is(str_from(r->head.id), name))
		problem(run, name, "the head has another queue id");
	if (state_init(&st, &r->head, r->envelope, &why) == -1) {
		problem(run, name, why.text);
		return;
	}
	state_clear(&st);
	check_index(run, name);
}

static void
check_file(struct run *run, const char *name, int fd)
{
	struct qfile_read r;
	struct why why = {0};

	switch (qfile_read(fd, &r, true, &why)) {
	case QFILE_WHOLE:
		check_state(run, name, &r);
		qfile_read_clear(&r);
		break;
	case QFILE_OPEN:
		run->fs->unfinished++;
		if (run->folder != FOLDER_NEW)
			problem(run, name, "never committed, but not in new/");
		break;
	case QFILE_DAMAGED:
		problem(run, name, why.text);
		break;
	}
}

static void
on_message(void *arg, const struct segment_found *found)
{
	struct run *run = arg;
	struct head head;
	struct str content, envelope;
	struct state st;
	struct why why;

	run->fs->messages++;
	if (head_message(found->message, &head, &content, &envelope, &why) == -1 ||
	    state_init(&st, &head, envelope, &why) == -1) {
		problem(run, run->name, why.text);
		return;
	}
	state_clear(&st);
}

static void
on_damage(void *arg, uint64_t offset, struct str bytes, const char *reason)
{
	struct run *run = arg;
	char text[600];

	snprintf(text, sizeof text, "%zu bytes at %llu: %s", bytes.n, (unsigned long long)offset,
	    reason);
	problem(run, run->name, text);
}

static void
check_segment(struct run *run, const char *name, int fd)
{
	struct segment_visitor visitor = {on_message, on_damage, run};
	struct segment_info info;
	struct why why;
	uint64_t end;

	run->fs->segments++;
	run->name = name;
	if (segment_info(fd, &info, &why) == -1 ||
	    segment_walk(fd, &info, SEGMENT_START, &visitor, &end, &why) == -1)
		problem(run, name, why.text);
}

static int
on_name(void *arg, const char *name)
{
	struct run *run = arg;
	int fd = openat(run->folders->fd[run->folder], name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1 && errno != ENOENT)
		problem(run, name, "cannot be opened");
	if (fd != -1 && run->folder == FOLDER_NEW && segment_number(name) != 0)
		check_segment(run, name, fd);
	else if (fd != -1 && qid_valid(str_from(name)))
		check_file(run, name, fd);
	else if (fd != -1 && !str_starts(str_from(name), STR("ids")) &&
		 segment_unmade_number(name) == 0)
		problem(run, name, "a file that does not belong here");
	if (fd != -1)
		close(fd);
	run->fs->done++;
	if (run->fs->on_progress != NULL)
		run->fs->on_progress(run->fs->arg, run->fs->done, run->fs->total);
	return 0;
}

static void
on_entry(void *arg, const struct entry *e)
{
	(void)arg;
	(void)e;
}

static void
on_result_damage(void *arg, const char *name, uint64_t offset)
{
	struct run *run = arg;
	char text[64];

	snprintf(text, sizeof text, "damaged at %llu", (unsigned long long)offset);
	problem(run, name, text);
}

int
fsck_run(struct fsck *fs, const struct folders *f, struct qindex *ix, struct why *why)
{
	static const enum folder folders[] = {FOLDER_NEW, FOLDER_CUR, FOLDER_HOLD};
	struct run run = {.fs = fs, .folders = f, .ix = ix};
	struct results_visitor visitor = {on_entry, on_result_damage, &run};

	for (size_t i = 0; i < NELEM(folders); i++)
		if (folder_each(f->fd[folders[i]], on_count, fs, why) == -1)
			return -1;
	for (size_t i = 0; i < NELEM(folders); i++) {
		run.folder = folders[i];
		if (folder_each(f->fd[folders[i]], on_name, &run, why) == -1)
			return -1;
	}
	run.folder = FOLDER_RESULTS;
	if (results_read(f->fd[FOLDER_RESULTS], &visitor, why) == -1)
		return -1;
	run.folder = FOLDER_INDEX;
	if (ix != NULL && qindex_count(ix) != run.indexed)
		problem(&run, "data.mdb", "has rows of files that are not there");
	return 0;
}
