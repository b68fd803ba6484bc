/* SPDX-License-Identifier: ISC */
/*
 * Sessions: socket, clock, the stages around transactions, and the pool of idle ones. One write
 * takes commands and content out together; a large content goes from its file by sendfile(), or
 * through the dot encoder where a line begins with a dot. Replies are read into room that all
 * sessions share and go to the stage that awaits them, one by one.
 *
 * Invariant: `closed` sessions have no delivery and no event, and are freed by their task; nothing
 * frees one below a function that still uses it.
 */
#include "remote/session.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "remote/delivery.h"
#include "remote/greeting.h"
#include "remote/hosts.h"
#include "remote/pool.h"
#include "remote/transaction.h"

enum { OUT_MAX = 32 * 1024 * 1024, FILE_PART = 64 * 1024, SENDFILE_PART = 256 * 1024 };

static void on_rset_reply(struct session *s);
static void on_idle_reply(struct session *s);
static void on_quit_reply(struct session *s);

#define TIMEOUT(setting) offsetof(struct remote_conf, setting)

/* A stage: what we were doing when the session was lost, how long its reply may take, who reads it.
 */
/* clang-format off */
static const struct {
	const char *doing;
	size_t timeout;
	void (*on_reply)(struct session *s);
} stages[STAGE_COUNT] = {
	[STAGE_GREETING] = {"receiving the initial server greeting", TIMEOUT(smtp_greeting_timeout), on_greeting_reply},
	[STAGE_EHLO] = {"performing the EHLO handshake", TIMEOUT(smtp_helo_timeout), on_ehlo_reply},
	[STAGE_HELO] = {"performing the HELO handshake", TIMEOUT(smtp_helo_timeout), on_helo_reply},
	[STAGE_XFORWARD] = {"sending XFORWARD command", TIMEOUT(smtp_xforward_timeout), on_xforward_reply},
	[STAGE_MAIL] = {"sending MAIL FROM", TIMEOUT(smtp_mail_timeout), on_mail_reply},
	[STAGE_RCPT] = {"sending RCPT TO", TIMEOUT(smtp_rcpt_timeout), on_rcpt_reply},
	[STAGE_DATA] = {"sending DATA command", TIMEOUT(smtp_data_init_timeout), on_data_reply},
	[STAGE_BODY] = {"sending message body", TIMEOUT(smtp_data_xfer_timeout), on_body_reply},
	[STAGE_DOT] = {"sending end of data -- message may be sent more than once",
	    TIMEOUT(smtp_data_done_timeout), on_dot_reply},
	[STAGE_RSET] = {"sending RSET", TIMEOUT(smtp_rset_timeout), on_rset_reply},
	[STAGE_IDLE] = {"idle", TIMEOUT(smtp_connection_idle_time), on_idle_reply},
	[STAGE_QUIT] = {"sending QUIT", TIMEOUT(smtp_quit_timeout), on_quit_reply},
};
/* clang-format on */

static int64_t
stage_timeout(const struct session *s)
{
	return *(const int64_t *)((const char *)s->remote->conf + stages[s->stage].timeout);
}

/* --- the end --- */

static void
session_free(struct session *s)
{
	struct remote *remote = s->remote;

	loop_cancel(remote->loop, &s->task);
	reply_free(&s->reply);
	buf_free(&s->out);
	free(s->rcpts);
	free(s->key);
	free(s);
}

/* No more events, no more socket; the memory goes at the round's end. */
static void
session_close(struct session *s)
{
	if (s->closed)
		return;
	if (s->stage == STAGE_IDLE)
		pool_remove(s);
	s->closed = true;
	s->d = NULL;
	event_del(&s->ev_read);
	event_del(&s->ev_write);
	deadline_clear(&s->deadline);
	close(s->fd);
	s->remote->nsessions--;
	loop_defer(s->remote->loop, &s->task);
}

void
session_abort(struct session **sp)
{
	struct session *s = *sp;

	*sp = NULL;
	if (s != NULL)
		session_close(s);
}

/* The delivery goes on without this session, and remembers whom it spoke to. */
static void
leave(const struct session *s, struct delivery *d)
{
	d->session = NULL;
	str_copy(d->last_relay, sizeof d->last_relay, str_from(s->relay));
	str_copy(d->last_mta, sizeof d->last_mta, str_from(s->host));
}

void
session_fail(struct session *s, const struct why *why)
{
	struct delivery *d = s->d;
	bool stale = s->reused && !s->heard;

	session_close(s);
	if (d == NULL)
		return;
	leave(s, d);
	if (stale && !d->committed)
		delivery_session_stale(d);
	else
		delivery_session_over(d, why);
}

static void
session_lost(struct session *s)
{
	struct why why;

	why_temp(
	    &why, "4.4.2", "lost connection with %s while %s", s->name, stages[s->stage].doing);
	session_fail(s, &why);
}

