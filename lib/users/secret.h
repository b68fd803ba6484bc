/* SPDX-License-Identifier: ISC */
/*
 * What is kept of a password, as one line of text: fields apart by tabs,
 *
 *	{CRYPT}$y$...				crypt(3): PLAIN and LOGIN
 *	{SCRAM-SHA-256}ITERATIONS,SALT,STORED,SERVER	RFC 5803, in base64; the same for
 *SCRAM-SHA-1
 *
 * None of them gives the password back. SCRAM keys serve PLAIN, too.
 */
#ifndef KP_USERS_SECRET_H
#define KP_USERS_SECRET_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct why;

enum {
	SECRET_MAX = 2048,          /* octets of a record */
	SECRET_PASSWORD_MAX = 1024, /* octets of a password */
	SECRET_ITERATIONS = 10000,  /* of new SCRAM keys */
	SECRET_ITERATIONS_MAX = 1000000,
};

enum secret_scheme { SECRET_CRYPT = 1 << 0, SECRET_SCRAM = 1 << 1 };

enum scram_hash { SCRAM_SHA256, SCRAM_SHA1, SCRAM_HASHES };

/* Base64, as SCRAM sends them. */
struct scram_keys {
	unsigned iterations; /* 0: there are none */
	struct str salt, stored, server;
};

/* Views into the record. */
struct secret {
	struct str crypt; /* empty: none */
	struct scram_keys scram[SCRAM_HASHES];
};

/* -1 with `why`: it is none, or one that no password could fit. */
int secret_parse(struct str record, struct secret *s, struct why *why) KP_MUST_USE;

/* Appends the record of a password; 20 ms of work. */
int secret_make(
    struct str password, unsigned schemes, struct buf *record, struct why *why) KP_MUST_USE;

/*
 * Whether the password is the record's. Takes as long whatever the record holds, and with an empty
 * one (no such account), which fits no password. May run in any thread.
 */
bool secret_fits(struct str record, struct str password);

/*
 * For an account that is not there: keys that look like some account's, the same whenever `name`
 * asks, which no password fits. `seed` is secret; the texts go to `out`.
 */
void secret_pretend(struct str name, struct str seed, enum scram_hash hash, struct scram_keys *keys,
    struct buf *out);

#endif
