/* SPDX-License-Identifier: ISC */
/* Reasons: class, code, and text that cannot break a line. */
#include "lib/base/why.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"

static void
text_is_one_clean_line(void **state)
{
	struct why why;

	(void)state;
	assert_int_equal(why_perm(&why, "5.1.1", "no %s here", "a\r\nb\x7f"), -1);
	assert_string_equal(why.text, "no a??b? here");
	assert_string_equal(why.code, "5.1.1");
	assert_int_equal(why_smtp(&why), 550);
	why.smtp = 554;
	assert_int_equal(why_smtp(&why), 554);
}

static void
a_system_error_is_temporary(void **state)
{
	struct why why;

	(void)state;
	errno = ENOSPC;
	assert_int_equal(why_sys(&why, "4.3.1", "write %s", "file"), -1);
	assert_int_equal(why.class, WHY_TEMP);
	assert_string_equal(why.text, "write file: No space left on device");
	assert_int_equal(why_smtp(&why), 451);
	assert_int_equal(why_temp(NULL, NULL, "nobody listens"), -1);
}

static void
long_text_is_cut(void **state)
{
	struct why why;
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	errno = EIO;
	why_sys(&why, NULL, "%s", text);
	assert_int_equal(strlen(why.text), sizeof why.text - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_is_one_clean_line),
	    cmocka_unit_test(a_system_error_is_temporary),
	    cmocka_unit_test(long_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
