/* SPDX-License-Identifier: ISC */
/*
 * A message into the maildrop, for when the suite is down: its messages go, framed, to the setgid
 * helper `maildrop`, which alone may write that folder. Success is what the helper says after its
 * sync.
 */
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/why.h"
#include "lib/chan/packet.h"
#include "sendmail-compat/sendmail.h"

/* One frame: a length of 4 bytes, little-endian, and a packet of one message. */
static int
put_to_helper(void *arg, enum msg_type type, const void *msg, struct why *why)
{
	const int *fd = arg;
	struct packet packet = {.bytes = {.max = PACKET_MAX}};
	struct chan_head head = {.id = 1, .type = type};
	bool full;
	int result = -1;

	if (packet_add(&packet, &head, false, msg, &full, why) == 0) {
		uint32_t n = htole32((uint32_t)packet.bytes.n);
		if (write_all(*fd, &n, sizeof n) == 0 &&
		    write_all(*fd, packet.bytes.p, packet.bytes.n) == 0)
			result = 0;
		else
			why_sys(why, "4.3.0", "write to the maildrop");
	}
	packet_reset(&packet);
	buf_free(&packet.bytes);
	return result;
}

static void
run_helper(const struct layout *layout, int input)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof path, "%s/maildrop", layout->programs);
	if (dup2(input, STDIN_FILENO) == -1)
		_exit(EX_OSERR);
	execl(path, path, (char *)NULL);
	fprintf(stderr, "sendmail: fatal: run %s: %s\n", path, strerror(errno));
	_exit(EX_OSERR);
}

static int
send_all(const struct message *m, int fd, struct why *why)
{
	struct msg_mail_commit commit = {.size = m->content.n};

	if (submit_envelope(m, -1, put_to_helper, &fd, why) == -1 ||
	    submit_content(m, put_to_helper, &fd, why) == -1)
		return -1;
	return put_to_helper(&fd, MSG_MAIL_COMMIT, &commit, why);
}

int
drop(const struct message *m, const struct layout *layout)
{
	struct why why = {0};
	int fds[2], status = 0;

	signal(SIGCHLD, SIG_DFL);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == -1) {
		complain(m->o->name, "cannot start the maildrop helper");
		return EX_TEMPFAIL;
	}
	pid_t pid = fork();
	if (pid == 0)
		run_helper(layout, fds[0]);
	close(fds[0]);
	int sent = pid != -1 ? send_all(m, fds[1], &why) : -1;
	close(fds[1]);
	while (pid != -1 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (sent == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return EX_OK;
	complain(
	    m->o->name, "the mail system is down and the message cannot be kept in the maildrop");
	return EX_TEMPFAIL;
}
