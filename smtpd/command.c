/* SPDX-License-Identifier: ISC */
/*
 * Command lines: cut from the input, looked up in the table, checked against the state, run. Each
 * line gets exactly one reply, whatever it holds; a line that is too long is thrown away up to its
 * end. Handlers of the mail transaction are in envelope.c and data.c, the small ones here.
 */
#include "smtpd/command.h"

#include <assert.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "lib/mail/esmtp.h"
#include "smtpd/auth.h"
#include "smtpd/data.h"
#include "smtpd/etrn.h"
#include "smtpd/envelope.h"
#include "smtpd/forward.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"
#include "smtpd/tls.h"

enum { WORDS_MAX = 512 };

/* --- the small commands --- */

static const struct {
	const char *keyword;
	unsigned bit;
} extensions[] = {
    {"PIPELINING",          ESMTP_PIPELINING         },
    {"SIZE",		ESMTP_SIZE               },
    {"ENHANCEDSTATUSCODES", ESMTP_ENHANCEDSTATUSCODES},
    {"8BITMIME",            ESMTP_8BITMIME           },
    {"DSN",		 ESMTP_DSN                },
    {"SMTPUTF8",            ESMTP_SMTPUTF8           },
    {"CHUNKING",            ESMTP_CHUNKING           },
    {"STARTTLS",            ESMTP_STARTTLS           },
    {"REQUIRETLS",          ESMTP_REQUIRETLS         },
};

/*
 * A name or address literal of RFC 5321 4.1.3, read as forgivingly as clients need it: one word of
 * printable ASCII. It decides nothing.
 */
static bool
helo_valid(struct str name)
{
	if (name.n == 0 || name.n > ADDR_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || memchr("<>()\",;", name.p[i], 7) != NULL)
			return false;
	return true;
}

unsigned
command_offered(const struct session *s)
{
	const struct server *server = s->server;
	unsigned offered = s->esmtp ? server->offered : 0;

	if (server->conf->smtpd_dsn_clients != DSN_CLIENTS_ALL && !s->trusted && s->login == NULL)
		offered &= ~(unsigned)ESMTP_DSN;
	if (s->esmtp && server->conf->smtpd_sasl_auth_enable && !s->auth_excepted)
		offered |= ESMTP_AUTH;
	if (s->esmtp && smtpd_tls_offered(s))
		offered |= ESMTP_STARTTLS;
	if (s->esmtp && smtpd_tls_facts(s) != NULL)
		offered |= ESMTP_REQUIRETLS;
	return offered & ~server->hidden;
}

static void
announce(struct session *s)
{
	const struct server *server = s->server;
	const char *lines[NELEM(extensions) + 6];
	char size[32], limits[40], auth[WORDS_MAX + 8], broken[WORDS_MAX + 8];
	struct buf words = {.max = WORDS_MAX};
	unsigned offered = command_offered(s);
	size_t n = 0;

	snprintf(
	    size, sizeof size, "SIZE %lld", (long long)server->conf->common.message_size_limit);
	lines[n++] = server->conf->common.myhostname;
	for (size_t i = 0; i < NELEM(extensions); i++)
		if ((offered & extensions[i].bit) != 0)
			lines[n++] = extensions[i].bit == ESMTP_SIZE ? size : extensions[i].keyword;
	if (auth_mechanisms(s, &words)) {
		snprintf(auth, sizeof auth, "AUTH %s", buf_cstr(&words));
		snprintf(broken, sizeof broken, "AUTH=%s", buf_cstr(&words));
		lines[n++] = auth;
		if (server->conf->broken_sasl_auth_clients)
			lines[n++] = broken;
	}
	buf_free(&words);
	if (forward_xclient_line(s) != NULL)
		lines[n++] = forward_xclient_line(s);
	if (forward_xforward_line(s) != NULL)
		lines[n++] = forward_xforward_line(s);
	snprintf(limits, sizeof limits, "LIMITS RCPTMAX=%lld",
	    (long long)server->conf->smtpd_recipient_limit);
	if ((offered & ESMTP_LIMITS) != 0)
		lines[n++] = limits;
	for (size_t i = 0; i + 1 < n; i++)
		session_reply_more(s, 250, "%s", lines[i]);
	session_reply(s, 250, NULL, "%s", lines[n - 1]);
}

