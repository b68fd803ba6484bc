/* SPDX-License-Identifier: ISC */
/* What a TLS server offers: protocols, ciphers, groups, as the configuration writes them. */
#ifndef KP_TLS_POLICY_H
#define KP_TLS_POLICY_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct setting_list;
struct why;

enum tls_protocol {
	TLS_1_0 = 1 << 0,
	TLS_1_1 = 1 << 1,
	TLS_1_2 = 1 << 2,
	TLS_1_3 = 1 << 3,
};

enum tls_grade { TLS_GRADE_HIGH, TLS_GRADE_MEDIUM };

struct tls_policy {
	const struct setting_list *protocols; /* ">=TLSv1.2", "<=TLSv1.3", "!TLSv1.1", "TLSv1.3" */
	enum tls_grade grade;
	const struct setting_list *excluded[2]; /* ciphers, by OpenSSL's names; NULL: none */
	const struct setting_list *groups;      /* OpenSSL's names; those it lacks are left out */
	bool server_order;                      /* our order of ciphers, not the client's */
	const char *service;   /* sessions are resumed at the service of this name only */
	int64_t session_ms;    /* how long a session may be resumed; 0: not at all */
	bool ask_certificate;  /* of the client */
	bool need_certificate; /* one that `ca` vouches for */
	int64_t depth;         /* of its chain */
	struct str ca;         /* PEM text of the authorities; empty: none */
	const char *digest;    /* of fingerprints */
};

/* A list of protocols as bits; -1 with `why` for a name that is none, or where none is left. */
int tls_policy_protocols(
    const struct setting_list *list, unsigned *protocols, struct why *why) KP_MUST_USE;

/* The ciphers alone. */
int tls_policy_ciphers(SSL_CTX *ctx, const struct tls_policy *policy, struct why *why) KP_MUST_USE;

/* Sets all of it but certificates; warns of each group that OpenSSL does not have. */
int tls_policy_apply(SSL_CTX *ctx, const struct tls_policy *policy, struct why *why) KP_MUST_USE;

#endif
