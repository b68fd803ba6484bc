/* SPDX-License-Identifier: ISC */
/*
 * check_spf and reject_spf_fail: SPF of the sender, or of HELO for the null sender. Clients that
 * are our own or logged in are not asked. Each message that was asked about gets a Received-SPF
 * line.
 */
#include <stdio.h>
#include <string.h>

#include "lib/access/list.h"
#include "lib/spf/spf.h"
#include "smtpd/judge.h"

static bool
on_lookup(void *arg, unsigned type, const char *name, struct spf_dns *dns)
{
	struct judge *j = arg;
	const struct fact *f = judge_dns(j, type, name);

	if (f == NULL)
		return false;
	*dns = (struct spf_dns){.failed = f->failed, .n = f->n, .records = f->records};
	return true;
}

static struct str
record_at(const struct spf_dns *dns, size_t i)
{
	return ((const struct fact_record *)dns->records)[i].data;
}

/* What is to be done with a result. */
static const char *
action_for(const struct access_rule *rule, enum spf_result r)
{
	const char *set = access_option(rule, spf_result_name(r));

	if (set != NULL)
		return set;
	return rule->id == RULE_SPF_FAIL && r == SPF_FAIL ? "reject" : "ignore";
}

/* RFC 7208 9.1. What the client said stands in quotes, without what would end them. */
static void
add_header(struct judge *j, const struct spf *q, enum spf_result r)
{
	char line[1500], sender[ADDR_TEXT_MAX + ADDR_DOMAIN_MAX], helo[ADDR_DOMAIN_MAX + 1];
	char comment[sizeof q->problem];
	size_t n = 0;

	snprintf(comment, sizeof comment, "%s", q->problem);
	for (char *p = comment; *p != '\0'; p++) /* a comment within ours would have to end */
		if (*p == '(' || *p == ')' || *p == '\\')
			*p = '?';
	for (const char *p = q->sender; *p != '\0' && n + 1 < sizeof sender; p++)
		if (*p != '"' && *p != '\\' && (unsigned char)*p >= ' ' && *p != 0x7f)
			sender[n++] = *p;
	sender[n] = '\0';
	n = 0;
	for (const char *p = q->helo; *p != '\0' && n + 1 < sizeof helo; p++)
		if (*p != '"' && *p != '\\' && (unsigned char)*p > ' ' && *p != 0x7f)
			helo[n++] = *p;
	helo[n] = '\0';
	snprintf(line, sizeof line,
	    "Received-SPF: %s (%s)\n\treceiver=%s; identity=%s; client-ip=%s;\n"
	    "\thelo=\"%s\"; envelope-from=\"%s\"",
	    spf_result_name(r), comment, q->receiver,
	    addr_is_null(j->who.sender) ? "helo" : "mailfrom", j->who.client_addr, helo, sender);
	judge_effect(j, NULL, STR_EMPTY, EDIT_PREPEND, STR_EMPTY, str_from(line));
}

static enum verdict
act(struct judge *j, const struct access_rule *rule, const struct spf *q, enum spf_result r)
{
	const char *action = action_for(rule, r);
	bool error = r == SPF_TEMPERROR || r == SPF_PERMERROR;
	const char *code = r == SPF_FAIL || r == SPF_SOFTFAIL ? "5.7.23"
			   : error                            ? "5.7.24"
							      : "5.7.1";
	bool reject = strcmp(action, "reject") == 0;
	char text[400];

	if (strcmp(action, "ignore") == 0)
		return VERDICT_DUNNO;
	if (q->explanation[0] != '\0' && r == SPF_FAIL)
		snprintf(text, sizeof text, "the domain explains: %s", q->explanation);
	else
		snprintf(text, sizeof text, "%s", q->problem);
	return judge_refuse(j, reject && r != SPF_TEMPERROR ? 550 : 451, code,
	    "<%s>: Sender address rejected: SPF %s for %s: %s", j->who.sender->text,
	    spf_result_name(r), j->who.client_addr, text);
}

enum verdict
rule_spf(struct judge *j, const struct access_rule *rule)
{
	const struct spf_source source = {j, on_lookup, record_at};
	unsigned char ip[16];
	char sender[ADDR_TEXT_MAX + ADDR_DOMAIN_MAX];
	struct spf q = {
	    .source = &source,
	    .ip = ip,
	    .ip_n = judge_octets(j, ip),
	    .helo = j->who.helo != NULL ? j->who.helo : "",
	    .receiver = j->server->conf->common.myhostname,
	    .sender = sender,
	};

	if (j->who.trusted || j->who.login != NULL || q.ip_n == 0)
		return VERDICT_DUNNO;
	if (addr_is_null(j->who.sender))
		snprintf(sender, sizeof sender, "postmaster@%s", q.helo);
	else
		snprintf(sender, sizeof sender, "%s", j->who.sender->text);
	enum spf_result r = spf_check(&q);
	if (r == SPF_ASKED)
		return VERDICT_WAIT;
	add_header(j, &q, r);
	return act(j, rule, &q, r);
}
