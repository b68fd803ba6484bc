/* SPDX-License-Identifier: ISC */
/*
 * MAIL and RCPT (RFC 5321 4.1.1.2, 4.1.1.3). A recipient is resolved once, here: the route found
 * travels with the envelope, and whatever router cannot tell is refused for now. Who may send to
 * whom is for the gates to say (restrict.c).
 */
#include "smtpd/envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/chan/chan.h"
#include "lib/mail/esmtp.h"
#include "lib/msg/fields.h"
#include "smtpd/command.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"
#include "smtpd/submit.h"

static void
rcpt_clear(struct rcpt *r)
{
	route_drop(&r->route);
	free(r->original);
	free(r->orcpt);
	*r = (struct rcpt){0};
}

void
transaction_free(struct transaction **txp)
{
	struct transaction *tx = *txp;

	*txp = NULL;
	if (tx == NULL)
		return;
	submit_abort(tx);
	stage_drop_mail(tx);
	for (size_t i = 0; i < tx->nrcpts; i++)
		rcpt_clear(&tx->rcpts[i]);
	rcpt_clear(&tx->pending);
	free(tx->rcpts);
	free(tx->envid);
	free(tx->hold);
	buf_free(&tx->content);
	buf_free(&tx->pipe_rest);
	free(tx);
}

static struct transaction *
transaction_new(struct session *s, const struct addr *sender, const struct esmtp_mail *m)
{
	struct transaction *tx = xcalloc(1, sizeof *tx);

	*tx = (struct transaction){
	    .sender = *sender,
	    .envid = m->envid.n > 0 ? str_dup(m->envid) : NULL,
	    .ret = m->ret,
	    .flags = (m->body == BODY_8BITMIME ? MAIL_8BITMIME : 0) |
		     (m->smtputf8 ? MAIL_SMTPUTF8 : 0) | (m->requiretls ? MAIL_REQUIRETLS : 0) |
		     (s->local ? MAIL_LOCAL : 0) |
		     (s->server->conf->always_add_missing_headers ? MAIL_ADD_HEADERS : 0) |
		     (s->login != NULL && s->server->conf->smtpd_sasl_authenticated_header
			     ? MAIL_SHOW_LOGIN
			     : 0),
	    .announced = m->size,
	    .pipe = -1,
	};
	buf_init(&tx->content, (size_t)s->server->conf->common.journal_message_limit);
	buf_init(&tx->pipe_rest, SIZE_MAX / 2);
	return tx;
}

/* Whether UTF-8 in addresses is allowed: SMTPUTF8 is among MAIL's parameters, which stand behind
 * the path. */
static bool
says_smtputf8(const struct session *s, struct str argument)
{
	struct str word;

	while ((s->server->offered & ESMTP_SMTPUTF8) != 0 && s->esmtp &&
	       str_word(&argument, " ", &word))
		if (str_caseis(word, "SMTPUTF8"))
			return true;
	return false;
}

static unsigned
path_flags(const struct session *s)
{
	unsigned flags = 0;

	if (!s->server->conf->strict_rfc821_envelopes)
		flags |= ADDR_BARE | ADDR_NO_DOMAIN;
	if (s->local)
		flags |= ADDR_NO_DOMAIN;
	return flags;
}

/*
 * "FROM:" and the path off the front of `*argument`, which is then the parameters. Returns false
 * after a reply. A blank behind the colon is no part of the grammar, but many clients send it.
 */
static bool
take_path(struct session *s, struct str *argument, const char *word, unsigned flags,
    const char *code, struct addr *a)
{
	struct str prefix = str_from(word);
	struct why why;
	size_t used;

	if (!str_casestarts(*argument, prefix)) {
		session_reply(s, 501, "5.5.4", "Syntax: %s %s<address>", s->command->verb, word);
		return false;
	}
	*argument = str_from_at(*argument, prefix.n);
	if (!s->server->conf->strict_rfc821_envelopes)
		*argument = str_trim(*argument);
	if (addr_path(a, *argument, flags, &used, &why) == -1) {
		bool utf8 = strcmp(why.code, "5.6.7") == 0;
		session_reply(s, utf8 ? 553 : 501, utf8 ? "5.6.7" : code, "%s", why.text);
		return false;
	}
	*argument = str_from_at(*argument, used);
	if (argument->n > 0 && argument->p[0] != ' ') {
		session_reply(s, 501, code, "Bad address syntax: text behind the address");
		return false;
	}
	return true;
}

static void
reply_parameter(struct session *s, const struct why *why)
{
	session_reply_why(s, why);
}

static void
on_mail_judged(struct session *s, const struct why *why)
{
	if (why != NULL) {
		session_reject(s, "MAIL", STR_EMPTY, why);
		transaction_free(&s->tx);
		return;
	}
	s->junk = 0;
	session_enter(s, ST_MAIL);
	session_reply(s, 250, "2.1.0", "Ok");
}

