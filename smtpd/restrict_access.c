/* SPDX-License-Identifier: ISC */
/*
 * Access tables: what is looked up for each check_*_access, and what their actions do. A table that
 * cannot be read, or says what is no action, is an error of the configuration: 451, never a pass.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/mail/address.h"
#include "smtpd/judge.h"
#include "smtpd/restrict.h"

/* --- actions --- */

static void
note(struct judge *j, const char *log, const struct reply_about *about, struct str text,
    const char *triggers, enum mail_edit edit, struct str name, struct str value)
{
	char line[700];

	if (text.n > 0)
		snprintf(
		    line, sizeof line, "<%s>: %s %.*s", about->name, about->class, STR_ARG(text));
	else
		snprintf(
		    line, sizeof line, "<%s>: %s triggers %s", about->name, about->class, triggers);
	judge_effect(j, log, str_from(line), edit, name, value);
}

static enum verdict
refuse_action(
    struct judge *j, const struct reply_about *about, const struct action *a, int64_t smtp)
{
	char code[16], text[480];

	if (!str_copy(code, sizeof code, a->code))
		code[0] = '\0';
	struct str said = a->text.n > 0 ? a->text : STR("Access denied");
	snprintf(text, sizeof text, "%.*s", STR_ARG(said));
	return judge_refuse(j, (int)smtp, code[0] != '\0' ? code : "5.7.1", "<%s>: %s rejected: %s",
	    about->name, about->class, text);
}

static enum verdict
run_rules(struct judge *j, struct str text, const char *who_says)
{
	const struct setting_list *classes = &j->server->conf->smtpd_restriction_classes;
	struct access_rules_list list;
	struct why why;
	char line[700];

	if (access_list_parse_text(&list, text, j->at, classes, &why) == -1) {
		snprintf(line, sizeof line, "%s: %s", who_says, why.text);
		return judge_broken(j, line);
	}
	enum verdict v = judge_list(j, &list, j->at);
	access_list_clear(&list);
	return v;
}

enum verdict
judge_action(
    struct judge *j, const struct reply_about *about, struct str action, const char *who_says)
{
	const struct smtpd_conf *conf = j->server->conf;
	struct action a = action_parse(action);
	struct str later = a.text.n > 0 ? a.text : STR("Service unavailable");
	char code[16] = "";

	if (a.code.n > 0)
		(void)str_copy(code, sizeof code, a.code);
	switch (a.kind) {
	case ACTION_OK:
		return VERDICT_OK;
	case ACTION_DUNNO:
		return VERDICT_DUNNO;
	case ACTION_REJECT:
		return refuse_action(j, about, &a, conf->access_map_reject_code);
	case ACTION_DEFER:
		return refuse_action(j, about, &a, conf->access_map_defer_code);
	case ACTION_REPLY:
		return refuse_action(j, about, &a, a.smtp);
	case ACTION_DEFER_IF_PERMIT:
		judge_defer_if_permit(j, (int)conf->access_map_defer_code,
		    code[0] != '\0' ? code : "4.7.1", "<%s>: %s rejected: %.*s", about->name,
		    about->class, STR_ARG(later));
		return VERDICT_DUNNO;
	case ACTION_DEFER_IF_REJECT:
		judge_defer_if_reject(j, (int)conf->access_map_defer_code,
		    code[0] != '\0' ? code : "4.7.1", "<%s>: %s rejected: %.*s", about->name,
		    about->class, STR_ARG(later));
		return VERDICT_DUNNO;
	case ACTION_DISCARD:
		note(
		    j, "discard", about, a.text, "DISCARD action", EDIT_DISCARD, STR_EMPTY, a.text);
		return VERDICT_OK;
	case ACTION_HOLD:
		note(j, "hold", about, a.text, "HOLD action", EDIT_HOLD, STR_EMPTY,
		    a.text.n > 0 ? a.text : STR("an access table says so"));
		return VERDICT_DUNNO;
	case ACTION_REDIRECT:
		note(j, "redirect", about, STR_EMPTY, "REDIRECT action", EDIT_REDIRECT, a.text,
		    STR_EMPTY);
		return VERDICT_DUNNO;
	case ACTION_PREPEND:
		note(j, "prepend", about, STR_EMPTY, "PREPEND action", EDIT_PREPEND, STR_EMPTY,
		    a.text);
		return VERDICT_DUNNO;
	case ACTION_FILTER:
		note(
		    j, "filter", about, STR_EMPTY, "FILTER action", EDIT_FILTER, a.text, STR_EMPTY);
		return VERDICT_DUNNO;
	case ACTION_BCC:
		note(j, "bcc", about, STR_EMPTY, "BCC action", EDIT_BCC, a.text, STR_EMPTY);
		return VERDICT_DUNNO;
	case ACTION_WARN:
		note(j, "warn", about, a.text, "WARN action", EDIT_NONE, STR_EMPTY, STR_EMPTY);
		return VERDICT_DUNNO;
	case ACTION_INFO:
		note(j, "info", about, a.text, "INFO action", EDIT_NONE, STR_EMPTY, STR_EMPTY);
		return VERDICT_DUNNO;
	case ACTION_RULES:
		return run_rules(j, a.text, who_says);
	}
	panic("judge: action");
}

