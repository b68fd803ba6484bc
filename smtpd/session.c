/* SPDX-License-Identifier: ISC */
/*
 * A session's socket and clock. Octets are read into room that all sessions share, taken by whoever
 * reads at the moment
 * (`take`: a command line, text, a chunk), and only what cannot be taken yet is kept; replies
 * gather in `out` and leave once a round. So an idle session owns no buffer, and a pipelined
 * transaction is one read and one write.
 *
 * Invariants: `waiting` sessions take no input, and somebody will call session_resume() or
 * `expire`; a session is freed in on_round_end() or by server.c, never below a function that still
 * uses it.
 */
#include "smtpd/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/service/service.h"
#include "smtpd/auth.h"
#include "smtpd/client.h"
#include "smtpd/command.h"
#include "smtpd/data.h"
#include "smtpd/envelope.h"
#include "smtpd/footer.h"
#include "smtpd/haproxy.h"
#include "smtpd/limits.h"
#include "smtpd/routes.h"
#include "smtpd/server.h"
#include "smtpd/stage.h"
#include "smtpd/tls.h"

enum {
	IN_PAUSE = READ_SIZE / 2, /* so much waiting input stops the reading */
	OUT_MAX = 256 * 1024,
	OUT_PAUSE = 16 * 1024, /* so many unread replies stop the taking */
	LINGER_MS = 2000,
	TEXT_MAX = 1100, /* of a reply's line */
};

static void run(struct session *s);

/* --- timers --- */

static void
set_deadline(struct session *s, int64_t ms, expire_fn *expire)
{
	s->expire = expire;
	deadline_set(&s->deadline, ms);
}

static void
on_deadline(void *arg)
{
	struct session *s = arg;

	s->expire(s);
}

static void
expire_client(struct session *s)
{
	session_reply(
	    s, 421, "4.4.2", "%s Error: timeout exceeded", s->server->conf->common.myhostname);
	session_lost(s, "timeout");
}

static void
expire_last_words(struct session *s)
{
	s->linger = false;
	buf_reset(&s->out);
	loop_defer(s->server->loop, &s->flush);
}

void
session_allow(struct session *s, int64_t ms)
{
	set_deadline(s, ms, expire_client);
}

int64_t
session_pressed(const struct session *s, int64_t ms)
{
	int64_t least = s->server->conf->smtpd_stress_timeout;

	return s->server->stressed && !s->trusted && ms > least ? least : ms;
}

void
session_earned(struct session *s, size_t octets)
{
	const struct smtpd_conf *conf = s->server->conf;
	int64_t limit = clock_ms() + conf->smtpd_timeout;

	if (conf->smtpd_min_data_rate == 0) {
		session_allow(s, conf->smtpd_timeout);
		return;
	}
	s->deadline.at += (int64_t)octets * 1000 / conf->smtpd_min_data_rate;
	if (s->deadline.at > limit)
		s->deadline.at = limit;
}

/* --- out --- */

static void
flush_soon(struct session *s)
{
	loop_defer(s->server->loop, &s->flush);
}

static void
add_line(struct session *s, int smtp, char sep, const char *code, const char *text)
{
	size_t at = s->out.n;

	if (buf_printf(&s->out, "%03d%c%s%s%s\r\n", smtp, sep, code != NULL ? code : "",
		code != NULL ? " " : "", text) == -1) {
		session_lost(s, "replies not read");
		return;
	}
	str_mask_control(s->out.p + at, s->out.n - at - 2);
	flush_soon(s);
}

void
session_reply_last(struct session *s, int smtp, const char *code, const char *text)
{
	add_line(s, smtp, ' ', code, text);
}

void
session_reply(struct session *s, int smtp, const char *code, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	if (s->state == ST_CLOSING)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (smtp >= 400 && *s->server->conf->smtpd_reject_footer != '\0')
		footer_reply(s, smtp, code, text);
	else
		session_reply_last(s, smtp, code, text);
	if (smtp >= 400 && smtp != 421 && !s->failed) {
		s->failed = true;
		command_failed(s);
	}
}

void
session_reply_more(struct session *s, int smtp, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	add_line(s, smtp, '-', NULL, text);
}

void
session_reply_long(struct session *s, int smtp, struct str text)
{
	if (s->state == ST_CLOSING)
		return;
	if (buf_printf(&s->out, "%03d ", smtp) == -1 || buf_str(&s->out, text) == -1 ||
	    buf_puts(&s->out, "\r\n") == -1)
		session_lost(s, "replies not read");
	flush_soon(s);
}

