/* SPDX-License-Identifier: ISC */
/* Time: a second attempt by itself, a warning that mail is late, and its return when it is too old.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "stage.h"

static struct stage stage;
static struct stage *const st = &stage;

static bool
two_notices(struct stage *s)
{
	return s->nnotices == 2;
}

static unsigned
notice_action(unsigned number)
{
	for (size_t i = 0; i < st->ndeliveries; i++)
		if (str_is(STR("bounce"), st->deliveries[i].transport) && number-- == 0)
			return st->deliveries[i].actions[0];
	panic("no such notice");
}

static void
test_life_of_a_late_message(void **state)
{
	int64_t start = clock_ms();

	(void)state;
	stage_mail(st, "defer@one.example", "Subject: x\r\n\r\nx\r\n");
	stage_until(st, two_notices, "the sender has been told twice");
	int64_t took = clock_ms() - start;
	/* Attempts after 0, about 1 and about 3 seconds; late at 1, too old at 3. */
	assert_int_equal(st->ndeliveries, 3 + 2);
	assert_true(took >= 2900 && took < 8000);
	assert_int_equal(notice_action(0), DSN_DELAYED);
	assert_int_equal(notice_action(1), DSN_FAILED);
	stage_for(st, 300);
	stage_list(st, "");
	assert_int_equal(st->nentries, 0);
	assert_int_equal(stage_count(st, "cur"), 0);
}

static int
set_up(void **state)
{
	(void)state;
	stage_start_cleanup(st);
	stage_start_qmgr(st);
	return 0;
}

int
main(int argc, char **argv)
{
	static char *const settings[][2] = {
	    {(char *)"cleanup:queue_minfree",       (char *)"1" },
	    {(char *)"qmgr:minimal_backoff_time",   (char *)"1s"},
	    {(char *)"qmgr:delay_warning_time",     (char *)"1s"},
	    {(char *)"qmgr:maximal_queue_lifetime", (char *)"3s"},
	};
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_life_of_a_late_message)};

	stage_open(st, argc, argv);
	for (size_t i = 0; i < NELEM(settings); i++, st->nsettings++) {
		st->settings[i][0] = settings[i][0];
		st->settings[i][1] = settings[i][1];
	}
	int failed = cmocka_run_group_tests(tests, set_up, NULL);
	stage_close(st);
	return failed;
}
