/* SPDX-License-Identifier: ISC */
/*
 * remote against scripted servers: each file of dialogues/ says what qmgr gives, what the servers
 *say, what remote must say and what it must report. Servers listen on 127.0.0.1 to 127.0.0.4, on
 *one port (PORT in the text); 127.0.0.9 has none.
 *
 *	@set NAME = VALUE         @dns NAME TYPE DATA (TYPE MX, A, NODATA, FAILED; a name without
 *any is NXDOMAIN) D: transport nexthop | sender | flags facts ret envid | rcpt[,notify[,orcpt]] ...
 *| content (or @BYTES of a file)
 *	@accept N   the connection to 127.0.0.N (0: the UNIX socket /lmtp)       @none N   there is
 *none S: a line of the server    C: the next line of remote    X: raw octets of content that must
 *come R: index status smtp code text   E: reached (the delivery's end)   K: queue id to acknowledge
 *	@close      by the server   @closed   by remote     @wait MS   @qmgr new channel   @running
 *N L: a line of the log
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "remote/delivery.h"
#include "remote/service.h"
#include "remote/session.h"

enum { SERVERS = 4, RECORDS = 32 };

struct player {
	struct service service;
	struct remote_conf conf;
	struct remote *remote;
	int unix_fd; /* the server's end of what master connected */
	struct chan *master, *master_far, *qmgr, *qmgr_far, *resolver, *resolver_far, *log_near,
	    *log_far;
	const char *file;
	int line;
	int listeners[SERVERS];
	unsigned port;
	int fd; /* the connection under test */
	bool eof, chopped;
	struct buf got, say, results, log;
	size_t log_at;
	unsigned serial, running;
	uint32_t last_id;
	struct {
		char name[64], type[8], data[64];
	} records[RECORDS];
	size_t nrecords;
};

static struct player *the_player;

struct chan *
service_peer(struct service *s, enum program p, uint64_t hash)
{
	(void)s;
	(void)hash;
	return p == PROGRAM_RESOLVER ? the_player->resolver : NULL;
}

struct chan *
service_master(struct service *s)
{
	(void)s;
	return the_player->master;
}

void
service_worked(struct service *s)
{
	(void)s;
}

void
service_exit(struct service *s)
{
	(void)s;
}

#define FAIL(p, ...)                                                                              \
	do {                                                                                      \
		fprintf(                                                                          \
		    stderr, "%s:%d%s: ", (p)->file, (p)->line, (p)->chopped ? " (chopped)" : ""); \
		fprintf(stderr, __VA_ARGS__);                                                     \
		fprintf(stderr, "\n--- log\n%s--- results\n%s---\n", buf_cstr(&(p)->log),         \
		    buf_cstr(&(p)->results));                                                     \
		fail();                                                                           \
	} while (0)

static void
must(int rc)
{
	if (rc == -1)
		panic("test: no room");
}

/* --- partners --- */

static unsigned
record_type(const char *type)
{
	return strcmp(type, "MX") == 0 ? 15 : strcmp(type, "A") == 0 ? 1 : 0;
}

static void
send_record(struct chan *ch, const struct chan_head *head, const char *type, const char *data)
{
	struct msg_dns_record record = {.type = record_type(type)};
	struct in_addr in4;
	char name[64];
	unsigned preference;

	if (record.type == 15 && sscanf(data, "%u %63s", &preference, name) == 2) {
		record.preference = preference;
		record.data = strcmp(name, ".") == 0 ? STR_EMPTY : str_from(name);
	} else if (inet_pton(AF_INET, data, &in4) == 1) {
		record.data = str_make((const char *)&in4, 4);
	}
	must(chan_reply(ch, head, MSG_DNS_RECORD, &record));
}

