/* SPDX-License-Identifier: ISC */
/*
 * Who answers what: router by the domain (local.example, relay.example, all others remote; "nobody"
 * is unknown, temp.example cannot be told, silent.example gets no answer); resolver knows
 * client.example at 192.0.2.1 and a liar at 192.0.2.2; cleanup takes all but mail from full@ (452
 * while it comes), deaf@ (no answer) and kill@ (dies); keeper offers PLAIN and LOGIN, lets in
 * whoever says the password "good", and cannot tell for "later"; qmgr knows every domain but
 * cold.example.
 */
#include "tests/unit/smtpd/fake.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "smtpd/server.h"

static struct fake *the_fake; /* service_peer() has no other way to it */

struct chan *
service_peer(struct service *s, enum program p, uint64_t hash)
{
	(void)s;
	(void)hash;
	return the_fake->near[p];
}

struct chan *
service_master(struct service *s)
{
	(void)s;
	return NULL;
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
	the_fake->exited = true;
}

static void
must(int rc)
{
	if (rc == -1)
		panic("fake: no room");
}

/* --- router --- */

static void
on_resolve(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct fake *f = chan_owner(ch);
	struct str address = msg->resolve.address;
	char full[600];
	struct why why;

	f->questions++;
	snprintf(full, sizeof full, "%.*s%s", STR_ARG(address),
	    str_chr(address, '@') < 0 ? "@mail.example" : "");
	bool local = str_ends(address, STR("@local.example")) || str_chr(address, '@') < 0;
	bool relay = str_ends(address, STR("@relay.example"));
	bool unknown = str_starts(address, STR("nobody"));
	if (str_ends(address, STR("@silent.example")))
		return;
	if (str_ends(address, STR("@temp.example"))) {
		why_temp(&why, "4.3.0", "transport_maps: no such table");
		must(chan_refuse(ch, head, &why));
		return;
	}
	struct msg_route route = {
	    .verdict = unknown ? ROUTE_UNKNOWN : ROUTE_OK,
	    .class = local   ? CLASS_LOCAL
		     : relay ? CLASS_RELAY
			     : CLASS_REMOTE,
	    .address = str_from(full),
	    .transport = STR("smtp"),
	    .nexthop = STR("next.example"),
	    .generation = 7,
	    .ttl_ms = 60000,
	    .code = unknown ? STR("5.1.1") : STR_EMPTY,
	    .text = unknown ? STR("User unknown in local recipient table") : STR_EMPTY,
	};
	must(chan_reply(ch, head, MSG_ROUTE, &route));
}

/* --- resolver --- */

static void
reply_record(struct chan *ch, const struct chan_head *head, unsigned type, struct str data)
{
	struct msg_dns_record record = {.type = type, .data = data};

	must(chan_reply(ch, head, MSG_DNS_RECORD, &record));
}

static void
on_dns(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct str name = msg->dns_query.name;
	struct msg_dns_answer answer = {.status = DNS_OK, .name = name, .ttl = 300};

	if (str_is(name, "1.2.0.192.in-addr.arpa"))
		reply_record(ch, head, 12, STR("Client.example"));
	else if (str_is(name, "2.2.0.192.in-addr.arpa"))
		reply_record(ch, head, 12, STR("client.example"));
	else if (str_is(name, "1.0.0.127.in-addr.arpa"))
		reply_record(ch, head, 12, STR("localhost"));
	else if (str_is(name, "client.example"))
		reply_record(ch, head, 1, str_make("\xc0\x00\x02\x01", 4));
	else if (str_is(name, "localhost"))
		reply_record(ch, head, 1, str_make("\x7f\x00\x00\x01", 4));
	else if (str_is(name, "3.2.0.192.in-addr.arpa"))
		return; /* no answer at all */
	else
		answer.status = str_is(name, "4.2.0.192.in-addr.arpa") ? DNS_FAILED : DNS_NXDOMAIN;
	must(chan_reply(ch, head, MSG_DNS_ANSWER, &answer));
}

/* --- cleanup --- */

