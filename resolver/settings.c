/* SPDX-License-Identifier: ISC */
/* Resolver's settings. */
#include "resolver/conf.h"

#define S resolver_conf

static const struct setting rows[] = {
    SETTING_LIST_ROW(S, dns_servers, "",
	"servers to ask, ADDRESS or ADDRESS@PORT; empty: those of dns_resolv_conf"),
    SETTING_BOOL_ROW(S, dns_recursion, "no",
	"ask the root servers and those below them instead of any configured server"),
    SETTING_LIST_ROW(
	S, dns_trust_anchor, "", "files of DS or DNSKEY records; without one nothing is validated"),
    SETTING_TIME_ROW(S, dns_timeout, "5s", 100, 120000, "time limit for one question"),
    SETTING_INT_ROW(
	S, dns_queries_max, "2000", 1, 100000, "most questions under way; more fail at once"),
    SETTING_SIZE_ROW(S, dns_cache_size, "16M", 65536, 16LL * 1024 * 1024 * 1024,
	"memory for answers that are kept"),
    SETTING_TEXT_ROW(S, dns_resolv_conf, "/etc/resolv.conf",
	"where servers are listed; read again when it changes"),
    SETTING_TEXT_ROW(S, dns_hosts_file, "/etc/hosts",
	"names that are answered without DNS; read again when it changes"),
};

const struct settings resolver_settings = {
    "resolver", rows, sizeof rows / sizeof rows[0], sizeof(struct resolver_conf)};
