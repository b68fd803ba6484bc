/* SPDX-License-Identifier: ISC */
/* What a finished handshake has agreed on, and who the client is by its certificate. */
#ifndef KP_TLS_FACTS_H
#define KP_TLS_FACTS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct tls;

enum { TLS_FINGERPRINT_SIZE = 64 * 3 };

/* Text of the certificate is the client's choice: printable, and without what would end a comment
 * in a header. Empty where there is none. */
struct tls_facts {
	const char *protocol, *cipher; /* OpenSSL's own */
	int bits, algorithm_bits;
	char key_exchange[48]; /* "X25519", "ECDHE (prime256v1)"; TLS 1.3 only, as the next two */
	char signature[48];    /* the server's: "RSA-PSS (2048 bits)" */
	char digest[16];
	bool resumed;
	bool certificate; /* the client has shown one */
	bool trusted;     /* and an authority of ours vouches for it */
	char subject[256], issuer[256];
	char fingerprint[TLS_FINGERPRINT_SIZE];     /* of the certificate: "AB:CD:..." */
	char key_fingerprint[TLS_FINGERPRINT_SIZE]; /* of its public key */
};

void tls_facts(const struct tls *t, struct tls_facts *facts);

/* "Anonymous", "Untrusted", "Trusted". */
const char *tls_facts_trust(const struct tls_facts *facts);

/* "TLSv1.3 with cipher X (256/256 bits) key-exchange ..."; `apart` stands before "key-exchange". */
void tls_facts_show(const struct tls_facts *facts, const char *apart, char *out, size_t size);

/*
 * Channel binding for SASL: type "tls-exporter" (RFC 9266) or, with TLS 1.2, "tls-unique" (RFC
 * 5929). Appends the octets to `out`; -1 where this session has none of that type.
 */
int tls_binding(const struct tls *t, const char *type, struct buf *out) KP_MUST_USE;

#endif