static void
quit(struct session *s)
{
	if (s->stage == STAGE_IDLE)
		pool_remove(s);
	if (buf_puts(&s->out, "QUIT\r\n") == -1) {
		session_close(s);
		return;
	}
	session_enter(s, STAGE_QUIT);
	session_flush(s);
}

void
sessions_quit_idle(struct remote *remote)
{
	while (session_quit_oldest(remote))
		continue;
}

bool
session_quit_oldest(struct remote *remote)
{
	struct session *s = TAILQ_FIRST(&remote->idle);

	if (s == NULL)
		return false;
	quit(s);
	return true;
}

/* --- deadlines --- */

static void
on_deadline(void *arg)
{
	struct session *s = arg;
	struct why why;

	if (s->stage == STAGE_IDLE) {
		quit(s);
		return;
	}
	why_temp(&why, "4.4.2", "conversation with %s timed out while %s", s->name,
	    stages[s->stage].doing);
	session_fail(s, &why);
}

void
session_enter(struct session *s, enum stage stage)
{
	s->stage = stage;
	deadline_set(&s->deadline, stage_timeout(s));
}

/* --- out --- */

/* What has been written, off the front of commands, content and tail. */
static void
written(struct session *s, size_t n)
{
	size_t part = n < s->out.n ? n : s->out.n;

	buf_consume(&s->out, part);
	n -= part;
	part = n < s->body.n ? n : s->body.n;
	s->body = str_from_at(s->body, part);
	s->tail = str_from_at(s->tail, n - part);
}

/* Commands and content in one call; the tail only when nothing comes from a file before it. */
static ssize_t
write_memory(struct session *s)
{
	struct iovec parts[3] = {
	    {s->out.p,                     s->out.n                         },
	    {(void *)(uintptr_t)s->body.p, s->body.n                        },
	    {(void *)(uintptr_t)s->tail.p, s->file_left == 0 ? s->tail.n : 0},
	};
	ssize_t n = writev(s->fd, parts, NELEM(parts));

	if (n > 0)
		written(s, (size_t)n);
	return n;
}

/* A part of the file with its dots doubled, to `out`. */
static ssize_t
encode_file(struct session *s)
{
	char part[FILE_PART];
	size_t want = s->file_left < sizeof part ? (size_t)s->file_left : sizeof part;
	ssize_t n = pread(s->file, part, want, (off_t)s->file_at);

	if (n <= 0 || dot_encode(&s->encoder, str_make(part, (size_t)n), &s->out) == -1) {
		errno = EIO;
		return -1;
	}
	s->file_at += (uint64_t)n;
	s->file_left -= (uint64_t)n;
	return n;
}

static ssize_t
send_file(struct session *s)
{
	off_t at = (off_t)s->file_at;
	size_t want = s->file_left < SENDFILE_PART ? (size_t)s->file_left : SENDFILE_PART;
	ssize_t n = sendfile(s->fd, s->file, &at, want);

	if (n == 0) {
		errno = EIO; /* shorter than it was said to be: the message must not end well */
		return -1;
	}
	if (n > 0) {
		s->file_at += (uint64_t)n;
		s->file_left -= (uint64_t)n;
	}
	return n;
}

bool
session_flushed(const struct session *s)
{
	return s->out.n == 0 && s->body.n == 0 && s->file_left == 0 && s->tail.n == 0;
}

/* One step of writing; -1 with errno. */
static ssize_t
write_some(struct session *s)
{
	if (s->out.n > 0 || s->body.n > 0 || s->file_left == 0)
		return write_memory(s);
	return s->stuff ? encode_file(s) : send_file(s);
}

static void
flush(struct session *s)
{
	bool progress = false;

	while (!session_flushed(s)) {
		if (write_some(s) >= 0) {
			progress = true;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EIO) {
			struct why why;
			why_sys(&why, "4.3.0", "read the message's content");
			session_fail(s, &why);
			return;
		}
		if (errno != EAGAIN) {
			session_lost(s);
			return;
		}
		event_add(&s->ev_write, NULL);
		if (progress && s->stage == STAGE_BODY)
			session_enter(s, STAGE_BODY);
		return;
	}
	buf_free(&s->out);
	if (s->d != NULL)
		transaction_flushed(s);
}

static void
on_round_end(void *arg)
{
	struct session *s = arg;

	if (s->closed)
		session_free(s);
	else
		flush(s);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush(arg);
}

void
session_flush(struct session *s)
{
	if (!s->closed && !event_pending(&s->ev_write, EV_WRITE, NULL))
		loop_defer(s->remote->loop, &s->task);
}

/* --- in --- */

static void
on_reply(struct session *s)
{
	s->heard = s->heard || s->reply.code != 421;
	if (s->reply.code == 421)
		s->broken = true;
	if (s->broken && s->reused && !s->heard) {
		session_lost(s); /* it had closed, and we did not know */
		return;
	}
	stages[s->stage].on_reply(s);
	reply_reset(&s->reply);
}

