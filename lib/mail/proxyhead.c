/* SPDX-License-Identifier: ISC */
/*
 * Version 1 is a line ("PROXY TCP4 192.0.2.1 192.0.2.2 4711 25" CRLF, 107 octets at most), version
 * 2 a signature of twelve octets, version and command, family, a length, and so much more.
 */
#include "lib/mail/proxyhead.h"

#include <arpa/inet.h>
#include <string.h>

#include "lib/base/why.h"

enum { V1_MAX = 107, V2_HEAD = 16 };

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static int
bad(struct why *why, const char *text)
{
	return why_perm(why, NULL, "%s", text);
}

static bool
starts(struct str in, const char *with, size_t n)
{
	return memcmp(in.p, with, in.n < n ? in.n : n) == 0;
}

static ssize_t
length_2(struct str in, bool *whole, struct why *why)
{
	if (in.n < V2_HEAD)
		return (ssize_t)in.n;
	size_t n = V2_HEAD + ((size_t)(unsigned char)in.p[14] << 8 | (unsigned char)in.p[15]);
	if (n > PROXYHEAD_MAX)
		return bad(why, "the PROXY header is too long");
	*whole = in.n >= n;
	return (ssize_t)(*whole ? n : in.n);
}

ssize_t
proxyhead_length(struct str in, bool *whole, struct why *why)
{
	*whole = false;
	if (in.n == 0)
		return 0;
	if (in.p[0] == signature[0])
		return starts(in, signature, sizeof signature) ? length_2(in, whole, why)
							       : bad(why, "no PROXY header");
	if (!starts(in, "PROXY ", 6))
		return bad(why, "no PROXY header");
	const char *lf = memchr(in.p, '\n', in.n);
	size_t n = lf != NULL ? (size_t)(lf - in.p) + 1 : in.n;
	if (n > V1_MAX || (lf == NULL && n == V1_MAX))
		return bad(why, "the PROXY header is too long");
	*whole = lf != NULL;
	return (ssize_t)n;
}

static bool
set_client(struct proxyhead *out, int family, const void *ip, uint16_t port)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)&out->client;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->client;

	if (family == AF_INET) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(port);
		memcpy(&in4->sin_addr, ip, 4);
	} else {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, ip, 16);
	}
	return true;
}

static int
parse_1(struct str head, struct proxyhead *out, struct why *why)
{
	struct str word[6], rest;
	unsigned char ip[16], to[16];
	char text[INET6_ADDRSTRLEN];
	uint64_t port, to_port;
	size_t n = 0;

	if (!str_ends(head, STR("\r\n")))
		return bad(why, "the PROXY header does not end in CRLF");
	if (str_chr(head, '\0') >= 0)
		return bad(why, "the PROXY header has a NUL");
	rest = str_sub(head, 0, head.n - 2);
	while (n < 6 && str_word(&rest, " ", &word[n]))
		n++;
	if (n >= 2 && str_is(word[1], "UNKNOWN")) {
		out->own = true;
		return 0;
	}
	if (n != 6 || rest.n > 0 || !(str_is(word[1], "TCP4") || str_is(word[1], "TCP6")))
		return bad(why, "expected PROXY TCP4|TCP6 and two addresses and ports");
	int family = str_is(word[1], "TCP4") ? AF_INET : AF_INET6;
	if (!str_copy(text, sizeof text, word[3]) || inet_pton(family, text, to) != 1 ||
	    !str_copy(text, sizeof text, word[2]) || inet_pton(family, text, ip) != 1 ||
	    !str_u64(word[4], 65535, &port) || !str_u64(word[5], 65535, &to_port))
		return bad(why, "the PROXY header has a bad address or port");
	set_client(out, family, ip, (uint16_t)port);
	return 0;
}

static uint16_t
be16(const char *p)
{
	return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

static int
parse_2(struct str head, struct proxyhead *out, struct why *why)
{
	unsigned command = (unsigned char)head.p[12], family = (unsigned char)head.p[13];
	struct str rest = str_from_at(head, V2_HEAD);

	if (command >> 4 != 2 || (command & 15) > 1)
		return bad(why, "a PROXY header of another version");
	if ((command & 15) == 0 || family == 0) {
		out->own = true;
		return 0;
	}
	if (family == 0x11 && rest.n >= 12)
		set_client(out, AF_INET, rest.p, be16(rest.p + 8));
	else if (family == 0x21 && rest.n >= 36)
		set_client(out, AF_INET6, rest.p, be16(rest.p + 32));
	else
		return bad(why, "the PROXY header is not of a TCP connection");
	return 0;
}

int
proxyhead_parse(struct str head, struct proxyhead *out, struct why *why)
{
	*out = (struct proxyhead){0};
	if (head.n >= V2_HEAD && head.p[0] == signature[0])
		return parse_2(head, out, why);
	return parse_1(head, out, why);
}
