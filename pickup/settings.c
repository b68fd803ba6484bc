/* SPDX-License-Identifier: ISC */
/* pickup's settings. */
#include "pickup/conf.h"

static const struct setting rows[] = {
    SETTING_LIST_ROW(pickup_conf, non_smtpd_milters, "",
	"milters that see what comes in by `sendmail`, as smtpd_milters has them"),
    SETTING_TIME_ROW(pickup_conf, pickup_timeout, "300s", 1000, 3600 * 1000,
	"how long a submitting program may be silent"),
    SETTING_INT_ROW(pickup_conf, pickup_session_limit, "500", 1, 100000,
	"submissions at once; more find no listener and use the maildrop"),
    SETTING_INT_ROW(pickup_conf, pickup_recipient_limit, "100000", 1, 10000000,
	"recipients of one submitted message"),
    SETTING_TIME_ROW(pickup_conf, maildrop_retry_delay, "60s", 1000, 3600 * 1000,
	"longest pause before a message of the maildrop that could not be taken is tried again; "
	"the "
	"first is a second, and each is twice the one before"),
};

const struct settings pickup_settings = {
    "pickup", rows, sizeof rows / sizeof rows[0], sizeof(struct pickup_conf)};
