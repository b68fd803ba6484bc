/* SPDX-License-Identifier: ISC */
/* bounce's settings. */
#ifndef KP_BOUNCE_CONF_H
#define KP_BOUNCE_CONF_H

#include "lib/conf/common.h"

struct bounce_conf {
	struct conf_common common;
	int64_t bounce_size_limit;
	char *twobounce_notice_recipient;
	char *error_notice_recipient;
	struct setting_list notify_classes;
};

extern const struct settings bounce_settings;

#endif
