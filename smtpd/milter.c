/* SPDX-License-Identifier: ISC */
/*
 * The gate of milters. A session of a service that has milters has a chain of connections to them,
 * made when its client connects. Content is shown by cleanup, as its checks have left it; what the
 * milters make of it goes back there before the message is committed. Where it goes to a proxy
 * filter instead, it is here as a whole.
 */
#include "smtpd/milter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/conf/override.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/milter/calls.h"
#include "lib/milter/macros.h"
#include "lib/milter/mail.h"
#include "lib/milter/milter.h"
#include "lib/service/service.h"
#include "lib/tls/facts.h"
#include "smtpd/edits.h"
#include "smtpd/gates.h"
#include "smtpd/proxy_filter.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"
#include "smtpd/submit.h"
#include "smtpd/tls.h"

enum { HEADER_ROOM = 64 * 1024 }; /* for what cleanup has added */

struct session_milters {
	struct milters *chain;
	struct milter_calls calls;
};

/* --- what the chain asks --- */

static bool
host_connect(void *arg, struct milter *milter, const char *target)
{
	struct session *s = arg;

	return milter_calls_connect(&s->milters->calls, s->trace, milter, target);
}

static void
host_forget(void *arg, struct milter *milter)
{
	struct session *s = arg;

	milter_calls_forget(&s->milters->calls, milter);
}

/* Texts that are made for a moment. */
struct fact_texts {
	char id[20], port[8], bits[16], sender[MSG_ADDRESS_MAX + 1];
};

static void
put_tls(const struct session *s, struct milter_facts *facts, struct fact_texts *texts)
{
	const struct tls_facts *tls = smtpd_tls_facts(s);

	if (tls == NULL)
		return;
	snprintf(texts->bits, sizeof texts->bits, "%d", tls->bits);
	facts->tls_version = tls->protocol;
	facts->cipher = tls->cipher;
	facts->cipher_bits = texts->bits;
}

static void
put_mail(const struct session *s, struct milter_facts *facts, struct fact_texts *texts)
{
	const struct transaction *tx = s->tx;
	const struct route *rcpt = stage_now(s) == STAGE_RCPT ? tx->pending.route : NULL;

	if (str_copy(texts->sender, sizeof texts->sender, addr_text(&tx->sender)))
		facts->mail_addr = texts->sender;
	if (tx->queue_id != NULL)
		facts->id = tx->queue_id;
	if (tx->sender_route != NULL) {
		facts->mail_host = tx->sender_route->nexthop;
		facts->mail_mailer = tx->sender_route->transport;
	} else if (addr_is_null(&tx->sender)) {
		facts->mail_host = facts->mail_mailer = "";
	}
	if (rcpt == NULL)
		return;
	facts->rcpt_addr = rcpt->address;
	facts->rcpt_host = rcpt->nexthop;
	facts->rcpt_mailer = rcpt->transport;
}

static bool
host_macro(void *arg, struct str name, struct buf *out)
{
	const struct session *s = arg;
	const struct conf_common *conf = &s->server->conf->common;
	const char *daemon = conf->milter_macro_daemon_name;
	struct fact_texts texts;

	snprintf(texts.id, sizeof texts.id, "%016" PRIX64, s->trace);
	snprintf(texts.port, sizeof texts.port, "%u", s->client_port);
	struct milter_facts facts = {
	    .myhostname = conf->myhostname,
	    .daemon_name = daemon[0] != '\0' ? daemon : s->server->service->name,
	    .mail_name = conf->mail_name,
	    .id = texts.id,
	    .client_name = s->client_name,
	    .client_addr = s->client_addr,
	    .client_port = texts.port,
	    .auth_type = s->login != NULL ? s->sasl_method : NULL,
	    .auth_authen = s->login,
	};
	put_tls(s, &facts, &texts);
	if (s->tx != NULL)
		put_mail(s, &facts, &texts);
	return milter_macro(&facts, name, out);
}

/* --- edits and verdict --- */

/* Addresses come in brackets. */
static bool
host_edit(void *arg, unsigned kind, struct str text)
{
	struct session *s = arg;
	bool address = kind == EDIT_ADD_RCPT || kind == EDIT_DELETE_RCPT || kind == EDIT_SENDER;

	if (address && str_starts(text, STR("<")) && str_ends(text, STR(">")))
		text = str_sub(text, 1, text.n - 2);
	if (address && text.n > ADDR_DOMAIN_MAX + 65)
		return false;
	return edits_add(
	    s->tx, (enum mail_edit)kind, address ? text : STR_EMPTY, address ? STR_EMPTY : text);
}

/* What the milters made of a message that is here takes the place of what came in. */
static bool
take_back(struct session *s)
{
	struct transaction *tx = s->tx;
	struct milter_mail *mail = tx->mail;
	struct str body = mail->is_replaced ? buf_view(&mail->replaced) : mail->body;
	struct buf all;
	bool crlf;

	buf_init(&all, mail->header.n + body.n + 2);
	crlf = body.n < 2 || memcmp(body.p + body.n - 2, "\r\n", 2) == 0;
	if (buf_str(&all, buf_view(&mail->header)) == -1 || buf_str(&all, body) == -1 ||
	    (mail->is_replaced && !crlf && buf_puts(&all, "\r\n") == -1))
		panic("milter: a message larger than its parts");
	buf_free(&tx->content);
	tx->content = all;
	tx->size = all.n;
	return all.n <= (size_t)s->server->conf->common.message_size_limit;
}

