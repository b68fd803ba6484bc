/* SPDX-License-Identifier: ISC */
/*
 * What restrictions ask: the facts of a judge, and the questions to resolver, router, limiter and
 * policy servers between two runs. An answer that does not come is a fact, too: "could not tell".
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "smtpd/greylist.h"
#include "smtpd/judge.h"
#include "smtpd/policy.h"
#include "smtpd/restrict.h"
#include "smtpd/session.h"
#include "smtpd/verify.h"

enum { FACTS_MAX = 2000 };

/* --- facts --- */

static const struct fact *
fact_find(struct judge *j, struct fact_question *q)
{
	char *key = fact_question_key(q);
	bool moment = q->kind == FACT_POLICY || q->kind == FACT_GREY || q->kind == FACT_SLEEP;
	const struct map *map = moment ? j->moments : j->facts;
	const struct fact *f = map != NULL ? map_get(map, str_from(key)) : NULL;

	free(key);
	if (f != NULL) {
		fact_question_clear(q);
		return f;
	}
	fact_question_clear(&j->want);
	j->want = *q;
	return NULL;
}

static void
fact_keep(struct judge *j, struct fact *f)
{
	enum fact_kind kind = j->want.kind;
	bool moment = kind == FACT_POLICY || kind == FACT_GREY || kind == FACT_SLEEP;
	struct map **map = moment ? &j->moments : &j->facts;
	char *key = fact_question_key(&j->want);

	if (*map == NULL)
		*map = map_new();
	if (j->s != NULL && !moment && !j->own_facts)
		j->s->tx->facts = j->facts;
	struct fact *old = map_put(*map, str_from(key), f);
	fact_free(&old);
	free(key);
	fact_question_clear(&j->want);
}

const struct fact *
judge_dns(struct judge *j, unsigned type, const char *name)
{
	struct fact_question q = {.kind = FACT_DNS, .type = type, .name = xstrdup(name)};

	return fact_find(j, &q);
}

const struct fact *
judge_table(struct judge *j, const char *map, enum access_kind kind, struct str key)
{
	struct fact_question q = {
	    .kind = FACT_TABLE, .type = kind, .name = xstrdup(map), .key = str_dup(key)};

	return fact_find(j, &q);
}

const struct fact *
judge_route(struct judge *j, struct str address)
{
	struct fact_question q = {.kind = FACT_ROUTE, .name = str_dup(address)};

	return fact_find(j, &q);
}

const struct fact *
judge_policy(struct judge *j, unsigned server, struct str request)
{
	struct fact_question q = {.kind = FACT_POLICY, .type = server, .name = str_dup(request)};

	return fact_find(j, &q);
}

const struct fact *
judge_grey(struct judge *j)
{
	struct fact_question q = {.kind = FACT_GREY, .name = xstrdup(j->who.rcpt)};

	return fact_find(j, &q);
}

const struct fact *
judge_verified(struct judge *j, struct str address)
{
	struct fact_question q = {.kind = FACT_VERIFY, .name = str_dup(address)};

	return fact_find(j, &q);
}

bool
judge_slept(struct judge *j, unsigned number, int64_t ms)
{
	struct fact_question q = {.kind = FACT_SLEEP, .type = number, .ms = ms};

	return fact_find(j, &q) != NULL;
}

/* --- questions --- */

void
judge_question_drop(struct judge *j)
{
	if (j->ch != NULL)
		chan_forget(j->ch, j->request);
	j->ch = NULL;
	j->request = 0;
	policy_cancel(&j->policy);
	verify_cancel(&j->verify);
	fact_free(&j->answer);
	if (j->timed)
		evtimer_del(&j->ev_timer);
}

/* The question is answered by `f`, or by nobody: on with the run. */
static void
on_fact(struct judge *j, struct fact *f)
{
	j->ch = NULL;
	j->request = 0;
	if (j->timed)
		evtimer_del(&j->ev_timer);
	j->answer = NULL;
	fact_keep(j, f);
	judge_run_on(j);
}

