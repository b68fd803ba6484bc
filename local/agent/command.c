/* SPDX-License-Identifier: ISC */
/*
 * Commands: /bin/sh -c COMMAND with the message as its standard input. The message lies in an
 * unnamed file in memory, so that a command that does not read it, or reads slowly, holds up
 * nobody. The exit status is read by sysexits(3); death by a signal, and the time limit, are
 * temporary.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "local/agent/agent.h"

enum { SAID_MAX = 400, VARIABLES_MAX = 64 };

static const struct {
	int status;
	const char *code, *text;
} exits[] = {
    {EX_USAGE,       "5.3.0", "command line usage error"     },
    {EX_DATAERR,     "5.6.0", "data format error"            },
    {EX_NOINPUT,     "5.3.0", "cannot open input"            },
    {EX_NOUSER,      "5.1.1", "user unknown"                 },
    {EX_NOHOST,      "5.1.2", "host name unknown"            },
    {EX_UNAVAILABLE, "5.3.0", "service unavailable"          },
    {EX_SOFTWARE,    "5.3.0", "internal software error"      },
    {EX_OSERR,       "5.3.0", "system resource problem"      },
    {EX_OSFILE,      "5.3.0", "critical OS file missing"     },
    {EX_CANTCREAT,   "5.2.0", "can't create user output file"},
    {EX_IOERR,       "5.3.0", "input/output error"           },
    {EX_TEMPFAIL,    "4.3.0", "temporary failure"            },
    {EX_PROTOCOL,    "5.5.0", "remote error in protocol"     },
    {EX_NOPERM,      "5.7.0", "permission denied"            },
    {EX_CONFIG,      "5.3.5", "local configuration error"    },
};

/* --- the child --- */

static void
child_environment(struct request *r, char **out)
{
	static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
	size_t n = 0;

	out[n++] = path;
	for (char *p = r->environment.p, *end = p + r->environment.n;
	     p < end && n < VARIABLES_MAX - 1; p += strlen(p) + 1)
		out[n++] = p;
	out[n] = NULL;
}

static void
child_run(struct request *r, int input, int output)
{
	char *environment[VARIABLES_MAX];
	char *const arguments[] = {(char[]){"sh"}, (char[]){"-c"}, r->target, NULL};
	sigset_t none;

	sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL); /* two refuse, and need none */
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (setpgid(0, 0) == -1 || dup2(input, 0) == -1 || dup2(output, 1) == -1 ||
	    dup2(output, 2) == -1 || close_range(3, ~0u, 0) == -1)
		_exit(EX_TEMPFAIL);
	if (chdir(r->home) == -1 && chdir("/") == -1)
		_exit(EX_TEMPFAIL);
	child_environment(r, environment);
	execve("/bin/sh", arguments, environment);
	_exit(EX_TEMPFAIL);
}

/* --- the parent --- */

/* The output is for a line of text: blanks for what is not printable. */
static void
said_tidy(struct request *r)
{
	for (size_t i = 0; i < r->said.n; i++)
		if ((unsigned char)r->said.p[i] < ' ' || r->said.p[i] == 0x7f)
			r->said.p[i] = ' ';
	while (r->said.n > 0 && r->said.p[r->said.n - 1] == ' ')
		buf_cut(&r->said, r->said.n - 1);
}

/* Reads what is there; what is too much is read and dropped. False at the end. */
static bool
output_read(struct request *r)
{
	char part[4096];
	ssize_t n;

	while ((n = read(r->output_fd, part, sizeof part)) > 0) {
		size_t room = r->said.max - r->said.n;
		if (buf_add(&r->said, part, (size_t)n < room ? (size_t)n : room) == -1)
			return false;
	}
	return n == -1 && (errno == EAGAIN || errno == EINTR);
}

static void
on_output(KP_UNUSED evutil_socket_t fd, KP_UNUSED short what, void *arg)
{
	struct request *r = arg;

	if (!output_read(r))
		event_del(r->output);
}

static void
on_limit(KP_UNUSED evutil_socket_t fd, KP_UNUSED short what, void *arg)
{
	struct request *r = arg;

	r->killed = true;
	(void)kill(-r->pid, SIGKILL); /* its end is seen by SIGCHLD */
}

static int
content_make(const struct request *r, struct why *why)
{
	int fd = memfd_create("message", MFD_CLOEXEC);

	if (fd == -1)
		return why_sys(why, "4.3.0", "make room for the message");
	if (content_write(r, fd, false, why) == 0 && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return -1;
}

static int
command_start(struct request *r, struct why *why)
{
	int output[2] = {-1, -1}, input = content_make(r, why);

	if (input == -1)
		return -1;
	if (pipe2(output, O_CLOEXEC) == -1 || (r->pid = fork()) == -1) {
		why_sys(why, "4.3.0", "start a command");
		fd_close(&input);
		fd_close(&output[0]);
		fd_close(&output[1]);
		return -1;
	}
	if (r->pid == 0)
		child_run(r, input, output[1]);
	(void)setpgid(r->pid, r->pid); /* the child does it, too: whoever is first */
	close(input);
	close(output[1]);
	r->output_fd = output[0];
	return fd_nonblock(output[0]) == -1 ? why_sys(why, "4.3.0", "start a command") : 0;
}

void
command_run(struct request *r)
{
	struct timeval limit = clock_tv((int64_t)r->timeout_ms);
	struct why why = {0};

	buf_init(&r->said, SAID_MAX);
	if (command_start(r, &why) == -1) {
		request_end(r, &why);
		return;
	}
	r->output =
	    event_new(r->agent->loop.base, r->output_fd, EV_READ | EV_PERSIST, on_output, r);
	r->timer = evtimer_new(r->agent->loop.base, on_limit, r);
	if (r->output == NULL || event_add(r->output, NULL) == -1 || r->timer == NULL ||
	    evtimer_add(r->timer, &limit) == -1)
		fatal("no events");
}

static void
exit_why(const struct request *r, int code, struct why *why)
{
	const char *said = buf_cstr(&r->said), *mark = r->said.n > 0 ? ". Command output: " : "";

	for (size_t i = 0; i < NELEM(exits); i++) {
		if (exits[i].status != code)
			continue;
		if (exits[i].code[0] == '4')
			why_temp(why, exits[i].code, "%s%s%s", exits[i].text, mark, said);
		else
			why_perm(why, exits[i].code, "%s%s%s", exits[i].text, mark, said);
		return;
	}
	why_perm(why, "5.3.0", "Command died with status %d: \"%.100s\"%s%s", code, r->target, mark,
	    said);
}

void
command_ended(struct request *r, int status)
{
	struct why why = {0};

	(void)output_read(
	    r); /* what is left; a child of the command may hold the pipe for longer */
	said_tidy(r);
	if (r->killed)
		why_temp(&why, "4.3.0", "Command time limit exceeded: \"%.100s\"", r->target);
	else if (WIFSIGNALED(status))
		why_temp(&why, "4.3.0", "Command died with signal %d: \"%.100s\"", WTERMSIG(status),
		    r->target);
	else if (WEXITSTATUS(status) != 0)
		exit_why(r, WEXITSTATUS(status), &why);
	if (why.class == WHY_NONE)
		request_sent(r, "delivered to command: %.400s", r->target);
	else
		request_end(r, &why);
}

/* Nobody wants the results any more: what runs is ended, and delivered again by whoever comes next.
 */
void
commands_kill(struct agent *a)
{
	struct request *r;

	TAILQ_FOREACH (r, &a->requests, link)
		if (r->pid > 0)
			(void)kill(-r->pid, SIGTERM); /* it may have ended just now */
}
