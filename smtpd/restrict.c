/* SPDX-License-Identifier: ISC */
/*
 * Runs restriction lists: which lists at which stage, the order of rules, what is put off to the
 * end, and the questions between two runs. The default lists cost a client nothing but the walk: no
 * allocation and no question.
 *
 * Invariant: a judge on the heap belongs to its session (s->judge) or to the server's tests, has
 * one question under way, and goes with its owner.
 */
#include "smtpd/restrict.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf/override.h"
#include "lib/base/attr.h"
#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/service/service.h"
#include "smtpd/command.h"
#include "smtpd/edits.h"
#include "smtpd/gates.h"
#include "smtpd/greylist.h"
#include "smtpd/judge.h"
#include "smtpd/policy.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/tls.h"

enum { FACTS_MAX = 2000, EFFECTS_MAX = 100, WARNED_MAX = 256, WARN_AGAIN_MS = 600 * 1000 };

static void run_on(struct judge *j);

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

bool
judge_slept(struct judge *j, unsigned number, int64_t ms)
{
	struct fact_question q = {.kind = FACT_SLEEP, .type = number, .ms = ms};

	return fact_find(j, &q) != NULL;
}

/* --- answers of restrictions --- */

static void fill(struct why *why, int smtp, const char *code, const char *fmt, va_list ap)
    KP_PRINTF(4, 0);

static void
fill(struct why *why, int smtp, const char *code, const char *fmt, va_list ap)
{
	char text[sizeof why->text], digits[24];
	char first = (char)('0' + (smtp / 100) % 10);

	vsnprintf(text, sizeof text, fmt, ap);
	snprintf(digits, sizeof digits, "%c%s", first, code[0] != '\0' ? code + 1 : ".7.1");
	if (smtp >= 500)
		why_perm(why, digits, "%s", text);
	else
		why_temp(why, digits, "%s", text);
	why->smtp = smtp;
}

enum verdict
judge_refuse(struct judge *j, int smtp, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(&j->why, smtp, code, fmt, ap);
	va_end(ap);
	if (j->why.class == WHY_PERM && j->defer_if_reject.class != WHY_NONE)
		j->why = j->defer_if_reject;
	if (!j->warn)
		return VERDICT_REJECT;
	char text[sizeof j->why.text + 32];
	snprintf(text, sizeof text, "%d %s %s", j->why.smtp, j->why.code, j->why.text);
	judge_effect(j, "reject_warning", str_from(text), EDIT_NONE, STR_EMPTY, STR_EMPTY);
	return VERDICT_DUNNO;
}

void
judge_defer_if_permit(struct judge *j, int smtp, const char *code, const char *fmt, ...)
{
	struct why why;
	va_list ap;

	va_start(ap, fmt);
	fill(&why, smtp, code, fmt, ap);
	va_end(ap);
	if (j->warn || j->defer_if_permit.class != WHY_NONE)
		return;
	j->defer_if_permit = why;
}

void
judge_defer_if_reject(struct judge *j, int smtp, const char *code, const char *fmt, ...)
{
	struct why why;
	va_list ap;

	va_start(ap, fmt);
	fill(&why, smtp, code, fmt, ap);
	va_end(ap);
	if (j->warn || j->defer_if_reject.class != WHY_NONE)
		return;
	j->defer_if_reject = why;
}

enum verdict
judge_broken(struct judge *j, const char *what)
{
	char room[400];
	struct reply_about about = judge_about(j, room, sizeof room);

	judge_effect(j, "warning", str_from(what), EDIT_NONE, STR_EMPTY, STR_EMPTY);
	return judge_refuse(j, 451, "4.3.5", "<%s>: %s rejected: Server configuration error",
	    about.name, about.class);
}

void
judge_effect(struct judge *j, const char *log, struct str text, enum mail_edit edit,
    struct str name, struct str value)
{
	if (j->neffects == EFFECTS_MAX)
		return;
	j->effects = xrealloc(j->effects, size_mul(j->neffects + 1, sizeof *j->effects));
	j->effects[j->neffects++] = (struct effect){
	    .log = log,
	    .text = str_dup(text),
	    .edit = edit,
	    .name = str_dup(name),
	    .value = str_dup(value),
	};
}

static void
effects_clear(struct judge *j)
{
	for (size_t i = 0; i < j->neffects; i++) {
		free(j->effects[i].text);
		free(j->effects[i].name);
		free(j->effects[i].value);
	}
	free(j->effects);
	j->effects = NULL;
	j->neffects = 0;
}

