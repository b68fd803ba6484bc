/* SPDX-License-Identifier: ISC */
/* The settings of remote, one row each. The smtp_ ones hold for LMTP, too. */
#include "remote/conf.h"

static const char *const chunking_words[] = {"useful", "no", "yes", NULL};

#define TIME(name, def, min, max, help) SETTING_TIME_ROW(remote_conf, name, def, min, max, help)
#define INT(name, def, min, max, help) SETTING_INT_ROW(remote_conf, name, def, min, max, help)
#define BOOL(name, def, help) SETTING_BOOL_ROW(remote_conf, name, def, help)
#define HOUR (3600 * 1000)

static const struct setting rows[] = {
    SETTING_TEXT_ROW(
	remote_conf, smtp_helo_name, "$myhostname", "the name sent with EHLO, HELO and LHLO"),
    INT(smtp_tcp_port, "25", 1, 65535, "port of next hops without one"),
    INT(lmtp_tcp_port, "24", 1, 65535, "port of LMTP next hops without one"),
    TIME(smtp_connect_timeout, "30s", 100, HOUR, "time for one connection to be made"),
    TIME(smtp_address_stagger, "250ms", 10, 30 * 1000,
	"an address that has not answered by then is no longer waited for alone: the next one is "
	"tried beside it (RFC 8305)"),
    TIME(smtp_greeting_timeout, "300s", 1000, HOUR, "time to wait for the server's greeting"),
    TIME(smtp_helo_timeout, "300s", 1000, HOUR, "time to wait for the reply to EHLO, HELO or LHLO"),
    TIME(smtp_xforward_timeout, "300s", 1000, HOUR, "time to wait for the reply to XFORWARD"),
    TIME(smtp_mail_timeout, "300s", 1000, HOUR, "time to wait for the reply to MAIL"),
    TIME(smtp_rcpt_timeout, "300s", 1000, HOUR, "time to wait for the reply to RCPT"),
    TIME(smtp_data_init_timeout, "120s", 1000, HOUR, "time to wait for the reply to DATA"),
    TIME(smtp_data_xfer_timeout, "180s", 1000, HOUR,
	"time for the server to take more of the content"),
    TIME(smtp_data_done_timeout, "600s", 1000, HOUR,
	"time to wait for the reply to the whole content"),
    TIME(smtp_rset_timeout, "20s", 1000, HOUR, "time to wait for the reply to RSET"),
    TIME(smtp_quit_timeout, "10s", 100, HOUR, "time to wait for the reply to QUIT"),
    TIME(smtp_dns_timeout, "60s", 1000, HOUR, "time to wait for one answer of resolver"),
    INT(smtp_mx_address_limit, "5", 1, 100,
	"most addresses of a destination that one delivery tries"),
    INT(smtp_mx_session_limit, "2", 1, 100,
	"most sessions (servers that have greeted) that one delivery tries"),
    TIME(smtp_connection_idle_time, "2s", 0, HOUR,
	"how long an idle connection is kept for the next delivery; 0: not at all"),
    TIME(smtp_connection_reuse_time_limit, "300s", 0, 24 * HOUR,
	"a connection older than this is not used again"),
    INT(smtp_connection_reuse_count_limit, "1000", 0, 1000000,
	"most deliveries over one connection; 0: no limit"),
    BOOL(
	smtp_skip_5xx_greeting, "yes", "go on to the next server where one greets with a 5xx code"),
    BOOL(smtp_randomize_addresses, "yes",
	"servers of the same preference in random order (RFC 5321 5.1)"),
    SETTING_WORD_ROW(remote_conf, smtp_use_chunking, "useful", chunking_words,
	"BDAT instead of DATA where the server offers CHUNKING: yes, no, or where it is useful (a "
	"line begins with a dot, or the content is large)"),
    BOOL(smtp_send_xforward_command, "no",
	"tell a server that offers XFORWARD (a content filter) who the original client was"),
    BOOL(lmtp_send_xforward_command, "no", "the same by LMTP"),
    SETTING_LIST_ROW(remote_conf, smtp_discard_ehlo_keywords, "",
	"extensions of servers that are ignored: pipelining, size, 8bitmime, smtputf8, chunking, "
	"dsn, xforward"),
    INT(smtp_session_limit, "5000", 1, 1000000, "most connections of one worker"),
};

const struct settings remote_settings = {
    "remote", rows, sizeof rows / sizeof rows[0], sizeof(struct remote_conf)};
