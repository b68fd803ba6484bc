/* SPDX-License-Identifier: ISC */
/* What limiter is told. */
#ifndef LIMITER_CONF_H
#define LIMITER_CONF_H

#include "lib/conf/common.h"

struct limiter_conf {
	struct conf_common common;
	int64_t limiter_entries_max;
	int64_t auth_failure_window;
	int64_t auth_failure_delay;
	int64_t auth_failure_delay_max;
	int64_t auth_block_address_limit;
	int64_t auth_block_network_limit;
	int64_t auth_block_login_limit;
	int64_t auth_known_time;
	int64_t block_time;
	int64_t block_ipv4_prefix_length;
	int64_t block_ipv6_prefix_length;
	int64_t usage_hold_factor;
	int64_t usage_hold_minimum;
	int64_t usage_failure_percent;
	int64_t address_verify_positive_expire_time;
	int64_t address_verify_positive_refresh_time;
	bool address_verify_negative_cache;
	int64_t address_verify_negative_expire_time;
	int64_t address_verify_negative_refresh_time;
	int64_t address_verify_deferred_expire_time;
	int64_t address_verify_pending_request_limit;
};

extern const struct settings limiter_settings;

#endif
