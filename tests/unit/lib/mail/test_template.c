/* SPDX-License-Identifier: ISC */
/* Names in texts: filled in, left out, cut; and texts that are half a name. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/mail/template.h"

static const char *
value(void *arg, struct str name, char *room, size_t size)
{
	(void)arg;
	if (str_is(name, "client"))
		return "c.example[192.0.2.1]";
	if (str_is(name, "long")) {
		snprintf(room, size, "%0600d", 0);
		return room;
	}
	return "";
}

static void
test_filled_in(void **state)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
	    {"",				     ""			  },
	    {"plain {text} 100%%n",                  "plain {text} 100%%n"       },
	    {"from $client.",                        "from c.example[192.0.2.1]."},
	    {"from ${client}x",                      "from c.example[192.0.2.1]x"},
	    {"$none|${none}|",                       "||"                        },
	    {"${none?; $client}${client?; $client}", "; c.example[192.0.2.1]"    },
	    {"${none:nobody}${client:nobody}",       "nobody"                    },
	    {"${client?a${none:b${client}}c}",       "abc.example[192.0.2.1]c"   },
	    {"5$$ $",				"5$ $"                      },
	    {"${client",			     "c.example[192.0.2.1]"      },
	    {"${client?x",			   "x"                         },
	    {"${",				   ""			  },
	    {"$9 ${9?x}",			    "9 "                        },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct buf out = {.max = 1000};
		template_expand(str_from(rows[i].text), value, NULL, &out);
		assert_string_equal(buf_cstr(&out), rows[i].expected);
		buf_free(&out);
	}
}

static void
test_bounded(void **state)
{
	struct buf out = {.max = 1000};

	(void)state;
	template_expand(
	    STR("$long$long$long${long?${long?${long?${long?${long?$long}}}}}"), value, NULL, &out);
	assert_true(out.n <= 1000);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_filled_in),
	    cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
