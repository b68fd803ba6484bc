/* SPDX-License-Identifier: ISC */
/* The order of an address's keys, as a list of views that is made once and walked for all tables.
 */
#include "lib/table/address.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"

static bool
keeps_whole(struct str local, char delimiter)
{
	if (str_caseis(local, "postmaster") || str_caseis(local, "mailer-daemon") ||
	    str_caseis(local, "double-bounce"))
		return true;
	return delimiter == '-' &&
	       (str_casestarts(local, STR("owner-")) || str_caseends(local, STR("-request")));
}

struct address
address_split(struct str text, const char *delimiters)
{
	ptrdiff_t at = str_rchr(text, '@');
	struct address a = {.whole = text, .local = at < 0 ? text : str_sub(text, 0, (size_t)at)};

	a.domain = at < 0 ? STR_EMPTY : str_from_at(text, (size_t)at + 1);
	a.user = a.local;
	a.extension = STR_EMPTY;
	if (a.local.n > 0 && a.local.p[0] == '"')
		return a;
	for (size_t i = 1; i < a.local.n; i++) {
		if (strchr(delimiters, a.local.p[i]) == NULL || a.local.p[i] == '\0')
			continue;
		if (keeps_whole(a.local, a.local.p[i]))
			break;
		a.user = str_sub(a.local, 0, i);
		a.extension = str_from_at(a.local, i + 1);
		a.has_extension = true;
		break;
	}
	return a;
}

struct key {
	struct str text;
	bool whole; /* pattern tables get this one */
	bool no_extension;
};

enum { KEYS_MAX = 40 };

struct key_list {
	struct key items[KEYS_MAX];
	size_t n;
	char bare[TABLE_KEY_MAX + 1]; /* user@domain */
	char raw[TABLE_KEY_MAX + 1];  /* the local part without its quotes */
};

static void
add(struct key_list *l, struct str text, bool no_extension)
{
	if (l->n == KEYS_MAX || text.n == 0)
		return;
	l->items[l->n] = (struct key){text, l->n == 0, no_extension};
	l->n++;
}

static void
add_route(struct key_list *l, struct str domain)
{
	add(l, domain, false);
	if (domain.n > 0 && domain.p[0] == '[') /* a literal has no parents */
		domain = STR_EMPTY;
	for (ptrdiff_t dot; (dot = str_chr(domain, '.')) >= 0;
	     domain = str_from_at(domain, (size_t)dot + 1))
		add(l, str_from_at(domain, (size_t)dot), false);
	add(l, STR("*"), false);
}

/* Local names stand in their tables as they are: "john doe"@here is asked for as john doe. */
static struct str
unquoted(struct key_list *l, struct str local)
{
	size_t n = 0;

	if (local.n < 2 || local.p[0] != '"' || local.n > sizeof l->raw)
		return local;
	for (size_t i = 1; i + 1 < local.n; i++) {
		if (local.p[i] == '\\' && i + 2 < local.n)
			i++;
		l->raw[n++] = local.p[i];
	}
	return str_make(l->raw, n);
}

static void
keys_make(struct key_list *l, const struct address *a, unsigned keys)
{
	l->n = 0;
	add(l, a->whole, false);
	if (a->has_extension && a->domain.n > 0) {
		int n = snprintf(
		    l->bare, sizeof l->bare, "%.*s@%.*s", STR_ARG(a->user), STR_ARG(a->domain));
		if (n > 0 && (size_t)n < sizeof l->bare)
			add(l, str_from(l->bare), true);
	}
	if (keys & KEYS_LOCAL && a->domain.n > 0)
		add(l, unquoted(l, a->local), false);
	if (keys & KEYS_LOCAL && a->has_extension)
		add(l, a->user, true);
	if (keys & KEYS_DOMAIN && a->domain.n > 0)
		add(l, str_from_at(a->whole, a->local.n), false);
	if (keys & KEYS_ROUTE)
		add_route(l, a->domain);
}

static bool
suits(const struct key *key, struct table *t)
{
	if (table_is_pattern(t))
		return key->whole;
	return !table_is_unix(t) || str_chr(key->text, '@') < 0;
}

int
address_lookup(const struct table_list *tables, const struct address *a, unsigned keys,
    const struct table_asker *asker, struct buf *out, struct address_found *found, struct why *why)
{
	struct key_list list;

	keys_make(&list, a, keys);
	for (size_t k = 0; k < list.n; k++) {
		for (size_t t = 0; t < tables->n; t++) {
			if (!suits(&list.items[k], tables->items[t]))
				continue;
			int answer =
			    table_lookup(tables->items[t], list.items[k].text, asker, out, why);
			if (answer == TABLE_NONE)
				continue;
			if (found != NULL) {
				found->table = tables->items[t];
				found->extension_unmatched = list.items[k].no_extension;
				(void)str_copy(found->key, sizeof found->key,
				    list.items[k].text); /* was looked up: fits */
			}
			return answer;
		}
	}
	return TABLE_NONE;
}
