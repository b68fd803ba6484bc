/* SPDX-License-Identifier: ISC */
/*
 * A file begins with 64 bytes (magic, version, number, key, checksum), then entries. The key is
 * random, and seeds each checksum. What is lost from this journal at a power cut is delivered
 * again; nothing can get lost by it, because a segment is only given back after a sync of the
 * results that say it is free.
 */
#include "lib/queue/results.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/queue/entry.h"
#include "lib/queue/folders.h"
#include "lib/queue/head.h"
#include "lib/queue/le.h"

enum {
	RESULTS_HEAD = 64,
	RESULTS_SUM = 56,
	RESULTS_VERSION = 1,
	NAME_SIZE = 40,
	PENDING_MAX = 1 << 30
};

static const char results_magic[8] = {'K', 'P', 'R', 'E', 'S', '\0', '\r', '\n'};

struct segment_ref {
	uint64_t segment, seal;
};

struct results_file {
	uint64_t number;
	struct segment_ref *refs; /* what the file speaks of */
	size_t nrefs;
	TAILQ_ENTRY(results_file) link;
};

static void
name_of(uint64_t number, char *name)
{
	snprintf(name, NAME_SIZE, "results-%016llX", (unsigned long long)number);
}

static uint64_t
number_of(const char *name)
{
	char again[NAME_SIZE];

	if (strncmp(name, "results-", 8) != 0)
		return 0;
	uint64_t number = strtoull(name + 8, NULL, 16);
	name_of(number, again);
	return strcmp(name, again) == 0 ? number : 0;
}

static struct results_file *
file_add(struct results_files *files, uint64_t number)
{
	struct results_file *file = xcalloc(1, sizeof *file), *at;

	file->number = number;
	TAILQ_FOREACH_REVERSE(at, files, results_files, link)
	if (at->number < number) {
		TAILQ_INSERT_AFTER(files, at, file, link);
		return file;
	}
	TAILQ_INSERT_HEAD(files, file, link);
	return file;
}

static void
file_drop(struct results_files *files, struct results_file *file)
{
	TAILQ_REMOVE(files, file, link);
	free(file->refs);
	free(file);
}

/* The segment of the last entry is nearly always that of this one: the search begins there. */
static void
file_refer(struct results_file *file, uint64_t segment, uint64_t seal)
{
	for (size_t i = file->nrefs; i-- > 0;)
		if (file->refs[i].seal == seal && file->refs[i].segment == segment)
			return;
	file->refs = xrealloc(file->refs, (file->nrefs + 1) * sizeof *file->refs);
	file->refs[file->nrefs++] = (struct segment_ref){segment, seal};
}

