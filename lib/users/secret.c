/* SPDX-License-Identifier: ISC */
/*
 * Hashes of passwords. Whether an account is there, and what is kept of it, must not show in the
 * time that an answer takes: secret_fits() always does one crypt(3) and one derivation of SCRAM
 * keys, against values of its own where the record has none.
 */
#include "lib/users/secret.h"

#include <crypt.h>
#include <gsasl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/base64.h"
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"

enum { SALT_SIZE = 16, DIGEST_MAX = 32 };

/* crypt("no password is this", a salt): what is computed for who has none. */
#define DUMMY_SALT "$y$j9T$kT7xTsLcRtY0n5PqT3mZq.$"

static const struct {
	const char *prefix;
	size_t size;
	const EVP_MD *(*digest)(void);
} hashes[SCRAM_HASHES] = {
    [SCRAM_SHA256] = {"{SCRAM-SHA-256}", 32, EVP_sha256},
    [SCRAM_SHA1] = {"{SCRAM-SHA-1}",   20, EVP_sha1  },
};

struct keys {
	unsigned char stored[DIGEST_MAX], server[DIGEST_MAX];
};

/* --- parsing --- */

/* Base64 of exactly (or, for a salt, of at least) so many octets. */
static bool
is_base64(struct str text, size_t least, size_t most)
{
	struct buf b = {.max = 128};
	bool fine = base64_decode(text, &b) == 0 && b.n >= least && b.n <= most;

	buf_free(&b);
	return fine;
}

static bool
cut(struct str *rest, struct str *field)
{
	ptrdiff_t comma = str_chr(*rest, ',');

	*field = comma >= 0 ? str_sub(*rest, 0, (size_t)comma) : *rest;
	*rest = str_from_at(*rest, comma >= 0 ? (size_t)comma + 1 : rest->n);
	return comma >= 0;
}

static bool
parse_scram(struct str text, size_t size, struct scram_keys *k)
{
	struct str iterations;
	uint64_t n;

	if (!cut(&text, &iterations) || !cut(&text, &k->salt) || !cut(&text, &k->stored) ||
	    cut(&text, &k->server))
		return false;
	if (!str_u64(iterations, SECRET_ITERATIONS_MAX, &n) || n == 0)
		return false;
	k->iterations = (unsigned)n;
	return is_base64(k->salt, 8, 64) && is_base64(k->stored, size, size) &&
	       is_base64(k->server, size, size);
}

static bool
parse_crypt(struct str text, struct secret *s)
{
	if (text.n == 0 || text.n >= CRYPT_OUTPUT_SIZE || text.p[0] != '$')
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] > '~' || memchr(":;*!\\", text.p[i], 5) != NULL)
			return false;
	s->crypt = text;
	return true;
}

static bool
parse_field(struct str field, struct secret *s)
{
	if (str_starts(field, STR("{CRYPT}")))
		return s->crypt.n == 0 && parse_crypt(str_from_at(field, sizeof "{CRYPT}" - 1), s);
	for (size_t i = 0; i < SCRAM_HASHES; i++) {
		struct str prefix = str_from(hashes[i].prefix);
		if (str_starts(field, prefix))
			return s->scram[i].iterations == 0 &&
			       parse_scram(
				   str_from_at(field, prefix.n), hashes[i].size, &s->scram[i]);
	}
	return false;
}

int
secret_parse(struct str record, struct secret *s, struct why *why)
{
	struct str field;

	*s = (struct secret){0};
	if (record.n == 0 || record.n > SECRET_MAX)
		return why_perm(why, NULL, "a record of a password is empty or too long");
	while (str_word(&record, "\t", &field))
		if (!parse_field(field, s))
			return why_perm(why, NULL, "a record of a password is malformed");
	return 0;
}

/* --- derivation --- */

/* The form in which both sides hash it (RFC 4013), or as it is where it has none. */
static char *
prepare(struct str password)
{
	char *raw = str_dup(password), *prepared = NULL;

	if (gsasl_saslprep(raw, 0, &prepared, NULL) != GSASL_OK || prepared == NULL ||
	    *prepared == '\0') {
		free(prepared);
		return raw;
	}
	explicit_bzero(raw, strlen(raw));
	free(raw);
	return prepared;
}

static void
forget(char *text)
{
	explicit_bzero(text, strlen(text));
	free(text);
}

/* RFC 5802 3. */
static bool
derive(const char *password, enum scram_hash hash, struct str salt, unsigned iterations,
    struct keys *keys)
{
	const EVP_MD *md = hashes[hash].digest();
	unsigned char salted[DIGEST_MAX], client[DIGEST_MAX];
	unsigned n = 0;
	int size = (int)hashes[hash].size;
	bool fine =
	    PKCS5_PBKDF2_HMAC(password, (int)strlen(password), (const unsigned char *)salt.p,
		(int)salt.n, (int)iterations, md, size, salted) == 1 &&
	    HMAC(md, salted, size, (const unsigned char *)"Client Key", 10, client, &n) != NULL &&
	    HMAC(md, salted, size, (const unsigned char *)"Server Key", 10, keys->server, &n) !=
		NULL &&
	    EVP_Digest(client, (size_t)size, keys->stored, NULL, md, NULL) == 1;

	explicit_bzero(salted, sizeof salted);
	explicit_bzero(client, sizeof client);
	return fine;
}

/* --- making --- */

static int
make_crypt(const char *password, struct buf *record, struct why *why)
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	struct crypt_data data = {0}; /* 32 KiB */
	int rc = 0;

	if (crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof salt) == NULL)
		rc = why_sys(why, NULL, "a salt for crypt(3)");
	else if (crypt_r(password, salt, &data) == NULL || data.output[0] == '*')
		rc = why_sys(why, NULL, "crypt(3)");
	else if (buf_printf(record, "{CRYPT}%s", data.output) == -1)
		rc = why_perm(why, NULL, "the record is too long");
	explicit_bzero(&data, sizeof data);
	return rc;
}

