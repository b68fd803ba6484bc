/* SPDX-License-Identifier: ISC */
#include "stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/queue/folders.h"
#include "tests/unit/tree.h"

enum { WAIT_MS = 15000 };

static void
must(int rc)
{
	if (rc == -1)
		panic("a channel of the stage is gone");
}

/* --- master --- */

static void
on_ready(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct stage_program *p = chan_owner(ch);

	(void)head;
	(void)msg;
	p->ready = true;
}

static void
on_failed(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct stage_program *p = chan_owner(ch);

	(void)head;
	fprintf(stderr, "failed: %.*s\n", STR_ARG(msg->failed.text));
	p->failed = true;
}

static void
on_retire(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)ch;
	(void)head;
	(void)msg;
}

static const struct chan_rule from_program[] = {
    {MSG_READY,  on_ready },
    {MSG_FAILED, on_failed},
    {MSG_RETIRE, on_retire},
    {MSG_NONE,   NULL     },
};

static void
on_program_gone(struct chan *ch, void *owner)
{
	struct stage_program *p = owner;

	(void)ch;
	p->master = NULL;
}

static void
set(struct stage_program *p, const char *name, const char *value)
{
	struct msg_setting msg = {.name = str_from(name), .value = str_from(value)};

	must(chan_send(p->master, 0, 0, MSG_SETTING, &msg));
}

static void
spawn_program(struct stage *st, struct stage_program *p, const char *path, const char *name)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		fatal_sys("socketpair");
	p->pid = fork();
	if (p->pid == 0) {
		if (pair[1] == 3)
			fcntl(3, F_SETFD, 0);
		else
			dup2(pair[1], 3);
		/* Looking for leaks at the end needs what the sandbox refuses. */
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	if (fd_nonblock(pair[0]) == -1)
		fatal_sys("socketpair");
	p->ready = p->failed = false;
	p->master = chan_new(&st->loop, pair[0], name, from_program, p, on_program_gone);
	struct msg_hello hello = {
	    .service = str_from(name),
	    .user = STR_EMPTY,
	    .empty = STR("/var/empty"),
	    .root = str_from(st->root),
	};
	must(chan_send(p->master, 0, 0, MSG_HELLO, &hello));
	set(p, "myhostname", "test.example");
	for (size_t i = 0; i < st->nsettings; i++)
		if ((strncmp(st->settings[i][0], "qmgr:", 5) == 0) == (strcmp(name, "qmgr") == 0))
			set(p, st->settings[i][0] + (strcmp(name, "qmgr") == 0 ? 5 : 8),
			    st->settings[i][1]);
}

static int
give_peer(struct stage_program *p, enum program program, int fd)
{
	struct msg_peer msg = {.program = program,
	    .service = str_from(program_name(program)),
	    .id = 1,
	    .pid = 1,
	    .channel = fd};

	must(chan_send(p->master, 0, 0, MSG_PEER, &msg));
	chan_flush(p->master);
	close(fd);
	return 0;
}

/* One end for the program, the other one played here. */
static struct chan *
play(struct stage *st, struct stage_program *p, enum program program, const struct chan_rule *rules,
    chan_gone_fn *gone)
{
	int pair[2], size = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
		fatal_sys("socketpair");
	for (int i = 0; i < 2; i++)
		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == -1)
			fatal_sys("SO_SNDBUF");
	give_peer(p, program, pair[1]);
	return chan_new(&st->loop, pair[0], program_name(program), rules, st, gone);
}

static bool
is_ready(struct stage *st)
{
	return (st->cleanup.pid == 0 || st->cleanup.ready) && (st->qmgr.pid == 0 || st->qmgr.ready);
}

static void
start(struct stage *st, struct stage_program *p)
{
	struct msg_start msg = {0};

	must(chan_send(p->master, 0, 0, MSG_START, &msg));
	stage_until(st, is_ready, "the program is ready");
}

/* The channel between the two, when both are there. */
static void
wire(struct stage *st)
{
	int pair[2];

	if (st->cleanup.pid == 0 || st->qmgr.pid == 0)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
		fatal_sys("socketpair");
	give_peer(&st->cleanup, PROGRAM_QMGR, pair[0]);
	give_peer(&st->qmgr, PROGRAM_CLEANUP, pair[1]);
}

/* --- router --- */

