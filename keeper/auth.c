/* SPDX-License-Identifier: ISC */
/*
 * Exchanges: who has one, what it waits for, how it ends. What an smtpd says is checked as if it
 * came from the network: a response out of turn closes its channel, one to an exchange that is over
 * is thrown away (the two may cross).
 */
#include "keeper/auth.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/backend.h"
#include "keeper/checkpassword.h"
#include "keeper/passwords.h"
#include "keeper/sasl.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/service/service.h"

enum { ROUNDS_MAX = 16, LOGIN_MAX = 255 };

/* --- what is offered --- */

static void
send_offer(const struct auth *a, struct chan *ch)
{
	const struct backend *b = backend_of(a, ch);
	struct msg_auth_offered msg = {
	    .mechanisms = str_from(b != NULL ? b->mechanisms : NULL),
	    .plain = str_from(b != NULL ? b->plain : NULL),
	};

	if (chan_send(ch, 0, 0, MSG_AUTH_OFFERED, &msg) == -1)
		chan_fail(ch, "no room for AUTH_OFFERED");
}

/* To the services of one backend, or, where that is NULL, to all. */
static void
send_offers(const struct auth *a, const struct backend *b)
{
	struct chan *ch;

	for (size_t i = 0; (ch = service_peer_at(a->k->s, PROGRAM_SMTPD, i)) != NULL; i++)
		if (b == NULL || backend_of(a, ch) == b)
			send_offer(a, ch);
}

void
auth_offer(struct backend *b)
{
	if (backend_list(b))
		send_offers(b->auth, b);
}

void
auth_greet(struct keeper *k, struct chan *ch)
{
	if (k->auth != NULL)
		send_offer(k->auth, ch);
}

/* --- an exchange --- */

static void
exchange_free(struct exchange *x)
{
	event_del(&x->timer);
	if (x->how != NULL && x->how->drop != NULL)
		x->how->drop(x);
	passwords_drop(x);
	checks_drop(x);
	TAILQ_REMOVE(&x->auth->exchanges, x, link);
	x->auth->n--;
	backend_drop(&x->backend);
	buf_free_secret(&x->password);
	buf_free(&x->binding);
	free(x->name);
	free(x->client_addr);
	free(x->server_addr);
	free(x->certificate);
	free(x->binding_type);
	free(x->login);
	free(x->granted);
	free(x);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	exchange_fail_temp(arg, "no answer in time");
}

static struct exchange *
exchange_new(struct backend *b, struct chan *ch, const struct chan_head *head,
    const struct msg_auth_start *m)
{
	struct auth *a = b->auth;
	struct exchange *x = xcalloc(1, sizeof *x);

	*x = (struct exchange){
	    .auth = a,
	    .backend = backend_hold(b),
	    .ch = ch,
	    .head = *head,
	    .name = str_dup(m->mechanism),
	    .client_addr = str_dup(m->client_addr),
	    .server_addr = str_dup(m->server_addr),
	    .certificate = str_dup(m->certificate),
	    .binding_type = str_dup(m->binding_type),
	    .client_port = (unsigned)m->client_port,
	    .server_port = (unsigned)m->server_port,
	    .tls = m->tls,
	};
	buf_init(&x->binding, 512);
	buf_init(&x->password, AUTH_DATA_MAX);
	if (buf_str(&x->binding, m->binding) == -1)
		panic("auth: binding");
	evtimer_assign(&x->timer, a->k->s->loop.base, on_late, x);
	TAILQ_INSERT_TAIL(&a->exchanges, x, link);
	a->n++;
	return x;
}

void
exchange_claim(struct exchange *x, struct str login)
{
	free(x->login);
	x->login = str_dup(str_sub(login, 0, LOGIN_MAX));
	str_mask_control(x->login, strlen(x->login));
}

void
exchange_wait(struct exchange *x)
{
	struct timeval tv = clock_tv(x->auth->k->conf->keeper_auth_timeout);

	x->waiting = true;
	if (evtimer_add(&x->timer, &tv) == -1)
		fatal("auth: no timer");
}

static void
stop_waiting(struct exchange *x)
{
	x->waiting = false;
	event_del(&x->timer);
}

void
exchange_challenge(struct exchange *x, struct str data)
{
	struct msg_auth_challenge msg = {.data = data};

	stop_waiting(x);
	if (data.n > AUTH_DATA_MAX)
		exchange_fail_temp(x, "a challenge is too long");
	else
		chan_reply(x->ch, &x->head, MSG_AUTH_CHALLENGE, &msg);
}

