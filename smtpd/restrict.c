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

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/conf/override.h"
#include "smtpd/command.h"
#include "smtpd/edits.h"
#include "smtpd/gates.h"
#include "smtpd/judge.h"
#include "smtpd/policy.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"
#include "smtpd/tls.h"
#include "smtpd/verify.h"

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

/* The sender of our address probes, at home here: those who verify it must find it. */
static bool
to_prober(struct judge *j)
{
	unsigned class = j->who.route != NULL ? j->who.route->class : CLASS_NONE;

	if (class == CLASS_NONE || class == CLASS_REMOTE ||
	    !verify_is_prober(j->server->restrictions->verifier, str_from(j->who.route->address)))
		return false;
	if (j->explain != NULL)
		(void)!buf_printf(j->explain,
		    "address_verify_sender: %s: no restriction is asked\n", j->who.rcpt);
	return true;
}

static enum verdict
judge_rcpt(struct judge *j)
{
	static const enum access_stage early[] = {AT_CLIENT, AT_HELO, AT_SENDER};
	const struct smtpd_conf *conf = j->server->conf;
	bool first = conf->smtpd_relay_before_recipient_restrictions;
	const enum access_stage late[] = {first ? AT_RELAY : AT_RCPT, first ? AT_RCPT : AT_RELAY};
	enum verdict v = VERDICT_DUNNO;

	if (to_prober(j))
		return judge_unlisted_rcpt(j);
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
	judge_effects_clear(j);
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

/* --- the gate --- */

static void
judge_clear(struct judge *j)
{
	judge_question_drop(j);
	judge_effects_clear(j);
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

static void
conclude(struct judge *j, enum verdict v, struct why *why)
{
	bool done = judge_effects_do(j);

	*why = (struct why){0};
	if (v == VERDICT_REJECT)
		*why = j->why;
	else if (!done)
		why_temp(why, "4.3.0", "Error: too many changes to one message");
}

void
judge_run_on(struct judge *j)
{
	struct session *s = j->s;
	struct why why;

	if (s != NULL && s->state == ST_CLOSING) {
		judge_free(&s->judge);
		return;
	}
	enum verdict v = judge_run(j);
	while (v == VERDICT_WAIT) {
		if (!judge_ask(j))
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
		if (!judge_ask(j))
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

	*j = (struct judge){
	    .server = server,
	    .stage = stage,
	    .who = *who,
	    .own_facts = true,
	    .explain = explanation,
	    .done = done,
	    .done_arg = arg,
	};
	j->starting = true;
	judge_wait(j, 0); /* from the loop, so that nothing is done before this call returns */
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
	r->verifier = verifier_new(server);
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
	verifier_free(&r->verifier);
	free(r);
}