static int
make_scram(const char *password, enum scram_hash hash, struct buf *record, struct why *why)
{
	unsigned char salt[SALT_SIZE];
	size_t size = hashes[hash].size;
	struct keys keys;

	if (RAND_bytes(salt, sizeof salt) != 1 ||
	    !derive(password, hash, str_make((char *)salt, sizeof salt), SECRET_ITERATIONS, &keys))
		return why_temp(why, NULL, "SCRAM keys cannot be made");
	int rc = buf_printf(record, "%s%s%d,", record->n > 0 ? "\t" : "", hashes[hash].prefix,
		     SECRET_ITERATIONS) == -1 ||
		 base64_encode(str_make((char *)salt, sizeof salt), record) == -1 ||
		 buf_byte(record, ',') == -1 ||
		 base64_encode(str_make((char *)keys.stored, size), record) == -1 ||
		 buf_byte(record, ',') == -1 ||
		 base64_encode(str_make((char *)keys.server, size), record) == -1;
	explicit_bzero(&keys, sizeof keys);
	return rc == 0 ? 0 : why_perm(why, NULL, "the record is too long");
}

int
secret_make(struct str password, unsigned schemes, struct buf *record, struct why *why)
{
	if (password.n == 0 || password.n > SECRET_PASSWORD_MAX ||
	    memchr(password.p, '\0', password.n) != NULL)
		return why_perm(why, NULL, "a password has 1 to %d octets", SECRET_PASSWORD_MAX);
	char *prepared = prepare(password);
	int rc = 0;
	if ((schemes & SECRET_CRYPT) != 0)
		rc = make_crypt(prepared, record, why);
	for (size_t i = 0; i < SCRAM_HASHES && rc == 0 && (schemes & SECRET_SCRAM) != 0; i++)
		rc = make_scram(prepared, (enum scram_hash)i, record, why);
	forget(prepared);
	return rc;
}

/* --- checking --- */

static bool
fits_crypt(struct str hash, const char *password)
{
	struct crypt_data data = {0}; /* 32 KiB */
	char *setting = hash.n > 0 ? str_dup(hash) : xstrdup(DUMMY_SALT);
	const char *output = crypt_r(password, setting, &data);
	bool fits = hash.n > 0 && output != NULL && output[0] != '*' && strlen(output) == hash.n &&
		    CRYPTO_memcmp(output, hash.p, hash.n) == 0;

	explicit_bzero(&data, sizeof data);
	free(setting);
	return fits;
}

static bool
fits_scram(const struct secret *s, const char *password)
{
	enum scram_hash hash =
	    s->scram[SCRAM_SHA256].iterations == 0 && s->scram[SCRAM_SHA1].iterations != 0
		? SCRAM_SHA1
		: SCRAM_SHA256;
	const struct scram_keys *k = &s->scram[hash];
	struct buf salt = {.max = 64}, stored = {.max = DIGEST_MAX};
	struct keys keys;
	bool have = k->iterations != 0 && base64_decode(k->salt, &salt) == 0 &&
		    base64_decode(k->stored, &stored) == 0;
	bool derived = derive(password, hash, have ? buf_view(&salt) : STR("a salt of nobody"),
	    have ? k->iterations : SECRET_ITERATIONS, &keys);
	bool fits = have && derived && stored.n == hashes[hash].size &&
		    CRYPTO_memcmp(keys.stored, stored.p, stored.n) == 0;

	explicit_bzero(&keys, sizeof keys);
	buf_free_secret(&salt);
	buf_free_secret(&stored);
	return fits;
}

bool
secret_fits(struct str record, struct str password)
{
	struct secret s;
	struct why why;

	if (secret_parse(record, &s, &why) == -1)
		s = (struct secret){0};
	bool sane = password.n > 0 && password.n <= SECRET_PASSWORD_MAX &&
		    memchr(password.p, '\0', password.n) == NULL;
	char *prepared = prepare(sane ? password : STR("no password"));
	bool by_crypt = fits_crypt(s.crypt, prepared), by_scram = fits_scram(&s, prepared);
	forget(prepared);
	return sane && (s.crypt.n > 0 ? by_crypt : by_scram);
}

void
secret_pretend(struct str name, struct str seed, enum scram_hash hash, struct scram_keys *keys,
    struct buf *out)
{
	unsigned char salt[EVP_MAX_MD_SIZE], none[DIGEST_MAX];
	unsigned n = 0;
	size_t size = hashes[hash].size, at[4];
	bool fine = HMAC(hashes[hash].digest(), seed.p, (int)seed.n, (const unsigned char *)name.p,
			name.n, salt, &n) != NULL &&
		    RAND_bytes(none, sizeof none) == 1;

	buf_reset(out);
	for (size_t i = 0; i < 3; i++) {
		struct str bytes =
		    i == 0 ? str_make((char *)salt, SALT_SIZE) : str_make((char *)none, size);
		at[i] = out->n;
		fine = fine && base64_encode(bytes, out) == 0;
	}
	at[3] = out->n;
	struct str all = buf_view(out);
	*keys = (struct scram_keys){
	    .iterations = fine ? SECRET_ITERATIONS : 0,
	    .salt = str_sub(all, at[0], at[1] - at[0]),
	    .stored = str_sub(all, at[1], at[2] - at[1]),
	    .server = str_sub(all, at[2], at[3] - at[2]),
	};
}