/* "x@DOMAIN" goes by smtp to DOMAIN; "retry.*" and "error.*" domains by those transports. */
static void
on_resolve(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct str address = msg->resolve.address,
		   domain = str_from_at(address, (size_t)str_rchr(address, '@') + 1);
	struct msg_route route = {
	    .class = CLASS_REMOTE,
	    .address = address,
	    .transport = STR("smtp"),
	    .nexthop = domain,
	    .generation = 1,
	    .expand = str_is(domain, "virtual.example"),
	};

	if (str_is(domain, "error.example")) {
		route.transport = STR("error");
		route.nexthop = STR("5.1.1 no such user");
	}
	must(chan_reply(ch, head, MSG_ROUTE, &route));
}

static void
on_expand(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	static const char *const to[] = {"a@one.example", "b@two.example", "a@one.example"};

	(void)msg;
	for (size_t i = 0; i < NELEM(to); i++) {
		struct msg_expanded row = {
		    .address = str_from(to[i]),
		    .class = CLASS_REMOTE,
		    .transport = STR("smtp"),
		    .nexthop = str_from(strchr(to[i], '@') + 1),
		    .generation = 1,
		};
		must(chan_reply(ch, head, MSG_EXPANDED, &row));
	}
	must(chan_done(ch, head, NELEM(to)));
}

static const struct chan_rule router_rules[] = {
    {MSG_RESOLVE, on_resolve},
    {MSG_EXPAND,  on_expand },
    {MSG_NONE,    NULL      },
};

/* --- a worker --- */

static struct stage_delivery *
find_delivery(struct stage *st, const struct chan_head *head)
{
	for (size_t i = st->ndeliveries; i-- > 0;)
		if (st->deliveries[i % STAGE_DELIVERIES].head.id == head->id &&
		    !st->deliveries[i % STAGE_DELIVERIES].answered)
			return &st->deliveries[i % STAGE_DELIVERIES];
	panic("a message of a delivery that has not begun");
}

static void
on_deliver(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct stage *st = chan_owner(ch);
	struct stage_delivery *d = &st->deliveries[st->ndeliveries++ % STAGE_DELIVERIES];

	free(d->content);
	*d = (struct stage_delivery){.head = *head, .content = xcalloc(1, STAGE_CONTENT)};
	str_copy(d->id, sizeof d->id, msg->deliver.queue_id);
	str_copy(d->sender, sizeof d->sender, msg->deliver.sender);
	str_copy(d->transport, sizeof d->transport, msg->deliver.transport);
	str_copy(d->nexthop, sizeof d->nexthop, msg->deliver.nexthop);
	if (msg->deliver.content != -1) {
		d->size = (size_t)msg->deliver.size;
		if (pread(msg->deliver.content, d->content,
			d->size < STAGE_CONTENT ? d->size : STAGE_CONTENT,
			(off_t)msg->deliver.offset) <= 0)
			panic("large content cannot be read");
	}
	st->nrunning++;
}

static void
on_deliver_rcpt(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct stage_delivery *d = find_delivery(chan_owner(ch), head);

	str_copy(d->address[d->nrcpts], sizeof d->address[0], msg->deliver_rcpt.address);
	d->rcpts[d->nrcpts++] = (unsigned)msg->deliver_rcpt.index;
}

static void
on_bounce_rcpt(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct stage_delivery *d = find_delivery(chan_owner(ch), head);

	str_copy(d->address[d->nrcpts], sizeof d->address[0], msg->bounce_rcpt.address);
	d->actions[d->nrcpts] = (unsigned)msg->bounce_rcpt.action;
	d->rcpts[d->nrcpts++] = (unsigned)msg->bounce_rcpt.index;
}

static void
on_deliver_data(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct stage_delivery *d = find_delivery(chan_owner(ch), head);
	struct str bytes = msg->deliver_data.bytes;

	if (d->size + bytes.n < STAGE_CONTENT)
		memcpy(d->content + d->size, bytes.p, bytes.n);
	d->size += bytes.n;
}

