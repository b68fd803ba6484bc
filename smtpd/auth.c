/* SPDX-License-Identifier: ISC */
/*
 * AUTH (RFC 4954): carries the exchange between the client and keeper, who alone sees what the
 * octets mean. One struct auth lives from the command to the final reply:
 *
 *	AUTH -> limiter: is the address blocked? -> keeper: AUTH_START
 *	     -> 334 challenge, line of the client, AUTH_RESPONSE ... -> AUTH_OK or AUTH_FAILED
 *	     -> limiter: the result; is the login blocked, how long to wait? -> 235 or 535
 *
 * Nobody is let in by a silence: what keeper does not answer is 454. A limiter that does not answer
 * blocks nobody. What the client hears of a failure never says what failed.
 */
#include "smtpd/auth.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/base64.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/mail/esmtp.h"
#include "lib/service/service.h"
#include "smtpd/command.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"
#include "smtpd/tls.h"

enum { RESPONSE_MAX = 12288, WORDS_MAX = 512 };

enum outcome { OUTCOME_NONE, OUTCOME_OK, OUTCOME_FAILED, OUTCOME_TEMPORARY };

struct auth {
	char *mechanism; /* in capitals */
	struct buf initial;
	bool has_initial;
	struct chan *keeper; /* NULL: not asked yet, or gone */
	uint32_t request;
	enum outcome outcome;
	char *login;  /* proved, or claimed */
	char *reason; /* for the log */
};

/* --- the channel --- */

/* Whether nobody between the client and us can read along. */
static bool
is_encrypted(const struct session *s)
{
	return smtpd_tls_facts(s) != NULL;
}

/* The name in the client's certificate that has been verified; NULL: none. */
static const char *
certificate_name(const struct session *s)
{
	const struct tls_facts *facts = smtpd_tls_facts(s);

	return facts != NULL && facts->trusted && facts->subject[0] != '\0' ? facts->subject : NULL;
}

/* What binds an exchange to this TLS channel; false: nothing does. tls-unique is what clients use
 * where it exists, up to TLS 1.2 (RFC 5929); tls-exporter is for TLS 1.3 (RFC 9266). */
static bool
binding(const struct session *s, const char **type, struct buf *out)
{
	static const char *const types[] = {"tls-unique", "tls-exporter"};

	for (size_t i = 0; is_encrypted(s) && i < NELEM(types); i++) {
		*type = types[i];
		if (smtpd_tls_binding(s, types[i], out) == 0)
			return true;
	}
	return false;
}

/* --- what is offered --- */

static const struct {
	const char *word;
	unsigned qualities;
} options[] = {
    {"noplaintext",     AUTH_NOPLAINTEXT    },
    {"noactive",        AUTH_NOACTIVE       },
    {"nodictionary",    AUTH_NODICTIONARY   },
    {"noanonymous",     AUTH_NOANONYMOUS    },
    {"forward_secrecy", AUTH_FORWARD_SECRECY},
    {"mutual_auth",     AUTH_MUTUAL         },
};

/* What is known of a mechanism; others are not anonymous, and plain where keeper says so. */
static const struct {
	const char *name;
	unsigned qualities;
} mechanisms[] = {
    {"ANONYMOUS",          0								      },
    {"PLAIN",	      AUTH_NOANONYMOUS						       },
    {"LOGIN",	      AUTH_NOANONYMOUS						       },
    {"OAUTHBEARER",        AUTH_NODICTIONARY | AUTH_NOANONYMOUS                                   },
    {"XOAUTH2",            AUTH_NODICTIONARY | AUTH_NOANONYMOUS                                   },
    {"CRAM-MD5",           AUTH_NOPLAINTEXT | AUTH_NOANONYMOUS                                    },
    {"DIGEST-MD5",         AUTH_NOPLAINTEXT | AUTH_NOANONYMOUS | AUTH_MUTUAL                      },
    {"SCRAM-SHA-1",        AUTH_NOPLAINTEXT | AUTH_NOACTIVE | AUTH_NOANONYMOUS | AUTH_MUTUAL      },
    {"SCRAM-SHA-1-PLUS",   AUTH_NOPLAINTEXT | AUTH_NOACTIVE | AUTH_NOANONYMOUS | AUTH_MUTUAL      },
    {"SCRAM-SHA-256",      AUTH_NOPLAINTEXT | AUTH_NOACTIVE | AUTH_NOANONYMOUS | AUTH_MUTUAL      },
    {"SCRAM-SHA-256-PLUS", AUTH_NOPLAINTEXT | AUTH_NOACTIVE | AUTH_NOANONYMOUS | AUTH_MUTUAL      },
    {"EXTERNAL",           AUTH_NOPLAINTEXT | AUTH_NOACTIVE | AUTH_NODICTIONARY | AUTH_NOANONYMOUS},
    {"GSSAPI",
     AUTH_NOPLAINTEXT | AUTH_NOACTIVE | AUTH_NODICTIONARY | AUTH_NOANONYMOUS | AUTH_MUTUAL        },
};

