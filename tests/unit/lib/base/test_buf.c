/* SPDX-License-Identifier: ISC */
/* The buffer: its maximum, its NUL, its moves. */
#include "lib/base/buf.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

static void
the_maximum_refuses_and_changes_nothing(void **state)
{
	struct buf b = {.max = 10};

	(void)state;
	assert_int_equal(buf_puts(&b, "12345"), 0);
	assert_int_equal(buf_puts(&b, "678901"), -1);
	assert_int_equal(buf_printf(&b, "%d", 678901), -1);
	assert_string_equal(buf_cstr(&b), "12345");
	assert_int_equal(buf_printf(&b, "%d", 67890), 0);
	assert_string_equal(buf_cstr(&b), "1234567890");
	assert_int_equal(buf_byte(&b, 'x'), -1);
	buf_free(&b);
	assert_string_equal(buf_cstr(&b), "");
}

static void
a_huge_request_does_not_wrap(void **state)
{
	struct buf b = {.max = SIZE_MAX - 1};

	(void)state;
	assert_int_equal(buf_puts(&b, "x"), 0);
	assert_null(buf_room(&b, SIZE_MAX));
	buf_free(&b);
}

static void
it_grows_and_stays_terminated(void **state)
{
	struct buf b = {.max = 100000};

	(void)state;
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(buf_byte(&b, (char)('a' + i % 26)), 0);
		assert_int_equal(b.p[b.n], '\0');
	}
	buf_consume(&b, 9999);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.p[0], 'a' + 9999 % 26);
	assert_int_equal(b.p[1], '\0');
	buf_free(&b);
}

static void
stolen_memory_is_the_callers(void **state)
{
	struct buf b = {.max = 100};

	(void)state;
	assert_int_equal(buf_add(&b, "a\0b", 3), 0);
	char *p = buf_steal(&b);
	assert_memory_equal(p, "a\0b", 4);
	assert_int_equal(b.n, 0);
	free(p);
	p = buf_steal(&b);
	assert_string_equal(p, "");
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_maximum_refuses_and_changes_nothing),
	    cmocka_unit_test(a_huge_request_does_not_wrap),
	    cmocka_unit_test(it_grows_and_stays_terminated),
	    cmocka_unit_test(stolen_memory_is_the_callers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
