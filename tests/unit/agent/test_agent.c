/* SPDX-License-Identifier: ISC */
/*
 * The delivery agent's writers, as the real program over a real channel, run as the tester:
 * Maildir, mbox, files that must be refused, commands,
 * ~/.forward files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "tests/unit/tree.h"

static char dir[] = "/tmp/kp-agent-XXXXXX";
static struct chan_client *client;
static pid_t agent;

struct outcome {
	uint64_t status;
	char code[16];
	char text[1024];
	char targets[1024]; /* "Ktext;" of AGENT_FORWARD rows */
};

static void
agent_start(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	agent = fork();
	assert_true(agent != -1);
	if (agent == 0) {
		if (dup2(fds[1], 3) == -1)
			_exit(1);
		close_range(4, ~0u, 0);
		execl(getenv("KP_DELIVER"), "deliver", (char *)NULL);
		_exit(1);
	}
	close(fds[1]);
	client = chan_client_new(fds[0]);
}

static void
send_msg(uint32_t id, enum msg_type type, const void *msg)
{
	struct why why;

	if (chan_client_send(client, id, type, msg, &why) == -1)
		fail_msg("%s", why.text);
}

/* Does one thing and waits for its end. `content` NULL: AGENT_READ. */
static void
act(enum agent_kind kind, uint64_t flags, const char *target, const char *content,
    struct outcome *out)
{
	static uint32_t id;
	struct msg_agent_action action = {
	    .kind = kind,
	    .flags = flags,
	    .timeout_ms = 1000,
	    .target = str_from(target),
	    .home = str_from(dir),
	    .headers = STR("Return-Path: <s@e.org>\n"),
	    .environment = str_make("X=y z\0", 6),
	};
	struct chan_head head;
	union msg_any *msg;
	struct why why;

	*out = (struct outcome){.status = 99};
	id++;
	if (content != NULL) {
		struct msg_deliver deliver = {.queue_id = STR("Q"),
		    .sender = STR("s x@e.org"),
		    .size = strlen(content),
		    .content = -1};
		send_msg(id, MSG_DELIVER, &deliver);
	}
	send_msg(id, MSG_AGENT_ACTION, &action);
	if (content != NULL) {
		send_msg(
		    id, MSG_DELIVER_DATA, &(struct msg_deliver_data){.bytes = str_from(content)});
		send_msg(id, MSG_DELIVER_GO, &(struct msg_deliver_go){0});
	}
	do {
		if (chan_client_receive(client, 20000, &head, &msg, &why) != 1)
			fail_msg("the agent is gone: %s", why.text);
		if (head.type == MSG_AGENT_FORWARD)
			snprintf(out->targets + strlen(out->targets),
			    sizeof out->targets - strlen(out->targets), "%llu%.*s;",
			    (unsigned long long)msg->agent_forward.kind,
			    STR_ARG(msg->agent_forward.text));
		if (head.type == MSG_DELIVER_RESULT) {
			out->status = msg->deliver_result.status;
			snprintf(
			    out->code, sizeof out->code, "%.*s", STR_ARG(msg->deliver_result.code));
			snprintf(
			    out->text, sizeof out->text, "%.*s", STR_ARG(msg->deliver_result.text));
		}
	} while (head.type != MSG_DELIVER_END);
}

static char *
path_of(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void
expect(enum agent_kind kind, uint64_t flags, const char *name, const char *content, uint64_t status,
    const char *code)
{
	struct outcome out;
	char *path = name[0] == '/' || kind == AGENT_COMMAND ? xstrdup(name) : path_of(name);

	act(kind, flags, path, content, &out);
	if (out.status != status || (code != NULL && strcmp(out.code, code) != 0))
		fail_msg("%s: status %llu %s (%s)", name, (unsigned long long)out.status, out.code,
		    out.text);
	free(path);
}

static void
file_make(const char *name, const char *text, mode_t mode)
{
	char *path = path_of(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd != -1);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
	free(path);
}

static void
file_is(const char *path, const char *text)
{
	struct buf b;
	struct why why;

	buf_init(&b, 1024 * 1024);
	assert_int_equal(file_read(AT_FDCWD, path, &b, &why), 0);
	assert_string_equal(buf_cstr(&b), text);
	buf_free(&b);
}

/* The number of entries; the last one's path in `last`. */
static int
count(const char *name, char *last, size_t size)
{
	char *path = path_of(name);
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (last != NULL)
			snprintf(last, size, "%s/%s", path, e->d_name);
	}
	closedir(d);
	free(path);
	return n;
}

static void
test_maildir(KP_UNUSED void **state)
{
	char last[4096];

	expect(AGENT_MAILDIR, AGENT_OWN, "a/b/Maildir/",
	    "S: x\r\n\r\nl\r\nFrom y\r\nbare\rcr\r\nend", DELIVERY_SENT, "2.0.0");
	assert_int_equal(count("a/b/Maildir/new", last, sizeof last), 1);
	assert_int_equal(count("a/b/Maildir/tmp", NULL, 0), 0);
	file_is(last, "Return-Path: <s@e.org>\nS: x\n\nl\nFrom y\nbare\rcr\nend\n");
	expect(AGENT_MAILDIR, AGENT_OWN, "a/b/Maildir/", "S: y\r\n\r\n", DELIVERY_SENT, "2.0.0");
	assert_int_equal(count("a/b/Maildir/new", NULL, 0), 2);
}

