/* SPDX-License-Identifier: ISC */
/*
 * Routing, in Postfix's order: (1) the address is completed; (2) its domain's class is found:
 * local, virtual alias, virtual mailbox, relay, else remote; (3) virtual aliases, and the class's
 * table of recipients, say whether the address is valid; (4) the class gives transport and next
 * hop, and transport_maps may give others. A local part is never read for routes: "user%domain" and
 * "host!user" are names like any other.
 */
#include "router/route.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/mail/address.h"
#include "router/own.h"

static const struct class_row {
	const char *name;
	enum router_maps recipients; /* MAPS_COUNT: all are valid */
	unsigned keys;
	const char *unknown;
	size_t transport; /* offset of the setting */
} classes[] = {
    [CLASS_NONE] = {"none",                MAPS_COUNT,               0,                                     NULL, 0               },
    [CLASS_LOCAL] = {                 "local", MAPS_LOCAL_RECIPIENT, KEYS_LOCAL | KEYS_DOMAIN,
		    "User unknown in local recipient table",                         offsetof(struct router_conf, local_transport)},
    [CLASS_ALIAS] = {                 "virtual alias",           MAPS_COUNT,                        0, "User unknown in virtual alias table",    0                },
    [CLASS_VIRTUAL] = { "virtual mailbox",          MAPS_VIRTUAL_MAILBOX,         KEYS_DOMAIN,
		    "User unknown in virtual mailbox table",     offsetof(struct router_conf,                 virtual_transport)},
    [CLASS_RELAY] = {           "relay",          MAPS_RELAY_RECIPIENT,         KEYS_DOMAIN,
		    "User unknown in relay recipient table",       offsetof(struct router_conf,                 relay_transport)},
    [CLASS_REMOTE] = {          "remote",                    MAPS_COUNT,                                        0,							    NULL,
		    offsetof(struct router_conf,							      default_transport)},
};

const char *route_class_name(enum address_class class)
{
	return classes[class].name;
}

static int
complete(const struct router *r, struct addr *a, struct why *why)
{
	char domain[ADDR_DOMAIN_MAX + 1];
	struct str own = addr_domain(a);

	if (own.n == 0 && r->conf->append_at_myorigin)
		return addr_complete(a, str_from(r->conf->common.myorigin), why);
	if (own.n == 0 || a->literal || !r->conf->append_dot_mydomain || str_chr(own, '.') >= 0)
		return 0;
	int n = snprintf(domain, sizeof domain, "%.*s.%s", STR_ARG(own), r->conf->common.mydomain);
	if (n < 0 || (size_t)n >= sizeof domain)
		return why_perm(why, "5.1.3", "the domain is too long");
	a->n = a->local_n;
	a->text[a->n] = '\0';
	return addr_complete(a, str_make(domain, (size_t)n), why);
}

int
route_rewrite(
    const struct router *r, struct str in, char out[static MSG_ADDRESS_MAX + 1], struct why *why)
{
	struct addr a;

	if (in.n == 0)
		in = str_from(r->conf->empty_address_recipient);
	if (addr_mailbox(&a, in, ADDR_UTF8 | ADDR_NO_DOMAIN, why) == -1 ||
	    complete(r, &a, why) == -1)
		return -1;
	if (!str_copy(out, MSG_ADDRESS_MAX + 1, addr_text(&a)))
		return why_perm(why, "5.1.3", "the address is too long");
	return 0;
}

/* The domain's class: TABLE_FOUND and *class, TABLE_ASKED, or TABLE_ERROR. The order is the
 * precedence. */
static int
class_of(struct query *q, struct str domain, enum address_class *class, struct why *why)
{
	static const enum address_class of_list[DOMAINS_COUNT] = {
	    [DOMAINS_LOCAL] = CLASS_LOCAL,
	    [DOMAINS_ALIAS] = CLASS_ALIAS,
	    [DOMAINS_VIRTUAL] = CLASS_VIRTUAL,
	    [DOMAINS_RELAY] = CLASS_RELAY,
	};

	*class = CLASS_REMOTE;
	if (domain.n == 0 || own_has(q->r->own, domain)) {
		*class = CLASS_LOCAL;
		return TABLE_FOUND;
	}
	for (size_t i = 0; i < DOMAINS_COUNT; i++) {
		if (tables_have_remote(&q->r->domains[i].tables))
			q->used_remote = true;
		int in = domains_match(&q->r->domains[i], domain, &q->asker, why);
		if (in == TABLE_ERROR || in == TABLE_ASKED)
			return in;
		if (in == 1) {
			*class = of_list[i];
			break;
		}
	}
	return TABLE_FOUND;
}