static void
on_no_fact(struct judge *j, const char *text)
{
	struct fact *f = fact_new();

	fact_free(&j->answer);
	f->failed = true;
	f->status = DNS_FAILED;
	why_temp(&f->why, "4.3.0", "%s", text);
	on_fact(j, f);
}

static void
on_verified(void *arg, enum verify_status status, const char *text)
{
	struct judge *j = arg;
	struct fact *f = fact_new();

	j->verify = NULL;
	f->failed = text == NULL;
	f->verified = status;
	free(f->text);
	f->text = xstrdup(text != NULL ? text : "");
	on_fact(j, f);
}

static void
judge_expired(struct judge *j)
{
	if (j->starting) {
		j->starting = false;
		judge_run_on(j);
		return;
	}
	if (j->want.kind == FACT_SLEEP) {
		on_fact(j, fact_new());
		return;
	}
	struct fact_question want = j->want;
	j->want = (struct fact_question){0};
	judge_question_drop(j);
	j->want = want;
	if (want.kind == FACT_POLICY)
		on_no_fact(j, "policy server: no answer in time");
	else if (want.kind == FACT_VERIFY)
		on_verified(j, VERIFY_UNKNOWN, "Address verification in progress");
	else
		on_no_fact(j, "no answer in time");
}

static void
on_session_expired(struct session *s)
{
	judge_expired(s->judge);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	judge_expired(arg);
}

void
judge_wait(struct judge *j, int64_t ms)
{
	if (j->s != NULL) {
		session_wait(j->s, ms, on_session_expired);
		return;
	}
	struct timeval tv = clock_tv(ms);
	if (!j->timed)
		evtimer_assign(&j->ev_timer, j->server->loop->base, on_timer, j);
	j->timed = true;
	if (evtimer_add(&j->ev_timer, &tv) == -1)
		fatal("judge: no timer");
}

static void
on_dns(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct judge *j = arg;
	struct fact *f = j->answer;

	if (msg != NULL && head->type == MSG_DNS_RECORD) {
		if (msg->dns_record.type == j->want.type)
			fact_add(f, (unsigned)msg->dns_record.preference, msg->dns_record.data);
		return;
	}
	if (msg == NULL || head->type != MSG_DNS_ANSWER) {
		on_no_fact(j, "the resolver does not answer");
		return;
	}
	f->status = (enum dns_status)msg->dns_answer.status;
	f->failed = f->status == DNS_FAILED;
	if (f->failed)
		why_temp(&f->why, "4.4.3", "%.*s", STR_ARG(msg->dns_answer.text));
	on_fact(j, f);
}

static void
on_router(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct judge *j = arg;
	struct fact *f = j->answer;

	if (msg == NULL || (head->type != MSG_FOUND && head->type != MSG_ROUTE)) {
		char text[400] = "router does not answer";
		if (msg != NULL && head->type == MSG_REFUSED)
			snprintf(text, sizeof text, "%.*s", STR_ARG(msg->refused.text));
		on_no_fact(j, text);
		return;
	}
	free(f->text);
	if (head->type == MSG_FOUND) {
		f->found = msg->found.found != 0;
		f->text = str_dup(msg->found.value);
	} else {
		f->known = msg->route.verdict == ROUTE_OK;
		f->class = (unsigned)msg->route.class;
		f->text = str_dup(msg->route.text);
		f->code = str_dup(msg->route.code.n > 0 ? msg->route.code : STR("5.1.0"));
	}
	on_fact(j, f);
}

/* As on_no_fact(), before anybody was asked. */
static bool
no_fact_now(struct judge *j, const char *text)
{
	struct fact *f = fact_new();

	fact_free(&j->answer);
	f->failed = true;
	f->status = DNS_FAILED;
	why_temp(&f->why, "4.3.0", "%s", text);
	fact_keep(j, f);
	return true;
}

