/* SPDX-License-Identifier: ISC */
/*
 * The client's side of a before-queue filter: one connection a message, one command at a time.
 * Trusted to filter, and for nothing else: replies are bounded (lib/mail/reply.h), what comes
 * unasked ends the connection. Whatever is no answer to the message is 451, and the client keeps
 * its mail.
 *
 *	greeting - EHLO (HELO) - XFORWARD... - MAIL - RCPT... - DATA - content - reply
 */
#include "smtpd/proxy_filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/net.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/mail/command.h"
#include "lib/mail/date.h"
#include "lib/mail/esmtp.h"
#include "lib/mail/reply.h"
#include "lib/mail/xforward.h"
#include "lib/milter/mail.h"
#include "lib/service/service.h"
#include "smtpd/edits.h"
#include "smtpd/forward.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"

enum {
	PIECE = 32 * 1024,          /* octets of content that are encoded at a time */
	OUT_MAX = 2 * PIECE + 8192, /* each may be a dot at a line's start; or a command */
	HEAD_MAX = 256 * 1024,
	NOBODY = -1,
};

enum step {
	STEP_GREETING,
	STEP_EHLO,
	STEP_HELO,
	STEP_XFORWARD,
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
	STEP_CONTENT,
};

struct addressee {
	char *address;
	ptrdiff_t rcpt; /* of the transaction; NOBODY: added by a rule */
};

struct proxy_filter {
	struct session *s;
	proxied_fn *done;
	struct proxied result;
	size_t nrefused; /* places in result.refused */
	int fd;
	uint32_t question; /* to master */
	enum step step;
	unsigned offered, attributes; /* enum esmtp_extension; of XFORWARD */
	size_t attribute;             /* the next one to send */
	struct str sender;
	struct addressee *rcpts;
	size_t nrcpts, next, accepted;
	struct buf head; /* what comes before the content */
	size_t sent;     /* octets of head and content that have been encoded */
	bool ended;      /* and the end of data, too */
	bool broken;     /* not all of it could be sent */
	struct dot_encoder dots;
	struct buf out;
	struct reply reply;
	struct event ev_read, ev_write;
};

/* --- the end --- */

void
proxy_filter_free(struct proxy_filter **pp)
{
	struct proxy_filter *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	if (p->question != 0)
		chan_forget(service_master(p->s->server->service), p->question);
	if (p->fd != -1) {
		event_del(&p->ev_read);
		event_del(&p->ev_write);
	}
	fd_close(&p->fd);
	for (size_t i = 0; i < p->nrcpts; i++)
		free(p->rcpts[i].address);
	free(p->rcpts);
	for (size_t i = 0; i < p->nrefused; i++)
		free(p->result.refused[i]);
	free(p->result.refused);
	buf_free(&p->head);
	buf_free(&p->out);
	reply_free(&p->reply);
	free(p);
}

