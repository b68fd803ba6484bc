/* SPDX-License-Identifier: ISC */
/* Lists of protocols as Postfix writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/tls/policy.h"

static const struct {
	char *words[4];
	unsigned protocols; /* 0: refused */
	const char *why;
} rows[] = {
    {{">=TLSv1.2"},		       TLS_1_2 | TLS_1_3,                     NULL                             },
    {{">=TLSv1"},			 TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, NULL                             },
    {{">=TLSv1.0"},		       TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, NULL                             },
    {{">=TLSv1.2", "<=TLSv1.2"},          TLS_1_2,                               NULL                             },
    {{"<=TLSv1.2", "!TLSv1", "!TLSv1.1"}, TLS_1_2,                               NULL                             },
    {{"!SSLv2", "!SSLv3"},                TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, NULL                             },
    {{"tlsv1.3"},			 TLS_1_3,			       NULL                             },
    {{"TLSv1.2", "TLSv1.3"},              TLS_1_2 | TLS_1_3,                     NULL                             },
    {{NULL},			      TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, NULL                             },
    {{"SSLv3"},			   TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, NULL                             },
    {{">=TLSv1.3", "!TLSv1.3"},           0,				     "no protocol is left"            },
    {{"TLSv1.4"},			 0,				     "TLSv1.4: expected TLSv1.2 or"   },
    {{">="},			      0,				     ">=: expected TLSv1.2 or TLSv1.3"},
};

static void
test_protocols(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct setting_list list = {.items = (char **)(uintptr_t)rows[i].words};
		unsigned got = 0;
		struct why why = {0};

		while (list.n < 4 && rows[i].words[list.n] != NULL)
			list.n++;
		int rc = tls_policy_protocols(&list, &got, &why);
		assert_int_equal(rc, rows[i].protocols != 0 ? 0 : -1);
		if (rc == 0)
			assert_int_equal(got, rows[i].protocols);
		else if (strstr(why.text, rows[i].why) != why.text)
			fail_msg("%s", why.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_protocols)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
