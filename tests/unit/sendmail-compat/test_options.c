/* SPDX-License-Identifier: ISC */
/* Command lines as callers write them. */
#include <getopt.h>
#include <string.h>

#include "sendmail-compat/sendmail.h"
#include "tests/unit/test.h"

enum { ARGS_MAX = 16 };

static int
parse(struct options *o, const char *name, const char *line, char *copy, size_t size)
{
	char *argv[ARGS_MAX + 1] = {(char *)(uintptr_t)name};
	int argc = 1;

	assert_true(str_copy(copy, size, str_from(line)));
	for (char *word = copy; *word != '\0' && argc < ARGS_MAX; argc++) {
		argv[argc] = word;
		word += strcspn(word, " ");
		if (*word != '\0')
			*word++ = '\0';
	}
	optind = 0; /* getopt begins anew */
	opterr = 0;
	return options_parse(o, argc, argv);
}

static void
callers_are_understood(void **state)
{
	static const struct {
		const char *line;
		bool t, i;
		const char *sender, *full;
		int recipients;
	} rows[] = {
	    {"-FCronDaemon -odi -oem -oi -t",                    true,  true,  NULL,       "CronDaemon", 0},
	    {"-FCronDaemon -i -odi -oem -oi -t -f user",         true,  true,  "user",     "CronDaemon", 0},
	    {"-FCronDaemon -i -B8BITMIME -oem user",             false, true,  NULL,       "CronDaemon", 1},
	    {"-t -i -fuser@dom",				 true,  true,  "user@dom", NULL,         0},
	    {"-f addr -i a b c",				 false, true,  "addr",     NULL,         3},
	    {"-oem -oi -f addr -N failure -R hdrs -- -odd-name", false, true,  "addr",     NULL,         1},
	    {"-i -m -r addr a",				  false, true,  "addr",     NULL,         1},
	    {"a -i b",					   false, true,  NULL,       NULL,         2},
	    {"-O DeliveryMode=b -L tag -h 5 -p x -n -x -U -G a", false, false, NULL,       NULL,         1},
	};
	char copy[200];

	(void)state;
	for (size_t n = 0; n < NELEM(rows); n++) {
		struct options o;
		assert_int_equal(parse(&o, "sendmail", rows[n].line, copy, sizeof copy), 0);
		assert_int_equal(o.mode, MODE_DELIVER);
		assert_int_equal(o.from_headers, rows[n].t);
		assert_int_equal(o.ignore_dots, rows[n].i);
		assert_int_equal(o.nrecipients, rows[n].recipients);
		assert_true(str_eq(str_from(o.sender), str_from(rows[n].sender)));
		assert_true(str_eq(str_from(o.full_name), str_from(rows[n].full)));
	}
}

static void
names_and_letters_choose_the_mode(void **state)
{
	static const struct {
		const char *name, *line;
		enum mode mode;
	} rows[] = {
	    {"sendmail",       "-bs",    MODE_SMTP   },
	    {"sendmail",       "-bp",    MODE_LIST   },
	    {"sendmail",       "-bi",    MODE_ALIASES},
	    {"sendmail",       "-I",     MODE_ALIASES},
	    {"sendmail",       "-bv a",  MODE_VERIFY },
	    {"sendmail",       "-bV",    MODE_VERSION},
	    {"sendmail",       "-d0",    MODE_VERSION},
	    {"sendmail",       "-q",     MODE_FLUSH  },
	    {"sendmail",       "-q30m",  MODE_FLUSH  },
	    {"sendmail",       "-qIABC", MODE_FLUSH  },
	    {"/usr/bin/mailq", "",       MODE_LIST   },
	    {"newaliases",     "",       MODE_ALIASES},
	};
	char copy[200];
	struct options o;

	(void)state;
	for (size_t n = 0; n < NELEM(rows); n++) {
		assert_int_equal(parse(&o, rows[n].name, rows[n].line, copy, sizeof copy), 0);
		assert_int_equal(o.mode, rows[n].mode);
	}
	assert_int_equal(parse(&o, "sendmail", "-qIABC", copy, sizeof copy), 0);
	assert_string_equal(o.flush_id, "ABC");
}

static void
what_is_no_option_is_refused(void **state)
{
	static const char *const lines[] = {
	    "-Z", "-bx", "-bd", "-N", "-N sometimes a", "-N never,success a", "-R half a"};
	char copy[200];
	struct options o;

	(void)state;
	for (size_t n = 0; n < NELEM(lines); n++)
		assert_int_equal(parse(&o, "sendmail", lines[n], copy, sizeof copy), -1);
}

static void
notify_and_ret_are_numbers(void **state)
{
	char copy[200];
	struct options o;

	(void)state;
	assert_int_equal(
	    parse(&o, "sendmail", "-N success,delay -R full -V id a", copy, sizeof copy), 0);
	assert_int_equal(o.notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_int_equal(o.ret, RET_FULL);
	assert_string_equal(o.envid, "id");
	assert_int_equal(parse(&o, "sendmail", "-N never -R hdrs a", copy, sizeof copy), 0);
	assert_int_equal(o.notify, NOTIFY_NEVER);
	assert_int_equal(o.ret, RET_HDRS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(callers_are_understood),
	    cmocka_unit_test(names_and_letters_choose_the_mode),
	    cmocka_unit_test(what_is_no_option_is_refused),
	    cmocka_unit_test(notify_and_ret_are_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
