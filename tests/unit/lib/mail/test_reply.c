/* SPDX-License-Identifier: ISC */
/* Replies of servers, good and hostile, whole and cut at every octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/why.h"
#include "lib/mail/reply.h"

static const struct {
	const char *in;
	int code; /* 0: incomplete, -1: refused */
	const char *enhanced;
	const char *shown;
	const char *rest;
} cases[] = {
    {"250 2.1.0 Ok\r\n",              250, "2.1.0", "250 2.1.0 Ok",          ""          },
    {"250 2.1.0 Ok\r\n354 go\r\n",    250, "2.1.0", "250 2.1.0 Ok",          "354 go\r\n"},
    {"250-a\r\n250-b c\r\n250 d\r\n", 250, "",      "250-a 250-b c 250 d",   ""          },
    {"220\r\n",		       220, "",      "220 ",                  ""          },
    {"250 ok\n",		      250, "",      "250 ok",                ""          },
    {"550 2.1.0 wrong class\r\n",     550, "",      "550 2.1.0 wrong class", ""          },
    {"550 5.7.1234 no code\r\n",      550, "",      "550 5.7.1234 no code",  ""          },
    {"550 5.1.1\r\n",                 550, "5.1.1", "550 5.1.1",             ""          },
    {"250 tab\tand\x01"
     "control\r\n",	      250, "",      "250 tab and?control",   ""          },
    {"250-a\r\n",		     0,   NULL,    NULL,                    NULL        },
    {"250 a",			 0,   NULL,    NULL,                    NULL        },
    {"553-\r\n554\r\n",               -1,  NULL,    NULL,                    NULL        },
    {"553-\r\n553\r\n",               553, "",      "553- 553 ",             ""          },
    {"55\r\n",			-1,  NULL,    NULL,                    NULL        },
    {"\r\n",			  -1,  NULL,    NULL,                    NULL        },
    {"250x\r\n",		      -1,  NULL,    NULL,                    NULL        },
    {"150 x\r\n",		     -1,  NULL,    NULL,                    NULL        },
    {"650 x\r\n",		     -1,  NULL,    NULL,                    NULL        },
    {"2x0 x\r\n",		     -1,  NULL,    NULL,                    NULL        },
    {"HTTP/1.1 200 OK\r\n",           -1,  NULL,    NULL,                    NULL        },
};

static void
check(size_t i, size_t cut)
{
	struct str in = str_from(cases[i].in);
	struct reply r;
	struct why why = {0};
	struct buf shown;
	size_t used, more = 0;

	reply_init(&r);
	buf_init(&shown, 500);
	int rc = reply_feed(&r, str_sub(in, 0, cut), &used, &why);
	if (rc == 0)
		rc = reply_feed(&r, str_from_at(in, used), &more, &why);
	used += more;
	if (rc != (cases[i].code > 0 ? 1 : cases[i].code))
		fail_msg("%s: %d %s", in.p, rc, why.text);
	if (rc == 1) {
		reply_show(&r, &shown);
		assert_int_equal(r.code, cases[i].code);
		assert_string_equal(r.enhanced, cases[i].enhanced);
		assert_string_equal(buf_cstr(&shown), cases[i].shown);
		assert_string_equal(in.p + used, cases[i].rest);
	}
	if (rc == -1)
		assert_int_equal(why.class, WHY_TEMP);
	buf_free(&shown);
	reply_free(&r);
}

static void
test_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++)
		for (size_t cut = 0; cut <= strlen(cases[i].in); cut++)
			check(i, cut);
}

static int
feed_repeated(const char *text, size_t times)
{
	struct reply r;
	struct why why;
	size_t used;
	int rc = 0;

	reply_init(&r);
	for (size_t i = 0; i < times && rc == 0; i++)
		rc = reply_feed(&r, str_from(text), &used, &why);
	reply_free(&r);
	return rc;
}

static void
test_limits(void **state)
{
	(void)state;
	assert_int_equal(feed_repeated("250-x\r\n", REPLY_LINES_MAX), 0);
	assert_int_equal(feed_repeated("250-x\r\n", REPLY_LINES_MAX + 1), -1);
	assert_int_equal(feed_repeated("250-x", REPLY_LINE_MAX / 5), 0);
	assert_int_equal(feed_repeated("250-x", REPLY_LINE_MAX / 5 + 1), -1);
}

static void
test_lines(void **state)
{
	struct reply r;
	struct str line;
	size_t used, offset = 0;

	(void)state;
	reply_init(&r);
	assert_int_equal(
	    reply_feed(&r, STR("250-host\r\n250-\r\n250 SIZE 10\r\n"), &used, NULL), 1);
	assert_true(reply_line(&r, &offset, &line));
	assert_true(str_is(line, "host"));
	assert_true(reply_line(&r, &offset, &line));
	assert_int_equal(line.n, 0);
	assert_true(reply_line(&r, &offset, &line));
	assert_true(str_is(line, "SIZE 10"));
	assert_false(reply_line(&r, &offset, &line));
	reply_free(&r);
}

static void
test_why(void **state)
{
	struct reply r;
	struct why why;
	size_t used;

	(void)state;
	reply_init(&r);
	assert_int_equal(reply_feed(&r, STR("450 4.2.0 later\r\n"), &used, NULL), 1);
	assert_int_equal(reply_why(&r, &why), -1);
	assert_int_equal(why.class, WHY_TEMP);
	assert_string_equal(why.code, "4.2.0");
	assert_string_equal(why.text, "450 4.2.0 later");
	reply_reset(&r);
	assert_int_equal(reply_feed(&r, STR("550 no\r\n"), &used, NULL), 1);
	reply_why(&r, &why);
	assert_int_equal(why.class, WHY_PERM);
	assert_string_equal(why.code, "5.0.0");
	assert_int_equal(why_smtp(&why), 550);
	reply_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_split),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_why),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
