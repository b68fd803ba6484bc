/* SPDX-License-Identifier: ISC */
/*
 * Lists in DNS: of addresses (reject_rbl_client) and of names (reject_rhsbl_*), and those that
 * vouch for clients (permit_dnswl_client). A list that does not answer has no opinion; for one that
 * would vouch, a refusal later on becomes a temporary one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/conf/setting.h"
#include "lib/mail/address.h"
#include "lib/mail/dnsbl.h"
#include "lib/mail/template.h"
#include "smtpd/judge.h"

enum { REPLY_MAX = 510 };

/* What is looked up where. */
struct listing {
	struct dnsbl list;
	const char *what;  /* the address or name */
	const char *class; /* "Client host" */
	char name[2 * ADDR_DOMAIN_MAX];
};

/* --- the reply --- */

/* What the texts of replies may name. */
struct reply_names {
	const struct judge *j;
	const struct listing *l;
	const char *reason;
};

static const char *
reply_value(void *arg, struct str name, char *room, size_t size)
{
	const struct reply_names *names = arg;
	const struct judge *j = names->j;
	const struct listing *l = names->l;
	const struct smtpd_conf *conf = j->server->conf;

	if (str_is(name, "rbl_code"))
		snprintf(room, size, "%d", (int)conf->maps_rbl_reject_code);
	else if (str_is(name, "rbl_class"))
		snprintf(room, size, "%s", l->class);
	else if (str_is(name, "rbl_what"))
		snprintf(room, size, "%s", l->what);
	else if (str_is(name, "rbl_domain"))
		snprintf(room, size, "%s", l->list.zone);
	else if (str_is(name, "rbl_reason") || str_is(name, "rbl_txt"))
		snprintf(room, size, "%s", names->reason);
	else if (str_is(name, "client"))
		judge_client(j, room, size);
	else if (str_is(name, "client_address"))
		snprintf(room, size, "%s", j->who.client_addr);
	else if (str_is(name, "client_name"))
		snprintf(room, size, "%s", j->who.client_name);
	else if (str_is(name, "helo_name"))
		snprintf(room, size, "%s", j->who.helo != NULL ? j->who.helo : "");
	else if (str_is(name, "recipient"))
		snprintf(room, size, "%s", j->who.rcpt != NULL ? j->who.rcpt : "");
	else if (str_is(name, "sender"))
		snprintf(room, size, "%s", j->who.sender != NULL ? j->who.sender->text : "");
	else
		room[0] = '\0';
	return room;
}

/* The list's own template, from rbl_reply_maps. */
static enum verdict
find_template(
    struct judge *j, const struct access_rule *rule, const struct listing *l, struct str *template)
{
	const struct setting_list *maps = &j->server->conf->rbl_reply_maps;

	*template = str_from(j->server->conf->default_rbl_reply);
	for (size_t i = 0; i < maps->n; i++) {
		struct str keys[] = {str_from(rule->arg), str_from(l->list.zone)};
		for (size_t k = 0; k < NELEM(keys); k++) {
			const struct fact *f =
			    judge_table(j, maps->items[i], ACCESS_EXACT, keys[k]);
			if (f == NULL)
				return VERDICT_WAIT;
			if (f->failed)
				return judge_broken(j, f->why.text);
			if (!f->found)
				continue;
			*template = str_from(f->text);
			return VERDICT_OK;
		}
	}
	return VERDICT_OK;
}

/* "554 5.7.1 text", from the template. */
static enum verdict
refuse_listed(struct judge *j, const struct access_rule *rule, const struct listing *l)
{
	const struct fact *txt = judge_dns(j, TYPE_TXT, l->name);
	struct str template;
	struct buf reply;

	if (txt == NULL)
		return VERDICT_WAIT;
	enum verdict v = find_template(j, rule, l, &template);
	if (v != VERDICT_OK)
		return v;
	char *reason = txt->n > 0 ? str_dup(txt->records[0].data) : xstrdup("");
	struct reply_names names = {j, l, reason};
	buf_init(&reply, REPLY_MAX);
	template_expand(template, reply_value, &names, &reply);
	free(reason);
	char *text = buf_steal(&reply);
	struct action a = action_parse(str_from(text));
	char code[16] = "";
	if (a.kind == ACTION_REPLY) {
		if (a.code.n > 0)
			(void)str_copy(code, sizeof code, a.code);
		v = judge_refuse(
		    j, a.smtp, code[0] != '\0' ? code : "5.7.1", "%.*s", STR_ARG(a.text));
	} else {
		v = judge_refuse(
		    j, (int)j->server->conf->maps_rbl_reject_code, "5.7.1", "%s", text);
	}
	free(text);
	return v;
}

/* --- looking up --- */

