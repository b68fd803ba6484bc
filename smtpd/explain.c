/* SPDX-License-Identifier: ISC */
/*
 * `kingpost smtp test`: the decision on a client, its HELO, a sender and a recipient, without a
 * session. Nothing comes of it: no greylisting, no question to policy servers, no change. The
 * argument is lines name=value; what stands there is the operator's.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/mail/address.h"
#include "lib/mail/networks.h"
#include "lib/service/service.h"
#include "smtpd/judge.h"
#include "smtpd/restrict.h"
#include "smtpd/routes.h"

enum { EXPLAIN_MAX = 64 * 1024 };

struct trial {
	TAILQ_ENTRY(trial) link;
	struct server *server;
	struct chan *ch;
	struct chan_head head;
	char *client, *name, *helo, *to, *login; /* owned; NULL: not said */
	struct addr from;
	bool has_from;
	struct route *route;
	struct chan *router; /* asked for the route */
	uint32_t request;
	struct judge *judge;
	struct buf lines;
};

static void
trial_free(struct trial *t)
{
	if (t->router != NULL)
		chan_forget(t->router, t->request);
	judge_free(&t->judge);
	route_drop(&t->route);
	TAILQ_REMOVE(&t->server->restrictions->trials, t, link);
	free(t->client);
	free(t->name);
	free(t->helo);
	free(t->to);
	free(t->login);
	buf_free(&t->lines);
	free(t);
}

static void
trial_refuse(struct trial *t, const struct why *why)
{
	chan_refuse(t->ch, &t->head, why);
	trial_free(t);
}

static void
say(struct trial *t, struct str line)
{
	struct msg_control_text msg = {.text = line};

	chan_reply(t->ch, &t->head, MSG_CONTROL_TEXT, &msg);
}

static void
on_judged(void *arg, const struct why *why)
{
	struct trial *t = arg;
	struct str rest = buf_view(&t->lines), line;
	char verdict[sizeof why->text + 40] = "verdict: accepted";

	t->judge = NULL;
	while (str_word(&rest, "\n", &line))
		say(t, line);
	if (why != NULL)
		snprintf(verdict, sizeof verdict, "verdict: %d %s %s", why_smtp(why), why->code,
		    why->text);
	say(t, str_from(verdict));
	chan_done(t->ch, &t->head, why != NULL);
	trial_free(t);
}

static void
judge_it(struct trial *t)
{
	struct sockaddr_storage sa;
	struct subject who = {
	    .client_name = t->name != NULL ? t->name : "unknown",
	    .client_addr = t->client,
	    .helo = t->helo,
	    .sender = t->has_from ? &t->from : NULL,
	    .rcpt = t->to,
	    .route = t->route,
	    .login = t->login,
	    .sasl_method = t->login != NULL ? "PLAIN" : NULL,
	    .esmtp = true,
	    .protocol_state = "RCPT",
	};

	if (literal_parse(str_from(t->client), true, &sa))
		who.trusted = networks_match(&t->server->trusted, &sa);
	t->judge = judge_test(t->server, &who, STAGE_RCPT, &t->lines, on_judged, t);
}

static void
on_route(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct trial *t = arg;
	struct why why;

	t->router = NULL;
	if (msg == NULL || head->type != MSG_ROUTE) {
		why_temp(&why, "4.3.0", "router cannot tell where mail to %s goes", t->to);
		if (msg != NULL && head->type == MSG_REFUSED)
			why_from_msg(&why, &msg->refused);
		trial_refuse(t, &why);
		return;
	}
	t->route = route_make(&msg->route);
	judge_it(t);
}

static void
set(char **at, struct str value)
{
	free(*at);
	*at = str_dup(value);
}

static int
parse(struct trial *t, struct str argument, struct why *why)
{
	unsigned char ip[16];
	struct addr to;
	struct str line;

	while (str_word(&argument, "\n", &line)) {
		ptrdiff_t eq = str_chr(line, '=');
		struct str name = str_sub(line, 0, eq > 0 ? (size_t)eq : 0);
		struct str value = str_from_at(line, (size_t)(eq + 1));
		if (str_is(name, "client"))
			set(&t->client, value);
		else if (str_is(name, "client-name"))
			set(&t->name, value);
		else if (str_is(name, "helo"))
			set(&t->helo, value);
		else if (str_is(name, "sasl"))
			set(&t->login, value);
		else if (str_is(name, "from")) {
			t->has_from = true;
			if (value.n > 0 &&
			    addr_mailbox(&t->from, value, ADDR_UTF8 | ADDR_NO_DOMAIN, why) == -1)
				return -1;
		} else if (str_is(name, "to")) {
			if (addr_mailbox(&to, value, ADDR_UTF8 | ADDR_NO_DOMAIN, why) == -1)
				return -1;
			set(&t->to, addr_text(&to));
		} else {
			return why_perm(why, NULL, "\"%.*s\" is not known", STR_ARG(name));
		}
	}
	if (t->client == NULL ||
	    (inet_pton(AF_INET, t->client, ip) != 1 && inet_pton(AF_INET6, t->client, ip) != 1))
		return why_perm(why, NULL, "the client is an address: --client 192.0.2.1");
	if (t->to == NULL)
		return why_perm(why, NULL, "there is no recipient: --to ADDRESS");
	return 0;
}

void
restrict_explain(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *service = chan_owner(ch);
	struct server *server = service->state;
	struct trial *t = xcalloc(1, sizeof *t);
	struct why why;

	t->server = server;
	t->ch = ch;
	t->head = *head;
	buf_init(&t->lines, EXPLAIN_MAX);
	TAILQ_INSERT_TAIL(&server->restrictions->trials, t, link);
	if (!str_is(msg->explain.what, "smtp")) {
		why_perm(&why, NULL, "smtpd explains the decision on a client: what is \"smtp\"");
		trial_refuse(t, &why);
		return;
	}
	if (parse(t, msg->explain.argument, &why) == -1) {
		trial_refuse(t, &why);
		return;
	}
	struct msg_resolve question = {.address = str_from(t->to), .sender = STR_EMPTY};
	t->router = service_peer(service, PROGRAM_ROUTER, 0);
	t->request = t->router != NULL
			 ? chan_call(t->router, head->trace, MSG_RESOLVE, &question, on_route, t)
			 : 0;
	if (t->request == 0) {
		t->router = NULL;
		why_temp(&why, "4.3.0", "router is not there");
		trial_refuse(t, &why);
	}
}

void
restrict_explain_drop(struct server *server, const struct chan *ch)
{
	struct trial *t, *next;

	for (t = TAILQ_FIRST(&server->restrictions->trials); t != NULL; t = next) {
		next = TAILQ_NEXT(t, link);
		if (ch == NULL || t->ch == ch)
			trial_free(t);
	}
}
