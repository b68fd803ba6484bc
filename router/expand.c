/* SPDX-License-Identifier: ISC */
/*
 * Breadth first over a list that only grows: each entry knows the one it came from. An address is
 * asked once. One that comes up among its own ancestors is final there: "joe -> joe, ann" keeps
 * joe, and a loop ends in an address, not in nothing, so that no mail is lost in it.
 */
#include "router/expand.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/table/target.h"
#include "router/domains.h"
#include "router/own.h"
#include "router/route.h"

enum { NO_PARENT = -1 };

struct entry {
	char *address;
	ptrdiff_t parent;
	int64_t depth;
};

struct expansion {
	struct query *q;
	struct entry *entries;
	size_t n;
	struct map *asked; /* addresses that have been expanded */
	struct map *given; /* final addresses that have been given */
	expand_fn *on_address;
	void *arg;
};

static const char present[] = "x"; /* a value for sets */

static void
lower(const char *text, struct buf *out)
{
	buf_reset(out);
	for (; *text != '\0'; text++)
		if (buf_byte(out, *text >= 'A' && *text <= 'Z' ? (char)(*text | 0x20) : *text) ==
		    -1)
			return;
}

/* Puts it into the set; false where it was there. */
static bool
set_add(struct map *set, const char *address)
{
	struct buf key;

	buf_init(&key, MSG_ADDRESS_MAX);
	lower(address, &key);
	bool fresh = map_put(set, buf_view(&key), (void *)(uintptr_t)present) == NULL;
	buf_free(&key);
	return fresh;
}

static bool
is_ancestor(const struct expansion *x, ptrdiff_t at, const char *address)
{
	for (; at != NO_PARENT; at = x->entries[at].parent)
		if (str_caseeq(str_from(x->entries[at].address), str_from(address)))
			return true;
	return false;
}

static int
give(struct expansion *x, const char *address, struct why *why)
{
	if (!set_add(x->given, address))
		return 0;
	if (map_count(x->given) > (size_t)x->q->r->conf->virtual_alias_expansion_limit)
		return why_temp(why, "4.6.0",
		    "virtual aliases of %s: more than virtual_alias_expansion_limit addresses",
		    x->entries[0].address);
	return x->on_address(x->arg, str_from(address), why);
}

static int
push(struct expansion *x, ptrdiff_t parent, const char *address, struct why *why)
{
	const struct router_conf *conf = x->q->r->conf;
	int64_t depth = parent == NO_PARENT ? 0 : x->entries[parent].depth + 1;

	if (is_ancestor(x, parent, address))
		return give(x, address, why);
	if (depth > conf->virtual_alias_recursion_limit)
		return why_temp(why, "4.6.0",
		    "virtual aliases of %s: nested over virtual_alias_recursion_limit",
		    x->entries[0].address); /* NOLINT(clang-analyzer-core.NullDereference) */
	if (x->n > (size_t)conf->virtual_alias_expansion_limit)
		return why_temp(why, "4.6.0",
		    "virtual aliases of %s: more than virtual_alias_expansion_limit addresses",
		    x->entries[0].address);
	x->entries = xrealloc(x->entries, size_mul(x->n + 1, sizeof *x->entries));
	x->entries[x->n++] = (struct entry){xstrdup(address), parent, depth};
	return 0;
}

/* "@domain" keeps the local part; the extension that the table did not know goes on, where that is
 * wanted. */
static int
result_complete(struct expansion *x, const struct address *from, bool add_extension,
    struct str target, char out[static MSG_ADDRESS_MAX + 1], struct why *why)
{
	struct buf text;
	int rc = 0;

	buf_init(&text, MSG_ADDRESS_MAX);
	struct address to = address_split(target, "");
	if (target.p[0] == '@')
		rc = buf_printf(&text, "%.*s%.*s", STR_ARG(from->local), STR_ARG(target));
	else if (add_extension && from->has_extension && to.local.n > 0 && to.local.p[0] != '"')
		rc = buf_printf(&text, "%.*s%c%.*s%.*s", STR_ARG(to.local),
		    from->user.p[from->user.n], STR_ARG(from->extension),
		    STR_ARG(str_from_at(target, to.local.n)));
	else
		rc = buf_str(&text, target);
	if (rc == -1)
		why_temp(why, "4.3.5", "a virtual alias of %.*s is too long", STR_ARG(from->whole));
	else if (route_rewrite(x->q->r, buf_view(&text), out, why) == -1)
		rc = why_temp(why, "4.3.5", "a virtual alias of %.*s is malformed: %s",
		    STR_ARG(from->whole), why->text);
	buf_free(&text);
	return rc;
}

