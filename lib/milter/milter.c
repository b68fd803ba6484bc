/* SPDX-License-Identifier: ISC */
/*
 * One milter is a connection and what it has said of itself; the chain walks from one to the next.
 * Each step sends what the protocol has for it (macros, command) and waits for the reply where the
 * milter gives one. The whole content is one event here: header fields, end of the header, body in
 * parts, end of the message, then changes and the verdict.
 *
 * A milter that fails is asked nothing more in this session; its default action stands for its
 * verdict, from the next MAIL on, so that a session can still be told why.
 */
#include "lib/milter/milter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"
#include "lib/mail/header.h"
#include "lib/milter/mail.h"
#include "lib/milter/frame.h"
#include "lib/msg/fields.h"

enum {
	IN_MAX = MILTER_PACKET_MAX + 4 + 64 * 1024,
	OUT_MAX = 64 * 1024 * 1024,
	OUT_PAUSE = 512 * 1024, /* so much unsent: the body waits */
	ARGS_MAX = 16 * 1024,
	MACRO_MAX = 4096,
	SYMBOLS_MAX = 4096,
};

/* The stages that have macros of their own: the events, and two within the content. */
enum { STAGE_EOH = MILTER_EVENTS, STAGE_EOM, STAGES };

static const struct stage {
	char command;
	uint32_t no, no_reply; /* enum milter_protocol */
} stages[STAGES] = {
    [MILTER_CONNECT] = {'C', PROTOCOL_NOCONNECT, PROTOCOL_NR_CONN},
    [MILTER_HELO] = {'H', PROTOCOL_NOHELO,    PROTOCOL_NR_HELO},
    [MILTER_MAIL] = {'M', PROTOCOL_NOMAIL,    PROTOCOL_NR_MAIL},
    [MILTER_RCPT] = {'R', PROTOCOL_NORCPT,    PROTOCOL_NR_RCPT},
    [MILTER_DATA] = {'T', PROTOCOL_NODATA,    PROTOCOL_NR_DATA},
    [MILTER_CONTENT] = {'L', PROTOCOL_NOHDRS,    PROTOCOL_NR_HDR },
    [STAGE_EOH] = {'N', PROTOCOL_NOEOH,     PROTOCOL_NR_EOH },
    [STAGE_EOM] = {'E', 0,                  0               },
};

/* Where in the content a milter is. */
enum part { PART_HEADER, PART_EOH, PART_BODY, PART_END };

enum link { LINK_NONE, LINK_ASKED, LINK_NEGOTIATES, LINK_UP, LINK_BROKEN };

struct milter {
	struct milters *chain;
	const struct milter_spec *spec;
	enum link link;
	int fd;
	uint32_t actions, protocol;
	char *symbols[STAGES]; /* macros that it wants instead of the usual; NULL: the usual */
	bool accepted;         /* no more of this session */
	bool mail_accepted;    /* no more of this message */
	bool in_mail;          /* has heard of a message that is not over */
	bool expects;          /* a reply */
	struct buf in, out;
	struct event ev_read, ev_write, ev_timer;
	/* the content */
	enum part part;
	size_t offset; /* in the header */
	uint64_t body; /* octets of the body that are sent */
	bool skip;     /* of the body */
};

struct milters {
	struct event_base *base;
	const struct milter_host *host;
	void *arg;
	struct milter *all;
	size_t n, at;
	bool busy;
	enum milter_event event;
	struct buf args; /* texts, each with its NUL */
	struct milter_mail *mail;
	struct event ev_done; /* a verdict is never given within milters_ask() */
	enum milter_verdict verdict;
	struct why why;
};

static void walk(struct milters *ms);
static void go_on(struct milter *m);

/* --- the verdict --- */

static void
on_done(evutil_socket_t fd, short what, void *arg)
{
	struct milters *ms = arg;

	(void)fd;
	(void)what;
	ms->host->done(ms->arg, ms->verdict, ms->verdict == MILTER_REFUSE ? &ms->why : NULL);
}

