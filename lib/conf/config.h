/* SPDX-License-Identifier: ISC */
/*
 * The configuration as a whole: the file's entries held against every program's table. What a
 * service sees of a setting is its own section's value, else the global one, else the default;
 * $name stands for another setting's value as that service sees it.
 */
#ifndef KP_CONF_CONFIG_H
#define KP_CONF_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/conf/file.h"
#include "lib/conf/setting.h"

struct buf;
struct config;

struct config_macro {
	const char *name, *value;
};

/* What exists; all constant and outliving the configuration. */
struct config_tables {
	const struct settings *const
	    *programs; /* ended by NULL; each is valid globally and in its program's sections */
	const struct settings *common;  /* valid globally and in every section */
	const struct settings *service; /* valid in sections only: program, listen, workers, ... */
	const struct config_macro *macros; /* ended by {NULL, NULL}: $hostname and the like */
	const char *const *services;       /* services that exist without a section, named as their
					      program; ended by NULL */
};

/*
 * Reads and checks everything. Faults are lines in `errors`; config_faults() counts them. The
 * caller frees it with config_free(), also where there are faults.
 */
struct config *config_load(const struct config_tables *tables, const char *path,
    const char *const *overrides, struct buf *errors) KP_MUST_USE;
size_t config_faults(const struct config *c);
void config_free(struct config **cp);

/* The services, by number from 1 to config_services(). */
size_t config_services(const struct config *c);
const char *config_service_name(const struct config *c, size_t service);
const char *config_service_program(const struct config *c, size_t service);
size_t config_find_service(const struct config *c, struct str name); /* 0: none */

/* Whether a setting is valid in this service (0: globally). Its row, or NULL. */
const struct setting *config_row(const struct config *c, size_t service, struct str name);

/* The value that `service` sees (0: the global one), expanded; it lives as long as the
 * configuration. `place` may be NULL; its file is NULL for a default. */
const char *config_value(
    struct config *c, size_t service, const struct setting *row, struct conf_place *place);

/* Whether the value comes from the file (or an override) and not from the default. */
bool config_is_set(const struct config *c, size_t service, const struct setting *row);

/* The nearest valid name to a mistyped one, or NULL. */
const char *config_nearest(const struct config *c, size_t service, struct str name);

/* Fills a program's struct with what `service` sees: common rows first, then the program's. */
void config_fill(struct config *c, size_t service, const struct settings *table, void *conf);

/* The tables that `service` is made of: calls `each` for every row. */
void config_each_row(const struct config *c, size_t service,
    void (*each)(const struct settings *table, const struct setting *row, void *arg), void *arg);

/* Whether some service's value of some setting holds `what` as a word (behind a "type:", in a list,
 * in braces): master opens and connects for its workers what the configuration names. */
bool config_mentions(struct config *c, struct str what);

#endif