static void
effect_log(const struct judge *j, const struct effect *e)
{
	const struct session *s = j->s;
	struct ev_reject ev = {
	    .queue_id = STR_EMPTY,
	    .action = str_from(e->log),
	    .stage = str_from(j->who.protocol_state),
	    .client_name = str_from(j->who.client_name),
	    .client_addr = str_from(j->who.client_addr),
	    .reply = str_from(e->text),
	    .sender = j->who.sender != NULL ? addr_text(j->who.sender) : STR_EMPTY,
	    .recipient = str_from(j->who.rcpt),
	    .proto = session_proto(s),
	    .helo = str_from(j->who.helo),
	};

	log_event(j->trace, EV_REJECT, &ev);
}

/* A fault that each mail meets is a line now and then, not one for each. */
static void
warn_once(struct restrictions *r, struct str text)
{
	int64_t now = clock_ms(), *when = map_get(r->warned, text);

	if (when == NULL && map_count(r->warned) >= WARNED_MAX) {
		map_free(&r->warned, free);
		r->warned = map_new();
	}
	if (when == NULL) {
		when = xmalloc(sizeof *when);
		*when = now - WARN_AGAIN_MS;
		map_put(r->warned, text, when);
	}
	if (now - *when < WARN_AGAIN_MS)
		return;
	*when = now;
	log_warning("%.*s", STR_ARG(text));
}

/* Carries out what the run has noted; false where the message has too many changes. */
static bool
effects_do(struct judge *j)
{
	bool done = true;

	for (size_t i = 0; i < j->neffects; i++) {
		const struct effect *e = &j->effects[i];
		if (j->s == NULL) { /* a test changes nothing */
			if (j->explain != NULL && e->log != NULL)
				(void)!buf_printf(j->explain, "effect: %s: %s\n", e->log, e->text);
			continue;
		}
		if (e->log != NULL && strcmp(e->log, "warning") == 0)
			warn_once(j->server->restrictions, str_from(e->text));
		else if (e->log != NULL)
			effect_log(j, e);
		if (e->edit != EDIT_NONE && j->s->tx != NULL)
			done =
			    edits_add(j->s->tx, e->edit, str_from(e->name), str_from(e->value)) &&
			    done;
	}
	return done;
}

/* --- lists --- */

static const char *
verdict_text(struct judge *j, enum verdict v, char *out, size_t size)
{
	switch (v) {
	case VERDICT_DUNNO:
		return "no opinion";
	case VERDICT_OK:
		return "lets it pass";
	case VERDICT_REJECT:
		snprintf(out, size, "%d %s %s", j->why.smtp, j->why.code, j->why.text);
		return out;
	case VERDICT_WAIT:
		return "?";
	}
	panic("judge: verdict");
}

static void
explain(struct judge *j, const struct access_rule *rule, enum verdict v)
{
	char text[sizeof j->why.text + 32];

	if (j->explain == NULL || v == VERDICT_WAIT || rule->id == RULE_GROUP)
		return;
	(void)!buf_printf(j->explain, "%s: %s%s: %s\n", access_stage_setting(j->at),
	    rule->warn ? "warn_if_reject " : "", rule->text, verdict_text(j, v, text, sizeof text));
}

static bool
has_need(const struct judge *j, enum rule_need need)
{
	switch (need) {
	case NEED_NOTHING:
		return true;
	case NEED_HELO:
		return j->who.helo != NULL;
	case NEED_SENDER:
		return j->who.sender != NULL;
	case NEED_RCPT:
		return j->who.rcpt != NULL;
	case NEED_TLS:
		return j->who.tls;
	case NEED_LOGIN:
		return j->who.login != NULL;
	case NEED_ETRN:
		return j->who.etrn != NULL;
	}
	panic("judge: need");
}

enum verdict
judge_list(struct judge *j, const struct access_rules_list *list, enum access_stage at)
{
	enum { DEPTH_MAX = 20 };
	enum access_stage before = j->at;
	enum verdict v = VERDICT_DUNNO;

	if (j->depth == DEPTH_MAX)
		return judge_broken(j, "restriction lists within lists too deep");
	j->depth++;
	j->at = at;
	for (size_t i = 0; i < list->n && v == VERDICT_DUNNO; i++) {
		const struct access_rule *rule = &list->rules[i];
		bool warn = j->warn;
		j->warn = warn || rule->warn;
		if (rule->id == RULE_GROUP)
			v = judge_list(j, &rule->group, at);
		else if (has_need(j, access_rules[rule->id].need))
			v = rule_function(rule->id)(j, rule);
		explain(j, rule, v);
		j->warn = warn;
	}
	j->at = before;
	j->depth--;
	return v;
}

