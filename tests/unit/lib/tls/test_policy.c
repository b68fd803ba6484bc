/* SPDX-License-Identifier: ISC */
/* Lists of protocols and of ciphers that are not wanted, as Postfix writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/tls/policy.h"

static const struct {
	char *words[4];
	unsigned protocols; /* 0: refused */
	const char *why;
} rows[] = {
    {{">=TLSv1.2"},		       TLS_1_2 | TLS_1_3,                     NULL                             },
    {{">=TLSv1"},			 TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, NULL                             },
    {{">=TLSv1.0"},		       TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, NULL                             },
    {{">=TLSv1.2", "<=TLSv1.2"},          TLS_1_2,                               NULL                             },
    {{"<=TLSv1.2", "!TLSv1", "!TLSv1.1"}, TLS_1_2,                               NULL                             },
    {{"!SSLv2", "!SSLv3"},                TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, NULL                             },
    {{"tlsv1.3"},			 TLS_1_3,			       NULL                             },
    {{"TLSv1.2", "TLSv1.3"},              TLS_1_2 | TLS_1_3,                     NULL                             },
    {{NULL},			      TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, NULL                             },
    {{"SSLv3"},			   TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3, NULL                             },
    {{">=TLSv1.3", "!TLSv1.3"},           0,				     "no protocol is left"            },
    {{"TLSv1.4"},			 0,				     "TLSv1.4: expected TLSv1.2 or"   },
    {{">="},			      0,				     ">=: expected TLSv1.2 or TLSv1.3"},
};

static void
test_protocols(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		struct setting_list list = {.items = (char **)(uintptr_t)rows[i].words};
		unsigned got = 0;
		struct why why = {0};

		while (list.n < 4 && rows[i].words[list.n] != NULL)
			list.n++;
		int rc = tls_policy_protocols(&list, &got, &why);
		assert_int_equal(rc, rows[i].protocols != 0 ? 0 : -1);
		if (rc == 0)
			assert_int_equal(got, rows[i].protocols);
		else if (strstr(why.text, rows[i].why) != why.text)
			fail_msg("%s", why.text);
	}
}

/* Whether TLS 1.2 has it with these exclusions; -1: they are refused. */
static int
has_cipher(char *first, char *second, const char *name, struct why *why)
{
	char *old[] = {">=TLSv1.2"};
	const struct setting_list protocols = {.items = old, .n = 1};
	const struct setting_list lists[] = {
	    {.items = &first,  .n = first != NULL },
            {.items = &second, .n = second != NULL}
        };
	const struct tls_policy policy = {
	    .protocols = &protocols, .grade = TLS_GRADE_HIGH, .excluded = {&lists[0], &lists[1]}
        };
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int found = tls_policy_ciphers(ctx, &policy, why);

	STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
	for (int i = 0; found != -1 && i < sk_SSL_CIPHER_num(ciphers); i++)
		found |= strcmp(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i)), name) == 0;
	SSL_CTX_free(ctx);
	return found;
}

static void
test_excluded(void **state)
{
	static const char chacha[] = "ECDHE-RSA-CHACHA20-POLY1305";
	static const char aes128[] = "ECDHE-RSA-AES128-GCM-SHA256";
	struct why why = {0};

	(void)state;
	assert_int_equal(has_cipher(NULL, NULL, chacha, &why), 1);
	assert_int_equal(has_cipher("CHACHA20", NULL, chacha, &why), 0);
	assert_int_equal(has_cipher("CHACHA20", NULL, aes128, &why), 1);
	assert_int_equal(has_cipher("CHACHA20", "AES128", aes128, &why), 0);
	assert_int_equal(has_cipher("CHACHA20:ALL", NULL, aes128, &why), -1);
	assert_string_equal(why.text, "CHACHA20:ALL: expected OpenSSL's name of a cipher");
	/* TLS 1.3's are no matter of this list, and what is left of it may be nothing */
	assert_int_equal(has_cipher("ECDHE", NULL, aes128, &why), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_protocols),
	    cmocka_unit_test(test_excluded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
