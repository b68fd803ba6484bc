/* SPDX-License-Identifier: ISC */
/* Base64: the vectors of RFC 4648 10, and what is refused. */
#include "lib/base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"

static const struct {
	const char *bytes, *text;
} vectors[] = {
    {"",       ""        },
    {"f",      "Zg=="    },
    {"fo",     "Zm8="    },
    {"foo",    "Zm9v"    },
    {"foob",   "Zm9vYg=="},
    {"fooba",  "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void
test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(vectors); i++) {
		struct buf b = {.max = 64};
		assert_int_equal(base64_encode(str_from(vectors[i].bytes), &b), 0);
		assert_string_equal(buf_cstr(&b), vectors[i].text);
		buf_reset(&b);
		assert_int_equal(base64_decode(str_from(vectors[i].text), &b), 0);
		assert_string_equal(buf_cstr(&b), vectors[i].bytes);
		buf_free(&b);
	}
}

static void
test_all_octets(void **state)
{
	char octets[256];
	struct buf text = {.max = 400}, back = {.max = 256};

	(void)state;
	for (int i = 0; i < 256; i++)
		octets[i] = (char)i;
	for (size_t n = 0; n <= 256; n++) {
		buf_reset(&text);
		buf_reset(&back);
		assert_int_equal(base64_encode(str_make(octets, n), &text), 0);
		assert_int_equal(base64_decode(buf_view(&text), &back), 0);
		assert_true(str_eq(buf_view(&back), str_make(octets, n)));
	}
	buf_free(&text);
	buf_free(&back);
}

static void
test_refused(void **state)
{
	static const char *const texts[] = {"Z", "Zg", "Zg=", "Zg==Zg==", "=",
	    "====", "Z===", "Zm9v\n", "Zm 9", "Zh==", "Zm9=", "Zm9_", "Zm9-", "Zm=v", " Zg=="};

	(void)state;
	for (size_t i = 0; i < NELEM(texts); i++) {
		struct buf b = {.max = 64};
		assert_int_equal(buf_puts(&b, "x"), 0);
		assert_int_equal(base64_decode(str_from(texts[i]), &b), -1);
		assert_string_equal(buf_cstr(&b), "x");
		buf_free(&b);
	}
}

static void
test_maximum(void **state)
{
	struct buf b = {.max = 4};

	(void)state;
	assert_int_equal(base64_encode(STR("abcd"), &b), -1);
	assert_int_equal(base64_decode(STR("Zm9vYmFy"), &b), -1);
	assert_int_equal(b.n, 0);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_all_octets),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_maximum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
