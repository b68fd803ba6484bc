/* SPDX-License-Identifier: ISC */
/* start, stop, reload. */
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sysexits.h>
#include <unistd.h>

#include "control/kingpost.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"

enum { START_TIMEOUT_MS = 60 * 1000, STOP_POLL_MS = 20, STOP_TIMEOUT_MS = 3700 * 1000 };

static pid_t
running_master(const struct kingpost *k)
{
	char path[PATH_MAX + 32];
	struct buf text = {.max = 64};
	struct why why;
	uint64_t pid = 0;

	snprintf(path, sizeof path, "%s/master.pid", k->layout.run);
	if (file_read(AT_FDCWD, path, &text, &why) == -1 ||
	    !str_u64(str_trim(buf_view(&text)), INT32_MAX, &pid))
		pid = 0;
	buf_free(&text);
	if (pid == 0)
		return 0;
	/* The lock on the file says whether its master lives; the number alone may be another
	 * process's by now. */
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd == -1)
		return kill((pid_t)pid, 0) == 0 || errno == EPERM ? (pid_t)pid : 0;
	bool unlocked = flock(fd, LOCK_EX | LOCK_NB) == 0;
	close(fd);
	return unlocked ? 0 : (pid_t)pid;
}

static void
run_master(const struct kingpost *k, int ready, bool foreground)
{
	char path[PATH_MAX + 32], fd[16];

	snprintf(path, sizeof path, "%s/master", k->layout.programs);
	snprintf(fd, sizeof fd, "%d", ready);
	if (!foreground) {
		/* Its standard error goes to a file: last words of programs, which the log may not
		 * have. */
		char errors[PATH_MAX + 32];
		snprintf(errors, sizeof errors, "%s/master.err", k->layout.log);
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		int err =
		    open(errors, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
		setsid();
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(err != -1 ? err : null, STDERR_FILENO);
		fd_close(&null);
		fd_close(&err);
	}
	if (fd_cloexec(ready, 0) == 0)
		execl(path, path, "--root", k->layout.root, "--ready-fd", fd, (char *)NULL);
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	_exit(EX_OSFILE);
}

/* What master says of its start: 0 ready; else why not is on standard error. */
static int
wait_for_ready(int fd)
{
	struct buf text = {.max = 64 * 1024};
	int64_t until = clock_ms() + START_TIMEOUT_MS;
	int status = EX_UNAVAILABLE;

	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};
		int64_t left = until - clock_ms();
		char *room = buf_room(&text, 4096);
		if (room == NULL || left <= 0 || poll(&p, 1, (int)left) == 0) {
			complain(
			    "the mail system is not ready after %d s", START_TIMEOUT_MS / 1000);
			break;
		}
		ssize_t n = read(fd, room, 4096);
		if (n == -1 && errno == EINTR)
			continue;
		if (n > 0) {
			buf_grown(&text, (size_t)n);
			continue;
		}
		if (str_is(buf_view(&text), "ready\n"))
			status = EX_OK;
		else if (text.n > 0)
			fputs(buf_cstr(&text), stderr);
		else
			complain("master ended before it was ready");
		break;
	}
	buf_free(&text);
	return status;
}

/* A first look at the file, so that its faults stand on the caller's terminal. */
static bool
configuration_is_fine(struct kingpost *k)
{
	struct config *config = load_config(k);
	bool fine = config != NULL;

	config_free(&config);
	return fine;
}

int
cmd_start(struct kingpost *k, int argc, char **argv)
{
	bool foreground = argc > 1 && strcmp(argv[1], "--foreground") == 0;
	int fds[2];

	if (argc > 1 && !foreground)
		return EX_USAGE;
	if (running_master(k) != 0) {
		complain(
		    "another master (pid %d) is running on this instance", (int)running_master(k));
		return EX_UNAVAILABLE;
	}
	if (!configuration_is_fine(k))
		return EX_CONFIG;
	if (mkdir_all(k->layout.log, 0750) == -1 || pipe2(fds, O_CLOEXEC) == -1) {
		complain("start: %s", strerror(errno));
		return EX_OSERR;
	}
	pid_t pid = fork();
	if (pid == -1) {
		complain("fork: %s", strerror(errno));
		return EX_OSERR;
	}
	/* In the foreground master is this process, and its child only waits to say "ready". */
	if (foreground ? pid != 0 : pid == 0) {
		close(fds[0]);
		run_master(k, fds[1], foreground);
	}
	close(fds[1]);
	int status = wait_for_ready(fds[0]);
	if (foreground && status == EX_OK)
		puts("ready");
	if (foreground) {
		fflush(stdout);
		_exit(status);
	}
	return status;
}

/* An operator who may not send signals asks on the control socket. */
static int
ask_to_stop(struct kingpost *k, pid_t pid)
{
	struct msg_control request = {.verb = STR("stop")};
	struct why why;

	if (kill(pid, SIGTERM) == 0)
		return 0;
	struct chan_client *c = client_connect(k, "control", &why);
	int result = c != NULL ? client_ask(c, MSG_CONTROL, &request, NULL, NULL, NULL, &why) : -1;
	chan_client_free(&c);
	if (result == -1)
		complain("%s", why.text);
	return result;
}

int
cmd_stop(struct kingpost *k, int argc, char **argv)
{
	int64_t until = clock_ms() + STOP_TIMEOUT_MS;
	pid_t pid = running_master(k);

	(void)argv;
	if (argc > 1)
		return EX_USAGE;
	if (pid == 0)
		return EX_OK;
	if (ask_to_stop(k, pid) == -1)
		return EX_NOPERM;
	while (kill(pid, 0) == 0 || errno == EPERM) {
		if (clock_ms() > until) {
			complain("master (pid %d) does not end", (int)pid);
			return EX_TEMPFAIL;
		}
		poll(NULL, 0, STOP_POLL_MS);
	}
	return EX_OK;
}

static void
print_text(void *arg, enum msg_type type, union msg_any *msg)
{
	(void)arg;
	if (type == MSG_CONTROL_TEXT)
		fwrite(msg->control_text.text.p, 1, msg->control_text.text.n, stderr);
}

int
cmd_reload(struct kingpost *k, int argc, char **argv)
{
	struct msg_control request = {.verb = STR("reload")};
	struct why why;
	uint64_t faults = 0;
	struct chan_client *c = client_connect(k, "control", &why);

	(void)argc;
	(void)argv;
	int result =
	    c != NULL ? client_ask(c, MSG_CONTROL, &request, print_text, NULL, &faults, &why) : -1;
	chan_client_free(&c);
	if (result == -1) {
		complain("%s", why.text);
		return exit_status(&why);
	}
	if (faults > 0)
		complain("the old configuration stays in force");
	return faults > 0 ? EX_CONFIG : EX_OK;
}
