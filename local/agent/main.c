/* SPDX-License-Identifier: ISC */
/*
 * deliver: local's delivery agent. Runs as the user whose mail it delivers, started by spawn, and
 * does four things on local's word: reads ~/.forward and :include: files, delivers to a Maildir,
 * appends to a file, runs a command.
 *
 * Privilege: the user's own, no filter: users' commands need the system as it is. Trusted: local.
 * Hostile: the content of messages and whatever lies in the file system. Descriptor 3 is the
 * channel; when it closes the agent ends.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "local/agent/agent.h"

enum { CHANNEL_FD = 3 };

/* --- requests --- */

static struct request *
request_find(struct agent *a, uint32_t id)
{
	struct request *r;

	TAILQ_FOREACH (r, &a->requests, link)
		if (r->head.id == id)
			return r;
	return NULL;
}

static struct request *
request_new(struct agent *a, const struct chan_head *head)
{
	struct request *r = xcalloc(1, sizeof *r);

	*r = (struct request){
	    .agent = a, .head = *head, .content = -1, .new_dir = -1, .output_fd = -1};
	TAILQ_INSERT_TAIL(&a->requests, r, link);
	return r;
}

static void
request_free(struct request *r)
{
	TAILQ_REMOVE(&r->agent->requests, r, link);
	if (r->timer != NULL)
		event_free(r->timer);
	if (r->output != NULL)
		event_free(r->output);
	fd_close(&r->output_fd);
	fd_close(&r->new_dir);
	fd_close(&r->content);
	buf_free(&r->bytes);
	buf_free(&r->environment);
	buf_free(&r->said);
	free(r->queue_id);
	free(r->sender);
	free(r->target);
	free(r->home);
	free(r->headers);
	free(r);
}

static void
answer(struct request *r, enum delivery_status status, const char *code, const char *text)
{
	struct msg_deliver_result result = {
	    .queue_id = str_from(r->queue_id),
	    .status = status,
	    .code = str_from(code),
	    .text = str_sub(str_from(text), 0, MSG_TEXT_MAX),
	};
	struct msg_deliver_end end = {.queue_id = str_from(r->queue_id), .reached = 1};

	chan_reply(r->agent->ch, &r->head, MSG_DELIVER_RESULT, &result);
	chan_reply(r->agent->ch, &r->head, MSG_DELIVER_END, &end);
	request_free(r);
}

void
request_end(struct request *r, const struct why *why)
{
	bool bounced = why->class == WHY_PERM;

	answer(r, bounced ? DELIVERY_BOUNCED : DELIVERY_DEFERRED,
	    why->code[0] != '\0' ? why->code
	    : bounced            ? "5.3.0"
				 : "4.3.0",
	    why->text);
}

