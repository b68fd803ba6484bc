/* SPDX-License-Identifier: ISC */
/*
 * Entries and tables brought together. Everything that can be wrong in a file is found and said in
 * one go, with its place and the nearest valid name. Values are expanded when asked for and kept.
 */
#include "lib/conf/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"

enum { EXPANSION_DEPTH_MAX = 16, VALUE_MAX = 32 * 1024, NAME_DISTANCE_MAX = 3 };

struct service_decl {
	char *name, *program;
	size_t section; /* of the file, 0: none */
};

struct config {
	const struct config_tables *tables;
	struct conf_file *file;
	struct buf *errors;
	size_t faults;
	struct service_decl *services;
	size_t nservices;
	struct map *values; /* "service/name" to the expanded value, owned */
};

static void fault(struct config *c, const struct conf_place *place, const char *fmt, ...)
    KP_PRINTF(3, 4);

static void
fault(struct config *c, const struct conf_place *place, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	c->faults++;
	(void)!buf_printf(c->errors, "%s:%u: %s\n", place->file, place->line, text);
}

/* --- which rows are valid where --- */

void
config_each_row(const struct config *c, size_t service,
    void (*each)(const struct settings *table, const struct setting *row, void *arg), void *arg)
{
	const char *program = service != 0 ? c->services[service - 1].program : NULL;

	for (size_t i = 0; i < c->tables->common->n; i++)
		each(c->tables->common, &c->tables->common->rows[i], arg);
	for (const struct settings *const *t = c->tables->programs; *t != NULL; t++)
		if (program == NULL || strcmp(program, (*t)->program) == 0)
			for (size_t i = 0; i < (*t)->n; i++)
				each(*t, &(*t)->rows[i], arg);
	if (service != 0)
		for (size_t i = 0; i < c->tables->service->n; i++)
			each(c->tables->service, &c->tables->service->rows[i], arg);
}

struct search {
	struct str name;
	const struct setting *found;
	const char *nearest;
	size_t distance;
};

static void
match_row(const struct settings *table, const struct setting *row, void *arg)
{
	struct search *s = arg;

	(void)table;
	if (s->found == NULL && str_is(s->name, row->name))
		s->found = row;
}

const struct setting *
config_row(const struct config *c, size_t service, struct str name)
{
	struct search s = {.name = name};

	config_each_row(c, service, match_row, &s);
	return s.found;
}

static void
measure_row(const struct settings *table, const struct setting *row, void *arg)
{
	struct search *s = arg;
	size_t d = str_distance(s->name, str_from(row->name));

	(void)table;
	if (d >= s->distance)
		return;
	s->distance = d;
	s->nearest = row->name;
}

const char *
config_nearest(const struct config *c, size_t service, struct str name)
{
	struct search s = {.name = name, .distance = NAME_DISTANCE_MAX + name.n / 5 + 1};

	config_each_row(c, service, measure_row, &s);
	return s.nearest;
}

/* --- values --- */

static const struct conf_entry *
find_entry(const struct config *c, size_t section, const char *name)
{
	for (size_t i = c->file->nentries; i-- > 0;)
		if (c->file->entries[i].section == section &&
		    strcmp(c->file->entries[i].name, name) == 0)
			return &c->file->entries[i];
	return NULL;
}

static const struct conf_entry *
entry_seen_by(const struct config *c, size_t service, const char *name)
{
	size_t section = service != 0 ? c->services[service - 1].section : 0;
	const struct conf_entry *e = section != 0 ? find_entry(c, section, name) : NULL;

	return e != NULL ? e : find_entry(c, 0, name);
}

static const char *
raw_value(const struct config *c, size_t service, struct str name)
{
	for (const struct config_macro *m = c->tables->macros; m != NULL && m->name != NULL; m++)
		if (str_is(name, m->name))
			return m->value;
	const struct setting *row = config_row(c, service, name);
	if (row == NULL)
		row = config_row(c, 0, name); /* another program's, seen globally */
	if (row == NULL)
		return NULL;
	const struct conf_entry *e = entry_seen_by(c, service, row->name);
	return e != NULL ? e->value : row->def;
}

