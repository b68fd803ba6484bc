/* SPDX-License-Identifier: ISC */
/*
 * The restrictions that need no table and no list in DNS, and the row of functions for all. Texts
 * and codes are Postfix's. A name or address that DNS cannot tell of is refused in the end only
 * (defer_if_permit), or at once, as reject_tempfail_action says.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/conf/setting.h"
#include "lib/mail/address.h"
#include "lib/mail/esmtp.h"
#include "lib/mail/networks.h"
#include "smtpd/judge.h"
#include "smtpd/restrict.h"
#include "smtpd/routes.h"

enum { TEMPFAIL_LATER, TEMPFAIL_NOW };

#define CONF(j) ((j)->server->conf)

const char *
judge_client(const struct judge *j, char *out, size_t size)
{
	snprintf(out, size, "%s[%s]", j->who.client_name, j->who.client_addr);
	return out;
}

static const char *
sender_text(const struct judge *j)
{
	return j->who.sender != NULL ? j->who.sender->text : "";
}

struct reply_about
judge_about(struct judge *j, char *room, size_t size)
{
	switch (j->at) {
	case AT_CLIENT:
		return (struct reply_about){judge_client(j, room, size), "Client host"};
	case AT_HELO:
		return (struct reply_about){j->who.helo != NULL ? j->who.helo : "", "Helo command"};
	case AT_SENDER:
		return (struct reply_about){sender_text(j), "Sender address"};
	case AT_RELAY:
	case AT_RCPT:
		return (struct reply_about){j->who.rcpt, "Recipient address"};
	case AT_DATA:
		return (struct reply_about){"DATA", "Data command"};
	case AT_END_OF_DATA:
		return (struct reply_about){"END-OF-DATA", "End-of-data"};
	case AT_ETRN:
		return (struct reply_about){j->who.etrn, "Etrn command"};
	case AT_COUNT:
		break;
	}
	panic("judge: list");
}

/* "<what>: class rejected: text" for the list under way. */
static enum verdict
refuse_here(struct judge *j, int64_t smtp, const char *code, const char *text)
{
	char room[400];
	struct reply_about about = judge_about(j, room, sizeof room);

	return judge_refuse(
	    j, (int)smtp, code, "<%s>: %s rejected: %s", about.name, about.class, text);
}

/* --- permit, reject, defer --- */

static enum verdict
rule_permit(struct judge *j, const struct access_rule *rule)
{
	(void)j;
	(void)rule;
	return VERDICT_OK;
}

static enum verdict
rule_reject(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return refuse_here(j, CONF(j)->reject_code, "5.7.1", "Access denied");
}

static enum verdict
rule_defer(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return refuse_here(j, CONF(j)->defer_code, "4.3.2", "Try again later");
}

static enum verdict
rule_defer_if_permit(struct judge *j, const struct access_rule *rule)
{
	char room[400];
	struct reply_about about = judge_about(j, room, sizeof room);

	(void)rule;
	judge_defer_if_permit(j, 450, "4.3.2", "<%s>: %s rejected: defer_if_permit requested",
	    about.name, about.class);
	return VERDICT_DUNNO;
}

static enum verdict
rule_defer_if_reject(struct judge *j, const struct access_rule *rule)
{
	char room[400];
	struct reply_about about = judge_about(j, room, sizeof room);

	(void)rule;
	judge_defer_if_reject(j, 450, "4.3.2", "<%s>: %s rejected: defer_if_reject requested",
	    about.name, about.class);
	return VERDICT_DUNNO;
}

static enum verdict
rule_sleep(struct judge *j, const struct access_rule *rule)
{
	if (rule->number == 0 || judge_slept(j, j->sleeps++, (int64_t)rule->number * 1000))
		return VERDICT_DUNNO;
	return VERDICT_WAIT;
}

static enum verdict
rule_unreachable(struct judge *j, const struct access_rule *rule)
{
	(void)j;
	panic("restriction %s has no function", access_rules[rule->id].name);
}

/* --- the client --- */

static enum verdict
rule_mynetworks(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return j->who.trusted ? VERDICT_OK : VERDICT_DUNNO;
}

