/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/queue/entry.h"
#include "lib/queue/item.h"
#include "lib/queue/state.h"
#include "lib/queue/summary.h"
#include "lib/base/mem.h"
#include "lib/msg/fields.h"
#include "scratch.h"

static const struct envelope_rcpt two[] = {
    {.address = {"a@x", 3},
     .notify = NOTIFY_DELAY,
     .transport = {"smtp", 4},
     .nexthop = {"x", 1},
     .generation = 7},
    {.address = {"b@y", 3},       .original = {"B@y", 3},      .orcpt = {"rfc822;b@y", 10}},
};

static void
encode(struct buf *b, struct envelope *env)
{
	buf_init(b, 1 << 20);
	envelope_encode(env, b);
}

static void
test_round_trip(void **state)
{
	struct envelope_piece pieces[] = {
	    {0, 10, true },
            {5, 95, false}
        };
	struct envelope env = {
	    .sender = STR("s@z"),
	    .uid = 1000,
	    .flags = MAIL_LOCAL,
	    .parent = STR("AB 0 leaf"),
	    .added = STR("X-Added: 1"),
	    .pieces = pieces,
	    .npieces = 2,
	    .rcpts = (struct envelope_rcpt *)(uintptr_t)two,
	    .nrcpts = 2,
	};
	struct envelope back;
	struct buf b;
	struct why why;

	(void)state;
	encode(&b, &env);
	assert_int_equal(envelope_decode(&back, buf_view(&b), 100, &why), 0);
	assert_true(str_is(back.sender, "s@z"));
	assert_true(str_is(back.parent, "AB 0 leaf"));
	assert_int_equal(back.uid, 1000);
	assert_int_equal(back.nrcpts, 2);
	assert_int_equal(back.rcpts[0].generation, 7);
	assert_true(str_is(back.rcpts[1].orcpt, "rfc822;b@y"));
	assert_int_equal(envelope_size(&back, 100), 105);
	envelope_clear(&back);
	/* A piece that reaches past the content. */
	assert_int_equal(envelope_decode(&back, buf_view(&b), 99, &why), -1);
	buf_free(&b);
}

static void
test_cut_anywhere(void **state)
{
	struct envelope env = {
	    .sender = STR("s@z"), .rcpts = (struct envelope_rcpt *)(uintptr_t)two, .nrcpts = 2};
	struct envelope back;
	struct buf b;
	struct why why;

	(void)state;
	encode(&b, &env);
	for (size_t n = 0; n < b.n; n++) {
		char *exact = xstrndup(b.p, n);
		if (envelope_decode(&back, str_make(exact, n), 0, &why) == 0)
			envelope_clear(&back);
		free(exact);
	}
	assert_int_equal(envelope_decode(&back, STR_EMPTY, 0, &why), -1);
	buf_free(&b);
}

/* What a newer version may have written is passed over. */
static void
test_unknown_kinds(void **state)
{
	struct envelope env = {.rcpts = (struct envelope_rcpt *)(uintptr_t)two, .nrcpts = 1};
	struct envelope back;
	struct buf b;
	struct why why;

	(void)state;
	buf_init(&b, 1 << 20);
	item_put_text(&b, 60, STR("of the future"));
	envelope_encode(&env, &b);
	item_put_number(&b, 9999, 1);
	assert_int_equal(envelope_decode(&back, buf_view(&b), 0, &why), 0);
	assert_int_equal(back.nrcpts, 1);
	envelope_clear(&back);
	buf_free(&b);
}

static void
test_replay(void **state)
{
	struct entry entries[] = {
	    {.kind = ENTRY_RESULT,
             .index = 0,
             .status = DELIVERY_DEFERRED,
             .smtp = 450,
             .code = STR("4.2.0"),
             .text = STR("later")},
	    {.kind = ENTRY_RESULT,   .index = 1,                      .status = DELIVERY_BOUNCED,                                                            .text = STR("no")},
	    {.kind = ENTRY_RESULT,          .index = 9,.status = DELIVERY_SENT},
	    {.kind = ENTRY_NOTIFIED,   .index = 1, .status = DSN_FAILED                                    },
	    {.kind = ENTRY_CHILD, .text = STR("P 0 x"),      .child = STR("C1")                       },
	    {.kind = ENTRY_SCHEDULE,    .next = 5, .attempts = 2               },
	};
	struct buf message, journal;
	struct head head;
	struct str content, envelope;
	struct state st;
	struct summary sum, again;
	struct why why;

	(void)state;
	scratch_message(&message, "ID", "a@x", STR("x\r\n"));
	assert_int_equal(head_message(buf_view(&message), &head, &content, &envelope, &why), 0);
	struct envelope env = {.rcpts = (struct envelope_rcpt *)(uintptr_t)two, .nrcpts = 2};
	struct buf b;
	encode(&b, &env);
	assert_int_equal(state_init(&st, &head, buf_view(&b), &why), 0);
	buf_init(&journal, 1 << 20);
	for (size_t i = 0; i < NELEM(entries); i++)
		entry_encode(&entries[i], 77, 1000 + journal.n, &journal);
	state_apply_all(&st, buf_view(&journal), 77, 1000);
	assert_int_equal(st.rcpts[0].smtp, 450);
	assert_false(state_rcpt_final(&st.rcpts[0]));
	assert_true(state_rcpt_final(&st.rcpts[1]));
	assert_int_equal(st.rcpts[1].notices, 1 << DSN_FAILED);
	assert_non_null(state_child(&st, STR("P 0 x")));
	assert_null(state_child(&st, STR("P 0 y")));
	assert_int_equal(st.attempts, 2);
	state_summary(&st, "cur", &sum);
	assert_int_equal(sum.nrcpts, 2);
	assert_true(str_is(sum.rcpts[0].reason, "later"));
	buf_reset(&b);
	summary_encode(&sum, &b);
	assert_int_equal(summary_decode(&again, buf_view(&b), &why), 0);
	assert_int_equal(again.next, 5);
	assert_true(str_is(again.rcpts[1].reason, "no"));
	summary_clear(&again);
	summary_clear(&sum);
	state_clear(&st);
	/* An entry belongs to its place and its file. */
	struct entry e;
	size_t at = 0;
	assert_int_equal(entry_decode(buf_view(&journal), 78, 1000, &at, &e), -1);
	assert_int_equal(entry_decode(buf_view(&journal), 77, 1008, &at, &e), -1);
	assert_int_equal(entry_decode(buf_view(&journal), 77, 1000, &at, &e), 1);
	buf_free(&b);
	buf_free(&journal);
	buf_free(&message);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_cut_anywhere),
	    cmocka_unit_test(test_unknown_kinds),
	    cmocka_unit_test(test_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
