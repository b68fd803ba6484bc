/* SPDX-License-Identifier: ISC */
/* A scratch queue below a temporary folder, and messages to put in it, for the tests of lib/queue.
 */
#ifndef KP_TEST_QUEUE_SCRATCH_H
#define KP_TEST_QUEUE_SCRATCH_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/queue/envelope.h"
#include "lib/queue/folders.h"
#include "lib/queue/head.h"
#include "tests/unit/tree.h"

struct scratch {
	char path[64];
	struct folders folders;
};

static inline void
scratch_make(struct scratch *s)
{
	struct why why;

	strcpy(s->path, "/tmp/kp-queue-XXXXXX");
	if (mkdtemp(s->path) == NULL)
		fatal_sys("mkdtemp");
	int fd = open(s->path, O_RDONLY | O_DIRECTORY);
	if (folders_open(&s->folders, fd, &why) == -1)
		fatal("%s", why.text);
	close(fd);
}

static inline void
scratch_remove(struct scratch *s)
{
	folders_close(&s->folders);
	if (tree_remove(s->path) == -1)
		fatal_sys("remove %s", s->path);
}

/* Head, content and envelope of a message to one recipient, as cleanup writes them. */
static inline void
scratch_message(struct buf *out, const char *id, const char *rcpt, struct str content)
{
	struct envelope_rcpt row = {
	    .address = str_from(rcpt), .transport = STR("smtp"), .nexthop = STR("example.org")};
	struct envelope env = {.sender = STR("from@example.com"), .rcpts = &row, .nrcpts = 1};
	struct buf envelope;

	buf_init(&envelope, 1 << 20);
	buf_init(out, 1 << 24);
	envelope_encode(&env, &envelope);
	struct head head = {
	    .state = HEAD_COMMITTED,
	    .content_size = content.n,
	    .content_sum = head_sum(content.p, content.n),
	    .envelope_size = envelope.n,
	    .envelope_sum = head_sum(envelope.p, envelope.n),
	    .arrived = 1700000000000000,
	};
	snprintf(head.id, sizeof head.id, "%s", id);
	unsigned char bytes[HEAD_SIZE];
	head_encode(&head, bytes);
	if (buf_add(out, bytes, sizeof bytes) == -1 || buf_str(out, content) == -1 ||
	    buf_str(out, buf_view(&envelope)) == -1)
		fatal("message too large");
	buf_free(&envelope);
}

#endif
