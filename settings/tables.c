/* SPDX-License-Identifier: ISC */
/*
 * Which tables smtpd and cleanup may have asked: those that the configuration names in a place
 * where access tables stand. A program that an attacker has taken over cannot make router open
 * another.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/map.h"
#include "settings/all.h"

enum { DEPTH_MAX = 8 };

struct collection {
	struct config *config;
	size_t service;
	struct buf *out;
	struct map *seen;
};

/* A setting of smtpd or cleanup whose value names such tables. */
static bool
names_tables(const struct settings *table, const struct setting *row)
{
	static const char *const ends[] = {
	    "_restrictions", "_classes", "_checks", "_access", "_maps", "_clientcerts"};
	struct str name = str_from(row->name);

	if (strcmp(table->program, "smtpd") != 0 && strcmp(table->program, "cleanup") != 0)
		return false;
	for (size_t i = 0; i < NELEM(ends); i++)
		if (str_ends(name, str_from(ends[i])))
			return true;
	return false;
}

/* "type:name", where the type is no network's. */
static bool
is_table(struct str item)
{
	size_t n = 0;

	while (n < item.n && ((item.p[n] >= 'a' && item.p[n] <= 'z') || item.p[n] == '-'))
		n++;
	return n > 0 && n + 1 < item.n && item.p[n] == ':' && !str_starts(item, STR("inet:")) &&
	       !str_starts(item, STR("unix:/"));
}

static void
add(struct collection *c, struct str item)
{
	if (map_put(c->seen, item, c) != NULL)
		return;
	/* braces keep an item with blanks whole; inline:{a=b} has its own */
	if (buf_printf(c->out,
		str_chr(item, '{') < 0 && str_chr(item, ' ') >= 0 ? "%s{%.*s}" : "%s%.*s",
		c->out->n > 0 ? ", " : "", STR_ARG(item)) == -1)
		return; /* more than a setting may be: router refuses what is missing */
}

static void
collect(struct collection *c, struct str text, unsigned depth)
{
	static const struct setting row = {.name = "tables", .type = SETTING_LIST};
	struct setting_list list = {0};

	if (depth > DEPTH_MAX || setting_set(&row, &list, text, NULL) == -1)
		return;
	for (size_t i = 0; i < list.n; i++) {
		struct str item = str_from(list.items[i]);
		ptrdiff_t brace = str_chr(item, '{');
		if (is_table(item))
			add(c, item);
		else if (brace >= 0 && item.p[item.n - 1] == '}') /* a class */
			collect(c, str_sub(item, (size_t)brace + 1, item.n - (size_t)brace - 2),
			    depth + 1);
		else if (strpbrk(list.items[i], ", \t") != NULL)
			collect(c, item, depth + 1);
		free(list.items[i]);
	}
	free(list.items);
}

/* tcp: and socketmap: tables, wherever they stand, also as a part of an item. */
static void
collect_remote(struct collection *c, struct str text)
{
	struct str word;

	while (str_word(&text, " \t\r\n,{}\"", &word)) {
		if (str_starts(word, STR("!")))
			word = str_from_at(word, 1);
		if (str_starts(word, STR("proxy:")))
			word = str_from_at(word, sizeof "proxy:" - 1);
		if (str_starts(word, STR("tcp:")) || str_starts(word, STR("socketmap:")))
			add(c, word);
	}
}

static void
on_any_row(const struct settings *table, const struct setting *row, void *arg)
{
	struct collection *c = arg;

	(void)table;
	if (row->type == SETTING_LIST || row->type == SETTING_TEXT)
		collect_remote(c, str_from(config_value(c->config, c->service, row, NULL)));
}

void
settings_remote_tables(struct config *config, struct buf *out)
{
	struct collection c = {.config = config, .out = out, .seen = map_new()};

	for (; c.service <= config_services(config); c.service++)
		config_each_row(config, c.service, on_any_row, &c);
	map_free(&c.seen, NULL);
}

static void
on_row(const struct settings *table, const struct setting *row, void *arg)
{
	struct collection *c = arg;

	if (names_tables(table, row))
		collect(c, str_from(config_value(c->config, c->service, row, NULL)), 0);
}

void
settings_access_tables(struct config *config, struct buf *out)
{
	struct collection c = {.config = config, .out = out, .seen = map_new()};

	for (; c.service <= config_services(config); c.service++)
		config_each_row(config, c.service, on_row, &c);
	map_free(&c.seen, NULL);
}
