/* SPDX-License-Identifier: ISC */
/* A milter's changes of a header: what they make of it, and that nothing in them ends the header or
 * begins another field. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/why.h"
#include "lib/milter/mail.h"

#define HEADER "A: 1\r\nB: 2\r\n\tfolded\r\na: 3\r\n"

enum op { ADD, INSERT, CHANGE };

static const struct row {
	enum op op;
	uint32_t index;
	const char *name, *value;
	bool lead;
	const char *header; /* NULL: refused */
} rows[] = {
    {ADD,    0,  "X",         "new",           false, HEADER "X: new\r\n"                             },
    {ADD,    0,  "X",         " new",          true,  HEADER "X: new\r\n"                             },
    {ADD,    0,  "X",         "",              false, HEADER "X: \r\n"                                },
    {ADD,    0,  "X",         "a\nb",          false, HEADER "X: a\r\n\tb\r\n"                        },
    {ADD,    0,  "X",         "a\n b",         false, HEADER "X: a\r\n b\r\n"                         },
    {ADD,    0,  "X",         "a\r\n\r\nbody", false, HEADER "X: a\r\n\tbody\r\n"                     },
    {ADD,    0,  "X",         "a\nEvil: b\n",  false, HEADER "X: a\r\n\tEvil: b\r\n"                  },
    {ADD,    0,  "X",         "a\rEvil: b",    false, HEADER "X: aEvil: b\r\n"                        },
    {ADD,    0,  "X",         "\n\n",          false, HEADER "X: \r\n"                                },
    {ADD,    0,  "X: y\r\nZ", "v",             false, NULL					    },
    {ADD,    0,  "X Y",       "v",             false, NULL					    },
    {ADD,    0,  "",          "v",             false, NULL					    },
    {INSERT, 0,  "X",         "top",           false, "X: top\r\n" HEADER                             },
    {INSERT, 1,  "X",         "top",           false, "X: top\r\n" HEADER                             },
    {INSERT, 2,  "X",         "mid",           false, "A: 1\r\nX: mid\r\nB: 2\r\n\tfolded\r\na: 3\r\n"},
    {INSERT, 99, "X",         "end",           false, HEADER "X: end\r\n"                             },
    {CHANGE, 1,  "B",         "new\nlines",    false, "A: 1\r\nB: new\r\n\tlines\r\na: 3\r\n"         },
    {CHANGE, 2,  "A",         "other",         false, "A: 1\r\nB: 2\r\n\tfolded\r\nA: other\r\n"      },
    {CHANGE, 0,  "a",         "",              false, "B: 2\r\n\tfolded\r\na: 3\r\n"                  },
    {CHANGE, 3,  "A",         "more",          false, HEADER "A: more\r\n"                            },
    {CHANGE, 3,  "A",         "",              false, HEADER					  },
    {CHANGE, 1,  "B",         "x\r\n\r\ny",    false, "A: 1\r\nB: x\r\n\ty\r\na: 3\r\n"               },
};

static void
test_header(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		const struct row *r = &rows[i];
		struct str name = str_from(r->name), value = str_from(r->value);
		struct milter_mail mail;
		milter_mail_init(&mail, 4096, 4096);
		assert_int_equal(buf_puts(&mail.header, HEADER), 0);
		int rc = r->op == ADD ? milter_mail_add(&mail, name, value, r->lead)
			 : r->op == INSERT
			     ? milter_mail_insert(&mail, r->index, name, value, r->lead)
			     : milter_mail_change(&mail, r->index, name, value, r->lead);
		assert_int_equal(rc, r->header != NULL ? 0 : -1);
		assert_string_equal(buf_cstr(&mail.header), r->header != NULL ? r->header : HEADER);
		milter_mail_clear(&mail);
	}
}

static void
test_bounds(void **state)
{
	struct milter_mail mail;

	(void)state;
	milter_mail_init(&mail, 32, 16);
	assert_int_equal(milter_mail_add(&mail, STR("X"), STR("0123456789"), false), 0);
	assert_int_equal(milter_mail_add(&mail, STR("Y"), STR("0123456789012345"), false), -1);
	assert_string_equal(buf_cstr(&mail.header), "X: 0123456789\r\n");
	assert_int_equal(milter_mail_replace(&mail, STR("0123456789")), 0);
	assert_int_equal(milter_mail_replace(&mail, STR("0123456789")), -1);
	milter_mail_clear(&mail);
}

