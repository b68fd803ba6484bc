/* SPDX-License-Identifier: ISC */
/* What smtpd is told. Settings that do what a Postfix parameter does bear its name. */
#ifndef SMTPD_CONF_H
#define SMTPD_CONF_H

#include "lib/conf/common.h"

/* smtpd_forbid_bare_newline */
enum { BARE_NEWLINE_YES, BARE_NEWLINE_REJECT, BARE_NEWLINE_NORMALIZE, BARE_NEWLINE_NO };

/* smtpd_dsn_clients */
enum { DSN_CLIENTS_AUTHENTICATED, DSN_CLIENTS_ALL };

/* smtpd_upstream_proxy_protocol */
enum { UPSTREAM_NONE, UPSTREAM_HAPROXY };

/* protocol */
enum { PROTOCOL_SMTP, PROTOCOL_LMTP };

/* postscreen_greet_action, postscreen_dnsbl_action */
enum { SCREEN_IGNORE, SCREEN_ENFORCE, SCREEN_DROP };

/* smtpd_tls_eecdh_grade */
enum { EECDH_AUTO, EECDH_STRONG, EECDH_ULTRA };

struct smtpd_conf {
	struct conf_common common;
	char *smtpd_banner;
	bool smtpd_helo_required;
	bool strict_rfc821_envelopes;
	bool disable_vrfy_command;
	bool smtpd_peername_lookup;
	bool smtpd_forbid_unauth_pipelining;
	int64_t smtpd_forbid_bare_newline;
	struct setting_list smtpd_forbid_bare_newline_exclusions;
	int64_t smtpd_forbid_bare_newline_reject_code;
	struct setting_list smtpd_forbidden_commands;
	struct setting_list smtpd_noop_commands;
	char *smtpd_reject_footer;
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
	char *smtpd_proxy_filter;
	char *smtpd_proxy_ehlo;
	int64_t smtpd_proxy_timeout;
	struct setting_list smtpd_milters;
	struct setting_list smtpd_authorized_xclient_hosts;
	int64_t smtpd_upstream_proxy_protocol;
	int64_t smtpd_upstream_proxy_timeout;
	struct setting_list smtpd_upstream_proxy_hosts;
	struct setting_list smtpd_authorized_xforward_hosts;
	int64_t protocol;
	struct setting_list fast_flush_domains;
	int64_t smtpd_stress_timeout;
	int64_t sessions;

	/* TLS */
	int64_t smtpd_tls_security_level;
	bool smtpd_tls_wrappermode;
	struct setting_list smtpd_tls_chain_files;
	char *smtpd_tls_cert_file;
	char *smtpd_tls_key_file;
	char *smtpd_tls_eccert_file;
	char *smtpd_tls_eckey_file;
	struct setting_list smtpd_tls_protocols;
	struct setting_list smtpd_tls_mandatory_protocols;
	int64_t smtpd_tls_ciphers;
	int64_t smtpd_tls_mandatory_ciphers;
	struct setting_list smtpd_tls_exclude_ciphers;
	struct setting_list smtpd_tls_mandatory_exclude_ciphers;
	bool tls_preempt_cipherlist;
	int64_t smtpd_tls_eecdh_grade;
	struct setting_list tls_eecdh_auto_curves;
	bool smtpd_tls_ask_ccert;
	bool smtpd_tls_req_ccert;
	char *smtpd_tls_CAfile;
	int64_t smtpd_tls_ccert_verifydepth;
	char *smtpd_tls_fingerprint_digest;
	int64_t smtpd_starttls_timeout;
	int64_t smtpd_tls_loglevel;
	bool smtpd_tls_received_header;

	/* restrictions */
	struct setting_list smtpd_client_restrictions;
	struct setting_list smtpd_helo_restrictions;
	struct setting_list smtpd_sender_restrictions;
	struct setting_list smtpd_relay_restrictions;
	struct setting_list smtpd_recipient_restrictions;
	struct setting_list smtpd_data_restrictions;
	struct setting_list smtpd_end_of_data_restrictions;
	struct setting_list smtpd_etrn_restrictions;
	struct setting_list smtpd_restriction_classes;
	struct setting_list smtpd_sender_login_maps;
	struct setting_list permit_mx_backup_networks;
	struct setting_list relay_clientcerts;
	struct setting_list rbl_reply_maps;
	bool smtpd_delay_reject;
	bool smtpd_relay_before_recipient_restrictions;
	bool smtpd_reject_unlisted_recipient;
	bool smtpd_reject_unlisted_sender;
	int64_t unknown_address_tempfail_action;
	int64_t unknown_helo_hostname_tempfail_action;
	int64_t reject_tempfail_action;
	char *smtpd_null_access_lookup_key;
	char *default_rbl_reply;
	int64_t access_map_reject_code;
	int64_t access_map_defer_code;
	int64_t defer_code;
	int64_t reject_code;
	int64_t invalid_hostname_reject_code;
	int64_t maps_rbl_reject_code;
	int64_t multi_recipient_bounce_reject_code;
	int64_t non_fqdn_reject_code;
	int64_t plaintext_reject_code;
	int64_t relay_domains_reject_code;
	int64_t unknown_address_reject_code;
	int64_t unknown_client_reject_code;
	int64_t unknown_hostname_reject_code;
	int64_t unknown_local_recipient_reject_code;
	int64_t unknown_virtual_alias_reject_code;
	int64_t unknown_virtual_mailbox_reject_code;
	int64_t unknown_relay_recipient_reject_code;
	int64_t unverified_sender_reject_code;
	int64_t unverified_sender_defer_code;
	int64_t unverified_recipient_reject_code;
	int64_t unverified_recipient_defer_code;
	char *unverified_sender_reject_reason;
	char *unverified_recipient_reject_reason;
	int64_t unverified_sender_tempfail_action;
	int64_t unverified_recipient_tempfail_action;
	char *address_verify_sender;
	int64_t address_verify_poll_count;
	int64_t address_verify_poll_delay;
	int64_t smtpd_policy_service_timeout;
	int64_t smtpd_policy_service_max_idle;
	int64_t smtpd_policy_service_retry_delay;
	int64_t smtpd_policy_service_try_limit;
	int64_t smtpd_policy_service_connections;
	char *smtpd_policy_service_default_action;
	char *smtpd_policy_service_policy_context;

	/* AUTH */
	bool smtpd_sasl_auth_enable;
	int64_t smtpd_sasl_type; /* these two are keeper's: settings/logins.c */
	char *smtpd_sasl_path;
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
