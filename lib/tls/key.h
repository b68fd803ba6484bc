/* SPDX-License-Identifier: ISC */
/*
 * Keys whose private half is in keeper: OpenSSL sees a key object with the public half, and what it
 * would have signed is asked for, while the handshake that wants it stands still.
 */
#ifndef KP_TLS_KEY_H
#define KP_TLS_KEY_H

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct why;

/* The methods, shared by all keys of a process; freed after the last key. */
struct tls_methods;

struct tls_methods *tls_methods_new(void);
void tls_methods_free(struct tls_methods **mp);

/* A key object for the certificate, which keeper knows as `number`; NULL with `why` where it is
 * neither RSA nor EC. The caller frees it with EVP_PKEY_free(). */
EVP_PKEY *tls_key_new(
    const struct tls_methods *m, X509 *certificate, uint64_t number, struct why *why) KP_MUST_USE;

/*
 * The caller's part: stands still until the signature is there, and returns it; empty: there is
 * none. `arg` is what was set as the argument of the wait context of the job (see session.c).
 */
struct str tls_session_sign(
    void *arg, uint64_t key, unsigned scheme, const unsigned char *input, size_t n);

/* The number of a key: from its public half, so that it stays the same for the same key. 0: it
 * cannot be told. */
uint64_t tls_key_number(X509 *certificate);

#endif
