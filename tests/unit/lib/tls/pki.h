/* SPDX-License-Identifier: ISC */
/* Keys and certificates for the tests. */
#ifndef TESTS_TLS_PKI_H
#define TESTS_TLS_PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>

/* A key of EVP_PKEY_RSA or EVP_PKEY_EC; its own certificate for `name`, good for `days`. */
EVP_PKEY *pki_key(int type);
X509 *pki_certificate(EVP_PKEY *key, const char *name, int days);

/* As PEM; the caller frees it. */
char *pki_key_pem(EVP_PKEY *key);
char *pki_certificate_pem(X509 *certificate);

#endif