static bool
has_word(struct str words, struct str word)
{
	struct str w;

	while (str_word(&words, " ", &w))
		if (str_caseeq(w, word))
			return true;
	return false;
}

static unsigned
qualities_of(const struct server *server, struct str name)
{
	for (size_t i = 0; i < NELEM(mechanisms); i++)
		if (str_caseis(name, mechanisms[i].name))
			return mechanisms[i].qualities;
	return AUTH_NOANONYMOUS |
	       (has_word(str_from(server->auth_plain), name) ? 0 : AUTH_NOPLAINTEXT);
}

static int
parse_options(
    const char *setting, const struct setting_list *list, unsigned *qualities, struct why *why)
{
	*qualities = 0;
	for (size_t n = 0; n < list->n; n++) {
		size_t i = 0;
		while (i < NELEM(options) && strcmp(list->items[n], options[i].word) != 0)
			i++;
		if (i == NELEM(options))
			return why_perm(
			    why, NULL, "%s: there is no option \"%s\"", setting, list->items[n]);
		*qualities |= options[i].qualities;
	}
	return 0;
}

int
auth_start(struct server *server, struct why *why)
{
	const struct smtpd_conf *conf = server->conf;

	if (parse_options("smtpd_sasl_security_options", &conf->smtpd_sasl_security_options,
		&server->auth_wanted, why) == -1 ||
	    parse_options("smtpd_sasl_tls_security_options",
		conf->smtpd_sasl_tls_security_options.n > 0 ? &conf->smtpd_sasl_tls_security_options
							    : &conf->smtpd_sasl_security_options,
		&server->auth_wanted_tls, why) == -1)
		return -1;
	return networks_parse(&server->auth_exceptions, &conf->smtpd_sasl_exceptions_networks, why);
}

void
auth_keeper_gone(struct server *server)
{
	free(server->auth_mechanisms);
	free(server->auth_plain);
	server->auth_mechanisms = server->auth_plain = NULL;
}

void
auth_stop(struct server *server)
{
	auth_keeper_gone(server);
	networks_clear(&server->auth_exceptions);
}

void
auth_offered(struct server *server, const struct msg_auth_offered *msg)
{
	auth_keeper_gone(server);
	server->auth_mechanisms = str_dup(msg->mechanisms);
	server->auth_plain = str_dup(msg->plain);
}

/* smtpd_sasl_mechanism_filter: the first that fits decides, as in Postfix: NAME, !NAME,
 * static:rest for all others. */
static bool
filter_passes(const struct smtpd_conf *conf, struct str name)
{
	const struct setting_list *filter = &conf->smtpd_sasl_mechanism_filter;

	for (size_t i = 0; i < filter->n; i++) {
		struct str item = str_from(filter->items[i]);
		bool no = str_starts(item, STR("!"));
		if (no)
			item = str_from_at(item, 1);
		if (str_caseeq(item, name) || str_is(item, "static:rest"))
			return !no;
	}
	return false;
}

/* Whether the session has what the mechanism needs of its channel. */
static bool
channel_fits(const struct session *s, struct str name)
{
	if (str_caseis(name, "EXTERNAL"))
		return certificate_name(s) != NULL;
	if (str_caseends(name, STR("-PLUS"))) {
		const char *type;
		struct buf data = {.max = WORDS_MAX};
		bool has = binding(s, &type, &data);
		buf_free(&data);
		return has;
	}
	return true;
}

/* May this session use the mechanism? `*encrypt`: it might, were it encrypted. */
static bool
may_use(const struct session *s, struct str name, bool *encrypt)
{
	const struct server *server = s->server;
	bool tls = is_encrypted(s);
	unsigned wanted = tls ? server->auth_wanted_tls : server->auth_wanted;
	unsigned has = qualities_of(server, name);

	*encrypt = false;
	if (!has_word(str_from(server->auth_mechanisms), name) ||
	    !filter_passes(server->conf, name) || !channel_fits(s, name))
		return false;
	if ((wanted & ~has) == 0)
		return true;
	*encrypt = !tls && (server->auth_wanted_tls & ~has) == 0;
	return false;
}