void
cmd_mail(struct session *s, struct str argument)
{
	unsigned offered = command_offered(s);
	unsigned flags = path_flags(s) | ADDR_NULL | (says_smtputf8(s, argument) ? ADDR_UTF8 : 0);
	struct esmtp_mail m;
	struct addr sender;
	struct why why;

	if (!take_path(s, &argument, "FROM:", flags, "5.1.7", &sender))
		return;
	if (esmtp_mail(argument, offered, &m, &why) == -1) {
		reply_parameter(s, &why);
		return;
	}
	if (addr_complete(&sender, str_from(s->server->conf->common.myorigin), &why) == -1) {
		session_reply(s, 451, "4.3.5", "Error: myorigin is no domain");
		return;
	}
	if (m.size > (uint64_t)s->server->conf->common.message_size_limit) {
		why_perm(&why, "5.3.4", "Message size exceeds fixed limit");
		why.smtp = 552;
		session_reject(s, "MAIL", STR_EMPTY, &why);
		return;
	}
	s->tx = transaction_new(s, &sender, &m);
	stage_begin(s, STAGE_MAIL, on_mail_judged);
}

/* --- RCPT --- */

/* router cannot tell where mail to `address` goes. */
static void
reject_rcpt(struct session *s, struct str address, const struct why *reason)
{
	struct why why;

	why_temp(&why, "4.3.0", "<%.*s>: %s", STR_ARG(address), reason->text);
	session_reject(s, s->command->verb, address, &why);
}

static void
rcpt_add(struct transaction *tx, struct rcpt *r)
{
	if (tx->nrcpts == tx->rcpts_size) {
		tx->rcpts_size = tx->rcpts_size == 0 ? 1 : tx->rcpts_size * 2;
		tx->rcpts = xrealloc(tx->rcpts, size_mul(tx->rcpts_size, sizeof *tx->rcpts));
	}
	tx->rcpts[tx->nrcpts++] = *r;
	*r = (struct rcpt){0};
}

static void
on_rcpt_judged(struct session *s, const struct why *why)
{
	struct transaction *tx = s->tx;
	struct rcpt *r = &tx->pending;

	if (why != NULL) {
		session_reject(s, "RCPT", str_from(r->original), why);
		rcpt_clear(r);
		return;
	}
	if (str_is(str_from(r->original), r->route->address)) {
		free(r->original);
		r->original = NULL;
	}
	rcpt_add(tx, r);
	session_enter(s, ST_RCPT);
	session_reply(s, 250, "2.1.5", "Ok");
}

static void
on_rcpt_route(struct session *s, struct route *route, const struct why *why)
{
	struct rcpt *r = &s->tx->pending;

	if (route == NULL) {
		reject_rcpt(s, str_from(r->original), why);
		rcpt_clear(r);
		return;
	}
	r->route = route_hold(route);
	stage_begin(s, STAGE_RCPT, on_rcpt_judged);
}

void
cmd_rcpt(struct session *s, struct str argument)
{
	unsigned offered = command_offered(s);
	unsigned flags =
	    path_flags(s) | ADDR_POSTMASTER | ((s->tx->flags & MAIL_SMTPUTF8) != 0 ? ADDR_UTF8 : 0);
	struct transaction *tx = s->tx;
	struct esmtp_rcpt r;
	struct addr to;
	struct why why;

	if (!take_path(s, &argument, "TO:", flags, "5.1.3", &to))
		return;
	if (esmtp_rcpt(argument, offered, &r, &why) == -1) {
		reply_parameter(s, &why);
		return;
	}
	if (tx->nrcpts >= (size_t)s->server->conf->smtpd_recipient_limit) {
		why_temp(&why, "4.5.3", "Error: too many recipients");
		why.smtp = 452;
		session_reject(s, "RCPT", addr_text(&to), &why);
		return;
	}
	tx->pending = (struct rcpt){
	    .original = str_dup(addr_text(&to)),
	    .orcpt = r.orcpt.n > 0 ? str_dup(r.orcpt) : NULL,
	    .notify = r.notify,
	};
	route_ask(s, &to, on_rcpt_route);
}

/* --- VRFY --- */

static void
on_vrfy_judged(struct session *s, const struct why *why)
{
	if (why != NULL)
		session_reject(s, "VRFY", str_from(s->verify), why);
	else
		session_reply(s, 252, "2.0.0", "%s", s->verify_route->address);
	free(s->verify);
	s->verify = NULL;
	route_drop(&s->verify_route);
}

static void
on_vrfy_route(struct session *s, struct route *route, const struct why *why)
{
	if (route == NULL) {
		reject_rcpt(s, str_from(s->verify), why);
		free(s->verify);
		s->verify = NULL;
		return;
	}
	s->verify_route = route_hold(route);
	stage_begin(s, STAGE_VRFY, on_vrfy_judged);
}

void
cmd_vrfy(struct session *s, struct str argument)
{
	struct addr a;
	struct why why;
	unsigned flags = ADDR_NO_DOMAIN | ADDR_POSTMASTER | ADDR_BARE;
	size_t used;

	if (s->server->conf->disable_vrfy_command) {
		session_reply(s, 502, "5.5.1", "VRFY command is disabled");
		return;
	}
	if (says_smtputf8(s, argument) && str_caseends(argument, STR(" SMTPUTF8"))) {
		flags |= ADDR_UTF8;
		argument = str_trim(str_sub(argument, 0, argument.n - sizeof "SMTPUTF8"));
	}
	if (argument.n == 0 || addr_path(&a, argument, flags, &used, &why) == -1 ||
	    used != argument.n) {
		session_reply(s, 501, "5.5.4", "Syntax: VRFY address");
		return;
	}
	free(s->verify);
	s->verify = str_dup(addr_text(&a));
	route_ask(s, &a, on_vrfy_route);
}
