/* SPDX-License-Identifier: ISC */
/* Resolver's settings (settings.c has the rows). */
#ifndef KP_RESOLVER_CONF_H
#define KP_RESOLVER_CONF_H

#include "lib/conf/common.h"

struct resolver_conf {
	struct conf_common common;
	struct setting_list dns_servers;
	bool dns_recursion;
	struct setting_list dns_trust_anchor;
	int64_t dns_timeout;
	int64_t dns_queries_max;
	int64_t dns_cache_size;
	char *dns_resolv_conf;
	char *dns_hosts_file;
};

extern const struct settings resolver_settings;

#endif
