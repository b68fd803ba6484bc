/* SPDX-License-Identifier: ISC */
/* conf and check: the configuration as each service sees it, where a value comes from, and what
 * would go wrong with it. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "control/kingpost.h"
#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/net.h"
#include "lib/base/why.h"
#include "lib/table/table.h"

enum { ERRORS_MAX = 1024 * 1024 };

struct config *
load_config(struct kingpost *k)
{
	struct buf errors = {.max = ERRORS_MAX};
	struct config *config = config_load(&k->all.tables, k->layout.config, NULL, &errors);

	if (config_faults(config) > 0 || settings_check_trust(config, &errors) > 0) {
		fputs(buf_cstr(&errors), stderr);
		config_free(&config);
	}
	buf_free(&errors);
	return config;
}

/* --- conf --- */

struct listing {
	struct config *config;
	size_t service; /* 0: globally */
	bool changed;
	struct map *seen;
};

static void
print_row(const struct settings *table, const struct setting *row, void *arg)
{
	struct listing *l = arg;

	(void)table;
	if (map_put(l->seen, str_from(row->name), (void *)(uintptr_t)row) != NULL)
		return; /* two programs share it */
	if (l->changed && !config_is_set(l->config, l->service, row))
		return;
	printf("%s = %s\n", row->name, config_value(l->config, l->service, row, NULL));
}

static void
print_all(struct listing *l)
{
	l->seen = map_new();
	config_each_row(l->config, l->service, print_row, l);
	map_free(&l->seen, NULL);
}

/* The settings of a section that are its own. */
static void
print_sections(struct config *config)
{
	for (size_t i = 1; i <= config_services(config); i++) {
		struct listing l = {.config = config, .service = i, .changed = true};
		printf("\nservice %s {\n", config_service_name(config, i));
		print_all(&l);
		printf("}\n");
	}
}

static int
explain(struct config *config, size_t service, const char *name)
{
	const struct setting *row = config_row(config, service, str_from(name));
	struct conf_place place;

	if (row == NULL) {
		const char *nearest = config_nearest(config, service, str_from(name));
		complain("%s: there is no such setting%s%s%s", name,
		    nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
		    nearest != NULL ? "?" : "");
		return EX_USAGE;
	}
	printf("%s = %s\n", row->name, config_value(config, service, row, &place));
	if (place.file == NULL)
		printf("\tfrom: default (%s)\n", row->def);
	else
		printf("\tfrom: %s:%u\n", place.file, place.line);
	printf("\t%s\n", row->help);
	return EX_OK;
}

int
cmd_conf(struct kingpost *k, int argc, char **argv)
{
	struct listing l = {0};
	int status = EX_OK, names = 0;

	l.config = load_config(k);
	if (l.config == NULL)
		return EX_CONFIG;
	for (int i = 1; i < argc && status == EX_OK; i++) {
		if (strcmp(argv[i], "--changed") == 0) {
			l.changed = true;
		} else if (strcmp(argv[i], "--service") == 0 && i + 1 < argc) {
			l.service = config_find_service(l.config, str_from(argv[++i]));
			if (l.service == 0) {
				complain("there is no service %s", argv[i]);
				status = EX_USAGE;
			}
		} else if (argv[i][0] == '-') {
			status = EX_USAGE;
		} else {
			status = explain(l.config, l.service, argv[i]);
			names++;
		}
	}
	if (status == EX_OK && names == 0) {
		print_all(&l);
		if (l.service == 0 && l.changed)
			print_sections(l.config);
	}
	config_free(&l.config);
	return status;
}

/* --- check --- */

struct check {
	struct config *config;
	size_t problems;
	struct layout *layout;
};

static void
problem(struct check *c, const struct conf_place *place, const char *name, const char *text)
{
	c->problems++;
	if (place->file != NULL)
		printf("%s:%u: %s: %s\n", place->file, place->line, name, text);
	else
		printf("%s (default): %s\n", name, text);
}

/* Settings that name tables: each must open, and be readable by more than root. */
static bool
names_tables(const struct setting *row)
{
	struct str name = str_from(row->name);

	return row->type == SETTING_LIST &&
	       (str_ends(name, STR("_maps")) || str_ends(name, STR("_access")));
}