#define DOMAIN_OF "#*." /* as a shell has it */

/* Cuts "name", "{name}" or "{name#*.}" off the text behind a dollar; `*domain`: it was the last. */
static struct str
take_name(struct str *text, bool *domain)
{
	bool braced = text->n > 0 && text->p[0] == '{';
	size_t n = braced ? 1 : 0;

	while (n < text->n && (text->p[n] == '_' || (text->p[n] >= 'a' && text->p[n] <= 'z') ||
				  (text->p[n] >= 'A' && text->p[n] <= 'Z') ||
				  (text->p[n] >= '0' && text->p[n] <= '9')))
		n++;
	struct str name = str_sub(*text, braced, n - braced);
	*domain = braced && str_starts(str_from_at(*text, n), STR(DOMAIN_OF));
	if (*domain)
		n += sizeof DOMAIN_OF - 1;
	if (braced && n < text->n && text->p[n] == '}')
		n++;
	*text = str_from_at(*text, n);
	return name;
}

static int expand(const struct config *c, size_t service, struct str text, unsigned depth,
    struct buf *out, struct why *why);

/* A host's name without its first label. */
static int
expand_domain(const struct config *c, size_t service, struct str text, unsigned depth,
    struct buf *out, struct why *why)
{
	struct buf whole = {.max = VALUE_MAX};
	int result = expand(c, service, text, depth, &whole, why);
	ptrdiff_t dot = str_chr(buf_view(&whole), '.');
	struct str domain =
	    dot == -1 ? STR("localdomain") : str_from_at(buf_view(&whole), (size_t)dot + 1);

	if (result == 0 && buf_str(out, domain) == -1)
		result = why_perm(why, NULL, "longer than %d bytes", VALUE_MAX);
	buf_free(&whole);
	return result;
}

static int
expand(const struct config *c, size_t service, struct str text, unsigned depth, struct buf *out,
    struct why *why)
{
	bool domain;

	if (depth > EXPANSION_DEPTH_MAX)
		return why_perm(why, NULL, "$name refers to itself, or too deep");
	while (text.n > 0) {
		ptrdiff_t dollar = str_chr(text, '$');
		struct str before = dollar == -1 ? text : str_sub(text, 0, (size_t)dollar);
		if (buf_str(out, before) == -1)
			return why_perm(why, NULL, "longer than %d bytes", VALUE_MAX);
		if (dollar == -1)
			return 0;
		text = str_from_at(text, (size_t)dollar + 1);
		if (str_starts(text, STR("$"))) {
			text = str_from_at(text, 1);
			if (buf_byte(out, '$') == -1)
				return why_perm(why, NULL, "longer than %d bytes", VALUE_MAX);
			continue;
		}
		struct str name = take_name(&text, &domain);
		const char *value = raw_value(c, service, name);
		if (value == NULL)
			return why_perm(why, NULL,
			    "$%.*s: there is no such setting (a plain dollar is written $$)",
			    STR_ARG(name));
		if ((domain ? expand_domain : expand)(
			c, service, str_from(value), depth + 1, out, why) == -1)
			return -1;
	}
	return 0;
}

static int
expanded_value(struct config *c, size_t service, const struct setting *row, const char **value,
    struct why *why)
{
	char *key = xasprintf("%zu/%s", service, row->name);
	struct buf out = {.max = VALUE_MAX};
	const struct conf_entry *e = entry_seen_by(c, service, row->name);
	int result = 0;

