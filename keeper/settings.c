/* SPDX-License-Identifier: ISC */
/* The settings of keeper, one row each. */
#include "keeper/conf.h"

static const struct setting rows[] = {
    SETTING_INT_ROW(keeper_conf, keeper_queue_max, "1000", 1, 1000000,
	"most passwords that wait to be checked; those beyond are told to come again"),
    SETTING_INT_ROW(keeper_conf, keeper_threads, "2", 1, 1000,
	"passwords that are checked at the same time; each takes a core for 20 ms"),
    SETTING_INT_ROW(keeper_conf, keeper_exchanges_max, "10000", 1, 1000000,
	"most AUTH exchanges at the same time; those beyond are told to come again"),
    SETTING_TIME_ROW(keeper_conf, keeper_auth_timeout, "30s", 100, 3600 * 1000,
	"longest wait for one answer of a thread, Dovecot or a checkpassword program"),
    SETTING_INT_ROW(keeper_conf, checkpassword_concurrency_limit, "20", 1, 10000,
	"most checkpassword programs at the same time"),
    SETTING_LIST_ROW(keeper_conf, sasl_services, "",
	"who knows the accounts of which service, in braces: service, smtpd_sasl_type and "
	"smtpd_sasl_path; made by master from what the services say"),
    SETTING_TEXT_ROW(keeper_conf, smtpd_sasl_local_domain, "",
	"the domain of logins that name none, with smtpd_sasl_type = kingpost"),
    SETTING_TIME_ROW(keeper_conf, tls_file_check_interval, "60s", 100, 24 * 3600 * 1000,
	"how often certificate and key files are looked at for changes"),
};

const struct settings keeper_settings = {
    "keeper", rows, sizeof rows / sizeof rows[0], sizeof(struct keeper_conf)};
