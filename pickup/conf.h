/* SPDX-License-Identifier: ISC */
/* pickup's settings. */
#ifndef KP_PICKUP_CONF_H
#define KP_PICKUP_CONF_H

#include "lib/conf/common.h"

struct pickup_conf {
	struct conf_common common;
	struct setting_list non_smtpd_milters;
	int64_t pickup_timeout;
	int64_t pickup_session_limit;
	int64_t pickup_recipient_limit;
	int64_t maildrop_retry_delay;
};

extern const struct settings pickup_settings;

#endif
