/* SPDX-License-Identifier: ISC */
/* Windows, what is held, and a holder's death. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <unistd.h>

#include "limiter/counters.h"

enum { LONG = 3600 * 1000 };

#define K STR("kind")

static void
test_window(void **state)
{
	struct counters *c = counters_new(100);

	(void)state;
	assert_int_equal(counters_add(c, K, STR("a"), 0, LONG), 0);
	assert_int_equal(counters_add(c, K, STR("a"), 1, 200), 1);
	assert_int_equal(counters_add(c, K, STR("a"), 2, 200), 3);
	assert_int_equal(counters_add(c, K, STR("a"), 0, 200), 3);
	assert_int_equal(counters_add(c, K, STR("b"), 1, 200), 1);
	assert_int_equal(counters_add(c, STR("other"), STR("a"), 1, 200), 1);
	usleep(250 * 1000);
	assert_int_equal(counters_add(c, K, STR("a"), 0, 200), 0);
	assert_int_equal(counters_add(c, K, STR("a"), 1, 200), 1);
	assert_int_equal(counters_add(c, K, STR("a"), UINT64_MAX, LONG), UINT64_MAX);
	counters_free(&c);
	assert_null(c);
}

/* The one that changed least recently goes; asking is no change. */
static void
test_bound(void **state)
{
	struct counters *c = counters_new(3);

	(void)state;
	counters_add(c, K, STR("a"), 5, LONG);
	counters_add(c, K, STR("b"), 5, LONG);
	counters_add(c, K, STR("c"), 5, LONG);
	counters_add(c, K, STR("a"), 1, LONG);
	counters_add(c, K, STR("b"), 0, LONG);
	counters_add(c, K, STR("d"), 5, LONG);
	assert_int_equal(counters_add(c, K, STR("b"), 0, LONG), 0);
	assert_int_equal(counters_add(c, K, STR("a"), 0, LONG), 6);
	assert_int_equal(counters_add(c, K, STR("c"), 0, LONG), 5);
	assert_int_equal(counters_add(c, K, STR("d"), 0, LONG), 5);
	counters_free(&c);
}

static void
test_holds(void **state)
{
	struct counters *c = counters_new(10);
	int one, two;

	(void)state;
	assert_int_equal(counters_hold(c, &one, K, STR("a"), 1), 1);
	assert_int_equal(counters_hold(c, &two, K, STR("a"), 2), 3);
	assert_int_equal(counters_hold(c, &one, K, STR("a"), 0), 3);
	assert_int_equal(counters_hold(c, &one, K, STR("b"), 1), 1);
	counters_release(c, &one, K, STR("a"), 1);
	assert_int_equal(counters_hold(c, &one, K, STR("a"), 0), 2);
	/* what is not held cannot be released, nor another's */
	counters_release(c, &one, K, STR("a"), 1);
	counters_release(c, &two, K, STR("b"), 1);
	assert_int_equal(counters_hold(c, &one, K, STR("a"), 0), 2);
	assert_int_equal(counters_hold(c, &one, K, STR("b"), 0), 1);
	counters_release(c, &two, K, STR("a"), 1000);
	assert_int_equal(counters_hold(c, &one, K, STR("a"), 0), 0);
	counters_free(&c);
}

/* A worker that dies gives all back, and takes nothing of another's along. */
static void
test_holder_dies(void **state)
{
	struct counters *c = counters_new(10);
	int one, two;
	char key[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof key, "%d", i);
		counters_hold(c, &one, K, str_from(key), 2);
		counters_hold(c, &two, K, str_from(key), 1);
	}
	counters_forget_holder(c, &one);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof key, "%d", i);
		assert_int_equal(counters_hold(c, &two, K, str_from(key), 0), 1);
	}
	counters_forget_holder(c, &one);
	counters_forget_holder(c, &two);
	assert_int_equal(counters_hold(c, &one, K, STR("7"), 1), 1);
	counters_free(&c);
}

/* An asker that is out of its mind can neither overflow a count nor write beyond a name. */
static void
test_hostile(void **state)
{
	struct counters *c = counters_new(10);
	char key[512];
	int one;

	(void)state;
	for (size_t i = 0; i < sizeof key; i++)
		key[i] = (char)(i % 255 + 1);
	assert_int_equal(
	    counters_hold(c, &one, K, str_make(key, sizeof key), UINT64_MAX), UINT32_MAX);
	assert_int_equal(counters_add(c, K, str_make(key, sizeof key), 1, LONG), 1);
	assert_int_equal(counters_add(c, K, STR_EMPTY, 1, LONG), 1);
	counters_release(c, &one, K, str_make(key, sizeof key), UINT64_MAX);
	assert_int_equal(counters_hold(c, &one, K, str_make(key, sizeof key), 0), 0);
	counters_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_window),
	    cmocka_unit_test(test_bound),
	    cmocka_unit_test(test_holds),
	    cmocka_unit_test(test_holder_dies),
	    cmocka_unit_test(test_hostile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