static void
on_dns(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct player *p = chan_owner(ch);
	struct msg_dns_answer answer = {
	    .status = DNS_NXDOMAIN, .name = msg->dns_query.name, .ttl = 60, .text = STR_EMPTY};

	for (size_t i = 0; i < p->nrecords; i++) {
		if (!str_is(msg->dns_query.name, p->records[i].name))
			continue;
		if (strcmp(p->records[i].type, "FAILED") == 0)
			answer.status = DNS_FAILED;
		else if (answer.status == DNS_NXDOMAIN)
			answer.status = DNS_NODATA;
		if (record_type(p->records[i].type) != msg->dns_query.type)
			continue;
		answer.status = DNS_OK;
		send_record(ch, head, p->records[i].type, p->records[i].data);
	}
	must(chan_reply(ch, head, MSG_DNS_ANSWER, &answer));
}

static const char *const status_words[] = {
    "NONE", "SENT", "RELAYED", "EXPANDED", "DEFERRED", "BOUNCED"};

static void
add_result(struct player *p, const struct msg_deliver_result *r)
{
	must(buf_printf(&p->results, "%d %s %d %.*s %.*s\n", (int)r->index, status_words[r->status],
	    (int)r->smtp, STR_ARG(r->code), STR_ARG(r->text)));
}

static void
on_result(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)head;
	add_result(chan_owner(ch), &msg->deliver_result);
}

static void
on_end(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct player *p = chan_owner(ch);

	(void)head;
	must(buf_printf(&p->results, "end %d\n", (int)msg->deliver_end.reached));
}

static void
on_reply(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct player *p = arg;

	if (msg == NULL)
		return;
	if (head->type == MSG_DELIVER_RESULT)
		add_result(p, &msg->deliver_result);
	else if (head->type == MSG_REPORT_RUNNING)
		p->running++;
	else if (head->type == MSG_DELIVER_END)
		must(buf_printf(&p->results, "end %d\n", (int)msg->deliver_end.reached));
}

static void
on_log(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct player *p = chan_owner(ch);
	const struct log_form *form = log_form((unsigned)msg->log.event);
	_Alignas(16) char record[2048];

	(void)head;
	if (wire_decode(&form->type, msg->log.record, NULL, 0, record, NULL) == -1)
		panic("test: log record");
	log_render_text(form, record, &p->log);
	must(buf_puts(&p->log, "\n"));
}

/* master: any UNIX path but /gone is a socket pair. */
static void
on_connect(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct player *p = chan_owner(ch);
	struct msg_connected reply;
	struct why why;
	int fds[2];

	if (!str_is(msg->connect.target, "unix:/lmtp")) {
		why_temp(&why, NULL, "No such file or directory");
		must(chan_refuse(ch, head, &why));
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == -1)
		fatal_sys("socketpair");
	reply.socket = fds[0];
	must(chan_reply(ch, head, MSG_CONNECTED, &reply));
	close(fds[0]);
	fd_close(&p->unix_fd);
	p->unix_fd = fds[1];
	must(fd_nonblock(fds[1]));
}

static const struct chan_rule master_rules[] = {
    {MSG_CONNECT, on_connect},
    {MSG_NONE,    NULL      },
};
static const struct chan_rule dns_rules[] = {
    {MSG_DNS_QUERY, on_dns},
    {MSG_NONE,      NULL  },
};
static const struct chan_rule log_rules[] = {
    {MSG_LOG,  on_log},
    {MSG_NONE, NULL  },
};
static const struct chan_rule qmgr_rules[] = {
    {MSG_DELIVER_RESULT, on_result},
    {MSG_DELIVER_END,    on_end   },
    {MSG_NONE,           NULL     },
};
static const struct chan_rule no_rules[] = {
    {MSG_NONE, NULL},
};

/* As the service skeleton does. */
static void
on_near_gone(struct chan *ch, void *owner)
{
	struct player *p = the_player;

	(void)owner;
	if (ch == p->qmgr) {
		p->qmgr = NULL;
		deliveries_lost_qmgr(p->remote, ch);
	}
}

static void
link_chan(struct player *p, struct chan **near, const struct chan_rule *near_rules,
    struct chan **far, const struct chan_rule *far_rules)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == -1)
		fatal_sys("socketpair");
	*near = chan_new(&p->service.loop, fds[0], "near", near_rules, &p->service, on_near_gone);
	*far = chan_new(&p->service.loop, fds[1], "far", far_rules, p, NULL);
}

