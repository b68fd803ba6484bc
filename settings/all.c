/* SPDX-License-Identifier: ISC */
/* The list of all tables, and what a configuration may refer to beside settings. */
#include "settings/all.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bounce/conf.h"
#include "cleanup/conf.h"
#include "keeper/conf.h"
#include "lib/conf/common.h"
#include "limiter/conf.h"
#include "local/conf.h"
#include "logger/conf.h"
#include "master/conf.h"
#include "pickup/conf.h"
#include "qmgr/conf.h"
#include "remote/conf.h"
#include "resolver/conf.h"
#include "router/conf.h"
#include "smtpd/conf.h"
#include "spawn/conf.h"
#include "tables/conf.h"

static const struct settings *const programs[] = {
    &master_settings,
    &logger_settings,
    &smtpd_settings,
    &pickup_settings,
    &cleanup_settings,
    &router_settings,
    &tables_settings,
    &resolver_settings,
    &qmgr_settings,
    &remote_settings,
    &local_settings,
    &spawn_settings,
    &bounce_settings,
    &keeper_settings,
    &limiter_settings,
    NULL,
};

/* Services that run whether a section mentions them or not; smtpd serves what the file declares. */
static const char *const services[] = {
    "logger",
    "tables",
    "resolver",
    "keeper",
    "limiter",
    "router",
    "cleanup",
    "qmgr",
    "spawn",
    "local",
    "remote",
    "bounce",
    "pickup",
    NULL,
};

static void
find_names(struct settings_all *all)
{
	if (gethostname(all->hostname, sizeof all->hostname - sizeof ".localdomain") == -1)
		all->hostname[0] = '\0';
	all->hostname[sizeof all->hostname - 1] = '\0';
	if (all->hostname[0] == '\0')
		snprintf(all->hostname, sizeof all->hostname, "localhost");
	if (strchr(all->hostname, '.') == NULL)
		snprintf(all->hostname, sizeof all->hostname, "localhost.localdomain");
}

static void
config_folder(struct settings_all *all, char *to, size_t size)
{
	snprintf(to, size, "%s", all->layout.config);
	*strrchr(to, '/') = '\0';
}

void
settings_all_init(struct settings_all *all, const struct layout *layout)
{
	*all = (struct settings_all){.layout = *layout};
	find_names(all);
	config_folder(all, all->config_directory, sizeof all->config_directory);
	const struct config_macro macros[] = {
	    {"hostname",         all->hostname        },
	    {"instance_root",    all->layout.root     },
	    {"config_directory", all->config_directory},
	    {"spool_directory",  all->layout.spool    },
	    {"log_directory",    all->layout.log      },
	    {"default_aliases",  all->layout.aliases  },
	    {NULL,               NULL                 },
	};
	static_assert(sizeof macros == sizeof all->macros, "one row a macro");
	memcpy(all->macros, macros, sizeof macros);
	all->tables = (struct config_tables){
	    .programs = programs,
	    .common = &conf_common_settings,
	    .service = &service_settings,
	    .macros = all->macros,
	    .services = services,
	};
}