void
stage_answer(struct stage *st, struct stage_delivery *d, unsigned status)
{
	struct chan *ch = strcmp(d->transport, "bounce") == 0 ? st->bounce : st->remote;
	struct msg_deliver_end end = {
	    .queue_id = str_from(d->id), .reached = status != DELIVERY_NONE};

	for (size_t i = 0; i < d->nrcpts && ch == st->remote && status != DELIVERY_NONE; i++) {
		unsigned one = status;
		if (strncmp(d->address[i], "defer", 5) == 0)
			one = DELIVERY_DEFERRED;
		if (strncmp(d->address[i], "bounce", 6) == 0)
			one = DELIVERY_BOUNCED;
		if (strncmp(d->address[i], "nohost", 6) == 0) {
			one = DELIVERY_BOUNCED;
			end.reached = 0;
			end.code = STR("5.4.4");
			end.text = STR("Host not found");
		}
		struct msg_deliver_result r = {
		    .queue_id = str_from(d->id),
		    .index = d->rcpts[i],
		    .status = one,
		    .smtp = one == DELIVERY_SENT       ? 250
			    : one == DELIVERY_DEFERRED ? 450
						       : 550,
		    .code = one == DELIVERY_SENT       ? STR("2.0.0")
			    : one == DELIVERY_DEFERRED ? STR("4.2.0")
						       : STR("5.1.1"),
		    .text = one == DELIVERY_SENT ? STR("ok") : STR("host said so"),
		    .relay = STR("host[192.0.2.1]:25"),
		    .mta = STR("host"),
		};
		must(chan_reply(ch, &d->head, MSG_DELIVER_RESULT, &r));
	}
	if (status == DELIVERY_NONE) {
		end.code = STR("4.4.1");
		end.text = STR("connection refused");
	}
	must(chan_reply(ch, &d->head, MSG_DELIVER_END, &end));
	d->answered = true;
	st->nrunning--;
}

static void
on_deliver_go(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct stage *st = chan_owner(ch);
	struct stage_delivery *d = find_delivery(st, head);

	(void)msg;
	d->gone = true;
	if (ch == st->bounce)
		st->nnotices++;
	if (!st->hold_answers || ch == st->bounce)
		stage_answer(
		    st, d, st->unreachable && ch == st->remote ? DELIVERY_NONE : DELIVERY_SENT);
}

static void
on_ack(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct stage *st = chan_owner(ch);

	(void)head;
	(void)msg;
	st->nacks++;
}

/* What is still held open is reported as running. */
static void
on_report(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct stage *st = chan_owner(ch);
	struct msg_report_end end = {0};

	(void)msg;
	for (size_t i = 0; i < STAGE_DELIVERIES; i++) {
		const struct stage_delivery *d = &st->deliveries[i];
		if (!d->gone || d->answered || ch != st->remote)
			continue;
		for (size_t k = 0; k < d->nrcpts; k++) {
			struct msg_report_running row = {
			    .queue_id = str_from(d->id), .index = d->rcpts[k]};
			must(chan_reply(ch, head, MSG_REPORT_RUNNING, &row));
		}
	}
	must(chan_reply(ch, head, MSG_REPORT_END, &end));
}

static const struct chan_rule worker_rules[] = {
    {MSG_DELIVER,      on_deliver     },
    {MSG_DELIVER_RCPT, on_deliver_rcpt},
    {MSG_BOUNCE_RCPT,  on_bounce_rcpt },
    {MSG_DELIVER_DATA, on_deliver_data},
    {MSG_DELIVER_GO,   on_deliver_go  },
    {MSG_DELIVER_ACK,  on_ack         },
    {MSG_REPORT,       on_report      },
    {MSG_NONE,         NULL           },
};

static void
on_played_gone(struct chan *ch, void *owner)
{
	struct stage *st = owner;
	struct chan **all[] = {
	    &st->smtpd, &st->router_of_cleanup, &st->router_of_qmgr, &st->remote, &st->bounce};

	for (size_t i = 0; i < NELEM(all); i++)
		if (*all[i] == ch)
			*all[i] = NULL;
}

/* --- the programs --- */

void
stage_start_cleanup(struct stage *st)
{
	spawn_program(st, &st->cleanup, st->cleanup_path, "cleanup");
	st->smtpd = play(st, &st->cleanup, PROGRAM_SMTPD, NULL, on_played_gone);
	st->router_of_cleanup =
	    play(st, &st->cleanup, PROGRAM_ROUTER, router_rules, on_played_gone);
	wire(st);
	start(st, &st->cleanup);
}

static void
listen_queue(struct stage *st)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/queue.sock", st->root);
	unlink(sun.sun_path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)&sun, sizeof sun) == -1 || listen(fd, 10) == -1)
		fatal_sys("queue socket");
	struct msg_listener msg = {.address = STR("queue"), .socket = fd};
	must(chan_send(st->qmgr.master, 0, 0, MSG_LISTENER, &msg));
	chan_flush(st->qmgr.master);
	close(fd);
}