static void
check_table(
    struct check *c, const struct setting *row, const struct conf_place *place, const char *spec)
{
	struct why why;
	struct stat st = {0};
	struct buf out = {.max = TABLE_VALUE_MAX};
	char text[PATH_MAX + 128];

	if (spec[0] == '$' || strchr(spec, ':') == NULL)
		return;
	struct table *t = table_open(str_from(spec), c->layout->root, &why);
	if (t == NULL) {
		problem(c, place, row->name, why.text);
		return;
	}
	if (table_path(t) != NULL && stat(table_path(t), &st) == -1) {
		snprintf(text, sizeof text, "%s: %s", table_path(t), strerror(errno));
		problem(c, place, row->name, text);
	} else if (table_path(t) != NULL && geteuid() == 0 && (st.st_mode & S_IROTH) == 0) {
		snprintf(text, sizeof text, "%s: mode %03o: router's user must be able to read it",
		    table_path(t), st.st_mode & 0777);
		problem(c, place, row->name, text);
	} else if (table_lookup(t, STR("postmaster"), NULL, &out, &why) == TABLE_ERROR) {
		problem(c, place, row->name, why.text);
	}
	buf_free(&out);
	table_free(&t);
}

static void
check_row(const struct settings *table, const struct setting *row, void *arg)
{
	struct check *c = arg;
	struct conf_place place;
	struct setting_list list = {0};
	const struct setting as_list = {.name = row->name, .type = SETTING_LIST};
	struct why why;

	(void)table;
	if (!names_tables(row))
		return;
	const char *value = config_value(c->config, 0, row, &place);
	if (setting_set(&as_list, &list, str_from(value), &why) == -1)
		return;
	for (size_t i = 0; i < list.n; i++) {
		check_table(c, row, &place, list.items[i]);
		free(list.items[i]);
	}
	free(list.items);
}

static void
check_aliases_of_root(struct check *c)
{
	struct conf_place none = {0};

	if (access(c->layout->aliases, R_OK) == -1)
		problem(c, &none, "alias_maps",
		    "there is no alias file; mail to root and postmaster has nowhere to go");
}

/* A port that another program has, as far as this caller can tell: while the suite runs the ports
 * are its own. */
static void
check_ports(struct check *c, const struct kingpost *k)
{
	const struct setting list_row = {.name = "listen", .type = SETTING_LIST};
	struct why why;
	struct chan_client *running = client_connect(k, "control", &why);
	bool ours = running != NULL || geteuid() != 0;

	chan_client_free(&running);
	for (size_t i = 1; i <= config_services(c->config) && !ours; i++) {
		struct conf_place place;
		struct setting_list list = {0};
		const struct setting *row = config_row(c->config, i, STR("listen"));
		if (setting_set(&list_row, &list, str_from(config_value(c->config, i, row, &place)),
			&why) == -1)
			continue;
		for (size_t n = 0; n < list.n; n++) {
			int fd = net_listen(list.items[n], &why);
			if (fd == -1)
				problem(c, &place, config_service_name(c->config, i), why.text);
			fd_close(&fd);
			free(list.items[n]);
		}
		free(list.items);
	}
}

static void
on_certificate(void *arg, const char *service, const char *text)
{
	struct check *c = arg;

	c->problems++;
	printf("service %s: %s\n", service, text);
}

int
cmd_check(struct kingpost *k, int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--relay") == 0)
		return check_relay(k);
	struct check c = {.config = load_config(k), .layout = &k->layout};

	if (argc > 1)
		return EX_USAGE;
	if (c.config == NULL)
		return EX_CONFIG;
	config_each_row(c.config, 0, check_row, &c);
	check_aliases_of_root(&c);
	check_ports(&c, k);
	settings_check_certificates(c.config, on_certificate, &c);
	config_free(&c.config);
	if (c.problems > 0)
		printf("%zu problem%s\n", c.problems, c.problems == 1 ? "" : "s");
	return c.problems > 0 ? EX_CONFIG : EX_OK;
}
