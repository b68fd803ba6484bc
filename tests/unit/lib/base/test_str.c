/* SPDX-License-Identifier: ISC */
/* Borrowed text: comparisons, cutting, strict numbers. */
#include "lib/base/str.h"

#include <string.h>

#include "tests/unit/test.h"

static void
numbers_are_strict(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool fine;
		uint64_t value;
	} rows[] = {
	    {"0",		       10,         true,  0         },
	    {"10",		      10,         true,  10        },
	    {"11",		      10,         false, 0         },
	    {"007",		     10,         true,  7         },
	    {"",			10,         false, 0         },
	    {"+1",		      10,         false, 0         },
	    {"-1",		      10,         false, 0         },
	    {" 1",		      10,         false, 0         },
	    {"1 ",		      10,         false, 0         },
	    {"0x10",                    100,        false, 0         },
	    {"18446744073709551615",    UINT64_MAX, true,  UINT64_MAX},
	    {"18446744073709551616",    UINT64_MAX, false, 0         },
	    {"99999999999999999999999", UINT64_MAX, false, 0         },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		uint64_t value = 42;
		assert_int_equal(
		    str_u64(str_from(rows[i].text), rows[i].max, &value), rows[i].fine);
		assert_int_equal(value, rows[i].fine ? rows[i].value : 42);
	}
}

static void
words_are_cut_at_separators(void **state)
{
	struct str rest = STR("  one,two ,, three"), word;
	static const char *const expected[] = {"one", "two", "three"};

	(void)state;
	for (size_t i = 0; i < NELEM(expected); i++) {
		assert_true(str_word(&rest, " ,", &word));
		assert_true(str_is(word, expected[i]));
	}
	assert_false(str_word(&rest, " ,", &word));
	assert_int_equal(rest.n, 0);
}

static void
a_nul_is_no_separator(void **state)
{
	struct str rest = {"a\0b c", 5}, word;

	(void)state;
	assert_true(str_word(&rest, " ", &word));
	assert_int_equal(word.n, 3);
}

static void
comparisons_know_lengths(void **state)
{
	(void)state;
	assert_true(str_caseeq(STR("MAIL"), STR("mail")));
	assert_false(str_eq(STR("MAIL"), STR("mail")));
	assert_false(str_eq((struct str){"a\0b", 3}, STR("a")));
	assert_true(str_starts(STR("Resent-To"), STR("Resent-")));
	assert_false(str_starts(STR("Re"), STR("Resent-")));
	assert_true(str_ends(STR("a.lmdb"), STR(".lmdb")));
	assert_true(str_eq(str_sub(STR("abc"), 2, 10), STR("c")));
	assert_true(str_eq(str_from_at(STR("abc"), 10), STR_EMPTY));
	assert_true(str_cmp(STR("a"), STR("ab")) < 0);
	assert_true(str_eq(str_trim(STR(" \t x \r\n")), STR("x")));
}

static void
a_copy_fits_or_is_empty(void **state)
{
	char room[4] = "xyz";

	(void)state;
	assert_true(str_copy(room, sizeof room, STR("abc")));
	assert_string_equal(room, "abc");
	assert_false(str_copy(room, sizeof room, STR("abcd")));
	assert_string_equal(room, "");
}

static void
ascii_has_seven_bits(void **state)
{
	(void)state;
	assert_true(str_ascii(STR_EMPTY));
	assert_true(str_ascii(STR("a\0\x7f")));
	assert_false(str_ascii(STR("a\xc3\xa9")));
	assert_true(str_ascii(str_sub(STR("a\x80"), 0, 1)));

	assert_false(str_has_control(STR_EMPTY));
	assert_false(str_has_control(STR("a ~\x80\xff")));
	assert_true(str_has_control(STR("a\x1f")));
	assert_true(str_has_control(STR("\x7f")));
	assert_true(str_has_control(STR("a\0")));
	char text[] = "a\tb\x7f\xc3\xa9 \n";
	str_mask_control(text, sizeof text - 2);
	assert_string_equal(text, "a?b?\xc3\xa9 \n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_are_strict),
	    cmocka_unit_test(ascii_has_seven_bits),
	    cmocka_unit_test(words_are_cut_at_separators),
	    cmocka_unit_test(a_nul_is_no_separator),
	    cmocka_unit_test(comparisons_know_lengths),
	    cmocka_unit_test(a_copy_fits_or_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