static void
finish(struct proxy_filter *p)
{
	if (p->fd != -1)
		(void)!send(p->fd, "QUIT\r\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT); /* a courtesy */
	p->done(p->s, &p->result);                                              /* frees it */
}

/* The filter does not do its part: Postfix's words for the client, the reason for the log. */
static void
fail(struct proxy_filter *p, const char *reason)
{
	log_warning("proxy %s: %s", p->s->server->conf->smtpd_proxy_filter, reason);
	why_temp(&p->result.failure, "4.3.0", "Error: queue file write error");
	if (p->fd != -1) {
		event_del(&p->ev_read);
		event_del(&p->ev_write);
	}
	fd_close(&p->fd);
	p->done(p->s, &p->result); /* frees it */
}

/* The reply's lines as one, without their enhanced codes. */
static void
reply_text(const struct proxy_filter *p, char *text, size_t size)
{
	struct buf all;
	struct str line;
	size_t offset = 0, n = strlen(p->reply.enhanced);

	buf_init(&all, size - 1);
	while (reply_line(&p->reply, &offset, &line)) {
		if (n > 0 && str_starts(line, str_from(p->reply.enhanced)))
			line = str_trim(str_from_at(line, n));
		if ((all.n > 0 && buf_byte(&all, ' ') == -1) ||
		    buf_str(&all, str_sub(line, 0, size - 1 - all.n)) == -1)
			break;
	}
	str_mask_control(all.p, all.n);             /* a reply of ours is one line of text */
	(void)str_copy(text, size, buf_view(&all)); /* bounded by it */
	buf_free(&all);
}

static void
reply_refusal(const struct proxy_filter *p, struct why *why)
{
	char text[sizeof why->text];

	reply_text(p, text, sizeof text);
	if (p->reply.code >= 500)
		why_perm(
		    why, p->reply.enhanced[0] != '\0' ? p->reply.enhanced : "5.7.1", "%s", text);
	else
		why_temp(
		    why, p->reply.enhanced[0] != '\0' ? p->reply.enhanced : "4.7.1", "%s", text);
	why->smtp = p->reply.code != 521 ? p->reply.code : 554; /* our session goes on */
}

/* --- what is sent --- */

static void
on_expired(struct session *s)
{
	fail(s->tx->proxy, "timeout");
}

static void
send_soon(struct proxy_filter *p)
{
	if (event_add(&p->ev_write, NULL) == -1)
		fatal("proxy filter: no event");
	session_wait(p->s, p->s->server->conf->smtpd_proxy_timeout, on_expired);
}

/* A command, which is in p->out already but for its end. */
static void
say(struct proxy_filter *p, int written, enum step step)
{
	if (written == -1 || buf_puts(&p->out, "\r\n") == -1) {
		fail(p, "a command is too long");
		return;
	}
	p->step = step;
	reply_reset(&p->reply);
	send_soon(p);
}

/* --- XFORWARD --- */

/* The next command of what the session's client, or who it speaks for, is; false where none is
 * left.
 */
static bool
say_xforward(struct proxy_filter *p)
{
	const struct session *s = p->s;
	const struct forward *f = s->forward;
	unsigned port = f != NULL ? f->port : s->client_port;
	const char *name = f != NULL ? f->name : s->client_name;
	char number[8] = "", trace[20];

	if (port != 0)
		snprintf(number, sizeof number, "%u", port);
	snprintf(trace, sizeof trace, "%016" PRIX64, s->trace);
	const struct xforward x = {
	    {
             [XFORWARD_NAME] = strcmp(name, "unknown") != 0 ? name : NULL,
             [XFORWARD_ADDR] = f != NULL ? f->addr : s->client_addr,
             [XFORWARD_PORT] = number,
             [XFORWARD_PROTO] = f != NULL  ? f->proto
				   : s->esmtp ? "ESMTP"
					      : "SMTP",
             [XFORWARD_HELO] = f != NULL ? f->helo : s->helo,
             [XFORWARD_IDENT] = f != NULL ? f->ident : trace,
             [XFORWARD_SOURCE] = f != NULL  ? f->source
				    : s->local ? "LOCAL"
					       : "REMOTE",
	     }
        };
	if (!xforward_command(&x, p->attributes, &p->attribute, &p->out))
		return false;
	say(p, 0, STEP_XFORWARD);
	return true;
}

/* --- the envelope --- */

static void
say_mail(struct proxy_filter *p)
{
	const struct transaction *tx = p->s->tx;
	const struct command_mail mail = {
	    .sender = p->sender,
	    .offered = p->offered,
	    .size = p->head.n + tx->content.n,
	    .body_8bit = (tx->flags & MAIL_8BITMIME) != 0,
	    .smtputf8 = (tx->flags & MAIL_SMTPUTF8) != 0,
	    .requiretls = (tx->flags & MAIL_REQUIRETLS) != 0,
	    .ret = tx->ret,
	    .envid = tx->envid,
	};

	say(p, command_mail(&mail, &p->out), STEP_MAIL);
}

static void
say_rcpt(struct proxy_filter *p)
{
	const struct addressee *a = &p->rcpts[p->next];
	const struct rcpt *r = a->rcpt != NOBODY ? &p->s->tx->rcpts[a->rcpt] : NULL;
	const struct command_rcpt rcpt = {
	    .address = str_from(a->address),
	    .offered = p->offered,
	    .notify = r != NULL ? r->notify : NOTIFY_DEFAULT,
	    .orcpt = r != NULL ? r->orcpt : NULL,
	};

	say(p, command_rcpt(&rcpt, &p->out), STEP_RCPT);
}

static void
add_rcpt(struct proxy_filter *p, struct str address, ptrdiff_t rcpt)
{
	p->rcpts = xrealloc(p->rcpts, size_mul(p->nrcpts + 1, sizeof *p->rcpts));
	p->rcpts[p->nrcpts++] = (struct addressee){str_dup(address), rcpt};
}

static void
delete_rcpt(struct proxy_filter *p, struct str address)
{
	for (size_t i = p->nrcpts; i-- > 0;) {
		if (!str_caseeq(str_from(p->rcpts[i].address), address))
			continue;
		free(p->rcpts[i].address);
		memmove(&p->rcpts[i], &p->rcpts[i + 1], (p->nrcpts - i - 1) * sizeof *p->rcpts);
		p->nrcpts--;
	}
}

static void
redirect(struct proxy_filter *p, struct str address)
{
	for (size_t i = 0; i < p->nrcpts; i++)
		free(p->rcpts[i].address);
	p->nrcpts = 0;
	add_rcpt(p, address, NOBODY);
}

/* What rules have changed, so far as it can be done without a queue. */
static bool
apply_edits(struct proxy_filter *p)
{
	enum mail_edit kind;
	struct str name, value;

	for (size_t at = 0; edits_next(p->s->tx, &at, &kind, &name, &value);) {
		if (kind == EDIT_SENDER)
			p->sender = name;
		else if (kind == EDIT_ADD_RCPT || kind == EDIT_BCC)
			add_rcpt(p, name, NOBODY);
		else if (kind == EDIT_DELETE_RCPT)
			delete_rcpt(p, name);
		else if (kind == EDIT_REDIRECT)
			redirect(p, name);
		else if (kind != EDIT_PREPEND || buf_str(&p->head, value) == -1 ||
			 buf_puts(&p->head, "\r\n") == -1)
			return false;
	}
	return true;
}

/* --- the trace field --- */

static int
put_clean(struct buf *b, const char *text)
{
	for (; text != NULL && *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		bool fine = c > ' ' && c != 0x7f && c != '(' && c != ')' && c != '\\' && c != ';';
		if (buf_byte(b, fine ? (char)c : '?') == -1)
			return -1;
	}
	return 0;
}

/* The service that the filter gives the message to sees the filter alone: who brought it stands
 * here (RFC 5321 4.4). */
static int
put_received(const struct session *s, struct buf *b)
{
	const struct conf_common *conf = &s->server->conf->common;
	struct str proto = session_proto(s);
	char date[DATE_SIZE];

	date_header(date, wall_us());
	if (buf_puts(b, "Received: from ") == -1 ||
	    put_clean(b, s->helo != NULL ? s->helo : "unknown") == -1 || buf_puts(b, " (") == -1 ||
	    put_clean(b, s->client_name) == -1 ||
	    buf_printf(b, " [%s%s])\r\n\tby %s (%s)", strchr(s->client_addr, ':') ? "IPv6:" : "",
		s->client_addr, conf->myhostname, conf->mail_name) == -1)
		return -1;
	return buf_printf(
	    b, " with %.*s id %016" PRIX64 ";\r\n\t%s\r\n", STR_ARG(proto), s->trace, date);
}

/* --- replies --- */

static void
say_next_rcpt(struct proxy_filter *p)
{
	const struct session *s = p->s;

	if (p->next < p->nrcpts) {
		say_rcpt(p);
	} else if (p->accepted == 0) {
		finish(p); /* the last refusal is in result.failure */
	} else if (p->accepted < p->nrcpts && s->server->conf->protocol != PROTOCOL_LMTP) {
		fail(p, "some recipients were refused, and SMTP has one reply for all");
	} else {
		p->result.failure = (struct why){0};
		say(p, buf_puts(&p->out, "DATA"), STEP_DATA);
	}
}

static void
on_rcpt(struct proxy_filter *p)
{
	ptrdiff_t rcpt = p->rcpts[p->next].rcpt;

	p->next++;
	if (p->reply.code < 300) {
		p->accepted++;
	} else {
		reply_refusal(p, &p->result.failure);
		if (rcpt != NOBODY) {
			p->result.refused[rcpt] = xcalloc(1, sizeof(struct why));
			*p->result.refused[rcpt] = p->result.failure;
		}
	}
	say_next_rcpt(p);
}

static void
on_content_answer(struct proxy_filter *p)
{
	p->result.smtp = p->reply.code;
	snprintf(p->result.code, sizeof p->result.code, "%s",
	    p->reply.enhanced[0] != '\0' ? p->reply.enhanced : "2.0.0");
	reply_text(p, p->result.text, sizeof p->result.text);
	if (p->ended && p->out.n == 0 && !p->broken)
		finish(p);
	else
		fail(p, "it answered before the end of the message");
}

static void
take_offers(struct proxy_filter *p)
{
	struct str line, value;
	size_t offset = 0;

	(void)reply_line(&p->reply, &offset, &line); /* its name */
	while (reply_line(&p->reply, &offset, &line)) {
		unsigned bit = esmtp_announced(line, &value);
		p->offered |= bit;
		if (bit == ESMTP_XFORWARD)
			p->attributes |= xforward_offered(value);
	}
}

static void
on_hello(struct proxy_filter *p)
{
	const struct transaction *tx = p->s->tx;

	if (p->step == STEP_EHLO)
		take_offers(p);
	if ((tx->flags & MAIL_SMTPUTF8) != 0 && (p->offered & ESMTP_SMTPUTF8) == 0)
		fail(p, "SMTPUTF8 is required, but was not offered");
	else if ((tx->flags & MAIL_REQUIRETLS) != 0 && (p->offered & ESMTP_REQUIRETLS) == 0)
		fail(p, "REQUIRETLS is required, but was not offered");
	else if (!say_xforward(p))
		say_mail(p);
}

/* Takes what fits of head and content, and the end of data behind it. */
static void
encode_more(struct proxy_filter *p)
{
	const struct transaction *tx = p->s->tx;
	struct str from = p->sent < p->head.n
			      ? str_from_at(buf_view(&p->head), p->sent)
			      : str_from_at(buf_view(&tx->content), p->sent - p->head.n);
	struct str piece = str_sub(from, 0, PIECE);
	int rc;

	if (piece.n > 0) {
		rc = dot_encode(&p->dots, piece, &p->out);
		p->sent += piece.n;
	} else {
		rc = dot_encode_end(&p->dots, &p->out);
		p->ended = true;
	}
	if (rc == -1)
		panic("proxy filter: a piece has its room");
}

static void
on_go_ahead(struct proxy_filter *p)
{
	p->step = STEP_CONTENT;
	reply_reset(&p->reply);
	dot_encode_begin(&p->dots);
	encode_more(p);
	send_soon(p);
}

static void
on_greeting(struct proxy_filter *p)
{
	say(p, buf_printf(&p->out, "EHLO %s", p->s->server->conf->smtpd_proxy_ehlo), STEP_EHLO);
}

static void
on_xforwarded(struct proxy_filter *p)
{
	if (!say_xforward(p))
		say_mail(p);
}

static void
on_mail_taken(struct proxy_filter *p)
{
	say_next_rcpt(p);
}

/* What a reply to a step leads to. `wanted`: its first digit. Any other is the reply to the client
 * where `refusal` says so, else a fault of the filter. */
static const struct {
	const char *name;
	int wanted;
	bool refusal;
	void (*next)(struct proxy_filter *p);
} steps[] = {
    [STEP_GREETING] = {"the greeting",   2, false, on_greeting      },
    [STEP_EHLO] = {"EHLO",           2, false, on_hello         },
    [STEP_HELO] = {"HELO",           2, false, on_hello         },
    [STEP_XFORWARD] = {"XFORWARD",       2, false, on_xforwarded    },
    [STEP_MAIL] = {"MAIL",           2, true,  on_mail_taken    },
    [STEP_RCPT] = {"RCPT",           2, true,  on_rcpt          },
    [STEP_DATA] = {"DATA",           3, true,  on_go_ahead      },
    [STEP_CONTENT] = {"END-OF-MESSAGE", 2, true,  on_content_answer},
};

static void
on_reply(struct proxy_filter *p)
{
	int digit = p->reply.code / 100;
	char text[600];
	struct buf shown;

	if (digit == steps[p->step].wanted) {
		steps[p->step].next(p);
		return;
	}
	if (p->step == STEP_EHLO && digit == 5) {
		say(p, buf_printf(&p->out, "HELO %s", p->s->server->conf->smtpd_proxy_ehlo),
		    STEP_HELO);
		return;
	}
	if (steps[p->step].refusal && digit >= 4 && p->reply.code != 421) {
		if (p->step == STEP_RCPT) {
			on_rcpt(p);
			return;
		}
		reply_refusal(p, &p->result.failure);
		finish(p);
		return;
	}
	buf_init(&shown, 400);
	reply_show(&p->reply, &shown);
	snprintf(text, sizeof text, "%s: \"%s\"", steps[p->step].name, buf_cstr(&shown));
	buf_free(&shown);
	fail(p, text);
}

/* --- the connection --- */

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct proxy_filter *p = arg;
	char room[4096];
	struct why why;
	size_t used;

	(void)what;
	ssize_t n = read(fd, room, sizeof room);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(p, "lost connection");
		return;
	}
	int got = reply_feed(&p->reply, str_make(room, (size_t)n), &used, &why);
	if (got == -1)
		fail(p, why.text);
	else if (got == 1 && used != (size_t)n)
		fail(p, "it says more than it was asked");
	else if (got == 1)
		on_reply(p);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct proxy_filter *p = arg;

	(void)what;
	ssize_t n = send(fd, p->out.p, p->out.n, MSG_NOSIGNAL);
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		/* it may have said why before it closed: the reader finds that, or the end */
		p->broken = true;
		return;
	}
	buf_consume(&p->out, n > 0 ? (size_t)n : 0);
	if (p->out.n == 0 && p->step == STEP_CONTENT && !p->ended)
		encode_more(p);
	if (p->out.n > 0)
		send_soon(p);
}

