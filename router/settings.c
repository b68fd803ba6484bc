/* SPDX-License-Identifier: ISC */
/* Router's settings. Those that do what a Postfix parameter does bear its name. */
#include "router/conf.h"

#define S router_conf

static const struct setting rows[] = {
    SETTING_BOOL_ROW(S, append_at_myorigin, "yes", "complete a bare name with @$myorigin"),
    SETTING_BOOL_ROW(
	S, append_dot_mydomain, "no", "complete a domain without a dot with .$mydomain"),
    SETTING_TEXT_ROW(
	S, empty_address_recipient, "MAILER-DAEMON", "who gets mail for the empty address"),
    SETTING_LIST_ROW(S, proxy_interfaces, "",
	"addresses by which this system is reached through NAT or a proxy"),
    SETTING_LIST_ROW(
	S, virtual_alias_domains, "$virtual_alias_maps", "domains whose addresses are all aliases"),
    SETTING_LIST_ROW(
	S, virtual_alias_maps, "", "tables from an address to other addresses, of any domain"),
    SETTING_INT_ROW(S, virtual_alias_expansion_limit, "1000", 1, 100000,
	"most addresses that one address may expand to"),
    SETTING_INT_ROW(
	S, virtual_alias_recursion_limit, "1000", 1, 10000, "deepest nesting of virtual aliases"),
    SETTING_LIST_ROW(S, propagate_unmatched_extensions, "canonical, virtual",
	"where an extension that the table did not know goes on to the result"),
    SETTING_LIST_ROW(
	S, virtual_mailbox_domains, "", "domains with mailboxes of their own, without Unix users"),
    SETTING_LIST_ROW(
	S, virtual_mailbox_maps, "", "tables from a virtual address to its mailbox's path"),
    SETTING_TEXT_ROW(
	S, virtual_mailbox_base, "", "the folder below which all virtual mailboxes lie"),
    SETTING_LIST_ROW(
	S, virtual_uid_maps, "", "tables from a virtual address to the uid that owns the mailbox"),
    SETTING_LIST_ROW(
	S, virtual_gid_maps, "", "tables from a virtual address to the gid that owns the mailbox"),
    SETTING_INT_ROW(
	S, virtual_minimum_uid, "100", 1, 4294967294, "smallest uid of a virtual mailbox"),
    SETTING_LIST_ROW(
	S, relay_domains, "", "domains of others that mail is taken for from anywhere"),
    SETTING_LIST_ROW(
	S, relay_recipient_maps, "", "tables of the valid addresses in relay_domains; empty: all"),
    SETTING_LIST_ROW(S, parent_domain_matches_subdomains, "relay_domains, smtpd_access_maps",
	"lists in which a domain stands for its subdomains, too"),
    SETTING_LIST_ROW(
	S, alias_maps, "lmdb:etc/aliases", "tables of local aliases, built by newaliases"),
    SETTING_LIST_ROW(S, local_recipient_maps, "unix:passwd.byname $alias_maps",
	"tables of the valid names in mydestination; empty: all"),
    SETTING_LIST_ROW(
	S, transport_maps, "", "tables from an address or domain to transport:nexthop"),
    SETTING_LIST_ROW(S, access_maps, "",
	"tables that other programs may ask about clients, senders and recipients"),
    SETTING_LIST_ROW(S, access_tables, "",
	"more tables that smtpd and cleanup may ask; those that a restriction list, a class or a "
	"list of checks names are added by master"),
    SETTING_TEXT_ROW(
	S, relayhost, "", "next hop of all mail that is not local: host, [host], host:port"),
    SETTING_TEXT_ROW(S, default_transport, "smtp", "transport[:nexthop] of remote domains"),
    SETTING_TEXT_ROW(
	S, local_transport, "local:$myhostname", "transport[:nexthop] of mydestination"),
    SETTING_TEXT_ROW(
	S, virtual_transport, "virtual", "transport[:nexthop] of virtual_mailbox_domains"),
    SETTING_TEXT_ROW(S, relay_transport, "relay", "transport[:nexthop] of relay_domains"),
    SETTING_TIME_ROW(
	S, unix_user_ttl, "5s", 0, 3600000, "how long an answer about a Unix user may be kept"),
    SETTING_TIME_ROW(S, remote_table_ttl, "1s", 0, 3600000,
	"how long an answer of a tcp: or socketmap: table may be kept"),
    SETTING_TIME_ROW(S, route_ttl, "60s", 0, 86400000,
	"how long any other answer may be kept; a changed table ends it at once"),
    SETTING_TIME_ROW(S, tables_timeout, "10s", 100, 600000,
	"time limit for an answer about a Unix user, or of a tcp: or socketmap: table"),
};

const struct settings router_settings = {
    "router", rows, sizeof rows / sizeof rows[0], sizeof(struct router_conf)};