void
stage_start_qmgr(struct stage *st)
{
	spawn_program(st, &st->qmgr, st->qmgr_path, "qmgr");
	listen_queue(st);
	st->router_of_qmgr = play(st, &st->qmgr, PROGRAM_ROUTER, router_rules, on_played_gone);
	st->remote = play(st, &st->qmgr, PROGRAM_REMOTE, worker_rules, on_played_gone);
	st->bounce = play(st, &st->qmgr, PROGRAM_BOUNCE, worker_rules, on_played_gone);
	wire(st);
	start(st, &st->qmgr);
}

static void
reap(struct stage *st, struct stage_program *p)
{
	int status;

	waitpid(p->pid, &status, 0);
	p->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		panic("a program ended with status %d", WEXITSTATUS(status));
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		panic("a program died of signal %d", WTERMSIG(status));
	stage_for(st, 20); /* its channels' ends are seen */
}

void
stage_kill(struct stage *st, struct stage_program *p)
{
	kill(p->pid, SIGKILL);
	reap(st, p);
}

void
stage_stop(struct stage *st, struct stage_program *p)
{
	struct msg_stop msg = {.grace_ms = 5000};

	must(chan_send(p->master, 0, 0, MSG_STOP, &msg));
	chan_flush(p->master);
	reap(st, p);
}

void
stage_open(struct stage *st, int argc, char **argv)
{
	char path[200];
	static const char *const folders[] = {"", "/spool", "/spool/queue", "/spool/queue/new"};

	if (argc < 3)
		fatal("usage: %s CLEANUP QMGR", argv[0]);
	*st = (struct stage){.cleanup_path = argv[1], .qmgr_path = argv[2], .cat_fd = -1};
	loop_init(&st->loop);
	strcpy(st->root, "/tmp/kp-stage-XXXXXX");
	if (mkdtemp(st->root) == NULL)
		fatal_sys("mkdtemp");
	for (size_t i = 1; i < NELEM(folders); i++) {
		snprintf(path, sizeof path, "%s%s", st->root, folders[i]);
		if (mkdir(path, 0755) == -1)
			fatal_sys("%s", path);
	}
}

void
stage_close(struct stage *st)
{
	if (st->client != NULL)
		chan_close(&st->client);
	if (st->cleanup.pid != 0)
		stage_stop(st, &st->cleanup);
	if (st->qmgr.pid != 0)
		stage_stop(st, &st->qmgr);
	for (size_t i = 0; i < STAGE_DELIVERIES; i++)
		free(st->deliveries[i].content);
	stage_for(st, 50);
	loop_clear(&st->loop);
	if (tree_remove(st->root) == -1)
		fatal_sys("remove %s", st->root);
}

void
stage_until(struct stage *st, bool (*condition)(struct stage *st), const char *what)
{
	int64_t limit = clock_ms() + WAIT_MS;

	while (!condition(st)) {
		if (clock_ms() > limit || st->cleanup.failed || st->qmgr.failed)
			panic("waited in vain until %s", what);
		loop_round(&st->loop, false);
		usleep(200);
	}
}

void
stage_for(struct stage *st, int ms)
{
	int64_t limit = clock_ms() + ms;

	while (clock_ms() < limit) {
		loop_round(&st->loop, false);
		usleep(200);
	}
}

/* --- smtpd --- */

static void
on_submitted(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct stage *st = arg;

	if (msg != NULL && head->type == MSG_MAIL_QUEUED) {
		st->nqueued++;
		str_copy(st->last_id, sizeof st->last_id, msg->mail_queued.queue_id);
	} else {
		st->nrefused++;
		if (msg != NULL)
			why_from_msg(&st->last_why, &msg->refused);
	}
}

void
stage_submit(struct stage *st, const char *sender, const char *const *rcpts, size_t n,
    struct str content, const char *parent, uint64_t flags)
{
	int pipes[2] = {-1, -1};
	bool large = content.n > 64 * 1024;

