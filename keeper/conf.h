/* SPDX-License-Identifier: ISC */
/* What keeper is told. */
#ifndef KEEPER_CONF_H
#define KEEPER_CONF_H

#include "lib/conf/common.h"

struct keeper_conf {
	struct conf_common common;
	int64_t keeper_queue_max;
	int64_t keeper_threads;
	int64_t keeper_exchanges_max;
	int64_t keeper_auth_timeout;
	int64_t checkpassword_concurrency_limit;
	struct setting_list sasl_services;
	char *smtpd_sasl_local_domain;
	int64_t tls_file_check_interval;
};

extern const struct settings keeper_settings;

#endif