void
session_reply_why(struct session *s, const struct why *why)
{
	session_reply(s, why_smtp(why),
	    why->code[0] != '\0'     ? why->code
	    : why->class == WHY_PERM ? "5.0.0"
				     : "4.3.0",
	    "%s", why->text);
}

static void
log_reject(const struct session *s, const char *stage, struct str recipient, const struct why *why)
{
	char reply[1000];

	snprintf(reply, sizeof reply, "%d %s %s", why_smtp(why), why->code, why->text);
	struct ev_reject ev = {
	    .queue_id = STR_EMPTY,
	    .action = STR("reject"),
	    .stage = str_from(stage),
	    .client_name = str_from(s->client_name),
	    .client_addr = str_from(s->client_addr),
	    .reply = str_from(reply),
	    .sender = s->tx != NULL ? addr_text(&s->tx->sender) : STR_EMPTY,
	    .recipient = recipient,
	    .proto = session_proto(s),
	    .helo = str_from(s->helo),
	};
	log_event(s->trace, EV_REJECT, &ev);
	metric_add(METRIC_REJECTED, 1);
}

void
session_reject(struct session *s, const char *stage, struct str recipient, const struct why *why)
{
	log_reject(s, stage, recipient, why);
	session_reply_why(s, why);
	if (strcmp(why->code, "5.1.1") == 0)
		limits_unknown_recipient(s);
	if (why_smtp(why) == 421 || why_smtp(why) == 521)
		session_end_lingering(s);
}

/* Writes what there is; false where the peer is gone. */
static bool
write_out(struct session *s)
{
	while (s->out.n > 0) {
		ssize_t n = smtpd_write(s, s->out.p, s->out.n);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			event_add(&s->ev_write, NULL);
			return true;
		}
		if (n == -1)
			return false;
		buf_consume(&s->out, (size_t)n);
	}
	buf_free(&s->out);
	return true;
}

static void
on_round_end(void *arg)
{
	struct session *s = arg;
	bool gone = !write_out(s);

	if (gone && s->state != ST_CLOSING)
		session_lost(s, "lost connection");
	if (s->tls_due && s->out.n == 0 && s->state != ST_CLOSING)
		smtpd_tls_begin(s);
	if (s->state != ST_CLOSING || (s->out.n > 0 && !gone))
		return;
	if (s->linger && !gone && !s->eof) {
		s->linger = false;
		smtpd_tls_end(s);
		shutdown(s->fd, SHUT_WR);
		set_deadline(s, LINGER_MS, expire_last_words);
		return;
	}
	session_free(&s);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	flush_soon(s);
	if (s->state == ST_CLOSING)
		return;
	if (smtpd_tls_shaking(s))
		smtpd_tls_on_socket(s);
	else if (s->tls != NULL) /* which may have waited for room to read */
		loop_defer(s->server->loop, &s->more);
	if (!s->waiting)
		run(s);
}

/* --- in --- */

/* Lets the readers take what they can of `in`; returns how much that was. */
static size_t
take(struct session *s, struct str in)
{
	size_t used = 0;

	s->taking = true;
	while (used < in.n && !s->waiting && s->state != ST_CLOSING && s->out.n < OUT_PAUSE) {
		size_t n = s->take(s, str_from_at(in, used));
		if (n == 0)
			break;
		used += n;
	}
	s->taking = false;
	return s->state == ST_CLOSING ? in.n : used;
}

static void
pause_reading(struct session *s)
{
	bool pause = s->in.n > IN_PAUSE;

	if (pause == s->paused || s->eof)
		return;
	s->paused = pause;
	if (pause)
		event_del(&s->ev_read);
	else if (event_add(&s->ev_read, NULL) == -1)
		fatal("session: no event");
	else if (s->tls != NULL)
		loop_defer(s->server->loop, &s->more);
}

/* After each taking: the end of the input, and of the memory for it. */
static void
settle(struct session *s)
{
	if (s->state == ST_CLOSING)
		return;
	pause_reading(s);
	if (s->in.n == 0)
		buf_free(&s->in);
	if (s->eof && !s->waiting && s->out.n < OUT_PAUSE)
		session_lost(s, "lost connection");
}

/* Takes from what is kept. */
static void
run(struct session *s)
{
	size_t n = take(s, buf_view(&s->in));

	buf_consume(&s->in, n < s->in.n ? n : s->in.n);
	settle(s);
}

