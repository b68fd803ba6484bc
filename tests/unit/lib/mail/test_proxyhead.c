/* SPDX-License-Identifier: ISC */
/* PROXY protocol: heads of both versions, cut at each octet, with what follows, and what is none.
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/why.h"
#include "lib/mail/proxyhead.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x67\x00\x19"
#define V6                                                                 \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0" \
	"\0\0\0\0\0\0\0\0\x02\x12\x67\x00\x19"

static const struct {
	struct str head;
	const char *client; /* "" the balancer's own; NULL: refused by proxyhead_parse() */
} heads[] = {
    {STR("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n"),         "192.0.2.1 4711"  },
    {STR("PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n"),        "2001:db8::1 4711"},
    {STR("PROXY UNKNOWN\r\n"),				     ""                },
    {STR("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"),                 ""                },
    {STR(SIG "\x21\x11\x00\x0c" V4),                               "192.0.2.1 4711"  },
    {STR(SIG "\x21\x21\x00\x24" V6),                               "2001:db8::1 4711"},
    {STR(SIG "\x21\x11\x00\x10" V4 "\x04\x00\x01\x41"),            "192.0.2.1 4711"  },
    {STR(SIG "\x20\x00\x00\x00"),				  ""                },
    {STR(SIG "\x20\x11\x00\x0c" V4),                               ""                },
    {STR(SIG "\x21\x00\x00\x00"),				  ""                },
    {STR("PROXY\r\n"),					     NULL              },
    {STR("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\n"),           NULL              },
    {STR("PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n"),            NULL              },
    {STR("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25 x\r\n"),       NULL              },
    {STR("PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n"),        NULL              },
    {STR("PROXY TCP4 192.0.2.1 198.51.100.2 4711 -1\r\n"),         NULL              },
    {STR("PROXY TCP4 2001:db8::1 2001:db8::2 4711 25\r\n"),        NULL              },
    {STR("PROXY TCP6 192.0.2.1 198.51.100.2 4711 25\r\n"),         NULL              },
    {STR("PROXY TCP5 192.0.2.1 198.51.100.2 4711 25\r\n"),         NULL              },
    {STR("PROXY TCP4 192.0.2.1\0 198.51.100.2 4711 25\r\n"),       NULL              },
    {STR(SIG "\x11\x11\x00\x0c" V4),                               NULL              },
    {STR(SIG "\x22\x11\x00\x0c" V4),                               NULL              },
    {STR(SIG "\x21\x12\x00\x0c" V4),                               NULL              },
    {STR(SIG "\x21\x11\x00\x0b"
	     "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x67\x00"),
     NULL									    },
    {STR(SIG "\x21\x21\x00\x0c" V4),                               NULL              },
};

static void
text_of(const struct proxyhead *p, char *out, size_t size)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&p->client;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&p->client;
	bool v6 = p->client.ss_family == AF_INET6;
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(p->client.ss_family, v6 ? (const void *)&in6->sin6_addr : &in4->sin_addr, ip,
	    sizeof ip);
	snprintf(out, size, "%s %u", ip, ntohs(v6 ? in6->sin6_port : in4->sin_port));
}

static void
test_heads(void **state)
{
	char text[80];

	(void)state;
	for (size_t i = 0; i < NELEM(heads); i++) {
		struct proxyhead p;
		struct why why = {0};
		bool whole;

		ssize_t n = proxyhead_length(heads[i].head, &whole, &why);
		if (n != (ssize_t)heads[i].head.n || !whole) {
			if (n == -1 && heads[i].client == NULL)
				continue;
			fail_msg("row %zu: %zd of %zu", i, n, heads[i].head.n);
		}
		int rc = proxyhead_parse(heads[i].head, &p, &why);
		if ((rc == 0) != (heads[i].client != NULL))
			fail_msg("row %zu: %d %s", i, rc, why.text);
		if (rc == -1 || heads[i].client[0] == '\0') {
			assert_true(rc == -1 || p.own);
			continue;
		}
		text_of(&p, text, sizeof text);
		assert_false(p.own);
		assert_string_equal(text, heads[i].client);
	}
}

/* It never takes an octet of the session, and never says "whole" too early. */
static void
test_cut(void **state)
{
	char room[256];

	(void)state;
	for (size_t i = 0; i < NELEM(heads); i++) {
		struct str head = heads[i].head;
		struct why why;
		bool whole;

		if (heads[i].client == NULL)
			continue;
		for (size_t n = 0; n < head.n; n++) {
			assert_int_equal(proxyhead_length(str_sub(head, 0, n), &whole, &why), n);
			assert_false(whole);
		}
		memcpy(room, head.p, head.n);
		memcpy(room + head.n, "EHLO x\r\n", 8);
		assert_int_equal(
		    proxyhead_length(str_make(room, head.n + 8), &whole, &why), head.n);
		assert_true(whole);
	}
}

static void
test_refused(void **state)
{
	static const struct str bad[] = {STR("E"), STR("EHLO x\r\n"), STR("proxy TCP4"),
	    STR("PROXYTCP4"), STR("\r\n\r\nX"), STR(SIG "\x21\x11\x04\x00"),
	    STR(SIG "\x21\x11\xff\xff")};
	char room[200];
	struct why why;
	bool whole;

	(void)state;
	for (size_t i = 0; i < NELEM(bad); i++)
		if (proxyhead_length(bad[i], &whole, &why) != -1)
			fail_msg("row %zu", i);
	/* a line without an end: 107 octets at most */
	memset(room, 'x', sizeof room);
	memcpy(room, "PROXY ", 6);
	assert_int_equal(proxyhead_length(str_make(room, 106), &whole, &why), 106);
	assert_int_equal(proxyhead_length(str_make(room, 107), &whole, &why), -1);
	room[107] = '\n';
	assert_int_equal(proxyhead_length(str_make(room, 108), &whole, &why), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_heads),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