/* --- tables --- */

static enum verdict
look_up(struct judge *j, const struct access_rule *rule, enum access_kind kind, struct str key,
    const struct reply_about *about, bool *found)
{
	const struct fact *f = judge_table(j, rule->arg, kind, key);
	char line[900];

	*found = false;
	if (f == NULL)
		return VERDICT_WAIT;
	if (f->failed) {
		snprintf(line, sizeof line, "%s: %s", rule->text, f->why.text);
		return judge_broken(j, line);
	}
	if (!f->found)
		return VERDICT_DUNNO;
	*found = true;
	return judge_action(j, about, str_from(f->text), rule->text);
}

static struct str
null_key(const struct judge *j)
{
	return str_from(j->server->conf->smtpd_null_access_lookup_key);
}

enum verdict
rule_access(struct judge *j, const struct access_rule *rule)
{
	char room[400], key[ADDR_DOMAIN_MAX + 80], name[ADDR_DOMAIN_MAX + 1];
	enum access_kind kind = ACCESS_CLIENT;
	struct reply_about about = {judge_client(j, room, sizeof room), "Client host"};
	struct str what;
	bool found;

	switch (rule->id) {
	case RULE_CLIENT_ACCESS:
		snprintf(key, sizeof key, "%s %s", j->who.client_name, j->who.client_addr);
		what = str_from(key);
		break;
	case RULE_REVERSE_ACCESS:
		if (judge_reverse_name(j, name, sizeof name) == NAME_WAIT)
			return VERDICT_WAIT;
		about = (struct reply_about){name, "Unverified Client host"};
		what = str_from(name);
		kind = ACCESS_DOMAIN;
		break;
	case RULE_HELO_ACCESS:
		about = (struct reply_about){j->who.helo, "Helo command"};
		what = str_from(j->who.helo);
		kind = ACCESS_DOMAIN;
		break;
	case RULE_SENDER_ACCESS:
		about = (struct reply_about){j->who.sender->text, "Sender address"};
		kind = addr_is_null(j->who.sender) ? ACCESS_EXACT : ACCESS_ADDRESS;
		what = addr_is_null(j->who.sender) ? null_key(j) : addr_text(j->who.sender);
		break;
	case RULE_RCPT_ACCESS:
		about = (struct reply_about){j->who.rcpt, "Recipient address"};
		kind = ACCESS_ADDRESS;
		what = str_from(j->who.rcpt);
		break;
	case RULE_SASL_ACCESS:
		about = (struct reply_about){j->who.login, "SASL login name"};
		kind = ACCESS_EXACT;
		what = str_from(j->who.login);
		break;
	case RULE_ETRN_ACCESS:
		about = (struct reply_about){j->who.etrn, "Etrn command"};
		kind = ACCESS_DOMAIN;
		what = str_from(j->who.etrn);
		break;
	default:
		panic("judge: no access table's restriction");
	}
	return look_up(j, rule, kind, what, &about, &found);
}

/* By the certificate's fingerprint, then by its key's; who has signed it is no matter then. */
enum verdict
rule_ccert_access(struct judge *j, const struct access_rule *rule)
{
	const char *prints[] = {j->who.fingerprint, j->who.pubkey_fingerprint};
	enum verdict v = VERDICT_DUNNO;
	bool found = false;

	for (size_t i = 0; i < NELEM(prints) && v == VERDICT_DUNNO && !found; i++) {
		if (prints[i] == NULL)
			continue;
		struct reply_about about = {prints[i], "Client certificate"};
		v = look_up(j, rule, ACCESS_EXACT, str_from(prints[i]), &about, &found);
	}
	return v;
}

/* --- hosts behind a name: its A, MX and NS --- */

struct hosts {
	const struct access_rule *rule;
	struct reply_about about;
	unsigned type; /* TYPE_A: the name itself */
	bool done;
};

static enum verdict
look_up_addresses(struct judge *j, struct hosts *h, const char *host)
{
	static const unsigned types[] = {TYPE_A, TYPE_AAAA};
	enum verdict v = VERDICT_DUNNO;

	for (size_t t = 0; t < NELEM(types) && v == VERDICT_DUNNO && !h->done; t++) {
		const struct fact *f = judge_dns(j, types[t], host);
		if (f == NULL)
			return VERDICT_WAIT;
		for (size_t i = 0; i < f->n && v == VERDICT_DUNNO && !h->done; i++) {
			char ip[INET6_ADDRSTRLEN];
			bool v6 = types[t] == TYPE_AAAA;
			if (f->records[i].data.n != (v6 ? 16u : 4u) ||
			    inet_ntop(v6 ? AF_INET6 : AF_INET, f->records[i].data.p, ip,
				sizeof ip) == NULL)
				continue;
			v = look_up(j, h->rule, ACCESS_CLIENT, str_from(ip), &h->about, &h->done);
		}
	}
	return v;
}

