/* SPDX-License-Identifier: ISC */
/* What router's files share: the tables, the lists of domains, and the questions under way. */
#ifndef KP_ROUTER_ROUTER_H
#define KP_ROUTER_ROUTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/table/table.h"
#include "router/conf.h"
#include "router/domains.h"

struct event;
struct map;
struct own;
struct question;
struct sandbox;
struct sandbox_path;
struct service;

extern const struct sandbox router_sandbox;

enum router_maps {
	MAPS_ALIAS,
	MAPS_VIRTUAL_ALIAS,
	MAPS_VIRTUAL_MAILBOX,
	MAPS_VIRTUAL_UID,
	MAPS_VIRTUAL_GID,
	MAPS_LOCAL_RECIPIENT,
	MAPS_RELAY_RECIPIENT,
	MAPS_TRANSPORT,
	MAPS_ACCESS,
	MAPS_SNI,
	MAPS_ACCESS_TABLES,
	MAPS_COUNT,
};

enum router_domains { DOMAINS_LOCAL, DOMAINS_ALIAS, DOMAINS_VIRTUAL, DOMAINS_RELAY, DOMAINS_COUNT };

struct router {
	struct service *s; /* NULL in tests */
	const struct router_conf *conf;
	const char *root;
	struct table_list maps[MAPS_COUNT];
	struct domain_list domains[DOMAINS_COUNT];
	bool access_below; /* a domain in an access table stands for its subdomains */
	struct own *own;   /* addresses of this machine */
	uint64_t generation;
	uint64_t conf_stamp;
	int64_t checked;                  /* when the tables were last looked at (clock_ms) */
	struct map *users;                /* answers of program tables (users.c) */
	int64_t since;                    /* when the question that is run came (clock_ms) */
	TAILQ_HEAD(, question) questions; /* by when they came */
	struct event *timer;
	struct sandbox_path *paths; /* owned */
};

#endif
