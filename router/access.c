/* SPDX-License-Identifier: ISC */
/*
 * The keys are made here, so that no other program needs to know the rules of access(5). Tables of
 * patterns are asked for the whole name, address or line alone.
 */
#include "router/access.h"

#include <arpa/inet.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "router/domains.h"

struct access {
	struct query *q;
	struct table *t;
	struct buf *out;
	struct why *why;
};

typedef int key_fn(struct access *a, struct str key);

static struct table *
find_in(const struct table_list *list, struct str map)
{
	for (size_t i = 0; i < list->n; i++)
		if (str_is(map, table_spec(list->items[i])))
			return list->items[i];
	return NULL;
}

static int
look(struct access *a, struct str key)
{
	return key.n == 0 ? TABLE_NONE : table_lookup(a->t, key, &a->q->asker, a->out, a->why);
}

/* name, then its parents: as they are, or with a dot in front where a parent does not stand for its
 * subdomains. */
static int
find_domain(struct access *a, struct str name)
{
	int answer = look(a, name);

	if (table_is_pattern(a->t) || (name.n > 0 && name.p[0] == '['))
		return answer;
	while (answer == TABLE_NONE && name.n > 0) {
		ptrdiff_t dot = str_chr(str_from_at(name, 1), '.');
		if (dot < 0)
			break;
		name = str_from_at(name, (size_t)dot + 1);
		answer = look(a, a->q->r->access_below ? str_from_at(name, 1) : name);
	}
	return answer;
}

/* The address, then its networks: a.b.c, a.b, a; or an IPv6 address without its last groups. */
static int
find_address(struct access *a, struct str address)
{
	int answer = look(a, address);
	char mark = memchr(address.p, ':', address.n) != NULL ? ':' : '.';

	if (table_is_pattern(a->t))
		return answer;
	while (answer == TABLE_NONE) {
		ptrdiff_t at = str_rchr(address, mark);
		if (at <= 0)
			break;
		address = str_sub(address, 0, (size_t)at);
		if (address.p[address.n - 1] != mark)
			answer = look(a, address);
	}
	return answer;
}

/* "name address", or one of them. */
static int
find_client(struct access *a, struct str key)
{
	struct str name = key, address = STR_EMPTY;
	unsigned char room[16];
	char text[INET6_ADDRSTRLEN];
	ptrdiff_t blank = str_chr(key, ' ');

	if (blank >= 0) {
		name = str_sub(key, 0, (size_t)blank);
		address = str_from_at(key, (size_t)blank + 1);
	} else if (str_copy(text, sizeof text, key) &&
		   (inet_pton(AF_INET, text, room) == 1 || inet_pton(AF_INET6, text, room) == 1)) {
		name = STR_EMPTY;
		address = key;
	}
	int answer = find_domain(a, name);
	return answer == TABLE_NONE ? find_address(a, address) : answer;
}

/* user+ext@domain, user@domain, domain, parents, user+ext@, user@. */
static int
find_mailbox(struct access *a, struct str key)
{
	struct address parts = address_split(key, a->q->r->conf->common.recipient_delimiter);
	struct buf text;
	int answer = look(a, key);

	if (answer != TABLE_NONE || table_is_pattern(a->t))
		return answer;
	buf_init(&text, TABLE_KEY_MAX);
	if (parts.has_extension && parts.domain.n > 0 &&
	    buf_printf(&text, "%.*s@%.*s", STR_ARG(parts.user), STR_ARG(parts.domain)) == 0)
		answer = look(a, buf_view(&text));
	if (answer == TABLE_NONE && parts.domain.n > 0)
		answer = find_domain(a, parts.domain);
	buf_reset(&text);
	if (answer == TABLE_NONE && buf_printf(&text, "%.*s@", STR_ARG(parts.local)) == 0)
		answer = look(a, buf_view(&text));
	buf_reset(&text);
	if (answer == TABLE_NONE && parts.has_extension &&
	    buf_printf(&text, "%.*s@", STR_ARG(parts.user)) == 0)
		answer = look(a, buf_view(&text));
	buf_free(&text);
	return answer;
}

static int
find_owner(struct access *a, struct str key)
{
	struct table_list one = {&a->t, 1};
	struct address parts = address_split(key, a->q->r->conf->common.recipient_delimiter);
	unsigned keys = KEYS_DOMAIN;
	int ours =
	    domains_match(&a->q->r->domains[DOMAINS_LOCAL], parts.domain, &a->q->asker, a->why);

	if (ours == TABLE_ERROR || ours == TABLE_ASKED)
		return ours;
	if (ours == 1)
		keys |= KEYS_LOCAL;
	return address_lookup(&one, &parts, keys, &a->q->asker, a->out, NULL, a->why);
}

int
access_find(struct query *q, struct str map, enum access_kind kind, struct str key, struct buf *out,
    struct why *why)
{
	static key_fn *const kinds[] = {
	    [ACCESS_EXACT] = look,
	    [ACCESS_CLIENT] = find_client,
	    [ACCESS_DOMAIN] = find_domain,
	    [ACCESS_ADDRESS] = find_mailbox,
	    [ACCESS_LINE] = look,
	    [ACCESS_OWNER] = find_owner,
	};
	struct access a = {.q = q, .out = out, .why = why};

	a.t = find_in(&q->r->maps[MAPS_ACCESS_TABLES], map);
	if (a.t == NULL)
		a.t = find_in(&q->r->maps[MAPS_ACCESS], map);
	if (a.t == NULL)
		return why_temp(
		    why, "4.3.5", "%.*s: no restriction list or setting names it", STR_ARG(map));
	if ((size_t)kind >= NELEM(kinds))
		return why_temp(why, "4.3.5", "no such kind of key");
	return kinds[kind](&a, key);
}
