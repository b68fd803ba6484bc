/* SPDX-License-Identifier: ISC */
/* The settings of smtpd, one row each. */
#include "smtpd/conf.h"

static const char *const screen_words[] = {"ignore", "enforce", "drop", NULL};
static const char *const bare_newline_words[] = {"yes", "reject", "normalize", "no", NULL};

static const char *const dsn_clients_words[] = {"authenticated", "all", NULL};

#define TIME(name, def, min, max, help) SETTING_TIME_ROW(smtpd_conf, name, def, min, max, help)
#define SIZE(name, def, min, max, help) SETTING_SIZE_ROW(smtpd_conf, name, def, min, max, help)
#define INT(name, def, min, max, help) SETTING_INT_ROW(smtpd_conf, name, def, min, max, help)
#define BOOL(name, def, help) SETTING_BOOL_ROW(smtpd_conf, name, def, help)
#define LIST(name, def, help) SETTING_LIST_ROW(smtpd_conf, name, def, help)
#define TEXT(name, def, help) SETTING_TEXT_ROW(smtpd_conf, name, def, help)

static const struct setting rows[] = {
    TEXT(smtpd_banner, "$myhostname ESMTP $mail_name",
	"text of the greeting behind the 220; it must begin with the host's name"),
    BOOL(smtpd_helo_required, "yes", "refuse MAIL before HELO or EHLO"),
    BOOL(strict_rfc821_envelopes, "yes",
	"addresses of MAIL and RCPT as RFC 5321 writes them: in brackets, with a domain, no blank "
	"before them"),
    BOOL(disable_vrfy_command, "no", "answer 502 to VRFY"),
    BOOL(smtpd_peername_lookup, "yes",
	"look up the client's name in DNS; without it every client is \"unknown\""),
    BOOL(smtpd_forbid_unauth_pipelining, "yes",
	"end a session that sends commands before the reply that it must wait for"),
    SETTING_WORD_ROW(smtpd_conf, smtpd_forbid_bare_newline, "yes", bare_newline_words,
	"a CR or LF that stands alone: yes and reject end the session, normalize and no turn a LF "
	"into CRLF and a CR into a blank; none is ever passed on"),
    LIST(smtpd_discard_ehlo_keywords, "",
	"extensions that are not offered: pipelining, size, 8bitmime, smtputf8, chunking, dsn, "
	"enhancedstatuscodes"),
    INT(smtpd_recipient_limit, "1000", 1, 1000000,
	"most recipients of one message; 452 to those beyond"),
    INT(smtpd_soft_error_limit, "10", 0, 1000000,
	"after so many errors each reply to an error is delayed by smtpd_error_sleep_time"),
    INT(smtpd_hard_error_limit, "20", 1, 1000000, "after so many errors the session ends"),
    INT(smtpd_junk_command_limit, "100", 1, 1000000,
	"so many NOOP, VRFY, RSET and HELP commands without a message are free; each more is an "
	"error"),
    TIME(smtpd_error_sleep_time, "1s", 0, 60 * 1000,
	"delay of a reply after smtpd_soft_error_limit errors"),
    TIME(smtpd_timeout, "300s", 1000, 3600 * 1000,
	"time for a client to send one whole command, or to take a reply"),
    INT(smtpd_min_data_rate, "500", 0, 1000000000,
	"octets a second that a client must send of a message on average, within smtpd_timeout; 0: "
	"as smtpd_timeout says"),
    TIME(smtpd_peername_timeout, "10s", 100, 300 * 1000, "longest wait for the client's name"),
    TIME(smtpd_service_timeout, "120s", 1000, 3600 * 1000,
	"longest wait for router or cleanup; 451 after it"),
    SIZE(smtpd_command_line_limit, "2048", 512, 64 * 1024, "longest command line in octets"),
    SIZE(smtpd_text_line_limit, "64K", 0, INT64_MAX,
	"longest line of a message in octets; 0: no limit"),
    INT(smtpd_client_connection_count_limit, "50", 0, 1000000,
	"most sessions at once of one client network, over all workers; 0: no limit"),
    INT(smtpd_client_connection_rate_limit, "0", 0, 1000000000,
	"most connections of a client network within anvil_rate_time_unit; 0: no limit"),
    INT(smtpd_client_message_rate_limit, "0", 0, 1000000000,
	"most MAIL commands of a client network within anvil_rate_time_unit; 0: no limit"),
    INT(smtpd_client_recipient_rate_limit, "0", 0, 1000000000,
	"most RCPT commands of a client network within anvil_rate_time_unit; 0: no limit"),
    INT(smtpd_client_new_tls_session_rate_limit, "0", 0, 1000000000,
	"most TLS handshakes of a client network within anvil_rate_time_unit; 0: no limit"),
    INT(smtpd_client_auth_rate_limit, "0", 0, 1000000000,
	"most AUTH commands of a client network within anvil_rate_time_unit; 0: no limit"),
    INT(smtpd_client_error_rate_limit, "0", 0, 1000000000,
	"most refused commands of a client network within anvil_rate_time_unit, beyond which its "
	"connections are refused; 0: no limit"),
    INT(smtpd_login_message_rate_limit, "0", 0, 1000000000,
	"most messages of one account within smtpd_login_rate_time_unit; 0: no limit"),
    INT(smtpd_login_recipient_rate_limit, "0", 0, 1000000000,
	"most recipients of one account within smtpd_login_rate_time_unit; 0: no limit"),
    TIME(smtpd_login_rate_time_unit, "1h", 1000, 7 * 24 * 3600 * 1000LL,
	"the time over which accounts are counted"),
    TIME(anvil_rate_time_unit, "60s", 1000, 7 * 24 * 3600 * 1000LL,
	"the time over which clients are counted"),
    INT(smtpd_client_ipv4_prefix_length, "24", 1, 32,
	"clients in the same IPv4 network of this size count as one"),
    INT(smtpd_client_ipv6_prefix_length, "64", 1, 128,
	"clients in the same IPv6 network of this size count as one"),
    LIST(smtpd_client_event_limit_exceptions, "$mynetworks",
	"clients that are neither counted nor tested before the greeting"),
    TIME(smtpd_unknown_recipient_delay, "1s", 0, 60 * 1000,
	"a client that names an unknown recipient waits so long before its next command"),
    INT(smtpd_harvest_limit, "50", 0, 1000000000,
	"unknown recipients that a client network may name within anvil_rate_time_unit before it "
	"is "
	"blocked for block_time; 0: any number"),
    TIME(greylist_delay, "5m", 1000, 24 * 3600 * 1000,
	"check_greylist: how long a new triplet of client network, sender and recipient must wait"),
    TIME(greylist_ttl, "35d", 60 * 1000, 365 * 24 * 3600 * 1000LL,
	"how long a triplet that came back stays known"),
    INT(greylist_auto_clients, "5", 0, 1000000,
	"a client network with so many triplets that came back passes at once; 0: never"),
    SETTING_WORD_ROW(smtpd_conf, postscreen_greet_action, "ignore", screen_words,
	"a new client that speaks before the greeting: ignore (no wait at all), enforce (550 to "
	"each "
	"recipient), drop"),
    TIME(postscreen_greet_wait, "6s", 0, 60 * 1000,
	"how long a new client must keep quiet; 2s under stress"),
    TIME(postscreen_greet_ttl, "1d", 1000, 365 * 24 * 3600 * 1000LL,
	"how long a client that passed the tests is greeted at once"),
    LIST(postscreen_dnsbl_sites, "",
	"DNS lists that new clients are looked up in: zone[=127.0.0.filter][*weight]; a negative "
	"weight makes an allow list"),
    SETTING_WORD_ROW(smtpd_conf, postscreen_dnsbl_action, "ignore", screen_words,
	"a new client whose weights reach postscreen_dnsbl_threshold: ignore (nothing is looked "
	"up), "
	"enforce (550 to each recipient), drop"),
    INT(postscreen_dnsbl_threshold, "1", 1, 1000000, "the sum of weights that is acted on"),
    INT(postscreen_dnsbl_allowlist_threshold, "0", -1000000, 0,
	"a sum of weights at or below it ends the wait before the greeting; 0: none does"),
    TIME(postscreen_dnsbl_timeout, "10s", 100, 60 * 1000, "longest wait for a DNS list"),
    INT(stress_threshold, "80", 1, 100,
	"stress mode begins when so many percent of a worker's sessions are taken: clients get "
	"smtpd_stress_timeout, and one error ends a session"),
    TIME(smtpd_stress_timeout, "10s", 1000, 3600 * 1000, "smtpd_timeout under stress"),
    INT(sessions, "10000", 1, 1000000, "most sessions of one worker; 421 to those beyond"),

    BOOL(smtpd_sasl_auth_enable, "no", "offer AUTH, with what keeper has (smtpd_sasl_type)"),
    BOOL(smtpd_tls_auth_only, "yes", "offer AUTH in encrypted sessions only"),
    LIST(smtpd_sasl_security_options, "noanonymous, noplaintext",
	"what a mechanism must not have to be offered: noplaintext, noactive, nodictionary, "
	"noanonymous; or must have: forward_secrecy, mutual_auth"),
    LIST(smtpd_sasl_tls_security_options, "noanonymous", "the same in encrypted sessions"),
    LIST(smtpd_sasl_mechanism_filter, "!external, static:rest",
	"mechanisms that may be offered: the first of NAME, !NAME and static:rest (all others) "
	"that "
	"fits decides"),
    LIST(smtpd_sasl_exceptions_networks, "", "client networks that AUTH is not offered to"),
    BOOL(broken_sasl_auth_clients, "no",
	"repeat the line of mechanisms with AUTH=, for clients older than RFC 2554"),
    BOOL(smtpd_sasl_authenticated_header, "no",
	"show the login in the Received header: (Authenticated sender: LOGIN)"),
    SIZE(smtpd_sasl_response_limit, "12288", 512, 12288,
	"longest line of an AUTH exchange in octets"),
    TIME(smtpd_limiter_timeout, "5s", 100, 300 * 1000,
	"longest wait for limiter; what it does not answer in time is allowed"),
    SETTING_WORD_ROW(smtpd_conf, smtpd_dsn_clients, "authenticated", dsn_clients_words,
	"who is offered DSN: authenticated clients and those in mynetworks, or all"),
    BOOL(always_add_missing_headers, "no",
	"add From, Date and Message-ID where they are missing, as a submission service does"),
};

const struct settings smtpd_settings = {
    "smtpd", rows, sizeof rows / sizeof rows[0], sizeof(struct smtpd_conf)};