static void
mail_drop(struct transaction *tx)
{
	if (tx->mail != NULL)
		milter_mail_clear(tx->mail);
	free(tx->mail);
	tx->mail = NULL;
	if (tx->held_in != NULL)
		tx->held_in->held -= tx->held;
	tx->held_in = NULL;
	tx->held = 0;
	route_drop(&tx->sender_route);
	free(tx->queue_id);
	tx->queue_id = NULL;
}

static void
host_done(void *arg, enum milter_verdict verdict, const struct why *why)
{
	struct session *s = arg;
	struct why large;

	if (verdict == MILTER_REFUSE) {
		metric_add(METRIC_MILTER_REFUSED, 1);
	} else if (verdict == MILTER_DISCARD && s->tx != NULL) {
		log_info("%016" PRIX64 ": milter-discard: from %s[%s]; from=<%.*s>", s->trace,
		    s->client_name, s->client_addr, STR_ARG(addr_text(&s->tx->sender)));
		(void)edits_add(s->tx, EDIT_DISCARD, STR_EMPTY, STR("by a milter"));
	} else if (s->tx != NULL && s->tx->mail != NULL && !s->tx->shown && !take_back(s)) {
		why_perm(&large, "5.3.4", "Error: message file too big");
		large.smtp = 552;
		why = &large;
	}
	stage_go_on(s, why);
}

static const struct milter_host host = {
    .connect = host_connect,
    .forget = host_forget,
    .macro = host_macro,
    .edit = host_edit,
    .done = host_done,
};

/* --- the gate --- */

int
milter_open(struct server *server, struct why *why)
{
	const struct smtpd_conf *conf = server->conf;
	const struct milter_times times = {conf->common.milter_connect_timeout,
	    conf->common.milter_command_timeout, conf->common.milter_content_timeout,
	    conf->common.milter_default_action};

	server->milter_list = xcalloc(1, sizeof *server->milter_list);
	server->held = xcalloc(1, sizeof *server->held);
	server->held->max = (size_t)conf->common.held_content_limit;
	if ((server->overrides & OVERRIDE_MILTERS) != 0)
		return 0;
	return milter_list_parse(server->milter_list, &conf->smtpd_milters, &times, why);
}

void
milter_close(struct server *server)
{
	if (server->milter_list != NULL)
		milter_list_clear(server->milter_list);
	free(server->milter_list);
	server->milter_list = NULL;
	free(server->held);
	server->held = NULL;
}

static struct milter_mail *
mail_new(struct session *s)
{
	const struct conf_common *conf = &s->server->conf->common;
	struct milter_mail *mail = xcalloc(1, sizeof *mail);

	milter_mail_init(mail, (size_t)conf->header_size_limit + HEADER_ROOM,
	    (size_t)conf->message_size_limit + 2);
	mail->budget = s->server->held;
	s->tx->mail = mail;
	return mail;
}

/* The milters have time limits of their own; this is for a fault of ours. */
static void
on_expired(struct session *s)
{
	struct why why;

	log_warning("milters: no verdict in time");
	why_temp(&why, "4.7.1", "Service unavailable - try again later");
	stage_go_on(s, &why);
}

static int64_t
patience(const struct session *s)
{
	const struct smtpd_conf *conf = s->server->conf;

	return (conf->common.milter_connect_timeout + conf->common.milter_command_timeout +
		   conf->common.milter_content_timeout) *
	       (int64_t)(s->server->milter_list->n + 1) * 10;
}

/* The address in brackets, and MAIL's parameters that milters ask for. */
static void
ask_mail(struct session *s)
{
	const struct transaction *tx = s->tx;
	char sender[MSG_ADDRESS_MAX + 3], size[40];
	struct str args[4];
	size_t n = 0;

	snprintf(sender, sizeof sender, "<%.*s>", STR_ARG(addr_text(&tx->sender)));
	args[n++] = str_from(sender);
	snprintf(size, sizeof size, "SIZE=%" PRIu64, tx->announced);
	if (tx->announced > 0)
		args[n++] = str_from(size);
	if ((tx->flags & MAIL_8BITMIME) != 0)
		args[n++] = STR("BODY=8BITMIME");
	if ((tx->flags & MAIL_SMTPUTF8) != 0)
		args[n++] = STR("SMTPUTF8");
	s->tx->milters = s->milters->chain;
	milters_ask(s->milters->chain, MILTER_MAIL, args, n, NULL);
	session_wait(s, patience(s), on_expired);
}

/* Where mail to the sender would go is told as far as it is known. */
static void
on_sender_route(struct session *s, struct route *route, const struct why *why)
{
	if (why == NULL)
		s->tx->sender_route = route_hold(route);
	ask_mail(s);
}

