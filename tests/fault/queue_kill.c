/* SPDX-License-Identifier: ISC */
/*
 * Kills of the queue alone. A writer appends messages in groups, makes a file now and then, notes
 * results; what it promises it writes into a ledger first thing after the sync. It is ended at
 * every call that changes the disk, in three ways, by a kill and by a power cut, and at random
 * moments. Then the queue is read as qmgr would: everything promised is there and whole; nothing is
 * there that was never written; nothing is reported as damaged.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/queue/entry.h"
#include "lib/queue/envelope.h"
#include "lib/queue/folders.h"
#include "lib/queue/head.h"
#include "lib/queue/qfile.h"
#include "lib/queue/qid.h"
#include "lib/queue/results.h"
#include "lib/queue/segment.h"
#include "queue_power.h"

enum {
	GROUPS = 6,
	SEGMENT_SIZE = 64 * 1024,
	RANDOM_KILLS = 100,
	MESSAGES_MAX = 200,
	CONTENT = 3000
};

struct promise {
	char what; /* 'M' a message, 'D' a result */
	unsigned number;
	char id[32];
};

static struct folders folders;
static char root[64];
static int ledger;
static unsigned runs, promised, found_total;

/* --- the writer --- */

/* Content that says its own number all over. */
static size_t
fill_content(unsigned number, char *out)
{
	size_t n = 100 + number * 977 % CONTENT;

	for (size_t i = 0; i < n; i++)
		out[i] = (char)('a' + (number * 31 + i * 7 + i / 64) % 26);
	snprintf(out, 32, "number %u", number);
	return n;
}

static void
fill_envelope(unsigned number, struct buf *out)
{
	struct envelope_rcpt rcpt = {.address = STR("rcpt@example.org")};
	struct envelope env = {.sender = STR("sender@example.com"),
	    .uid = number,
	    .flags = 8,
	    .rcpts = &rcpt,
	    .nrcpts = 1};

	envelope_encode(&env, out);
}

static void
promise(char what, unsigned number, const char *id)
{
	char line[64];
	int n = snprintf(line, sizeof line, "%c %u %s\n", what, number, id);

	/* Not by write(): the ledger is no part of what is faulted. */
	if (syscall(SYS_write, ledger, line, (size_t)n) != n)
		fatal_sys("ledger");
}

struct record {
	unsigned number;
	char id[QID_SIZE], content[CONTENT + 128];
	unsigned char frame[SEGMENT_FRAME + HEAD_SIZE];
	struct buf envelope;
	uint64_t offset;
};

static uint64_t
prepare(struct record *r, const struct segment *sg, uint64_t at, unsigned number, struct qid *ids,
    struct iovec *iov)
{
	static const char zeros[SEGMENT_ALIGN];
	struct why why;
	size_t n = fill_content(number, r->content);

	r->number = number;
	r->offset = at;
	if (qid_next(ids, r->id, &why) == -1)
		fatal("%s", why.text);
	buf_init(&r->envelope, 4096);
	fill_envelope(number, &r->envelope);
	struct head head = {
	    .state = HEAD_COMMITTED,
	    .content_size = n,
	    .content_sum = head_sum(r->content, n),
	    .envelope_size = r->envelope.n,
	    .envelope_sum = head_sum(r->envelope.p, r->envelope.n),
	};
	memcpy(head.id, r->id, QID_SIZE);
	uint64_t total = HEAD_SIZE + n + r->envelope.n, space = segment_space(total);
	segment_frame(sg, at, total, r->frame);
	head_encode(&head, r->frame + SEGMENT_FRAME);
	iov[0] = (struct iovec){r->frame, sizeof r->frame};
	iov[1] = (struct iovec){r->content, n};
	iov[2] = (struct iovec){r->envelope.p, r->envelope.n};
	iov[3] = (struct iovec){(void *)(uintptr_t)zeros, (size_t)(space - SEGMENT_FRAME - total)};
	return space;
}

static void
write_group(
    struct segment *sg, struct qid *ids, struct results *results, unsigned first, unsigned n)
{
	static struct record records[8];
	struct iovec iov[8 * 4];
	uint64_t total = 0;
	struct why why;

	for (unsigned i = 0; i < n; i++)
		total +=
		    prepare(&records[i], sg, sg->end + total, first + i, ids, iov + (size_t)i * 4);
	if (segment_write(sg, iov, (size_t)n * 4, total, &why) == -1 ||
	    segment_sync(sg, &why) == -1)
		fatal("%s", why.text);
	for (unsigned i = 0; i < n; i++)
		promise('M', records[i].number, records[i].id);
	struct entry e = {.kind = ENTRY_DONE,
	    .id = str_from(records[0].id),
	    .segment = sg->number,
	    .seal = sg->seal};
	results_add(results, &e);
	if (results_write(results, &why) == -1 || fdatasync(results->fd) == -1 ||
	    fsync(results->dirfd) == -1)
		fatal("%s", why.text);
	promise('D', records[0].number, records[0].id);
	for (unsigned i = 0; i < n; i++)
		buf_free(&records[i].envelope);
}