/* The event is over for all. */
static void
finish(struct milters *ms, enum milter_verdict verdict)
{
	struct timeval now = {0, 0};

	ms->busy = false;
	ms->verdict = verdict;
	ms->mail = NULL;
	if (evtimer_add(&ms->ev_done, &now) == -1)
		fatal("milter: no timer");
}

static void
finish_content(struct milters *ms)
{
	for (size_t i = 0; i < ms->n; i++) {
		ms->all[i].in_mail = false;
		ms->all[i].mail_accepted = false;
	}
}

/* This milter has no more to say on the event. */
static void
next_milter(struct milter *m)
{
	struct milters *ms = m->chain;

	m->expects = false;
	evtimer_del(&m->ev_timer);
	if (ms->event == MILTER_CONTENT) {
		m->in_mail = m->mail_accepted = false;
		milter_mail_accept(ms->mail);
	}
	ms->at++;
	walk(ms);
}

static void
refuse(struct milters *ms)
{
	if (ms->event == MILTER_CONTENT) {
		milters_abort(ms);
		finish_content(ms);
	}
	finish(ms, MILTER_REFUSE);
}

/* --- failure --- */

static void
hang_up(struct milter *m)
{
	if (m->link == LINK_ASKED)
		m->chain->host->forget(m->chain->arg, m);
	if (m->fd != -1) {
		event_del(&m->ev_read);
		event_del(&m->ev_write);
	}
	evtimer_del(&m->ev_timer);
	fd_close(&m->fd);
	buf_free(&m->in);
	buf_free(&m->out);
	m->expects = false;
}

/* What its default action makes of the event under way. */
static void
act_by_default(struct milter *m)
{
	struct milters *ms = m->chain;
	bool early = ms->event == MILTER_CONNECT || ms->event == MILTER_HELO;

	if (ms->event == MILTER_CONTENT)
		milter_mail_revert(ms->mail);
	switch ((enum milter_default)m->spec->times.action) {
	case MILTER_DEFAULT_ACCEPT:
		next_milter(m);
		return;
	case MILTER_DEFAULT_QUARANTINE:
		if (ms->event == MILTER_CONTENT)
			(void)ms->host->edit(ms->arg, EDIT_HOLD, STR("a milter has failed"));
		next_milter(m);
		return;
	case MILTER_DEFAULT_REJECT:
		why_perm(&ms->why, "5.5.0", "Service unavailable");
		ms->why.smtp = 550;
		break;
	case MILTER_DEFAULT_TEMPFAIL:
		why_temp(&ms->why, "4.7.1", "Service unavailable - try again later");
		ms->why.smtp = 451;
		break;
	}
	if (early)
		next_milter(m); /* said at MAIL */
	else
		refuse(ms);
}

static void
broken(struct milter *m, const char *text)
{
	bool under_way = m->chain->busy && &m->chain->all[m->chain->at] == m;

	log_warning("milter %s: %s; the default action is %s", m->spec->target, text,
	    milter_default_words[m->spec->times.action]);
	hang_up(m);
	m->link = LINK_BROKEN;
	if (under_way)
		act_by_default(m);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct milter *m = arg;

	(void)fd;
	(void)what;
	if (m->link == LINK_ASKED) {
		m->chain->host->forget(m->chain->arg, m);
		m->link = LINK_NONE;
	}
	broken(m, "no answer in time");
}

static void
expect(struct milter *m, int64_t ms)
{
	struct timeval tv = clock_tv(ms);

	m->expects = true;
	if (evtimer_add(&m->ev_timer, &tv) == -1)
		fatal("milter: no timer");
}

/* --- out --- */

static void
write_out(struct milter *m)
{
	while (m->out.n > 0) {
		ssize_t n = write(m->fd, m->out.p, m->out.n);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			event_add(&m->ev_write, NULL);
			return;
		}
		if (n == -1) {
			broken(m, "connection lost");
			return;
		}
		buf_consume(&m->out, (size_t)n);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct milter *m = arg;

	(void)fd;
	(void)what;
	write_out(m);
	if (m->link == LINK_UP && m->out.n == 0 && m->chain->busy && !m->expects &&
	    &m->chain->all[m->chain->at] == m)
		go_on(m); /* the body went faster than the socket */
}

