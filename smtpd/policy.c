/* SPDX-License-Identifier: ISC */
/*
 * The client's side. A connection is made by master (we have no path and no right to connect). What
 * a server says is hostile: a reply is at most REPLY_MAX octets, and anything that is none closes
 * the connection. A request that fails on a kept connection is asked again at once on a new one, as
 * the server may have closed it meanwhile; further tries wait smtpd_policy_service_retry_delay.
 */
#include "smtpd/policy.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lib/access/list.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/conf/setting.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "smtpd/judge.h"
#include "smtpd/restrict.h"
#include "smtpd/session.h"

enum { REPLY_MAX = 16 * 1024, REQUEST_MAX = 16 * 1024 };

struct policy_request {
	struct policy_server *server;
	TAILQ_ENTRY(policy_request) link; /* among those that wait */
	struct connection *c;             /* who asks it; NULL: it waits */
	struct str text;                  /* owned */
	policy_done_fn *done;
	void *arg;
	unsigned tries;
	struct event ev_retry;
};

struct connection {
	struct policy_server *server;
	TAILQ_ENTRY(connection) link;
	int fd; /* -1: master is asked for it */
	uint32_t question;
	struct policy_request *request; /* NULL: idle */
	size_t written;
	bool used; /* it has answered before */
	struct buf in;
	struct event ev_read, ev_write;
};

struct policy_server {
	struct policy *policy;
	char *target; /* "inet:..." */
	char *key;    /* target and options */
	int64_t timeout_ms, idle_ms, retry_ms;
	unsigned tries;
	char *default_action;
	TAILQ_HEAD(, connection) connections;
	size_t nconnections;
	TAILQ_HEAD(, policy_request) waiting;
	size_t nwaiting;
};

struct policy {
	struct server *server;
	struct policy_server **servers;
	size_t n;
};

static void serve(struct policy_server *ps);

/* --- the reply --- */

int
policy_reply(struct str in, struct str *action, size_t *used)
{
	struct str rest = in;
	bool found = false;

	*action = STR_EMPTY;
	for (;;) {
		ptrdiff_t lf = str_chr(rest, '\n');
		if (lf < 0)
			return in.n > REPLY_MAX ? -1 : 0;
		struct str line = str_sub(rest, 0, (size_t)lf);
		rest = str_from_at(rest, (size_t)lf + 1);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n == 0)
			break;
		ptrdiff_t eq = str_chr(line, '=');
		if (eq <= 0 || memchr(line.p, '\0', line.n) != NULL)
			return -1;
		if (!str_is(str_sub(line, 0, (size_t)eq), "action"))
			continue;
		*action = str_trim(str_from_at(line, (size_t)eq + 1));
		found = action->n > 0;
	}
	*used = in.n - rest.n;
	return found ? 1 : -1;
}

/* --- requests --- */

static void
request_free(struct policy_request *r)
{
	evtimer_del(&r->ev_retry);
	free((char *)(uintptr_t)r->text.p);
	free(r);
}

static void
request_wait(struct policy_request *r)
{
	r->c = NULL;
	TAILQ_INSERT_TAIL(&r->server->waiting, r, link);
	r->server->nwaiting++;
}

static void
request_unwait(struct policy_request *r)
{
	TAILQ_REMOVE(&r->server->waiting, r, link);
	r->server->nwaiting--;
}

static void
request_end(struct policy_request *r, const char *action, const char *text)
{
	policy_done_fn *done = r->done;
	void *arg = r->arg;

	request_free(r);
	done(arg, action, text);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct policy_request *r = arg;

	(void)fd;
	(void)what;
	request_wait(r);
	serve(r->server);
}

/* Asks it again, or gives it up. */
static void
request_failed(struct policy_request *r, bool at_once, const char *text)
{
	struct timeval tv = clock_tv(at_once ? 0 : r->server->retry_ms);

	r->c = NULL;
	if (!at_once)
		r->tries++;
	if (!at_once && r->tries >= r->server->tries) {
		log_warning("problem talking to server %s: %s", r->server->target, text);
		request_end(r, NULL, text);
		return;
	}
	if (evtimer_add(&r->ev_retry, &tv) == -1)
		fatal("policy: no timer");
}

/* --- connections --- */