/* One of our own interfaces: what router makes of the address as a literal. */
static enum verdict
rule_inet_interfaces(struct judge *j, const struct access_rule *rule)
{
	char text[ADDR_DOMAIN_MAX];
	bool v6 = strchr(j->who.client_addr, ':') != NULL;

	(void)rule;
	snprintf(text, sizeof text, "postmaster@[%s%s]", v6 ? "ipv6:" : "", j->who.client_addr);
	const struct fact *f = judge_route(j, str_from(text));
	if (f == NULL)
		return VERDICT_WAIT;
	if (f->failed)
		return VERDICT_DUNNO; /* permission is only given on knowledge */
	return f->class == CLASS_LOCAL ? VERDICT_OK : VERDICT_DUNNO;
}

static enum verdict
rule_sasl(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return j->who.login != NULL ? VERDICT_OK : VERDICT_DUNNO;
}

static enum verdict
rule_all_clientcerts(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return j->who.tls && j->who.verified ? VERDICT_OK : VERDICT_DUNNO;
}

/* Fingerprints of the certificate and of its key, in relay_clientcerts. */
static enum verdict
rule_clientcerts(struct judge *j, const struct access_rule *rule)
{
	const struct setting_list *maps = &CONF(j)->relay_clientcerts;
	const char *prints[] = {j->who.fingerprint, j->who.pubkey_fingerprint};

	(void)rule;
	for (size_t p = 0; p < NELEM(prints); p++)
		for (size_t i = 0; prints[p] != NULL && i < maps->n; i++) {
			const struct fact *f =
			    judge_table(j, maps->items[i], ACCESS_EXACT, str_from(prints[p]));
			if (f == NULL)
				return VERDICT_WAIT;
			if (f->failed)
				return judge_broken(j, f->why.text);
			if (f->found)
				return VERDICT_OK;
		}
	return VERDICT_DUNNO;
}

size_t
judge_octets(const struct judge *j, unsigned char *ip)
{
	if (inet_pton(AF_INET, j->who.client_addr, ip) == 1)
		return 4;
	return inet_pton(AF_INET6, j->who.client_addr, ip) == 1 ? 16 : 0;
}

/* "1.2.0.192.in-addr.arpa" */
static void
arpa_name(const struct judge *j, char *out, size_t size)
{
	unsigned char ip[16];
	size_t n = judge_octets(j, ip), at = 0;

	for (size_t i = n; i-- > 0;)
		at += (size_t)(n == 4 ? snprintf(out + at, size - at, "%u.", ip[i])
				      : snprintf(out + at, size - at, "%x.%x.", ip[i] & 15u,
					    ip[i] >> 4));
	snprintf(out + at, size - at, "%s", n == 4 ? "in-addr.arpa" : "ip6.arpa");
}

enum name_found
judge_reverse_name(struct judge *j, char *out, size_t size)
{
	char name[100];

	if (strcmp(j->who.client_name, "unknown") != 0) {
		snprintf(out, size, "%s", j->who.client_name);
		return NAME_FOUND;
	}
	snprintf(out, size, "unknown");
	arpa_name(j, name, sizeof name);
	const struct fact *f = judge_dns(j, TYPE_PTR, name);
	if (f == NULL)
		return NAME_WAIT;
	if (f->failed)
		return NAME_UNSURE;
	for (size_t i = 0; i < f->n; i++) {
		char ascii[ADDR_DOMAIN_MAX + 1];
		if (domain_to_ascii(f->records[i].data, ascii, NULL) == 0) {
			snprintf(out, size, "%s", ascii);
			return NAME_FOUND;
		}
	}
	return NAME_NONE;
}

