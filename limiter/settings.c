/* SPDX-License-Identifier: ISC */
/* The settings of limiter, one row each. */
#include "limiter/conf.h"

#define TIME(name, def, min, max, help) SETTING_TIME_ROW(limiter_conf, name, def, min, max, help)
#define BOOL(name, def, help) SETTING_BOOL_ROW(limiter_conf, name, def, help)
#define INT(name, def, min, max, help) SETTING_INT_ROW(limiter_conf, name, def, min, max, help)

enum { DAY = 24 * 3600 * 1000 };

static const struct setting rows[] = {
    INT(limiter_entries_max, "250000", 1000, 100000000,
	"most counters, and most greylist entries, blocks and known clients, that are kept; the "
	"least recent one goes first"),
    TIME(auth_failure_window, "10m", 1000, DAY, "failed logins are counted over this time"),
    TIME(auth_failure_delay, "1s", 0, 60 * 1000,
	"delay of the answer to a client's second failed login; doubled by each further one"),
    TIME(auth_failure_delay_max, "16s", 0, 300 * 1000, "longest such delay"),
    INT(auth_block_address_limit, "10", 0, 1000000,
	"failed logins within auth_failure_window that block an address; 0: none do"),
    INT(auth_block_network_limit, "50", 0, 1000000,
	"... that block a network of block_ipv4_prefix_length or block_ipv6_prefix_length"),
    INT(auth_block_login_limit, "50", 0, 1000000,
	"... that block an account, but not for addresses from which it has logged in within "
	"auth_known_time"),
    TIME(auth_known_time, "30d", 0, 365LL * DAY,
	"how long an address from which an account has logged in is known for it"),
    TIME(block_time, "1h", 1000, 365LL * DAY, "how long a block lasts"),
    INT(block_ipv4_prefix_length, "24", 8, 32, "size of an IPv4 network that is blocked as one"),
    INT(block_ipv6_prefix_length, "64", 16, 128, "size of an IPv6 network that is blocked as one"),
    INT(usage_hold_factor, "10", 0, 1000000,
	"mail of a login that sends so many times what it usually sends in an hour goes to hold; "
	"0: never"),
    INT(usage_hold_minimum, "200", 1, 100000000,
	"recipients in an hour that are never too many, whatever is usual"),
    INT(usage_failure_percent, "50", 0, 100,
	"mail of a login goes to hold when so many percent of an hour's recipients failed; 0: "
	"never"),
    TIME(address_verify_positive_expire_time, "31d", 1000, 365LL * DAY,
	"address verification: how long an address that takes mail is known as such"),
    TIME(address_verify_positive_refresh_time, "7d", 0, 365LL * DAY,
	"... after which it is probed again when it is asked for, and believed meanwhile"),
    BOOL(address_verify_negative_cache, "yes", "keep what failed for good, too"),
    TIME(address_verify_negative_expire_time, "3d", 1000, 365LL * DAY,
	"how long an address that takes no mail is known as such"),
    TIME(address_verify_negative_refresh_time, "3h", 0, 365LL * DAY,
	"... after which it is probed again when it is asked for, and refused meanwhile"),
    TIME(address_verify_deferred_expire_time, "1m", 0, DAY,
	"how long the result of a probe that could not tell is kept"),
    INT(address_verify_pending_request_limit, "5000", 1, 1000000,
	"most address probes under way; an address beyond it is not verified now"),
};

const struct settings limiter_settings = {
    "limiter", rows, sizeof rows / sizeof rows[0], sizeof(struct limiter_conf)};