/* "transport:nexthop"; either part may be missing. */
static void
transport_split(struct str text, struct str *transport, struct str *nexthop)
{
	ptrdiff_t colon = str_chr(text, ':');

	*transport = str_trim(colon < 0 ? text : str_sub(text, 0, (size_t)colon));
	*nexthop = str_trim(colon < 0 ? STR_EMPTY : str_from_at(text, (size_t)colon + 1));
}

/* The name under which a domain is found in DNS (A-labels); a literal is itself. */
static int
nexthop_domain(struct str domain, char out[static MSG_NEXTHOP_MAX + 1], struct why *why)
{
	char ascii[ADDR_DOMAIN_MAX + 1];

	if (domain.n > 0 && domain.p[0] != '[') {
		if (domain_to_ascii(domain, ascii, why) == -1)
			return -1;
		domain = str_from(ascii);
	}
	return str_copy(out, MSG_NEXTHOP_MAX + 1, domain)
		   ? 0
		   : why_perm(why, "5.1.2", "the domain is too long");
}

static int
route_set(struct route *out, struct str transport, struct str nexthop, struct why *why)
{
	if (!str_copy(out->transport, sizeof out->transport, transport) ||
	    !str_copy(out->nexthop, sizeof out->nexthop, nexthop))
		return why_temp(
		    why, "4.3.5", "the transport or next hop of %s is too long", out->address);
	return 0;
}

/* By class alone. Relayhost stands for the domain of what leaves this machine. */
static int
route_by_class(const struct router *r, struct str domain, struct route *out, struct why *why)
{
	struct str transport, nexthop;

	if (out->class == CLASS_ALIAS)
		return route_set(
		    out, STR("error"), STR("5.1.1 User unknown in virtual alias table"), why);
	const char *setting =
	    *(char *const *)(const void *)((const char *)r->conf + classes[out->class].transport);
	transport_split(str_from(setting), &transport, &nexthop);
	bool outside = out->class == CLASS_RELAY || out->class == CLASS_REMOTE;
	if (nexthop.n == 0 && outside)
		nexthop = str_from(r->conf->relayhost);
	if (route_set(out, transport, nexthop, why) == -1)
		return -1;
	return nexthop.n > 0 ? 0 : nexthop_domain(domain, out->nexthop, why);
}

/* transport(5): an empty part keeps what the class gave, but a transport without next hop goes to
 * the domain. */
static int
route_by_table(struct str domain, struct str entry, struct route *out, struct why *why)
{
	struct str transport, nexthop;
	char kept[sizeof out->transport];

	transport_split(entry, &transport, &nexthop);
	if (transport.n == 0 && nexthop.n == 0)
		return 0;
	memcpy(kept, out->transport, sizeof kept);
	if (route_set(out, transport.n > 0 ? transport : str_from(kept), nexthop, why) == -1)
		return -1;
	return nexthop.n > 0 || str_is(transport, "error") || str_is(transport, "discard")
		   ? 0
		   : nexthop_domain(domain, out->nexthop, why);
}

/* Who sends notices to the postmaster and address probes gets no mail: what comes back ends here,
 * and is no reason for more. */
static bool
is_double_bounce(const struct router *r, const struct address *a, enum address_class class)
{
	const struct conf_common *conf = &r->conf->common;

	return class != CLASS_REMOTE && class != CLASS_RELAY &&
	       *conf->double_bounce_sender != '\0' &&
	       str_caseis(a->local, conf->double_bounce_sender) &&
	       str_caseis(a->domain, conf->myorigin);
}

