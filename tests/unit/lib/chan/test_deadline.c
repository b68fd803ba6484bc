/* SPDX-License-Identifier: ISC */
/* A deadline moved nearer and away: it is never met early, and once it is met it is met once. */
#include "tests/unit/test.h"

#include "lib/base/attr.h"
#include "lib/base/clock.h"
#include "lib/chan/deadline.h"
#include "lib/chan/loop.h"

struct meeting {
	struct loop loop;
	struct deadline d;
	int64_t began, met;
	int times, again;
};

static void
on_met(void *arg)
{
	struct meeting *m = arg;

	m->met = clock_ms() - m->began;
	m->times++;
	if (m->again-- > 0)
		deadline_set(&m->d, 20);
	else
		loop_stop(&m->loop);
}

static void
begin(struct meeting *m)
{
	*m = (struct meeting){.began = clock_ms()};
	loop_init(&m->loop);
	deadline_init(&m->d, &m->loop, on_met, m);
}

static void
end(struct meeting *m)
{
	deadline_clear(&m->d);
	loop_clear(&m->loop);
}

static void
test_moved(void **state)
{
	static const struct {
		int64_t first, then, moved, expected;
	} rows[] = {
	    {40,   -1, 0,  40 },
	    {20,   80, 0,  80 }, /* away: the timer of the first one finds it not met */
	    {5000, 40, 0,  40 }, /* nearer */
	    {40,   -1, 60, 100},
	    {0,    -1, 0,  0  },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct meeting m;
		begin(&m);
		deadline_set(&m.d, rows[i].first);
		if (rows[i].then >= 0)
			deadline_set(&m.d, rows[i].then);
		m.d.at += rows[i].moved;
		loop_run(&m.loop);
		assert_int_equal(m.times, 1);
		assert_true(m.met >= rows[i].expected && m.met < 4000);
		end(&m);
	}
}

static void
test_set_again_when_met(void **state)
{
	struct meeting m;

	(void)state;
	begin(&m);
	m.again = 2;
	deadline_set(&m.d, 10);
	loop_run(&m.loop);
	assert_int_equal(m.times, 3);
	assert_true(m.met >= 50);
	end(&m);
}

static void
test_cleared(void **state)
{
	struct meeting m;

	(void)state;
	begin(&m);
	deadline_set(&m.d, 0);
	deadline_clear(&m.d);
	loop_round(&m.loop, false);
	assert_int_equal(m.times, 0);
	deadline_set(&m.d, 0);
	loop_run(&m.loop);
	assert_int_equal(m.times, 1);
	end(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_moved),
	    cmocka_unit_test(test_set_again_when_met),
	    cmocka_unit_test(test_cleared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