static enum verdict
look_up_host(struct judge *j, struct hosts *h, struct str host)
{
	char name[ADDR_DOMAIN_MAX + 1];

	if (domain_to_ascii(host, name, NULL) == -1)
		return VERDICT_DUNNO;
	enum verdict v = h->type == TYPE_A ? VERDICT_DUNNO
					   : look_up(j, h->rule, ACCESS_DOMAIN, str_from(name),
						 &h->about, &h->done);
	return v == VERDICT_DUNNO && !h->done ? look_up_addresses(j, h, name) : v;
}

/* The name servers are those of the nearest parent that has some. */
static const struct fact *
find_records(struct judge *j, unsigned type, const char *name)
{
	const struct fact *f = judge_dns(j, type, name);

	while (f != NULL && f->n == 0 && !f->failed && type == TYPE_NS) {
		const char *dot = strchr(name, '.');
		if (dot == NULL || strchr(dot + 1, '.') == NULL)
			break;
		name = dot + 1;
		f = judge_dns(j, type, name);
	}
	return f;
}

static enum verdict
look_up_hosts(struct judge *j, struct hosts *h, struct str domain)
{
	char name[ADDR_DOMAIN_MAX + 1];
	enum verdict v = VERDICT_DUNNO;

	if (domain.n == 0 || domain.p[0] == '[' || domain_to_ascii(domain, name, NULL) == -1)
		return VERDICT_DUNNO;
	if (h->type == TYPE_A)
		return look_up_host(j, h, str_from(name));
	const struct fact *f = find_records(j, h->type, name);
	if (f == NULL)
		return VERDICT_WAIT;
	if (f->failed) { /* cannot tell: as a table that cannot be read, but it is not our fault */
		judge_defer_if_permit(j, 450, "4.4.4", "<%s>: %s rejected: unable to look up %s",
		    h->about.name, h->about.class,
		    h->type == TYPE_MX ? "mail exchanger" : "name servers");
		return VERDICT_DUNNO;
	}
	if (f->n == 0 && h->type == TYPE_MX)
		return look_up_host(j, h, str_from(name));
	for (size_t i = 0; i < f->n && v == VERDICT_DUNNO && !h->done; i++)
		v = look_up_host(j, h, f->records[i].data);
	return v;
}

static struct str
domain_of(struct str address)
{
	ptrdiff_t at = str_rchr(address, '@');

	return at < 0 ? STR_EMPTY : str_from_at(address, (size_t)at + 1);
}

enum verdict
rule_host_access(struct judge *j, const struct access_rule *rule)
{
	char room[400], reverse[ADDR_DOMAIN_MAX + 1];
	struct hosts h = {.rule = rule};
	struct str domain;

	switch (rule->id) {
	case RULE_CLIENT_A_ACCESS:
	case RULE_CLIENT_MX_ACCESS:
	case RULE_CLIENT_NS_ACCESS:
		if (strcmp(j->who.client_name, "unknown") == 0)
			return VERDICT_DUNNO;
		h.about = (struct reply_about){judge_client(j, room, sizeof room), "Client host"};
		domain = str_from(j->who.client_name);
		break;
	case RULE_REVERSE_A_ACCESS:
	case RULE_REVERSE_MX_ACCESS:
	case RULE_REVERSE_NS_ACCESS:
		switch (judge_reverse_name(j, reverse, sizeof reverse)) {
		case NAME_WAIT:
			return VERDICT_WAIT;
		case NAME_NONE:
		case NAME_UNSURE:
			return VERDICT_DUNNO;
		case NAME_FOUND:
			break;
		}
		h.about = (struct reply_about){reverse, "Unverified Client host"};
		domain = str_from(reverse);
		break;
	case RULE_HELO_A_ACCESS:
	case RULE_HELO_MX_ACCESS:
	case RULE_HELO_NS_ACCESS:
		h.about = (struct reply_about){j->who.helo, "Helo command"};
		domain = str_from(j->who.helo);
		break;
	case RULE_SENDER_A_ACCESS:
	case RULE_SENDER_MX_ACCESS:
	case RULE_SENDER_NS_ACCESS:
		h.about = (struct reply_about){j->who.sender->text, "Sender address"};
		domain = domain_of(addr_text(j->who.sender));
		break;
	case RULE_RCPT_A_ACCESS:
	case RULE_RCPT_MX_ACCESS:
	case RULE_RCPT_NS_ACCESS:
		h.about = (struct reply_about){j->who.rcpt, "Recipient address"};
		domain = domain_of(str_from(j->who.rcpt));
		break;
	default:
		panic("judge: no restriction on hosts");
	}
	const char *name = access_rules[rule->id].name;
	h.type = strstr(name, "_mx_") != NULL   ? TYPE_MX
		 : strstr(name, "_ns_") != NULL ? TYPE_NS
						: TYPE_A;
	return look_up_hosts(j, &h, domain);
}