int
route_find(struct query *q, struct route *out, struct why *why)
{
	struct address a =
	    address_split(str_from(out->address), q->r->conf->common.recipient_delimiter);
	struct buf entry;

	out->verdict = ROUTE_OK;
	int known = class_of(q, a.domain, &out->class, why);
	if (known != TABLE_FOUND)
		return known;
	if (is_double_bounce(q->r, &a, out->class))
		return route_set(out, STR("discard"),
			   STR("undeliverable postmaster notification discarded"), why) == 0
			   ? TABLE_FOUND
			   : TABLE_ERROR;
	if (route_by_class(q->r, a.domain, out, why) == -1)
		return TABLE_ERROR;
	if (out->class == CLASS_ALIAS || q->r->maps[MAPS_TRANSPORT].n == 0)
		return TABLE_FOUND;
	buf_init(&entry, TABLE_VALUE_MAX);
	int found = query_address(q, MAPS_TRANSPORT, &a, KEYS_ROUTE, &entry, NULL, why);
	if (found == TABLE_FOUND && route_by_table(a.domain, buf_view(&entry), out, why) == -1)
		found = TABLE_ERROR;
	buf_free(&entry);
	return found == TABLE_NONE ? TABLE_FOUND : found;
}

static void
route_unknown(struct route *out, const char *code, const char *text)
{
	out->verdict = ROUTE_UNKNOWN;
	why_perm(&out->unknown, code, "%s", text);
	(void)route_set(out, STR("error"), STR_EMPTY, NULL); /* short: fits */
	snprintf(out->nexthop, sizeof out->nexthop, "%s %s", code, text);
}

/* A route to the error transport is a refusal that the operator wrote: "error:5.1.6 has moved". */
static void
route_error(struct route *out)
{
	struct str text = str_from(out->nexthop), code;
	struct str rest = text;
	char copy[sizeof out->unknown.code], reason[sizeof out->unknown.text];

	if (strcmp(out->transport, "error") != 0)
		return;
	bool coded = str_word(&rest, " ", &code) && code.n >= 5 && code.p[0] == '5' &&
		     code.p[1] == '.' && str_copy(copy, sizeof copy, code);
	text = coded ? str_trim(rest) : text;
	if (text.n == 0)
		text = STR("mail to this address is refused");
	text = str_sub(text, 0, sizeof reason - 1);
	(void)str_copy(reason, sizeof reason, text); /* was cut to fit */
	route_unknown(out, coded ? copy : "5.0.0", reason);
}

/* Is there such a recipient? TABLE_FOUND, TABLE_NONE, TABLE_ASKED, TABLE_ERROR; `out->expand` is
 * set on the way. */
static int
recipient_check(struct query *q, const struct address *a, struct route *out, struct why *why)
{
	const struct class_row *class = &classes[out->class];
	struct str origin = str_from(q->r->conf->common.myorigin);
	bool own = out->class == CLASS_LOCAL || str_caseeq(a->domain, origin);
	struct buf value;

	buf_init(&value, TABLE_VALUE_MAX);
	int found = query_address(
	    q, MAPS_VIRTUAL_ALIAS, a, (own ? KEYS_LOCAL : 0) | KEYS_DOMAIN, &value, NULL, why);
	if (found == TABLE_FOUND)
		out->expand = true;
	else if (found == TABLE_NONE && out->class != CLASS_ALIAS) {
		bool checked =
		    class->recipients != MAPS_COUNT && q->r->maps[class->recipients].n > 0;
		found = checked
			    ? query_address(q, class->recipients, a, class->keys, &value, NULL, why)
			    : TABLE_FOUND;
	}
	buf_free(&value);
	return found;
}

int
route_resolve(struct query *q, struct str address, struct route *out, struct why *why)
{
	struct why malformed;

	*out = (struct route){0};
	if (route_rewrite(q->r, address, out->address, &malformed) == -1) {
		if (!str_copy(out->address, sizeof out->address, address))
			out->address[0] = '\0';
		route_unknown(out, malformed.code, malformed.text);
		return TABLE_FOUND;
	}
	int found = route_find(q, out, why);
	if (found != TABLE_FOUND) {
		if (found == TABLE_ERROR &&
		    why->class == WHY_PERM) { /* a domain that cannot be a name in DNS */
			route_unknown(out, why->code, why->text);
			return TABLE_FOUND;
		}
		return found;
	}
	query_explain(q, "address: %s", out->address);
	query_explain(q, "class: %s", classes[out->class].name);
	struct address a =
	    address_split(str_from(out->address), q->r->conf->common.recipient_delimiter);
	if (is_double_bounce(q->r, &a, out->class))
		return TABLE_FOUND;
	found = recipient_check(q, &a, out, why);
	if (found == TABLE_NONE)
		route_unknown(out, "5.1.1", classes[out->class].unknown);
	else if (found == TABLE_FOUND && !out->expand)
		route_error(out);
	return found == TABLE_NONE ? TABLE_FOUND : found;
}
