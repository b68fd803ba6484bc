/* SPDX-License-Identifier: ISC */
/* Macros by their names, with and without braces. */
#include "tests/unit/test.h"

#include "lib/base/buf.h"
#include "lib/milter/macros.h"

static const struct milter_facts facts = {
    .myhostname = "mx.example",
    .daemon_name = "in",
    .mail_name = "kingpost",
    .id = "0123",
    .client_name = "c.example",
    .client_addr = "192.0.2.1",
    .mail_addr = "",
    .rcpt_mailer = "smtp",
};

static const struct row {
	const char *name, *value; /* NULL: it has none */
} rows[] = {
    {"j",	     "mx.example"           },
    {"{j}",           "mx.example"           },
    {"i",	     "0123"		 },
    {"{daemon_name}", "in"                   },
    {"daemon_name",   "in"                   },
    {"_",	     "c.example [192.0.2.1]"},
    {"{client_ptr}",  "c.example"            },
    {"v",	     "kingpost " KP_VERSION },
    {"{mail_addr}",   ""                     },
    {"{rcpt_mailer}", "smtp"                 },
    {"{rcpt_host}",   NULL                   },
    {"{cipher}",      NULL                   },
    {"{no such one}", NULL                   },
    {"{",	     NULL		   },
    {"",	      NULL		   },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct buf out;
		buf_init(&out, 200);
		assert_int_equal(
		    milter_macro(&facts, str_from(rows[i].name), &out), rows[i].value != NULL);
		assert_string_equal(buf_cstr(&out), rows[i].value != NULL ? rows[i].value : "");
		buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
