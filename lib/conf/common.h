/* SPDX-License-Identifier: ISC */
/*
 * Settings that several programs read. `struct conf_common common` is the first member of every
 * program's conf struct, and every program receives these besides its own.
 */
#ifndef KP_CONF_COMMON_H
#define KP_CONF_COMMON_H

#include "lib/conf/setting.h"

struct conf_common {
	char *myhostname;
	char *mydomain;
	char *myorigin;
	char *mail_name;
	char *syslog_name;
	struct setting_list mydestination;
	struct setting_list mynetworks;
	struct setting_list inet_protocols;
	char *recipient_delimiter;
	char *double_bounce_sender;
	int64_t message_size_limit;
	int64_t header_size_limit;
	int64_t journal_message_limit;
	int64_t hopcount_limit;
	struct setting_list tls_server_sni_maps;
	int64_t smtpd_tls_session_cache_timeout;
	/* of the programs that take mail in: smtpd and pickup */
	int64_t milter_connect_timeout;
	int64_t milter_command_timeout;
	int64_t milter_content_timeout;
	int64_t milter_default_action;
	int64_t held_content_limit;
	char *milter_macro_daemon_name;
	char *content_filter;
	struct setting_list receive_override_options;
	int64_t sandbox; /* 0: required, 1: warn */
	int64_t max_requests;
	bool debug;
};

extern const struct settings conf_common_settings;

#endif