static struct fake_mail *
find_mail(struct fake *f, uint32_t id)
{
	for (size_t i = 0; i < f->nmails; i++)
		if (f->mails[i].id == id)
			return &f->mails[i];
	return NULL;
}

static void
forget_mail(struct fake *f, struct fake_mail *m)
{
	buf_free(&m->envelope);
	buf_free(&m->content);
	fd_close(&m->pipe);
	*m = f->mails[--f->nmails];
}

static void
on_open(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct fake *f = chan_owner(ch);
	const struct msg_mail_open *o = &msg->mail_open;
	struct why why;

	if (f->nmails == NELEM(f->mails))
		panic("fake: too many messages");
	struct fake_mail *m = &f->mails[f->nmails++];
	*m = (struct fake_mail){.id = head->id, .pipe = chan_take_fd(&msg->mail_open.content)};
	buf_init(&m->envelope, 1 << 20);
	buf_init(&m->content, 1 << 28);
	must(buf_printf(&m->envelope, "from=<%.*s> proto=%.*s helo=%.*s client=%.*s[%.*s]",
	    STR_ARG(o->sender), STR_ARG(o->proto), STR_ARG(o->helo), STR_ARG(o->client_name),
	    STR_ARG(o->client_addr)));
	if (o->flags != 0)
		must(buf_printf(&m->envelope, " flags=%d", (int)o->flags));
	if (o->envid.n > 0 || o->ret != 0)
		must(
		    buf_printf(&m->envelope, " envid=%.*s ret=%d", STR_ARG(o->envid), (int)o->ret));
	if (o->origin.n > 0)
		must(buf_printf(
		    &m->envelope, " uid=%d origin=%.*s", (int)o->uid, STR_ARG(o->origin)));
	if (str_starts(o->sender, STR("full@"))) {
		why_temp(&why, "4.3.1", "Insufficient system storage");
		why.smtp = 452;
		must(chan_refuse(ch, head, &why));
		m->refuse = true;
	}
}

static void
on_rcpt(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct fake_mail *m = find_mail(chan_owner(ch), head->id);
	const struct msg_mail_rcpt *r = &msg->mail_rcpt;

	must(buf_printf(&m->envelope, " to=<%.*s>", STR_ARG(r->address)));
	if (r->original.n > 0)
		must(buf_printf(&m->envelope, " original=<%.*s>", STR_ARG(r->original)));
	if (r->notify != 0 || r->orcpt.n > 0)
		must(buf_printf(
		    &m->envelope, " notify=%d orcpt=%.*s", (int)r->notify, STR_ARG(r->orcpt)));
	if (r->generation != 7 || !str_is(r->transport, "smtp"))
		must(buf_puts(&m->envelope, " WRONG ROUTE"));
}

static void
on_data(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	must(buf_str(&find_mail(chan_owner(ch), head->id)->content, msg->mail_data.bytes));
}

static void
read_pipe(struct fake_mail *m, size_t most)
{
	char room[65536];
	ssize_t n;

	while (most > 0 && (n = read(m->pipe, room, most < sizeof room ? most : sizeof room)) > 0) {
		must(buf_add(&m->content, room, (size_t)n));
		most -= (size_t)n;
	}
}

static void
on_commit(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct fake *f = chan_owner(ch);
	struct fake_mail *m = find_mail(f, head->id);
	struct msg_mail_queued queued = {.queue_id = STR("4bQ1")};

	if (m->pipe != -1)
		read_pipe(m, SIZE_MAX);
	if (m->refuse || strstr(buf_cstr(&m->envelope), "from=<deaf@") != NULL)
		return forget_mail(f, m);
	if (strstr(buf_cstr(&m->envelope), "from=<kill@") != NULL) {
		forget_mail(f, m);
		chan_fail(ch, "killed");
		return;
	}
	if (m->content.n != msg->mail_commit.size)
		must(buf_puts(&m->envelope, " WRONG SIZE"));
	must(buf_printf(&f->mail, "%s size=%zu\n", buf_cstr(&m->envelope), m->content.n));
	buf_reset(&f->content);
	must(buf_str(&f->content, buf_view(&m->content)));
	must(chan_reply(ch, head, MSG_MAIL_QUEUED, &queued));
	forget_mail(f, m);
}

