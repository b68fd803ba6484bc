/* SPDX-License-Identifier: ISC */
/* Keys and certificates out of files: in any order, several of them, and all that can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/tls/key.h"
#include "lib/tls/pem.h"
#include "tests/unit/lib/tls/pki.h"

enum {
	RSA_KEY,
	RSA_CERT,
	EC_KEY_,
	EC_CERT,
	OTHER_KEY,
	OTHER_CERT,
	ED_KEY,
	JUNK,
	BROKEN,
	LOCKED,
	PARTS
};

static char *parts[PARTS];
static X509 *rsa_certificate;

static int
setup(void **state)
{
	EVP_PKEY *rsa = pki_key(EVP_PKEY_RSA), *ec = pki_key(EVP_PKEY_EC);
	EVP_PKEY *other = pki_key(EVP_PKEY_EC), *ed = pki_key(EVP_PKEY_ED25519);
	X509 *c2 = pki_certificate(ec, "ec.example", 5);
	X509 *c3 = pki_certificate(other, "ca.example", 90);

	(void)state;
	rsa_certificate = pki_certificate(rsa, "rsa.example", 90);
	parts[RSA_KEY] = pki_key_pem(rsa);
	parts[RSA_CERT] = pki_certificate_pem(rsa_certificate);
	parts[EC_KEY_] = pki_key_pem(ec);
	parts[EC_CERT] = pki_certificate_pem(c2);
	parts[OTHER_KEY] = pki_key_pem(other);
	parts[OTHER_CERT] = pki_certificate_pem(c3);
	parts[ED_KEY] = pki_key_pem(ed);
	parts[JUNK] = xstrdup("no PEM at all\n");
	parts[BROKEN] = xstrdup("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	parts[LOCKED] = xstrdup(
	    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(other);
	EVP_PKEY_free(ed);
	X509_free(c2);
	X509_free(c3);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < PARTS; i++)
		free(parts[i]);
	X509_free(rsa_certificate);
	return 0;
}

/* Each part is a file of its own, called by its number. */
static const struct {
	int files[6]; /* ended by -1 */
	size_t keys;
	int chains[2]; /* certificates in each chain */
	const char *why;
} rows[] = {
    {{RSA_KEY, RSA_CERT, -1},			       1, {1},    NULL						       },
    {{RSA_CERT, RSA_KEY, -1},			       1, {1},    NULL						       },
    {{RSA_KEY, RSA_CERT, OTHER_CERT, -1},                   1, {2},    NULL						       },
    {{RSA_KEY, RSA_CERT, OTHER_CERT, EC_KEY_, EC_CERT, -1}, 2, {2, 1}, NULL                                                       },
    {{RSA_KEY, EC_KEY_, EC_CERT, RSA_CERT, -1},             2, {1, 1}, NULL                                                       },
    {{RSA_KEY, OTHER_CERT, -1},                             0, {0},    "5: the certificate's private key is not there"            },
    {{RSA_KEY, OTHER_KEY, RSA_CERT, -1},                    0, {0},
     "4: the private key does not match any of the certificates"                                                                  },
    {{OTHER_CERT, -1},				      0, {0},    "5: the certificate's private key is not there"            },
    {{RSA_KEY, -1},					 0, {0},    "0: the private key does not match any of the certificates"},
    {{ED_KEY, -1},					  0, {0},    "6: the private key is neither RSA nor EC"                 },
    {{JUNK, -1},					    0, {0},    "7: neither a key nor a certificate in PEM form"           },
    {{BROKEN, -1},					  0, {0},    "8: the certificate cannot be read"                        },
    {{LOCKED, -1},					  0, {0},    "9: the private key is encrypted"                          },
};

static int
count(const char *text)
{
	int n = 0;

	while ((text = strstr(text, "BEGIN CERTIFICATE")) != NULL) {
		n++;
		text++;
	}
	return n;
}

static void
check(size_t row)
{
	struct pem *pem = pem_new();
	struct pem_keys keys = {0};
	struct why why = {0};
	int rc = 0;

	for (size_t i = 0; rows[row].files[i] != -1 && rc == 0; i++) {
		char name[2] = {(char)('0' + rows[row].files[i]), '\0'};
		rc = pem_add(pem, name, str_from(parts[rows[row].files[i]]), &why);
	}
	if (rc == 0)
		rc = pem_sort(pem, &keys, &why);
	if (rows[row].why != NULL) {
		assert_int_equal(rc, -1);
		assert_string_equal(why.text, rows[row].why);
		assert_int_equal(keys.n, 0);
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(keys.n, rows[row].keys);
		for (size_t i = 0; i < keys.n; i++)
			assert_int_equal(count(keys.items[i].chain), rows[row].chains[i]);
	}
	pem_keys_clear(&keys);
	pem_free(&pem);
}

static void
test_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++)
		check(i);
}

/* The number is of the public key alone: the same for keeper and smtpd, whenever they started. */
static void
test_numbers(void **state)
{
	struct pem *pem = pem_new();
	struct pem_keys keys;
	struct why why;
	time_t now = time(NULL);

	(void)state;
	assert_int_equal(pem_add(pem, "k", str_from(parts[RSA_KEY]), &why), 0);
	assert_int_equal(pem_nkeys(pem), 1);
	assert_int_equal(pem_add(pem, "c", str_from(parts[RSA_CERT]), &why), 0);
	assert_int_equal(pem_nkeys(pem), 1);
	assert_int_equal(pem_sort(pem, &keys, &why), 0);
	assert_true(keys.items[0].number != 0);
	assert_true(keys.items[0].number == tls_key_number(rsa_certificate));
	assert_true(keys.items[0].expires > now + 89 * 24 * 3600);
	assert_true(keys.items[0].expires < now + 91 * 24 * 3600);
	pem_keys_clear(&keys);
	pem_free(&pem);
}

/* What keeper gives out of the authorities' file: certificates, whatever else stands there. */
static void
test_certificates(void **state)
{
	static const struct {
		int parts[4];
		size_t room;
		int kept; /* the part that comes out; -1: refused */
		const char *why;
	} files[] = {
	    {{RSA_CERT, JUNK, PARTS},          9999, RSA_CERT, NULL                             },
	    {{JUNK, RSA_KEY, RSA_CERT, PARTS}, 9999, RSA_CERT, NULL                             },
	    {{RSA_CERT, BROKEN, PARTS},        9999, -1,       "f: certificate 2 cannot be read"},
	    {{BROKEN, PARTS},                  9999, -1,       "f: no certificate in PEM form"  },
	    {{RSA_KEY, JUNK, PARTS},           9999, -1,       "f: no certificate in PEM form"  },
	    {{PARTS},			  9999, -1,       "f: no certificate in PEM form"  },
	    {{RSA_CERT, PARTS},                100,  -1,       "f: too many certificates"       },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(files); i++) {
		struct buf text = {.max = 100000}, out = {.max = files[i].room};
		struct why why = {0};
		for (size_t k = 0; files[i].parts[k] != PARTS; k++)
			assert_int_equal(buf_puts(&text, parts[files[i].parts[k]]), 0);
		int rc = pem_certificates("f", buf_view(&text), &out, &why);
		assert_int_equal(rc, files[i].kept == -1 ? -1 : 0);
		assert_string_equal(rc == -1 ? why.text : buf_cstr(&out),
		    rc == -1 ? files[i].why : parts[files[i].kept]);
		buf_free(&text);
		buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_certificates),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
