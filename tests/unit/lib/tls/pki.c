/* SPDX-License-Identifier: ISC */
#include "tests/unit/lib/tls/pki.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "lib/base/mem.h"
#include "lib/base/panic.h"

EVP_PKEY *
pki_key(int type)
{
	EVP_PKEY *key = type == EVP_PKEY_RSA  ? EVP_RSA_gen(2048)
			: type == EVP_PKEY_EC ? EVP_EC_gen("P-256")
					      : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	if (key == NULL)
		panic("pki: no key");
	return key;
}

X509 *
pki_certificate(EVP_PKEY *key, const char *name, int days)
{
	X509 *c = X509_new();
	X509_NAME *subject = X509_get_subject_name(c);

	ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
	X509_gmtime_adj(X509_getm_notBefore(c), -3600);
	X509_gmtime_adj(X509_getm_notAfter(c), (long)days * 24 * 3600 + 60);
	X509_NAME_add_entry_by_txt(
	    subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(c, subject);
	X509_set_pubkey(c, key);
	if (X509_sign(
		c, key, EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()) == 0)
		panic("pki: no certificate");
	return c;
}

static char *
text_of(BIO *bio)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);
	char *text = xstrndup(p, (size_t)n);

	BIO_free(bio);
	return text;
}

char *
pki_key_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	return text_of(bio);
}

char *
pki_certificate_pem(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_X509(bio, certificate);
	return text_of(bio);
}