static void
take(struct session *s, struct str in)
{
	struct why why;
	size_t used;

	while (in.n > 0 && !s->closed) {
		int rc = reply_feed(&s->reply, in, &used, &why);
		in = str_from_at(in, used);
		if (rc == -1) {
			char text[sizeof why.text];
			snprintf(text, sizeof text, "%s", why.text);
			why_temp(&why, "4.5.0", "host %s: %s", s->name, text);
			session_fail(s, &why);
			return;
		}
		if (rc == 1)
			on_reply(s);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)what;
	ssize_t n = read(fd, s->remote->read_room, READ_SIZE);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		session_lost(s);
	else
		take(s, str_make(s->remote->read_room, (size_t)n));
}

void
session_why(const struct session *s, const char *command, struct why *why)
{
	struct buf text;
	struct why said;

	reply_why(&s->reply, &said);
	buf_init(&text, sizeof why->text - 1);
	reply_show(&s->reply, &text);
	if (said.class == WHY_PERM)
		why_perm(why, said.code, "host %s said: %s (in reply to %s command)", s->name,
		    buf_cstr(&text), command);
	else
		why_temp(why, said.code, "host %s said: %s (in reply to %s command)", s->name,
		    buf_cstr(&text), command);
	why->smtp = s->reply.code;
	buf_free(&text);
}

/* --- between transactions --- */

/* Whether it is good for one more delivery. */
static bool
reusable(const struct session *s)
{
	const struct remote_conf *conf = s->remote->conf;

	if (s->broken || s->remote->stopping || conf->smtp_connection_idle_time == 0)
		return false;
	if (clock_ms() - s->opened > conf->smtp_connection_reuse_time_limit)
		return false;
	return conf->smtp_connection_reuse_count_limit == 0 ||
	       s->uses < conf->smtp_connection_reuse_count_limit;
}

static void
park(struct session *s)
{
	if (!reusable(s)) {
		quit(s);
		return;
	}
	session_enter(s, STAGE_IDLE);
	pool_add(s);
}

void
session_release(struct session *s, const struct why *why)
{
	struct delivery *d = s->d;

	s->d = NULL;
	leave(s, d);
	if (s->broken) {
		session_close(s);
	} else if (s->open && reusable(s)) {
		if (buf_puts(&s->out, "RSET\r\n") == -1)
			panic("session: no room for RSET");
		session_enter(s, STAGE_RSET);
		session_flush(s);
	} else {
		park(s);
	}
	delivery_session_over(d, why);
}

static void
on_rset_reply(struct session *s)
{
	s->open = false;
	if (s->reply.code / 100 == 2)
		park(s);
	else
		session_close(s);
}

/* An idle server that speaks says goodbye. */
static void
on_idle_reply(struct session *s)
{
	session_close(s);
}

static void
on_quit_reply(struct session *s)
{
	session_close(s);
}

/* --- the beginning --- */

static void
set_names(struct session *s, const struct host_address *a)
{
	char ip[INET6_ADDRSTRLEN];

	if (a == NULL) {
		snprintf(s->host, sizeof s->host, "%s", s->remote->conf->common.myhostname);
		snprintf(s->name, sizeof s->name, "%.255s[%.100s]", s->host, s->d->hop.path);
		snprintf(s->relay, sizeof s->relay, "%s", s->name);
		return;
	}
	address_numeric(&a->sa, ip);
	snprintf(s->host, sizeof s->host, "%s", a->name);
	snprintf(s->name, sizeof s->name, "%s[%s]", a->name, ip);
	snprintf(s->relay, sizeof s->relay, "%s[%s]:%u", a->name, ip, address_port(&a->sa));
}

void
session_new(struct delivery *d, int fd, const struct host_address *a)
{
	struct session *s = xcalloc(1, sizeof *s);

	*s = (struct session){
	    .remote = d->remote,
	    .d = d,
	    .fd = fd,
	    .key = pool_key(d),
	    .lmtp = d->hop.lmtp,
	    .mx = d->hop.mx,
	    .opened = clock_ms(),
	    .file = -1,
	    .body = STR_EMPTY,
	    .tail = STR_EMPTY,
	    .task = {.on_round_end = on_round_end, .arg = s},
	};
	d->session = s;
	set_names(s, a);
	reply_init(&s->reply);
	buf_init(&s->out, OUT_MAX);
	event_assign(&s->ev_read, s->remote->loop->base, fd, EV_READ | EV_PERSIST, on_readable, s);
	event_assign(&s->ev_write, s->remote->loop->base, fd, EV_WRITE, on_writable, s);
	deadline_init(&s->deadline, s->remote->loop, on_deadline, s);
	if (event_add(&s->ev_read, NULL) == -1)
		fatal("session: no event");
	s->remote->nsessions++;
	session_enter(s, STAGE_GREETING);
}

bool
session_reuse(struct delivery *d)
{
	struct session *s = pool_take(d);

	if (s == NULL)
		return false;
	s->d = d;
	s->reused = true;
	d->session = s;
	d->reached = true;
	transaction_begin(s);
	return true;
}
