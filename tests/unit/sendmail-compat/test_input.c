/* SPDX-License-Identifier: ISC */
/* Standard input to wire form, whole and in every pair of parts. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "sendmail-compat/sendmail.h"
#include "tests/unit/test.h"

static const struct {
	const char *in;
	size_t n;
	bool ignore_dots;
	const char *out;
	size_t out_n;
} rows[] = {
#define ROW(in, dots, out)                                     \
	{                                                      \
		in, sizeof(in) - 1, dots, out, sizeof(out) - 1 \
	}
    ROW("", false, ""),
    ROW("a\nb\n", false, "a\r\nb\r\n"),
    ROW("a\r\nb\r\n", false, "a\r\nb\r\n"),
    ROW("a\rb", false, "a\r\nb\r\n"),
    ROW("a\r\rb", false, "a\r\n\r\nb\r\n"),
    ROW("a\n\rb", false, "a\r\n\r\nb\r\n"),
    ROW("a\r\n\nb", false, "a\r\n\r\nb\r\n"),
    ROW("no end", false, "no end\r\n"),
    ROW("a\n.\nb\n", false, "a\r\n"),
    ROW("a\n.\nb\n", true, "a\r\n.\r\nb\r\n"),
    ROW("a\n.\r\nb\n", false, "a\r\n"),
    ROW("a\n..\nb\n", false, "a\r\n..\r\nb\r\n"),
    ROW("a\n.", false, "a\r\n"),
    ROW("From x Mon\n>From y\nSubject: z\n", false, "Subject: z\r\n"),
    ROW("Subject: z\n\nFrom me\n", false, "Subject: z\r\n\r\nFrom me\r\n"),
    ROW("a\0b\n", false, "a\0b\r\n"),
#undef ROW
};

/* The input comes in two writes; a pipe keeps them apart only as far as the reader is quick, so
 * each is read on its own. */
static void
check(size_t i, size_t cut)
{
	int fds[2];
	struct buf out = {.max = 1000};
	struct why why;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], rows[i].in, cut), (ssize_t)cut);
	assert_int_equal(
	    write(fds[1], rows[i].in + cut, rows[i].n - cut), (ssize_t)(rows[i].n - cut));
	close(fds[1]);
	assert_int_equal(input_read(&out, rows[i].ignore_dots, fds[0], &why), 0);
	close(fds[0]);
	assert_int_equal(out.n, rows[i].out_n);
	assert_memory_equal(buf_cstr(&out), rows[i].out, rows[i].out_n);
	buf_free(&out);
}

static void
every_line_end_becomes_crlf(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++)
		for (size_t cut = 0; cut <= rows[i].n; cut++)
			check(i, cut);
}

static void
too_much_is_a_permanent_error(void **state)
{
	int fds[2];
	struct buf out = {.max = 10};
	struct why why;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], "12345678901\n", 12), 12);
	close(fds[1]);
	assert_int_equal(input_read(&out, false, fds[0], &why), -1);
	assert_int_equal(why.class, WHY_PERM);
	close(fds[0]);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_line_end_becomes_crlf),
	    cmocka_unit_test(too_much_is_a_permanent_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
