/* SPDX-License-Identifier: ISC */
/*
 * A key signs what a TLS handshake signs, and nothing else where that can be told: an input for RSA
 * without padding of ours must have the form that PSS gives it (RFC 8017 9.1.1), so that keeper is
 * of no use for decrypting what was recorded.
 */
#include "keeper/sign.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/msg/fields.h"

enum { PSS_TRAILER = 0xbc };

static int
padding(unsigned scheme)
{
	switch (scheme) {
	case SIGN_RSA_PKCS1:
		return RSA_PKCS1_PADDING;
	case SIGN_RSA_RAW:
		return RSA_NO_PADDING;
	default:
		return 0;
	}
}

static bool
fits(EVP_PKEY *key, unsigned scheme, struct str input)
{
	int type = EVP_PKEY_get_base_id(key);

	if (scheme == SIGN_ECDSA)
		return type == EVP_PKEY_EC;
	if (type != EVP_PKEY_RSA || padding(scheme) == 0)
		return false;
	return scheme != SIGN_RSA_RAW || (input.n == (size_t)EVP_PKEY_get_size(key) &&
					     (unsigned char)input.p[input.n - 1] == PSS_TRAILER);
}

static int
run(EVP_PKEY_CTX *ctx, unsigned scheme, struct str input, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)input.p;
	size_t n;

	if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1)
		return -1;
	if (padding(scheme) != 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, padding(scheme)) != 1)
		return -1;
	if (EVP_PKEY_sign(ctx, NULL, &n, p, input.n) != 1)
		return -1;
	char *room = buf_room(out, n);
	if (room == NULL || EVP_PKEY_sign(ctx, (unsigned char *)room, &n, p, input.n) != 1)
		return -1;
	buf_grown(out, n);
	return 0;
}

int
sign(EVP_PKEY *key, unsigned scheme, struct str input, struct buf *out, struct why *why)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	int rc = input.n > 0 && fits(key, scheme, input) ? run(ctx, scheme, input, out) : -1;

	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return rc == 0 ? 0 : why_perm(why, NULL, "this cannot be signed");
}