/* Whether AUTH exists for this client at all. */
static bool
is_enabled(const struct session *s)
{
	return s->server->conf->smtpd_sasl_auth_enable && !s->local && !s->auth_excepted;
}

bool
auth_mechanisms(const struct session *s, struct buf *out)
{
	struct str words = str_from(s->server->auth_mechanisms), word;
	bool encrypt;

	if (!is_enabled(s) || (s->server->conf->smtpd_tls_auth_only && !is_encrypted(s)))
		return false;
	while (str_word(&words, " ", &word))
		if (may_use(s, word, &encrypt) &&
		    buf_printf(out, "%s%.*s", out->n > 0 ? " " : "", STR_ARG(word)) == -1)
			return false;
	return out->n > 0;
}

/* --- the end of an exchange --- */

static void
auth_free(struct session *s)
{
	struct auth *a = s->auth;
	struct msg_auth_cancel cancel = {0};

	s->auth = NULL;
	if (a == NULL)
		return;
	if (a->keeper != NULL && a->request != 0) {
		chan_forget(a->keeper, a->request);
		(void)!chan_send(a->keeper, a->request, s->trace, MSG_AUTH_CANCEL,
		    &cancel); /* a dead one needs none */
	}
	buf_free_secret(&a->initial);
	free(a->mechanism);
	free(a->login);
	free(a->reason);
	free(a);
}

void
auth_reset(struct session *s)
{
	auth_free(s);
	free(s->login);
	free(s->sasl_method);
	s->login = s->sasl_method = NULL;
}

/* The final reply; the session takes commands again. */
static void
finish(struct session *s, int smtp, const char *code, const char *text)
{
	auth_free(s);
	session_enter(s, ST_READY);
	session_reply(s, smtp, code, "%s", text);
	session_resume(s);
}

static void
log_failure(struct session *s)
{
	const struct auth *a = s->auth;
	char *text = xasprintf("%s[%s]: SASL %s authentication failed: %s, sasl_username=%s",
	    s->client_name, s->client_addr, a->mechanism,
	    a->reason != NULL ? a->reason : "no reason given", a->login != NULL ? a->login : "");
	struct ev_warning ev = {.text = str_from(text)};

	log_event(s->trace, EV_WARNING, &ev);
	free(text);
}

static void
finish_temporary(struct session *s)
{
	log_failure(s);
	finish(s, 454, "4.7.0", "Temporary authentication failure");
}

static void
finish_failed(struct session *s)
{
	finish(s, 535, "5.7.8", "Error: authentication failed: (reason unavailable)");
}

static void
finish_ok(struct session *s)
{
	struct auth *a = s->auth;

	s->login = a->login;
	s->sasl_method = a->mechanism;
	a->login = a->mechanism = NULL;
	finish(s, 235, "2.7.0", "Authentication successful");
}

/* --- limiter --- */

static void
tell_limiter(struct session *s, bool passed)
{
	struct chan *limiter = service_peer(s->server->service, PROGRAM_LIMITER, 0);
	struct msg_auth_result msg = {
	    .address = str_from(s->client_addr),
	    .login = str_from(s->auth->login),
	    .passed = passed,
	};

	if (limiter != NULL)
		(void)!chan_send(limiter, 0, s->trace, MSG_AUTH_RESULT,
		    &msg); /* a dead limiter counts nothing */
}

static void exchange_begin(struct session *s);

static void
after_block(struct session *s, const struct msg_block_is *block)
{
	struct auth *a = s->auth;

	s->waiting = false;
	if (block != NULL && block->blocked) {
		free(a->reason);
		a->reason = xasprintf("blocked: %.*s", STR_ARG(block->reason));
		log_failure(s);
		finish(s, 454, "4.7.0", "Error: too many failed logins, try again later");
		return;
	}
	switch (a->outcome) {
	case OUTCOME_NONE:
		exchange_begin(s);
		return;
	case OUTCOME_OK:
		tell_limiter(s, true);
		finish_ok(s);
		return;
	case OUTCOME_FAILED:
		if (block != NULL && block->delay_ms > 0)
			session_wait(s, (int64_t)block->delay_ms, finish_failed);
		else
			finish_failed(s);
		return;
	case OUTCOME_TEMPORARY:
		finish_temporary(s);
		return;
	}
}