static int
results_push(struct expansion *x, ptrdiff_t at, const struct address *from, bool add_extension,
    struct str value, struct why *why)
{
	char address[MSG_ADDRESS_MAX + 1];
	struct buf room;
	struct target target;
	struct why inner;
	int more;

	buf_init(&room, TARGET_MAX);
	while ((more = target_next(&value, &room, &target, &inner)) == 1) {
		if (target.kind != TARGET_ADDRESS) {
			why_perm(&inner, NULL, "\"%.*s\" is not an address", STR_ARG(target.text));
			more = -1;
			break;
		}
		if (result_complete(x, from, add_extension, target.text, address, why) == -1 ||
		    push(x, at, address, why) == -1) {
			buf_free(&room);
			return -1;
		}
	}
	buf_free(&room);
	return more == 0 ? 0
			 : why_temp(why, "4.3.5", "virtual alias of %.*s: %s", STR_ARG(from->whole),
			       inner.text);
}

static bool
propagates(const struct router_conf *conf)
{
	for (size_t i = 0; i < conf->propagate_unmatched_extensions.n; i++)
		if (strcmp(conf->propagate_unmatched_extensions.items[i], "virtual") == 0)
			return true;
	return false;
}

static unsigned
keys_for(const struct query *q, struct str domain, struct why *why, int *own)
{
	const struct router *r = q->r;

	*own = domain.n == 0 || str_caseeq(domain, str_from(r->conf->common.myorigin)) ||
		       own_has(r->own, domain)
		   ? 1
		   : domains_match(&r->domains[DOMAINS_LOCAL], domain, &q->asker, why);
	return KEYS_DOMAIN | (*own == 1 ? KEYS_LOCAL : 0);
}

static int
step(struct expansion *x, ptrdiff_t at, struct why *why)
{
	const char *address =
	    x->entries[at].address; /* its memory stays where it is when the list grows */
	struct address from =
	    address_split(str_from(address), x->q->r->conf->common.recipient_delimiter);
	struct address_found found;
	struct buf value;
	int own;

	if (!set_add(x->asked, address))
		return TABLE_FOUND;
	unsigned keys = keys_for(x->q, from.domain, why, &own);
	if (own == TABLE_ERROR || own == TABLE_ASKED)
		return own;
	buf_init(&value, TABLE_VALUE_MAX);
	int answer = query_address(x->q, MAPS_VIRTUAL_ALIAS, &from, keys, &value, &found, why);
	if (answer == TABLE_NONE)
		answer = give(x, address, why) == -1 ? TABLE_ERROR : TABLE_FOUND;
	else if (answer == TABLE_FOUND) {
		bool extension = found.extension_unmatched && propagates(x->q->r->conf);
		if (results_push(x, at, &from, extension, buf_view(&value), why) == -1)
			answer = TABLE_ERROR;
	}
	buf_free(&value);
	return answer;
}

int
expand_address(
    struct query *q, struct str address, expand_fn *on_address, void *arg, struct why *why)
{
	char first[MSG_ADDRESS_MAX + 1];
	struct expansion x = {q, NULL, 0, NULL, NULL, on_address, arg};

	if (route_rewrite(q->r, address, first, why) == -1)
		return TABLE_ERROR;
	x.asked = map_new();
	x.given = map_new();
	int answer = push(&x, NO_PARENT, first, why) == -1 ? TABLE_ERROR : TABLE_FOUND;
	for (size_t i = 0; i < x.n && answer == TABLE_FOUND; i++)
		answer = step(&x, (ptrdiff_t)i, why);
	if (answer == TABLE_FOUND && map_count(x.given) == 0)
		answer = why_temp(why, "4.3.5", "the virtual alias of %s leads nowhere", first);
	for (size_t i = 0; i < x.n; i++)
		free(x.entries[i].address);
	free(x.entries);
	map_free(&x.asked, NULL);
	map_free(&x.given, NULL);
	return answer;
}
