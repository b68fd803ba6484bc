/* SPDX-License-Identifier: ISC */
/* Every setting of every program, for those who need to know them all: master, kingpost, the
 * manual. */
#ifndef KP_SETTINGS_ALL_H
#define KP_SETTINGS_ALL_H

#include "lib/base/layout.h"
#include "lib/conf/config.h"

/* The tables of a configuration, and the macros that are true for one machine and instance. Owned
 * by the caller. */
struct settings_all {
	struct layout layout;
	char hostname[256], config_directory[PATH_MAX];
	struct config_macro macros[7];
	struct config_tables tables;
};

/*
 * $hostname (with "localdomain" where the machine's name has no dot), $instance_root,
 * $config_directory, $spool_directory, $log_directory, $default_aliases. The
 * structure must stay where it is: the tables point into it.
 */
void settings_all_init(struct settings_all *all, const struct layout *layout);

/*
 * What a configuration lets outsiders do: a mynetworks that is malformed, or an open relay that is
 * not asked for in so many words (open_relay). Each fault is a line in `errors`, with its place;
 * their number.
 */
size_t settings_check_trust(struct config *config, struct buf *errors);

/* The tables that restriction lists, classes and lists of checks name, in all services: what
 * router's access_tables is made of. Items apart by commas, added to what `out` holds. */
void settings_access_tables(struct config *config, struct buf *out);

/* The tcp: and socketmap: tables that any setting names: what remote_tables of tables is made of.
 */
void settings_remote_tables(struct config *config, struct buf *out);

/* Items "{service type path}" of the smtpd services that offer AUTH: what sasl_services of keeper
 * is made of. */
void settings_sasl_services(struct config *config, struct buf *out);

/* Missing, unreadable and mismatching certificate files of smtpd's services, and those that expire
 * soon; `problem` is called for each service that has such. */
void settings_check_certificates(
    struct config *c, void (*problem)(void *arg, const char *service, const char *text), void *arg);

#endif
