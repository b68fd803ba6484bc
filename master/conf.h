/* SPDX-License-Identifier: ISC */
/* master's settings, and those that only a service section has. */
#ifndef KP_MASTER_CONF_H
#define KP_MASTER_CONF_H

#include "lib/conf/common.h"

struct master_conf {
	struct conf_common common;
	int64_t stop_timeout;
	int64_t drain_timeout;
	char *operators_group;
	struct setting_list shared_paths;
	bool open_relay; /* settings_check_trust() looks at it */
};

extern const struct settings master_settings;

struct service_conf {
	struct conf_common common;
	char *program;
	struct setting_list listen;
	int64_t workers;
	char *user;
};

extern const struct settings service_settings;

#endif
