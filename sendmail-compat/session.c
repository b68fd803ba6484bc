/* SPDX-License-Identifier: ISC */
/*
 * -bs: SMTP on standard input and output, spoken by the real smtpd: pickup hands it one end of a
 * socket pair, and this program carries bytes between the other end and its caller. -bv: the same
 * session, asked what it would say to a recipient.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "sendmail-compat/sendmail.h"

enum { PART = 64 * 1024, ANSWER_TIMEOUT_MS = 10 * 1000, REPLY_TIMEOUT_MS = 30 * 1000 };

/* Our end of a session with smtpd, or -1 with `why`. */
static int
open_session(const struct layout *layout, char **argv, struct why *why)
{
	struct chan_client *c = submit_connect(layout, "submit", why);
	struct chan_head head;
	union msg_any *msg;
	int fds[2] = {-1, -1};

	if (c == NULL)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == -1) {
		why_sys(why, "4.3.0", "make a socket");
		goto fail;
	}
	struct buf origin = {.max = 3000};
	for (int i = 0; i < 64 && argv[i] != NULL; i++)
		(void)!buf_printf(&origin, "%s%.200s",
		    i > 0 ? " " : "cmd=", argv[i]); /* cut where it does not fit */
	struct msg_submit_smtp request = {.origin = buf_view(&origin), .socket = fds[0]};
	int sent = chan_client_send(c, 1, MSG_SUBMIT_SMTP, &request, why);
	buf_free(&origin);
	if (sent == -1)
		goto fail;
	int got = chan_client_receive(c, ANSWER_TIMEOUT_MS, &head, &msg, why);
	if (got == 1 && head.type == MSG_DONE) {
		chan_client_free(&c);
		close(fds[0]);
		return fds[1];
	}
	if (got == 1 && head.type == MSG_REFUSED)
		why_from_msg(why, &msg->refused);
	else if (got == 0)
		why_temp(why, "4.3.2", "the mail system went away");
fail:
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	chan_client_free(&c);
	return -1;
}

/* Moves what there is from one descriptor to the other; 0 at the end, -1 on failure. */
static ssize_t
carry(int from, int to)
{
	char part[PART];
	ssize_t n;

	while ((n = read(from, part, sizeof part)) == -1 && errno == EINTR)
		;
	if (n > 0 && write_all(to, part, (size_t)n) == -1)
		return -1;
	return n;
}

/*
 * What a caller says, with the line ends of SMTP. One whose first line ends with LF alone (a shell
 * script) ends all of its lines so, the final dot too; any other's bytes go as they are.
 */
struct caller {
	enum { ENDS_UNKNOWN, ENDS_CRLF, ENDS_LF } ends;
	char last;
};

static void
learn_ends(struct caller *caller, const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n);

	if (lf != NULL && caller->ends == ENDS_UNKNOWN)
		caller->ends = (lf > p ? lf[-1] : caller->last) == '\r' ? ENDS_CRLF : ENDS_LF;
}

static ssize_t
carry_caller(struct caller *caller, int to)
{
	char part[PART], lines[2 * PART];
	size_t used = 0;
	ssize_t n;

	while ((n = read(STDIN_FILENO, part, sizeof part)) == -1 && errno == EINTR)
		;
	if (n <= 0)
		return n;
	learn_ends(caller, part, (size_t)n);
	for (ssize_t i = 0; i < n; i++) {
		if (part[i] == '\n' && caller->ends == ENDS_LF && caller->last != '\r')
			lines[used++] = '\r';
		lines[used++] = caller->last = part[i];
	}
	return write_all(to, lines, used) == -1 ? -1 : n;
}

static int
relay(int socket)
{
	struct caller caller = {ENDS_UNKNOWN, '\0'};
	struct pollfd p[] = {
	    {STDIN_FILENO, POLLIN, 0},
            {socket,       POLLIN, 0}
        };

	for (;;) {
		if (poll(p, 2, -1) == -1) {
			if (errno == EINTR)
				continue;
			return EX_OSERR;
		}
		if (p[1].revents != 0 && carry(socket, STDOUT_FILENO) <= 0)
			return EX_OK; /* smtpd has ended the session */
		if (p[0].revents == 0)
			continue;
		ssize_t n = carry_caller(&caller, socket);
		if (n == -1)
			return EX_OSERR;
		if (n == 0) {
			shutdown(socket, SHUT_WR);
			p[0].fd = -1;
		}
	}
}