static int
send_macros(struct milter *m, int stage)
{
	const char *usual = stage == STAGE_EOH   ? milter_eoh_macros
			    : stage == STAGE_EOM ? milter_eom_macros
						 : milter_macros[stage];
	struct str names = str_from(m->symbols[stage] != NULL ? m->symbols[stage] : usual), name;
	struct buf value = {.max = MACRO_MAX};
	ssize_t at = frame_begin(&m->out, 'D');
	int result = at == -1 ? -1 : buf_byte(&m->out, stages[stage].command);

	while (result == 0 && str_word(&names, " ,", &name)) {
		buf_reset(&value);
		if (!m->chain->host->macro(m->chain->arg, name, &value))
			continue;
		if (frame_text(&m->out, name) == -1 || frame_text(&m->out, buf_view(&value)) == -1)
			result = -1;
	}
	buf_free(&value);
	if (result == 0)
		frame_end(&m->out, at);
	return result;
}

/* "hostname", then family, port and address. */
static int
add_connect(struct milter *m, struct str args)
{
	struct str name = STR_EMPTY, address = STR_EMPTY, port = STR_EMPTY;
	uint64_t number = 0;

	(void)frame_take_text(&args, &name);
	(void)frame_take_text(&args, &address);
	(void)frame_take_text(&args, &port);
	if (!str_u64(port, 65535, &number))
		number = 0;
	char octets[2] = {(char)(number >> 8), (char)number};
	if (frame_text(&m->out, name) == -1)
		return -1;
	if (address.n == 0 || str_is(address, "unknown"))
		return buf_byte(&m->out, 'U');
	if (buf_byte(&m->out, str_chr(address, ':') >= 0 ? '6' : '4') == -1 ||
	    buf_add(&m->out, octets, sizeof octets) == -1)
		return -1;
	return frame_text(&m->out, address);
}

/* The command of an event, with its macros before it; true: a reply is to come. */
static bool
send_event(struct milter *m, int stage)
{
	const struct stage *st = &stages[stage];
	struct str args = buf_view(&m->chain->args);
	ssize_t at;

	if ((m->protocol & st->no) != 0)
		return false;
	if (send_macros(m, stage) == -1 || (at = frame_begin(&m->out, st->command)) == -1 ||
	    (stage == MILTER_CONNECT     ? add_connect(m, args)
		: stage < MILTER_CONTENT ? buf_str(&m->out, args)
					 : 0) == -1) {
		broken(m, "too much to say");
		return true;
	}
	frame_end(&m->out, at);
	return (m->protocol & st->no_reply) == 0;
}

/* --- the content --- */

static bool
send_header(struct milter *m, const struct header_field *f)
{
	struct buf value = {.max = MILTER_PACKET_MAX};
	struct str text = f->value;
	ssize_t at;
	int result = 0;

	if ((m->protocol & PROTOCOL_LEADSPC) == 0 && text.n > 0 && text.p[0] == ' ')
		text = str_from_at(text, 1);
	for (size_t i = 0; i < text.n && result == 0; i++)
		if (text.p[i] != '\r')
			result = buf_byte(&value, text.p[i]);
	if (result == 0 && (at = frame_begin(&m->out, 'L')) != -1 &&
	    frame_text(&m->out, f->name) == 0 && frame_text(&m->out, buf_view(&value)) == 0)
		frame_end(&m->out, at);
	else
		result = -1;
	buf_free(&value);
	if (result == -1) {
		broken(m, "a header field is too large");
		return true;
	}
	return (m->protocol & PROTOCOL_NR_HDR) == 0;
}

static bool
send_body(struct milter *m, const char *part, size_t n)
{
	ssize_t at = frame_begin(&m->out, 'B');

	if (at == -1 || buf_add(&m->out, part, n) == -1) {
		broken(m, "too much to say");
		return true;
	}
	frame_end(&m->out, at);
	return (m->protocol & PROTOCOL_NR_BODY) == 0;
}

