/* SPDX-License-Identifier: ISC */
/* What the delivery agent's files share. */
#ifndef KP_AGENT_AGENT_H
#define KP_AGENT_AGENT_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/chan/loop.h"

struct event;

/* Something that local wants done. */
struct request {
	struct agent *agent;
	struct chan_head head;
	/* the message */
	char *queue_id, *sender; /* owned */
	uint64_t size, offset;
	int content; /* an open file; -1: `bytes` */
	struct buf bytes;
	/* the action */
	uint64_t kind, flags, timeout_ms;
	char *target, *home, *headers; /* owned */
	struct buf environment;
	/* under way */
	int new_dir;     /* maildir.c: waits for its sync */
	char name[512];  /* ... under this name */
	int64_t give_up; /* file.c: clock_ms, for locks */
	struct event *timer, *output;
	int output_fd; /* command.c */
	pid_t pid;
	bool killed;
	struct buf said; /* by the command */
	TAILQ_ENTRY(request) link;
};

struct agent {
	struct loop loop;
	struct chan *ch;
	TAILQ_HEAD(request_list, request) requests;
	struct loop_task sync; /* maildir.c */
	struct event *on_child;
	unsigned long count; /* of Maildir files, for their names */
};

/* --- the verbs: each ends in request_end(), now or later --- */

void read_targets(struct request *r);
void maildir_deliver(struct request *r);
void maildir_sync(void *agent); /* at a round's end: all that were linked */
void file_deliver(struct request *r);
void command_run(struct request *r);
void command_ended(struct request *r, int status);
void commands_kill(struct agent *a);

/* Answers and frees. `why` holds code and text: of success (class NONE), deferral or bounce. */
void request_end(struct request *r, const struct why *why);
void request_sent(struct request *r, const char *fmt, ...) KP_PRINTF(2, 3);

/* As why_sys(), with the code that the error means: quota 4.2.2, full disk 4.3.1, else `code`. */
int why_file(struct why *why, const char *code, const char *fmt, ...) KP_PRINTF(3, 4);

/*
 * Writes headers and content in Unix form: CRLF becomes LF, the last line is ended. `mbox`: lines
 * that begin with "From " get a '>'. -1 with `why`; the file is as far written as it came.
 */
int content_write(const struct request *r, int fd, bool mbox, struct why *why) KP_MUST_USE;

#endif