int
session_relay(const struct options *o, const struct layout *layout, char **argv)
{
	struct why why = {0};

	signal(SIGPIPE, SIG_IGN);
	int fd = open_session(layout, argv, &why);
	if (fd == -1) {
		/* A client of SMTP understands this better than a message on standard error. */
		printf("421 4.3.2 %s\r\n", why.text);
		fflush(stdout);
		complain(o->name, why.text);
		return EX_TEMPFAIL;
	}
	int status = relay(fd);
	close(fd);
	return status;
}

/* One reply, its last line in `line`; its code, or 0 where none came in time. */
static int
read_reply(int fd, struct buf *in, struct buf *line)
{
	for (;;) {
		ptrdiff_t eol;
		while ((eol = str_chr(buf_view(in), '\n')) != -1) {
			struct str text = str_trim(str_sub(buf_view(in), 0, (size_t)eol));
			uint64_t code;
			bool last = text.n < 4 || text.p[3] != '-';
			buf_reset(line);
			bool fine =
			    buf_str(line, text) == 0 && str_u64(str_sub(text, 0, 3), 599, &code);
			buf_consume(in, (size_t)eol + 1);
			if (!fine)
				return 0;
			if (last)
				return (int)code;
		}
		struct pollfd p = {fd, POLLIN, 0};
		char *room = buf_room(in, 1024);
		if (room == NULL || poll(&p, 1, REPLY_TIMEOUT_MS) <= 0)
			return 0;
		ssize_t n = read(fd, room, 1024);
		if (n <= 0)
			return 0;
		buf_grown(in, (size_t)n);
	}
}

static int
ask(int fd, struct buf *in, struct buf *line, const char *command)
{
	if (write_all(fd, command, strlen(command)) == -1)
		return 0;
	return read_reply(fd, in, line);
}

static int
verify_one(int fd, struct buf *in, const char *recipient)
{
	struct buf line = {.max = 4096};
	int status = EX_TEMPFAIL;

	if (strpbrk(recipient, "\r\n<>") != NULL) {
		printf("%s... malformed address\n", recipient);
		return EX_DATAERR;
	}
	char *command = xasprintf("RCPT TO:<%s>\r\n", recipient);
	int code = ask(fd, in, &line, command);
	free(command);
	if (code >= 200 && code < 300) {
		printf("%s... deliverable\n", recipient);
		status = EX_OK;
	} else {
		printf("%s... %s\n", recipient,
		    code != 0 ? buf_cstr(&line) : "the mail system does not answer");
		if (code >= 500)
			status = EX_NOUSER;
	}
	buf_free(&line);
	return status;
}

int
session_verify(const struct options *o, const struct layout *layout, char **argv)
{
	struct why why = {0};
	struct buf in = {.max = 64 * 1024}, line = {.max = 4096};
	int status = EX_OK;

	if (o->nrecipients == 0) {
		complain(o->name, "-bv: which address?");
		return EX_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	int fd = open_session(layout, argv, &why);
	if (fd == -1) {
		complain(o->name, why.text);
		return EX_TEMPFAIL;
	}
	if (read_reply(fd, &in, &line) != 220 || ask(fd, &in, &line, "EHLO localhost\r\n") != 250 ||
	    ask(fd, &in, &line, "MAIL FROM:<>\r\n") != 250) {
		complain(o->name, line.n > 0 ? buf_cstr(&line) : "the mail system does not answer");
		status = EX_TEMPFAIL;
	}
	for (int i = 0; i < o->nrecipients && status != EX_TEMPFAIL; i++) {
		int one = verify_one(fd, &in, o->recipients[i]);
		if (one != EX_OK)
			status = one;
	}
	(void)!write_all(fd, "QUIT\r\n", 6); /* the close says the same */
	close(fd);
	buf_free(&in);
	buf_free(&line);
	return status;
}