	*value = map_get(c->values, str_from(key));
	if (*value == NULL) {
		struct str written = str_from(e != NULL ? e->value : row->def);
		result = row->type != SETTING_COMMAND ? expand(c, service, written, 0, &out, why)
			 : buf_str(&out, written) == -1
			     ? why_perm(why, NULL, "longer than %d bytes", VALUE_MAX)
			     : 0;
		char *made = buf_steal(&out);
		*value = made;
		map_put(c->values, str_from(key), made);
	}
	free(key);
	return result;
}

const char *
config_value(struct config *c, size_t service, const struct setting *row, struct conf_place *place)
{
	const struct conf_entry *e = entry_seen_by(c, service, row->name);
	const char *value;
	struct why why;

	if (place != NULL)
		*place = e != NULL ? e->place : (struct conf_place){0};
	if (expanded_value(c, service, row, &value, &why) == -1)
		return row->def; /* a fault that config_load() has reported */
	return value;
}

bool
config_is_set(const struct config *c, size_t service, const struct setting *row)
{
	return entry_seen_by(c, service, row->name) != NULL;
}

void
config_fill(struct config *c, size_t service, const struct settings *table, void *conf)
{
	const struct settings *both[] = {c->tables->common, table};
	struct why why;

	for (size_t t = 0; t < NELEM(both); t++)
		for (size_t i = 0; i < both[t]->n; i++) {
			const struct setting *row = &both[t]->rows[i];
			const char *value = config_value(c, service, row, NULL);
			if (setting_set(row, conf, str_from(value), &why) == -1)
				panic("checked value of %s: %s", row->name, why.text);
		}
}

/* --- services --- */

size_t
config_services(const struct config *c)
{
	return c->nservices;
}

const char *
config_service_name(const struct config *c, size_t service)
{
	return c->services[service - 1].name;
}

const char *
config_service_program(const struct config *c, size_t service)
{
	return c->services[service - 1].program;
}

size_t
config_find_service(const struct config *c, struct str name)
{
	for (size_t i = 0; i < c->nservices; i++)
		if (str_is(name, c->services[i].name))
			return i + 1;
	return 0;
}

static bool
is_program(const struct config *c, const char *name)
{
	for (const struct settings *const *t = c->tables->programs; *t != NULL; t++)
		if (strcmp((*t)->program, name) == 0)
			return true;
	return false;
}

static void
add_service(struct config *c, const char *name, const char *program, size_t section)
{
	c->services = xrealloc(c->services, (c->nservices + 1) * sizeof *c->services);
	c->services[c->nservices++] =
	    (struct service_decl){xstrdup(name), xstrdup(program), section};
}

static void
declare_services(struct config *c)
{
	for (size_t i = 0; i < c->file->nsections; i++) {
		const struct conf_section *s = &c->file->sections[i];
		const struct conf_entry *e = find_entry(c, i + 1, "program");
		const char *program = e != NULL ? e->value : s->name;
		if (!is_program(c, program)) {
			fault(c, e != NULL ? &e->place : &s->place, "service %s: %s", s->name,
			    e != NULL ? "there is no such program"
				      : "\"program = ...\" is missing");
			continue;
		}
		add_service(c, s->name, program, i + 1);
	}
	for (const char *const *name = c->tables->services; *name != NULL; name++)
		if (config_find_service(c, str_from(*name)) == 0)
			add_service(c, *name, *name, 0);
}

static size_t
service_of_section(const struct config *c, size_t section)
{
	for (size_t i = 0; section != 0 && i < c->nservices; i++)
		if (c->services[i].section == section)
			return i + 1;
	return 0;
}

/* --- checks --- */

