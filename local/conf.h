/* SPDX-License-Identifier: ISC */
/* Local's settings (settings.c has the rows). */
#ifndef KP_LOCAL_CONF_H
#define KP_LOCAL_CONF_H

#include "lib/conf/common.h"

struct local_conf {
	struct conf_common common;
	char *default_privs;
	char *home_mailbox;
	char *mail_spool_directory;
	char *mailbox_command;
	struct setting_list allow_mail_to_commands;
	struct setting_list allow_mail_to_files;
	struct setting_list forward_path;
	int64_t command_time_limit;
	int64_t mailbox_lock_time_limit;
	int64_t alias_recursion_limit;
	int64_t alias_expansion_limit;
	int64_t virtual_minimum_uid;
	int64_t local_agents_max;
	int64_t local_agent_idle_time;
	int64_t local_deliveries_max;
	int64_t local_delivery_time_limit;
};

extern const struct settings local_settings;

#endif