static void
connection_free(struct connection *c)
{
	struct policy_server *ps = c->server;

	if (c->question != 0)
		chan_forget(service_master(ps->policy->server->service), c->question);
	if (c->fd != -1) {
		event_del(&c->ev_read);
		event_del(&c->ev_write);
	}
	fd_close(&c->fd);
	buf_free(&c->in);
	TAILQ_REMOVE(&ps->connections, c, link);
	ps->nconnections--;
	free(c);
}

/* It is of no use any more; its request is asked again. */
static void
connection_failed(struct connection *c, const char *text)
{
	struct policy_request *r = c->request;
	bool at_once = c->used && c->in.n == 0; /* it was kept, and closed meanwhile */

	connection_free(c);
	if (r != NULL)
		request_failed(r, at_once, text);
}

static void
connection_idle(struct connection *c)
{
	struct timeval tv = clock_tv(c->server->idle_ms);

	c->request = NULL;
	c->used = true;
	if (event_add(&c->ev_read, &tv) == -1)
		fatal("policy: no event");
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;
	struct policy_server *ps = c->server;
	struct policy_request *r = c->request;
	char room[4096];
	struct str action;
	size_t used;

	if ((what & EV_TIMEOUT) != 0) {
		connection_failed(c, "timeout");
		return;
	}
	ssize_t n = read(fd, room, sizeof room);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || r == NULL || buf_add(&c->in, room, (size_t)n) == -1) {
		connection_failed(c, n <= 0 ? "the connection was closed" : "malformed reply");
		serve(ps);
		return;
	}
	int got = policy_reply(buf_view(&c->in), &action, &used);
	if (got == 0)
		return;
	if (got == -1 || used != c->in.n) {
		connection_failed(c, "malformed reply");
		return;
	}
	char *text = str_dup(action);
	buf_free(&c->in);
	connection_idle(c);
	r->c = NULL;
	serve(ps);
	request_end(r, text, NULL);
	free(text);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;
	struct str rest = str_from_at(c->request->text, c->written);
	struct timeval tv = clock_tv(c->server->timeout_ms);

	if ((what & EV_TIMEOUT) != 0) {
		connection_failed(c, "timeout");
		return;
	}
	ssize_t n = write(fd, rest.p, rest.n);
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		connection_failed(c, "the connection was closed");
		return;
	}
	c->written += n > 0 ? (size_t)n : 0;
	if (c->written < c->request->text.n && event_add(&c->ev_write, &tv) == -1)
		fatal("policy: no event");
}

static void
connection_ask(struct connection *c, struct policy_request *r)
{
	struct timeval tv = clock_tv(c->server->timeout_ms);

	c->request = r;
	c->written = 0;
	r->c = c;
	if (c->fd == -1)
		return; /* when master has connected it */
	if (event_add(&c->ev_read, &tv) == -1 || event_add(&c->ev_write, &tv) == -1)
		fatal("policy: no event");
}