/* From policy.c; `action` NULL: there is no answer, `text` says why. */
static void
on_policy(void *arg, const char *action, const char *text)
{
	struct judge *j = arg;
	struct fact *f = fact_new();

	j->policy = NULL;
	f->failed = action == NULL;
	free(f->text);
	f->text = xstrdup(action != NULL ? action : "");
	if (action == NULL)
		why_temp(&f->why, "4.3.5", "%s", text);
	fact_free(&j->answer);
	on_fact(j, f);
}

static void
on_grey(struct session *s, const struct why *why)
{
	struct judge *j = s->judge;
	struct fact *f = fact_new();

	f->refused = why != NULL;
	if (why != NULL)
		f->why = *why;
	fact_free(&j->answer);
	if (!j->asking) {
		on_fact(j, f);
		return;
	}
	fact_keep(j, f);
	j->answered = true;
}

static bool
ask_chan(struct judge *j, enum program p, enum msg_type type, const void *msg, chan_reply_fn *fn)
{
	struct chan *ch = service_peer(j->server->service, p, map_hash(str_from(j->want.name)));

	j->answer = fact_new();
	j->request = ch != NULL ? chan_call(ch, j->trace, type, msg, fn, j) : 0;
	j->ch = j->request != 0 ? ch : NULL;
	if (j->request == 0)
		return no_fact_now(j, "nobody to ask");
	judge_wait(j, j->server->conf->smtpd_service_timeout);
	return false;
}

static bool
ask_grey(struct judge *j)
{
	if (j->s == NULL) { /* a test leaves no trace in limiter */
		fact_keep(j, fact_new());
		return true;
	}
	j->asking = true;
	j->answered = false;
	greylist_ask(j->s, str_from(j->want.name), on_grey);
	j->asking = false;
	return j->answered;
}

/* The probe's result ends the wait; what a test would begin it only looks at. */
static bool
ask_verify(struct judge *j)
{
	int64_t patience = verify_patience(j->server);
	enum verify_mode mode = j->s == NULL    ? VERIFY_PEEK
				: patience == 0 ? VERIFY_NOW
						: VERIFY_WAIT;

	j->verify = verify_ask(j->server->restrictions->verifier, j->trace, str_from(j->want.name),
	    mode, on_verified, j);
	if (j->verify == NULL)
		return no_fact_now(j, "nobody to ask");
	judge_wait(j, mode == VERIFY_WAIT ? patience : j->server->conf->smtpd_limiter_timeout);
	return false;
}

bool
judge_ask(struct judge *j)
{
	struct fact_question *q = &j->want;

	if (j->facts != NULL && map_count(j->facts) > FACTS_MAX)
		return no_fact_now(j, "too many questions for one transaction");
	switch (q->kind) {
	case FACT_DNS: {
		struct msg_dns_query msg = {.name = str_from(q->name), .type = q->type};
		return ask_chan(j, PROGRAM_RESOLVER, MSG_DNS_QUERY, &msg, on_dns);
	}
	case FACT_TABLE: {
		struct msg_access msg = {
		    .map = str_from(q->name), .kind = q->type, .key = str_from(q->key)};
		return ask_chan(j, PROGRAM_ROUTER, MSG_ACCESS, &msg, on_router);
	}
	case FACT_ROUTE: {
		struct msg_resolve msg = {.address = str_from(q->name), .sender = STR_EMPTY};
		return ask_chan(j, PROGRAM_ROUTER, MSG_RESOLVE, &msg, on_router);
	}
	case FACT_POLICY:
		judge_wait(j, policy_patience(j->server->restrictions->policy, q->type));
		j->policy = policy_ask(
		    j->server->restrictions->policy, q->type, str_from(q->name), on_policy, j);
		return false;
	case FACT_GREY:
		return ask_grey(j);
	case FACT_VERIFY:
		return ask_verify(j);
	case FACT_SLEEP:
		if (j->s != NULL)
			judge_wait(j, q->ms);
		else
			fact_keep(j, fact_new());
		return j->s == NULL;
	}
	panic("judge: fact");
}
