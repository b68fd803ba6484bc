/* SPDX-License-Identifier: ISC */
/* The rows that every program has. */
#include "lib/conf/common.h"

static const char *const milter_words[] = {"tempfail", "accept", "reject", "quarantine", NULL};
static const char *const sandbox_words[] = {"required", "warn", NULL};

static const struct setting rows[] = {
    SETTING_TEXT_ROW(
	conf_common, myhostname, "$hostname", "this system's own name in the mail world"),
    SETTING_TEXT_ROW(
	conf_common, mydomain, "${myhostname#*.}", "the domain that myhostname lies in"),
    SETTING_TEXT_ROW(conf_common, myorigin, "$myhostname",
	"the domain that a bare local name is completed with"),
    SETTING_TEXT_ROW(conf_common, mail_name, "kingpost",
	"the name of the mail system in greetings and notifications"),
    SETTING_TEXT_ROW(conf_common, syslog_name, "kingpost",
	"the name that log lines begin with; \"postfix\" for tools that know no other"),
    SETTING_LIST_ROW(conf_common, mydestination, "$myhostname, localhost.$mydomain, localhost",
	"domains that are delivered to this machine's own users"),
    SETTING_LIST_ROW(conf_common, mynetworks, "127.0.0.0/8, [::1]/128",
	"client networks that may relay; only what is written here is trusted"),
    SETTING_LIST_ROW(
	conf_common, inet_protocols, "ipv4, ipv6", "the address families that are used"),
    SETTING_TEXT_ROW(conf_common, recipient_delimiter, "",
	"characters that separate user from extension (user+extension)"),
    SETTING_TEXT_ROW(conf_common, double_bounce_sender, "double-bounce",
	"local part, at myorigin, of the sender of notices to the postmaster and of address "
	"probes; "
	"mail to it is accepted and thrown away"),
    SETTING_SIZE_ROW(conf_common, message_size_limit, "10M", 1024, INT64_MAX,
	"largest message accepted, header included"),
    SETTING_SIZE_ROW(conf_common, header_size_limit, "1M", 4096, 64 * 1024 * 1024,
	"largest header of a message; a larger one is refused, never cut"),
    SETTING_SIZE_ROW(conf_common, journal_message_limit, "256K", 0, 1024 * 1024,
	"largest message that goes through the journal; larger ones get a file at once; 0 turns "
	"the journal off"),
    SETTING_INT_ROW(conf_common, hopcount_limit, "50", 1, 1000,
	"most Received headers before a message counts as looping"),
    SETTING_LIST_ROW(conf_common, tls_server_sni_maps, "",
	"tables from the name that a TLS client asks for (or \".parent\") to the PEM files of its "
	"certificate, as smtpd_tls_chain_files has them"),
    SETTING_TIME_ROW(conf_common, smtpd_tls_session_cache_timeout, "3600s", 0, 24 * 3600 * 1000,
	"how long a TLS session may be resumed; 0: not at all"),
    SETTING_TIME_ROW(conf_common, milter_connect_timeout, "30s", 1, 3600 * 1000,
	"time to connect to a milter and agree on the protocol"),
    SETTING_TIME_ROW(
	conf_common, milter_command_timeout, "30s", 1, 3600 * 1000, "time for a milter's reply"),
    SETTING_TIME_ROW(conf_common, milter_content_timeout, "300s", 1, 3600 * 1000,
	"time for a milter's verdict on a message"),
    SETTING_WORD_ROW(conf_common, milter_default_action, "tempfail", milter_words,
	"what stands for the verdict of a milter that fails"),
    SETTING_SIZE_ROW(conf_common, held_content_limit, "256M", 1024 * 1024, INT64_MAX,
	"most content that a worker holds in memory: of messages for smtpd_proxy_filter (452 "
	"beyond "
	"it), and of bodies that milters replace (such a milter counts as failed)"),
    SETTING_TEXT_ROW(
	conf_common, milter_macro_daemon_name, "$myhostname", "what milters get as {daemon_name}"),
    SETTING_TEXT_ROW(conf_common, content_filter, "",
	"transport:destination that mail which comes in goes by first; a filter gives it back to a "
	"service where this is empty"),
    SETTING_LIST_ROW(conf_common, receive_override_options, "",
	"what a service does not do: no_unknown_recipient_checks, no_address_mappings, "
	"no_header_body_checks, no_milters"),
    SETTING_WORD_ROW(conf_common, sandbox, "required", sandbox_words,
	"what to do where the sandbox cannot be applied in full: refuse to run, or warn"),
    SETTING_INT_ROW(conf_common, max_requests, "1000000", 0, INT64_MAX,
	"a worker is replaced after so many units of work (sessions, messages, deliveries); 0: "
	"never"),
    SETTING_BOOL_ROW(conf_common, debug, "no", "log what only helps in finding a fault"),
};

const struct settings conf_common_settings = {
    "common", rows, sizeof rows / sizeof rows[0], sizeof(struct conf_common)};
