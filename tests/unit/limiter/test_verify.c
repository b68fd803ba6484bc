/* SPDX-License-Identifier: ISC */
/* Address verification: who probes, who waits, what a result does to what was known. Time is not
 * waited for: old results are put where limiter finds them. */
#include "tests/unit/test.h"

#include <string.h>
#include <time.h>

#include "limiter/verify.h"
#include "tests/unit/limiter/limiter_of.h"

/* What those who waited heard. */
static unsigned heard;
static struct verify_answer last;
static uint32_t last_id;

static void
on_answer(void *who, const struct chan_head *head, const struct verify_answer *answer)
{
	assert_non_null(who);
	heard++;
	last = *answer;
	last_id = head->id;
}

static int
up(void **state)
{
	heard = 0;
	last = (struct verify_answer){0};
	int rc = bench_up(state);
	((struct bench *)*state)->l.verifies = verifies_new(on_answer);
	return rc;
}

static int
down(void **state)
{
	verifies_free(&((struct bench *)*state)->l.verifies);
	return bench_down(state);
}

static int first, second; /* their addresses are who asks */

static struct verify_answer
ask(struct bench *b, int *who, const char *address, enum verify_mode mode)
{
	struct chan_head head = {.id = 7};
	struct verify_answer answer;

	verify_ask(&b->l, who, &head, str_from(address), mode, &answer);
	return answer;
}

static void
result(struct bench *b, const char *address, enum verify_status status, const char *text)
{
	verify_result(&b->l, str_from(address), status, str_from(text));
}

/* As if it had been found `age` seconds ago. */
static void
put_old(struct bench *b, const char *address, enum verify_status status, int64_t age)
{
	facts_put(b->l.facts, STR("verify"), str_from(address), 1000,
	    (uint64_t)(time(NULL) - age) << 2 | status, STR("as it was"));
}

static void
test_one_probe(void **state)
{
	struct bench *b = *state;
	struct verify_answer a = ask(b, &first, "x@Example.COM", VERIFY_WAIT);

	assert_true(a.probe);
	assert_true(a.waits);
	for (int i = 0; i < 50; i++) {
		a = ask(b, i % 2 ? &first : &second, "x@example.com", VERIFY_WAIT);
		assert_false(a.probe);
		assert_true(a.waits);
	}
	result(b, "x@EXAMPLE.com", VERIFY_DELIVERABLE, "250 ok");
	assert_int_equal(heard, 51);
	assert_int_equal(last.status, VERIFY_DELIVERABLE);
	assert_int_equal(last_id, 7);
	a = ask(b, &first, "x@example.com", VERIFY_WAIT);
	assert_int_equal(a.status, VERIFY_DELIVERABLE);
	assert_false(a.waits || a.probe);
	a = ask(b, &first, "X@example.com", VERIFY_WAIT);
	assert_true(a.probe); /* a local part is what it is */
}

static void
test_modes(void **state)
{
	struct bench *b = *state;
	struct verify_answer a = ask(b, &first, "x@example.com", VERIFY_PEEK);

	assert_int_equal(a.status, VERIFY_UNKNOWN);
	assert_false(a.waits || a.probe);
	a = ask(b, &first, "x@example.com", VERIFY_NOW);
	assert_int_equal(a.status, VERIFY_UNKNOWN);
	assert_true(a.probe);
	assert_false(a.waits);
	assert_string_equal(a.text, "Address verification in progress");
	result(b, "x@example.com", VERIFY_UNDELIVERABLE, "550 no");
	assert_int_equal(heard, 0);
	a = ask(b, &first, "x@example.com", VERIFY_PEEK);
	assert_int_equal(a.status, VERIFY_UNDELIVERABLE);
	assert_string_equal(a.text, "550 no");
}

