/* SPDX-License-Identifier: ISC */
/* A filter is four octets apart by dots, each a number or "[a..b;c]"; it becomes four sets of bits.
 */
#include "lib/mail/dnsbl.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/why.h"

static void
allow(struct dnsbl *d, int octet, uint64_t from, uint64_t to)
{
	for (uint64_t v = from; v <= to; v++)
		d->allow[octet][v / 8] |= (unsigned char)(1u << v % 8);
}

/* "5" or "2..8" */
static bool
parse_range(struct dnsbl *d, int octet, struct str text)
{
	uint64_t from, to;
	const char *dots = memmem(text.p, text.n, "..", 2);

	if (dots == NULL) {
		if (!str_u64(text, 255, &from))
			return false;
		allow(d, octet, from, from);
		return true;
	}
	size_t at = (size_t)(dots - text.p);
	if (!str_u64(str_sub(text, 0, at), 255, &from) ||
	    !str_u64(str_from_at(text, at + 2), 255, &to) || to < from)
		return false;
	allow(d, octet, from, to);
	return true;
}

/* One octet off the front. */
static bool
parse_octet(struct dnsbl *d, int octet, struct str *text)
{
	struct str word, inner;
	ptrdiff_t end;

	if (text->n > 0 && text->p[0] == '[') {
		end = str_chr(*text, ']');
		if (end < 0)
			return false;
		inner = str_sub(*text, 1, (size_t)end - 1);
		*text = str_from_at(*text, (size_t)end + 1);
		if (inner.n == 0)
			return false;
		while (str_word(&inner, ";", &word))
			if (!parse_range(d, octet, word))
				return false;
		return true;
	}
	for (end = 0; (size_t)end < text->n && text->p[end] != '.'; end++)
		;
	word = str_sub(*text, 0, (size_t)end);
	*text = str_from_at(*text, (size_t)end);
	return parse_range(d, octet, word);
}

static bool
parse_filter(struct dnsbl *d, struct str text)
{
	for (int i = 0; i < 4; i++) {
		if (!parse_octet(d, i, &text))
			return false;
		if (i < 3 && (text.n == 0 || text.p[0] != '.'))
			return false;
		text = str_from_at(text, i < 3 ? 1 : 0);
	}
	return text.n == 0;
}

static bool
parse_weight(struct str text, int *weight)
{
	bool minus = text.n > 0 && text.p[0] == '-';
	uint64_t n;

	if (!str_u64(str_from_at(text, minus ? 1 : 0), 10000, &n))
		return false;
	*weight = minus ? -(int)n : (int)n;
	return true;
}

/* Not a domain by its grammar, but nothing that could be another part of the text. */
static bool
zone_valid(struct str zone)
{
	for (size_t i = 0; i < zone.n; i++)
		if (zone.p[i] <= ' ' || zone.p[i] > '~' || zone.p[i] == '*' || zone.p[i] == '[')
			return false;
	return zone.n > 0 && zone.n <= 200;
}

int
dnsbl_parse(struct dnsbl *d, struct str text, struct why *why)
{
	struct str rest = text, zone, filter = STR_EMPTY;
	ptrdiff_t at;

	*d = (struct dnsbl){.weight = 1};
	at = str_rchr(rest, '*');
	if (at >= 0 && !parse_weight(str_from_at(rest, (size_t)at + 1), &d->weight))
		return why_perm(why, NULL, "%.*s: expected a number behind the *", STR_ARG(text));
	if (at >= 0)
		rest = str_sub(rest, 0, (size_t)at);
	at = str_chr(rest, '=');
	zone = at >= 0 ? str_sub(rest, 0, (size_t)at) : rest;
	if (at >= 0) {
		filter = str_from_at(rest, (size_t)at + 1);
		d->filtered = true;
	}
	if (!zone_valid(zone))
		return why_perm(why, NULL, "%.*s: expected a domain", STR_ARG(text));
	if (d->filtered && !parse_filter(d, filter))
		return why_perm(why, NULL, "%.*s: expected an address such as 127.0.0.[2..8;10]",
		    STR_ARG(text));
	d->zone = str_dup(zone);
	d->text = str_dup(rest);
	return 0;
}

void
dnsbl_clear(struct dnsbl *d)
{
	free(d->zone);
	free(d->text);
	*d = (struct dnsbl){0};
}

bool
dnsbl_hit(const struct dnsbl *d, struct str record)
{
	if (record.n != 4)
		return false;
	if (!d->filtered)
		return (unsigned char)record.p[0] == 127;
	for (int i = 0; i < 4; i++) {
		unsigned v = (unsigned char)record.p[i];
		if ((d->allow[i][v / 8] >> v % 8 & 1) == 0)
			return false;
	}
	return true;
}

bool
dnsbl_name(char *out, size_t size, struct str address, const char *zone)
{
	int family = str_chr(address, ':') >= 0 ? AF_INET6 : AF_INET;
	size_t n = family == AF_INET6 ? 16 : 4, at = 0;
	unsigned char ip[16];
	char text[64];

	if (!str_copy(text, sizeof text, address) || inet_pton(family, text, ip) != 1)
		return false;
	for (size_t i = n; i-- > 0 && at < size;)
		at += (size_t)(n == 4 ? snprintf(out + at, size - at, "%u.", ip[i])
				      : snprintf(out + at, size - at, "%x.%x.", ip[i] & 15u,
					    ip[i] >> 4));
	if (at >= size)
		return false;
	int zn = snprintf(out + at, size - at, "%s", zone);
	return (size_t)zn < size - at;
}