/* New octets: behind those that are kept, or without a copy. */
static void
feed(struct session *s, struct str in)
{
	bool kept = s->in.n > 0;

	if (!kept && !s->waiting)
		in = str_from_at(in, take(s, in));
	if (in.n > 0 && s->state != ST_CLOSING && buf_str(&s->in, in) == -1)
		panic("session: reading was not paused");
	if (kept && !s->waiting)
		run(s);
	else
		settle(s);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	if (smtpd_tls_shaking(s) && s->state != ST_CLOSING) {
		smtpd_tls_on_socket(s);
		return;
	}
	ssize_t n = smtpd_read(s, s->server->read_room, READ_SIZE);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		s->eof = true;
		event_del(&s->ev_read);
	}
	if (s->state == ST_CLOSING) {
		if (s->eof)
			flush_soon(s);
		return;
	}
	if (n < 0)
		session_lost(s, "lost connection");
	else if (n == 0)
		settle(s);
	else
		feed(s, str_make(s->server->read_room, (size_t)n));
}

static void
on_more(void *arg)
{
	struct session *s = arg;

	if (!s->paused && !s->eof && s->state != ST_CLOSING)
		on_readable(s->fd, 0, s);
}

void
session_wait(struct session *s, int64_t ms, expire_fn *expire)
{
	s->waiting = true;
	set_deadline(s, ms, expire);
}

bool
session_penalty(struct session *s)
{
	if (s->penalty_ms > 0 && !s->waiting)
		session_wait(s, s->penalty_ms, session_resume);
	s->penalty_ms = 0;
	return s->waiting;
}

void
session_resume(struct session *s)
{
	s->waiting = false;
	if (s->state == ST_CLOSING || session_penalty(s))
		return;
	session_allow(s, session_pressed(s, s->server->conf->smtpd_timeout));
	if (s->server->stopping)
		session_shut(s);
	if (!s->taking) /* else take() goes on by itself */
		run(s);
}

unsigned
session_own_address(const struct session *s, char *out, size_t size)
{
	struct sockaddr_storage sa = {0};
	socklen_t n = sizeof sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	if (getsockname(s->fd, (struct sockaddr *)&sa, &n) == -1)
		return 0;
	memcpy(&in4, &sa, sizeof in4);
	memcpy(&in6, &sa, sizeof in6);
	if (sa.ss_family == AF_INET && inet_ntop(AF_INET, &in4.sin_addr, out, (socklen_t)size))
		return ntohs(in4.sin_port);
	if (sa.ss_family == AF_INET6 && inet_ntop(AF_INET6, &in6.sin6_addr, out, (socklen_t)size))
		return ntohs(in6.sin6_port);
	return 0;
}

/* --- life --- */

const char *
session_state_name(enum state state)
{
	static const struct {
		enum state state;
		const char *name;
	} names[] = {
	    {ST_CONNECT, "connect"},
	    {ST_GREETED, "greeted"},
	    {ST_READY,   "ready"  },
	    {ST_MAIL,    "mail"   },
	    {ST_RCPT,    "rcpt"   },
	    {ST_BDAT,    "bdat"   },
	    {ST_DATA,    "data"   },
	    {ST_COMMIT,  "commit" },
	    {ST_CLOSING, "closing"},
	    {ST_AUTH,    "auth"   },
	};

	for (size_t i = 0; i < NELEM(names); i++)
		if (names[i].state == state)
			return names[i].name;
	return "?";
}

void
session_enter(struct session *s, enum state state)
{
	if (s->state == ST_CLOSING)
		return;
	if (s->server->conf->common.debug)
		log_debug("%s[%s]: %s to %s", s->client_name != NULL ? s->client_name : "unknown",
		    s->client_addr, session_state_name(s->state), session_state_name(state));
	s->state = state;
	s->take = state == ST_DATA                       ? data_take_text
		  : state == ST_BDAT && s->tx->chunk > 0 ? data_take_chunk
		  : state == ST_AUTH                     ? auth_take
							 : command_take;
}

struct str
session_proto(const struct session *s)
{
	/* RFC 3848, RFC 6531 4.3: by UTF8, TLS, login. */
	static const char *const names[3][2][2] = {
	    {{"ESMTP", "ESMTPA"},       {"ESMTPS", "ESMTPSA"}      },
	    {{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}},
	    {{"LMTP", "LMTPA"},         {"LMTPS", "LMTPSA"}        },
	};

	bool utf8 = s->tx != NULL && (s->tx->flags & MAIL_SMTPUTF8) != 0;
	bool tls = smtpd_tls_facts(s) != NULL;

	if (!s->esmtp)
		return STR("SMTP");
	return str_from(
	    names[s->server->conf->protocol == PROTOCOL_LMTP ? 2 : utf8][tls][s->login != NULL]);
}

