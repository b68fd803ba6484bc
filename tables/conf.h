/* SPDX-License-Identifier: ISC */
/* Tables' settings (settings.c has the rows). */
#ifndef KP_TABLES_CONF_H
#define KP_TABLES_CONF_H

#include "lib/conf/common.h"

struct tables_conf {
	struct conf_common common;
	int64_t tables_threads;
	int64_t tables_queue_max;
	int64_t tables_timeout;
	int64_t remote_table_connections;
	int64_t remote_table_max_idle;
	int64_t remote_table_max_age;
	struct setting_list remote_tables;
};

extern const struct settings tables_settings;

#endif