static void
rounds(struct player *p)
{
	char room[65536];
	ssize_t n = -1;

	for (int i = 0; i < 12; i++)
		loop_round(&p->service.loop, false);
	while (p->fd != -1 && (n = read(p->fd, room, sizeof room)) > 0) {
		must(buf_add(&p->got, room, (size_t)n));
		for (int i = 0; i < 4; i++)
			loop_round(&p->service.loop, false);
	}
	if (n == 0)
		p->eof = true;
}

/* --- the servers --- */

static int
listen_at(int n, unsigned *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
	socklen_t size = sizeof sa;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(0x7f000000u + (unsigned)n);
	if (fd == -1 || bind(fd, (struct sockaddr *)&sa, size) == -1 || listen(fd, 10) == -1)
		fatal_sys("listen");
	if (*port == 0 && getsockname(fd, (struct sockaddr *)&sa, &size) == 0)
		*port = ntohs(sa.sin_port);
	return fd;
}

static void
start(struct player *p)
{
	struct why why;

	if (p->remote != NULL)
		return;
	link_chan(p, &p->qmgr, remote_from_qmgr, &p->qmgr_far, qmgr_rules);
	link_chan(p, &p->master, no_rules, &p->master_far, master_rules);
	link_chan(p, &p->resolver, no_rules, &p->resolver_far, dns_rules);
	link_chan(p, &p->log_near, no_rules, &p->log_far, log_rules);
	log_channel(p->log_near);
	if (remote_start(&p->service, &why) == -1)
		panic("test: %s", why.text);
	p->remote = p->service.state;
}

/* Replaces PORT by the port. */
static void
replace_port(struct player *p, const char *text, char *out, size_t size)
{
	struct buf b = {.max = size - 1};
	const char *at = strstr(text, "PORT");

	if (at == NULL)
		assert_int_equal(buf_puts(&b, text), 0);
	else
		assert_int_equal(
		    buf_printf(&b, "%.*s%u%s", (int)(at - text), text, p->port, at + 4), 0);
	assert_true(str_copy(out, size, buf_view(&b)));
	buf_free(&b);
}

/* --- what qmgr gives --- */

static void
say_all(struct player *p)
{
	struct str all = buf_view(&p->say);

	if (all.n == 0)
		return;
	for (size_t i = 0; i < all.n; i += p->chopped ? 1 : all.n) {
		if (write_all(p->fd, all.p + i, p->chopped ? 1 : all.n) == -1)
			FAIL(p, "cannot write");
		if (p->chopped)
			rounds(p);
	}
	buf_reset(&p->say);
	rounds(p);
}

static char *
part(char **rest)
{
	char *start_of = *rest, *bar = strstr(*rest, "|");

	if (bar == NULL) {
		*rest += strlen(*rest);
	} else {
		*bar = '\0';
		*rest = bar + 1;
	}
	while (*start_of == ' ')
		start_of++;
	for (size_t n = strlen(start_of); n > 0 && start_of[n - 1] == ' ';)
		start_of[--n] = '\0';
	return start_of;
}

static void
unescape(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		char c = *text;
		if (c == '\\') {
			text++;
			c = *text == 'r' ? '\r' : *text == 'n' ? '\n' : *text;
		}
		must(buf_byte(out, c));
	}
}

static int
make_file(size_t size, struct buf *content)
{
	int fd = memfd_create("content", MFD_CLOEXEC);

	for (size_t i = 0; i + 1 < size; i++)
		must(buf_byte(content, i % 64 == 62   ? '\r'
				       : i % 64 == 63 ? '\n'
				       : i % 64 == 0  ? '.'
						      : 'x'));
	while (content->n > size - 2)
		buf_cut(content, content->n - 1);
	must(buf_puts(content, "\r\n"));
	if (fd == -1 || write_all(fd, "prefix", 6) == -1 ||
	    write_all(fd, content->p, content->n) == -1)
		fatal_sys("memfd");
	return fd;
}

