/* SPDX-License-Identifier: ISC */
/* What smtpd is told. Settings that do what a Postfix parameter does bear its name. */
#ifndef SMTPD_CONF_H
#define SMTPD_CONF_H

#include "lib/conf/common.h"

/* smtpd_forbid_bare_newline */
enum { BARE_NEWLINE_YES, BARE_NEWLINE_REJECT, BARE_NEWLINE_NORMALIZE, BARE_NEWLINE_NO };

/* smtpd_dsn_clients */
enum { DSN_CLIENTS_AUTHENTICATED, DSN_CLIENTS_ALL };

/* postscreen_greet_action, postscreen_dnsbl_action */
enum { SCREEN_IGNORE, SCREEN_ENFORCE, SCREEN_DROP };

struct smtpd_conf {
	struct conf_common common;
	char *smtpd_banner;
	bool smtpd_helo_required;
	bool strict_rfc821_envelopes;
	bool disable_vrfy_command;
	bool smtpd_peername_lookup;
	bool smtpd_forbid_unauth_pipelining;
	int64_t smtpd_forbid_bare_newline;
	struct setting_list smtpd_discard_ehlo_keywords;
	int64_t smtpd_recipient_limit;
	int64_t smtpd_soft_error_limit;
	int64_t smtpd_hard_error_limit;
	int64_t smtpd_junk_command_limit;
	int64_t smtpd_error_sleep_time;
	int64_t smtpd_timeout;
	int64_t smtpd_min_data_rate;
	int64_t smtpd_peername_timeout;
	int64_t smtpd_service_timeout;
	int64_t smtpd_command_line_limit;
	int64_t smtpd_text_line_limit;
	int64_t smtpd_client_connection_count_limit;
	int64_t smtpd_client_connection_rate_limit;
	int64_t smtpd_client_message_rate_limit;
	int64_t smtpd_client_recipient_rate_limit;
	int64_t smtpd_client_new_tls_session_rate_limit;
	int64_t smtpd_client_auth_rate_limit;
	int64_t smtpd_client_error_rate_limit;
	int64_t smtpd_login_message_rate_limit;
	int64_t smtpd_login_recipient_rate_limit;
	int64_t smtpd_login_rate_time_unit;
	int64_t anvil_rate_time_unit;
	int64_t smtpd_client_ipv4_prefix_length;
	int64_t smtpd_client_ipv6_prefix_length;
	struct setting_list smtpd_client_event_limit_exceptions;
	int64_t smtpd_unknown_recipient_delay;
	int64_t smtpd_harvest_limit;
	int64_t greylist_delay;
	int64_t greylist_ttl;
	int64_t greylist_auto_clients;
	int64_t postscreen_greet_action;
	int64_t postscreen_greet_wait;
	int64_t postscreen_greet_ttl;
	struct setting_list postscreen_dnsbl_sites;
	int64_t postscreen_dnsbl_action;
	int64_t postscreen_dnsbl_threshold;
	int64_t postscreen_dnsbl_allowlist_threshold;
	int64_t postscreen_dnsbl_timeout;
	int64_t stress_threshold;
	int64_t smtpd_stress_timeout;
	int64_t sessions;

	/* AUTH */
	bool smtpd_sasl_auth_enable;
	bool smtpd_tls_auth_only;
	bool broken_sasl_auth_clients;
	bool smtpd_sasl_authenticated_header;
	bool always_add_missing_headers;
	struct setting_list smtpd_sasl_security_options;
	struct setting_list smtpd_sasl_tls_security_options;
	struct setting_list smtpd_sasl_mechanism_filter;
	struct setting_list smtpd_sasl_exceptions_networks;
	int64_t smtpd_sasl_response_limit;
	int64_t smtpd_limiter_timeout;
	int64_t smtpd_dsn_clients;
};

extern const struct settings smtpd_settings;

#endif