/* Neither the Maildir nor a folder in it may be a link. */
static void
test_maildir_links(KP_UNUSED void **state)
{
	char *target = path_of("elsewhere"), *link = path_of("linked"),
	     *inner = path_of("inner/new");

	assert_int_equal(mkdir_all(target, 0700), 0);
	assert_int_equal(symlink(target, link), 0);
	expect(AGENT_MAILDIR, AGENT_OWN, "linked", "x\r\n", DELIVERY_DEFERRED, NULL);
	char *inner_top = path_of("inner");
	assert_int_equal(mkdir(inner_top, 0700), 0);
	assert_int_equal(symlink(target, inner), 0);
	expect(AGENT_MAILDIR, AGENT_OWN, "inner/", "x\r\n", DELIVERY_DEFERRED, NULL);
	assert_int_equal(count("elsewhere", NULL, 0), 0);
	free(inner_top);
	free(inner);
	free(link);
	free(target);
}

static void
test_mbox(KP_UNUSED void **state)
{
	char *path = path_of("mbox");
	struct buf b;
	struct why why;

	expect(AGENT_FILE, AGENT_OWN, "mbox", "S: x\r\n\r\nFrom a\r\n>From b\r\nFro\r\nFrom",
	    DELIVERY_SENT, "2.0.0");
	expect(AGENT_FILE, AGENT_OWN, "mbox", "S: y\r\n\r\n", DELIVERY_SENT, "2.0.0");
	buf_init(&b, 4096);
	assert_int_equal(file_read(AT_FDCWD, path, &b, &why), 0);
	assert_true(str_starts(buf_view(&b), STR("From s_x@e.org  ")));
	assert_non_null(strstr(buf_cstr(&b),
	    "\nReturn-Path: <s@e.org>\nS: x\n\n>From a\n>From b\nFro\nFrom\n\nFrom s_x@e.org  "));
	assert_true(str_ends(buf_view(&b), STR("\nS: y\n\n\n")));
	assert_int_equal(access("mbox.lock", F_OK), -1);
	buf_free(&b);
	free(path);
}

static void
test_files_refused(KP_UNUSED void **state)
{
	char *file = path_of("victim"), *link = path_of("symlink"), *hard = path_of("hardlink"),
	     *fifo = path_of("fifo");

	file_make("victim", "keep", 0600);
	assert_int_equal(symlink(file, link), 0);
	expect(AGENT_FILE, AGENT_OWN, "symlink", "x\r\n", DELIVERY_DEFERRED, NULL);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(linkat(AT_FDCWD, file, AT_FDCWD, hard, 0), 0);
	expect(AGENT_FILE, AGENT_OWN, "hardlink", "x\r\n", DELIVERY_DEFERRED, "4.2.0");
	expect(AGENT_FILE, 0, "hardlink", "x\r\n", DELIVERY_DEFERRED, "4.2.0");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	expect(AGENT_FILE, 0, "fifo", "x\r\n", DELIVERY_BOUNCED, "5.2.0");
	file_make("script", "#!/bin/sh\n", 0700);
	expect(AGENT_FILE, 0, "script", "x\r\n", DELIVERY_BOUNCED, "5.7.1");
	file_is(file, "keep");
	expect(AGENT_FILE, 0, "/dev/null", "x\r\n", DELIVERY_SENT, "2.0.0");
	expect(AGENT_FILE, 0, "/proc/self/nothing", "x\r\n", DELIVERY_DEFERRED, NULL);
	free(fifo);
	free(hard);
	free(link);
	free(file);
}

/* Somebody else's lock is waited for, and then it is a temporary error. */
static void
test_locks(KP_UNUSED void **state)
{
	char *path = path_of("locked"), *lock = path_of("locked.lock");
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	file_make("locked.lock", "", 0600);
	expect(AGENT_FILE, AGENT_OWN, "locked", "x\r\n", DELIVERY_DEFERRED, "4.2.0");
	assert_int_equal(unlink(lock), 0);
	file_make("locked", "old\n", 0600);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_SETLK, &whole), 0);
	expect(AGENT_FILE, AGENT_OWN, "locked", "x\r\n", DELIVERY_DEFERRED, "4.2.0");
	file_is(path, "old\n");
	close(fd);
	expect(AGENT_FILE, AGENT_OWN, "locked", "x\r\n", DELIVERY_SENT, "2.0.0");
	assert_int_equal(access(lock, F_OK), -1);
	free(lock);
	free(path);
}

/* A file that may not grow any more, as on a full disk: the mailbox stays as it was, and the error
 * is temporary. */