static void
on_hello_judged(struct session *s, const struct why *why)
{
	if (why != NULL) {
		session_reject(s, s->command->verb, STR_EMPTY, why);
		session_enter(s, s->state == ST_GREETED ? ST_GREETED : ST_READY);
		return;
	}
	session_enter(s, ST_READY);
	if (s->esmtp)
		announce(s);
	else
		session_reply(s, 250, NULL, "%s", s->server->conf->common.myhostname);
}

/* HELO and EHLO begin anew (RFC 5321 4.1.4). */
static void
hello(struct session *s, struct str name, bool esmtp)
{
	if (!helo_valid(name)) {
		session_reply(
		    s, 501, esmtp ? "5.5.4" : NULL, "Syntax: %s hostname", s->command->verb);
		return;
	}
	transaction_free(&s->tx);
	free(s->helo);
	s->helo = str_dup(name);
	s->esmtp = esmtp;
	stage_begin(s, STAGE_HELO, on_hello_judged);
}

/* LMTP has LHLO instead of both (RFC 2033 4.1), and SMTP has no LHLO. */
static bool
other_protocol(struct session *s, int64_t protocol)
{
	if (s->server->conf->protocol == protocol)
		return false;
	session_reply(s, 500, "5.5.1", "Error: this is %s",
	    protocol == PROTOCOL_LMTP ? "SMTP, send EHLO" : "LMTP, send LHLO");
	return true;
}

static void
cmd_helo(struct session *s, struct str argument)
{
	if (!other_protocol(s, PROTOCOL_SMTP))
		hello(s, argument, false);
}

static void
cmd_lhlo(struct session *s, struct str argument)
{
	if (!other_protocol(s, PROTOCOL_LMTP))
		hello(s, argument, true);
}

static void
cmd_ehlo(struct session *s, struct str argument)
{
	if (!other_protocol(s, PROTOCOL_SMTP))
		hello(s, argument, true);
}

static void
cmd_rset(struct session *s, struct str argument)
{
	(void)argument;
	transaction_free(&s->tx);
	session_enter(s, s->state == ST_GREETED ? ST_GREETED : ST_READY);
	session_reply(s, 250, "2.0.0", "Ok");
}

static void
cmd_noop(struct session *s, struct str argument)
{
	(void)argument;
	session_reply(s, 250, "2.0.0", "Ok");
}