static int
begin(struct results *r, uint64_t number, struct why *why)
{
	unsigned char head[RESULTS_HEAD] = {0};
	char name[NAME_SIZE];
	uint64_t key;

	name_of(number, name);
	int fd = openat(r->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return why_sys(why, "4.3.0", "create %s", name);
	if (getrandom(&key, sizeof key, 0) != sizeof key) {
		why_sys(why, "4.3.0", "random number");
		goto fail;
	}
	memcpy(head, results_magic, sizeof results_magic);
	le16_put(head + 8, RESULTS_VERSION);
	le64_put(head + 16, number);
	le64_put(head + 24, key);
	le64_put(head + RESULTS_SUM, head_sum(head, RESULTS_SUM));
	if (pwrite_all(fd, head, sizeof head, 0) == -1) {
		why_sys(why, "4.3.0", "write %s", name);
		goto fail;
	}
	fd_close(&r->fd);
	r->fd = fd;
	r->key = key;
	r->size = RESULTS_HEAD;
	file_add(&r->files, number);
	return 0;
fail:
	unlinkat(r->dirfd, name, 0);
	close(fd);
	return -1;
}

static int
on_name(void *arg, const char *name)
{
	struct results_files *files = arg;
	uint64_t number = number_of(name);

	if (number != 0)
		file_add(files, number);
	return 0;
}

static void
read_entries(
    struct results_file *file, struct str bytes, uint64_t key, const struct results_visitor *v)
{
	struct entry e;
	size_t at = RESULTS_HEAD;
	int rc;

	while ((rc = entry_decode(bytes, key, 0, &at, &e)) != 0) {
		if (rc == 1) {
			file_refer(file, e.segment, e.seal);
			v->on_entry(v->arg, &e);
			continue;
		}
		if (!entry_follows(bytes, key, 0, at))
			return;
		char name[NAME_SIZE];
		name_of(file->number, name);
		v->on_damage(v->arg, name, at);
		size_t next;
		do {
			at += ENTRY_ALIGN;
			next = at;
		} while (entry_decode(bytes, key, 0, &next, &e) != 1);
	}
}

static int
read_file(int dirfd, struct results_file *file, const struct results_visitor *v, struct why *why)
{
	char name[NAME_SIZE];
	struct buf b;

	name_of(file->number, name);
	buf_init(&b, PENDING_MAX);
	if (file_read(dirfd, name, &b, why) == -1) {
		buf_free(&b);
		return -1;
	}
	if (b.n >= RESULTS_HEAD && memcmp(b.p, results_magic, sizeof results_magic) == 0 &&
	    le64_get(b.p + RESULTS_SUM) == head_sum(b.p, RESULTS_SUM))
		read_entries(file, buf_view(&b), le64_get(b.p + 24), v);
	else if (b.n > RESULTS_HEAD)
		v->on_damage(v->arg, name, 0);
	buf_free(&b);
	return 0;
}

static int
read_all(struct results_files *files, int dirfd, const struct results_visitor *v, struct why *why)
{
	struct results_file *file;

	TAILQ_INIT(files);
	if (folder_each(dirfd, on_name, files, why) == -1)
		return -1;
	TAILQ_FOREACH (file, files, link)
		if (read_file(dirfd, file, v, why) == -1)
			return -1;
	return 0;
}

static void
drop_all(struct results_files *files)
{
	while (!TAILQ_EMPTY(files))
		file_drop(files, TAILQ_FIRST(files));
}

int
results_read(int dirfd, const struct results_visitor *visitor, struct why *why)
{
	struct results_files files;
	int rc = read_all(&files, dirfd, visitor, why);

	drop_all(&files);
	return rc;
}

/* Files that speak of no segment any more; never the one that is written. */
static void
remove_empty(struct results *r)
{
	struct results_file *file, *next;
	char name[NAME_SIZE];

	for (file = TAILQ_FIRST(&r->files); file != NULL; file = next) {
		next = TAILQ_NEXT(file, link);
		if (file->nrefs != 0 || next == NULL)
			continue;
		name_of(file->number, name);
		/* A file that stays is read again, and found empty of meaning, at the next start.
		 */
		(void)unlinkat(r->dirfd, name, 0);
		file_drop(&r->files, file);
	}
}

int
results_open(struct results *r, int dirfd, uint64_t rotate_at,
    const struct results_visitor *visitor, struct why *why)
{
	*r = (struct results){.dirfd = dirfd, .fd = -1, .rotate_at = rotate_at};
	buf_init(&r->pending, PENDING_MAX);
	if (read_all(&r->files, dirfd, visitor, why) == -1 || results_rotate(r, why) == -1) {
		results_close(r);
		return -1;
	}
	return 0;
}

void
results_close(struct results *r)
{
	fd_close(&r->fd);
	buf_free(&r->pending);
	drop_all(&r->files);
}

int
results_rotate(struct results *r, struct why *why)
{
	const struct results_file *last = TAILQ_LAST(&r->files, results_files);

	if (begin(r, last != NULL ? last->number + 1 : 1, why) == -1)
		return -1;
	remove_empty(r);
	return 0;
}

void
results_add(struct results *r, const struct entry *e)
{
	entry_encode(e, r->key, r->size + r->pending.n, &r->pending);
	file_refer(TAILQ_LAST(&r->files, results_files), e->segment, e->seal);
}

bool
results_waiting(const struct results *r)
{
	return r->pending.n != 0;
}

int
results_write(struct results *r, struct why *why)
{
	if (r->pending.n == 0)
		return 0;
	if (pwrite_all(r->fd, r->pending.p, r->pending.n, (off_t)r->size) == -1)
		return why_sys(why, "4.3.0", "write the result journal");
	r->size += r->pending.n;
	buf_reset(&r->pending);
	return 0;
}

bool
results_full(const struct results *r)
{
	return r->size >= r->rotate_at && r->pending.n == 0;
}

void
results_prune(
    struct results *r, bool (*exists)(void *arg, uint64_t segment, uint64_t seal), void *arg)
{
	struct results_file *file;

	TAILQ_FOREACH (file, &r->files, link) {
		size_t kept = 0;
		for (size_t i = 0; i < file->nrefs; i++)
			if (exists(arg, file->refs[i].segment, file->refs[i].seal))
				file->refs[kept++] = file->refs[i];
		file->nrefs = kept;
	}
	remove_empty(r);
}

struct one {
	uint64_t segment, seal;
};

static bool
is_another(void *arg, uint64_t segment, uint64_t seal)
{
	const struct one *one = arg;

	return segment != one->segment || seal != one->seal;
}

void
results_forget(struct results *r, uint64_t segment, uint64_t seal)
{
	struct one one = {segment, seal};

	results_prune(r, is_another, &one);
}