enum name_found
judge_forward_name(struct judge *j)
{
	char name[ADDR_DOMAIN_MAX + 1];
	unsigned char ip[16];
	size_t n = judge_octets(j, ip);
	enum name_found found;

	if (strcmp(j->who.client_name, "unknown") != 0)
		return NAME_FOUND;
	found = judge_reverse_name(j, name, sizeof name);
	if (found != NAME_FOUND)
		return found;
	const struct fact *f = judge_dns(j, n == 16 ? TYPE_AAAA : TYPE_A, name);
	if (f == NULL)
		return NAME_WAIT;
	for (size_t i = 0; i < f->n; i++)
		if (f->records[i].data.n == n && memcmp(f->records[i].data.p, ip, n) == 0)
			return NAME_FOUND;
	return f->failed ? NAME_UNSURE : NAME_NONE;
}

static enum verdict
no_name(struct judge *j, enum name_found found, const char *code, const char *what)
{
	if (found == NAME_WAIT)
		return VERDICT_WAIT;
	if (found == NAME_FOUND)
		return VERDICT_DUNNO;
	return judge_refuse(j, found == NAME_NONE ? (int)CONF(j)->unknown_client_reject_code : 450,
	    code, "Client host rejected: cannot find your %s, [%s]", what, j->who.client_addr);
}

static enum verdict
rule_unknown_client(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return no_name(j, judge_forward_name(j), "4.7.25", "hostname");
}

static enum verdict
rule_unknown_reverse(struct judge *j, const struct access_rule *rule)
{
	char name[ADDR_DOMAIN_MAX + 1];

	(void)rule;
	return no_name(j, judge_reverse_name(j, name, sizeof name), "4.7.25", "reverse hostname");
}

/* The name has no address at all; where there is no name it has no opinion. */
static enum verdict
rule_unknown_forward(struct judge *j, const struct access_rule *rule)
{
	char name[ADDR_DOMAIN_MAX + 1];
	enum name_found found = judge_reverse_name(j, name, sizeof name);

	(void)rule;
	if (found == NAME_WAIT)
		return VERDICT_WAIT;
	if (found != NAME_FOUND || strcmp(j->who.client_name, "unknown") != 0)
		return VERDICT_DUNNO;
	const struct fact *a = judge_dns(j, TYPE_A, name);
	const struct fact *b = a != NULL ? judge_dns(j, TYPE_AAAA, name) : NULL;
	if (b == NULL)
		return VERDICT_WAIT;
	if (a->n > 0 || b->n > 0)
		return VERDICT_DUNNO;
	return no_name(
	    j, a->failed || b->failed ? NAME_UNSURE : NAME_NONE, "4.7.25", "forward hostname");
}

static enum verdict
rule_plaintext(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	if (j->who.tls)
		return VERDICT_DUNNO;
	return refuse_here(
	    j, CONF(j)->plaintext_reject_code, "4.7.1", "Session encryption is required");
}

/* Input came with a command whose reply had to be waited for. */
static enum verdict
rule_pipelining(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	bool allowed = j->who.esmtp && (j->server->offered & ESMTP_PIPELINING) != 0 &&
		       (j->stage & (STAGE_MAIL | STAGE_RCPT)) != 0;
	if (!j->who.pipelined || allowed)
		return VERDICT_DUNNO;
	return refuse_here(j, 503, "5.5.0", "Improper use of SMTP command pipelining");
}

/* --- HELO --- */

static bool
is_literal(const char *helo)
{
	return helo[0] == '[';
}

static bool
helo_valid(const char *helo)
{
	struct sockaddr_storage sa;
	struct str s = str_from(helo);

	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		return literal_parse(str_sub(s, 1, s.n - 2), false, &sa);
	if (s.n > 1 && s.p[s.n - 1] == '.')
		s.n--;
	return domain_valid(s, true) && !literal_parse(s, true, &sa);
}

static enum verdict
rule_invalid_helo(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	if (helo_valid(j->who.helo))
		return VERDICT_DUNNO;
	return judge_refuse(j, (int)CONF(j)->invalid_hostname_reject_code, "5.5.2",
	    "<%s>: Helo command rejected: Invalid name", j->who.helo);
}

static enum verdict
rule_non_fqdn_helo(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	if (helo_valid(j->who.helo) &&
	    (is_literal(j->who.helo) || strchr(j->who.helo, '.') != NULL))
		return VERDICT_DUNNO;
	return judge_refuse(j, (int)CONF(j)->non_fqdn_reject_code, "5.5.2",
	    "<%s>: Helo command rejected: need fully-qualified hostname", j->who.helo);
}