static void
test_body(void **state)
{
	struct milter_mail mail;
	char part[64];

	(void)state;
	milter_mail_init(&mail, 1024, 1024);
	mail.body = STR("\r\nold body\r\n");
	assert_int_equal(milter_mail_body(&mail, 0, part, sizeof part), 10);
	assert_memory_equal(part, "old body\r\n", 10);
	assert_int_equal(milter_mail_body(&mail, 4, part, 2), 2);
	assert_memory_equal(part, "bo", 2);
	assert_int_equal(milter_mail_body(&mail, 10, part, sizeof part), 0);
	assert_int_equal(milter_mail_replace(&mail, STR("a\nb\r")), 0);
	assert_int_equal(milter_mail_replace(&mail, STR("\nc")), 0);
	assert_int_equal(milter_mail_body(&mail, 0, part, sizeof part), 10);
	milter_mail_accept(&mail);
	assert_string_equal(buf_cstr(&mail.replaced), "\r\na\r\nb\r\nc");
	assert_int_equal(milter_mail_body(&mail, 0, part, sizeof part), 7);
	milter_mail_clear(&mail);
}

/* What a milter did counts when it is done; a second body takes the place of the first. */
static void
test_turns(void **state)
{
	struct milter_mail mail;
	struct milter_budget budget = {.max = 100};

	(void)state;
	milter_mail_init(&mail, 1024, 1024);
	mail.budget = &budget;
	assert_int_equal(milter_mail_memory(&mail, STR("A: 1\r\n\r\nbody\r\n")), 0);
	milter_mail_begin(&mail);
	assert_int_equal(milter_mail_add(&mail, STR("X"), STR("y"), false), 0);
	assert_int_equal(milter_mail_replace(&mail, STR("one\n")), 0);
	assert_int_equal(budget.held, 7);
	milter_mail_revert(&mail);
	assert_string_equal(buf_cstr(&mail.header), "A: 1\r\n");
	assert_false(mail.is_changed || mail.is_replaced);
	assert_int_equal(budget.held, 0);
	for (const char *const *body = (const char *const[]){"two\n", "three", NULL}; *body != NULL;
	     body++) {
		milter_mail_begin(&mail);
		assert_int_equal(milter_mail_replace(&mail, str_from(*body)), 0);
		milter_mail_accept(&mail);
	}
	assert_string_equal(buf_cstr(&mail.replaced), "\r\nthree");
	assert_int_equal(budget.held, 7);
	milter_mail_begin(&mail);
	assert_int_equal(milter_mail_change(&mail, 1, STR("A"), STR(""), false), 0);
	milter_mail_accept(&mail);
	milter_mail_revert(&mail);
	assert_true(mail.is_changed && mail.header.n == 0);
	milter_mail_begin(&mail);
	budget.max = 12;
	assert_int_equal(milter_mail_replace(&mail, STR("four")), -1);
	milter_mail_revert(&mail);
	assert_string_equal(buf_cstr(&mail.replaced), "\r\nthree");
	milter_mail_clear(&mail);
	assert_int_equal(budget.held, 0);
}

static void
test_file(void **state)
{
	static const char text[] = "xxA: 1\r\n\r\nbody\r\nyy";
	struct milter_mail mail;
	char part[64], name[] = "/tmp/kp-test-mail-XXXXXX";
	struct why why;
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd != -1 && unlink(name) == 0);
	assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
	milter_mail_init(&mail, 1024, 1024);
	assert_int_equal(milter_mail_file(&mail, fd, 2, 6, 14, &why), 0);
	assert_string_equal(buf_cstr(&mail.header), "A: 1\r\n");
	assert_int_equal(milter_mail_body(&mail, 0, part, sizeof part), 6);
	assert_memory_equal(part, "body\r\n", 6);
	assert_int_equal(milter_mail_body(&mail, 6, part, sizeof part), 0);
	milter_mail_clear(&mail);
	milter_mail_init(&mail, 4, 1024);
	assert_int_equal(milter_mail_file(&mail, open("/dev/null", O_RDONLY), 0, 6, 14, &why), -1);
	milter_mail_clear(&mail);
	milter_mail_init(&mail, 1024, 1024);
	assert_int_equal(milter_mail_file(&mail, open("/dev/null", O_RDONLY), 0, 6, 14, &why), -1);
	assert_int_equal(why.class, WHY_TEMP);
	milter_mail_clear(&mail);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_header),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_body),
	    cmocka_unit_test(test_turns),
	    cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