static void
on_block(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;

	session_answered(s);
	after_block(s, msg != NULL && head->type == MSG_BLOCK_IS ? &msg->block_is : NULL);
}

static void
on_block_expired(struct session *s)
{
	chan_question_drop(s);
	after_block(s, NULL);
}

static void
ask_block(struct session *s)
{
	struct msg_block_find msg = {
	    .address = str_from(s->client_addr), .login = str_from(s->auth->login)};

	if (session_ask(s, PROGRAM_LIMITER, 0, MSG_BLOCK_FIND, &msg, on_block))
		session_wait(s, s->server->conf->smtpd_limiter_timeout, on_block_expired);
	else
		after_block(s, NULL);
}

/* --- keeper --- */

/* The exchange is over, one way or the other. */
static void
conclude(struct session *s, enum outcome outcome, struct str login, struct str reason)
{
	struct auth *a = s->auth;

	s->waiting = false;
	a->outcome = outcome;
	free(a->login);
	a->login = str_dup(login);
	free(a->reason);
	a->reason = str_dup(reason);
	if (outcome == OUTCOME_TEMPORARY) {
		finish_temporary(s);
		return;
	}
	if (outcome == OUTCOME_FAILED) {
		log_failure(s);
		tell_limiter(s, false);
	}
	ask_block(s);
}

static void
conclude_without_keeper(struct session *s)
{
	conclude(s, OUTCOME_TEMPORARY, STR_EMPTY, STR("keeper does not answer"));
}

static void
challenge(struct session *s, struct str data)
{
	struct buf text;

	buf_init(&text, 2 * RESPONSE_MAX);
	int rc = base64_encode(data, &text);
	session_enter(s, ST_AUTH);
	if (rc == 0)
		session_reply_long(s, 334, buf_view(&text));
	buf_free(&text);
	session_resume(s);
}

static void
on_keeper(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	struct auth *a = s->auth;

	if (msg == NULL || msg_ends(head->type))
		a->request = 0;
	if (msg == NULL)
		a->keeper = NULL;
	if (!s->waiting) /* the client has the word: it hears of it when it has spoken */
		return;
	if (msg == NULL)
		conclude_without_keeper(s);
	else if (head->type == MSG_AUTH_CHALLENGE)
		challenge(s, msg->auth_challenge.data);
	else if (head->type == MSG_AUTH_OK && msg->auth_ok.login.n > 0)
		conclude(s, OUTCOME_OK, msg->auth_ok.login, STR_EMPTY);
	else if (head->type == MSG_AUTH_FAILED)
		conclude(s, msg->auth_failed.temporary ? OUTCOME_TEMPORARY : OUTCOME_FAILED,
		    msg->auth_failed.login, msg->auth_failed.reason);
	else
		conclude_without_keeper(s);
}

static void
exchange_begin(struct session *s)
{
	struct auth *a = s->auth;
	char server_addr[INET6_ADDRSTRLEN] = "";
	const char *binding_type = "";
	struct buf data = {.max = WORDS_MAX};
	struct msg_auth_start msg = {
	    .mechanism = str_from(a->mechanism),
	    .client_addr = str_from(s->client_addr),
	    .client_port = s->client_port,
	    .tls = is_encrypted(s),
	    .certificate = str_from(certificate_name(s)),
	    .initial = a->has_initial,
	    .response = buf_view(&a->initial),
	};

	if (binding(s, &binding_type, &data)) {
		msg.binding_type = str_from(binding_type);
		msg.binding = buf_view(&data);
	}
	msg.server_port = session_own_address(s, server_addr, sizeof server_addr);
	msg.server_addr = str_from(server_addr);
	a->keeper = service_peer(s->server->service, PROGRAM_KEEPER, 0);
	if (a->keeper != NULL)
		a->request = chan_call(a->keeper, s->trace, MSG_AUTH_START, &msg, on_keeper, s);
	buf_free(&data);
	if (a->request != 0)
		session_wait(s, s->server->conf->smtpd_service_timeout, conclude_without_keeper);
	else
		conclude_without_keeper(s);
}

/* --- the client --- */