static void
write_file(struct qid *ids, unsigned number)
{
	struct qfile qf;
	struct buf envelope;
	struct why why;
	char id[QID_SIZE], content[CONTENT + 128];
	size_t n = fill_content(number, content);

	buf_init(&envelope, 4096);
	fill_envelope(number, &envelope);
	if (qid_next(ids, id, &why) == -1 ||
	    qfile_create(&qf, folders.fd[FOLDER_NEW], id, 1, &why) == -1 ||
	    qfile_write(&qf, str_make(content, n / 3), &why) == -1 ||
	    qfile_write(&qf, str_make(content + n / 3, n - n / 3), &why) == -1 ||
	    qfile_finish(&qf, buf_view(&envelope), &why) == -1 || qfile_sync(&qf, &why) == -1 ||
	    fsync(folders.fd[FOLDER_NEW]) == -1)
		fatal("%s", why.text);
	promise('M', number, id);
	qfile_close(&qf);
	buf_free(&envelope);
}

static void
no_entry(void *arg, const struct entry *e)
{
	(void)arg;
	(void)e;
}

static void
no_damage(void *arg, const char *name, uint64_t offset)
{
	(void)arg;
	panic("%s is damaged at %llu before anything was done", name, (unsigned long long)offset);
}

/* One life of a writer. */
static void
run_writer(void)
{
	struct results_visitor visitor = {no_entry, no_damage, NULL};
	struct segment sg;
	struct results results;
	struct qid ids;
	struct why why;
	unsigned number = 1;

	if (qid_open(&ids, folders.fd[FOLDER_NEW], &why) == -1 ||
	    segment_create(&sg, folders.fd[FOLDER_NEW], 1, SEGMENT_SIZE, &why) == -1 ||
	    results_open(&results, folders.fd[FOLDER_RESULTS], 1 << 20, &visitor, &why) == -1)
		fatal("%s", why.text);
	for (unsigned g = 0; g < GROUPS; g++) {
		write_group(&sg, &ids, &results, number, 1 + g % 4);
		number += 1 + g % 4;
		if (g % 3 == 1)
			write_file(&ids, number++);
	}
}

/* --- the reader --- */

struct verdict {
	struct promise promises[MESSAGES_MAX];
	size_t npromises;
	bool there[MESSAGES_MAX];
};

static void
check_message(struct verdict *v, const struct head *head, struct str content, struct str envelope)
{
	char want[CONTENT + 128];
	struct envelope env;
	struct why why;

	if (envelope_decode(&env, envelope, content.n, &why) == -1)
		panic("%s: %s", head->id, why.text);
	unsigned number = (unsigned)env.uid;
	size_t n = fill_content(number, want);
	if (content.n != n || memcmp(content.p, want, n) != 0)
		panic("%s: wrong content", head->id);
	envelope_clear(&env);
	found_total++;
	for (size_t i = 0; i < v->npromises; i++)
		if (v->promises[i].what == 'M' && strcmp(v->promises[i].id, head->id) == 0) {
			if (v->promises[i].number != number)
				panic("%s: another message's content", head->id);
			v->there[i] = true;
		}
}

static void
on_message(void *arg, const struct segment_found *found)
{
	struct head head;
	struct str content, envelope;
	struct why why;

	if (head_message(found->message, &head, &content, &envelope, &why) == -1)
		panic("a message that is not whole was found");
	check_message(arg, &head, content, envelope);
}

static void
on_damage(void *arg, uint64_t offset, struct str bytes, const char *reason)
{
	(void)arg;
	panic("damage at %llu (%zu bytes): %s", (unsigned long long)offset, bytes.n, reason);
}

static void
read_file(struct verdict *v, const char *name, int fd)
{
	struct qfile_read r;
	struct why why;
	char content[CONTENT + 128];

	/* One that was never committed is removed or set aside: no promise was made for it. */
	if (qfile_read(fd, &r, true, &why) != QFILE_WHOLE)
		return;
	if (strcmp(r.head.id, name) != 0 || r.head.content_size > sizeof content ||
	    pread_all(fd, content, (size_t)r.head.content_size, HEAD_SIZE) == -1)
		panic("%s: not the file's own", name);
	check_message(v, &r.head, str_make(content, (size_t)r.head.content_size), r.envelope);
	qfile_read_clear(&r);
}

static int
on_name(void *arg, const char *name)
{
	struct segment_visitor visitor = {on_message, on_damage, arg};
	struct segment_info info;
	struct why why;
	uint64_t end;
	int fd = openat(folders.fd[FOLDER_NEW], name, O_RDWR);

	if (segment_number(name) != 0) {
		/* One whose header never got there has no promises in it; that is seen below. */
		if (segment_info(fd, &info, &why) == 0 &&
		    segment_walk(fd, &info, SEGMENT_START, &visitor, &end, &why) == -1)
			panic("%s", why.text);
	} else if (qid_valid(str_from(name)))
		read_file(arg, name, fd);
	close(fd);
	return 0;
}

static void
on_entry(void *arg, const struct entry *e)
{
	struct verdict *v = arg;

	for (size_t i = 0; i < v->npromises; i++)
		if (v->promises[i].what == 'D' && str_is(e->id, v->promises[i].id))
			v->there[i] = true;
}