static void
do_deliver(struct player *p, char *text)
{
	char transport[32], nexthop[200], id[32], all[8192];
	int flags = 0, facts = 0, ret = 0;
	char envid[64] = "";
	struct buf content;

	start(p);
	say_all(p);
	replace_port(p, text, all, sizeof all);
	text = all;
	buf_init(&content, 1 << 24);
	if (sscanf(part(&text), "%31s %199s", transport, nexthop) != 2)
		FAIL(p, "transport and next hop");
	char *sender = part(&text);
	sscanf(part(&text), "%d %d %d %63s", &flags, &facts, &ret, envid);
	char *rcpts = part(&text);
	char *body = part(&text);
	int file = -1;
	if (*body == '@')
		file = make_file((size_t)strtoul(body + 1, NULL, 10), &content);
	else
		unescape(&content, body);

	uint64_t count = 1;
	for (const char *c = rcpts; *c != '\0'; c++)
		count += *c == ' ';
	snprintf(id, sizeof id, "Q%u", ++p->serial);
	struct msg_deliver d = {
	    .queue_id = str_from(id),
	    .sender = str_from(sender),
	    .transport = str_from(transport),
	    .nexthop = str_from(nexthop),
	    .flags = (uint64_t)flags,
	    .facts = (uint64_t)facts,
	    .ret = (uint64_t)ret,
	    .envid = str_from(envid),
	    .size = content.n,
	    .offset = file != -1 ? 6 : 0,
	    .arrived = (uint64_t)wall_us(),
	    .active = (uint64_t)wall_us(),
	    .attempt = 1,
	    .recipients = count,
	    .client_addr = STR_EMPTY,
	    .content = file,
	};
	p->last_id = chan_open(p->qmgr_far, on_reply, p);
	must(chan_send(p->qmgr_far, p->last_id, 1, MSG_DELIVER, &d));
	char *save = NULL;
	uint64_t index = 0;
	for (char *r = strtok_r(rcpts, " ", &save); r != NULL; r = strtok_r(NULL, " ", &save)) {
		char address[200], orcpt[200] = "";
		int notify = 0;
		sscanf(r, "%199[^,],%d,%199s", address, &notify, orcpt);
		struct msg_deliver_rcpt m = {
		    .index = index++,
		    .address = str_from(address),
		    .original = str_from(address),
		    .orcpt = str_from(orcpt),
		    .notify = (uint64_t)notify,
		};
		must(chan_send(p->qmgr_far, p->last_id, 1, MSG_DELIVER_RCPT, &m));
	}
	if (file == -1 && content.n > 0) {
		struct msg_deliver_data m = {.bytes = buf_view(&content)};
		must(chan_send(p->qmgr_far, p->last_id, 1, MSG_DELIVER_DATA, &m));
	}
	struct msg_deliver_go go = {0};
	must(chan_send(p->qmgr_far, p->last_id, 1, MSG_DELIVER_GO, &go));
	fd_close(&file);
	buf_free(&content);
	rounds(p);
}

/* --- the lines --- */

static void
expect_line(struct player *p, const char *text)
{
	char want[4096];

	replace_port(p, text, want, sizeof want);
	say_all(p);
	rounds(p);
	ptrdiff_t lf = str_chr(buf_view(&p->got), '\n');
	if (lf < 1)
		FAIL(p, "wanted \"%s\", got \"%s\"", want, buf_cstr(&p->got));
	struct str line = str_sub(buf_view(&p->got), 0, (size_t)lf - 1);
	if (!str_is(line, want))
		FAIL(p, "wanted \"%s\", got \"%.*s\"", want, STR_ARG(line));
	buf_consume(&p->got, (size_t)lf + 1);
}

static void
expect_octets(struct player *p, size_t n)
{
	say_all(p);
	rounds(p);
	if (p->got.n < n)
		FAIL(p, "wanted %zu octets, got %zu", n, p->got.n);
	buf_consume(&p->got, n);
}

static bool
like(struct str got, struct str want)
{
	if (want.n > 0 && want.p[want.n - 1] == '*')
		return str_starts(got, str_sub(want, 0, want.n - 1));
	return str_eq(got, want);
}