static void
cmd_help(struct session *s, struct str argument)
{
	(void)argument;
	session_reply(s, 214, "2.0.0",
	    "Commands: HELO EHLO AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
}

static void
cmd_quit(struct session *s, struct str argument)
{
	(void)argument;
	session_reply(s, 221, "2.0.0", "Bye");
	session_end(s);
}

static void
refuse_unimplemented(struct session *s, struct str argument)
{
	(void)argument;
	session_reply(s, 502, "5.5.1", "Error: command not implemented");
}

static void
refuse_unknown(struct session *s, struct str argument)
{
	(void)argument;
	session_reply(s, 500, "5.5.2", "Error: command not recognized");
}

/* --- the table --- */

#define TX (ST_MAIL | ST_RCPT | ST_BDAT)
#define ANY (ST_GREETED | ST_READY | TX)

static const struct command commands[] = {
    {"HELO",     ANY,		   CMD_LAST | CMD_PLAIN,            cmd_helo,     NULL                },
    {"EHLO",     ANY,		   CMD_LAST | CMD_PLAIN,            cmd_ehlo,     NULL                },
    {"LHLO",     ANY,		   CMD_LAST | CMD_PLAIN,            cmd_lhlo,     NULL                },
    {"STARTTLS", ST_GREETED | ST_READY, CMD_LAST | CMD_PLAIN,            cmd_starttls, refuse_starttls     },
    {"AUTH",     ST_READY,              CMD_LAST,                        cmd_auth,     refuse_auth         },
    {"MAIL",     ST_READY,              0,			       cmd_mail,     NULL                },
    {"RCPT",     ST_MAIL | ST_RCPT,     0,                               cmd_rcpt,     NULL                },
    {"DATA",     ST_RCPT,               CMD_LAST | CMD_BARE,             cmd_data,     NULL                },
    {"BDAT",     ST_RCPT | ST_BDAT,     0,                               cmd_bdat,     refuse_bdat         },
    {"RSET",     ANY,		   CMD_BARE | CMD_JUNK,             cmd_rset,     NULL                },
    {"NOOP",     ANY,		   CMD_JUNK | CMD_PLAIN,            cmd_noop,     NULL                },
    {"VRFY",     ANY,		   CMD_JUNK,                        cmd_vrfy,     NULL                },
    {"EXPN",     0,		     CMD_JUNK,                        NULL,         refuse_unimplemented},
    {"XCLIENT",  ST_GREETED | ST_READY, CMD_LAST,                        cmd_xclient,  NULL                },
    {"XFORWARD", ST_READY,              0,			       cmd_xforward, NULL                },
    {"ETRN",     ST_READY,              CMD_JUNK,                        cmd_etrn,     NULL                },
    {"HELP",     ANY,		   CMD_JUNK,                        cmd_help,     NULL                },
    {"QUIT",     ANY,		   CMD_LAST | CMD_BARE | CMD_PLAIN, cmd_quit,     NULL                },
    {"unknown",  0,		     0,			       NULL,         refuse_unknown      },
};

/* What is said to a command in the wrong state; the first row that fits. */
static const struct {
	const char *verb;
	unsigned states;
	int smtp;
	const char *text;
} refusals[] = {
    {"MAIL", ST_GREETED,            503, "Error: send HELO/EHLO first"           },
    {"MAIL", TX,		    503, "Error: nested MAIL command"            },
    {"RCPT", ST_BDAT,               503, "Error: the message's chunks have begun"},
    {"RCPT", ST_GREETED | ST_READY, 503, "Error: need MAIL command"              },
    {"DATA", ST_MAIL,               554, "Error: no valid recipients"            },
    {"DATA", ST_BDAT,               503, "Error: the message's chunks have begun"},
    {"DATA", ST_GREETED | ST_READY, 503, "Error: need RCPT command"              },
    {"BDAT", ST_MAIL,               554, "Error: no valid recipients"            },
    {"BDAT", ST_GREETED | ST_READY, 503, "Error: need RCPT command"              },
};

static_assert(NELEM(commands) <= COMMANDS_MAX, "a count for each command");

const struct command *
command_rows(size_t *n)
{
	*n = NELEM(commands);
	return commands;
}

void
command_refuse(struct session *s, struct str argument)
{
	(void)argument;
	for (size_t i = 0; i < NELEM(refusals); i++) {
		if (strcmp(refusals[i].verb, s->command->verb) == 0 &&
		    (refusals[i].states & s->state) != 0) {
			session_reply(s, refusals[i].smtp, "5.5.1", "%s", refusals[i].text);
			return;
		}
	}
	session_reply(s, 503, "5.5.1", "Error: bad sequence of commands");
}

/* The last row, "unknown", is what is found where nothing else is. */
static const struct command *
find(struct str verb)
{
	size_t i = 0;

	while (i < NELEM(commands) - 1 && !str_caseis(verb, commands[i].verb))
		i++;
	return &commands[i];
}

/* --- lines --- */

void
command_improper_pipelining(struct session *s)
{
	char where[64];

	command_where(s, where, sizeof where);
	struct ev_lost ev = {STR("improper command pipelining"), str_from(where),
	    str_from(s->client_name), str_from(s->client_addr), 0};
	log_event(s->trace, EV_LOST, &ev);
	session_reply(s, 554, "5.5.0", "Error: SMTP protocol synchronization");
	session_end_lingering(s);
}

/* Whether the client should have waited for the reply to this command before it sent what follows.
 */
static bool
pipelined_wrongly(const struct session *s, bool more)
{
	if (!more || s->local || !s->server->conf->smtpd_forbid_unauth_pipelining)
		return false;
	return !s->esmtp || (s->command->flags & CMD_LAST) != 0;
}

static void
count(struct count *c)
{
	if (c->total < UINT16_MAX)
		c->total++;
}

/* One error is enough for an untrusted client while the server is near its limit. */
static unsigned
under_stress(const struct session *s, int64_t limit)
{
	return s->server->stressed && !s->trusted ? 1 : (unsigned)limit;
}

static void
count_error(struct session *s)
{
	const struct smtpd_conf *conf = s->server->conf;

	s->errors++;
	if (s->errors > conf->smtpd_soft_error_limit &&
	    s->penalty_ms < conf->smtpd_error_sleep_time)
		s->penalty_ms = conf->smtpd_error_sleep_time;
}

/* true: that was one error too many, and the session has been ended. */
static bool
end_after_errors(struct session *s)
{
	const struct smtpd_conf *conf = s->server->conf;
	char where[64];

	if (s->errors < under_stress(s, conf->smtpd_hard_error_limit))
		return false;
	command_where(s, where, sizeof where);
	struct ev_lost ev = {STR("too many errors"), str_from(where), str_from(s->client_name),
	    str_from(s->client_addr), 0};
	log_event(s->trace, EV_LOST, &ev);
	session_reply(s, 421, "4.7.0", "%s Error: too many errors", conf->common.myhostname);
	session_end_lingering(s);
	return true;
}

/* The same for commands that bring no mail forward. */
static bool
end_after_junk(struct session *s)
{
	if ((s->command->flags & CMD_JUNK) == 0 ||
	    ++s->junk <= under_stress(s, s->server->conf->smtpd_junk_command_limit))
		return false;
	count_error(s);
	return end_after_errors(s);
}

static bool
in_list(const struct setting_list *list, struct str verb)
{
	for (size_t i = 0; i < list->n; i++)
		if (str_caseis(verb, list->items[i]))
			return true;
	return false;
}

/* Somebody speaks another protocol, or has a browser do so. */
static void
end_forbidden(struct session *s, struct str line)
{
	log_warning("non-SMTP command from %s[%s]: %.*s", s->client_name, s->client_addr,
	    STR_ARG(str_sub(line, 0, 100)));
	session_reply(s, 221, "2.7.0", "Error: I can break rules, too. Goodbye.");
	session_end_lingering(s);
}

/* One line without its end. `more`: the client has already sent what follows. */
static void
run(struct session *s, struct str line, bool more)
{
	ptrdiff_t blank = str_chr(line, ' ');
	struct str verb = blank >= 0 ? str_sub(line, 0, (size_t)blank) : line;
	struct str argument = str_trim(str_from_at(line, verb.n));

	s->command = find(verb);
	s->failed = false;
	s->pipelined = more;
	count(&s->counts[s->command - commands]);
	if (end_after_junk(s))
		return;
	if (in_list(&s->server->conf->smtpd_forbidden_commands, verb))
		end_forbidden(s, line);
	else if (in_list(&s->server->conf->smtpd_noop_commands, verb))
		session_reply(s, 250, "2.0.0", "Ok");
	else if (pipelined_wrongly(s, more))
		command_improper_pipelining(s);
	else if ((s->command->flags & CMD_PLAIN) == 0 && smtpd_tls_missing(s))
		session_reply(s, 530, "5.7.0", "Must issue a STARTTLS command first");
	else if ((s->command->states & s->state) == 0)
		(s->command->refuse != NULL ? s->command->refuse : command_refuse)(s, argument);
	else if ((s->command->flags & CMD_BARE) != 0 && argument.n > 0)
		session_reply(s, 501, "5.5.4", "Syntax: %s", s->command->verb);
	else
		s->command->run(s, argument);
}

/* A line that is no command at all. */
static void
refuse_line(struct session *s, int smtp, const char *code, const char *text)
{
	s->command = find(STR_EMPTY);
	s->failed = false;
	count(&s->counts[s->command - commands]);
	session_reply(s, smtp, code, "%s", text);
}

bool
command_strict_newlines(const struct session *s)
{
	int64_t policy = s->server->conf->smtpd_forbid_bare_newline;

	return !s->local && !s->lenient &&
	       (policy == BARE_NEWLINE_YES || policy == BARE_NEWLINE_REJECT);
}

void
command_bare_newline(struct session *s, const char *stage, const char *which)
{
	int64_t smtp = s->server->conf->smtpd_forbid_bare_newline_reject_code;
	struct why why;

	if (smtp < 500)
		why_temp(&why, "4.5.2", "Error: bare %s received", which);
	else
		why_perm(&why, "5.5.2", "Error: bare %s received", which);
	why.smtp = (int)smtp;
	session_reject(s, stage, STR_EMPTY, &why);
	session_end_lingering(s);
}

/* A LF, or a CR inside the line, that stands alone. Returns whether that ended the session. */
static bool
bare_newline(struct session *s, const char *which)
{
	if (!command_strict_newlines(s))
		return false;
	s->command = find(STR_EMPTY);
	s->failed = false;
	count(&s->counts[s->command - commands]);
	command_bare_newline(s, "unknown", which);
	return true;
}

static void
line_whole(struct session *s, struct str line, bool more)
{
	bool crlf = line.n > 0 && line.p[line.n - 1] == '\r';

	if (crlf)
		line.n--;
	else if (bare_newline(s, "<LF>"))
		return;
	if (memchr(line.p, '\r', line.n) != NULL && bare_newline(s, "<CR>"))
		return;
	if (str_has_control(line))
		refuse_line(s, 500, "5.5.2", "Error: control character in command");
	else
		run(s, line, more);
}

/* AUTH may bring a token along: its line is as long as one of the exchange (RFC 4954 4). */
static size_t
line_limit(const struct session *s, struct str line)
{
	const struct smtpd_conf *conf = s->server->conf;

	if (conf->smtpd_sasl_auth_enable && str_casestarts(line, STR("AUTH ")) &&
	    conf->smtpd_sasl_response_limit > conf->smtpd_command_line_limit)
		return (size_t)conf->smtpd_sasl_response_limit;
	return (size_t)conf->smtpd_command_line_limit;
}

size_t
command_take(struct session *s, struct str in)
{
	const char *lf = memchr(in.p, '\n', in.n);
	size_t n = lf != NULL ? (size_t)(lf - in.p) : in.n;
	bool too_long = s->overlong || n + 1 > line_limit(s, in);

	if (lf == NULL) {
		s->overlong = too_long;
		return too_long ? in.n : 0;
	}
	s->overlong = false;
	session_allow(s, session_pressed(s, s->server->conf->smtpd_timeout));
	if (too_long)
		refuse_line(s, 500, "5.5.2", "Error: line too long");
	else
		line_whole(s, str_make(in.p, n), n + 1 < in.n);
	(void)session_penalty(s); /* take() looks at `waiting` itself */
	return n + 1;
}

/* --- counts --- */

void
command_failed(struct session *s)
{
	if (s->command != NULL && s->counts[s->command - commands].failed < UINT16_MAX)
		s->counts[s->command - commands].failed++;
	count_error(s);
	(void)end_after_errors(s);
}

void
command_where(const struct session *s, char *out, size_t size)
{
	if (s->state == ST_DATA)
		snprintf(out, size, "DATA (%llu bytes)", (unsigned long long)s->tx->received);
	else if (s->state == ST_COMMIT)
		snprintf(out, size, "END-OF-MESSAGE");
	else if (s->command != NULL)
		snprintf(out, size, "%s", s->command->run != NULL ? s->command->verb : "UNKNOWN");
	else
		snprintf(out, size, "CONNECT");
}

bool
command_is_quit(const struct command *command)
{
	return command->run == cmd_quit;
}

static int
add_count(struct buf *out, const char *name, struct count c)
{
	unsigned good = c.total - c.failed;

	for (const char *p = name; *p != '\0'; p++)
		if (buf_byte(out, (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p)) == -1)
			return -1;
	return c.failed > 0 ? buf_printf(out, "=%u/%u ", good, c.total)
			    : buf_printf(out, "=%u ", good);
}

void
command_counts(const struct session *s, struct buf *out)
{
	struct count all = {0};

	for (size_t i = 0; i < NELEM(commands); i++) {
		struct count c = s->counts[i];
		all.total = (uint16_t)(all.total + c.total);
		all.failed = (uint16_t)(all.failed + c.failed);
		if (c.total > 0 && add_count(out, commands[i].verb, c) == -1)
			return;
	}
	if (add_count(out, "commands", all) == 0)
		buf_cut(out, out->n - 1);
}