/* What DNS says of a domain that mail may come from or go to. */
enum domain_is { DOMAIN_WAIT, DOMAIN_UNSURE, DOMAIN_MISSING, DOMAIN_NULL_MX, DOMAIN_FINE };

static enum domain_is
domain_ask(struct judge *j, struct str domain)
{
	static const unsigned types[] = {TYPE_MX, TYPE_A, TYPE_AAAA};
	char name[ADDR_DOMAIN_MAX + 1];
	bool unsure = false;

	if (domain_to_ascii(domain, name, NULL) == -1)
		return DOMAIN_MISSING;
	for (size_t i = 0; i < NELEM(types); i++) {
		const struct fact *f = judge_dns(j, types[i], name);
		if (f == NULL)
			return DOMAIN_WAIT;
		if (types[i] == TYPE_MX && f->n == 1 &&
		    (f->records[0].data.n == 0 || str_is(f->records[0].data, ".")))
			return DOMAIN_NULL_MX;
		if (f->n > 0)
			return DOMAIN_FINE;
		unsure = unsure || f->failed;
	}
	return unsure ? DOMAIN_UNSURE : DOMAIN_MISSING;
}

static enum verdict
rule_unknown_helo(struct judge *j, const struct access_rule *rule)
{
	static const char text[] = "<%s>: Helo command rejected: Host not found";
	const struct smtpd_conf *conf = CONF(j);

	(void)rule;
	if (is_literal(j->who.helo))
		return VERDICT_DUNNO;
	switch (domain_ask(j, str_from(j->who.helo))) {
	case DOMAIN_WAIT:
		return VERDICT_WAIT;
	case DOMAIN_UNSURE:
		if (conf->unknown_helo_hostname_tempfail_action == TEMPFAIL_NOW)
			return judge_refuse(j, 450, "4.7.1", text, j->who.helo);
		judge_defer_if_permit(j, 450, "4.7.1", text, j->who.helo);
		return VERDICT_DUNNO;
	case DOMAIN_MISSING:
		return judge_refuse(
		    j, (int)conf->unknown_hostname_reject_code, "4.7.1", text, j->who.helo);
	case DOMAIN_NULL_MX:
	case DOMAIN_FINE:
		return VERDICT_DUNNO;
	}
	panic("judge: domain");
}

/* --- addresses --- */

static struct str
domain_of(const char *address)
{
	struct str s = str_from(address);
	ptrdiff_t at = str_rchr(s, '@');

	return at < 0 ? STR_EMPTY : str_from_at(s, (size_t)at + 1);
}

static enum verdict
non_fqdn(struct judge *j, const char *address, const char *class)
{
	struct str domain = domain_of(address);

	if (address[0] == '\0' || (domain.n == 0 && strcasecmp(address, "postmaster") == 0))
		return VERDICT_DUNNO;
	if (domain.n > 0 && (domain.p[0] == '[' || str_chr(domain, '.') > 0))
		return VERDICT_DUNNO;
	return judge_refuse(j, (int)CONF(j)->non_fqdn_reject_code, "5.5.2",
	    "<%s>: %s rejected: need fully-qualified address", address, class);
}

static enum verdict
rule_non_fqdn_sender(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return non_fqdn(j, sender_text(j), "Sender address");
}

static enum verdict
rule_non_fqdn_rcpt(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return non_fqdn(j, j->who.rcpt, "Recipient address");
}