/* One piece of the content; true: a reply is to come, or the milter is gone. */
static bool
send_piece(struct milter *m)
{
	struct milter_mail *mail = m->chain->mail;
	struct header_field f;
	char part[MILTER_BODY_MAX];
	ssize_t n;

	switch (m->part) {
	case PART_HEADER:
		if ((m->protocol & PROTOCOL_NOHDRS) == 0 &&
		    header_next(buf_view(&mail->header), &m->offset, &f))
			return send_header(m, &f);
		m->part = PART_EOH;
		return false;
	case PART_EOH:
		m->part = PART_BODY;
		return send_event(m, STAGE_EOH);
	case PART_BODY:
		n = (m->protocol & PROTOCOL_NOBODY) != 0 || m->skip
			? 0
			: milter_mail_body(mail, m->body, part, sizeof part);
		if (n == -1) {
			broken(m, "the message cannot be read");
			return true;
		}
		if (n > 0) {
			m->body += (uint64_t)n;
			return send_body(m, part, (size_t)n);
		}
		m->part = PART_END;
		return send_event(m, STAGE_EOM);
	case PART_END:
		break;
	}
	return true;
}

/* Sends until a reply is due, or the socket is full. */
static void
go_on(struct milter *m)
{
	while (m->out.n < OUT_PAUSE) {
		if (!send_piece(m))
			continue;
		if (m->link != LINK_UP)
			return;
		expect(
		    m, m->part == PART_END ? m->spec->times.content_ms : m->spec->times.command_ms);
		break;
	}
	if (!m->expects) { /* the socket is full: it must take some in time */
		expect(m, m->spec->times.command_ms);
		m->expects = false;
	}
	write_out(m);
}

/* --- one event --- */

static void
begin(struct milter *m)
{
	struct milters *ms = m->chain;

	if (ms->event == MILTER_MAIL)
		m->in_mail = true;
	if (ms->event == MILTER_CONTENT) {
		m->part = PART_HEADER;
		m->offset = 0;
		m->body = 0;
		m->skip = false;
		milter_mail_begin(ms->mail);
		go_on(m);
		return;
	}
	bool replies = send_event(m, (int)ms->event);
	if (m->link != LINK_UP)
		return;
	if (replies)
		expect(m, m->spec->times.command_ms);
	write_out(m);
	if (!replies && m->link == LINK_UP)
		next_milter(m);
}

static void
ask_for_link(struct milter *m)
{
	struct milters *ms = m->chain;

	m->link = LINK_ASKED;
	expect(m, m->spec->times.connect_ms);
	if (!ms->host->connect(ms->arg, m, m->spec->target)) {
		m->link = LINK_NONE;
		broken(m, "no connection");
	}
}

/* From the milter at `at` on. */
static void
walk(struct milters *ms)
{
	while (ms->at < ms->n) {
		struct milter *m = &ms->all[ms->at];
		if (m->accepted || m->mail_accepted) {
			if (ms->event == MILTER_CONTENT)
				m->in_mail = m->mail_accepted = false;
			ms->at++;
			continue;
		}
		if (m->link == LINK_BROKEN)
			act_by_default(m);
		else if (m->link == LINK_NONE)
			ask_for_link(m);
		else
			begin(m);
		return;
	}
	finish(ms, MILTER_CONTINUE);
}

/* --- replies --- */

static void
take_symbols(struct milter *m, struct str data)
{
	static const int by_number[] = {MILTER_CONNECT, MILTER_HELO, MILTER_MAIL, MILTER_RCPT,
	    MILTER_DATA, STAGE_EOM, STAGE_EOH};
	struct str names;
	uint32_t number;

	while (frame_take_u32(&data, &number) && frame_take_text(&data, &names)) {
		if (number >= NELEM(by_number) || names.n > SYMBOLS_MAX)
			continue;
		int stage = by_number[number];
		free(m->symbols[stage]);
		m->symbols[stage] = str_dup(names);
	}
}