static void
expect_result(struct player *p, const char *text)
{
	char want[4096];

	replace_port(p, text, want, sizeof want);
	say_all(p);
	rounds(p);
	ptrdiff_t lf = str_chr(buf_view(&p->results), '\n');
	if (lf < 0 || !like(str_sub(buf_view(&p->results), 0, (size_t)lf), str_from(want)))
		FAIL(p, "wanted result \"%s\"", want);
	buf_consume(&p->results, (size_t)lf + 1);
}

/* The delays change from run to run: they are cut out of what is compared. */
static void
expect_log(struct player *p, const char *text)
{
	char want[4096], line[4096];

	replace_port(p, text, want, sizeof want);
	rounds(p);
	for (;;) {
		struct str rest = str_from_at(buf_view(&p->log), p->log_at);
		ptrdiff_t lf = str_chr(rest, '\n');
		if (lf < 0)
			FAIL(p, "wanted log line \"%s\"", want);
		p->log_at += (size_t)lf + 1;
		snprintf(line, sizeof line, "%.*s", (int)lf, rest.p);
		char *delay = strstr(line, ", delay="), *dsn = strstr(line, ", dsn=");
		if (delay != NULL && dsn != NULL)
			memmove(delay, dsn, strlen(dsn) + 1);
		if (like(str_from(line), str_from(want)))
			return;
	}
}