/* A line of the exchange, without its end. */
static void
respond(struct session *s, struct str line)
{
	struct auth *a = s->auth;
	struct buf data;

	if (str_is(line, "*")) {
		finish(s, 501, "5.7.0", "Authentication aborted");
		return;
	}
	buf_init(&data, RESPONSE_MAX);
	if (base64_decode(line, &data) == -1) {
		finish(s, 501, "5.5.2", "Error: malformed authentication response");
	} else if (a->request == 0) {
		conclude_without_keeper(s);
	} else {
		struct msg_auth_response msg = {.data = buf_view(&data)};
		if (chan_send(a->keeper, a->request, s->trace, MSG_AUTH_RESPONSE, &msg) == 0)
			session_wait(
			    s, s->server->conf->smtpd_service_timeout, conclude_without_keeper);
		else
			conclude_without_keeper(s);
	}
	buf_free_secret(&data);
}

size_t
auth_take(struct session *s, struct str in)
{
	const struct smtpd_conf *conf = s->server->conf;
	const char *lf = memchr(in.p, '\n', in.n);
	size_t n = lf != NULL ? (size_t)(lf - in.p) : in.n;
	bool too_long = s->overlong || n + 1 > (size_t)conf->smtpd_sasl_response_limit;

	if (lf == NULL) {
		s->overlong = too_long;
		return too_long ? in.n : 0;
	}
	s->overlong = false;
	session_allow(s, conf->smtpd_timeout);
	if (too_long)
		finish(s, 500, "5.5.6", "Error: authentication exchange line is too long");
	else if (n + 1 < in.n && conf->smtpd_forbid_unauth_pipelining)
		command_improper_pipelining(s);
	else if (n == 0 || in.p[n - 1] != '\r')
		finish(s, 501, "5.5.2", "Error: malformed authentication response");
	else
		respond(s, str_make(in.p, n - 1));
	(void)session_penalty(s); /* take() looks at `waiting` itself */
	return n + 1;
}

/* --- the command --- */

void
refuse_auth(struct session *s, struct str argument)
{
	(void)argument;
	if (!is_enabled(s))
		session_reply(s, 503, "5.5.1", "Error: authentication not enabled");
	else if (s->state == ST_GREETED)
		session_reply(s, 503, "5.5.1", "Error: send HELO/EHLO first");
	else
		session_reply(s, 503, "5.5.1", "Error: MAIL transaction in progress");
}

/* Before anything is asked of anybody; true: it has been refused. */
static bool
refused_here(struct session *s, struct str mechanism, struct str rest)
{
	struct str server_words = str_from(s->server->auth_mechanisms);
	bool encrypt = false;

	if (!is_enabled(s))
		session_reply(s, 503, "5.5.1", "Error: authentication not enabled");
	else if (!s->esmtp)
		session_reply(s, 503, "5.5.1", "Error: send EHLO first");
	else if (s->login != NULL)
		session_reply(s, 503, "5.5.1", "Error: already authenticated");
	else if (mechanism.n == 0 || mechanism.n > 20 || str_chr(rest, ' ') >= 0)
		session_reply(s, 501, "5.5.4", "Syntax: AUTH mechanism");
	else if (s->server->conf->smtpd_tls_auth_only && !is_encrypted(s))
		session_reply(
		    s, 538, "5.7.11", "Encryption required for requested authentication mechanism");
	else if (server_words.n == 0)
		session_reply(s, 454, "4.7.0", "Temporary authentication failure");
	else if (!may_use(s, mechanism, &encrypt) && encrypt)
		session_reply(
		    s, 538, "5.7.11", "Encryption required for requested authentication mechanism");
	else if (!may_use(s, mechanism, &encrypt))
		session_reply(s, 504, "5.5.4", "Error: unrecognized authentication mechanism");
	else
		return false;
	return true;
}

void
cmd_auth(struct session *s, struct str argument)
{
	struct str rest = argument, mechanism = STR_EMPTY;

	(void)str_word(&rest, " ", &mechanism);
	rest = str_trim(rest);
	if (refused_here(s, mechanism, rest))
		return;
	struct auth *a = xcalloc(1, sizeof *a);
	a->mechanism = str_dup(mechanism);
	for (char *p = a->mechanism; *p != '\0'; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p & ~0x20);
	buf_init(&a->initial, RESPONSE_MAX);
	a->has_initial = rest.n > 0;
	s->auth = a;
	if (!str_is(rest, "=") && base64_decode(rest, &a->initial) == -1) {
		auth_free(s);
		session_reply(s, 501, "5.5.2", "Error: malformed initial response");
		return;
	}
	ask_block(s);
}
