/* SPDX-License-Identifier: ISC */
/* A TLS server: its policy, the certificates of its names, the keys of its tickets. One a service.
 */
#ifndef KP_TLS_SERVER_H
#define KP_TLS_SERVER_H

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/tls/policy.h"

struct tls_methods;
struct why;

enum { TLS_TICKET_KEY_SIZE = 80, TLS_TICKET_KEYS_MAX = 6 };

/* As they come from keeper: name, key of AES, key of HMAC. */
struct tls_ticket_key {
	unsigned char name[16], aes[32], hmac[32];
};

/* The members are for lib/tls. */
struct tls_server {
	SSL_CTX *ctx; /* without a certificate: that comes with the client's hello */
	struct tls_methods *methods;
	X509_STORE *authorities;
	const EVP_MD *digest;
	struct tls_policy policy; /* its pointers are the caller's */
	struct tls_ticket_key keys[TLS_TICKET_KEYS_MAX];
	size_t nkeys;
	unsigned char context[32]; /* of sessions: service and authorities */
};

/* The certificates of one name. */
struct tls_identity;

/* Once a process: before its first server, and after its last. */
void tls_open(void);
void tls_close(void);

/* NULL with `why` where the policy cannot be had. What `policy` points to must outlive it. */
struct tls_server *tls_server_new(const struct tls_policy *policy, struct why *why) KP_MUST_USE;

/* After its sessions and identities. */
void tls_server_free(struct tls_server **sp);

/* TICKET_KEYS of keeper; -1 where they are malformed. */
int tls_server_ticket_keys(struct tls_server *server, struct str keys) KP_MUST_USE;

/* Other authorities from now on (PEM text); sessions that began with those before are not resumed.
 * tls_identity_refresh() for each identity is to follow. -1 with `why`: those before stay. */
int tls_server_authorities(struct tls_server *server, struct str pem, struct why *why) KP_MUST_USE;
void tls_identity_refresh(struct tls_identity *identity);

/* An identity without certificates; add one for each kind of key. It is counted: who keeps it
 * holds it, and drops it. */
struct tls_identity *tls_identity_new(struct tls_server *server);
int tls_identity_add(
    struct tls_identity *identity, uint64_t key, struct str chain, struct why *why) KP_MUST_USE;
struct tls_identity *tls_identity_hold(struct tls_identity *identity);
void tls_identity_drop(struct tls_identity **ip);
SSL_CTX *tls_identity_ctx(const struct tls_identity *identity);

#endif
