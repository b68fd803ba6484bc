/* SPDX-License-Identifier: ISC */
/*
 * The gate of milters. A session of a service that has milters has a chain of connections to them,
 * made when its client connects. Content that they are to see is held in memory as a whole, within
 * milter_memory_limit for all sessions of the worker; what they make of it is what goes on.
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
#include "lib/mail/header.h"
#include "lib/metrics/metrics.h"
#include "lib/milter/mail.h"
#include "lib/milter/milter.h"
#include "lib/service/service.h"
#include "lib/tls/facts.h"
#include "smtpd/edits.h"
#include "smtpd/gates.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"
#include "smtpd/tls.h"

/* A connection that master has been asked for. */
struct milter_call {
	struct milter *milter;
	uint32_t request;
	struct milter_call *next;
};

struct session_milters {
	struct milters *chain;
	struct milter_call *calls;
};

/* --- connections --- */

static void
call_drop(struct session *s, struct milter_call *call)
{
	struct milter_call **link = &s->milters->calls;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	free(call);
}

static void
on_connected(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	struct milter_call *call = s->milters->calls;
	struct why why;

	while (call != NULL && msg != NULL && call->request != head->id)
		call = call->next;
	if (call == NULL)
		return;
	struct milter *milter = call->milter;
	call_drop(s, call);
	if (msg != NULL && head->type == MSG_CONNECTED) {
		milter_connected(milter, chan_take_fd(&msg->connected.socket), NULL);
		return;
	}
	if (msg != NULL && head->type == MSG_REFUSED)
		why_from_msg(&why, &msg->refused);
	else
		why_temp(&why, "4.3.0", "no connection");
	milter_connected(milter, -1, &why);
}

static bool
host_connect(void *arg, struct milter *milter, const char *target)
{
	struct session *s = arg;
	struct chan *master = service_master(s->server->service);
	struct msg_connect msg = {.target = str_from(target)};
	uint32_t id = chan_call(master, s->trace, MSG_CONNECT, &msg, on_connected, s);

	if (id == 0)
		return false;
	struct milter_call *call = xcalloc(1, sizeof *call);
	*call = (struct milter_call){.milter = milter, .request = id, .next = s->milters->calls};
	s->milters->calls = call;
	return true;
}

static void
host_forget(void *arg, struct milter *milter)
{
	struct session *s = arg;

	for (struct milter_call *call = s->milters->calls; call != NULL; call = call->next) {
		if (call->milter != milter)
			continue;
		chan_forget(service_master(s->server->service), call->request);
		call_drop(s, call);
		return;
	}
}

/* --- macros --- */

typedef int macro_fn(const struct session *s, struct buf *out);

static int
macro_j(const struct session *s, struct buf *out)
{
	return buf_puts(out, s->server->conf->common.myhostname);
}

static int
macro_daemon(const struct session *s, struct buf *out)
{
	const char *name = s->server->conf->common.milter_macro_daemon_name;

	return buf_puts(out, name[0] != '\0' ? name : s->server->service->name);
}

static int
macro_v(const struct session *s, struct buf *out)
{
	return buf_printf(out, "%s %s", s->server->conf->common.mail_name, KP_VERSION);
}

static int
macro_i(const struct session *s, struct buf *out)
{
	return buf_printf(out, "%016" PRIX64, s->trace);
}

static int
macro_client(const struct session *s, struct buf *out)
{
	return buf_printf(out, "%s [%s]", s->client_name, s->client_addr);
}

static int
macro_client_name(const struct session *s, struct buf *out)
{
	return buf_puts(out, s->client_name);
}

static int
macro_client_addr(const struct session *s, struct buf *out)
{
	return buf_puts(out, s->client_addr);
}

static int
macro_client_port(const struct session *s, struct buf *out)
{
	return buf_printf(out, "%u", s->client_port);
}

static int
macro_auth_type(const struct session *s, struct buf *out)
{
	return s->login != NULL ? buf_puts(out, s->sasl_method) : -1;
}

static int
macro_auth_authen(const struct session *s, struct buf *out)
{
	return s->login != NULL ? buf_puts(out, s->login) : -1;
}

static int
macro_tls_version(const struct session *s, struct buf *out)
{
	const struct tls_facts *tls = smtpd_tls_facts(s);

	return tls != NULL ? buf_puts(out, tls->protocol) : -1;
}

static int
macro_cipher(const struct session *s, struct buf *out)
{
	const struct tls_facts *tls = smtpd_tls_facts(s);

	return tls != NULL ? buf_puts(out, tls->cipher) : -1;
}

static int
macro_cipher_bits(const struct session *s, struct buf *out)
{
	const struct tls_facts *tls = smtpd_tls_facts(s);

	return tls != NULL ? buf_printf(out, "%d", tls->bits) : -1;
}

static int
macro_mail_addr(const struct session *s, struct buf *out)
{
	return s->tx != NULL ? buf_str(out, addr_text(&s->tx->sender)) : -1;
}

static const struct rcpt *
rcpt_now(const struct session *s)
{
	return stage_now(s) == STAGE_RCPT && s->tx != NULL && s->tx->pending.route != NULL
		   ? &s->tx->pending
		   : NULL;
}

static int
macro_rcpt_addr(const struct session *s, struct buf *out)
{
	const struct rcpt *r = rcpt_now(s);

	return r != NULL ? buf_puts(out, r->route->address) : -1;
}

