/* SPDX-License-Identifier: ISC */
/* Milters as a list setting names them. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "lib/conf/setting.h"
#include "lib/milter/milter.h"

static const struct milter_times defaults = {1000, 2000, 3000, MILTER_DEFAULT_TEMPFAIL};

static const struct row {
	const char *text, *target;
	int64_t connect_ms, action;
	const char *wrong; /* a part of the reason; NULL: fine */
} rows[] = {
    {"inet:127.0.0.1:8891",					     "inet:127.0.0.1:8891", 1000,  MILTER_DEFAULT_TEMPFAIL,   NULL               },
    {"inet:8891@localhost",					     "inet:localhost:8891", 1000,  MILTER_DEFAULT_TEMPFAIL,   NULL               },
    {"unix:/run/x",						     "unix:/run/x",         1000,  MILTER_DEFAULT_TEMPFAIL,   NULL               },
    {"local:/run/x",						    "unix:/run/x",         1000,  MILTER_DEFAULT_TEMPFAIL,   NULL               },
    {"{ inet:[::1]:8891, connect_timeout=10s, default_action=accept }", "inet:[::1]:8891",     10000,
     MILTER_DEFAULT_ACCEPT,												      NULL               },
    {"{inet:h:1,default_action = quarantine}",                          "inet:h:1",            1000,  MILTER_DEFAULT_QUARANTINE, NULL               },
    {"tcp:1.2.3.4:5",						   NULL,                  0,     0,                         "expected inet:"   },
    {"{ }",							     NULL,		  0,     0,			 "expected a milter"},
    {"{ inet:h:1, speed=1 }",					   NULL,                  0,     0,                         "speed=1: expected"},
    {"{ inet:h:1, connect_timeout=soon }",                              NULL,                  0,     0,                         "connect_timeout:" },
    {"{ inet:h:1, default_action=shrug }",                              NULL,                  0,     0,                         "default_action:"  },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		char *item = str_dup(str_from(rows[i].text));
		struct setting_list items = {&item, 1};
		struct milter_list list;
		struct why why = {0};
		int rc = milter_list_parse(&list, &items, &defaults, &why);
		if (rows[i].wrong != NULL) {
			assert_int_equal(rc, -1);
			assert_non_null(strstr(why.text, rows[i].wrong));
		} else {
			assert_int_equal(rc, 0);
			assert_int_equal(list.n, 1);
			assert_string_equal(list.specs[0].target, rows[i].target);
			assert_int_equal(list.specs[0].times.connect_ms, rows[i].connect_ms);
			assert_int_equal(list.specs[0].times.command_ms, 2000);
			assert_int_equal(list.specs[0].times.action, rows[i].action);
			milter_list_clear(&list);
		}
		free(item);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