static void
on_result_damage(void *arg, const char *name, uint64_t offset)
{
	(void)arg;
	/* A head that was never synced: what was promised by this file is looked for below. */
	if (offset != 0)
		panic("%s is damaged at %llu", name, (unsigned long long)offset);
}

static void
read_ledger(struct verdict *v)
{
	struct buf b;
	struct why why;
	struct str line, word;
	uint64_t number;

	buf_init(&b, 1 << 20);
	int dir = open(root, O_RDONLY | O_DIRECTORY);
	if (file_read(dir, "ledger", &b, &why) == -1)
		fatal("%s", why.text);
	close(dir);
	for (struct str rest = buf_view(&b); str_word(&rest, "\n", &line);) {
		struct promise *p = &v->promises[v->npromises++];
		if (!str_word(&line, " ", &word))
			panic("ledger");
		p->what = word.p[0];
		if (!str_word(&line, " ", &word) || !str_u64(word, 1000, &number) ||
		    !str_copy(p->id, sizeof p->id, line))
			panic("ledger");
		p->number = (unsigned)number;
	}
	buf_free(&b);
}

static void
verify(unsigned step, int when, bool cut, unsigned seed)
{
	struct verdict v = {0};
	struct results_visitor visitor = {on_entry, on_result_damage, &v};
	struct why why;

	read_ledger(&v);
	if (folder_each(folders.fd[FOLDER_NEW], on_name, &v, &why) == -1 ||
	    results_read(folders.fd[FOLDER_RESULTS], &visitor, &why) == -1)
		fatal("%s", why.text);
	for (size_t i = 0; i < v.npromises; i++)
		if (!v.there[i])
			panic("step %u, way %d, %s, seed %u: %c %u %s is lost", step, when,
			    cut ? "power cut" : "kill", seed, v.promises[i].what,
			    v.promises[i].number, v.promises[i].id);
	promised += (unsigned)v.npromises;
	runs++;
}

/* --- the runs --- */

static void
set_up(void)
{
	struct why why;

	strcpy(root, "/tmp/kp-kill-XXXXXX");
	if (mkdtemp(root) == NULL)
		fatal_sys("mkdtemp");
	int dir = open(root, O_RDONLY | O_DIRECTORY);
	if (folders_open(&folders, dir, &why) == -1)
		fatal("%s", why.text);
	/* The power cut is played, and not to the ledger: what is written there stays. */
	ledger = openat(dir, "ledger", O_WRONLY | O_CREAT | O_APPEND, 0600);
	close(dir);
}

static int
remove_one(void *arg, const char *name)
{
	return unlinkat(*(int *)arg, name, 0);
}

static void
tear_down(void)
{
	char path[100];
	static const enum folder all[] = {FOLDER_NEW, FOLDER_CUR, FOLDER_HOLD, FOLDER_CORRUPT,
	    FOLDER_TMP, FOLDER_INDEX, FOLDER_RESULTS};

	for (size_t i = 0; i < NELEM(all); i++) {
		if (folder_each(folders.fd[all[i]], remove_one, &folders.fd[all[i]], NULL) == -1)
			fatal_sys("clean up");
		snprintf(path, sizeof path, "%s/%s", root, folder_name(all[i]));
		rmdir(path);
	}
	folders_close(&folders);
	close(ledger);
	snprintf(path, sizeof path, "%s/ledger", root);
	unlink(path);
	rmdir(root);
}

/* true: the writer came to its end unharmed. */
static bool
one_life(unsigned step, enum power_when when, bool cut, unsigned seed, unsigned kill_after_us)
{
	int status;

	set_up();
	pid_t pid = fork();
	if (pid == 0) {
		power_set(step, when, cut, seed);
		run_writer();
		_exit(0);
	}
	if (kill_after_us > 0) {
		usleep(kill_after_us);
		kill(pid, SIGKILL);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		panic("the writer ended with status %d", WEXITSTATUS(status));
	verify(step, (int)when, cut, seed);
	tear_down();
	return WIFEXITED(status);
}

int
main(void)
{
	unsigned steps = 0;

	for (bool unharmed = false; !unharmed; steps++)
		unharmed = one_life(steps + 1, POWER_BEFORE, false, 1, 0);
	for (unsigned step = 1; step < steps; step++) {
		one_life(step, POWER_PARTLY, false, 1, 0);
		one_life(step, POWER_AFTER, false, 1, 0);
		for (unsigned seed = 1; seed <= 4; seed++)
			one_life(step, (enum power_when)(seed % POWER_MODES), true,
			    step * 100 + seed, 0);
	}
	srand((unsigned)getpid());
	for (unsigned i = 0; i < RANDOM_KILLS; i++)
		one_life(0, POWER_BEFORE, false, 1, 1 + (unsigned)rand() % 6000);
	printf("%u steps, %u lives, %u promises, %u messages found: none lost, none torn\n",
	    steps - 1, runs, promised, found_total);
	if (steps < 30 || promised < runs)
		panic("too little has happened for this to mean anything");
	return 0;
}
