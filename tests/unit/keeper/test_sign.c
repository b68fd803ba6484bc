/* SPDX-License-Identifier: ISC */
/* A key signs what belongs to its kind, and is of no use for anything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/rsa.h>

#include "keeper/sign.h"
#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/msg/fields.h"
#include "tests/unit/lib/tls/pki.h"

static EVP_PKEY *rsa, *ec;

static int
setup(void **state)
{
	(void)state;
	rsa = pki_key(EVP_PKEY_RSA);
	ec = pki_key(EVP_PKEY_EC);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
	return 0;
}

static void
test_kinds(void **state)
{
	static const struct {
		bool rsa;
		unsigned scheme;
		size_t n;
		char last;
		bool good;
	} rows[] = {
	    {true,  SIGN_RSA_PKCS1, 51,  0,          true },
	    {true,  SIGN_RSA_PKCS1, 300, 0,          false},
	    {true,  SIGN_RSA_RAW,   256, (char)0xbc, true },
	    {true,  SIGN_RSA_RAW,   256, 0,          false}, /* no PSS: a secret to be decrypted */
	    {true,  SIGN_RSA_RAW,   255, (char)0xbc, false},
	    {true,  SIGN_RSA_RAW,   0,   0,          false},
	    {true,  SIGN_ECDSA,     32,  0,          false},
	    {false, SIGN_ECDSA,     32,  0,          true },
	    {false, SIGN_ECDSA,     0,   0,          false},
	    {false, SIGN_RSA_PKCS1, 32,  0,          false},
	    {true,  7,              32,  0,          false},
	};
	char input[300] = {0};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct buf out = {.max = 2048};
		struct why why;
		input[1] = 1; /* below the modulus */
		if (rows[i].n > 0)
			input[rows[i].n - 1] = rows[i].last;
		int rc = sign(
		    rows[i].rsa ? rsa : ec, rows[i].scheme, str_make(input, rows[i].n), &out, &why);
		assert_int_equal(rc, rows[i].good ? 0 : -1);
		assert_true((out.n > 0) == rows[i].good);
		buf_free(&out);
		memset(input, 0, sizeof input);
	}
}

static void
test_a_signature_verifies(void **state)
{
	unsigned char digest[32] = "digest";
	struct buf out = {.max = 2048};
	struct why why;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(ec, NULL);

	(void)state;
	assert_int_equal(sign(ec, SIGN_ECDSA, str_make((char *)digest, 32), &out, &why), 0);
	EVP_PKEY_verify_init(ctx);
	assert_int_equal(
	    EVP_PKEY_verify(ctx, (const unsigned char *)out.p, out.n, digest, sizeof digest), 1);
	EVP_PKEY_CTX_free(ctx);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kinds),
	    cmocka_unit_test(test_a_signature_verifies),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
