/* SPDX-License-Identifier: ISC */
/* Facts about content, header fields, dates: each case whole and cut at every octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/mail/content.h"
#include "lib/mail/date.h"
#include "lib/mail/header.h"
#include "lib/msg/fields.h"

static const struct {
	const char *in;
	uint64_t header, longest, received, facts;
	bool bare;
} cases[] = {
    {"",				   0,  0,  0, 0,			    false},
    {"A: b\r\n\r\nbody\r\n",               6,  4,  0, 0,                            false},
    {"A: b\r\n",			   6,  4,  0, 0,                            false},
    {"A: b",			       4,  4,  0, FACT_NO_EOL,                  false},
    {"\r\nbody\r\n",		       0,  4,  0, 0,                            false},
    {"Received: x\r\n by y\r\nRECEIVED : z\r\nReceivedX: 1\r\nXReceived: 2\r\n\r\nReceived: "
     "body\r\n",		      62, 14, 2, 0,			    false},
    {"A: b\r\nno field here\r\n",          6,  13, 0, 0,                            false},
    {"From me Mon Jan 1\r\nA: b\r\n\r\n",  25, 17, 0, 0,                            false},
    {"From me\r\n folded\r\nA: b\r\n\r\n", 24, 7,  0, 0,                            false},
    {"A: b\r\nFrom me Mon\r\nC: d\r\n",    6,  11, 0, 0,                            false},
    {" x\r\nA: b\r\n",                     0,  4,  0, 0,                            false},
    {"A: \xc3\xb6\r\n\r\nx\r\n",           7,  5,  0, FACT_8BIT | FACT_8BIT_HEADER, false},
    {"A: b\r\n\xc3\xb6\r\n",               6,  4,  0, FACT_8BIT,                    false},
    {"A: b\r\n\r\n.\r\n",                  6,  4,  0, FACT_DOT_LINE,                false},
    {"A: b\r\n\r\na.\r\n",                 6,  4,  0, 0,                            false},
    {".x: y\r\n",			  7,  5,  0, FACT_DOT_LINE,                false},
    {"A: b\r\n\r\na\nb\r\n",               6,  4,  0, 0,                            true },
    {"A: b\r\n\r\na\rb\r\n",               6,  4,  0, 0,                            true },
    {"A: b\r\n\r\na\r",                    6,  4,  0, FACT_NO_EOL,                  true },
    {"A: b\r\n\r\na\r\r\n",                6,  4,  0, 0,                            true },
    {"A: b\r\nC",			  6,  4,  0, FACT_NO_EOL,                  false},
    {": x\r\n",			    0,  3,  0, 0,			    false},
};

static void
scan(struct content_scan *c, struct str in, size_t cut)
{
	content_begin(c);
	content_feed(c, str_sub(in, 0, cut));
	content_feed(c, str_from_at(in, cut));
	content_end(c);
}

static void
test_facts(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		struct str in = str_from(cases[i].in);
		for (size_t cut = 0; cut <= in.n; cut++) {
			struct content_scan c;
			scan(&c, in, cut);
			if (c.header_size != cases[i].header ||
			    c.longest_line != cases[i].longest || c.received != cases[i].received ||
			    c.facts != cases[i].facts || c.bare_newline != cases[i].bare ||
			    c.size != in.n)
				fail_msg("%s cut at %zu: header %lu longest %lu received %lu facts "
					 "%lx bare %d",
				    in.p, cut, c.header_size, c.longest_line, c.received, c.facts,
				    c.bare_newline);
		}
		assert_int_equal(header_size(in), cases[i].header);
	}
}

static void
test_nul(void **state)
{
	struct content_scan c;

	(void)state;
	scan(&c, STR("A: b\r\n\r\na\0b\r\n"), 3);
	assert_int_equal(c.facts, FACT_NUL);
}

static void
test_header(void **state)
{
	const struct str in = STR("To: a,\r\n\tb\r\nSubject : x\r\nEmpty:\r\n\r\nNot: here\r\n");
	struct header_field f;
	struct buf out;
	size_t offset = 0;

	(void)state;
	assert_true(header_next(in, &offset, &f));
	assert_true(str_is(f.name, "To"));
	assert_true(str_is(f.value, " a,\r\n\tb"));
	assert_int_equal(f.size, 12);
	assert_true(header_next(in, &offset, &f));
	assert_true(str_is(f.name, "Subject"));
	assert_true(header_next(in, &offset, &f));
	assert_true(str_is(f.name, "Empty"));
	assert_int_equal(f.value.n, 0);
	assert_false(header_next(in, &offset, &f));
	assert_int_equal(offset, header_size(in));
	assert_true(str_starts(str_from_at(in, offset), STR("\r\nNot")));
	assert_true(header_find(in, "SUBJECT", &f));
	assert_false(header_find(in, "Not", &f));

	buf_init(&out, 100);
	assert_int_equal(header_unfold(STR(" a,\r\n\tb\r\n c "), &out), 0);
	assert_string_equal(buf_cstr(&out), "a,\tb c");
	buf_free(&out);
}

static void
test_date(void **state)
{
	char out[DATE_SIZE];

	(void)state;
	setenv("TZ", "XST-5:30", 1);
	date_init();
	size_t n = date_header(out, 1700000000123456);
	assert_int_equal(n, strlen(out));
	assert_string_equal(out, "Wed, 15 Nov 2023 03:43:20 +0530 (XST)");
	setenv("TZ", "YST3", 1);
	date_init();
	date_header(out, 1700000000000000);
	assert_string_equal(out, "Tue, 14 Nov 2023 19:13:20 -0300 (YST)");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_facts),
	    cmocka_unit_test(test_nul),
	    cmocka_unit_test(test_header),
	    cmocka_unit_test(test_date),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
