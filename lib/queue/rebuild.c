/* SPDX-License-Identifier: ISC */
/*
 * The files are read in the order of their inodes, which is about that of the disk. The readers of
 * a step only read and encode; one thread, the caller's, writes the index, since a transaction of
 * LMDB belongs to the thread that began it.
 */
#include "lib/queue/rebuild.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/queue/folders.h"
#include "lib/queue/qfile.h"
#include "lib/queue/qid.h"
#include "lib/queue/qindex.h"
#include "lib/queue/state.h"
#include "lib/queue/summary.h"

enum { STEP = 512, READERS_MAX = 16 };

struct item {
	uint64_t inode;
	enum folder folder;
	char name[QID_SIZE];
};

/* What a reader found out about one file. */
struct found {
	enum { FOUND_MESSAGE, FOUND_NOTHING, FOUND_DAMAGE } what;
	struct buf row; /* an encoded summary */
	struct why why;
};

struct rebuild {
	const struct folders *folders;
	struct qindex *ix;
	unsigned readers;
	struct rebuild_hooks hooks;
	struct item *items;
	size_t n, size, at;
	struct found found[STEP];
};

struct reader {
	struct rebuild *rb;
	pthread_t thread;
	size_t first, end; /* every `readers`-th of these items */
};

static void
add(struct rebuild *rb, enum folder folder, const struct dirent *row)
{
	if (!qid_valid(str_from(row->d_name)))
		return;
	if (rb->n == rb->size) {
		rb->size = rb->size == 0 ? 1024 : rb->size * 2;
		rb->items = xrealloc(rb->items, size_mul(rb->size, sizeof *rb->items));
	}
	struct item *item = &rb->items[rb->n++];
	*item = (struct item){.inode = row->d_ino, .folder = folder};
	memcpy(item->name, row->d_name, QID_SIZE);
}

static int
list(struct rebuild *rb, enum folder folder, struct why *why)
{
	struct dirent *row;
	int fd = openat(rb->folders->fd[folder], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (dir == NULL) {
		why_sys(why, "4.3.0", "read queue/%s", folder_name(folder));
		fd_close(&fd);
		return -1;
	}
	while ((row = readdir(dir)) != NULL)
		add(rb, folder, row);
	closedir(dir);
	return 0;
}

static int
by_inode(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

struct rebuild *
rebuild_new(const struct folders *f, struct qindex *ix, unsigned readers,
    const struct rebuild_hooks *hooks, struct why *why)
{
	struct rebuild *rb = xcalloc(1, sizeof *rb);

	rb->folders = f;
	rb->ix = ix;
	rb->readers = readers < 1 ? 1 : readers > READERS_MAX ? READERS_MAX : readers;
	rb->hooks = *hooks;
	for (int i = 0; i < STEP; i++)
		buf_init(&rb->found[i].row, SIZE_MAX / 2);
	if (list(rb, FOLDER_CUR, why) == -1 || list(rb, FOLDER_HOLD, why) == -1) {
		rebuild_free(&rb);
		return NULL;
	}
	if (rb->n > 0)
		qsort(rb->items, rb->n, sizeof *rb->items, by_inode);
	return rb;
}

void
rebuild_free(struct rebuild **rbp)
{
	struct rebuild *rb = *rbp;

	*rbp = NULL;
	if (rb == NULL)
		return;
	for (int i = 0; i < STEP; i++)
		buf_free(&rb->found[i].row);
	free(rb->items);
	free(rb);
}

static void
summarize(const struct qfile_read *r, const struct item *item, struct found *found)
{
	struct state st;
	struct summary sum;

	if (state_init(&st, &r->head, r->envelope, &found->why) == -1) {
		found->what = FOUND_DAMAGE;
		return;
	}
	state_apply_all(&st, r->entries, qfile_key(&r->head), r->entries_at);
	state_summary(&st, folder_name(item->folder), &sum);
	summary_encode(&sum, &found->row);
	found->what = FOUND_MESSAGE;
	summary_clear(&sum);
	state_clear(&st);
}

static void
read_one(const struct rebuild *rb, const struct item *item, struct found *found)
{
	struct qfile_read r;

	buf_reset(&found->row);
	found->what = FOUND_NOTHING;
	int fd =
	    openat(rb->folders->fd[item->folder], item->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return; /* gone since it was listed */
	switch (qfile_read(fd, &r, false, &found->why)) {
	case QFILE_WHOLE:
		summarize(&r, item, found);
		qfile_read_clear(&r);
		break;
	case QFILE_OPEN:
		why_perm(&found->why, NULL, "never committed, but not in new/");
		found->what = FOUND_DAMAGE;
		break;
	case QFILE_DAMAGED:
		found->what = found->why.class == WHY_TEMP ? FOUND_NOTHING : FOUND_DAMAGE;
		break;
	}
	close(fd);
}

static void *
reader_run(void *arg)
{
	struct reader *rd = arg;

	for (size_t i = rd->first; i < rd->end; i += rd->rb->readers)
		read_one(rd->rb, &rd->rb->items[i], &rd->rb->found[i - rd->rb->at]);
	return NULL;
}

static void
read_step(struct rebuild *rb, size_t end)
{
	struct reader readers[READERS_MAX];
	bool started[READERS_MAX] = {false};

	for (unsigned i = 0; i < rb->readers; i++) {
		readers[i] = (struct reader){.rb = rb, .first = rb->at + i, .end = end};
		started[i] =
		    i > 0 && pthread_create(&readers[i].thread, NULL, reader_run, &readers[i]) == 0;
	}
	/* What no thread could be made for is done here. */
	for (unsigned i = 0; i < rb->readers; i++)
		if (!started[i])
			reader_run(&readers[i]);
	for (unsigned i = 0; i < rb->readers; i++)
		if (started[i])
			pthread_join(readers[i].thread, NULL);
}

static int
store_one(struct rebuild *rb, const struct item *item, const struct found *found, struct why *why)
{
	struct summary sum;

	switch (found->what) {
	case FOUND_NOTHING:
		return 0;
	case FOUND_DAMAGE:
		if (corrupt_move(rb->folders, item->folder, item->name, found->why.text, why) == -1)
			return -1;
		rb->hooks.on_damage(rb->hooks.arg, item->name, found->why.text);
		return 0;
	case FOUND_MESSAGE:
		break;
	}
	if (summary_decode(&sum, buf_view(&found->row), why) == -1)
		return -1;
	int rc = qindex_put(rb->ix, &sum, why);
	summary_clear(&sum);
	return rc;
}

int
rebuild_step(struct rebuild *rb, struct why *why)
{
	size_t end = rb->n - rb->at < STEP ? rb->n : rb->at + STEP;

	read_step(rb, end);
	if (qindex_begin(rb->ix, why) == -1)
		return -1;
	for (size_t i = rb->at; i < end; i++)
		if (store_one(rb, &rb->items[i], &rb->found[i - rb->at], why) == -1)
			goto fail;
	if (end == rb->n && qindex_complete(rb->ix, why) == -1)
		goto fail;
	if (qindex_commit(rb->ix, why) == -1)
		return -1;
	rb->at = end;
	if (rb->hooks.on_progress != NULL)
		rb->hooks.on_progress(rb->hooks.arg, rb->at, rb->n);
	return rb->at < rb->n ? 1 : 0;
fail:
	qindex_abort(rb->ix);
	return -1;
}