static void
on_connected(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct proxy_filter *p = arg;
	struct event_base *base = p->s->server->loop->base;
	char text[300] = "master is gone";

	p->question = 0;
	if (msg != NULL && head->type == MSG_CONNECTED)
		p->fd = chan_take_fd(&msg->connected.socket);
	else if (msg != NULL && head->type == MSG_REFUSED)
		snprintf(text, sizeof text, "%.*s", STR_ARG(msg->refused.text));
	if (p->fd != -1) {
		event_assign(&p->ev_read, base, p->fd, EV_READ | EV_PERSIST, on_readable, p);
		event_assign(&p->ev_write, base, p->fd, EV_WRITE, on_writable, p);
	}
	if (p->fd == -1 || fd_nonblock(p->fd) == -1) {
		fail(p, text);
		return;
	}
	if (event_add(&p->ev_read, NULL) == -1)
		fatal("proxy filter: no event");
}

static bool
connect_by_master(struct proxy_filter *p)
{
	struct chan *master = service_master(p->s->server->service);
	const char *filter = p->s->server->conf->smtpd_proxy_filter;
	bool typed = strncmp(filter, "unix:", 5) == 0 || strncmp(filter, "inet:", 5) == 0;
	char *target = xasprintf("%s%s", typed ? "" : "inet:", filter);
	struct msg_connect msg = {.target = str_from(target)};

	if (master != NULL)
		p->question = chan_call(master, p->s->trace, MSG_CONNECT, &msg, on_connected, p);
	free(target);
	return p->question != 0;
}