/* An IPv4 client of a socket for both families is an IPv4 client. */
static void
unmap(struct sockaddr_storage *sa)
{
	struct sockaddr_in6 in6;

	memcpy(&in6, sa, sizeof in6);
	if (sa->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
		return;
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = in6.sin6_port};
	memcpy(&in4.sin_addr, in6.sin6_addr.s6_addr + 12, sizeof in4.sin_addr);
	memset(sa, 0, sizeof *sa);
	memcpy(sa, &in4, sizeof in4);
}

static void
set_address(struct session *s, const struct sockaddr_storage *sa)
{
	if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
		inet_ntop(AF_INET6, &in6->sin6_addr, s->client_addr, sizeof s->client_addr);
		s->client_port = ntohs(in6->sin6_port);
	} else {
		const struct sockaddr_in *in4 = (const struct sockaddr_in *)sa;
		inet_ntop(AF_INET, &in4->sin_addr, s->client_addr, sizeof s->client_addr);
		s->client_port = ntohs(in4->sin_port);
	}
}

void
session_set_client(struct session *s, const struct sockaddr_storage *sa)
{
	const struct server *server = s->server;

	free(s->addr);
	s->addr = xmalloc(sizeof *sa);
	*s->addr = *sa;
	unmap(s->addr);
	set_address(s, s->addr);
	s->trusted = networks_match(&server->trusted, s->addr);
	s->exempt = networks_match(&server->exempt, s->addr);
	s->lenient = networks_match(&server->lenient, s->addr);
	s->may_xclient = networks_match(&server->xclient_hosts, s->addr);
	s->may_xforward = networks_match(&server->xforward_hosts, s->addr);
	s->auth_excepted = networks_match(&server->auth_exceptions, s->addr);
}

void
session_read(struct session *s)
{
	/* The first octets of a TLS session are for its handshake. */
	if (s->addr != NULL && s->server->conf->smtpd_tls_wrappermode)
		return;
	if (event_add(&s->ev_read, NULL) == -1)
		fatal("session: no event");
}

struct session *
session_new(struct server *server, int fd, const struct sockaddr_storage *sa)
{
	struct session *s = xcalloc(1, sizeof *s);

	*s = (struct session){
	    .server = server,
	    .fd = fd,
	    .state = ST_CONNECT,
	    .trace = log_new_trace(),
	    .serial = server->serial++,
	    .take = command_take,
	    .waiting = true,
	    .flush = {.on_round_end = on_round_end, .arg = s},
	    .more = {.on_round_end = on_more,      .arg = s},
	};
	buf_init(&s->in, IN_MAX);
	buf_init(&s->out, OUT_MAX);
	if (sa != NULL) {
		session_set_client(s, sa);
	} else {
		s->client_name = xstrdup("localhost");
		str_copy(s->client_addr, sizeof s->client_addr, STR("127.0.0.1"));
		s->trusted = s->local = true;
	}
	event_assign(&s->ev_read, server->loop->base, fd, EV_READ | EV_PERSIST, on_readable, s);
	event_assign(&s->ev_write, server->loop->base, fd, EV_WRITE, on_writable, s);
	deadline_init(&s->deadline, server->loop, on_deadline, s);
	if (sa == NULL || server->conf->smtpd_upstream_proxy_protocol == UPSTREAM_NONE)
		session_read(s);
	TAILQ_INSERT_TAIL(&server->sessions, s, link);
	server->nsessions++;
	metric_add(METRIC_CONNECTIONS, 1);
	metric_add(METRIC_SESSIONS, 1);
	service_worked(server->service);
	session_allow(s, session_pressed(s, server->conf->smtpd_timeout));
	return s;
}

static void
on_connect_judged(struct session *s, const struct why *why)
{
	const struct smtpd_conf *conf = s->server->conf;

	if (why != NULL) {
		session_reject(s, "CONNECT", STR_EMPTY, why);
		session_end_lingering(s);
		return;
	}
	session_enter(s, conf->smtpd_helo_required ? ST_GREETED : ST_READY);
	session_reply(s, 220, NULL, "%s", conf->smtpd_banner);
	session_resume(s);
}

