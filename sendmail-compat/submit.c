/* SPDX-License-Identifier: ISC */
/*
 * Handing a message to pickup over run/submit, with a limit on every wait. Where pickup cannot be
 * had, refuses for now, or dies before it has answered, the message goes to the maildrop instead:
 * rather twice than never. A permanent refusal is the caller's to see.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "sendmail-compat/sendmail.h"

enum {
	REQUEST_ID = 1,
	INLINE_MAX = 60 * 1024,
	ANSWER_TIMEOUT_MS = 60 * 1000,
	PIPE_TIMEOUT_MS = 60 * 1000,
};

void
complain(const char *name, const char *text)
{
	fprintf(stderr, "%s: fatal: %s\n", name, text);
}

int
exit_status(const struct why *why)
{
	static const struct {
		const char *code;
		int status;
	} rows[] = {
	    {"5.1.1", EX_NOUSER },
	    {"5.1.2", EX_NOHOST },
	    {"5.1.3", EX_DATAERR},
	    {"5.1.7", EX_DATAERR},
	    {"5.5.4", EX_USAGE  },
	    {"5.7.1", EX_NOPERM },
	    {"5.3.4", EX_DATAERR},
	    {"5.6.0", EX_DATAERR},
	};

	if (why->class == WHY_TEMP)
		return EX_TEMPFAIL;
	for (size_t i = 0; i < NELEM(rows); i++)
		if (strcmp(why->code, rows[i].code) == 0)
			return rows[i].status;
	return EX_UNAVAILABLE;
}

struct chan_client *
submit_connect(const struct layout *layout, const char *name, struct why *why)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char path[PATH_MAX + 32];

	snprintf(path, sizeof path, "%s/%s", layout->run, name);
	if (!str_copy(sun.sun_path, sizeof sun.sun_path, str_from(path))) {
		why_perm(why, NULL, "%s: longer than a socket's path may be", path);
		return NULL;
	}
	/* Not blocking: a daemon that does not accept (EAGAIN) is like none at all. */
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&sun, sizeof sun) == -1) {
		why_sys(why, "4.3.2", "the mail system is down: %s", path);
		fd_close(&fd);
		return NULL;
	}
	return chan_client_new(fd);
}

int
submit_envelope(
    const struct message *m, int content_fd, submit_put_fn *put, void *arg, struct why *why)
{
	const struct options *o = m->o;
	struct msg_mail_open open = {
	    .sender = str_from(m->sender),
	    .flags =
		MAIL_LOCAL | (o->eight_bit ? MAIL_8BITMIME : 0) | (o->utf8 ? MAIL_SMTPUTF8 : 0),
	    .size = m->content.n,
	    .origin = str_from(m->origin),
	    .full_name = str_from(o->full_name),
	    .envid = str_from(o->envid),
	    .ret = o->ret,
	    .content = content_fd,
	};

	/* -v asks for a report of the delivery, as a notification of whatever comes of it. */
	uint64_t notify = o->notify != 0 || !o->verbose
			      ? o->notify
			      : NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY;

	if (put(arg, MSG_MAIL_OPEN, &open, why) == -1)
		return -1;
	for (size_t i = 0; i < m->nrecipients; i++) {
		struct msg_mail_rcpt rcpt = {
		    .address = str_from(m->recipients[i]), .notify = notify};
		if (put(arg, MSG_MAIL_RCPT, &rcpt, why) == -1)
			return -1;
	}
	return 0;
}

int
submit_content(const struct message *m, submit_put_fn *put, void *arg, struct why *why)
{
	for (struct str rest = buf_view(&m->content); rest.n > 0;) {
		struct msg_mail_data data = {.bytes = str_sub(rest, 0, MSG_CHUNK_MAX)};
		if (put(arg, MSG_MAIL_DATA, &data, why) == -1)
			return -1;
		rest = str_from_at(rest, data.bytes.n);
	}
	return 0;
}

static int
put_to_socket(void *arg, enum msg_type type, const void *msg, struct why *why)
{
	return chan_client_send(arg, REQUEST_ID, type, msg, why);
}

/* Writes the content into a pipe that cleanup reads; gives up when nobody has read for a while. */
static int
feed_pipe(int fd, struct str content, struct why *why)
{
	while (content.n > 0) {
		ssize_t n = write(fd, content.p, content.n);
		if (n >= 0) {
			content = str_from_at(content, (size_t)n);
			continue;
		}
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		if (errno == EINTR || (errno == EAGAIN && poll(&p, 1, PIPE_TIMEOUT_MS) > 0))
			continue;
		return why_sys(why, "4.3.0", "hand over the content");
	}
	return 0;
}

static int
send_large(struct chan_client *c, const struct message *m, struct why *why)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		return why_sys(why, "4.3.0", "make a pipe");
	int result = submit_envelope(m, fds[0], put_to_socket, c, why);
	fd_close(&fds[0]);
	if (result == 0)
		result = feed_pipe(fds[1], buf_view(&m->content), why);
	fd_close(&fds[1]);
	return result;
}

static int
send_message(struct chan_client *c, const struct message *m, struct why *why)
{
	struct msg_mail_commit commit = {.size = m->content.n};
	int result;

	if (m->content.n > INLINE_MAX)
		result = send_large(c, m, why);
	else if ((result = submit_envelope(m, -1, put_to_socket, c, why)) == 0)
		result = submit_content(m, put_to_socket, c, why);
	return result == 0 ? put_to_socket(c, MSG_MAIL_COMMIT, &commit, why) : -1;
}

/* 0: queued; -1: `why`, temporary where it may yet be taken by another way. */
static int
wait_for_answer(struct chan_client *c, struct why *why)
{
	struct chan_head head;
	union msg_any *msg;

	int got = chan_client_receive(c, ANSWER_TIMEOUT_MS, &head, &msg, why);
	if (got == 0)
		return why_temp(why, "4.3.0", "the mail system went away before it answered");
	if (got == -1)
		return -1;
	if (head.type == MSG_MAIL_QUEUED)
		return 0;
	if (head.type != MSG_REFUSED)
		return why_temp(why, "4.3.0", "the mail system gave an answer that makes no sense");
	why_from_msg(why, &msg->refused);
	return -1;
}

int
submit(struct message *m, const struct layout *layout)
{
	struct why why = {0};
	struct chan_client *c = submit_connect(layout, "submit", &why);
	int result = -1;

	signal(SIGPIPE, SIG_IGN);
	if (c != NULL) {
		/* A refusal may come before all is sent, and then says more than the failure to
		 * send. */
		struct why sending = {0};
		int sent = send_message(c, m, &sending);
		result = wait_for_answer(c, &why);
		if (sent == -1 && result == -1 && why.class != WHY_PERM)
			why = sending;
		chan_client_free(&c);
	}
	if (result == 0)
		return EX_OK;
	if (why.class == WHY_PERM) {
		complain(m->o->name, why.text);
		return exit_status(&why);
	}
	return drop(m, layout);
}
