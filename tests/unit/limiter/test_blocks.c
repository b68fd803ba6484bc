/* SPDX-License-Identifier: ISC */
/* Failed logins: the delay that grows, and who is blocked for how many of them. */
#include "tests/unit/test.h"

#include <string.h>

#include "limiter/blocks.h"
#include "tests/unit/limiter/limiter_of.h"

static void
fail_times(struct limiter *l, const char *address, const char *login, int n)
{
	for (int i = 0; i < n; i++)
		blocks_result(l, str_from(address), str_from(login), false);
}

static bool
is_blocked(struct limiter *l, const char *address, const char *login)
{
	struct block_state state;

	blocks_find(l, str_from(address), str_from(login), &state);
	if (state.blocked &&
	    (state.left_ms <= 0 || state.left_ms > l->conf->block_time || state.reason[0] == '\0'))
		fail_msg("%s: %lld ms, \"%s\"", address, (long long)state.left_ms, state.reason);
	return state.blocked;
}

static void
test_delay(void **state)
{
	struct bench *b = *state;
	static const int64_t delays[] = {0, 1000, 2000, 4000, 8000, 16000, 16000, 16000};
	struct block_state found;

	for (size_t i = 0; i < NELEM(delays); i++) {
		blocks_find(&b->l, STR("192.0.2.1"), STR_EMPTY, &found);
		assert_int_equal(found.delay_ms, delays[i]);
		fail_times(&b->l, "192.0.2.1", "a", 1);
	}
	blocks_find(&b->l, STR("192.0.2.2"), STR("a"), &found);
	assert_int_equal(found.delay_ms, 0);
	b->conf.auth_failure_delay = 0;
	blocks_find(&b->l, STR("192.0.2.1"), STR_EMPTY, &found);
	assert_int_equal(found.delay_ms, 0);
}

static void
test_address(void **state)
{
	struct bench *b = *state;

	fail_times(&b->l, "192.0.2.1", "a", 9);
	assert_false(is_blocked(&b->l, "192.0.2.1", ""));
	fail_times(&b->l, "192.0.2.1", "b", 1);
	assert_true(is_blocked(&b->l, "192.0.2.1", ""));
	assert_true(is_blocked(&b->l, "192.0.2.1", "c"));
	assert_false(is_blocked(&b->l, "192.0.2.2", "a"));
	b->conf.auth_block_address_limit = 0;
	fail_times(&b->l, "198.51.100.1", "d", 30);
	assert_false(is_blocked(&b->l, "198.51.100.1", "e"));
}

static void
test_network(void **state)
{
	struct bench *b = *state;
	char address[32], login[16];

	for (int i = 0; i < 50; i++) {
		snprintf(address, sizeof address, "2001:db8:1:2::%d", i);
		snprintf(login, sizeof login, "u%d", i);
		assert_false(is_blocked(&b->l, "2001:db8:1:2:ffff::1", ""));
		fail_times(&b->l, address, login, 1);
	}
	assert_true(is_blocked(&b->l, "2001:db8:1:2:ffff::1", ""));
	assert_false(is_blocked(&b->l, "2001:db8:1:3::1", ""));
}

/* An account is blocked for all, but not for where it has logged in from: nobody can lock it out.
 */
static void
test_login(void **state)
{
	struct bench *b = *state;
	char address[32];

	blocks_result(&b->l, STR("203.0.113.5"), STR("victim"), true);
	for (int i = 0; i < 50; i++) {
		assert_false(is_blocked(&b->l, "198.51.100.200", "victim"));
		snprintf(address, sizeof address, "10.%d.0.1", i);
		fail_times(&b->l, address, "victim", 1);
	}
	assert_true(is_blocked(&b->l, "198.51.100.200", "victim"));
	assert_false(is_blocked(&b->l, "203.0.113.5", "victim"));
	assert_false(is_blocked(&b->l, "198.51.100.200", "other"));
	assert_false(is_blocked(&b->l, "198.51.100.200", ""));
}

/* An empty login and an address that is none count for nobody. */
static void
test_odd(void **state)
{
	struct bench *b = *state;

	fail_times(&b->l, "unknown", "", 100);
	assert_false(is_blocked(&b->l, "192.0.2.1", ""));
	assert_false(is_blocked(&b->l, "", "a"));
}

static void
test_by_hand(void **state)
{
	struct bench *b = *state;

	assert_true(
	    blocks_set(&b->l, BLOCK_BY_RULE, STR("network"), STR("192.0.2.0/24"), STR("by hand")));
	assert_false(
	    blocks_set(&b->l, BLOCK_BY_RULE, STR("network"), STR("192.0.2.0/24"), STR("again")));
	assert_true(is_blocked(&b->l, "192.0.2.77", ""));
	assert_true(facts_remove(b->l.facts, STR("block"), STR("network 192.0.2.0/24")));
	assert_false(is_blocked(&b->l, "192.0.2.77", ""));
}

/* The operator's word is stronger than that the account has logged in from there. */
static void
test_login_by_hand(void **state)
{
	struct bench *b = *state;

	blocks_result(&b->l, STR("192.0.2.1"), STR("jim"), true);
	assert_true(blocks_set(&b->l, BLOCK_BY_RULE, STR("login"), STR("jim"), STR("failures")));
	assert_false(is_blocked(&b->l, "192.0.2.1", "jim"));
	assert_true(is_blocked(&b->l, "192.0.2.2", "jim"));
	assert_true(blocks_set(&b->l, BLOCK_BY_OPERATOR, STR("login"), STR("jim"), STR("by hand")));
	assert_false(
	    blocks_set(&b->l, BLOCK_BY_OPERATOR, STR("login"), STR("jim"), STR("by hand")));
	assert_false(blocks_set(&b->l, BLOCK_BY_RULE, STR("login"), STR("jim"), STR("failures")));
	assert_true(is_blocked(&b->l, "192.0.2.1", "jim"));
	assert_true(is_blocked(&b->l, "192.0.2.2", "jim"));
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, bench_up, bench_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    ROW(test_delay),
	    ROW(test_address),
	    ROW(test_network),
	    ROW(test_login),
	    ROW(test_odd),
	    ROW(test_by_hand),
	    ROW(test_login_by_hand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
