/* SPDX-License-Identifier: ISC */
/* The dot rule under every split of its input, and that what is encoded decodes to itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/mail/dotstream.h"

static const struct {
	const char *in;
	const char *out;
	const char *rest; /* what is left behind the end; NULL: no end was seen */
	bool bare_cr, bare_lf;
} cases[] = {
    {".\r\n",	       "",             "",         false, false},
    {"a\r\n.\r\nQUIT\r\n",  "a\r\n",        "QUIT\r\n", false, false},
    {"a\r\n..\r\n.\r\n",    "a\r\n.\r\n",   "",         false, false},
    {"..a\r\n...\r\n.\r\n", ".a\r\n..\r\n", "",         false, false},
    {".a\r\n.\r\n",         "a\r\n",        "",         false, false},
    {"a.\r\n.b.\r\n.\r\nx", "a.\r\nb.\r\n", "x",        false, false},
 /* what smuggling lives on is no end */
    {"a\n.\n",              "a\r\n\r\n",    NULL,       false, true },
    {"a\n.\r\nb",           "a\r\n\r\nb",   NULL,       false, true },
    {"a\r\n.\nb",           "a\r\n\r\nb",   NULL,       false, true },
    {"a\r.\r\n.\r\n",       "a .\r\n",      "",         true,  false},
    {"a\r\n.\rb\r\n.\r\n",  "a\r\n b\r\n",  "",         true,  false},
    {"a\r\r\n.\r\n",        "a \r\n",       "",         true,  false},
    {"a\r\n.\r\r\n.\r\n",   "a\r\n \r\n",   "",         true,  false},
    {"\n.\r\n\r\n.\r\n",    "\r\n\r\n\r\n", "",         false, true },
    {"a\r\n\r\n.\r\n",      "a\r\n\r\n",    "",         false, false},
    {"a\r\n.",              "a\r\n",        NULL,       false, false},
};

static size_t
feed(struct dot_decoder *d, struct str in, struct buf *out)
{
	char *room = malloc(dot_decode_room(in.n));
	size_t n;
	size_t used = dot_decode(d, in, room, &n);

	assert_true(n <= dot_decode_room(in.n));
	assert_int_equal(buf_add(out, room, n), 0);
	free(room);
	return used;
}

/* Feeds in parts that end where `mask` has a bit, and compares. */
static void
check(size_t c, const size_t cuts[2])
{
	struct str in = str_from(cases[c].in);
	struct dot_decoder d;
	struct buf out;
	size_t at = 0;

	buf_init(&out, 1000);
	dot_decode_begin(&d);
	for (int part = 0; part < 3 && !d.ended; part++) {
		size_t end = part < 2 ? cuts[part] : in.n;
		if (end > at)
			at += feed(&d, str_sub(in, at, end - at), &out);
	}
	if (strcmp(buf_cstr(&out), cases[c].out) != 0)
		fail_msg("case %zu cut at %zu, %zu: got %s", c, cuts[0], cuts[1], buf_cstr(&out));
	assert_int_equal(d.ended, cases[c].rest != NULL);
	assert_int_equal(d.bare_cr, cases[c].bare_cr);
	assert_int_equal(d.bare_lf, cases[c].bare_lf);
	if (d.ended)
		assert_string_equal(in.p + at, cases[c].rest);
	buf_free(&out);
}

static void
test_every_split(void **state)
{
	(void)state;
	for (size_t c = 0; c < NELEM(cases); c++)
		for (size_t a = 0; a <= strlen(cases[c].in); a++)
			for (size_t b = a; b <= strlen(cases[c].in); b++)
				check(c, (size_t[]){a, b});
}

/* Random lines, dots and line ends, written as wire form, encoded and decoded with random splits.
 */
static void
test_round_trip(void **state)
{
	static const char *const words[] = {
	    ".", "..", "\r\n", "\r\n", "x", "\r\n.\r\n", "abc.", "."};

	(void)state;
	srandom(1);
	for (int round = 0; round < 5000; round++) {
		struct buf plain, coded, back;
		struct dot_encoder e;
		struct dot_decoder d;
		buf_init(&plain, 10000);
		buf_init(&coded, 10000);
		buf_init(&back, 10000);
		for (long n = random() % 20; n >= 0; n--)
			assert_int_equal(
			    buf_puts(&plain, words[(size_t)random() % NELEM(words)]), 0);
		assert_int_equal(buf_puts(&plain, "\r\n"), 0);

		dot_encode_begin(&e);
		for (size_t at = 0, n; at < plain.n; at += n) {
			n = 1 + (size_t)random() % (plain.n - at);
			assert_int_equal(
			    dot_encode(&e, str_sub(buf_view(&plain), at, n), &coded), 0);
		}
		assert_int_equal(dot_encode_end(&e, &coded), 0);
		size_t whole = coded.n;
		assert_int_equal(buf_puts(&coded, "NEXT"), 0);

		dot_decode_begin(&d);
		size_t at = 0;
		while (!d.ended && at < coded.n) {
			size_t n = 1 + (size_t)random() % (coded.n - at);
			at += feed(&d, str_sub(buf_view(&coded), at, n), &back);
		}
		assert_true(d.ended);
		assert_int_equal(at, whole);
		assert_string_equal(buf_cstr(&back), buf_cstr(&plain));
		buf_free(&plain);
		buf_free(&coded);
		buf_free(&back);
	}
}

static void
test_encode_ends(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"",          ".\r\n"               },
	    {"a",         "a\r\n.\r\n"          },
	    {"a\n",       "a\n\r\n.\r\n"        },
	    {"a\r\n",     "a\r\n.\r\n"          },
	    {"a\r.b\n.c", "a\r..b\n..c\r\n.\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct dot_encoder e;
		struct buf out;
		buf_init(&out, 100);
		dot_encode_begin(&e);
		assert_int_equal(dot_encode(&e, str_from(rows[i].in), &out), 0);
		assert_int_equal(dot_encode_end(&e, &out), 0);
		assert_string_equal(buf_cstr(&out), rows[i].out);
		buf_free(&out);
	}
}

static void
test_lengths(void **state)
{
	struct dot_decoder d;
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	dot_decode_begin(&d);
	feed(&d, STR("..abc\r\nx\0y\r\n12345"), &out);
	feed(&d, STR("678"), &out);
	assert_int_equal(d.longest_line, 8);
	assert_true(d.nul);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_split),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_encode_ends),
	    cmocka_unit_test(test_lengths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