static void
test_failures(void **state)
{
	struct bench *b = *state;
	char text[400];
	struct verify_answer a;

	memset(text, 'n', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	memcpy(text, "a\r\nb\xc3", 5);
	result(b, "x@example.com", VERIFY_UNDELIVERABLE, text);
	a = ask(b, &first, "x@example.com", VERIFY_WAIT);
	assert_int_equal(a.status, VERIFY_UNDELIVERABLE);
	assert_int_equal(strlen(a.text), VERIFY_TEXT_MAX);
	assert_memory_equal(a.text, "a??b?", 5);
	result(b, "y@example.com", VERIFY_DEFERRED, "later");
	a = ask(b, &first, "y@example.com", VERIFY_WAIT);
	assert_int_equal(a.status, VERIFY_DEFERRED);
	assert_false(a.probe);
	b->conf.address_verify_deferred_expire_time = 0;
	result(b, "y@example.com", VERIFY_DEFERRED, "later");
	assert_true(ask(b, &first, "y@example.com", VERIFY_WAIT).probe);
	b->conf.address_verify_negative_cache = false;
	result(b, "x@example.com", VERIFY_UNDELIVERABLE, "no");
	a = ask(b, &first, "x@example.com", VERIFY_WAIT);
	assert_true(a.probe && a.waits);
	result(b, "x@example.com", VERIFY_UNDELIVERABLE, "no");
	assert_int_equal(heard, 1);
	assert_int_equal(last.status, VERIFY_UNDELIVERABLE);
	assert_true(ask(b, &first, "x@example.com", VERIFY_WAIT).probe);
}

/* An old result counts while it is probed again; a good one outlives a probe that failed. */
static void
test_refresh(void **state)
{
	struct bench *b = *state;
	struct verify_answer a;

	put_old(b, "x@example.com", VERIFY_DELIVERABLE, 7 * 24 * 3600 - 60);
	assert_false(ask(b, &first, "x@example.com", VERIFY_WAIT).probe);
	put_old(b, "x@example.com", VERIFY_DELIVERABLE, 7 * 24 * 3600 + 60);
	assert_false(ask(b, &first, "x@example.com", VERIFY_PEEK).probe);
	a = ask(b, &first, "x@example.com", VERIFY_WAIT);
	assert_true(a.probe);
	assert_false(a.waits);
	assert_int_equal(a.status, VERIFY_DELIVERABLE);
	assert_false(ask(b, &second, "x@example.com", VERIFY_WAIT).probe);
	result(b, "x@example.com", VERIFY_UNDELIVERABLE, "no");
	a = ask(b, &first, "x@example.com", VERIFY_WAIT);
	assert_int_equal(a.status, VERIFY_DELIVERABLE);
	assert_true(a.probe); /* the failure has changed nothing: again */
	result(b, "x@example.com", VERIFY_DELIVERABLE, "");
	assert_false(ask(b, &first, "x@example.com", VERIFY_WAIT).probe);
	put_old(b, "y@example.com", VERIFY_UNDELIVERABLE, 3 * 3600 + 60);
	a = ask(b, &first, "y@example.com", VERIFY_WAIT);
	assert_true(a.probe);
	assert_int_equal(a.status, VERIFY_UNDELIVERABLE);
	result(b, "y@example.com", VERIFY_DELIVERABLE, "");
	assert_int_equal(ask(b, &first, "y@example.com", VERIFY_WAIT).status, VERIFY_DELIVERABLE);
	assert_int_equal(heard, 0);
}

static void
test_gone(void **state)
{
	struct bench *b = *state;

	assert_true(ask(b, &first, "x@example.com", VERIFY_WAIT).probe);
	assert_false(ask(b, &second, "x@example.com", VERIFY_WAIT).probe);
	verify_forget(&b->l, &first);
	assert_true(ask(b, &second, "x@example.com", VERIFY_WAIT).probe);
	result(b, "x@example.com", VERIFY_DELIVERABLE, "");
	assert_int_equal(heard, 2); /* the first one's question went with him */
}

static void
test_limit(void **state)
{
	struct bench *b = *state;
	struct verify_answer a;

	b->conf.address_verify_pending_request_limit = 2;
	assert_true(ask(b, &first, "1@example.com", VERIFY_WAIT).probe);
	assert_true(ask(b, &first, "2@example.com", VERIFY_WAIT).probe);
	a = ask(b, &first, "3@example.com", VERIFY_WAIT);
	assert_false(a.probe || a.waits);
	assert_int_equal(a.status, VERIFY_UNKNOWN);
	assert_string_equal(a.text, "too many addresses are being verified");
	verify_tick(&b->l);
	assert_int_equal(heard, 0);
	result(b, "1@example.com", VERIFY_DELIVERABLE, "");
	assert_true(ask(b, &first, "3@example.com", VERIFY_WAIT).probe);
}

static void
test_operator(void **state)
{
	struct bench *b = *state;
	char line[400], small[16];

	verify_show(&b->l, STR("x@example.com"), line, sizeof line);
	assert_string_equal(line, "");
	assert_false(verify_remove(&b->l, STR("x@example.com")));
	result(b, "x@example.com", VERIFY_UNDELIVERABLE, "no");
	verify_show(&b->l, STR("x@EXAMPLE.com"), line, sizeof line);
	assert_non_null(strstr(line, "x@example.com: undeliverable, found "));
	assert_non_null(strstr(line, " s left: no"));
	verify_show(&b->l, STR("x@example.com"), small, sizeof small);
	assert_string_equal(small, "x@example.com: ");
	assert_true(verify_remove(&b->l, STR("x@EXAMPLE.com")));
	assert_true(ask(b, &first, "x@example.com", VERIFY_WAIT).probe);
}

/* A result is there after a restart. */
static void
test_restart(void **state)
{
	struct bench *b = *state;
	struct why why;

	result(b, "x@example.com", VERIFY_UNDELIVERABLE, "550 5.1.1 no such user");
	assert_int_equal(facts_flush(b->l.facts, &why), 0);
	facts_free(&b->l.facts);
	b->l.facts = facts_open(b->folder, 1000, &why);
	assert_non_null(b->l.facts);
	struct verify_answer a = ask(b, &first, "x@example.com", VERIFY_WAIT);
	assert_int_equal(a.status, VERIFY_UNDELIVERABLE);
	assert_string_equal(a.text, "550 5.1.1 no such user");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_one_probe, up, down),
	    cmocka_unit_test_setup_teardown(test_modes, up, down),
	    cmocka_unit_test_setup_teardown(test_failures, up, down),
	    cmocka_unit_test_setup_teardown(test_refresh, up, down),
	    cmocka_unit_test_setup_teardown(test_gone, up, down),
	    cmocka_unit_test_setup_teardown(test_limit, up, down),
	    cmocka_unit_test_setup_teardown(test_operator, up, down),
	    cmocka_unit_test_setup_teardown(test_restart, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