static void
fail(struct exchange *x, const char *reason, bool temporary)
{
	struct msg_auth_failed msg = {
	    .temporary = temporary,
	    .login = str_from(x->login),
	    .reason = str_sub(str_from(reason), 0, MSG_TEXT_MAX),
	};

	chan_reply(x->ch, &x->head, MSG_AUTH_FAILED, &msg);
	exchange_free(x);
}

void
exchange_fail(struct exchange *x, const char *reason)
{
	fail(x, reason, false);
}

void
exchange_fail_temp(struct exchange *x, const char *reason)
{
	fail(x, reason, true);
}

/* The login becomes text of logs and headers: a backend that says anything else has not said who.
 */
static bool
login_is_sane(struct str login)
{
	return login.n > 0 && login.n <= LOGIN_MAX && !str_has_control(login);
}

void
exchange_ok(struct exchange *x, struct str login)
{
	struct msg_auth_ok msg = {.login = login};

	if (!login_is_sane(login)) {
		exchange_fail_temp(x, "the login is empty, too long, or no text");
		return;
	}
	chan_reply(x->ch, &x->head, MSG_AUTH_OK, &msg);
	service_worked(x->auth->k->s);
	exchange_free(x);
}

void
exchange_ok_after(struct exchange *x, struct str data, struct str login)
{
	x->granted = str_dup(login);
	exchange_challenge(x, data);
}

/* --- messages --- */

static void
refuse_new(struct chan *ch, const struct chan_head *head, const char *reason)
{
	struct msg_auth_failed msg = {
	    .temporary = true, .login = STR_EMPTY, .reason = str_from(reason)};

	chan_reply(ch, head, MSG_AUTH_FAILED, &msg);
}

static struct exchange *
exchange_find(struct auth *a, const struct chan *ch, uint32_t id)
{
	struct exchange *x;

	TAILQ_FOREACH (x, &a->exchanges, link)
		if (x->ch == ch && x->head.id == id)
			return x;
	return NULL;
}

void
on_auth_start(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct auth *a = keeper_of(ch)->auth;
	const struct msg_auth_start *m = &msg->auth_start;

	if (exchange_find(a, ch, head->id) != NULL) {
		chan_fail(ch, "AUTH_START twice");
		return;
	}
	if (a->n >= (size_t)a->k->conf->keeper_exchanges_max) {
		refuse_new(ch, head, "too many logins at the same time");
		return;
	}
	struct backend *b = backend_of(a, ch);
	if (b == NULL) {
		refuse_new(ch, head, "nobody knows the accounts of this service");
		return;
	}
	struct exchange *x = exchange_new(b, ch, head, m);
	x->how = backend_mechanism(b, x->name);
	if (x->how == NULL)
		exchange_fail_temp(x, "the mechanism is not available now");
	else
		x->how->begin(x, m->initial, m->response);
}

void
on_auth_response(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct exchange *x = exchange_find(keeper_of(ch)->auth, ch, head->id);

	if (x == NULL)
		return;
	if (x->waiting)
		chan_fail(ch, "AUTH_RESPONSE out of turn");
	else if (x->granted != NULL && msg->auth_response.data.n > 0)
		exchange_fail(x, "an answer where none belongs");
	else if (x->granted != NULL)
		exchange_ok(x, str_from(x->granted));
	else if (++x->rounds > ROUNDS_MAX)
		exchange_fail(x, "too many rounds");
	else
		x->how->respond(x, msg->auth_response.data);
}

void
on_auth_cancel(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct exchange *x = exchange_find(keeper_of(ch)->auth, ch, head->id);

	(void)msg;
	if (x != NULL)
		exchange_free(x);
}

void
auth_gone(struct keeper *k, struct chan *ch)
{
	struct exchange *x, *next;

	if (k->auth == NULL)
		return;
	for (x = TAILQ_FIRST(&k->auth->exchanges); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->ch == ch)
			exchange_free(x);
	}
	checks_gone(k->auth, ch);
	passwords_gone(k->auth, ch);
}

/* --- start and reload --- */

int
auth_start(struct keeper *k, struct why *why)
{
	struct auth *a = xcalloc(1, sizeof *a);

	a->k = k;
	TAILQ_INIT(&a->exchanges);
	TAILQ_INIT(&a->backends);
	k->auth = a;
	if (gsasl_init(&a->gsasl) != GSASL_OK)
		return why_temp(why, NULL, "libgsasl does not start");
	sasl_start(a);
	a->checks = checks_new();
	a->passwords = passwords_new(a, why);
	if (a->passwords == NULL)
		return -1;
	auth_reload(k);
	return 0;
}

void
auth_reload(struct keeper *k)
{
	struct auth *a = k->auth;
	struct backend *b;

	backends_reload(a);
	TAILQ_FOREACH (b, &a->backends, link)
		(void)backend_list(b); /* all are told anew */
	send_offers(a, NULL);
}
