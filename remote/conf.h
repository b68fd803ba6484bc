/* SPDX-License-Identifier: ISC */
/* What remote is told. Settings that do what a Postfix parameter does bear its name. */
#ifndef REMOTE_CONF_H
#define REMOTE_CONF_H

#include "lib/conf/common.h"

struct remote_conf {
	struct conf_common common;
	char *smtp_helo_name;
	int64_t smtp_tcp_port;
	int64_t lmtp_tcp_port;
	int64_t smtp_connect_timeout;
	int64_t smtp_address_stagger;
	int64_t smtp_greeting_timeout;
	int64_t smtp_helo_timeout;
	int64_t smtp_xforward_timeout;
	int64_t smtp_mail_timeout;
	int64_t smtp_rcpt_timeout;
	int64_t smtp_data_init_timeout;
	int64_t smtp_data_xfer_timeout;
	int64_t smtp_data_done_timeout;
	int64_t smtp_rset_timeout;
	int64_t smtp_quit_timeout;
	int64_t smtp_dns_timeout;
	int64_t smtp_mx_address_limit;
	int64_t smtp_mx_session_limit;
	int64_t smtp_connection_idle_time;
	int64_t smtp_connection_reuse_time_limit;
	int64_t smtp_connection_reuse_count_limit;
	bool smtp_skip_5xx_greeting;
	bool smtp_randomize_addresses;
	int64_t smtp_use_chunking;
	bool smtp_send_xforward_command;
	bool lmtp_send_xforward_command;
	struct setting_list smtp_discard_ehlo_keywords;
	int64_t smtp_session_limit;
};

/* smtp_use_chunking */
enum { CHUNKING_USEFUL, CHUNKING_NEVER, CHUNKING_ALWAYS };

extern const struct settings remote_settings;

#endif