static void
on_abort(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct fake *f = chan_owner(ch);
	struct fake_mail *m = find_mail(f, head->id);

	(void)msg;
	if (m != NULL)
		forget_mail(f, m);
	must(buf_puts(&f->mail, "aborted\n"));
}

/* --- keeper --- */

static void
auth_refuse(struct chan *ch, const struct chan_head *head, bool temporary)
{
	struct msg_auth_failed failed = {
	    .temporary = temporary,
	    .login = STR("somebody"),
	    .reason = temporary ? STR("cannot tell") : STR("wrong password"),
	};

	must(chan_reply(ch, head, MSG_AUTH_FAILED, &failed));
}

/* By the password, which is all that counts here. */
static void
auth_decide(struct chan *ch, const struct chan_head *head, struct str password)
{
	struct msg_auth_ok ok = {.login = STR("somebody")};

	if (str_is(password, "good"))
		must(chan_reply(ch, head, MSG_AUTH_OK, &ok));
	else
		auth_refuse(ch, head, str_is(password, "later"));
}

static void
on_auth_start(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	const struct msg_auth_start *m = &msg->auth_start;
	struct msg_auth_challenge challenge = {
	    .data = str_is(m->mechanism, "LOGIN") ? STR("Username:") : STR_EMPTY};
	ptrdiff_t nul = str_rchr(m->response, '\0');

	if (!m->initial)
		must(chan_reply(ch, head, MSG_AUTH_CHALLENGE, &challenge));
	else if (nul < 0)
		auth_refuse(ch, head, false);
	else
		auth_decide(ch, head, str_from_at(m->response, (size_t)nul + 1));
}

/* Of PLAIN the one response; of LOGIN the name, which is asked for the password, or that. */
static void
on_auth_response(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct str data = msg->auth_response.data;
	struct msg_auth_challenge challenge = {.data = STR("Password:")};
	ptrdiff_t nul = str_rchr(data, '\0');

	if (str_is(data, "somebody"))
		must(chan_reply(ch, head, MSG_AUTH_CHALLENGE, &challenge));
	else
		auth_decide(ch, head, nul < 0 ? data : str_from_at(data, (size_t)nul + 1));
}

static void
on_auth_cancel(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct fake *f = chan_owner(ch);

	(void)head;
	(void)msg;
	f->cancelled++;
}

/* --- limiter: one counter of what is held, nobody is blocked --- */

static void
on_tally(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct fake *f = chan_owner(ch);
	struct msg_tallied tallied = {.count = 1};

	if (msg->tally.hold != 0)
		tallied.count = f->held += msg->tally.amount;
	must(chan_reply(ch, head, MSG_TALLIED, &tallied));
}

static void
on_tally_release(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct fake *f = chan_owner(ch);

	(void)head;
	f->held -= msg->tally_release.amount;
}

static void
on_block_find(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct msg_block_is is = {0};

	(void)msg;
	must(chan_reply(ch, head, MSG_BLOCK_IS, &is));
}

static void
on_auth_result(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	(void)ch;
	(void)head;
	(void)msg;
}

/* --- qmgr --- */

static void
on_etrn(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct msg_done done = {0};
	struct why why;

	if (str_is(msg->etrn.domain, "cold.example")) {
		why_temp(&why, "4.3.0", "no such queue");
		must(chan_refuse(ch, head, &why));
		return;
	}
	must(chan_reply(ch, head, MSG_DONE, &done));
}

/* --- logger --- */

static void
on_log(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct fake *f = chan_owner(ch);
	const struct log_form *form = log_form((unsigned)msg->log.event);
	_Alignas(16) char record[2048];

	(void)head;
	if (form->type.struct_size > sizeof record)
		panic("fake: record");
	if (wire_decode(&form->type, msg->log.record, NULL, 0, record, NULL) == -1)
		panic("fake: log record");
	log_render_text(form, record, &f->log);
	must(buf_puts(&f->log, "\n"));
}

