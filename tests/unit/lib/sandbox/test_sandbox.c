/* SPDX-License-Identifier: ISC */
/* The sandbox, proved in children: what is allowed works, what is not ends the process or is
 * refused. */
#include "lib/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/why.h"
#include "tests/unit/test.h"

enum { SANDBOX_FAILED = 99 };

static char dir[] = "/tmp/kp-test-sandbox-XXXXXX";

/* Runs `act` behind the sandbox; the child's wait status. */
static int
run(const struct sandbox *sb, int (*act)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct sandbox_where where = {.root = dir, .empty = dir};
		struct why why;
		if (sandbox_enter(sb, &where, &why) == -1) {
			fprintf(stderr, "%s\n", why.text);
			_exit(SANDBOX_FAILED);
		}
		_exit(act());
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool
killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static int
do_nothing(void)
{
	return getpid() > 0 ? 0 : 1;
}

static int
make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) == -1;
}

static int
trace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}

static int
run_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return 1;
}

static int
become_root(void)
{
	return setuid(0) == 0;
}

static const struct sandbox bare = {.user = NULL};
static const struct sandbox net = {.calls = SANDBOX_NET};

static void
forbidden_calls_end_the_process(void **state)
{
	(void)state;
	assert_int_equal(run(&bare, do_nothing), 0);
	assert_true(killed(run(&bare, make_socket)));
	assert_true(killed(run(&bare, trace)));
	assert_true(killed(run(&bare, run_program)));
	assert_true(killed(run(&bare, become_root)));
	assert_int_equal(run(&net, make_socket), 0);
	assert_true(killed(run(&net, trace)));
}

static int
read_capabilities(void)
{
	return prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == -1;
}

static int
keep_capabilities(void)
{
	return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0;
}

/* A sanitizer's runtime is allowed prctl() as a whole. */
#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* libnss_systemd asks when it is loaded. */
static void
modules_of_nss_may_ask_but_change_nothing(void **state)
{
	const struct sandbox nss = {.calls = SANDBOX_NSS};

	(void)state;
	assert_int_equal(run(&nss, read_capabilities), 0);
	if (SANITIZED)
		skip();
	assert_true(killed(run(&nss, keep_capabilities)));
	assert_true(killed(run(&bare, read_capabilities)));
}

static int
write_inside(void)
{
	char path[64];

	snprintf(path, sizeof path, "%s/mine/new", dir);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	return fd == -1 || write(fd, "x", 1) != 1;
}

static int
read_outside(void)
{
	return open("/etc/passwd", O_RDONLY) == -1 && errno == EACCES ? 0 : 1;
}

static int
write_to_readable(void)
{
	char path[64];

	snprintf(path, sizeof path, "%s/theirs/file", dir);
	if (open(path, O_RDONLY) == -1)
		return 1;
	return open(path, O_WRONLY) == -1 && errno == EACCES ? 0 : 2;
}

static void
only_listed_paths_can_be_used(void **state)
{
	static const struct sandbox_path paths[] = {
	    {"mine",    SANDBOX_WRITE | SANDBOX_CREATE},
            {"theirs",  SANDBOX_READ                  },
	    {"missing", SANDBOX_READ                  },
            {NULL,      0                             }
        };
	const struct sandbox files = {.calls = SANDBOX_FILES, .paths = paths};

	(void)state;
	assert_int_equal(run(&files, write_inside), 0);
	assert_int_equal(run(&files, read_outside), 0);
	assert_int_equal(run(&files, write_to_readable), 0);
}

static int
other_user(void)
{
	return getuid() != 0 && geteuid() != 0 ? 0 : 1;
}

static void
a_user_is_taken_on_and_root_is_gone(void **state)
{
	const struct sandbox nobody = {.user = "nobody", .chroot_empty = true};
	const struct sandbox missing = {.user = "no-such-user-here"};
	const struct sandbox root = {.user = "root"};
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid_t pid = fork();
	if (pid == 0) {
		struct sandbox_where where = {.root = dir, .empty = dir, .privileged = true};
		struct why why;
		if (sandbox_enter(&missing, &where, &why) == 0 ||
		    sandbox_enter(&root, &where, &why) == 0)
			_exit(1);
		if (sandbox_enter(&nobody, &where, &why) == -1)
			_exit(SANDBOX_FAILED);
		_exit(other_user());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int
make_dir(void **state)
{
	char path[64];

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	chmod(dir, 0755);
	snprintf(path, sizeof path, "%s/mine", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/theirs", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/theirs/file", dir);
	return close(open(path, O_WRONLY | O_CREAT, 0600));
}

static int
remove_dir(void **state)
{
	static const char *const names[] = {"mine/new", "theirs/file", "mine", "theirs", ""};
	char path[64];

	(void)state;
	for (size_t i = 0; i < NELEM(names); i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		remove(path);
	}
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(forbidden_calls_end_the_process),
	    cmocka_unit_test(modules_of_nss_may_ask_but_change_nothing),
	    cmocka_unit_test(only_listed_paths_can_be_used),
	    cmocka_unit_test(a_user_is_taken_on_and_root_is_gone),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