static void
do_accept(struct player *p, int n)
{
	say_all(p);
	fd_close(&p->fd);
	buf_reset(&p->got);
	p->eof = false;
	for (int i = 0; i < 1000 && p->fd == -1; i++) {
		rounds(p);
		if (n == 0)
			p->fd = chan_take_fd(&p->unix_fd);
		else
			p->fd =
			    accept4(p->listeners[n - 1], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (p->fd == -1)
			usleep(1000);
	}
	int on = 1;
	if (p->fd != -1)
		setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (p->fd == -1)
		FAIL(p, "no connection to server %d", n);
}

static void
do_qmgr_new(struct player *p)
{
	struct msg_report report = {0};

	say_all(p);
	chan_close(&p->qmgr_far);
	rounds(p);
	link_chan(p, &p->qmgr, remote_from_qmgr, &p->qmgr_far, qmgr_rules);
	p->running = 0;
	if (chan_call(p->qmgr_far, 0, MSG_REPORT, &report, on_reply, p) == 0)
		FAIL(p, "no report");
	rounds(p);
}

static void
do_command(struct player *p, char *text)
{
	char name[64], value[256], data[256];
	int n;

	if (sscanf(text, "set %63s = %255[^\n]", name, value) == 2) {
		const struct setting *row = settings_find(&conf_common_settings, str_from(name));
		if (row == NULL)
			row = settings_find(&remote_settings, str_from(name));
		replace_port(p, value, data, sizeof data);
		if (row == NULL || setting_set(row, &p->conf, str_from(data), NULL) == -1)
			FAIL(p, "setting %s", name);
	} else if (sscanf(text, "dns %63s %7s %63[^\n]", p->records[p->nrecords].name,
		       p->records[p->nrecords].type, p->records[p->nrecords].data) >= 2) {
		p->nrecords++;
	} else if (sscanf(text, "accept %d", &n) == 1) {
		do_accept(p, n);
	} else if (sscanf(text, "none %d", &n) == 1) {
		rounds(p);
		if (accept4(p->listeners[n - 1], NULL, NULL, 0) != -1)
			FAIL(p, "a connection to server %d", n);
	} else if (strcmp(text, "close") == 0) {
		say_all(p);
		fd_close(&p->fd);
		buf_reset(&p->got);
		rounds(p);
	} else if (strcmp(text, "closed") == 0) {
		say_all(p);
		rounds(p);
		if (!p->eof)
			FAIL(p, "not closed");
	} else if (sscanf(text, "wait %d", &n) == 1) {
		say_all(p);
		for (int i = 0; i < n; i += 10) {
			usleep(10000);
			rounds(p);
		}
	} else if (strcmp(text, "qmgr") == 0) {
		do_qmgr_new(p);
	} else if (sscanf(text, "running %d", &n) == 1) {
		if (p->running != (unsigned)n)
			FAIL(p, "%u running", p->running);
	} else if (sscanf(text, "kept %d", &n) == 1) {
		struct delivery *d;
		int kept = 0;
		TAILQ_FOREACH (d, &p->remote->kept, link)
			kept++;
		if (kept != n)
			FAIL(p, "%d kept", kept);
	} else {
		FAIL(p, "what is @%s?", text);
	}
}

static void
do_line(struct player *p, char *text)
{
	struct msg_deliver_ack ack;

	switch (text[0]) {
	case '@':
		do_command(p, text + 1);
		break;
	case 'D':
		do_deliver(p, text + 2);
		break;
	case 'S':
		must(buf_printf(&p->say, "%s\r\n", text + 3));
		break;
	case 'C':
		expect_line(p, strlen(text) > 2 ? text + 3 : "");
		break;
	case 'X':
		expect_octets(p, (size_t)strtoul(text + 3, NULL, 10));
		break;
	case 'R':
	case 'E':
		expect_result(p, text + 3);
		break;
	case 'K':
		say_all(p);
		ack.queue_id = str_from(text + 3);
		must(chan_send(p->qmgr_far, 0, 0, MSG_DELIVER_ACK, &ack));
		rounds(p);
		break;
	case 'L':
		expect_log(p, text + 3);
		break;
	case '#':
	case '\0':
		break;
	default:
		FAIL(p, "what is \"%s\"?", text);
	}
}

static void
play(const char *file, bool chopped)
{
	struct player p = {.file = file,
	    .chopped = chopped,
	    .fd = -1,
	    .unix_fd = -1,
	    .service = {.name = (char[]){"remote"}}};
	char line[8192];

	FILE *in = fopen(file, "r");
	assert_non_null(in);
	the_player = &p;
	loop_init(&p.service.loop);
	settings_init(&conf_common_settings, &p.conf);
	settings_init(&remote_settings, &p.conf);
	p.service.conf = &p.conf;
	for (int i = 0; i < SERVERS; i++)
		p.listeners[i] = listen_at(i + 1, &p.port);
	buf_init(&p.got, 1 << 26);
	buf_init(&p.say, 1 << 20);
	buf_init(&p.results, 1 << 20);
	buf_init(&p.log, 1 << 20);
	do_command(&p, strcpy(line, "set myhostname = me.example"));
	do_command(&p, strcpy(line, "set smtp_helo_name = me.example"));
	do_command(&p, strcpy(line, "set smtp_tcp_port = PORT"));
	do_command(&p, strcpy(line, "set inet_protocols = ipv4"));
	do_command(&p, strcpy(line, "set smtp_randomize_addresses = no"));
	do_command(&p, strcpy(line, "set smtp_connection_idle_time = 0"));
	while (fgets(line, sizeof line, in) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		p.line++;
		do_line(&p, line);
	}
	say_all(&p);
	rounds(&p);
	if (p.results.n > 0 || p.got.n > 0)
		FAIL(&p, "left over: \"%s\"", buf_cstr(&p.got));
	fclose(in);
	remote_free(&p.remote);
	log_channel(NULL);
	struct chan *all[] = {p.master, p.master_far, p.qmgr, p.qmgr_far, p.resolver,
	    p.resolver_far, p.log_near, p.log_far};
	for (size_t i = 0; i < NELEM(all); i++)
		chan_close(&all[i]);
	fd_close(&p.fd);
	for (int i = 0; i < SERVERS; i++)
		close(p.listeners[i]);
	loop_clear(&p.service.loop);
	settings_clear(&remote_settings, &p.conf);
	settings_clear(&conf_common_settings, &p.conf);
	buf_free(&p.got);
	buf_free(&p.say);
	buf_free(&p.results);
	buf_free(&p.log);
}

static void
test_dialogue(void **state)
{
	play(*state, false);
	play(*state, true);
}

int
main(int argc, char **argv)
{
	struct CMUnitTest *tests = calloc((size_t)argc, sizeof *tests);

	for (int i = 1; i < argc; i++)
		tests[i - 1] = (struct CMUnitTest){
		    .name = argv[i], .test_func = test_dialogue, .initial_state = argv[i]};
	int failed = _cmocka_run_group_tests("dialogues", tests, (size_t)argc - 1, NULL, NULL);
	free(tests);
	return failed;
}