static void
test_full(KP_UNUSED void **state)
{
	static char big[30000];
	struct rlimit before, small = {8192, 8192};
	char *path = path_of("small");

	memset(big, 'x', sizeof big - 1);
	file_make("small", "old\n", 0600);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	assert_int_equal(prlimit(agent, RLIMIT_FSIZE, &small, NULL), 0);
	expect(AGENT_FILE, AGENT_OWN, "small", big, DELIVERY_DEFERRED, "4.2.2");
	file_is(path, "old\n");
	expect(AGENT_MAILDIR, AGENT_OWN, "small-maildir/", big, DELIVERY_DEFERRED, "4.2.2");
	assert_int_equal(count("small-maildir/new", NULL, 0), 0);
	assert_int_equal(count("small-maildir/tmp", NULL, 0), 0);
	assert_int_equal(prlimit(agent, RLIMIT_FSIZE, &before, NULL), 0);
	expect(AGENT_FILE, AGENT_OWN, "small", big, DELIVERY_SENT, "2.0.0");
	free(path);
}

static void
test_commands(KP_UNUSED void **state)
{
	static const struct {
		const char *command;
		uint64_t status;
		const char *code;
	} commands[] = {
	    {"cat > out; echo \"$X\" >> out",  DELIVERY_SENT,     "2.0.0"},
	    {"true",			   DELIVERY_SENT,     "2.0.0"},
	    {"exit 75",			DELIVERY_DEFERRED, "4.3.0"},
	    {"exit 67",			DELIVERY_BOUNCED,  "5.1.1"},
	    {"exit 77",			DELIVERY_BOUNCED,  "5.7.0"},
	    {"exit 1",			 DELIVERY_BOUNCED,  "5.3.0"},
	    {"kill -9 $$",                     DELIVERY_DEFERRED, "4.3.0"},
	    {"sleep 30",                       DELIVERY_DEFERRED, "4.3.0"},
	    {"/nonexistent/command",           DELIVERY_BOUNCED,  "5.3.0"},
	    {"sleep 20 & exit 0",              DELIVERY_SENT,     "2.0.0"},
	    {"yes | head -c 1000000; exit 64", DELIVERY_BOUNCED,  "5.3.0"},
	};
	char *out = path_of("out");

	for (size_t i = 0; i < NELEM(commands); i++)
		expect(AGENT_COMMAND, 0, commands[i].command, "S: x\r\n\r\nbody\r\n",
		    commands[i].status, commands[i].code);
	file_is(out, "Return-Path: <s@e.org>\nS: x\n\nbody\ny z\n");
	free(out);
}

static void
test_read(KP_UNUSED void **state)
{
	char *path = path_of("forward"), *link = path_of("forward-link");

	expect(AGENT_READ, AGENT_OPTIONAL, "none", NULL, DELIVERY_SENT, NULL);
	expect(AGENT_READ, 0, "none", NULL, DELIVERY_DEFERRED, NULL);
	file_make("forward", "# c\nann, \\joe\n|cmd\n", 0600);
	expect(AGENT_READ, AGENT_OPTIONAL, "forward", NULL, DELIVERY_SENT, NULL);
	file_make("forward", "\"unclosed\nann", 0600);
	expect(AGENT_READ, AGENT_OPTIONAL, "forward", NULL, DELIVERY_DEFERRED, "4.3.5");
	assert_int_equal(symlink(path, link), 0);
	expect(AGENT_READ, AGENT_OPTIONAL, "forward-link", NULL, DELIVERY_SENT, NULL);
	expect(AGENT_READ, 0, "forward-link", NULL, DELIVERY_DEFERRED, NULL);
	free(link);
	free(path);
}

/* All kinds of targets; and a file that everybody may write is as if it were not there. */
static void
test_read_rows(KP_UNUSED void **state)
{
	struct outcome out;
	char *path = path_of("rows");

	file_make("rows", "ann@e.org, \\joe\n|cmd a\n/file\n:include:/x\n", 0600);
	act(AGENT_READ, AGENT_OPTIONAL, path, NULL, &out);
	assert_int_equal(out.status, DELIVERY_SENT);
	assert_string_equal(out.targets, "0ann@e.org;1joe;3cmd a;2/file;4/x;");
	file_make("rows", "ann@e.org\n", 0666);
	act(AGENT_READ, AGENT_OPTIONAL, path, NULL, &out);
	assert_int_equal(out.status, DELIVERY_SENT);
	assert_string_equal(out.targets, "");
	free(path);
}

static int
setup(KP_UNUSED void **state)
{
	if (mkdtemp(dir) == NULL || chdir(dir) == -1)
		return -1;
	agent_start();
	return 0;
}

/* The agent ends when its channel closes. */
static int
teardown(KP_UNUSED void **state)
{
	int status, rc = tree_remove(dir);

	chan_client_free(&client);
	if (waitpid(agent, &status, 0) != agent || status != 0)
		return -1;
	return rc;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_maildir),
	    cmocka_unit_test(test_maildir_links),
	    cmocka_unit_test(test_mbox),
	    cmocka_unit_test(test_files_refused),
	    cmocka_unit_test(test_locks),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_commands),
	    cmocka_unit_test(test_read),
	    cmocka_unit_test(test_read_rows),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
