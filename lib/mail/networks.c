/* SPDX-License-Identifier: ISC */
/* Who is trusted by address. An unreadable list is an error at the start, never "nobody" or
 * "everybody". */
#include "lib/mail/networks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/mail/address.h"

struct network {
	unsigned char bytes[16];
	size_t n; /* 4 or 16 */
	unsigned bits;
	bool except;
};

/* The octets of an address, IPv4 for a mapped one; returns how many. */
static size_t
octets(const struct sockaddr_storage *sa, unsigned char out[static 16])
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (sa->ss_family == AF_INET) {
		memcpy(out, &((const struct sockaddr_in *)sa)->sin_addr, 4);
		return 4;
	}
	if (sa->ss_family != AF_INET6)
		return 0;
	memcpy(out, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	if (memcmp(out, mapped, sizeof mapped) != 0)
		return 16;
	memmove(out, out + 12, 4);
	return 4;
}

/* Whether the first `bits` bits are the same. */
static bool
same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] >> (8 - rest)) == (b[whole] >> (8 - rest));
}

static bool
host_bits_zero(const struct network *net)
{
	unsigned char zero[16] = {0};
	unsigned char copy[16] = {0};

	memcpy(copy, net->bytes, sizeof copy);
	for (unsigned bit = 0; bit < net->bits; bit++)
		copy[bit / 8] &= (unsigned char)~(0x80u >> bit % 8);
	return memcmp(copy, zero, net->n) == 0;
}

static bool
network_parse(struct network *net, struct str text)
{
	struct sockaddr_storage sa;

	*net = (struct network){0};
	if (text.n > 0 && text.p[0] == '!') {
		net->except = true;
		text = str_from_at(text, 1);
	}
	ptrdiff_t slash = str_rchr(text, '/');
	struct str bits = slash >= 0 ? str_from_at(text, (size_t)slash + 1) : STR_EMPTY;
	struct str host = slash >= 0 ? str_sub(text, 0, (size_t)slash) : text;
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_sub(host, 1, host.n - 2);
	if (!literal_parse(host, true, &sa))
		return false;
	net->n = octets(&sa, net->bytes);
	uint64_t value = net->n * 8;
	if (slash >= 0 && !str_u64(bits, net->n * 8, &value))
		return false;
	net->bits = (unsigned)value;
	return host_bits_zero(net);
}

int
networks_parse(struct networks *nets, const struct setting_list *list, struct why *why)
{
	nets->rows = xcalloc(list->n + 1, sizeof *nets->rows);
	nets->n = 0;
	for (size_t i = 0; i < list->n; i++) {
		if (!network_parse(&nets->rows[nets->n++], str_from(list->items[i]))) {
			networks_clear(nets);
			return why_perm(why, NULL,
			    "\"%s\" is not a network (address/prefix, no bits set behind it)",
			    list->items[i]);
		}
	}
	return 0;
}

void
networks_clear(struct networks *nets)
{
	free(nets->rows);
	*nets = (struct networks){0};
}

bool
networks_open(const struct networks *nets)
{
	for (size_t i = 0; i < nets->n; i++)
		if (!nets->rows[i].except && nets->rows[i].bits < (nets->rows[i].n == 4 ? 8 : 16))
			return true;
	return false;
}

bool
networks_match(const struct networks *nets, const struct sockaddr_storage *sa)
{
	unsigned char ip[16] = {0};
	size_t n = octets(sa, ip);

	for (size_t i = 0; i < nets->n; i++) {
		const struct network *net = &nets->rows[i];
		if (net->n == n && same_prefix(net->bytes, ip, net->bits))
			return !net->except;
	}
	return false;
}

bool
networks_key(struct str address, unsigned ipv4_bits, unsigned ipv6_bits, char *out, size_t size)
{
	char text[64], net[INET6_ADDRSTRLEN];
	unsigned char ip[16];
	int family = str_chr(address, ':') >= 0 ? AF_INET6 : AF_INET;
	unsigned bits = family == AF_INET6 ? ipv6_bits : ipv4_bits;

	if (!str_copy(text, sizeof text, address) || inet_pton(family, text, ip) != 1)
		return false;
	for (unsigned i = bits; i < (family == AF_INET6 ? 128u : 32u); i++)
		ip[i / 8] &= (unsigned char)~(0x80u >> i % 8);
	if (inet_ntop(family, ip, net, sizeof net) == NULL)
		return false;
	return snprintf(out, size, "%s/%u", net, bits) < (int)size;
}
