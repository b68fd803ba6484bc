/* SPDX-License-Identifier: ISC */
/* Lists of domains. */
#include "router/domains.h"

#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"

static int
add_table(struct domain_list *list, struct domain_item *item, struct str spec, const char *root,
    struct why *why)
{
	struct table *t = table_open(spec, root, why);

	if (t == NULL)
		return -1;
	item->table = list->tables.n;
	list->tables.items = xrealloc(list->tables.items, size_mul(list->tables.n + 1, sizeof t));
	list->tables.items[list->tables.n++] = t;
	return 0;
}

static int
add(struct domain_list *list, struct str text, const char *root, struct why *why)
{
	struct domain_item *item = &list->items[list->n++];
	int rc = 0;

	if (text.n > 0 && text.p[0] == '!') {
		item->negated = true;
		text = str_from_at(text, 1);
	}
	if (text.n > 0 && text.p[0] == '/') {
		char *spec = xasprintf("words:%.*s", STR_ARG(text));
		rc = add_table(list, item, str_from(spec), root, why);
		free(spec);
	} else if (text.n > 0 && text.p[0] != '[' && str_chr(text, ':') >= 0) {
		rc = add_table(list, item, text, root, why);
	} else {
		item->name = str_dup(text);
	}
	return rc;
}

int
domains_open(struct domain_list *list, const struct setting_list *setting, bool subdomains,
    const char *root, struct why *why)
{
	*list = (struct domain_list){
	    .items = xcalloc(setting->n + 1, sizeof *list->items), .subdomains = subdomains};
	for (size_t i = 0; i < setting->n; i++) {
		if (add(list, str_from(setting->items[i]), root, why) == -1) {
			domains_clear(list);
			return -1;
		}
	}
	return 0;
}

void
domains_clear(struct domain_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].name);
	free(list->items);
	tables_clear(&list->tables);
	*list = (struct domain_list){0};
}

/* "example.org" and, with subdomains, "a.example.org"; ".example.org" stands for subdomains alone.
 */
static bool
name_fits(const struct domain_list *list, struct str name, struct str domain)
{
	if (str_caseeq(name, domain))
		return true;
	if (name.n > 0 && name.p[0] == '.')
		return domain.n > name.n && str_caseends(domain, name);
	return list->subdomains && domain.n > name.n && str_caseends(domain, name) &&
	       domain.p[domain.n - name.n - 1] == '.';
}

/* In a table the domain is the key, and so are its parents where they stand for it. */
static int
table_fits(const struct domain_list *list, struct table *t, struct str domain,
    const struct table_asker *asker, struct why *why)
{
	struct buf value;
	int found;

	buf_init(&value, TABLE_VALUE_MAX);
	for (;;) {
		found = table_lookup(t, domain, asker, &value, why);
		ptrdiff_t dot = str_chr(domain, '.');
		if (found != TABLE_NONE || !list->subdomains || dot < 0 || table_is_pattern(t))
			break;
		domain = str_from_at(domain, (size_t)dot + 1);
	}
	buf_free(&value);
	return found;
}

int
domains_match(const struct domain_list *list, struct str domain, const struct table_asker *asker,
    struct why *why)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct domain_item *item = &list->items[i];
		int fits = item->name != NULL ? name_fits(list, str_from(item->name), domain)
					      : table_fits(list, list->tables.items[item->table],
						    domain, asker, why);
		if (fits == TABLE_ERROR || fits == TABLE_ASKED)
			return fits;
		if (fits)
			return !item->negated;
	}
	return 0;
}