/* A list at its stage; permission to go on is all that OK means. */
static enum verdict
ask_list(struct judge *j, enum access_stage at)
{
	const struct access_rules_list *list = &j->server->restrictions->at[at];
	enum verdict v = list->n > 0 ? judge_list(j, list, at) : VERDICT_DUNNO;

	return v == VERDICT_OK ? VERDICT_DUNNO : v;
}

static enum verdict
ask_lists(struct judge *j, const enum access_stage *lists, size_t n)
{
	enum verdict v = VERDICT_DUNNO;

	for (size_t i = 0; i < n && v == VERDICT_DUNNO; i++)
		v = ask_list(j, lists[i]);
	return v;
}

static enum verdict
end_deferred(struct judge *j, enum verdict v)
{
	if (v != VERDICT_DUNNO || j->defer_if_permit.class == WHY_NONE)
		return v;
	j->why = j->defer_if_permit;
	return VERDICT_REJECT;
}

static enum verdict
judge_rcpt(struct judge *j)
{
	static const enum access_stage early[] = {AT_CLIENT, AT_HELO, AT_SENDER};
	const struct smtpd_conf *conf = j->server->conf;
	bool first = conf->smtpd_relay_before_recipient_restrictions;
	const enum access_stage late[] = {first ? AT_RELAY : AT_RCPT, first ? AT_RCPT : AT_RELAY};
	enum verdict v = VERDICT_DUNNO;

	if (conf->smtpd_delay_reject)
		v = ask_lists(j, early, NELEM(early));
	if (v == VERDICT_DUNNO)
		v = ask_lists(j, late, NELEM(late));
	v = end_deferred(j, v);
	j->at = AT_RCPT;
	if (v == VERDICT_DUNNO && conf->smtpd_reject_unlisted_sender && j->who.sender != NULL)
		v = judge_unlisted_sender(j);
	if (v == VERDICT_DUNNO && conf->smtpd_reject_unlisted_recipient &&
	    (j->server->overrides & OVERRIDE_UNKNOWN) == 0 && !j->listed)
		v = judge_unlisted_rcpt(j);
	return v;
}

static enum verdict
judge_run(struct judge *j)
{
	static const enum access_stage etrn[] = {AT_CLIENT, AT_HELO, AT_ETRN};
	bool delay = j->server->conf->smtpd_delay_reject;

	j->why = j->defer_if_permit = j->defer_if_reject = (struct why){0};
	j->warn = j->listed = false;
	j->sleeps = 0;
	effects_clear(j);
	if (j->explain != NULL)
		buf_reset(j->explain);
	switch (j->stage) {
	case STAGE_CONNECT:
		return delay ? VERDICT_DUNNO : end_deferred(j, ask_list(j, AT_CLIENT));
	case STAGE_HELO:
		return delay ? VERDICT_DUNNO : end_deferred(j, ask_list(j, AT_HELO));
	case STAGE_MAIL:
		return delay ? VERDICT_DUNNO : end_deferred(j, ask_list(j, AT_SENDER));
	case STAGE_RCPT:
	case STAGE_VRFY:
		return judge_rcpt(j);
	case STAGE_DATA:
		return end_deferred(j, ask_list(j, AT_DATA));
	case STAGE_CONTENT:
		return end_deferred(j, ask_list(j, AT_END_OF_DATA));
	case STAGE_ETRN:
		return end_deferred(
		    j, delay ? ask_lists(j, etrn, NELEM(etrn)) : ask_list(j, AT_ETRN));
	case STAGE_STARTTLS:
	case STAGE_AUTH:
		return VERDICT_DUNNO;
	}
	panic("judge: stage");
}

/* --- questions --- */

static void
question_drop(struct judge *j)
{
	if (j->ch != NULL)
		chan_forget(j->ch, j->request);
	j->ch = NULL;
	j->request = 0;
	policy_cancel(&j->policy);
	fact_free(&j->answer);
	if (j->timed)
		evtimer_del(&j->ev_timer);
}

static void
judge_clear(struct judge *j)
{
	question_drop(j);
	effects_clear(j);
	fact_question_clear(&j->want);
	if (j->own_facts)
		map_free(&j->facts, fact_free_value);
	map_free(&j->moments, fact_free_value);
}

