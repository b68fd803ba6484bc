/* SPDX-License-Identifier: ISC */
/* mynetworks: who is in, who is not, and what is refused as a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/mail/address.h"
#include "lib/mail/networks.h"

static void
test_match(void **state)
{
	static const struct {
		const char *address;
		bool in;
	} rows[] = {
	    {"127.0.0.1",        true },
	    {"127.255.255.255",  true },
	    {"128.0.0.0",        false},
	    {"::1",              true },
	    {"::2",              false},
	    {"::ffff:127.0.0.9", true },
	    {"192.0.2.63",       true },
	    {"192.0.2.64",       false},
	    {"192.0.2.7",        false},
	    {"2001:db8::1",      true },
	    {"2001:db9::1",      false},
	    {"10.1.2.3",         true },
	    {"10.1.2.4",         false},
	    {"0.0.0.0",          false},
	};
	char *items[] = {"!192.0.2.7", "127.0.0.0/8", "[::1]/128", "192.0.2.0/26",
	    "[2001:db8::]/32", "10.1.2.3"};
	struct setting_list list = {items, NELEM(items)};
	struct networks nets;
	struct why why;

	(void)state;
	assert_int_equal(networks_parse(&nets, &list, &why), 0);
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct sockaddr_storage sa;
		assert_true(literal_parse(str_from(rows[i].address), true, &sa));
		if (networks_match(&nets, &sa) != rows[i].in)
			fail_msg("%s", rows[i].address);
	}
	networks_clear(&nets);
}

static void
test_refused(void **state)
{
	static const char *const bad[] = {"", "x", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/",
	    "10.0.0.0/-1", "10.0.0/8", "[::1", "::/129", "host.example", "hash:/etc/x"};

	(void)state;
	for (size_t i = 0; i < NELEM(bad); i++) {
		char item[64];
		char *items[] = {item};
		struct setting_list list = {items, 1};
		struct networks nets;
		struct why why;
		strcpy(item, bad[i]);
		if (networks_parse(&nets, &list, &why) != -1)
			fail_msg("%s", bad[i]);
		assert_null(nets.rows);
	}
}

static void
test_empty(void **state)
{
	struct setting_list list = {NULL, 0};
	struct networks nets;
	struct sockaddr_storage sa;
	struct why why;

	(void)state;
	assert_int_equal(networks_parse(&nets, &list, &why), 0);
	assert_true(literal_parse(STR("127.0.0.1"), true, &sa));
	assert_false(networks_match(&nets, &sa));
	networks_clear(&nets);
}

static void
test_open(void **state)
{
	static const struct {
		char *item;
		bool open;
	} rows[] = {
	    {"0.0.0.0/0",       true },
	    {"128.0.0.0/1",     true },
	    {"[::]/0",          true },
	    {"2000::/3",        true },
	    {"127.0.0.0/8",     false},
	    {"10.0.0.0/8",      false},
	    {"[2001:db8::]/32", false},
	    {"!0.0.0.0/0",      false},
	    {"192.0.2.1",       false},
	};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		char *items[] = {rows[i].item};
		struct setting_list list = {items, 1};
		struct networks nets;
		assert_int_equal(networks_parse(&nets, &list, NULL), 0);
		assert_int_equal(networks_open(&nets), rows[i].open);
		networks_clear(&nets);
	}
}

/* The network that counts as one client. */
static void
test_key(void **state)
{
	static const struct {
		const char *address;
		unsigned ipv4, ipv6;
		const char *key; /* NULL: none */
	} rows[] = {
	    {"192.0.2.77",             24, 64,  "192.0.2.0/24"            },
	    {"192.0.2.77",             32, 64,  "192.0.2.77/32"           },
	    {"192.0.2.77",             1,  64,  "128.0.0.0/1"             },
	    {"10.20.255.1",            20, 64,  "10.20.240.0/20"          },
	    {"2001:db8:1:2:3:4:5:6",   24, 64,  "2001:db8:1:2::/64"       },
	    {"2001:db8:1:2:3:4:5:6",   24, 128, "2001:db8:1:2:3:4:5:6/128"},
	    {"2001:db8:1:2ff:3:4:5:6", 24, 56,  "2001:db8:1:200::/56"     },
	    {"unknown",                24, 64,  NULL                      },
	    {"",		       24, 64,  NULL                      },
	    {"192.0.2.77/24",          24, 64,  NULL                      },
	    {"[2001:db8::1]",          24, 64,  NULL                      },
	};
	char out[80];

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		bool good = networks_key(
		    str_from(rows[i].address), rows[i].ipv4, rows[i].ipv6, out, sizeof out);
		if (good != (rows[i].key != NULL))
			fail_msg("\"%s\"", rows[i].address);
		if (good)
			assert_string_equal(out, rows[i].key);
	}
	assert_false(networks_key(STR("192.0.2.77"), 24, 64, out, sizeof "192.0.2.0/24" - 1));
	assert_true(networks_key(STR("192.0.2.77"), 24, 64, out, sizeof "192.0.2.0/24"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_match),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_key),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
