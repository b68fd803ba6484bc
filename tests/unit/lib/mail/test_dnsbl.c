/* SPDX-License-Identifier: ISC */
/* DNS lists: what is written, what a record means, what is asked for. */
#include "tests/unit/test.h"

#include <string.h>

#include "lib/base/why.h"
#include "lib/mail/dnsbl.h"

static void
test_parse(void **state)
{
	static const struct {
		const char *text, *zone; /* NULL: refused */
		int weight;
		const char *kept;
	} rows[] = {
	    {"zen.example",                   "zen.example", 1,   "zen.example"                },
	    {"zen.example*3",                 "zen.example", 3,   "zen.example"                },
	    {"wl.example*-20",                "wl.example",  -20, "wl.example"                 },
	    {"z.example=127.0.0.2",           "z.example",   1,   "z.example=127.0.0.2"        },
	    {"z.example=127.0.[0..3;9].2*5",  "z.example",   5,   "z.example=127.0.[0..3;9].2" },
	    {"z.example=127.0.0.[2..8;10]*0", "z.example",   0,   "z.example=127.0.0.[2..8;10]"},
	    {"z.example=[0..255].0.0.1",      "z.example",   1,   "z.example=[0..255].0.0.1"   },
	    {"",			      NULL,          0,   NULL                         },
	    {"z*3*5",			 NULL,          0,   NULL                         },
	    {"z example",                     NULL,          0,   NULL                         },
	    {"*3",			    NULL,          0,   NULL                         },
	    {"=127.0.0.1",                    NULL,          0,   NULL                         },
	    {"z.example*",                    NULL,          0,   NULL                         },
	    {"z.example*x",                   NULL,          0,   NULL                         },
	    {"z.example*--1",                 NULL,          0,   NULL                         },
	    {"z.example*10001",               NULL,          0,   NULL                         },
	    {"z.example=",                    NULL,          0,   NULL                         },
	    {"z.example=127.0.0",             NULL,          0,   NULL                         },
	    {"z.example=127.0.0.0.0",         NULL,          0,   NULL                         },
	    {"z.example=127.0.0.256",         NULL,          0,   NULL                         },
	    {"z.example=127.0.0.[8..2]",      NULL,          0,   NULL                         },
	    {"z.example=127.0.0.[]",          NULL,          0,   NULL                         },
	    {"z.example=127.0.0.[2",          NULL,          0,   NULL                         },
	    {"z.example=127.0.0.[2]x",        NULL,          0,   NULL                         },
	    {"z.example=127.0.0.[2..]",       NULL,          0,   NULL                         },
	    {"z.example=127..0.1",            NULL,          0,   NULL                         },
	    {"z.example=127.0.0.1 ",          NULL,          0,   NULL                         },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct why why = {0};
		struct dnsbl d;
		int rc = dnsbl_parse(&d, str_from(rows[i].text), &why);
		if ((rc == 0) != (rows[i].zone != NULL))
			fail_msg("\"%s\": %d, %s", rows[i].text, rc, why.text);
		if (rc == -1) {
			assert_true(why.text[0] != '\0');
			continue;
		}
		assert_string_equal(d.zone, rows[i].zone);
		assert_string_equal(d.text, rows[i].kept);
		assert_int_equal(d.weight, rows[i].weight);
		dnsbl_clear(&d);
	}
}

static void
test_hit(void **state)
{
	static const struct {
		const char *list;
		unsigned char record[4];
		bool hit;
	} rows[] = {
	    {"z",		    {127, 0, 0, 2},    true },
	    {"z",		    {127, 255, 1, 9},  true },
	    {"z",		    {192, 0, 2, 1},    false}, /* a wildcard of a dead list */
	    {"z=127.0.0.2",          {127, 0, 0, 2},    true },
	    {"z=127.0.0.2",          {127, 0, 0, 3},    false},
	    {"z=127.0.0.[2..8;10]",  {127, 0, 0, 8},    true },
	    {"z=127.0.0.[2..8;10]",  {127, 0, 0, 9},    false},
	    {"z=127.0.0.[2..8;10]",  {127, 0, 0, 10},   true },
	    {"z=127.0.0.[2..8;10]",  {127, 0, 1, 10},   false},
	    {"z=127.[0..255].0.255", {127, 77, 0, 255}, true },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct why why;
		struct dnsbl d;
		assert_int_equal(dnsbl_parse(&d, str_from(rows[i].list), &why), 0);
		if (dnsbl_hit(&d, str_make((const char *)rows[i].record, 4)) != rows[i].hit)
			fail_msg("row %zu: %s", i, rows[i].list);
		assert_false(dnsbl_hit(&d, str_make((const char *)rows[i].record, 3)));
		assert_false(dnsbl_hit(&d, STR_EMPTY));
		dnsbl_clear(&d);
	}
}

static void
test_name(void **state)
{
	static const struct {
		const char *address, *name; /* NULL: none */
	} rows[] = {
	    {"192.0.2.1",   "1.2.0.192.z.example"                                       },
	    {"0.0.0.0",     "0.0.0.0.z.example"                                         },
	    {"2001:db8::1",
             "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.z.example"},
	    {"192.0.2",     NULL							},
	    {"unknown",     NULL							},
	    {"",            NULL							},
	    {"::g",         NULL							},
	};
	char out[200];

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		bool good = dnsbl_name(out, sizeof out, str_from(rows[i].address), "z.example");
		if (good != (rows[i].name != NULL))
			fail_msg("\"%s\"", rows[i].address);
		if (good)
			assert_string_equal(out, rows[i].name);
	}
	/* Each size that is too small is refused, and the one that fits is not. */
	for (size_t size = 1; size <= sizeof "1.2.0.192.z.example"; size++)
		assert_int_equal(dnsbl_name(out, size, STR("192.0.2.1"), "z.example"),
		    size == sizeof "1.2.0.192.z.example");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_hit),
	    cmocka_unit_test(test_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