void
session_greet_again(struct session *s)
{
	stage_begin(s, STAGE_CONNECT, on_connect_judged);
}

/* A refusal before the handshake has no words that the client could read, and costs no handshake.
 */
static void
on_wrapped_judged(struct session *s, const struct why *why)
{
	if (why == NULL) {
		smtpd_tls_begin(s);
		return;
	}
	log_reject(s, "CONNECT", STR_EMPTY, why);
	session_end(s);
}

void
session_greet(struct session *s)
{
	const struct smtpd_conf *conf = s->server->conf;
	struct ev_connect ev = {
	    str_from(s->client_name), str_from(s->client_addr), s->client_port, 0};

	log_event(s->trace, EV_CONNECT, &ev);
	free(s->addr);
	s->addr = NULL;
	if (s->server->stopping) {
		session_shut(s);
		return;
	}
	if (conf->smtpd_tls_wrappermode && !s->local) {
		stage_begin(s, STAGE_STARTTLS, on_wrapped_judged);
		return;
	}
	if (s->in.n > 0 && conf->smtpd_forbid_unauth_pipelining && !s->local) {
		command_improper_pipelining(s);
		return;
	}
	stage_begin(s, STAGE_CONNECT, on_connect_judged);
}

void
session_secured(struct session *s)
{
	s->waiting = false;
	if (s->state == ST_CONNECT) {
		session_wait(s, s->server->conf->smtpd_service_timeout, session_end);
		stage_begin(s, STAGE_CONNECT, on_connect_judged);
		return;
	}
	transaction_free(&s->tx);
	auth_reset(s);
	free(s->helo);
	s->helo = NULL;
	s->esmtp = false;
	session_enter(s, s->server->conf->smtpd_helo_required ? ST_GREETED : ST_READY);
	session_resume(s);
}

void
session_end(struct session *s)
{
	session_enter(s, ST_CLOSING);
	set_deadline(s, s->server->conf->smtpd_timeout, expire_last_words);
	flush_soon(s);
}

void
session_end_lingering(struct session *s)
{
	s->linger = true;
	session_end(s);
}

void
session_lost(struct session *s, const char *what)
{
	char command[64];

	if (s->state == ST_CLOSING)
		return;
	command_where(s, command, sizeof command);
	if (s->client_name != NULL && (s->command == NULL || !command_is_quit(s->command))) {
		struct ev_lost ev = {str_from(what), str_from(command), str_from(s->client_name),
		    str_from(s->client_addr), 0};
		log_event(s->trace, EV_LOST, &ev);
	}
	session_end(s);
}

void
session_shut(struct session *s)
{
	bool idle = s->state == ST_CONNECT || s->state == ST_GREETED || s->state == ST_READY;

	if (!idle || (s->waiting && s->state != ST_CONNECT))
		return;
	session_reply(
	    s, 421, "4.3.2", "%s Service shutting down", s->server->conf->common.myhostname);
	session_end(s);
}

static void
log_disconnect(struct session *s)
{
	struct buf commands;

	if (s->client_name == NULL)
		return;
	buf_init(&commands, 511);
	command_counts(s, &commands);
	struct ev_disconnect ev = {
	    str_from(s->client_name), str_from(s->client_addr), buf_view(&commands), 0};
	log_event(s->trace, EV_DISCONNECT, &ev);
	buf_free(&commands);
}

void
session_free(struct session **sp)
{
	struct session *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	log_disconnect(s);
	chan_question_drop(s);
	auth_reset(s);
	transaction_free(&s->tx);
	stage_drop(s);
	limits_harvest_drop(s);
	limits_gone(s);
	free(s->screened);
	free(s->forward);
	haproxy_drop(s);
	event_del(&s->ev_read);
	event_del(&s->ev_write);
	deadline_clear(&s->deadline);
	loop_cancel(s->server->loop, &s->flush);
	loop_cancel(s->server->loop, &s->more);
	smtpd_tls_end(s);
	smtpd_tls_free(s);
	TAILQ_REMOVE(&s->server->sessions, s, link);
	s->server->nsessions--;
	metric_add(METRIC_SESSIONS, -1);
	server_session_gone(s->server, s);
	close(s->fd);
	buf_free(&s->in);
	buf_free(&s->out);
	free(s->addr);
	free(s->client_name);
	free(s->asked_for);
	free(s->verify);
	route_drop(&s->verify_route);
	free(s->origin);
	free(s->helo);
	free(s);
}