static void
negotiated(struct milter *m, char letter, struct str data)
{
	uint32_t version, actions, protocol;

	if (letter != 'O' || !frame_take_u32(&data, &version) || !frame_take_u32(&data, &actions) ||
	    !frame_take_u32(&data, &protocol) || version < 2 || version > MILTER_VERSION ||
	    (actions & ~(uint32_t)ACTION_ALL) != 0) {
		broken(m, "no agreement on the protocol");
		return;
	}
	m->actions = actions;
	m->protocol = protocol & PROTOCOL_ALL;
	take_symbols(m, data);
	m->link = LINK_UP;
	m->expects = false;
	evtimer_del(&m->ev_timer);
	begin(m);
}

/* "550 5.7.1 text": the code, an enhanced one, the text, on one line. */
static bool
take_reply(struct str data, struct why *why)
{
	struct str text, code = STR_EMPTY, rest;
	char line[400];
	uint64_t smtp;
	size_t n = 0;

	if (!frame_take_text(&data, &text) || !str_u64(str_sub(text, 0, 3), 599, &smtp) ||
	    smtp < 400 || (text.n > 3 && text.p[3] != ' ' && text.p[3] != '-'))
		return false;
	rest = str_from_at(text, 4);
	struct str copy = rest, word;
	if (str_word(&copy, " ", &word) && word.n >= 5 && word.n < sizeof why->code &&
	    word.p[0] == text.p[0] && word.p[1] == '.') {
		code = word;
		rest = str_from_at(rest, (size_t)(word.p - rest.p) + word.n);
	}
	rest = str_trim(rest);
	for (size_t i = 0; i < rest.n && n + 1 < sizeof line; i++)
		line[n++] = (unsigned char)rest.p[i] < ' ' ? ' ' : rest.p[i];
	line[n] = '\0';
	if (smtp >= 500)
		why_perm(why, NULL, "%s", line);
	else
		why_temp(why, NULL, "%s", line);
	why->smtp = (int)smtp;
	str_copy(why->code, sizeof why->code,
	    code.n > 0    ? code
	    : smtp >= 500 ? STR("5.7.1")
			  : STR("4.7.1"));
	return true;
}

/* A change of the message; false: it is malformed, or not one that was agreed on. */
static bool
take_change(struct milter *m, char letter, struct str data)
{
	struct milters *ms = m->chain;
	bool lead = (m->protocol & PROTOCOL_LEADSPC) != 0;
	struct str name = STR_EMPTY, value = STR_EMPTY;
	uint32_t index = 0;

	switch (letter) {
	case 'h':
		return (m->actions & ACTION_ADDHDRS) != 0 && frame_take_text(&data, &name) &&
		       frame_take_text(&data, &value) &&
		       milter_mail_add(ms->mail, name, value, lead) == 0;
	case 'i':
		return (m->actions & ACTION_ADDHDRS) != 0 && frame_take_u32(&data, &index) &&
		       frame_take_text(&data, &name) && frame_take_text(&data, &value) &&
		       milter_mail_insert(ms->mail, index, name, value, lead) == 0;
	case 'm':
		return (m->actions & ACTION_CHGHDRS) != 0 && frame_take_u32(&data, &index) &&
		       frame_take_text(&data, &name) && frame_take_text(&data, &value) &&
		       milter_mail_change(ms->mail, index, name, value, lead) == 0;
	case 'b':
		return (m->actions & ACTION_CHGBODY) != 0 &&
		       milter_mail_replace(ms->mail, data) == 0;
	case '+':
	case '2':
		return (m->actions & (ACTION_ADDRCPT | ACTION_ADDRCPT_PAR)) != 0 &&
		       frame_take_text(&data, &name) &&
		       ms->host->edit(ms->arg, EDIT_ADD_RCPT, name);
	case '-':
		return (m->actions & ACTION_DELRCPT) != 0 && frame_take_text(&data, &name) &&
		       ms->host->edit(ms->arg, EDIT_DELETE_RCPT, name);
	case 'e':
		return (m->actions & ACTION_CHGFROM) != 0 && frame_take_text(&data, &name) &&
		       ms->host->edit(ms->arg, EDIT_SENDER, name);
	case 'q':
		return (m->actions & ACTION_QUARANTINE) != 0 && frame_take_text(&data, &name) &&
		       ms->host->edit(
			   ms->arg, EDIT_HOLD, name.n > 0 ? name : STR("quarantined by a milter"));
	default:
		return false;
	}
}