	if (large &&
	    (pipe2(pipes, O_CLOEXEC) == -1 || fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20) == -1))
		fatal_sys("pipe");
	uint32_t id = chan_open(st->smtpd, on_submitted, st);
	struct msg_mail_open open = {
	    .sender = str_from(sender),
	    .flags = flags,
	    .size = content.n,
	    .service = STR("smtp"),
	    .client_name = STR("client.example"),
	    .client_addr = STR("192.0.2.9"),
	    .helo = STR("client.example"),
	    .proto = STR("ESMTP"),
	    .uid = getuid(),
	    .parent = str_from(parent),
	    .content = pipes[0],
	};
	must(chan_send(st->smtpd, id, 7, MSG_MAIL_OPEN, &open));
	for (size_t i = 0; i < n; i++) {
		struct msg_mail_rcpt rcpt = {.address = str_from(rcpts[i])};
		must(chan_send(st->smtpd, id, 7, MSG_MAIL_RCPT, &rcpt));
	}
	for (struct str rest = content; rest.n > 0 && !large; rest = str_from_at(rest, 30000)) {
		struct msg_mail_data data = {.bytes = str_sub(rest, 0, 30000)};
		must(chan_send(st->smtpd, id, 7, MSG_MAIL_DATA, &data));
	}
	if (large) {
		chan_flush(st->smtpd);
		if (write_all(pipes[1], content.p, content.n) == -1)
			fatal_sys("pipe");
		close(pipes[0]);
		close(pipes[1]);
	}
	struct msg_mail_commit commit = {.size = content.n};
	must(chan_send(st->smtpd, id, 7, MSG_MAIL_COMMIT, &commit));
}

static size_t answers_wanted;

static bool
all_answered(struct stage *st)
{
	return st->nqueued + st->nrefused >= answers_wanted;
}

void
stage_mail(struct stage *st, const char *rcpt, const char *content)
{
	answers_wanted = st->nqueued + st->nrefused + 1;
	stage_submit(st, "from@example.com", &rcpt, 1, str_from(content), "", 0);
	stage_until(st, all_answered, "the message is answered");
}

/* --- the queue's client --- */

static void
on_client_gone(struct chan *ch, void *owner)
{
	struct stage *st = owner;

	(void)ch;
	st->client = NULL;
}

static void
on_listing(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct stage *st = arg;
	char row[400];

	if (msg == NULL || head->type == MSG_REFUSED)
		st->done = true;
	else if (head->type == MSG_QUEUE_ENTRY) {
		st->nentries++;
		snprintf(row, sizeof row, "%.*s %.*s %.*s;", STR_ARG(msg->queue_entry.id),
		    STR_ARG(msg->queue_entry.queue), STR_ARG(msg->queue_entry.sender));
		strncat(st->entries, row, sizeof st->entries - strlen(st->entries) - 1);
	} else if (head->type == MSG_QUEUE_RCPT)
		st->nentry_rcpts++;
	else if (head->type == MSG_DONE) {
		st->done = true;
		st->done_count = msg->done.count;
	}
}

static void
connect_client(struct stage *st)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (st->client != NULL)
		return;
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/queue.sock", st->root);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&sun, sizeof sun) == -1 ||
	    fd_nonblock(fd) == -1)
		fatal_sys("queue socket");
	st->client = chan_new(&st->loop, fd, "queue", NULL, st, on_client_gone);
}

static bool
is_done(struct stage *st)
{
	return st->done;
}

void
stage_list(struct stage *st, const char *queue)
{
	struct msg_queue_list msg = {.queue = str_from(queue)};

	connect_client(st);
	st->nentries = st->nentry_rcpts = 0;
	st->entries[0] = '\0';
	st->done = false;
	if (chan_call(st->client, 0, MSG_QUEUE_LIST, &msg, on_listing, st) == 0)
		panic("no queue socket");
	stage_until(st, is_done, "the listing is complete");
}

void
stage_act(struct stage *st, const char *action, const char *id)
{
	struct msg_queue_act msg = {.action = str_from(action), .id = str_from(id)};

	connect_client(st);
	st->done = false;
	if (chan_call(st->client, 0, MSG_QUEUE_ACT, &msg, on_listing, st) == 0)
		panic("no queue socket");
	stage_until(st, is_done, "the action is done");
}

size_t
stage_count(struct stage *st, const char *folder)
{
	char path[200];
	const struct dirent *row;
	size_t n = 0;

	snprintf(path, sizeof path, "%s/spool/queue/%s", st->root, folder);
	DIR *dir = opendir(path);
	while (dir != NULL && (row = readdir(dir)) != NULL)
		n += strlen(row->d_name) == 19;
	if (dir != NULL)
		closedir(dir);
	return n;
}
