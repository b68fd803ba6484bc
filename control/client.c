/* SPDX-License-Identifier: ISC */
/* Conversations with the suite: always with a limit, never with a program that is not there. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>

#include "control/kingpost.h"
#include "lib/base/io.h"
#include "lib/base/why.h"

void
complain(const char *fmt, ...)
{
	va_list ap;

	fputs("kingpost: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int
exit_status(const struct why *why)
{
	return why->class == WHY_PERM ? EX_UNAVAILABLE : EX_TEMPFAIL;
}

struct chan_client *
client_connect(const struct kingpost *k, const char *name, struct why *why)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char path[PATH_MAX + 32];

	snprintf(path, sizeof path, "%s/%s", k->layout.run, name);
	if (!str_copy(sun.sun_path, sizeof sun.sun_path, str_from(path))) {
		why_perm(why, NULL, "%s: longer than a socket's path may be", path);
		return NULL;
	}
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd != -1 && connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
		return chan_client_new(fd);
	if (errno == EACCES)
		why_perm(why, NULL, "%s: only root and operators may", path);
	else
		why_sys(why, NULL, "the mail system is not running: %s", path);
	fd_close(&fd);
	return NULL;
}

int
client_ask(struct chan_client *c, enum msg_type type, const void *msg, row_fn *on_row, void *arg,
    uint64_t *count, struct why *why)
{
	struct chan_head head;
	union msg_any *row;

	if (chan_client_send(c, 1, type, msg, why) == -1)
		return -1;
	for (;;) {
		int got = chan_client_receive(c, REPLY_TIMEOUT_MS, &head, &row, why);
		if (got == 0)
			return why_temp(why, NULL, "the mail system closed the connection");
		if (got == -1)
			return -1;
		if (head.type == MSG_REFUSED) {
			why_from_msg(why, &row->refused);
			return -1;
		}
		if (head.type == MSG_DONE && count != NULL)
			*count = row->done.count;
		if (head.type == MSG_DONE)
			return 0;
		if (on_row != NULL)
			on_row(arg, head.type, row);
		if (msg_ends(head.type))
			return 0;
	}
}

static void
on_channel(void *arg, enum msg_type type, union msg_any *msg)
{
	int *fd = arg;

	if (type == MSG_CONTROL_CHANNEL)
		*fd = chan_take_fd(&msg->control_channel.channel);
}

struct chan_client *
client_program(const struct kingpost *k, const char *program, struct why *why)
{
	struct chan_client *c = client_connect(k, "control", why);
	struct msg_control request = {.verb = STR("channel"), .argument = str_from(program)};
	int fd = -1;

	if (c == NULL)
		return NULL;
	int result = client_ask(c, MSG_CONTROL, &request, on_channel, &fd, NULL, why);
	chan_client_free(&c);
	if (result == 0 && fd == -1)
		why_temp(why, NULL, "%s is not running", program);
	return fd != -1 ? chan_client_new(fd) : NULL;
}

static void
print_line(void *arg, enum msg_type type, union msg_any *msg)
{
	(void)arg;
	if (type == MSG_CONTROL_TEXT)
		printf("%.*s\n", STR_ARG(msg->control_text.text));
}

int
client_explain(struct kingpost *k, const char *program, const char *what, const char *argument,
    uint64_t *count)
{
	struct msg_explain request = {.what = str_from(what), .argument = str_from(argument)};
	struct why why;
	int status = EX_OK;
	struct chan_client *c = client_program(k, program, &why);

	if (c == NULL ||
	    client_ask(c, MSG_EXPLAIN, &request, print_line, NULL, count, &why) == -1) {
		complain("%s", why.text);
		status = exit_status(&why);
	}
	chan_client_free(&c);
	return status;
}