static bool
is_change(char letter)
{
	return letter != '\0' && strchr("him"
					"b+2-eq",
				     letter) != NULL;
}

/* The event's final reply. */
static void
take_verdict(struct milter *m, char letter, struct str data)
{
	struct milters *ms = m->chain;
	bool content = ms->event == MILTER_CONTENT, at_end = content && m->part == PART_END;

	m->expects = false;
	evtimer_del(&m->ev_timer);
	switch (letter) {
	case 'c':
		if (content && !at_end)
			go_on(m);
		else
			next_milter(m);
		return;
	case 's':
		m->skip = true;
		go_on(m);
		return;
	case 'a':
		if (ms->event == MILTER_CONNECT || ms->event == MILTER_HELO)
			m->accepted = true;
		else
			m->mail_accepted = !content;
		next_milter(m);
		return;
	case 'd':
		if (content) {
			milters_abort(ms);
			finish_content(ms);
		}
		finish(ms, MILTER_DISCARD);
		return;
	case 'r':
		why_perm(&ms->why, "5.7.1", "Command rejected");
		ms->why.smtp = 550;
		refuse(ms);
		return;
	case 't':
		why_temp(&ms->why, "4.7.1", "Service unavailable - try again later");
		ms->why.smtp = 451;
		refuse(ms);
		return;
	case 'y':
		if (take_reply(data, &ms->why))
			refuse(ms);
		else
			broken(m, "a reply that is none");
		return;
	case '4':
		why_temp(&ms->why, "4.7.0", "Server closing connection");
		ms->why.smtp = 421;
		refuse(ms);
		return;
	default:
		broken(m, "an unexpected reply");
	}
}

static void
take_packet(struct milter *m, char letter, struct str data)
{
	bool content = m->chain->event == MILTER_CONTENT;

	if (m->link == LINK_NEGOTIATES) {
		negotiated(m, letter, data);
	} else if (!m->chain->busy || !m->expects) {
		broken(m, "it speaks unasked");
	} else if (letter == 'p') {
		expect(m, content ? m->spec->times.content_ms : m->spec->times.command_ms);
	} else if (is_change(letter)) {
		if (!content || m->part != PART_END || !take_change(m, letter, data))
			broken(m, "a change that was not agreed on, is malformed, or too large");
	} else if (letter == 's' && (!content || m->part != PART_BODY)) {
		broken(m, "an unexpected reply");
	} else {
		take_verdict(m, letter, data);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct milter *m = arg;
	char room[16 * 1024], letter;
	struct str data;
	size_t used;
	int more = 0;

	(void)what;
	ssize_t n = read(fd, room, sizeof room);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || buf_add(&m->in, room, (size_t)n) == -1) {
		broken(m, n <= 0 ? "connection lost" : "it says too much");
		return;
	}
	while (m->fd != -1 && (more = frame_next(buf_view(&m->in), &letter, &data, &used)) == 1) {
		/* The data stays in place while it is looked at: nobody else touches `in`. */
		struct buf packet = {.max = IN_MAX};
		if (buf_str(&packet, data) == -1)
			panic("milter: a packet larger than its bound");
		buf_consume(&m->in, used);
		take_packet(m, letter, buf_view(&packet));
		buf_free(&packet);
	}
	if (m->fd != -1 && more == -1)
		broken(m, "a packet that is none");
}

/* --- life --- */