static void
on_connected(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct connection *c = arg;
	struct policy_server *ps = c->server;
	struct event_base *base = ps->policy->server->loop->base;
	char text[300] = "master is gone";

	c->question = 0;
	if (msg != NULL && head->type == MSG_CONNECTED)
		c->fd = chan_take_fd(&msg->connected.socket);
	else if (msg != NULL && head->type == MSG_REFUSED)
		snprintf(text, sizeof text, "%.*s", STR_ARG(msg->refused.text));
	if (c->fd != -1) {
		event_assign(&c->ev_read, base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
		event_assign(&c->ev_write, base, c->fd, EV_WRITE, on_writable, c);
	}
	if (c->fd == -1 || fd_nonblock(c->fd) == -1)
		connection_failed(c, text);
	else if (c->request != NULL)
		connection_ask(c, c->request);
	else
		connection_idle(c);
}

static struct connection *
connection_new(struct policy_server *ps)
{
	struct chan *master = service_master(ps->policy->server->service);
	struct msg_connect msg = {.target = str_from(ps->target)};
	struct connection *c;

	if (master == NULL)
		return NULL;
	c = xcalloc(1, sizeof *c);
	c->server = ps;
	c->fd = -1;
	buf_init(&c->in, REPLY_MAX + 1);
	TAILQ_INSERT_TAIL(&ps->connections, c, link);
	ps->nconnections++;
	c->question = chan_call(master, 0, MSG_CONNECT, &msg, on_connected, c);
	if (c->question != 0)
		return c;
	connection_free(c);
	return NULL;
}

static struct connection *
connection_find(struct policy_server *ps)
{
	struct connection *c;

	TAILQ_FOREACH (c, &ps->connections, link)
		if (c->request == NULL)
			return c;
	if (ps->nconnections >= (size_t)ps->policy->server->conf->smtpd_policy_service_connections)
		return NULL;
	return connection_new(ps);
}

/* Gives waiting requests to connections. */
static void
serve(struct policy_server *ps)
{
	struct policy_request *r;
	struct connection *c;

	while ((r = TAILQ_FIRST(&ps->waiting)) != NULL && (c = connection_find(ps)) != NULL) {
		request_unwait(r);
		connection_ask(c, r);
	}
}

struct policy_request *
policy_ask(struct policy *p, unsigned server, struct str request, policy_done_fn *done, void *arg)
{
	struct policy_server *ps = p->servers[server];
	struct policy_request *r = xcalloc(1, sizeof *r);
	struct timeval now = {0};

	*r = (struct policy_request){
	    .server = ps, .text = {str_dup(request), request.n},
                 .done = done, .arg = arg
        };
	evtimer_assign(&r->ev_retry, p->server->loop->base, on_retry, r);
	/* from the loop, so that nothing is answered before this call returns */
	if (evtimer_add(&r->ev_retry, &now) == -1)
		fatal("policy: no timer");
	return r;
}

void
policy_cancel(struct policy_request **rp)
{
	struct policy_request *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	if (r->c != NULL) {
		r->c->request = NULL; /* its reply would be taken for another's */
		connection_free(r->c);
	} else if (!evtimer_pending(&r->ev_retry, NULL)) {
		request_unwait(r);
	}
	request_free(r);
}

/* --- servers --- */

static int64_t
time_option(const struct access_rule *rule, const char *name, int64_t def)
{
	const struct setting row = {
	    .name = name, .type = SETTING_TIME, .min = 0, .max = 3600 * 1000};
	const char *value = access_option(rule, name);
	int64_t ms = def;

	if (value != NULL && setting_set(&row, &ms, str_from(value), NULL) == -1)
		return def; /* access_list_parse() has refused it */
	return ms;
}

unsigned
policy_server(struct policy *p, const struct access_rule *rule)
{
	const struct smtpd_conf *conf = p->server->conf;
	const char *action = access_option(rule, "default_action");
	const char *tries = access_option(rule, "try_limit");
	struct buf key;
	uint64_t limit;

	buf_init(&key, REQUEST_MAX);
	(void)!buf_puts(&key, rule->arg);
	for (size_t i = 0; i < rule->noptions; i++)
		(void)!buf_printf(&key, "\n%s", rule->options[i]);
	for (size_t i = 0; i < p->n; i++)
		if (str_is(buf_view(&key), p->servers[i]->key)) {
			buf_free(&key);
			return (unsigned)i;
		}
	struct policy_server *ps = xcalloc(1, sizeof *ps);
	*ps = (struct policy_server){
	    .policy = p,
	    .target = xstrdup(rule->arg),
	    .key = buf_steal(&key),
	    .timeout_ms = time_option(rule, "timeout", conf->smtpd_policy_service_timeout),
	    .idle_ms = time_option(rule, "max_idle", conf->smtpd_policy_service_max_idle),
	    .retry_ms = time_option(rule, "retry_delay", conf->smtpd_policy_service_retry_delay),
	    .tries = tries != NULL && str_u64(str_from(tries), 100, &limit) && limit > 0
			 ? (unsigned)limit
			 : (unsigned)conf->smtpd_policy_service_try_limit,
	    .default_action =
		xstrdup(action != NULL ? action : conf->smtpd_policy_service_default_action),
	};
	TAILQ_INIT(&ps->connections);
	TAILQ_INIT(&ps->waiting);
	p->servers = xrealloc(p->servers, size_mul(p->n + 1, sizeof *p->servers));
	p->servers[p->n] = ps;
	return (unsigned)p->n++;
}

int64_t
policy_patience(const struct policy *p, unsigned server)
{
	const struct policy_server *ps = p->servers[server];

	return (ps->timeout_ms + ps->retry_ms) * ps->tries + 1000;
}

const char *
policy_default(const struct policy *p, unsigned server)
{
	return p->servers[server]->default_action;
}

struct policy *
policy_new(struct server *server)
{
	struct policy *p = xcalloc(1, sizeof *p);

	p->server = server;
	return p;
}

void
policy_free(struct policy **pp)
{
	struct policy *p = *pp;
	struct connection *c;

	*pp = NULL;
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n; i++) { /* requests went with their sessions */
		struct policy_server *ps = p->servers[i];
		while ((c = TAILQ_FIRST(&ps->connections)) != NULL)
			connection_free(c);
		free(ps->target);
		free(ps->key);
		free(ps->default_action);
		free(ps);
	}
	free(p->servers);
	free(p);
}

