/* SPDX-License-Identifier: ISC */
/* Reads next hops. What cannot be read is our operator's mistake: mail waits for it to be mended.
 */
#include "remote/nexthop.h"

#include <netinet/in.h>
#include <string.h>

#include "lib/base/why.h"
#include "lib/mail/address.h"

static void
set_port(struct nexthop *hop)
{
	if (hop->address.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&hop->address)->sin6_port = htons(hop->port);
	else
		((struct sockaddr_in *)&hop->address)->sin_port = htons(hop->port);
}

/* Takes ":port" off the end of `*text`, which may be in brackets before it. False: it is no port.
 */
static bool
take_port(struct nexthop *hop, struct str *text)
{
	ptrdiff_t colon = str_rchr(*text, ':');
	uint64_t port;

	if (colon < 0 || str_rchr(*text, ']') > colon)
		return true;
	if (str_is(str_from_at(*text, (size_t)colon + 1), "smtp"))
		port = 25;
	else if (!str_u64(str_from_at(*text, (size_t)colon + 1), 65535, &port) || port == 0)
		return false;
	hop->port = (uint16_t)port;
	*text = str_sub(*text, 0, (size_t)colon);
	return true;
}

static int
parse_host(struct nexthop *hop, struct str host, struct why *why)
{
	bool brackets = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';

	if (brackets)
		host = str_sub(host, 1, host.n - 2);
	if (brackets || hop->lmtp)
		hop->mx = false;
	if (literal_parse(host, brackets, &hop->address)) {
		hop->literal = true;
		hop->mx = false;
		set_port(hop);
		return str_copy(hop->host, sizeof hop->host, host)
			   ? 0
			   : why_temp(why, "4.3.5", "bad next hop");
	}
	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	return domain_to_ascii(host, hop->host, why);
}

int
nexthop_parse(struct nexthop *hop, struct str transport, struct str text, uint16_t smtp_port,
    uint16_t lmtp_port, struct why *why)
{
	*hop = (struct nexthop){.mx = true, .lmtp = str_starts(transport, STR("lmtp"))};
	hop->port = hop->lmtp ? lmtp_port : smtp_port;
	if (str_starts(text, STR("unix:"))) {
		struct str path = str_from_at(text, 5);
		if (path.n == 0 || !str_copy(hop->path, sizeof hop->path, path))
			return why_temp(why, "4.3.5", "bad next hop \"%.*s\"", STR_ARG(text));
		hop->mx = false;
		return 0;
	}
	struct str host = str_starts(text, STR("inet:")) ? str_from_at(text, 5) : text;
	if (!take_port(hop, &host) || parse_host(hop, host, why) == -1)
		return why_temp(why, "4.3.5", "bad next hop \"%.*s\"", STR_ARG(text));
	return 0;
}