/* Whether the list has it: OK yes, DUNNO no. */
static enum verdict
listed(struct judge *j, const struct listing *l, bool *unsure)
{
	const struct fact *f = judge_dns(j, TYPE_A, l->name);

	if (f == NULL)
		return VERDICT_WAIT;
	*unsure = f->failed;
	for (size_t i = 0; i < f->n; i++)
		if (dnsbl_hit(&l->list, f->records[i].data))
			return VERDICT_OK;
	return VERDICT_DUNNO;
}

static enum verdict
act_on(struct judge *j, const struct access_rule *rule, const struct listing *l, bool permit)
{
	bool unsure = false;
	enum verdict v = listed(j, l, &unsure);

	if (v == VERDICT_WAIT)
		return v;
	if (permit && unsure)
		judge_defer_if_reject(j, 450, "4.7.1",
		    "<%s>: %s rejected: the allow list %s does not answer", l->what, l->class,
		    l->list.zone);
	if (v != VERDICT_OK || permit)
		return v;
	return refuse_listed(j, rule, l);
}

static enum verdict
act_on_address(struct judge *j, const struct access_rule *rule, bool permit)
{
	struct listing l = {.what = j->who.client_addr, .class = "Client host"};
	enum verdict v = VERDICT_DUNNO;
	struct why why;

	if (dnsbl_parse(&l.list, str_from(rule->arg), &why) == -1)
		return judge_broken(j, why.text);
	if (dnsbl_name(l.name, sizeof l.name, str_from(j->who.client_addr), l.list.zone))
		v = act_on(j, rule, &l, permit);
	dnsbl_clear(&l.list);
	return v;
}

enum verdict
rule_rbl(struct judge *j, const struct access_rule *rule)
{
	return act_on_address(j, rule, false);
}

/* A name in a list of names; one that is no domain is in none. */
static enum verdict
act_on_name(struct judge *j, const struct access_rule *rule, const char *what, const char *class,
    struct str domain, bool permit)
{
	struct listing l = {.what = what, .class = class};
	enum verdict v = VERDICT_DUNNO;
	char ascii[ADDR_DOMAIN_MAX + 1];
	struct why why;

	if (domain.n == 0 || domain.p[0] == '[' || domain_to_ascii(domain, ascii, NULL) == -1)
		return VERDICT_DUNNO;
	if (dnsbl_parse(&l.list, str_from(rule->arg), &why) == -1)
		return judge_broken(j, why.text);
	int n = snprintf(l.name, sizeof l.name, "%s.%s", ascii, l.list.zone);
	if (n > 0 && n <= ADDR_DOMAIN_MAX)
		v = act_on(j, rule, &l, permit);
	dnsbl_clear(&l.list);
	return v;
}

static struct str
domain_of(const char *address)
{
	struct str s = str_from(address);
	ptrdiff_t at = str_rchr(s, '@');

	return at < 0 ? STR_EMPTY : str_from_at(s, (size_t)at + 1);
}

enum verdict
rule_rhsbl(struct judge *j, const struct access_rule *rule)
{
	char reverse[ADDR_DOMAIN_MAX + 1];

	switch (rule->id) {
	case RULE_RHSBL_CLIENT:
		if (strcmp(j->who.client_name, "unknown") == 0)
			return VERDICT_DUNNO;
		return act_on_name(j, rule, j->who.client_name, "Client host",
		    str_from(j->who.client_name), false);
	case RULE_RHSBL_REVERSE:
		switch (judge_reverse_name(j, reverse, sizeof reverse)) {
		case NAME_WAIT:
			return VERDICT_WAIT;
		case NAME_NONE:
		case NAME_UNSURE:
			return VERDICT_DUNNO;
		case NAME_FOUND:
			break;
		}
		return act_on_name(
		    j, rule, reverse, "Unverified Client host", str_from(reverse), false);
	case RULE_RHSBL_HELO:
		return act_on_name(
		    j, rule, j->who.helo, "Helo command", str_from(j->who.helo), false);
	case RULE_RHSBL_SENDER:
		return act_on_name(j, rule, j->who.sender->text, "Sender address",
		    domain_of(j->who.sender->text), false);
	case RULE_RHSBL_RCPT:
		return act_on_name(
		    j, rule, j->who.rcpt, "Recipient address", domain_of(j->who.rcpt), false);
	default:
		panic("judge: no list of names");
	}
}

enum verdict
rule_dnswl(struct judge *j, const struct access_rule *rule)
{
	if (rule->id != RULE_RHSWL_CLIENT)
		return act_on_address(j, rule, true);
	if (strcmp(j->who.client_name, "unknown") == 0)
		return VERDICT_DUNNO;
	return act_on_name(
	    j, rule, j->who.client_name, "Client host", str_from(j->who.client_name), true);
}
