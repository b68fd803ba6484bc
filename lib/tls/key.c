/* SPDX-License-Identifier: ISC */
/*
 * The one file that uses OpenSSL's older interface: its key methods are what lets a private key
 * live elsewhere, in the version that we build with as in those to come. The key's number is kept
 * as the object's application data.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "lib/tls/key.h"

#include <assert.h>
#include <openssl/async.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/msg/fields.h"

struct tls_methods {
	RSA_METHOD *rsa;
	EC_KEY_METHOD *ec;
};

enum { APP_DATA = 0 };

static void *
number_pointer(uint64_t number)
{
	return (void *)(uintptr_t)number;
}

/* Of the handshake that runs now. */
static struct str
sign(const void *number, unsigned scheme, const unsigned char *input, int n)
{
	ASYNC_JOB *job = ASYNC_get_current_job();
	ASYNC_callback_fn unused;
	void *arg;

	if (job == NULL || n < 0 ||
	    ASYNC_WAIT_CTX_get_callback(ASYNC_get_wait_ctx(job), &unused, &arg) != 1)
		return STR_EMPTY;
	return tls_session_sign(arg, (uintptr_t)number, scheme, input, (size_t)n);
}

static int
rsa_sign(int n, const unsigned char *input, unsigned char *out, RSA *rsa, int padding)
{
	unsigned scheme = padding == RSA_NO_PADDING ? SIGN_RSA_RAW : SIGN_RSA_PKCS1;

	if (padding != RSA_NO_PADDING && padding != RSA_PKCS1_PADDING)
		return -1;
	struct str signature = sign(RSA_get_ex_data(rsa, APP_DATA), scheme, input, n);
	if (signature.n == 0 || signature.n != (size_t)RSA_size(rsa))
		return -1;
	memcpy(out, signature.p, signature.n);
	return (int)signature.n;
}

static int
rsa_refuse(int n, const unsigned char *input, unsigned char *out, RSA *rsa, int padding)
{
	(void)n;
	(void)input;
	(void)out;
	(void)rsa;
	(void)padding;
	return -1;
}

static int
ec_sign(int type, const unsigned char *digest, int n, unsigned char *out, unsigned *out_n,
    const BIGNUM *inverse, const BIGNUM *r, EC_KEY *key)
{
	(void)type;
	(void)inverse;
	(void)r;
	struct str signature = sign(EC_KEY_get_ex_data(key, APP_DATA), SIGN_ECDSA, digest, n);
	if (signature.n == 0 || signature.n > (size_t)ECDSA_size(key))
		return 0;
	memcpy(out, signature.p, signature.n);
	*out_n = (unsigned)signature.n;
	return 1;
}

struct tls_methods *
tls_methods_new(void)
{
	struct tls_methods *m = xcalloc(1, sizeof *m);

	m->rsa = RSA_meth_dup(RSA_get_default_method());
	m->ec = EC_KEY_METHOD_new(EC_KEY_get_default_method());
	if (m->rsa == NULL || m->ec == NULL || RSA_meth_set_priv_enc(m->rsa, rsa_sign) != 1 ||
	    RSA_meth_set_priv_dec(m->rsa, rsa_refuse) != 1)
		fatal("tls: no memory");
	EC_KEY_METHOD_set_sign(m->ec, ec_sign, NULL, NULL);
	return m;
}

void
tls_methods_free(struct tls_methods **mp)
{
	struct tls_methods *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	RSA_meth_free(m->rsa);
	EC_KEY_METHOD_free(m->ec);
	free(m);
}

/* 1, or 0 where OpenSSL could not. */
static int
use_rsa(const struct tls_methods *m, EVP_PKEY *public, EVP_PKEY *pkey, uint64_t number)
{
	RSA *rsa = RSAPublicKey_dup(EVP_PKEY_get0_RSA(public));
	int ok = rsa != NULL && RSA_set_method(rsa, m->rsa) == 1 &&
		 RSA_set_ex_data(rsa, APP_DATA, number_pointer(number)) == 1 &&
		 EVP_PKEY_set1_RSA(pkey, rsa) == 1;

	RSA_free(rsa);
	return ok;
}

static int
use_ec(const struct tls_methods *m, EVP_PKEY *public, EVP_PKEY *pkey, uint64_t number)
{
	EC_KEY *ec = EC_KEY_dup(EVP_PKEY_get0_EC_KEY(public));
	int ok = ec != NULL && EC_KEY_set_method(ec, m->ec) == 1 &&
		 EC_KEY_set_ex_data(ec, APP_DATA, number_pointer(number)) == 1 &&
		 EVP_PKEY_set1_EC_KEY(pkey, ec) == 1;

	EC_KEY_free(ec);
	return ok;
}

EVP_PKEY *
tls_key_new(const struct tls_methods *m, X509 *certificate, uint64_t number, struct why *why)
{
	EVP_PKEY *public = X509_get0_pubkey(certificate);
	int type = public != NULL ? EVP_PKEY_base_id(public) : 0;
	EVP_PKEY *pkey = EVP_PKEY_new();
	int ok = 0;

	if (pkey != NULL && type == EVP_PKEY_RSA)
		ok = use_rsa(m, public, pkey, number);
	else if (pkey != NULL && type == EVP_PKEY_EC)
		ok = use_ec(m, public, pkey, number);
	if (ok)
		return pkey;
	EVP_PKEY_free(pkey);
	why_perm(why, NULL, "the certificate's key is neither RSA nor EC");
	return NULL;
}

static_assert(sizeof(uintptr_t) <= sizeof(uint64_t), "a number fits a pointer");

uint64_t
tls_key_number(X509 *certificate)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n;
	uint64_t number = 0;

	if (X509_pubkey_digest(certificate, EVP_sha256(), digest, &n) != 1 || n < sizeof number)
		return 0;
	memcpy(&number, digest, sizeof number);
	return (uintptr_t)number;
}
