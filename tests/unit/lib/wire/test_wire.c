/* SPDX-License-Identifier: ISC */
/* The codec: what goes in comes out, and nothing else is taken. */
#include "lib/wire/wire.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "tests/unit/test.h"

#define SAMPLE_FIELDS(F) \
	F(STR, name, 8) F(FD, one, 0) F(U64, size, 1000) F(FD, two, 0) F(STR, text, 100)

struct sample {
	SAMPLE_FIELDS(WIRE_MEMBER)
};

static const struct wire_field sample_rows[] = {SAMPLE_FIELDS(WIRE_ROW) WIRE_ROW_END};
static const struct wire_type sample = WIRE_TYPE(sample, struct sample);

static struct buf
encode(const struct sample *s, int *fds, size_t *nfds)
{
	struct buf b = {.max = 1000};

	*nfds = 0;
	assert_int_equal(wire_encode(&sample, s, &b, fds, nfds, NULL), 0);
	return b;
}

static void
places_are_those_of_the_compiler(void **state)
{
	struct sample s = {0};
	size_t end = 0;

	(void)state;
	assert_ptr_equal(wire_place(&sample_rows[0], &s, &end), &s.name);
	assert_ptr_equal(wire_place(&sample_rows[1], &s, &end), &s.one);
	assert_ptr_equal(wire_place(&sample_rows[2], &s, &end), &s.size);
	assert_ptr_equal(wire_place(&sample_rows[3], &s, &end), &s.two);
	assert_ptr_equal(wire_place(&sample_rows[4], &s, &end), &s.text);
}

static void
it_comes_back(void **state)
{
	const struct sample in = {
	    .name = STR("12345678"), .one = -1, .size = 1000, .two = 7, .text = {"a\0b", 3}
        };
	struct sample out;
	int fds[WIRE_FDS_MAX];
	size_t nfds;
	struct buf b = encode(&in, fds, &nfds);

	(void)state;
	assert_int_equal(nfds, 1);
	assert_int_equal(fds[0], 7);
	assert_int_equal(wire_decode(&sample, buf_view(&b), (int[]){9}, 1, &out, NULL), 0);
	assert_true(str_eq(out.name, in.name));
	assert_true(str_eq(out.text, in.text));
	assert_int_equal(out.size, 1000);
	assert_int_equal(out.one, -1);
	assert_int_equal(out.two, 9);
	buf_free(&b);
}

static void
bounds_hold_on_both_sides(void **state)
{
	struct sample long_name = {.name = STR("123456789"), .one = -1, .two = -1};
	struct sample large = {.size = 1001, .one = -1, .two = -1};
	struct buf b = {.max = 1000};
	struct why why;
	size_t nfds = 0;
	int fds[WIRE_FDS_MAX];

	(void)state;
	assert_int_equal(wire_encode(&sample, &long_name, &b, fds, &nfds, &why), -1);
	assert_int_equal(wire_encode(&sample, &large, &b, fds, &nfds, &why), -1);
	assert_int_equal(b.n, 0);
	/* An encoder with wider bounds stands for a peer that has been taken over. */
	static const struct wire_field wide_rows[] = {
	    {"name", WIRE_STR, 100},
            {"one",  WIRE_FD,  0  },
            {"size", WIRE_U64, 0  },
	    {"two",  WIRE_FD,  0  },
            {"text", WIRE_STR, 500},
            WIRE_ROW_END
        };
	static const struct wire_type wide = WIRE_TYPE(wide, struct sample);
	struct sample out;
	assert_int_equal(wire_encode(&wide, &long_name, &b, fds, &nfds, NULL), 0);
	assert_int_equal(wire_decode(&sample, buf_view(&b), NULL, 0, &out, &why), -1);
	buf_reset(&b);
	assert_int_equal(wire_encode(&wide, &large, &b, fds, &nfds, NULL), 0);
	assert_int_equal(wire_decode(&sample, buf_view(&b), NULL, 0, &out, &why), -1);
	buf_free(&b);
}

static void
every_cut_and_every_extra_is_refused(void **state)
{
	const struct sample in = {
	    .name = STR("name"), .one = -1, .size = 5, .two = -1, .text = STR("text")};
	struct sample out;
	int fds[WIRE_FDS_MAX];
	size_t nfds;
	struct buf b = encode(&in, fds, &nfds);

	(void)state;
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(wire_decode(&sample, str_make(b.p, n), NULL, 0, &out, NULL), -1);
	assert_int_equal(wire_decode(&sample, buf_view(&b), (int[]){3}, 1, &out, NULL), -1);
	assert_int_equal(buf_byte(&b, 0), 0);
	assert_int_equal(wire_decode(&sample, buf_view(&b), NULL, 0, &out, NULL), -1);
	buf_free(&b);
}

static void
a_promised_descriptor_must_come(void **state)
{
	const struct sample in = {.one = 3, .two = 4};
	struct sample out;
	int fds[WIRE_FDS_MAX];
	size_t nfds;
	struct buf b = encode(&in, fds, &nfds);

	(void)state;
	assert_int_equal(nfds, 2);
	assert_int_equal(wire_decode(&sample, buf_view(&b), (int[]){5}, 1, &out, NULL), -1);
	assert_int_equal(wire_decode(&sample, buf_view(&b), (int[]){5, 6}, 2, &out, NULL), 0);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(places_are_those_of_the_compiler),
	    cmocka_unit_test(it_comes_back),
	    cmocka_unit_test(bounds_hold_on_both_sides),
	    cmocka_unit_test(every_cut_and_every_extra_is_refused),
	    cmocka_unit_test(a_promised_descriptor_must_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
