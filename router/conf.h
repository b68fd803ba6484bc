/* SPDX-License-Identifier: ISC */
/* Router's settings (settings.c has the rows). */
#ifndef KP_ROUTER_CONF_H
#define KP_ROUTER_CONF_H

#include "lib/conf/common.h"

struct router_conf {
	struct conf_common common;
	bool append_at_myorigin;
	bool append_dot_mydomain;
	char *empty_address_recipient;
	struct setting_list proxy_interfaces;
	struct setting_list virtual_alias_domains;
	struct setting_list virtual_alias_maps;
	int64_t virtual_alias_expansion_limit;
	int64_t virtual_alias_recursion_limit;
	struct setting_list propagate_unmatched_extensions;
	struct setting_list virtual_mailbox_domains;
	struct setting_list virtual_mailbox_maps;
	char *virtual_mailbox_base;
	struct setting_list virtual_uid_maps;
	struct setting_list virtual_gid_maps;
	int64_t virtual_minimum_uid;
	struct setting_list relay_domains;
	struct setting_list relay_recipient_maps;
	struct setting_list parent_domain_matches_subdomains;
	struct setting_list alias_maps;
	struct setting_list local_recipient_maps;
	struct setting_list transport_maps;
	struct setting_list access_maps;
	struct setting_list access_tables;
	char *relayhost;
	char *default_transport;
	char *local_transport;
	char *virtual_transport;
	char *relay_transport;
	int64_t unix_user_ttl;
	int64_t remote_table_ttl;
	int64_t route_ttl;
	int64_t tables_timeout;
};

extern const struct settings router_settings;

#endif
