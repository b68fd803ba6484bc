/* SPDX-License-Identifier: ISC */
/*
 * A list of domains as in mydestination or relay_domains: names, tables (type:name, the domain is
 * the key), files ("/path", of names), and "!" before any of them for "not". The first that fits
 * decides.
 */
#ifndef KP_ROUTER_DOMAINS_H
#define KP_ROUTER_DOMAINS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/table/table.h"

struct domain_item {
	char *name; /* NULL for a table */
	bool negated;
	size_t table; /* its place in `tables` */
};

struct domain_list {
	struct domain_item *items;
	size_t n;
	struct table_list tables;
	bool subdomains; /* a name stands for what is below it, too */
};

int domains_open(struct domain_list *list, const struct setting_list *setting, bool subdomains,
    const char *root, struct why *why) KP_MUST_USE;
void domains_clear(struct domain_list *list);

/* Whether `domain` (lower case) is in the list: 1, 0, TABLE_ASKED, -1 with `why`. */
int domains_match(const struct domain_list *list, struct str domain,
    const struct table_asker *asker, struct why *why) KP_MUST_USE;

#endif