static const struct chan_rule router_rules[] = {
    {MSG_RESOLVE, on_resolve},
    {MSG_NONE,    NULL      },
};
static const struct chan_rule resolver_rules[] = {
    {MSG_DNS_QUERY, on_dns},
    {MSG_NONE,      NULL  },
};
static const struct chan_rule cleanup_rules[] = {
    {MSG_MAIL_OPEN,   on_open  },
    {MSG_MAIL_RCPT,   on_rcpt  },
    {MSG_MAIL_DATA,   on_data  },
    {MSG_MAIL_COMMIT, on_commit},
    {MSG_MAIL_ABORT,  on_abort },
    {MSG_NONE,        NULL     },
};
static const struct chan_rule keeper_rules[] = {
    {MSG_AUTH_START,    on_auth_start   },
    {MSG_AUTH_RESPONSE, on_auth_response},
    {MSG_AUTH_CANCEL,   on_auth_cancel  },
    {MSG_NONE,          NULL            },
};
static const struct chan_rule limiter_rules[] = {
    {MSG_TALLY,         on_tally        },
    {MSG_TALLY_RELEASE, on_tally_release},
    {MSG_BLOCK_FIND,    on_block_find   },
    {MSG_AUTH_RESULT,   on_auth_result  },
    {MSG_NONE,          NULL            },
};
static const struct chan_rule qmgr_rules[] = {
    {MSG_ETRN, on_etrn},
    {MSG_NONE, NULL   },
};
static const struct chan_rule logger_rules[] = {
    {MSG_LOG,  on_log},
    {MSG_NONE, NULL  },
};

static const struct service_peer *
peer_row(enum program p)
{
	const struct service_peer *row = smtpd_service.peers;

	while (row->program != p)
		row++;
	return row;
}

static void
on_near_gone(struct chan *ch, void *owner)
{
	struct fake *f = the_fake;

	(void)owner;
	for (int p = 0; p < PROGRAM_COUNT; p++) {
		if (f->near[p] != ch)
			continue;
		f->near[p] = NULL;
		if (peer_row((enum program)p)->on_gone != NULL)
			peer_row((enum program)p)->on_gone(&f->service, ch);
	}
}

static void
on_far_gone(struct chan *ch, void *owner)
{
	struct fake *f = owner;

	for (int p = 0; p < PROGRAM_COUNT; p++)
		if (f->far[p] == ch)
			f->far[p] = NULL;
}

static void
pair(int fds[2], int type)
{
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == -1)
		fatal_sys("socketpair");
}

static void
add_peer(struct fake *f, enum program p, const struct chan_rule *rules)
{
	int fds[2];

	pair(fds, SOCK_SEQPACKET);
	f->near[p] = chan_new(
	    &f->service.loop, fds[0], "near", peer_row(p)->rules, &f->service, on_near_gone);
	f->far[p] = chan_new(&f->service.loop, fds[1], "far", rules, f, on_far_gone);
}

void
fake_set(struct fake *f, const char *name, const char *value)
{
	const struct setting *row = settings_find(&conf_common_settings, str_from(name));
	struct why why;

	if (row == NULL)
		row = settings_find(&smtpd_settings, str_from(name));
	if (row == NULL || setting_set(row, &f->conf, str_from(value), &why) == -1)
		panic("fake: setting %s", name);
}

void
fake_start(struct fake *f)
{
	static const char *const settings[][2] = {
	    {"myhostname",                          "mail.example"      },
	    {"myorigin",			    "mail.example"      },
	    {"smtpd_banner",                        "mail.example ESMTP"},
	    {"message_size_limit",                  "100000"            },
	    {"journal_message_limit",               "4096"              },
	    {"smtpd_error_sleep_time",              "0s"                },
	    {"smtpd_unknown_recipient_delay",       "0s"                },
	    {"smtpd_client_event_limit_exceptions", ""                  },
	    {"smtpd_upstream_proxy_hosts",          ""                  },
	};

	signal(SIGPIPE, SIG_IGN);
	*f = (struct fake){.service = {.name = (char[]){"smtp"}}};
	the_fake = f;
	settings_init(&conf_common_settings, &f->conf);
	settings_init(&smtpd_settings, &f->conf);
	for (size_t i = 0; i < NELEM(settings); i++)
		fake_set(f, settings[i][0], settings[i][1]);
	loop_init(&f->service.loop);
	f->service.conf = &f->conf;
	buf_init(&f->log, 1 << 24);
	buf_init(&f->mail, 1 << 24);
	buf_init(&f->content, 1 << 28);
}