static enum verdict
unknown_domain(struct judge *j, const char *address, bool sender)
{
	const struct smtpd_conf *conf = CONF(j);
	const char *class = sender ? "Sender address" : "Recipient address";
	const char *code = sender ? "4.1.8" : "4.1.2";
	struct str domain = domain_of(address);

	if (domain.n == 0 || domain.p[0] == '[')
		return VERDICT_DUNNO;
	switch (domain_ask(j, domain)) {
	case DOMAIN_WAIT:
		return VERDICT_WAIT;
	case DOMAIN_FINE:
		return VERDICT_DUNNO;
	case DOMAIN_UNSURE:
		if (conf->unknown_address_tempfail_action == TEMPFAIL_NOW)
			return judge_refuse(
			    j, 450, code, "<%s>: %s rejected: Domain not found", address, class);
		judge_defer_if_permit(
		    j, 450, code, "<%s>: %s rejected: Domain not found", address, class);
		return VERDICT_DUNNO;
	case DOMAIN_MISSING:
		return judge_refuse(j, (int)conf->unknown_address_reject_code, code,
		    "<%s>: %s rejected: Domain not found", address, class);
	case DOMAIN_NULL_MX:
		return judge_refuse(j, sender ? 550 : 556, sender ? "5.7.27" : "5.1.10",
		    "<%s>: %s rejected: Domain %.*s does not accept mail (nullMX)", address, class,
		    STR_ARG(domain));
	}
	panic("judge: domain");
}

static enum verdict
rule_unknown_sender_domain(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return unknown_domain(j, sender_text(j), true);
}

static enum verdict
rule_unknown_rcpt_domain(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	if (j->who.route != NULL && j->who.route->class != CLASS_REMOTE)
		return VERDICT_DUNNO; /* where it goes is not DNS's to say */
	return unknown_domain(j, j->who.rcpt, false);
}

/* --- who is known --- */

static int
unlisted_code(const struct judge *j, unsigned class)
{
	const struct smtpd_conf *conf = CONF(j);

	switch (class) {
	case CLASS_ALIAS:
		return (int)conf->unknown_virtual_alias_reject_code;
	case CLASS_VIRTUAL:
		return (int)conf->unknown_virtual_mailbox_reject_code;
	case CLASS_RELAY:
		return (int)conf->unknown_relay_recipient_reject_code;
	default:
		return (int)conf->unknown_local_recipient_reject_code;
	}
}

enum verdict
judge_unlisted_rcpt(struct judge *j)
{
	const struct route *route = j->who.route;

	j->listed = true;
	if (route == NULL || route->known)
		return VERDICT_DUNNO;
	return judge_refuse(j, unlisted_code(j, route->class), route->why->code,
	    "<%s>: Recipient address rejected: %s", j->who.rcpt, route->why->text);
}

enum verdict
judge_unlisted_sender(struct judge *j)
{
	const char *sender = sender_text(j);
	const struct fact *f;

	if (sender[0] == '\0')
		return VERDICT_DUNNO;
	f = judge_route(j, str_from(sender));
	if (f == NULL)
		return VERDICT_WAIT;
	if (f->failed) {
		judge_defer_if_permit(j, 451, "4.3.0", "<%s>: Temporary lookup failure", sender);
		return VERDICT_DUNNO;
	}
	if (f->known)
		return VERDICT_DUNNO;
	return judge_refuse(j, unlisted_code(j, f->class), "5.1.0",
	    "<%s>: Sender address rejected: %s", sender, f->text);
}

static enum verdict
rule_unlisted_rcpt(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return judge_unlisted_rcpt(j);
}

static enum verdict
rule_unlisted_sender(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return judge_unlisted_sender(j);
}

/* Who owns the sender's address; `*owned`: the login is among them, `*known`: anybody is. */
static enum verdict
owners_ask(struct judge *j, bool *owned, bool *known)
{
	const struct setting_list *maps = &CONF(j)->smtpd_sender_login_maps;

	*owned = *known = false;
	for (size_t i = 0; i < maps->n; i++) {
		const struct fact *f =
		    judge_table(j, maps->items[i], ACCESS_OWNER, str_from(sender_text(j)));
		if (f == NULL)
			return VERDICT_WAIT;
		if (f->failed)
			return judge_broken(j, f->why.text);
		if (!f->found)
			continue;
		struct str rest = str_from(f->text), word;
		*known = true;
		while (j->who.login != NULL && str_word(&rest, ", \t", &word))
			if (str_caseis(word, j->who.login))
				*owned = true;
		break;
	}
	return VERDICT_DUNNO;
}