struct milters *
milters_new(struct event_base *base, const struct milter_list *list, const struct milter_host *host,
    void *arg)
{
	struct milters *ms = xcalloc(1, sizeof *ms);

	*ms = (struct milters){.base = base,
	    .host = host,
	    .arg = arg,
	    .n = list->n,
	    .all = xcalloc(list->n + 1, sizeof *ms->all)};
	buf_init(&ms->args, ARGS_MAX);
	evtimer_assign(&ms->ev_done, base, on_done, ms);
	for (size_t i = 0; i < list->n; i++) {
		struct milter *m = &ms->all[i];
		*m = (struct milter){.chain = ms, .spec = &list->specs[i], .fd = -1};
		buf_init(&m->in, IN_MAX);
		buf_init(&m->out, OUT_MAX);
		evtimer_assign(&m->ev_timer, base, on_timer, m);
	}
	return ms;
}

void
milters_free(struct milters **mp)
{
	struct milters *ms = *mp;
	static const char quit[5] = {0, 0, 0, 1, 'Q'};

	*mp = NULL;
	if (ms == NULL)
		return;
	ms->busy = false;
	milters_abort(ms);
	for (size_t i = 0; i < ms->n; i++) {
		struct milter *m = &ms->all[i];
		if (m->link == LINK_UP && m->out.n == 0)
			(void)!write(m->fd, quit, sizeof quit); /* a courtesy */
		hang_up(m);
		for (int stage = 0; stage < STAGES; stage++)
			free(m->symbols[stage]);
	}
	evtimer_del(&ms->ev_done);
	buf_free(&ms->args);
	free(ms->all);
	free(ms);
}

void
milters_ask(struct milters *ms, enum milter_event event, const struct str *args, size_t nargs,
    struct milter_mail *mail)
{
	if (ms->busy)
		panic("milter: one event within another");
	ms->busy = true;
	ms->event = event;
	ms->mail = mail;
	ms->at = 0;
	buf_reset(&ms->args);
	for (size_t i = 0; i < nargs; i++)
		if (frame_text(&ms->args, args[i]) == -1)
			break; /* parameters beyond the bound are not told */
	walk(ms);
}

void
milters_abort(struct milters *ms)
{
	for (size_t i = 0; i < ms->n; i++) {
		struct milter *m = &ms->all[i];
		ssize_t at;
		if (m->link == LINK_UP && m->in_mail && !(ms->busy && m->expects) &&
		    (at = frame_begin(&m->out, 'A')) != -1) {
			frame_end(&m->out, at);
			write_out(m);
		}
		m->in_mail = m->mail_accepted = false;
	}
}

void
milters_give_up(struct milters *ms)
{
	evtimer_del(&ms->ev_done);
	if (ms->busy) {
		struct milter *m = &ms->all[ms->at];
		hang_up(m); /* in the middle of things: it cannot be asked again */
		m->link = LINK_BROKEN;
		ms->busy = false;
		ms->mail = NULL;
	}
	milters_abort(ms);
}

void
milter_connected(struct milter *m, int fd, const struct why *why)
{
	ssize_t at;

	if (fd == -1 || m->link != LINK_ASKED) {
		if (fd != -1)
			close(fd);
		m->link = LINK_NONE;
		broken(m, why != NULL ? why->text : "no connection");
		return;
	}
	m->fd = fd;
	m->link = LINK_NEGOTIATES;
	event_assign(&m->ev_read, m->chain->base, fd, EV_READ | EV_PERSIST, on_readable, m);
	event_assign(&m->ev_write, m->chain->base, fd, EV_WRITE, on_writable, m);
	at = frame_begin(&m->out, 'O');
	if (at == -1 || frame_u32(&m->out, MILTER_VERSION) == -1 ||
	    frame_u32(&m->out, ACTION_ALL) == -1 || frame_u32(&m->out, PROTOCOL_ALL) == -1 ||
	    event_add(&m->ev_read, NULL) == -1)
		fatal("milter: no room for the first packet");
	frame_end(&m->out, at);
	expect(m, m->spec->times.connect_ms);
	write_out(m);
}
