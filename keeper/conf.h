/* SPDX-License-Identifier: ISC */
/* What keeper is told. */
#ifndef KEEPER_CONF_H
#define KEEPER_CONF_H

#include "lib/conf/common.h"

struct keeper_conf {
	struct conf_common common;
	int64_t keeper_queue_max;
	int64_t tls_file_check_interval;
	int64_t smtpd_tls_session_cache_timeout;
};

extern const struct settings keeper_settings;

#endif