static enum verdict
login_mismatch(struct judge *j, bool logged_in, bool not_logged_in, bool only_known)
{
	const char *sender = sender_text(j);
	bool owned, known;
	enum verdict v = owners_ask(j, &owned, &known);

	if (v != VERDICT_DUNNO)
		return v;
	if (j->who.login == NULL) {
		if (not_logged_in && known)
			return judge_refuse(j, 553, "5.7.1",
			    "<%s>: Sender address rejected: not logged in", sender);
		return VERDICT_DUNNO;
	}
	if (!logged_in || owned || (only_known && !known))
		return VERDICT_DUNNO;
	return judge_refuse(j, 553, "5.7.1", "<%s>: Sender address rejected: not owned by user %s",
	    sender, j->who.login);
}

static enum verdict
rule_login_mismatch(struct judge *j, const struct access_rule *rule)
{
	return login_mismatch(j, rule->id != RULE_UNAUTH_LOGIN_MISMATCH,
	    rule->id == RULE_UNAUTH_LOGIN_MISMATCH || rule->id == RULE_LOGIN_MISMATCH ||
		rule->id == RULE_KNOWN_LOGIN_MISMATCH,
	    rule->id == RULE_KNOWN_LOGIN_MISMATCH);
}

/* --- the destination --- */

static bool
is_ours(const struct judge *j)
{
	unsigned class = j->who.route != NULL ? j->who.route->class : CLASS_NONE;

	return class != CLASS_REMOTE && class != CLASS_NONE;
}

static enum verdict
rule_auth_destination(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	return is_ours(j) ? VERDICT_OK : VERDICT_DUNNO;
}

static enum verdict
rule_unauth_destination(struct judge *j, const struct access_rule *rule)
{
	if (is_ours(j))
		return VERDICT_DUNNO;
	if (rule->id == RULE_DEFER_UNAUTH_DESTINATION)
		return judge_refuse(j, 454, "4.7.1", "<%s>: Relay access denied", j->who.rcpt);
	return judge_refuse(j, (int)CONF(j)->relay_domains_reject_code, "5.7.1",
	    "<%s>: Relay access denied", j->who.rcpt);
}

/* Whether one of the addresses of `host` is ours (`*own`), or is in permit_mx_backup_networks
 * (`*in`). */
static enum verdict
host_ask(struct judge *j, const char *host, bool *own, bool *in, bool *unsure)
{
	static const unsigned types[] = {TYPE_A, TYPE_AAAA};
	const struct networks *nets = &j->server->restrictions->backup;

	for (size_t t = 0; t < NELEM(types); t++) {
		const struct fact *f = judge_dns(j, types[t], host);
		if (f == NULL)
			return VERDICT_WAIT;
		*unsure = *unsure || f->failed;
		for (size_t i = 0; i < f->n; i++) {
			char ip[INET6_ADDRSTRLEN], text[ADDR_DOMAIN_MAX];
			struct sockaddr_storage sa;
			bool v6 = types[t] == TYPE_AAAA;
			if (f->records[i].data.n != (v6 ? 16u : 4u) ||
			    inet_ntop(v6 ? AF_INET6 : AF_INET, f->records[i].data.p, ip,
				sizeof ip) == NULL)
				continue;
			if (literal_parse(str_from(ip), true, &sa) && networks_match(nets, &sa))
				*in = true;
			snprintf(text, sizeof text, "postmaster@[%s%s]", v6 ? "ipv6:" : "", ip);
			const struct fact *route = judge_route(j, str_from(text));
			if (route == NULL)
				return VERDICT_WAIT;
			*own = *own || (!route->failed && route->class == CLASS_LOCAL);
			*unsure = *unsure || route->failed;
		}
	}
	return VERDICT_DUNNO;
}

/* We are one of the domain's MX hosts and not the first; the first ones are in
 * permit_mx_backup_networks, where that is set. */
