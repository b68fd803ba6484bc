/* SPDX-License-Identifier: ISC */
/* Records of passwords: made, parsed, checked; RFC 5802 5 and RFC 7677 3 as vectors. */
#include "lib/users/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"

/* "pencil", with the salts and counts of the two RFCs. */
#define SHA256                                          \
	"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==," \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=," \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define SHA1                                                                                       \
	"{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/" \
	"fTE="

static void
test_fits(void **state)
{
	static const struct {
		const char *record, *password;
		bool fits;
	} rows[] = {
	    {SHA256,           "pencil",  true },
	    {SHA1,             "pencil",  true },
	    {SHA256,           "pencil ", false},
	    {SHA1,             "Pencil",  false},
	    {SHA1 "\t" SHA256, "pencil",  true },
	    {"",               "pencil",  false},
	    {"",               "",        false},
	    {"rubbish",        "rubbish", false},
	    {SHA256,           "",        false},
	};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++)
		assert_int_equal(secret_fits(str_from(rows[i].record), str_from(rows[i].password)),
		    rows[i].fits);
	assert_false(secret_fits(STR(SHA256), str_make("pencil\0", 7)));
}

static void
test_made_ones_fit(void **state)
{
	static const unsigned schemes[] = {SECRET_CRYPT, SECRET_SCRAM, SECRET_CRYPT | SECRET_SCRAM};
	struct buf record = {.max = SECRET_MAX};
	struct secret s;
	struct why why;

	(void)state;
	for (size_t i = 0; i < NELEM(schemes); i++) {
		buf_reset(&record);
		assert_int_equal(
		    secret_make(STR("two words \xc3\xa4"), schemes[i], &record, &why), 0);
		assert_int_equal(secret_parse(buf_view(&record), &s, &why), 0);
		assert_int_equal(s.crypt.n > 0, (schemes[i] & SECRET_CRYPT) != 0);
		for (size_t h = 0; h < SCRAM_HASHES; h++)
			assert_int_equal(s.scram[h].iterations,
			    (schemes[i] & SECRET_SCRAM) != 0 ? SECRET_ITERATIONS : 0);
		assert_true(secret_fits(buf_view(&record), STR("two words \xc3\xa4")));
		assert_false(secret_fits(buf_view(&record), STR("two words")));
	}
	buf_free(&record);
}

static void
test_bad_passwords(void **state)
{
	struct buf record = {.max = SECRET_MAX};
	struct why why;

	(void)state;
	assert_int_equal(secret_make(STR(""), SECRET_CRYPT, &record, &why), -1);
	assert_int_equal(secret_make(str_make("a\0b", 3), SECRET_CRYPT, &record, &why), -1);
	assert_int_equal(record.n, 0);
}

static void
test_malformed_records(void **state)
{
	static const char *const rows[] = {
	    "",
	    "plain",
	    "{PLAIN}x",
	    "{CRYPT}",
	    "{CRYPT}abc",
	    "{CRYPT}$y$ x",
	    "{CRYPT}$y$a:b",
	    "{CRYPT}$1$x\t{CRYPT}$1$x",
	    SHA1 "\t" SHA1,
	    "{SCRAM-SHA-1}",
	    "{SCRAM-SHA-1}0,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/"
	    "fTE=",
	    "{SCRAM-SHA-1}9999999,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+"
	    "CSWLOshSulAsxiupA+qs2/fTE=",
	    "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=",
	    "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+"
	    "qs2/fTE=,x",
	    "{SCRAM-SHA-1}4096,QQ==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
	    "{SCRAM-SHA-256}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+"
	    "qs2/fTE=",
	};
	struct secret s;
	struct why why;

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++)
		assert_int_equal(secret_parse(str_from(rows[i]), &s, &why), -1);
}

static void
test_pretended_keys(void **state)
{
	struct buf a = {.max = 512}, b = {.max = 512};
	struct scram_keys x, y;

	(void)state;
	secret_pretend(STR("ghost"), STR("seed"), SCRAM_SHA256, &x, &a);
	secret_pretend(STR("ghost"), STR("seed"), SCRAM_SHA256, &y, &b);
	assert_int_equal(x.iterations, SECRET_ITERATIONS);
	assert_true(str_eq(x.salt, y.salt));
	assert_false(str_eq(x.stored, y.stored));
	assert_int_equal(x.salt.n, 24);
	assert_int_equal(x.stored.n, 44);
	secret_pretend(STR("phantom"), STR("seed"), SCRAM_SHA256, &y, &b);
	assert_false(str_eq(x.salt, y.salt));
	secret_pretend(STR("ghost"), STR("other"), SCRAM_SHA256, &y, &b);
	assert_false(str_eq(x.salt, y.salt));
	buf_free(&a);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fits),
	    cmocka_unit_test(test_made_ones_fit),
	    cmocka_unit_test(test_bad_passwords),
	    cmocka_unit_test(test_malformed_records),
	    cmocka_unit_test(test_pretended_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
