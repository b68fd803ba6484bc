/* SPDX-License-Identifier: ISC */
/* Spawn's settings (settings.c has the rows). */
#ifndef KP_SPAWN_CONF_H
#define KP_SPAWN_CONF_H

#include "lib/conf/common.h"

struct spawn_conf {
	struct conf_common common;
	int64_t virtual_minimum_uid;
	int64_t spawn_processes_max;
	char *mail_spool_directory;
	char *checkpassword_command;
	char *checkpassword_user;
	int64_t checkpassword_timeout;
};

extern const struct settings spawn_settings;

#endif
