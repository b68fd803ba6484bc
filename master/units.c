/* SPDX-License-Identifier: ISC */
/*
 * From a configuration to running services. A service whose values have not changed is left alone;
 * one that changed gets a new generation of workers, or the new values in place; one that is gone
 * is stopped. Listeners are bound before anything changes, so that a port in use leaves the old
 * configuration running.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "master/master.h"
#include "master/wiring.h"

enum { FINGERPRINT_MAX = 4 * 1024 * 1024 };

struct fingerprint {
	struct config *config;
	size_t service;
	struct buf text;
};

static void
add_row(const struct settings *table, const struct setting *row, void *arg)
{
	struct fingerprint *f = arg;

	(void)table;
	if (buf_printf(&f->text, "%s=%s\n", row->name,
		config_value(f->config, f->service, row, NULL)) == -1)
		panic("a configuration of more than %d bytes", FINGERPRINT_MAX);
}

static char *
make_fingerprint(struct config *config, size_t service)
{
	struct fingerprint f = {
	    .config = config, .service = service, .text = {.max = FINGERPRINT_MAX}};

	config_each_row(config, service, add_row, &f);
	/* router and tables are also told which tables others may ask, keeper whose logins they are
	 */
	if (strcmp(config_service_program(config, service), "router") == 0)
		settings_access_tables(config, &f.text);
	if (strcmp(config_service_program(config, service), "tables") == 0)
		settings_remote_tables(config, &f.text);
	if (strcmp(config_service_program(config, service), "keeper") == 0)
		settings_sasl_services(config, &f.text);
	return buf_steal(&f.text);
}

struct service_unit *
units_find(struct master *m, const char *name)
{
	struct service_unit *u;

	TAILQ_FOREACH (u, &m->units, link)
		if (strcmp(u->name, name) == 0)
			return u;
	return NULL;
}

static void
unit_free(struct service_unit *u)
{
	struct worker *w;

	TAILQ_FOREACH (w, &u->master->workers, link)
		if (w->unit == u) {
			w->unit = NULL;
			worker_stop(w, true);
		}
	if (u->ev_restart != NULL)
		event_free(u->ev_restart);
	for (size_t i = 0; i < u->listen.n; i++)
		free(u->listen.items[i]);
	free(u->listen.items);
	free(u->fingerprint);
	free(u->user);
	free(u->name);
	free(u);
}

/* The values of a unit from the configuration; whether they differ from those it had. */
static bool
unit_update(struct service_unit *u, struct config *config, size_t service)
{
	struct service_conf conf = {0};
	char *fingerprint = make_fingerprint(config, service);
	bool changed = u->fingerprint == NULL || strcmp(u->fingerprint, fingerprint) != 0;

	config_fill(config, service, &service_settings, &conf);
	free(u->fingerprint);
	free(u->user);
	u->fingerprint = fingerprint;
	u->number = service;
	u->wanted = conf.workers != 0 ? (size_t)conf.workers : wiring_program(u->program)->workers;
	if (wiring_program(u->program)->single)
		u->wanted = 1;
	u->user = xstrdup(conf.user);
	for (size_t i = 0; i < u->listen.n; i++)
		free(u->listen.items[i]);
	free(u->listen.items);
	u->listen = conf.listen;
	conf.listen = (struct setting_list){0};
	settings_clear(&conf_common_settings, &conf);
	settings_clear(&service_settings, &conf);
	return changed;
}

/* Puts where a service's `listen` stands before what is wrong with it. */
static int
name_place(struct config *config, size_t service, struct why *why)
{
	struct conf_place place = {0};
	char *text = xstrdup(why->text);

	(void)config_value(config, service, config_row(config, service, STR("listen")), &place);
	if (place.file != NULL && place.line > 0)
		why_perm(why, NULL, "%s:%u: %s", place.file, place.line, text);
	free(text);
	return -1;
}

static int
want_listeners(struct master *m, struct config *config, struct why *why)
{
	for (size_t i = 1; i <= config_services(config); i++) {
		struct service_conf conf = {0};
		config_fill(config, i, &service_settings, &conf);
		int result = listen_want(m, &conf.listen, why);
		settings_clear(&conf_common_settings, &conf);
		settings_clear(&service_settings, &conf);
		if (result == -1)
			return name_place(config, i, why);
	}
	return 0;
}

/* After a listener that could not be had: those of the configuration in force stay. */
static void
keep_old_listeners(struct master *m)
{
	struct service_unit *u;
	struct why why;

	TAILQ_FOREACH (u, &m->units, link)
		(void)!listen_want(m, &u->listen, &why); /* they are bound already */
	listen_sweep(m);
}

static void
drop_units(struct master *m, struct config *config)
{
	struct service_unit *next;

	for (struct service_unit *u = TAILQ_FIRST(&m->units); u != NULL; u = next) {
		next = TAILQ_NEXT(u, link);
		size_t service = config_find_service(config, str_from(u->name));
		if (service != 0 &&
		    strcmp(config_service_program(config, service), program_name(u->program)) == 0)
			continue;
		TAILQ_REMOVE(&m->units, u, link);
		unit_free(u);
	}
}

static void
apply_unit(struct master *m, struct config *config, size_t service)
{
	struct service_unit *u = units_find(m, config_service_name(config, service));

	if (u == NULL) {
		u = xcalloc(1, sizeof *u);
		u->master = m;
		u->name = xstrdup(config_service_name(config, service));
		u->program = program_find(str_from(config_service_program(config, service)));
		TAILQ_INSERT_TAIL(&m->units, u, link);
		unit_update(u, config, service);
		return;
	}
	if (unit_update(u, config, service))
		workers_reload(m, u);
}

int
units_apply(struct master *m, struct config *config, struct why *why)
{
	struct service_unit *u;

	if (want_listeners(m, config, why) == -1) {
		keep_old_listeners(m);
		return -1;
	}
	struct config *old = m->config;
	m->config = config;
	settings_clear(&conf_common_settings, &m->conf);
	settings_clear(&master_settings, &m->conf);
	config_fill(config, 0, &master_settings, &m->conf);
	drop_units(m, config);
	for (size_t i = 1; i <= config_services(config); i++) {
		enum program p = program_find(str_from(config_service_program(config, i)));
		if (p != PROGRAM_MASTER)
			apply_unit(m, config, i);
	}
	listen_sweep(m);
	TAILQ_FOREACH (u, &m->units, link)
		workers_fill(u);
	config_free(&old);
	return 0;
}
