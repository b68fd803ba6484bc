/* SPDX-License-Identifier: ISC */
/* The settings of smtpd, one row each. */
#include "smtpd/conf.h"

static const char *const upstream_words[] = {"none", "haproxy", NULL};
static const char *const protocol_words[] = {"smtp", "lmtp", NULL};
static const char *const screen_words[] = {"ignore", "enforce", "drop", NULL};
static const char *const tempfail_words[] = {"defer_if_permit", "defer", NULL};
static const char *const tls_levels[] = {"none", "may", "encrypt", NULL};
static const char *const tls_grades[] = {"high", "medium", NULL};
static const char *const eecdh_grades[] = {"auto", "strong", "ultra", NULL};
static const char *const bare_newline_words[] = {"yes", "reject", "normalize", "no", NULL};

static const char *const sasl_types[] = {"kingpost", "dovecot", "checkpassword", NULL};
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
    LIST(smtpd_forbid_bare_newline_exclusions, "",
	"networks of clients that smtpd_forbid_bare_newline treats as normalize does"),
    INT(smtpd_forbid_bare_newline_reject_code, "550", 400, 599,
	"reply code of smtpd_forbid_bare_newline"),
    LIST(smtpd_forbidden_commands, "CONNECT, GET, POST",
	"commands of other protocols: the session ends at once"),
    LIST(smtpd_noop_commands, "",
	"commands that are answered 250 and do nothing, whatever they are"),
    SETTING_COMMAND_ROW(smtpd_conf, smtpd_reject_footer, "",
	"one more line of each 4xx and 5xx reply (\\n begins another, \\c before all continues the "
	"reply's own line); $client, $client_address, $client_name, $client_port, $helo_name, "
	"$localtime, $recipient, $sender, $server_name and ${name?text} are filled in"),
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
    SETTING_WORD_ROW(smtpd_conf, smtpd_upstream_proxy_protocol, "none", upstream_words,
	"haproxy: every connection begins with a PROXY protocol header (version 1 or 2) of a load "
	"balancer"),
    TIME(smtpd_upstream_proxy_timeout, "5s", 100, 300 * 1000, "longest wait for that header"),
    LIST(smtpd_upstream_proxy_hosts, "$mynetworks",
	"load balancers that are believed; connections from others are closed"),
    TEXT(smtpd_proxy_filter, "",
	"before-queue filter: an SMTP server (ADDRESS:PORT or unix:/PATH) that gets each message "
	"of "
	"this service, and whose reply is the client's; nothing is queued here"),
    TEXT(smtpd_proxy_ehlo, "$myhostname", "the name that the filter is greeted with"),
    TIME(smtpd_proxy_timeout, "100s", 1000, 3600 * 1000,
	"longest wait for the filter to take a command or a part of the message, or to reply"),
    LIST(smtpd_milters, "",
	"milters that see what comes in, in this order: inet:ADDRESS:PORT or unix:PATH, or in "
	"braces "
	"with connect_timeout=, command_timeout=, content_timeout=, default_action="),
    LIST(smtpd_authorized_xclient_hosts, "",
	"hosts that may put another client in their own place by XCLIENT: networks"),
    LIST(smtpd_authorized_xforward_hosts, "",
	"hosts that may say by XFORWARD whose mail they send (content filters): networks"),
    SETTING_WORD_ROW(smtpd_conf, protocol, "smtp", protocol_words,
	"the protocol that the service speaks: lmtp takes LHLO and answers for each recipient"),
    LIST(fast_flush_domains, "$relay_domains",
	"domains whose mail a client may ask for by ETRN, and their subdomains"),
    INT(sessions, "10000", 1, 1000000, "most sessions of one worker; 421 to those beyond"),

    LIST(smtpd_client_restrictions, "", "restrictions on the client"),
    LIST(smtpd_helo_restrictions, "", "restrictions on the name in HELO and EHLO"),
    LIST(smtpd_sender_restrictions, "", "restrictions on the address in MAIL"),
    LIST(smtpd_relay_restrictions,
	"permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
	"who may send mail on to other systems"),
    LIST(smtpd_recipient_restrictions, "",
	"restrictions on the address in RCPT, after smtpd_relay_restrictions"),
    LIST(smtpd_data_restrictions, "", "restrictions on DATA and the first BDAT"),
    LIST(smtpd_end_of_data_restrictions, "", "restrictions on the message when all of it is in"),
    LIST(smtpd_etrn_restrictions, "", "restrictions on ETRN"),
    LIST(smtpd_restriction_classes, "",
	"restrictions under a name of their own, for tables and lists: name={restriction, ...}"),
    LIST(smtpd_sender_login_maps, "",
	"tables from a sender's address to the logins that may use it"),
    LIST(permit_mx_backup_networks, "",
	"permit_mx_backup: networks of the primary MX hosts; empty: any"),
    LIST(relay_clientcerts, "",
	"tables of the fingerprints of client certificates for permit_tls_clientcerts"),
    LIST(rbl_reply_maps, "",
	"tables from a DNS list's zone to the text that replaces default_rbl_reply"),
    BOOL(smtpd_delay_reject, "yes", "ask the client, HELO and sender lists at RCPT only"),
    BOOL(smtpd_relay_before_recipient_restrictions, "yes",
	"smtpd_relay_restrictions come before smtpd_recipient_restrictions"),
    BOOL(smtpd_reject_unlisted_recipient, "yes",
	"refuse unknown recipients even where no restriction says so"),
    BOOL(smtpd_reject_unlisted_sender, "no",
	"refuse unknown senders of our own domains even where no restriction says so"),
    SETTING_WORD_ROW(smtpd_conf, reject_tempfail_action, "defer_if_permit", tempfail_words,
	"what a restriction does that cannot tell: defer_if_permit (refuse for now what would pass "
	"in "
	"the end), defer (at once)"),
    SETTING_WORD_ROW(smtpd_conf, unknown_address_tempfail_action, "$reject_tempfail_action",
	tempfail_words, "the same for reject_unknown_sender_domain and its like"),
    SETTING_WORD_ROW(smtpd_conf, unknown_helo_hostname_tempfail_action, "$reject_tempfail_action",
	tempfail_words, "the same for reject_unknown_helo_hostname"),
    TEXT(smtpd_null_access_lookup_key, "<>", "what the null sender is looked up as"),
    SETTING_COMMAND_ROW(smtpd_conf, default_rbl_reply,
	"$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using "
	"$rbl_domain${rbl_reason?; $rbl_reason}",
	"the reply to a client that a DNS list has; $client, $client_address, $client_name, "
	"$helo_name, $rbl_class, $rbl_code, $rbl_domain, $rbl_reason, $rbl_what, $recipient, "
	"$sender "
	"and ${name?text} are filled in"),
    INT(access_map_reject_code, "554", 400, 599, "reply code: REJECT of an access table"),
    INT(access_map_defer_code, "450", 400, 599,
	"reply code: DEFER and DEFER_IF_PERMIT of an access table"),
    INT(defer_code, "450", 400, 599, "reply code: the restriction defer"),
    INT(reject_code, "554", 400, 599, "reply code: the restriction reject"),
    INT(invalid_hostname_reject_code, "501", 400, 599, "reply code: reject_invalid_helo_hostname"),
    INT(maps_rbl_reject_code, "554", 400, 599,
	"reply code: reject_rbl_client and the other lists in DNS"),
    INT(multi_recipient_bounce_reject_code, "550", 400, 599,
	"reply code: reject_multi_recipient_bounce"),
    INT(non_fqdn_reject_code, "504", 400, 599,
	"reply code: reject_non_fqdn_helo_hostname, reject_non_fqdn_sender and "
	"reject_non_fqdn_recipient"),
    INT(plaintext_reject_code, "450", 400, 599, "reply code: reject_plaintext_session"),
    INT(relay_domains_reject_code, "554", 400, 599, "reply code: reject_unauth_destination"),
    INT(unknown_address_reject_code, "450", 400, 599,
	"reply code: reject_unknown_sender_domain and reject_unknown_recipient_domain"),
    INT(unknown_client_reject_code, "450", 400, 599,
	"reply code: reject_unknown_client_hostname and its like"),
    INT(unknown_hostname_reject_code, "450", 400, 599, "reply code: reject_unknown_helo_hostname"),
    INT(unknown_local_recipient_reject_code, "550", 400, 599,
	"reply code: an unknown recipient in mydestination"),
    INT(unknown_virtual_alias_reject_code, "550", 400, 599,
	"reply code: an unknown recipient in virtual_alias_domains"),
    INT(unknown_virtual_mailbox_reject_code, "550", 400, 599,
	"reply code: an unknown recipient in virtual_mailbox_domains"),
    INT(unknown_relay_recipient_reject_code, "550", 400, 599,
	"reply code: an unknown recipient in relay_domains"),
    INT(unverified_sender_reject_code, "450", 400, 599,
	"reply code: reject_unverified_sender, where the sender's address takes no mail"),
    INT(unverified_sender_defer_code, "450", 400, 499, "... where that could not be told"),
    INT(unverified_recipient_reject_code, "450", 400, 599,
	"reply code: reject_unverified_recipient, where the address takes no mail"),
    INT(unverified_recipient_defer_code, "450", 400, 499, "... where that could not be told"),
    TEXT(unverified_sender_reject_reason, "",
	"reject_unverified_sender: what the reply says instead of what the probe found"),
    TEXT(unverified_recipient_reject_reason, "", "the same for reject_unverified_recipient"),
    SETTING_WORD_ROW(smtpd_conf, unverified_sender_tempfail_action, "$reject_tempfail_action",
	tempfail_words, "what reject_unverified_sender does that cannot tell"),
    SETTING_WORD_ROW(smtpd_conf, unverified_recipient_tempfail_action, "$reject_tempfail_action",
	tempfail_words, "the same for reject_unverified_recipient"),
    TEXT(address_verify_sender, "$double_bounce_sender",
	"sender of address probes, at myorigin where it has no domain; no restriction applies to "
	"mail for it here; empty or <>: the null sender"),
    INT(address_verify_poll_count, "3", 1, 1000,
	"a client waits for a probe at most so many times address_verify_poll_delay; 1, or under "
	"stress: not at all"),
    TIME(address_verify_poll_delay, "3s", 1, 60 * 1000, "see address_verify_poll_count"),
    TIME(smtpd_policy_service_timeout, "100s", 1000, 3600 * 1000,
	"longest wait for a policy server's answer"),
    TIME(smtpd_policy_service_max_idle, "300s", 1000, 3600 * 1000,
	"a connection to a policy server that is idle so long is closed"),
    TIME(smtpd_policy_service_retry_delay, "1s", 0, 60 * 1000,
	"wait before a policy server that failed is asked again"),
    INT(smtpd_policy_service_try_limit, "2", 1, 100, "how often a policy server is asked in all"),
    INT(smtpd_policy_service_connections, "20", 1, 1000,
	"most connections of one worker to one policy server; more questions wait in turn"),
    TEXT(smtpd_policy_service_default_action, "451 4.3.5 Server configuration problem",
	"what to do where a policy server does not answer"),
    TEXT(smtpd_policy_service_policy_context, "", "the attribute policy_context"),

    BOOL(smtpd_sasl_auth_enable, "no", "offer AUTH, with what keeper has (smtpd_sasl_type)"),
    SETTING_WORD_ROW(smtpd_conf, smtpd_sasl_type, "kingpost", sasl_types,
	"who knows the accounts of the service: kingpost (kingpost user ...), dovecot "
	"(smtpd_sasl_path), checkpassword (checkpassword_command)"),
    TEXT(smtpd_sasl_path, "unix:/run/dovecot/auth-client",
	"Dovecot's auth socket: unix:PATH, PATH or inet:ADDRESS:PORT"),
    BOOL(smtpd_tls_auth_only, "yes", "offer AUTH in encrypted sessions only"),
    LIST(smtpd_sasl_security_options, "noanonymous",
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

    SETTING_WORD_ROW(smtpd_conf, smtpd_tls_security_level, "may", tls_levels,
	"none: no STARTTLS; may: offered where there is a certificate; encrypt: nothing goes "
	"without it"),
    BOOL(smtpd_tls_wrappermode, "no", "TLS from the first octet on, as port 465 has it"),
    LIST(smtpd_tls_chain_files, "",
	"PEM files, each with a private key, its certificate and the chain behind that"),
    TEXT(smtpd_tls_cert_file, "",
	"PEM file with the RSA certificate and its chain, without smtpd_tls_chain_files"),
    TEXT(smtpd_tls_key_file, "$smtpd_tls_cert_file", "PEM file with its private key"),
    TEXT(smtpd_tls_eccert_file, "", "the same for an ECDSA certificate"),
    TEXT(smtpd_tls_eckey_file, "$smtpd_tls_eccert_file", "PEM file with its private key"),
    LIST(smtpd_tls_protocols, ">=TLSv1.2",
	"protocols of level may: names, or one behind >=, <= or !"),
    LIST(smtpd_tls_mandatory_protocols, ">=TLSv1.2", "protocols of level encrypt"),
    SETTING_WORD_ROW(smtpd_conf, smtpd_tls_ciphers, "high", tls_grades,
	"ciphers of TLS 1.2 at level may: high, or medium for those with CBC, too"),
    SETTING_WORD_ROW(smtpd_conf, smtpd_tls_mandatory_ciphers, "high", tls_grades,
	"ciphers of TLS 1.2 at level encrypt"),
    BOOL(tls_preempt_cipherlist, "yes", "choose ciphers in our order, not in the client's"),
    SETTING_WORD_ROW(smtpd_conf, smtpd_tls_eecdh_grade, "auto", eecdh_grades,
	"groups of key exchange: tls_eecdh_auto_curves, P-256 only, or P-384 only"),
    LIST(tls_eecdh_auto_curves, "X25519, prime256v1, secp384r1",
	"groups of key exchange by OpenSSL's names; those it does not know are left out"),
    BOOL(smtpd_tls_ask_ccert, "no", "ask clients for a certificate"),
    BOOL(smtpd_tls_req_ccert, "no",
	"with level encrypt: no TLS without a certificate that smtpd_tls_CAfile vouches for"),
    TEXT(smtpd_tls_CAfile, "", "PEM file with the authorities of clients' certificates"),
    INT(smtpd_tls_ccert_verifydepth, "9", 0, 100, "longest chain of a client's certificate"),
    TEXT(smtpd_tls_fingerprint_digest, "sha256",
	"digest of the fingerprints of clients' certificates and keys"),
    TIME(smtpd_starttls_timeout, "300s", 1000, 3600 * 1000, "time for a TLS handshake"),
    INT(smtpd_tls_loglevel, "1", 0, 1, "1: log a line for each TLS session"),
    BOOL(smtpd_tls_received_header, "yes",
	"tell protocol and cipher in the Received header, and who the client is by its "
	"certificate"),
};

const struct settings smtpd_settings = {
    "smtpd", rows, sizeof rows / sizeof rows[0], sizeof(struct smtpd_conf)};
