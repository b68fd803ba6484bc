/* SPDX-License-Identifier: ISC */
/* What a login usually sends, and what goes far beyond. The hour itself is not waited for: what an
 * earlier one has taught is put where the next start reads it. */
#include "tests/unit/test.h"

#include <string.h>

#include "tests/unit/limiter/limiter_of.h"

/* `n` recipients, all alike or all different; whether they are held. */
static bool
send_to(struct limiter *l, const char *login, unsigned n, bool different, char reason[256])
{
	bool held = false;

	reason[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		uint64_t hash = different ? (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u : 1;
		held = usage_add(
		    l, str_from(login), str_make((const char *)&hash, sizeof hash), reason, 256);
	}
	return held;
}

static void
test_minimum(void **state)
{
	struct bench *b = *state;
	char reason[256];

	assert_false(send_to(&b->l, "a", 200, false, reason));
	assert_true(send_to(&b->l, "a", 1, false, reason));
	assert_non_null(strstr(reason, "account a: 201 recipients within an hour, usual are 0"));
	assert_false(send_to(&b->l, "b", 10, true, reason));
	b->conf.usage_hold_factor = 0;
	assert_false(send_to(&b->l, "a", 1000, true, reason));
}

/* What it has learned is a fact, "recipients different". */
static void
test_usual(void **state)
{
	struct bench *b = *state;
	char reason[256];

	facts_put(b->l.facts, STR("usage"), STR("news"), 3600, 1, STR("1000 50"));
	assert_false(send_to(&b->l, "news", 5000, false, reason));
	assert_true(send_to(&b->l, "news", 700, true, reason));
	assert_non_null(strstr(reason, "different recipients within an hour, usual are 50"));
	facts_put(b->l.facts, STR("usage"), STR("odd"), 3600, 1, STR("many x"));
	assert_false(send_to(&b->l, "odd", 200, false, reason));
	assert_true(send_to(&b->l, "odd", 1, false, reason));
}

static void
test_failures(void **state)
{
	struct bench *b = *state;
	char reason[256];

	assert_false(send_to(&b->l, "a", 100, false, reason));
	usage_failed(&b->l, STR("a"), 40);
	assert_false(send_to(&b->l, "a", 1, false, reason));
	usage_failed(&b->l, STR("a"), 20);
	assert_true(send_to(&b->l, "a", 1, false, reason));
	assert_non_null(strstr(reason, "account a: 60 of 102 recipients within an hour failed"));
	b->conf.usage_failure_percent = 0;
	assert_false(send_to(&b->l, "a", 1, false, reason));
}

/* Hashes come eight octets each; what is left over is no recipient. */
static void
test_odd(void **state)
{
	struct bench *b = *state;
	char reason[256];

	for (int i = 0; i < 1000; i++)
		assert_false(usage_add(&b->l, STR("a"), STR("seven77"), reason, sizeof reason));
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, bench_up, bench_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    ROW(test_minimum),
	    ROW(test_usual),
	    ROW(test_failures),
	    ROW(test_odd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
