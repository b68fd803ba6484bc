/* SPDX-License-Identifier: ISC */
/* Packets of the milter protocol, whole, in part and wrong. */
#include "tests/unit/test.h"

#include "lib/base/buf.h"
#include "lib/milter/frame.h"

static void
test_what_is_made_is_read(void **state)
{
	struct buf out;
	struct str data, text;
	char command;
	size_t used;
	uint32_t n;

	(void)state;
	buf_init(&out, 1024);
	ssize_t at = frame_begin(&out, 'm');
	assert_true(at >= 0);
	assert_int_equal(frame_u32(&out, 7), 0);
	assert_int_equal(frame_text(&out, STR("Subject")), 0);
	frame_end(&out, at);
	assert_int_equal(out.n, 4 + 1 + 4 + 8);
	for (size_t part = 0; part < out.n; part++)
		assert_int_equal(
		    frame_next(str_sub(buf_view(&out), 0, part), &command, &data, &used), 0);
	assert_int_equal(frame_next(buf_view(&out), &command, &data, &used), 1);
	assert_int_equal(command, 'm');
	assert_int_equal(used, out.n);
	assert_true(frame_take_u32(&data, &n));
	assert_int_equal(n, 7);
	assert_true(frame_take_text(&data, &text));
	assert_true(str_is(text, "Subject"));
	assert_false(frame_take_text(&data, &text));
	assert_false(frame_take_u32(&data, &n));
	buf_free(&out);
}

static void
test_what_is_none(void **state)
{
	struct str data, text;
	char command;
	size_t used;
	struct str no_nul = STR("abc");

	(void)state;
	assert_int_equal(frame_next(STR("\0\0\0\0x"), &command, &data, &used), -1);
	assert_int_equal(frame_next(STR("\xff\xff\xff\xff"), &command, &data, &used), -1);
	assert_int_equal(frame_next(STR("\x00\x20\x00\x00"), &command, &data, &used), -1);
	assert_false(frame_take_text(&no_nul, &text));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_is_made_is_read),
	    cmocka_unit_test(test_what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
