/* SPDX-License-Identifier: ISC */
/* Lines of Dovecot's authentication protocol. */
#include "keeper/dovecot_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"

static void
test_lines(void **state)
{
	static const struct {
		const char *line;
		int rc;
		enum dovecot_word word;
		uint32_t id;
		const char *user, *reason, *data, *mechanism;
		bool temporary, plaintext;
	} rows[] = {
	    {"VERSION\t1\t2",                       0,  DOVECOT_VERSION, 0,           "",    "",          "",     "",              false, false},
	    {"VERSION\t1",                          -1, 0,               0,           "",    "",          "",     "",              false, false},
	    {"VERSION\tx\t2",                       -1, 0,               0,           "",    "",          "",     "",              false, false},
	    {"MECH\tPLAIN\tplaintext",              0,  DOVECOT_MECH,    0,           "",    "",          "",     "PLAIN",         false, true },
	    {"MECH\tSCRAM-SHA-256\tmutual-auth",    0,  DOVECOT_MECH,    0,           "",    "",          "",     "SCRAM-SHA-256",
             false,														       false},
	    {"MECH\tplain",                         -1, 0,               0,           "",    "",          "",     "",              false, false},
	    {"MECH\tA B",			   -1, 0,               0,           "",    "",          "",     "",              false, false},
	    {"MECH\t",			      -1, 0,               0,           "",    "",          "",     "",              false, false},
	    {"MECH\tANAMEOFTWENTYONECHARS",         -1, 0,               0,           "",    "",          "",     "",              false, false},
	    {"DONE",				0,  DOVECOT_DONE,    0,           "",    "",          "",     "",              false, false},
	    {"COOKIE\tabc",                         0,  DOVECOT_OTHER,   0,           "",    "",          "",     "",              false, false},
	    {"",				    0,  DOVECOT_OTHER,   0,           "",    "",          "",     "",              false, false},
	    {"OK\t7\tuser=ann\textra\tx=y",         0,  DOVECOT_OK,      7,           "ann", "",          "",     "",              false, false},
	    {"OK\t4294967295\tuser=",               0,  DOVECOT_OK,      4294967295u, "",    "",          "",     "",              false, false},
	    {"OK\t4294967296\tuser=ann",            -1, 0,               0,           "",    "",          "",     "",              false, false},
	    {"OK\t-1",			      -1, 0,               0,           "",    "",          "",     "",              false, false},
	    {"OK",				  -1, 0,               0,           "",    "",          "",     "",              false, false},
	    {"FAIL\t7\tuser=ann\ttemp",             0,  DOVECOT_FAIL,    7,           "ann", "",          "",     "",              true,  false},
	    {"FAIL\t7\tuser=ann\treason=no, = way", 0,  DOVECOT_FAIL,    7,           "ann", "no, = way", "",     "",
             false,														       false},
	    {"FAIL\t7\tcode=temp_fail",             0,  DOVECOT_FAIL,    7,           "",    "",          "",     "",              true,  false},
	    {"FAIL\t7\tcode=user_disabled",         0,  DOVECOT_FAIL,    7,           "",    "",          "",     "",              false, false},
	    {"CONT\t7\tZm9v",                       0,  DOVECOT_CONT,    7,           "",    "",          "Zm9v", "",              false, false},
	    {"CONT\t7\t",			   0,  DOVECOT_CONT,    7,           "",    "",          "",     "",              false, false},
	    {"CONT\t7",			     0,  DOVECOT_CONT,    7,           "",    "",          "",     "",              false, false},
	    {"CONT",				-1, 0,               0,           "",    "",          "",     "",              false, false},
	};
	struct dovecot_line l;

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		assert_int_equal(dovecot_parse(str_from(rows[i].line), &l), rows[i].rc);
		if (rows[i].rc == -1)
			continue;
		assert_int_equal(l.word, rows[i].word);
		assert_int_equal(l.id, rows[i].id);
		assert_true(str_is(l.user, rows[i].user));
		assert_true(str_is(l.reason, rows[i].reason));
		assert_true(str_is(l.data, rows[i].data));
		assert_true(str_is(l.mechanism, rows[i].mechanism));
		assert_int_equal(l.temporary, rows[i].temporary);
		assert_int_equal(l.plaintext, rows[i].plaintext);
	}
}

static void
test_escapes(void **state)
{
	struct str raw = str_make("a\0b\001c\td\re\nf", 11);
	struct buf escaped = {.max = 64}, back = {.max = 64};

	(void)state;
	assert_int_equal(dovecot_escape(raw, &escaped), 0);
	assert_string_equal(buf_cstr(&escaped), "a\001"
						"0b\001"
						"1c\001td\001re\001nf");
	assert_int_equal(dovecot_unescape(buf_view(&escaped), &back), 0);
	assert_true(str_eq(buf_view(&back), raw));
	assert_int_equal(dovecot_unescape(STR("a\001"), &back), -1);
	assert_int_equal(dovecot_unescape(STR("a\001x"), &back), -1);
	buf_free(&escaped);
	buf_free(&back);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