static enum verdict
rule_mx_backup(struct judge *j, const struct access_rule *rule)
{
	char name[ADDR_DOMAIN_MAX + 1];
	struct str domain = domain_of(j->who.rcpt);
	bool unsure = false, listed = false, primary_ours = false, primary_in = true;
	unsigned best = UINT32_MAX;

	(void)rule;
	if (is_ours(j))
		return VERDICT_OK;
	if (domain.n == 0 || domain.p[0] == '[' || domain_to_ascii(domain, name, NULL) == -1)
		return VERDICT_DUNNO;
	const struct fact *mx = judge_dns(j, TYPE_MX, name);
	if (mx == NULL)
		return VERDICT_WAIT;
	unsure = mx->failed;
	for (size_t i = 0; i < mx->n; i++)
		if (mx->records[i].preference < best)
			best = mx->records[i].preference;
	for (size_t i = 0; i < mx->n; i++) {
		bool own = false, in = false;
		if (domain_to_ascii(mx->records[i].data, name, NULL) == -1)
			continue;
		if (host_ask(j, name, &own, &in, &unsure) == VERDICT_WAIT)
			return VERDICT_WAIT;
		listed = listed || own;
		if (mx->records[i].preference == best) {
			primary_ours = primary_ours || own;
			primary_in = primary_in && in;
		}
	}
	if (unsure)
		judge_defer_if_reject(j, 450, "4.4.4",
		    "<%s>: Recipient address rejected: unable to look up mail exchanger",
		    j->who.rcpt);
	if (!listed || primary_ours || unsure)
		return VERDICT_DUNNO;
	return CONF(j)->permit_mx_backup_networks.n == 0 || primary_in ? VERDICT_OK : VERDICT_DUNNO;
}

static enum verdict
rule_multi_rcpt_bounce(struct judge *j, const struct access_rule *rule)
{
	size_t n = j->who.nrcpts + (j->stage == STAGE_RCPT ? 1 : 0);

	(void)rule;
	if (j->who.sender == NULL || !addr_is_null(j->who.sender) || n < 2)
		return VERDICT_DUNNO;
	return refuse_here(
	    j, CONF(j)->multi_recipient_bounce_reject_code, "5.5.3", "Multi-recipient bounce");
}

static enum verdict
rule_greylist(struct judge *j, const struct access_rule *rule)
{
	(void)rule;
	if (j->who.trusted || j->who.login != NULL || j->who.sender == NULL)
		return VERDICT_DUNNO;
	const struct fact *f = judge_grey(j);
	if (f == NULL)
		return VERDICT_WAIT;
	if (!f->refused)
		return VERDICT_DUNNO;
	return judge_refuse(j, why_smtp(&f->why), f->why.code,
	    "<%s>: Recipient address rejected: %s", j->who.rcpt, f->why.text);
}

/* --- the row of functions --- */