static int
macro_rcpt_host(const struct session *s, struct buf *out)
{
	const struct rcpt *r = rcpt_now(s);

	return r != NULL ? buf_puts(out, r->route->nexthop) : -1;
}

static int
macro_rcpt_mailer(const struct session *s, struct buf *out)
{
	const struct rcpt *r = rcpt_now(s);

	return r != NULL ? buf_puts(out, r->route->transport) : -1;
}

static const struct {
	const char *name;
	macro_fn *make;
} macros[] = {
    {"j",	     macro_j          },
    {"{daemon_name}", macro_daemon     },
    {"v",	     macro_v          },
    {"i",	     macro_i          },
    {"_",	     macro_client     },
    {"{client_addr}", macro_client_addr},
    {"{client_name}", macro_client_name},
    {"{client_ptr}",  macro_client_name},
    {"{client_port}", macro_client_port},
    {"{auth_type}",   macro_auth_type  },
    {"{auth_authen}", macro_auth_authen},
    {"{tls_version}", macro_tls_version},
    {"{cipher}",      macro_cipher     },
    {"{cipher_bits}", macro_cipher_bits},
    {"{mail_addr}",   macro_mail_addr  },
    {"{rcpt_addr}",   macro_rcpt_addr  },
    {"{rcpt_host}",   macro_rcpt_host  },
    {"{rcpt_mailer}", macro_rcpt_mailer},
};

/* Names come with or without braces. */
static bool
host_macro(void *arg, struct str name, struct buf *out)
{
	const struct session *s = arg;
	char braced[80];

	if (name.n > 1 && name.p[0] != '{' && name.n < sizeof braced - 2) {
		snprintf(braced, sizeof braced, "{%.*s}", STR_ARG(name));
		name = str_from(braced);
	}
	for (size_t i = 0; i < NELEM(macros); i++)
		if (str_is(name, macros[i].name))
			return macros[i].make(s, out) == 0;
	return false;
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

/* What the milters made of the message takes the place of what came in. */
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
		tx->held_in->milter_held -= tx->held;
	tx->held_in = NULL;
	tx->held = 0;
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
	} else if (s->tx != NULL && s->tx->mail != NULL && !take_back(s)) {
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
}

bool
milter_holds(const struct session *s)
{
	return s->milters != NULL;
}

bool
milter_room(struct session *s, size_t n)
{
	struct server *server = s->server;
	struct transaction *tx = s->tx;

	if (n > (size_t)server->conf->common.milter_memory_limit - server->milter_held)
		return false;
	server->milter_held += n;
	tx->held += n;
	tx->held_in = server;
	return true;
}

static struct milter_mail *
mail_of(struct session *s)
{
	struct transaction *tx = s->tx;
	const struct conf_common *conf = &s->server->conf->common;
	struct milter_mail *mail = xcalloc(1, sizeof *mail);
	struct str all = buf_view(&tx->content);
	size_t n = header_size(all);

	milter_mail_init(
	    mail, (size_t)conf->header_size_limit, (size_t)conf->message_size_limit + 2);
	if (buf_str(&mail->header, str_sub(all, 0, n)) == -1) {
		milter_mail_clear(mail);
		free(mail);
		return NULL;
	}
	mail->body = str_from_at(all, n);
	return mail;
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
}

static void
ask_connect(struct session *s)
{
	char port[8];

	s->milters = xcalloc(1, sizeof *s->milters);
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

static bool
ask_content(struct session *s)
{
	s->tx->mail = mail_of(s);
	if (s->tx->mail == NULL)
		return false;
	milters_ask(s->milters->chain, MILTER_CONTENT, NULL, 0, s->tx->mail);
	return true;
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

static void
drop(struct session *s)
{
	struct session_milters *sm = s->milters;

	if (sm == NULL)
		return;
	while (sm->calls != NULL)
		host_forget(s, sm->calls->milter);
	milters_free(&sm->chain);
	free(sm);
	s->milters = NULL;
}

static int64_t
patience(const struct session *s)
{
	const struct smtpd_conf *conf = s->server->conf;

	return (conf->common.milter_connect_timeout + conf->common.milter_command_timeout +
		   conf->common.milter_content_timeout) *
	       (int64_t)(s->server->milter_list->n + 1) * 10;
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
		ask_mail(s);
		break;
	case STAGE_RCPT:
		ask_rcpt(s);
		break;
	case STAGE_DATA:
		milters_ask(s->milters->chain, MILTER_DATA, NULL, 0, NULL);
		break;
	default:
		if (!ask_content(s)) {
			why_perm(why, "5.6.0", "Error: the header is too large");
			why->smtp = 552;
			return GATE_REFUSE;
		}
	}
	session_wait(s, patience(s), on_expired); /* the verdict never comes at once */
	return GATE_WAIT;
}

static void
drop_mail(struct transaction *tx)
{
	if (tx->milters != NULL)
		milters_abort(
		    tx->milters); /* of one that they have seen the end of nothing is said */
	tx->milters = NULL;
	mail_drop(tx);
}

const struct gate gate_milter = {
    .name = "milter",
    .stages = STAGE_CONNECT | STAGE_HELO | STAGE_MAIL | STAGE_RCPT | STAGE_DATA | STAGE_CONTENT,
    .ask = judge,
    .drop = drop,
    .drop_mail = drop_mail,
};
