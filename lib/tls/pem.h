/* SPDX-License-Identifier: ISC */
/* Private keys and their certificates out of PEM files. */
#ifndef KP_TLS_PEM_H
#define KP_TLS_PEM_H

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct why;

/* A key, its certificate and the chain behind that. */
struct pem_key {
	EVP_PKEY *key;
	uint64_t number; /* tls_key_number() */
	char *chain;     /* PEM text, the key's own certificate first */
	time_t expires;
};

struct pem_keys {
	struct pem_key *items;
	size_t n;
};

/* What has been read so far, of several files that belong together. */
struct pem;

struct pem *pem_new(void);
void pem_free(struct pem **pp);

/* Adds what is in a file. -1 with `why` ("PATH: what"): nothing, or what cannot be read. */
int pem_add(struct pem *pem, const char *path, struct str text, struct why *why) KP_MUST_USE;

/* How many private keys there are so far. */
size_t pem_nkeys(const struct pem *pem);

/*
 * Sorts it: a certificate of a key and those behind it, up to the next such, are that key's chain;
 * the key may stand anywhere. -1 with `why`: a key without its certificate, a certificate without
 * its key, or a kind of key that we do not have.
 */
int pem_sort(struct pem *pem, struct pem_keys *keys, struct why *why) KP_MUST_USE;

void pem_keys_clear(struct pem_keys *keys);

/* How a walk over certificates ended. */
enum pem_end {
	PEM_ALL,    /* nothing is left */
	PEM_BROKEN, /* the next one cannot be read */
	PEM_STOP,   /* `each` did not want any more */
};

/* Calls `each` with each certificate in `text` as long as it returns 0, and returns how many it
 * took; what is not a certificate is passed over. */
size_t pem_each_certificate(
    struct str text, int (*each)(void *arg, X509 *certificate), void *arg, enum pem_end *end);

/* Appends the certificates in `text`, and nothing else of it, to `out`. -1 with `why`: there is
 * none, one cannot be read, or they are more than `out` may hold. */
int pem_certificates(
    const char *path, struct str text, struct buf *out, struct why *why) KP_MUST_USE;

#endif
