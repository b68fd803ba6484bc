/* SPDX-License-Identifier: ISC */
/*
 * cidr: "network/length value" or "address value" a line, IPv4 and IPv6; the key is an address. A
 * key that is none is not there. Bits beyond the length must be 0: 10.1.0.0/8 is more likely an
 * error than a wish.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/table/rules.h"
#include "lib/table/type.h"

struct network {
	int family;
	unsigned char address[16];
	unsigned length; /* in bits */
};

static bool
address_parse(struct str text, struct network *net)
{
	char plain[INET6_ADDRSTRLEN];

	if (text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
		text = str_sub(text, 1, text.n - 2);
	if (!str_copy(plain, sizeof plain, text))
		return false;
	*net = (struct network){.family = AF_INET, .length = 32};
	if (inet_pton(AF_INET, plain, net->address) == 1)
		return true;
	net->family = AF_INET6;
	net->length = 128;
	return inet_pton(AF_INET6, plain, net->address) == 1;
}

static bool
bit(const unsigned char *bytes, unsigned i)
{
	return (bytes[i / 8] >> (7 - i % 8)) & 1;
}

static bool
has_host_bits(const struct network *net)
{
	unsigned whole = net->family == AF_INET ? 32 : 128;

	for (unsigned i = net->length; i < whole; i++)
		if (bit(net->address, i))
			return true;
	return false;
}

static int
network_parse(struct str text, struct network *net, struct why *why)
{
	ptrdiff_t slash = str_rchr(text, '/');
	struct str address = slash < 0 ? text : str_sub(text, 0, (size_t)slash);
	uint64_t length;

	if (!address_parse(address, net))
		return why_temp(why, NULL, "\"%.*s\" is not an address", STR_ARG(address));
	if (slash >= 0) {
		if (!str_u64(str_from_at(text, (size_t)slash + 1), net->length, &length))
			return why_temp(why, NULL, "\"%.*s\" has no valid length", STR_ARG(text));
		net->length = (unsigned)length;
	}
	if (has_host_bits(net))
		return why_temp(
		    why, NULL, "\"%.*s\" has bits set beyond its length", STR_ARG(text));
	return 0;
}

static void *
pattern_parse(struct str text, struct str *rest, struct why *why)
{
	struct network net;
	struct str word;

	*rest = text;
	if (!str_word(rest, " \t", &word)) {
		why_temp(why, NULL, "no network");
		return NULL;
	}
	if (network_parse(word, &net, why) == -1)
		return NULL;
	struct network *kept = xmalloc(sizeof *kept);
	*kept = net;
	return kept;
}

static const struct rule_kind kind = {pattern_parse, free};

static int
match(void *arg, const struct rule *rule, KP_UNUSED struct why *why)
{
	const struct network *key = arg, *net = rule->pattern;

	if (key->family != net->family)
		return 0;
	for (unsigned i = 0; i < net->length; i++)
		if (bit(key->address, i) != bit(net->address, i))
			return 0;
	return 1;
}

static void *
cidr_load(KP_UNUSED struct str name, const char *path, struct why *why)
{
	return rules_load(&kind, path, why);
}

static void
cidr_free(void *content)
{
	struct rules *r = content;

	rules_free(&r);
}

static int
cidr_lookup(void *content, struct str key, struct buf *out, struct why *why)
{
	const struct rule *rule;
	struct network address;

	if (!address_parse(key, &address))
		return TABLE_NONE;
	int found = rules_find(content, match, &address, &rule, why);
	if (found == TABLE_FOUND && buf_puts(out, rule->value) == -1)
		return why_temp(why, "4.3.0", "a table's value is too long");
	return found;
}

const struct table_type table_cidr = {
    "cidr", "", TABLE_FILE | TABLE_PATTERN, cidr_load, cidr_lookup, cidr_free};