static rule_fn *const functions[RULE_COUNT] = {
    [RULE_PERMIT] = rule_permit,
    [RULE_REJECT] = rule_reject,
    [RULE_DEFER] = rule_defer,
    [RULE_DEFER_IF_PERMIT] = rule_defer_if_permit,
    [RULE_DEFER_IF_REJECT] = rule_defer_if_reject,
    [RULE_WARN_IF_REJECT] = rule_unreachable, /* a flag of the rule behind it */
    [RULE_SLEEP] = rule_sleep,
    [RULE_GROUP] = rule_unreachable,
    [RULE_PERMIT_INET_INTERFACES] = rule_inet_interfaces,
    [RULE_PERMIT_MYNETWORKS] = rule_mynetworks,
    [RULE_PERMIT_SASL] = rule_sasl,
    [RULE_PERMIT_TLS_CLIENTCERTS] = rule_clientcerts,
    [RULE_PERMIT_TLS_ALL_CLIENTCERTS] = rule_all_clientcerts,
    [RULE_UNKNOWN_CLIENT] = rule_unknown_client,
    [RULE_UNKNOWN_REVERSE] = rule_unknown_reverse,
    [RULE_UNKNOWN_FORWARD] = rule_unknown_forward,
    [RULE_PLAINTEXT] = rule_plaintext,
    [RULE_PIPELINING] = rule_pipelining,
    [RULE_INVALID_HELO] = rule_invalid_helo,
    [RULE_NON_FQDN_HELO] = rule_non_fqdn_helo,
    [RULE_UNKNOWN_HELO] = rule_unknown_helo,
    [RULE_NON_FQDN_SENDER] = rule_non_fqdn_sender,
    [RULE_UNKNOWN_SENDER_DOMAIN] = rule_unknown_sender_domain,
    [RULE_UNLISTED_SENDER] = rule_unlisted_sender,
    [RULE_LOGIN_MISMATCH] = rule_login_mismatch,
    [RULE_AUTH_LOGIN_MISMATCH] = rule_login_mismatch,
    [RULE_UNAUTH_LOGIN_MISMATCH] = rule_login_mismatch,
    [RULE_KNOWN_LOGIN_MISMATCH] = rule_login_mismatch,
    [RULE_UNVERIFIED_SENDER] = rule_unverified_sender,
    [RULE_SPF_FAIL] = rule_spf,
    [RULE_CHECK_SPF] = rule_spf,
    [RULE_AUTH_DESTINATION] = rule_auth_destination,
    [RULE_MX_BACKUP] = rule_mx_backup,
    [RULE_UNAUTH_DESTINATION] = rule_unauth_destination,
    [RULE_DEFER_UNAUTH_DESTINATION] = rule_unauth_destination,
    [RULE_NON_FQDN_RCPT] = rule_non_fqdn_rcpt,
    [RULE_UNKNOWN_RCPT_DOMAIN] = rule_unknown_rcpt_domain,
    [RULE_UNLISTED_RCPT] = rule_unlisted_rcpt,
    [RULE_UNVERIFIED_RCPT] = rule_unverified_rcpt,
    [RULE_MULTI_RCPT_BOUNCE] = rule_multi_rcpt_bounce,
    [RULE_RBL_CLIENT] = rule_rbl,
    [RULE_RHSBL_CLIENT] = rule_rhsbl,
    [RULE_RHSBL_REVERSE] = rule_rhsbl,
    [RULE_RHSBL_HELO] = rule_rhsbl,
    [RULE_RHSBL_SENDER] = rule_rhsbl,
    [RULE_RHSBL_RCPT] = rule_rhsbl,
    [RULE_DNSWL_CLIENT] = rule_dnswl,
    [RULE_RHSWL_CLIENT] = rule_dnswl,
    [RULE_CLIENT_ACCESS] = rule_access,
    [RULE_REVERSE_ACCESS] = rule_access,
    [RULE_HELO_ACCESS] = rule_access,
    [RULE_SENDER_ACCESS] = rule_access,
    [RULE_RCPT_ACCESS] = rule_access,
    [RULE_CCERT_ACCESS] = rule_ccert_access,
    [RULE_SASL_ACCESS] = rule_access,
    [RULE_ETRN_ACCESS] = rule_access,
    [RULE_CLIENT_A_ACCESS] = rule_host_access,
    [RULE_CLIENT_MX_ACCESS] = rule_host_access,
    [RULE_CLIENT_NS_ACCESS] = rule_host_access,
    [RULE_REVERSE_A_ACCESS] = rule_host_access,
    [RULE_REVERSE_MX_ACCESS] = rule_host_access,
    [RULE_REVERSE_NS_ACCESS] = rule_host_access,
    [RULE_HELO_A_ACCESS] = rule_host_access,
    [RULE_HELO_MX_ACCESS] = rule_host_access,
    [RULE_HELO_NS_ACCESS] = rule_host_access,
    [RULE_SENDER_A_ACCESS] = rule_host_access,
    [RULE_SENDER_MX_ACCESS] = rule_host_access,
    [RULE_SENDER_NS_ACCESS] = rule_host_access,
    [RULE_RCPT_A_ACCESS] = rule_host_access,
    [RULE_RCPT_MX_ACCESS] = rule_host_access,
    [RULE_RCPT_NS_ACCESS] = rule_host_access,
    [RULE_POLICY] = rule_policy,
    [RULE_GREYLIST] = rule_greylist,
};

rule_fn *
rule_function(enum rule_id id)
{
	return functions[id];
}