static void
ask_connect(struct session *s)
{
	char port[8];

	s->milters = xcalloc(1, sizeof *s->milters);
	s->milters->calls.master = service_master(s->server->service);
	s->milters->chain = milters_new(s->server->loop->base, s->server->milter_list, &host, s);
	snprintf(port, sizeof port, "%u", s->client_port);
	struct str args[] = {str_from(s->client_name), str_from(s->client_addr), str_from(port)};
	milters_ask(s->milters->chain, MILTER_CONNECT, args, NELEM(args), NULL);
}

static void
ask_rcpt(struct session *s)
{
	char rcpt[MSG_ADDRESS_MAX + 3];

	snprintf(rcpt, sizeof rcpt, "<%s>", s->tx->pending.original);
	struct str arg = str_from(rcpt);
	milters_ask(s->milters->chain, MILTER_RCPT, &arg, 1, NULL);
}

static void
ask_content(struct session *s)
{
	milters_ask(s->milters->chain, MILTER_CONTENT, NULL, 0, s->tx->mail);
	session_wait(s, patience(s), on_expired); /* the verdict never comes at once */
}

/* What came in, for a proxy filter. */
static bool
ask_held_content(struct session *s)
{
	if (milter_mail_memory(mail_new(s), buf_view(&s->tx->content)) == -1)
		return false;
	ask_content(s);
	return true;
}

void
milter_shown(struct session *s, struct msg_mail_shown *msg)
{
	struct transaction *tx = s->tx;
	struct why why;

	if (msg->discard != 0) {
		stage_go_on(s, NULL);
		return;
	}
	tx->queue_id = str_dup(msg->queue_id);
	struct milter_mail *mail = mail_new(s);
	int fd = chan_take_fd(&msg->content), rc = 0;
	if (fd != -1)
		rc = milter_mail_file(mail, fd, msg->offset, msg->header, msg->size, &why);
	else if (tx->content.n != msg->size ||
		 milter_mail_memory(mail, buf_view(&tx->content)) == -1)
		rc = why_temp(&why, "4.3.0", "Error: queue file write error");
	if (rc == -1)
		stage_go_on(s, &why);
	else
		ask_content(s);
}

static void
on_unseen(struct session *s)
{
	struct why why;

	log_warning("cleanup does not show a message in time");
	why_temp(&why, "4.3.0", "Error: queue file write error");
	stage_go_on(s, &why);
}

/* cleanup has, or gets, the content, and shows it when its checks have let it pass. */
static enum gate_answer
look(struct session *s, struct why *why)
{
	if (!submit_look(s)) {
		*why = s->tx->failure;
		return GATE_REFUSE;
	}
	session_wait(s, s->server->conf->smtpd_service_timeout, on_unseen);
	return GATE_WAIT;
}

static void
drop(struct session *s)
{
	struct session_milters *sm = s->milters;

	if (sm == NULL)
		return;
	milter_calls_clear(&sm->calls);
	milters_free(&sm->chain);
	free(sm);
	s->milters = NULL;
}

static enum gate_answer
judge(struct session *s, enum stage stage, struct why *why)
{
	struct str helo;

	if (s->server->milter_list->n == 0 ||
	    (s->tx == NULL && stage != STAGE_CONNECT && stage != STAGE_HELO))
		return GATE_PASS;
	if (stage == STAGE_CONNECT)
		drop(s); /* XCLIENT: as if it had just connected */
	else if (s->milters == NULL || (s->tx != NULL && edits_have(s->tx, EDIT_DISCARD)))
		return GATE_PASS;
	switch (stage) {
	case STAGE_CONNECT:
		ask_connect(s);
		break;
	case STAGE_HELO:
		helo = str_from(s->helo);
		milters_ask(s->milters->chain, MILTER_HELO, &helo, 1, NULL);
		break;
	case STAGE_MAIL:
		if (addr_is_null(&s->tx->sender))
			ask_mail(s);
		else
			route_ask(s, &s->tx->sender, on_sender_route);
		return GATE_WAIT;
	case STAGE_RCPT:
		ask_rcpt(s);
		break;
	case STAGE_DATA:
		milters_ask(s->milters->chain, MILTER_DATA, NULL, 0, NULL);
		break;
	default:
		if (!proxy_filter_holds(s))
			return look(s, why);
		if (ask_held_content(s))
			return GATE_WAIT;
		why_perm(why, "5.6.0", "Error: the header is too large");
		why->smtp = 552;
		return GATE_REFUSE;
	}
	session_wait(s, patience(s), on_expired);
	return GATE_WAIT;
}

void
milter_stop(struct transaction *tx)
{
	if (tx->milters != NULL)
		milters_give_up(
		    tx->milters); /* of one that they have seen the end of nothing is said */
	tx->milters = NULL;
}

static void
drop_mail(struct transaction *tx)
{
	milter_stop(tx);
	mail_drop(tx);
}

const struct gate gate_milter = {
    .name = "milter",
    .stages = STAGE_CONNECT | STAGE_HELO | STAGE_MAIL | STAGE_RCPT | STAGE_DATA | STAGE_CONTENT,
    .ask = judge,
    .drop = drop,
    .drop_mail = drop_mail,
};
