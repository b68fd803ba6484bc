/* SPDX-License-Identifier: ISC */
/* The map, against a plain array as oracle. */
#include "lib/base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

enum { KEYS = 3000, STEPS = 60000 };

static void
it_agrees_with_an_array(void **state)
{
	static char values[KEYS];
	bool there[KEYS] = {false};
	struct map *m = map_new();
	size_t count = 0;

	(void)state;
	srandom(4711);
	for (int i = 0; i < STEPS; i++) {
		size_t k = (size_t)random() % KEYS;
		char key[32];
		snprintf(key, sizeof key, "key-%zu", k);
		assert_ptr_equal(map_get(m, str_from(key)), there[k] ? &values[k] : NULL);
		if (random() % 2 == 0) {
			assert_ptr_equal(
			    map_put(m, str_from(key), &values[k]), there[k] ? &values[k] : NULL);
			count += !there[k];
			there[k] = true;
		} else {
			assert_ptr_equal(map_take(m, str_from(key)), there[k] ? &values[k] : NULL);
			count -= there[k];
			there[k] = false;
		}
		assert_int_equal(map_count(m), count);
	}
	size_t cursor = 0, walked = 0;
	void *value;
	while (map_next(m, &cursor, NULL, &value)) {
		assert_true(there[(char *)value - values]);
		walked++;
	}
	assert_int_equal(walked, count);
	map_free(&m, NULL);
	assert_null(m);
}

static void
keys_are_bytes(void **state)
{
	struct map *m = map_new();
	int a, b;

	(void)state;
	assert_null(map_put(m, (struct str){"x\0a", 3}, &a));
	assert_null(map_put(m, (struct str){"x\0b", 3}, &b));
	assert_ptr_equal(map_get(m, (struct str){"x\0a", 3}), &a);
	assert_null(map_get(m, STR("x")));
	map_free(&m, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_agrees_with_an_array), cmocka_unit_test(keys_are_bytes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