void
request_sent(struct request *r, const char *fmt, ...)
{
	char text[MSG_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	answer(r, DELIVERY_SENT, "2.0.0", text);
}

int
why_file(struct why *why, const char *code, const char *fmt, ...)
{
	int error = errno;
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (error == EDQUOT || error == EFBIG)
		code = "4.2.2";
	else if (error == ENOSPC)
		code = "4.3.1";
	errno = error;
	return why_sys(why, code, "%s", text);
}

/* --- what local says --- */

static void
on_deliver(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct agent *a = chan_owner(ch);
	const struct msg_deliver *m = &msg->deliver;

	if (request_find(a, head->id) != NULL) {
		chan_fail(ch, "DELIVER twice");
		return;
	}
	struct request *r = request_new(a, head);
	r->queue_id = str_dup(m->queue_id);
	r->sender = str_dup(m->sender);
	r->size = m->size;
	r->offset = m->offset;
	r->content = chan_take_fd(&msg->deliver.content);
	buf_init(&r->bytes, m->size < SIZE_MAX ? (size_t)m->size : 0);
}

static void
on_action(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct agent *a = chan_owner(ch);
	const struct msg_agent_action *m = &msg->agent_action;
	struct request *r = request_find(a, head->id);

	if ((r == NULL) != (m->kind == AGENT_READ) || m->kind == AGENT_NONE ||
	    m->kind >= AGENT_KINDS || (r != NULL && r->target != NULL)) {
		chan_fail(ch, "an action that does not fit");
		return;
	}
	if (r == NULL)
		r = request_new(a, head);
	r->kind = m->kind;
	r->flags = m->flags;
	r->timeout_ms = m->timeout_ms;
	r->target = str_dup(m->target);
	r->home = str_dup(m->home);
	r->headers = str_dup(m->headers);
	buf_init(&r->environment, m->environment.n);
	if (buf_str(&r->environment, m->environment) == -1 ||
	    (m->environment.n > 0 && m->environment.p[m->environment.n - 1] != '\0'))
		chan_fail(ch, "a malformed environment");
	else if (r->kind == AGENT_READ)
		read_targets(r);
}

static void
on_data(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct request *r = request_find(chan_owner(ch), head->id);

	if (r == NULL || r->content != -1 || buf_str(&r->bytes, msg->deliver_data.bytes) == -1)
		chan_fail(ch, "content of no delivery, or more than was said");
}

static void
on_go(struct chan *ch, const struct chan_head *head, KP_UNUSED union msg_any *msg)
{
	static void (*const verbs[AGENT_KINDS])(struct request *) = {
	    [AGENT_MAILDIR] = maildir_deliver,
	    [AGENT_FILE] = file_deliver,
	    [AGENT_COMMAND] = command_run,
	};
	struct request *r = request_find(chan_owner(ch), head->id);

	if (r == NULL || r->target == NULL || r->target[0] == '\0' ||
	    (r->content == -1 && r->bytes.n != r->size) || r->pid != 0 || r->new_dir != -1 ||
	    r->timer != NULL)
		chan_fail(ch, "a delivery that is not complete");
	else
		verbs[r->kind](r);
}

static const struct chan_rule from_local[] = {
    {MSG_DELIVER,      on_deliver},
    {MSG_AGENT_ACTION, on_action },
    {MSG_DELIVER_DATA, on_data   },
    {MSG_DELIVER_GO,   on_go     },
    {MSG_NONE,         NULL      },
};

/* --- the process --- */

static void
on_local_gone(KP_UNUSED struct chan *ch, void *owner)
{
	struct agent *a = owner;

	a->ch = NULL;
	commands_kill(a);
	_exit(EX_OK);
}

static void
on_sigchld(KP_UNUSED evutil_socket_t sig, KP_UNUSED short what, void *arg)
{
	struct agent *a = arg;
	struct request *r, *next;
	int status;

	for (r = TAILQ_FIRST(&a->requests); r != NULL; r = next) {
		next = TAILQ_NEXT(r, link);
		if (r->pid > 0 && waitpid(r->pid, &status, WNOHANG) == r->pid) {
			r->pid = 0;
			command_ended(r, status);
		}
	}
}

int
main(void)
{
	struct agent a = {.count = 0};

	if (fd_cloexec(CHANNEL_FD, 1) == -1 || fd_nonblock(CHANNEL_FD) == -1) {
		fprintf(stderr, "deliver is started by kingpost's spawn, not by hand\n");
		return EX_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write() */
	umask(077);
	tzset();
	TAILQ_INIT(&a.requests);
	loop_init(&a.loop);
	a.sync = (struct loop_task){.on_round_end = maildir_sync, .arg = &a};
	a.ch = chan_new(&a.loop, CHANNEL_FD, "local", from_local, &a, on_local_gone);
	a.on_child = evsignal_new(a.loop.base, SIGCHLD, on_sigchld, &a);
	if (a.on_child == NULL || event_add(a.on_child, NULL) == -1)
		fatal("no event for SIGCHLD");
	loop_run(&a.loop);
	return EX_OK;
}