void
judge_free(struct judge **jp)
{
	struct judge *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	judge_clear(j);
	free(j);
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
	run_on(j);
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
judge_expired(struct judge *j)
{
	if (j->starting) {
		j->starting = false;
		run_on(j);
		return;
	}
	if (j->want.kind == FACT_SLEEP) {
		on_fact(j, fact_new());
		return;
	}
	struct fact_question want = j->want;
	j->want = (struct fact_question){0};
	question_drop(j);
	j->want = want;
	if (want.kind == FACT_POLICY)
		on_no_fact(j, "policy server: no answer in time");
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

static void
wait_for(struct judge *j, int64_t ms)
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
	wait_for(j, j->server->conf->smtpd_service_timeout);
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

/* Puts the question that is wanted; true where the answer is there already. */
static bool
ask(struct judge *j)
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
		wait_for(j, policy_patience(j->server->restrictions->policy, q->type));
		j->policy = policy_ask(
		    j->server->restrictions->policy, q->type, str_from(q->name), on_policy, j);
		return false;
	case FACT_GREY:
		return ask_grey(j);
	case FACT_SLEEP:
		if (j->s != NULL)
			wait_for(j, q->ms);
		else
			fact_keep(j, fact_new());
		return j->s == NULL;
	}
	panic("judge: fact");
}

/* --- the gate --- */

static void
conclude(struct judge *j, enum verdict v, struct why *why)
{
	bool done = effects_do(j);

	*why = (struct why){0};
	if (v == VERDICT_REJECT)
		*why = j->why;
	else if (!done)
		why_temp(why, "4.3.0", "Error: too many changes to one message");
}

/* A judge on the heap runs again, and either asks again or is done. */
static void
run_on(struct judge *j)
{
	struct session *s = j->s;
	struct why why;

	if (s != NULL && s->state == ST_CLOSING) {
		judge_free(&s->judge);
		return;
	}
	enum verdict v = judge_run(j);
	while (v == VERDICT_WAIT) {
		if (!ask(j))
			return;
		v = judge_run(j);
	}
	conclude(j, v, &why);
	if (s == NULL) {
		void (*done)(void *, const struct why *) = j->done;
		void *arg = j->done_arg;
		judge_free(&j);
		done(arg, why.class != WHY_NONE ? &why : NULL);
		return;
	}
	judge_free(&s->judge);
	stage_go_on(s, why.class != WHY_NONE ? &why : NULL);
}

static void
subject_tls(struct subject *who, const struct session *s)
{
	const struct tls_facts *tls = smtpd_tls_facts(s);

	if (tls == NULL)
		return;
	who->tls = true;
	who->tls_protocol = tls->protocol;
	who->tls_cipher = tls->cipher;
	who->tls_bits = tls->bits > 0 ? (unsigned)tls->bits : 0;
	if (!tls->certificate)
		return;
	who->verified = tls->trusted;
	who->fingerprint = tls->fingerprint;
	who->pubkey_fingerprint = tls->key_fingerprint;
	who->cert_subject = tls->subject;
	who->cert_issuer = tls->issuer;
}

static void
subject_of(struct subject *who, const struct session *s, enum stage stage)
{
	const struct transaction *tx = s->tx;

	*who = (struct subject){
	    .client_name = s->client_name,
	    .client_addr = s->client_addr,
	    .client_port = s->client_port,
	    .trusted = s->trusted,
	    .helo = s->helo,
	    .login = s->login,
	    .sasl_method = s->sasl_method,
	    .esmtp = s->esmtp,
	    .pipelined = s->pipelined,
	    .protocol_state = stage == STAGE_CONNECT   ? "CONNECT"
			      : stage == STAGE_CONTENT ? "END-OF-MESSAGE"
			      : s->command != NULL     ? s->command->verb
						       : "",
	};
	snprintf(
	    who->instance, sizeof who->instance, "%llx.%u", (unsigned long long)s->trace, s->mails);
	subject_tls(who, s);
	if (stage == STAGE_ETRN)
		who->etrn = s->verify;
	if (stage == STAGE_VRFY) {
		who->rcpt = s->verify;
		who->route = s->verify_route;
	}
	if (tx == NULL)
		return;
	who->sender = &tx->sender;
	who->size = stage == STAGE_CONTENT ? tx->size : tx->announced;
	who->nrcpts = tx->nrcpts;
	if (stage == STAGE_RCPT) {
		who->rcpt = tx->pending.original;
		who->route = tx->pending.route;
	} else if (tx->nrcpts == 1 && (stage == STAGE_DATA || stage == STAGE_CONTENT)) {
		who->rcpt = tx->rcpts[0].original != NULL ? tx->rcpts[0].original
							  : tx->rcpts[0].route->address;
		who->route = tx->rcpts[0].route;
	}
}

