/* SPDX-License-Identifier: ISC */
/* Next hops as transport tables write them, and delays as Postfix logs them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/why.h"
#include "remote/nexthop.h"
#include "remote/result.h"

static const struct {
	const char *transport, *text;
	const char *host; /* NULL: refused */
	unsigned port;
	bool mx, literal, lmtp;
} rows[] = {
    {"smtp",  "Example.ORG",             "example.org",           25,   true,  false, false},
    {"smtp",  "example.org.",            "example.org",           25,   true,  false, false},
    {"smtp",  "example.org:587",         "example.org",           587,  true,  false, false},
    {"smtp",  "[mail.example.org]",      "mail.example.org",      25,   false, false, false},
    {"smtp",  "[mail.example.org]:2525", "mail.example.org",      2525, false, false, false},
    {"relay", "[192.0.2.1]",             "192.0.2.1",             25,   false, true,  false},
    {"smtp",  "192.0.2.1",               "192.0.2.1",             25,   false, true,  false},
    {"smtp",  "[2001:db8::1]:26",        "2001:db8::1",           26,   false, true,  false},
    {"smtp",  "[IPv6:2001:db8::1]",      "IPv6:2001:db8::1",      25,   false, true,  false},
    {"lmtp",  "inet:store.example:2400", "store.example",         2400, false, false, true },
    {"lmtp",  "store.example",           "store.example",         24,   false, false, true },
    {"smtp",
     "b\xc3\xbc"
	"cher.example",		  "xn--bcher-kva.example", 25,   true,  false, false},
    {"smtp",  "_sip.example",            "_sip.example",          25,   true,  false, false},
    {"smtp",  "",			NULL,                    0,    false, false, false},
    {"smtp",  "[mail",                   NULL,                    0,    false, false, false},
    {"smtp",  "a:0",		     NULL,                    0,    false, false, false},
    {"smtp",  "a:65536",                 NULL,                    0,    false, false, false},
    {"smtp",  "a:x",		     NULL,                    0,    false, false, false},
    {"smtp",  "a b",		     NULL,                    0,    false, false, false},
    {"smtp",  "unix:",                   NULL,                    0,    false, false, false},
};

static void
test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct nexthop hop;
		struct why why = {0};
		int rc = nexthop_parse(
		    &hop, str_from(rows[i].transport), str_from(rows[i].text), 25, 24, &why);
		if ((rc == 0) != (rows[i].host != NULL))
			fail_msg("%s: %d %s", rows[i].text, rc, why.text);
		if (rc == -1) {
			assert_int_equal(why.class, WHY_TEMP);
			continue;
		}
		assert_string_equal(hop.host, rows[i].host);
		assert_int_equal(hop.port, rows[i].port);
		assert_int_equal(hop.mx, rows[i].mx);
		assert_int_equal(hop.literal, rows[i].literal);
		assert_int_equal(hop.lmtp, rows[i].lmtp);
	}
}

static void
test_delays(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} delays[] = {
	    {-5,          "0"    },
	    {0,           "0"    },
	    {4999,        "0"    },
	    {5000,        "0.01" },
	    {10000,       "0.01" },
	    {123456,      "0.12" },
	    {994999,      "0.99" },
	    {999000,      "1"    },
	    {1234567,     "1.2"  },
	    {9949999,     "9.9"  },
	    {9960000,     "10"   },
	    {12400000,    "12"   },
	    {86400000000, "86400"},
	};

	(void)state;
	for (size_t i = 0; i < NELEM(delays); i++) {
		char out[16];
		delay_show(out, delays[i].us);
		assert_string_equal(out, delays[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_delays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