int
proxy_filter_check(const struct smtpd_conf *conf, struct why *why)
{
	const char *filter = conf->smtpd_proxy_filter;
	struct addrinfo *info = NULL;
	struct why inner;

	if (filter[0] == '\0' || strncmp(filter, "unix:/", 6) == 0)
		return 0;
	if (net_address(filter + (strncmp(filter, "inet:", 5) == 0 ? 5 : 0), &info, &inner) == -1)
		return why_perm(why, NULL, "smtpd_proxy_filter: %s (or unix:/PATH)", inner.text);
	freeaddrinfo(info);
	return 0;
}

bool
proxy_filter_holds(const struct session *s)
{
	return s->server->conf->smtpd_proxy_filter[0] != '\0';
}

bool
proxy_filter_room(struct session *s, size_t n)
{
	struct milter_budget *held = s->server->held;

	if (held->held >= held->max || n > held->max - held->held)
		return false;
	held->held += n;
	s->tx->held += n;
	s->tx->held_in = held;
	return true;
}

void
proxy_filter_begin(struct session *s, proxied_fn *done)
{
	struct transaction *tx = s->tx;
	struct proxy_filter *p = xcalloc(1, sizeof *p);

	*p =
	    (struct proxy_filter){.s = s, .done = done, .fd = -1, .sender = addr_text(&tx->sender)};
	tx->proxy = p;
	buf_init(&p->head, HEAD_MAX);
	buf_init(&p->out, OUT_MAX);
	reply_init(&p->reply);
	p->nrefused = tx->nrcpts;
	p->result.refused = xcalloc(tx->nrcpts + 1, sizeof(struct why *));
	for (size_t i = 0; i < tx->nrcpts; i++)
		add_rcpt(p,
		    str_from(tx->rcpts[i].original != NULL ? tx->rcpts[i].original
							   : tx->rcpts[i].route->address),
		    (ptrdiff_t)i);
	if (put_received(s, &p->head) == -1 || !apply_edits(p)) {
		fail(p, "the message has changes that a filter cannot be given (HOLD, FILTER)");
	} else if (p->nrcpts == 0) {
		snprintf(p->result.text, sizeof p->result.text, "Ok"); /* a rule took them away */
		snprintf(p->result.code, sizeof p->result.code, "2.0.0");
		p->result.smtp = 250;
		finish(p);
	} else {
		session_wait(s, s->server->conf->smtpd_proxy_timeout, on_expired);
		if (!connect_by_master(p))
			fail(p, "master cannot be asked for a connection");
	}
}