/* --- the restriction --- */

static void
add(struct buf *b, const char *name, const char *value)
{
	if (value == NULL)
		value = "";
	(void)!buf_printf(b, "%s=", name); /* bounded by what a session holds */
	for (; *value != '\0'; value++)    /* a line end would begin another attribute */
		(void)!buf_byte(b, (unsigned char)*value < ' ' ? '?' : *value);
	(void)!buf_byte(b, '\n');
}

static void
add_number(struct buf *b, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	add(b, name, text);
}

static void
build(struct judge *j, const struct access_rule *rule, const char *reverse, struct buf *b)
{
	const struct subject *who = &j->who;
	const struct smtpd_conf *conf = j->server->conf;
	const char *context = access_option(rule, "policy_context");
	char own[INET6_ADDRSTRLEN] = "";
	unsigned port = session_own_address(j->s, own, sizeof own);
	bool end = j->stage == STAGE_CONTENT || j->stage == STAGE_DATA;

	add(b, "request", "smtpd_access_policy");
	add(b, "protocol_state", who->protocol_state);
	add(b, "protocol_name", who->esmtp ? "ESMTP" : "SMTP");
	add(b, "client_address", who->client_addr);
	add(b, "client_name", who->client_name);
	add_number(b, "client_port", who->client_port);
	add(b, "reverse_client_name", reverse);
	add(b, "server_address", own);
	add_number(b, "server_port", port);
	add(b, "helo_name", who->helo);
	add(b, "sender", who->sender != NULL ? who->sender->text : "");
	add(b, "recipient", who->rcpt);
	add_number(b, "recipient_count", end ? who->nrcpts : 0);
	add(b, "queue_id", "");
	add(b, "instance", who->instance);
	add_number(b, "size", who->size);
	add(b, "etrn_domain", who->etrn);
	add(b, "stress", j->server->stressed ? "yes" : "");
	add(b, "sasl_method", who->sasl_method);
	add(b, "sasl_username", who->login);
	add(b, "sasl_sender", "");
	add(b, "ccert_subject", who->verified ? who->cert_subject : "");
	add(b, "ccert_issuer", who->verified ? who->cert_issuer : "");
	add(b, "ccert_fingerprint", who->fingerprint);
	add(b, "ccert_pubkey_fingerprint", who->pubkey_fingerprint);
	add(b, "encryption_protocol", who->tls_protocol);
	add(b, "encryption_cipher", who->tls_cipher);
	add_number(b, "encryption_keysize", who->tls_bits);
	add(b, "policy_context",
	    context != NULL ? context : conf->smtpd_policy_service_policy_context);
	add(b, "compatibility_level", "3.6");
	add(b, "mail_version", KP_VERSION);
	(void)!buf_byte(b, '\n');
}

enum verdict
rule_policy(struct judge *j, const struct access_rule *rule)
{
	struct policy *p = j->server->restrictions->policy;
	unsigned server = policy_server(p, rule);
	char room[400], reverse[ADDR_DOMAIN_MAX + 1];
	struct buf request;

	if (j->s == NULL) { /* it might remember the question */
		if (j->explain != NULL)
			(void)!buf_printf(j->explain, "%s: not asked in a test\n", rule->text);
		return VERDICT_DUNNO;
	}
	if (judge_reverse_name(j, reverse, sizeof reverse) == NAME_WAIT)
		return VERDICT_WAIT;
	buf_init(&request, REQUEST_MAX);
	build(j, rule, reverse, &request);
	const struct fact *f = judge_policy(j, server, buf_view(&request));
	buf_free(&request);
	if (f == NULL)
		return VERDICT_WAIT;
	struct reply_about about = judge_about(j, room, sizeof room);
	return judge_action(
	    j, &about, str_from(f->failed ? policy_default(p, server) : f->text), rule->text);
}
