/* SPDX-License-Identifier: ISC */
/*
 * What making a message durable costs: a file each with its own sync, beside the journal with one
 *sync a group. Messages come from `sessions` senders that wait for their answer, so a group holds
 *what came while the last sync ran.
 *
 *	queue_commit FOLDER [messages] [size]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/queue/envelope.h"
#include "lib/queue/folders.h"
#include "lib/queue/head.h"
#include "lib/queue/qfile.h"
#include "lib/queue/qid.h"
#include "lib/queue/segment.h"

enum { SEGMENT_SIZE = 16 << 20, GROUP_MAX = 250 };

struct bench {
	struct folders folders;
	struct qid ids;
	struct str content;
	struct buf envelope;
	struct segment segments[2];
	unsigned current;
	uint64_t syncs;
};

static int64_t
cpu_us(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * INT64_C(1000000) +
	       use.ru_utime.tv_usec + use.ru_stime.tv_usec;
}

static void
need(int rc, const struct why *why)
{
	if (rc == -1)
		fatal("%s", why->text);
}

/* One file each: what a queue without a journal does for every message; one sync of the folder a
 * group. */
static void
commit_files(struct bench *b, unsigned n, bool sync_folder)
{
	char names[GROUP_MAX][QID_SIZE];
	struct qfile qf;
	struct why why;

	for (unsigned i = 0; i < n; i++) {
		need(qid_next(&b->ids, names[i], &why), &why);
		need(qfile_create(&qf, b->folders.fd[FOLDER_NEW], names[i], 1, &why), &why);
		need(qfile_write(&qf, b->content, &why), &why);
		need(qfile_finish(&qf, buf_view(&b->envelope), &why), &why);
		need(qfile_sync(&qf, &why), &why);
		qfile_close(&qf);
		b->syncs++;
	}
	if (sync_folder && fsync(b->folders.fd[FOLDER_NEW]) == -1)
		fatal_sys("fsync");
	for (unsigned i = 0; i < n; i++)
		if (unlinkat(b->folders.fd[FOLDER_NEW], names[i], 0) == -1)
			fatal_sys("unlink");
}

static void
commit_journal(struct bench *b, unsigned n, bool unused)
{
	static unsigned char frames[GROUP_MAX][SEGMENT_FRAME + HEAD_SIZE];
	static const char zeros[SEGMENT_ALIGN];
	struct iovec iov[GROUP_MAX * 4];
	uint64_t length = HEAD_SIZE + b->content.n + b->envelope.n, space = segment_space(length),
		 total = 0;
	struct segment *sg = &b->segments[b->current];
	struct why why;

	(void)unused;
	if (space * n > sg->size - sg->end) {
		/* The other one is free by now, as it is in life. */
		b->current ^= 1;
		sg = &b->segments[b->current];
		need(segment_seal(sg, &why), &why);
	}
	for (unsigned i = 0; i < n; i++) {
		struct head head = {
		    .state = HEAD_COMMITTED,
		    .content_size = b->content.n,
		    .content_sum = head_sum(b->content.p, b->content.n),
		    .envelope_size = b->envelope.n,
		    .envelope_sum = head_sum(b->envelope.p, b->envelope.n),
		};
		need(qid_next(&b->ids, head.id, &why), &why);
		segment_frame(sg, sg->end + total, length, frames[i]);
		head_encode(&head, frames[i] + SEGMENT_FRAME);
		iov[i * 4] = (struct iovec){frames[i], sizeof frames[i]};
		iov[i * 4 + 1] = (struct iovec){(void *)(uintptr_t)b->content.p, b->content.n};
		iov[i * 4 + 2] = (struct iovec){b->envelope.p, b->envelope.n};
		iov[i * 4 + 3] = (struct iovec){
		    (void *)(uintptr_t)zeros, (size_t)(space - SEGMENT_FRAME - length)};
		total += space;
	}
	need(segment_write(sg, iov, (size_t)n * 4, total, &why), &why);
	need(segment_sync(sg, &why), &why);
	b->syncs++;
}

static void
measure(struct bench *b, const char *what,
    void (*commit)(struct bench *b, unsigned n, bool sync_folder), unsigned group,
    unsigned messages)
{
	int64_t cpu = cpu_us(), wall = clock_us();
	unsigned done = 0;

	b->syncs = 0;
	while (done < messages) {
		commit(b, group, true);
		done += group;
	}
	cpu = cpu_us() - cpu;
	wall = clock_us() - wall;
	printf("%-28s %6u %10.1f %12.0f %12.2f\n", what, group, (double)cpu / done,
	    done * 1e6 / (double)wall, (double)b->syncs / done);
	fflush(stdout);
}

static void
set_up(struct bench *b, const char *path, size_t size)
{
	struct envelope_rcpt rcpt = {.address = STR("recipient@example.org"),
	    .transport = STR("smtp"),
	    .nexthop = STR("example.org")};
	struct envelope env = {
	    .sender = STR("sender@example.com"),
	    .client_name = STR("client.example.com"),
	    .client_addr = STR("192.0.2.1"),
	    .helo = STR("client.example.com"),
	    .proto = STR("ESMTP"),
	    .rcpts = &rcpt,
	    .nrcpts = 1,
	};
	struct why why;
	char *content = malloc(size);

	if (content == NULL)
		fatal("out of memory");
	memset(content, 'x', size);
	b->content = str_make(content, size);
	buf_init(&b->envelope, 1 << 16);
	envelope_encode(&env, &b->envelope);
	int fd = open(path, O_RDONLY | O_DIRECTORY);
	if (fd == -1)
		fatal_sys("%s", path);
	need(folders_open(&b->folders, fd, &why), &why);
	need(qid_open(&b->ids, b->folders.fd[FOLDER_NEW], &why), &why);
	for (uint64_t i = 0; i < 2; i++)
		need(segment_create(
			 &b->segments[i], b->folders.fd[FOLDER_NEW], i + 1, SEGMENT_SIZE, &why),
		    &why);
	close(fd);
}

int
main(int argc, char **argv)
{
	static const unsigned groups[] = {1, 20, 100};
	struct bench b = {0};

	if (argc < 2)
		fatal("usage: queue_commit FOLDER [messages] [size]");
	unsigned messages = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 20000;
	size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 4096;
	set_up(&b, argv[1], size);
	printf("%zu octets of content, %zu of envelope\n", b.content.n, b.envelope.n);
	printf("%-28s %6s %10s %12s %12s\n", "", "group", "CPU us/msg", "messages/s", "syncs/msg");
	for (size_t i = 0; i < NELEM(groups); i++)
		measure(&b, "a file each, fsync each", commit_files, groups[i],
		    messages / (groups[i] == 1 ? 10 : 4));
	for (size_t i = 0; i < NELEM(groups); i++)
		measure(&b, "journal, a sync a group", commit_journal, groups[i],
		    messages * (groups[i] == 1 ? 1 : 4) / 4);
	return 0;
}
