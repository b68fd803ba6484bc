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
};

extern const struct settings tables_settings;

#endif
