/* SPDX-License-Identifier: ISC */
/* The settings of keeper, one row each. */
#include "keeper/conf.h"

static const struct setting rows[] = {
    SETTING_INT_ROW(keeper_conf, keeper_queue_max, "1000", 1, 1000000,
	"most passwords that wait to be checked; those beyond are told to come again"),
    SETTING_TIME_ROW(keeper_conf, tls_file_check_interval, "60s", 100, 24 * 3600 * 1000,
	"how often certificate and key files are looked at for changes"),
    SETTING_TIME_ROW(keeper_conf, smtpd_tls_session_cache_timeout, "3600s", 1000, 24 * 3600 * 1000,
	"how long a TLS session may be resumed; a new ticket key comes as often"),
};

const struct settings keeper_settings = {
    "keeper", rows, sizeof rows / sizeof rows[0], sizeof(struct keeper_conf)};