/* The rest of the start, when the settings are made; by the first client. */
static void
start_server(struct fake *f)
{
	struct why why;
	int fds[2];

	if (f->server != NULL)
		return;
	add_peer(f, PROGRAM_PICKUP, NULL);
	add_peer(f, PROGRAM_ROUTER, router_rules);
	add_peer(f, PROGRAM_RESOLVER, resolver_rules);
	add_peer(f, PROGRAM_CLEANUP, cleanup_rules);
	add_peer(f, PROGRAM_KEEPER, keeper_rules);
	add_peer(f, PROGRAM_QMGR, qmgr_rules);
	add_peer(f, PROGRAM_LIMITER, limiter_rules);
	pair(fds, SOCK_SEQPACKET);
	f->log_near = chan_new(&f->service.loop, fds[0], "logger", NULL, f, NULL);
	f->log_far = chan_new(&f->service.loop, fds[1], "log", logger_rules, f, NULL);
	log_channel(f->log_near);
	if (server_start(&f->service, &why) == -1)
		panic("fake: %s", why.text);
	f->server = f->service.state;
	struct msg_auth_offered offered = {
	    .mechanisms = STR("PLAIN LOGIN"), .plain = STR("PLAIN LOGIN")};
	must(chan_send(f->far[PROGRAM_KEEPER], 0, 0, MSG_AUTH_OFFERED, &offered));
	fake_rounds(f);
}

void
fake_stop(struct fake *f)
{
	server_free(&f->server);
	log_channel(NULL);
	for (int p = 0; p < PROGRAM_COUNT; p++) {
		chan_close(&f->near[p]);
		chan_close(&f->far[p]);
	}
	chan_close(&f->log_near);
	chan_close(&f->log_far);
	while (f->nmails > 0)
		forget_mail(f, &f->mails[0]);
	loop_clear(&f->service.loop);
	settings_clear(&smtpd_settings, &f->conf);
	settings_clear(&conf_common_settings, &f->conf);
	buf_free(&f->log);
	buf_free(&f->mail);
	buf_free(&f->content);
}

int
fake_connect(struct fake *f, const char *address)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(4711)};
	struct sockaddr_storage sa = {0};
	int fds[2];

	start_server(f);
	if (inet_pton(AF_INET, address, &in4.sin_addr) != 1)
		panic("fake: address %s", address);
	memcpy(&sa, &in4, sizeof in4);
	pair(fds, SOCK_STREAM);
	server_accept(f->server, fds[0], &sa);
	return fds[1];
}

int
fake_local(struct fake *f, uint64_t uid, const char *origin)
{
	int fds[2];

	start_server(f);
	pair(fds, SOCK_STREAM);
	struct msg_session msg = {.uid = uid, .origin = str_from(origin), .socket = fds[0]};
	must(chan_send(f->far[PROGRAM_PICKUP], 0, 1, MSG_SESSION, &msg));
	close(fds[0]);
	return fds[1];
}

static void
drain_pipes(struct fake *f)
{
	for (size_t i = 0; i < f->nmails; i++)
		if (f->mails[i].pipe != -1)
			read_pipe(&f->mails[i], SIZE_MAX);
}

void
fake_rounds(struct fake *f)
{
	for (int i = 0; i < 12; i++) {
		loop_round(&f->service.loop, false);
		drain_pipes(f);
	}
}

void
fake_kill(struct fake *f, enum program p)
{
	chan_close(&f->far[p]);
}