static void
check_entry(struct config *c, const struct conf_entry *e)
{
	size_t service = service_of_section(c, e->section);
	const struct setting *row = config_row(c, service, str_from(e->name));
	const char *value;
	struct why why;

	if (e->section != 0 && service == 0)
		return; /* a section that is at fault itself */
	if (row == NULL) {
		const char *nearest = config_nearest(c, service, str_from(e->name));
		const char *where = service != 0 ? c->services[service - 1].program : NULL;
		if (where != NULL && config_row(c, 0, str_from(e->name)) != NULL)
			fault(c, &e->place, "%s is not a setting of %s", e->name, where);
		else if (nearest != NULL)
			fault(c, &e->place, "%s: there is no such setting; did you mean %s?",
			    e->name, nearest);
		else
			fault(c, &e->place, "%s: there is no such setting", e->name);
		return;
	}
	if (entry_seen_by(c, service, e->name) != e)
		fault(c, &e->place, "%s is set again further down", e->name);
	else if (expanded_value(c, service, row, &value, &why) == -1 ||
		 setting_set(row, NULL, str_from(value), &why) == -1)
		fault(c, &e->place, "%s: %s", e->name, why.text);
}

/* Overrides of the command line come last and replace what the file says. */
static void
apply_overrides(struct config *c, const char *const *overrides)
{
	for (; overrides != NULL && *overrides != NULL; overrides++) {
		struct conf_file *cf =
		    conf_file_parse("command line", str_from(*overrides), c->errors);
		c->faults += cf->faults;
		for (size_t i = 0; i < cf->nentries; i++) {
			const struct conf_entry *old = find_entry(c, 0, cf->entries[i].name);
			if (old != NULL) {
				struct conf_entry *e = &c->file->entries[old - c->file->entries];
				free(e->value);
				e->value = xstrdup(cf->entries[i].value);
				continue;
			}
			c->file->entries = xrealloc(
			    c->file->entries, (c->file->nentries + 1) * sizeof *c->file->entries);
			c->file->entries[c->file->nentries++] = (struct conf_entry){
			    xstrdup(cf->entries[i].name), xstrdup(cf->entries[i].value), 0,
			    {"command line", 0}
                        };
		}
		conf_file_free(&cf);
	}
}

struct config *
config_load(const struct config_tables *tables, const char *path, const char *const *overrides,
    struct buf *errors)
{
	struct config *c = xcalloc(1, sizeof *c);

	c->tables = tables;
	c->errors = errors;
	c->values = map_new();
	c->file = conf_file_read(path, errors);
	c->faults = c->file->faults;
	apply_overrides(c, overrides);
	declare_services(c);
	for (size_t i = 0; i < c->file->nentries; i++)
		check_entry(c, &c->file->entries[i]);
	return c;
}

size_t
config_faults(const struct config *c)
{
	return c->faults;
}

void
config_free(struct config **cp)
{
	struct config *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	map_free(&c->values, free);
	for (size_t i = 0; i < c->nservices; i++) {
		free(c->services[i].name);
		free(c->services[i].program);
	}
	free(c->services);
	conf_file_free(&c->file);
	free(c);
}

struct mention {
	struct config *c;
	size_t service;
	struct str what;
	bool found;
};

static bool
is_edge(char c, const char *edges)
{
	return c == '\0' || strchr(edges, c) != NULL;
}

static void
look_for(const struct settings *table, const struct setting *row, void *arg)
{
	struct mention *m = arg;

	(void)table;
	if (m->found)
		return;
	const char *value = config_value(m->c, m->service, row, NULL), *at = value;
	while ((at = memmem(at, strlen(at), m->what.p, m->what.n)) != NULL) {
		if ((at == value || is_edge(at[-1], " \t,:={}\"")) &&
		    is_edge(at[m->what.n], m->what.p[0] == '/' ? " \t,:{}\"" : " \t,{}\"")) {
			m->found = true;
			return;
		}
		at++;
	}
}

bool
config_mentions(struct config *c, struct str what)
{
	struct mention m = {.c = c, .what = what};

	if (what.n == 0 || memchr(what.p, '\0', what.n) != NULL)
		return false;
	for (; m.service <= config_services(c) && !m.found; m.service++)
		config_each_row(c, m.service, look_for, &m);
	return m.found;
}