static enum gate_answer
gate_ask(struct session *s, enum stage stage, struct why *why)
{
	struct judge first = {.server = s->server, .s = s, .trace = s->trace, .stage = stage};
	struct judge *j = &first;

	s->mails += stage == STAGE_MAIL;
	subject_of(&j->who, s, stage);
	j->own_facts = s->tx == NULL;
	j->facts = s->tx != NULL ? s->tx->facts : NULL;
	enum verdict v = judge_run(j);
	while (v == VERDICT_WAIT) {
		if (s->judge == NULL) {
			s->judge = j = xmalloc(sizeof *j);
			*j = first;
		}
		if (!ask(j))
			return GATE_WAIT;
		v = judge_run(j);
	}
	conclude(j, v, why);
	judge_clear(j);
	if (s->judge != NULL)
		free(s->judge);
	s->judge = NULL;
	return why->class != WHY_NONE ? GATE_REFUSE : GATE_PASS;
}

static void
gate_drop(struct session *s)
{
	judge_free(&s->judge);
}

static void
gate_drop_mail(struct transaction *tx)
{
	map_free(&tx->facts, fact_free_value);
	edits_free(tx);
}

const struct gate gate_restrict = {
    .name = "restrictions",
    .stages = STAGE_CONNECT | STAGE_HELO | STAGE_MAIL | STAGE_RCPT | STAGE_DATA | STAGE_CONTENT |
	      STAGE_VRFY | STAGE_ETRN,
    .ask = gate_ask,
    .drop = gate_drop,
    .drop_mail = gate_drop_mail,
};

/* --- tests --- */

struct judge *
judge_test(struct server *server, const struct subject *who, enum stage stage,
    struct buf *explanation, void (*done)(void *arg, const struct why *why), void *arg)
{
	struct judge *j = xcalloc(1, sizeof *j);
	struct timeval now = {0};

	*j = (struct judge){
	    .server = server,
	    .stage = stage,
	    .who = *who,
	    .own_facts = true,
	    .explain = explanation,
	    .done = done,
	    .done_arg = arg,
	};
	/* from the loop, so that nothing is done before this call returns */
	evtimer_assign(&j->ev_timer, server->loop->base, on_timer, j);
	j->timed = true;
	j->starting = true;
	if (evtimer_add(&j->ev_timer, &now) == -1)
		fatal("judge: no timer");
	return j;
}

/* --- the server --- */

/* A policy server that a list names has its place from the start. */
static void
find_servers(struct policy *p, const struct access_rules_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->rules[i].id == RULE_POLICY)
			(void)policy_server(p, &list->rules[i]);
		find_servers(p, &list->rules[i].group);
	}
}

int
restrict_start(struct server *server, struct why *why)
{
	const struct smtpd_conf *conf = server->conf;
	const struct setting_list *lists[AT_COUNT] = {
	    [AT_CLIENT] = &conf->smtpd_client_restrictions,
	    [AT_HELO] = &conf->smtpd_helo_restrictions,
	    [AT_SENDER] = &conf->smtpd_sender_restrictions,
	    [AT_RELAY] = &conf->smtpd_relay_restrictions,
	    [AT_RCPT] = &conf->smtpd_recipient_restrictions,
	    [AT_DATA] = &conf->smtpd_data_restrictions,
	    [AT_END_OF_DATA] = &conf->smtpd_end_of_data_restrictions,
	    [AT_ETRN] = &conf->smtpd_etrn_restrictions,
	};
	struct restrictions *r = xcalloc(1, sizeof *r);
	struct why inner;

	server->restrictions = r;
	TAILQ_INIT(&r->trials);
	r->policy = policy_new(server);
	r->warned = map_new();
	if (networks_parse(&r->backup, &conf->permit_mx_backup_networks, why) == -1)
		return -1;
	for (enum access_stage at = AT_CLIENT; at < AT_COUNT; at++) {
		if (access_list_parse(
			&r->at[at], lists[at], at, &conf->smtpd_restriction_classes, &inner) == -1)
			return why_perm(why, NULL, "%s: %s", access_stage_setting(at), inner.text);
		find_servers(r->policy, &r->at[at]);
	}
	return 0;
}

void
restrict_stop(struct server *server)
{
	struct restrictions *r = server->restrictions;

	if (r == NULL)
		return;
	restrict_explain_drop(server, NULL);
	server->restrictions = NULL;
	map_free(&r->warned, free);
	for (size_t i = 0; i < AT_COUNT; i++)
		access_list_clear(&r->at[i]);
	networks_clear(&r->backup);
	policy_free(&r->policy);
	free(r);
}
