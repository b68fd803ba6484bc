/* SPDX-License-Identifier: ISC */
/*
 * The order within the files is free, as Postfix's cert_file has it (certificate, then key) and as
 * its chain_files have it (key, then certificate); what belongs together is found by the public
 * key. Octets of a private key are overwritten before their memory is given back.
 */
#include "lib/tls/pem.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/msg/fields.h"
#include "lib/tls/key.h"

enum { KEYS_MAX = 16, CERTIFICATES_MAX = 64 };

struct found {
	EVP_PKEY *key;
	X509 *certificate;
	char *path;
};

struct pem {
	struct found keys[KEYS_MAX], certificates[CERTIFICATES_MAX];
	size_t nkeys, ncertificates;
};

struct block {
	char *name, *header;
	unsigned char *data;
	long n;
};

struct pem *
pem_new(void)
{
	return xcalloc(1, sizeof(struct pem));
}

void
pem_free(struct pem **pp)
{
	struct pem *pem = *pp;

	*pp = NULL;
	if (pem == NULL)
		return;
	for (size_t i = 0; i < pem->nkeys; i++) {
		EVP_PKEY_free(pem->keys[i].key);
		free(pem->keys[i].path);
	}
	for (size_t i = 0; i < pem->ncertificates; i++) {
		X509_free(pem->certificates[i].certificate);
		free(pem->certificates[i].path);
	}
	free(pem);
}

/* --- reading --- */

static int
add_key(struct pem *pem, const char *path, const struct block *b, struct why *why)
{
	const unsigned char *p = b->data;

	if (strstr(b->header, "ENCRYPTED") != NULL || strstr(b->name, "ENCRYPTED") != NULL)
		return why_perm(why, NULL, "%s: the private key is encrypted", path);
	if (pem->nkeys == KEYS_MAX)
		return why_perm(why, NULL, "%s: more than %d private keys", path, KEYS_MAX);
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, b->n);
	if (key == NULL)
		return why_perm(why, NULL, "%s: the private key cannot be read", path);
	int type = EVP_PKEY_get_base_id(key);
	if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC) {
		EVP_PKEY_free(key);
		return why_perm(why, NULL, "%s: the private key is neither RSA nor EC", path);
	}
	pem->keys[pem->nkeys++] = (struct found){.key = key, .path = xstrdup(path)};
	return 0;
}

static int
add_certificate(struct pem *pem, const char *path, const struct block *b, struct why *why)
{
	const unsigned char *p = b->data;

	if (pem->ncertificates == CERTIFICATES_MAX)
		return why_perm(why, NULL, "%s: more than %d certificates", path, CERTIFICATES_MAX);
	X509 *certificate = d2i_X509(NULL, &p, b->n);
	if (certificate == NULL)
		return why_perm(why, NULL, "%s: the certificate cannot be read", path);
	pem->certificates[pem->ncertificates++] =
	    (struct found){.certificate = certificate, .path = xstrdup(path)};
	return 0;
}

/* Parameters and the like are skipped. */
static int
add_block(struct pem *pem, const char *path, const struct block *b, struct why *why)
{
	struct str name = str_from(b->name);

	if (str_ends(name, STR("PRIVATE KEY")))
		return add_key(pem, path, b, why);
	if (str_is(name, "CERTIFICATE") || str_is(name, "X509 CERTIFICATE"))
		return add_certificate(pem, path, b, why);
	return 0;
}

int
pem_add(struct pem *pem, const char *path, struct str text, struct why *why)
{
	BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
	size_t before = pem->nkeys + pem->ncertificates;
	struct block b;
	int rc = 0;

	if (bio == NULL)
		fatal("pem: no memory");
	while (rc == 0 && PEM_read_bio(bio, &b.name, &b.header, &b.data, &b.n) == 1) {
		rc = add_block(pem, path, &b, why);
		OPENSSL_free(b.name);
		OPENSSL_free(b.header);
		OPENSSL_clear_free(b.data, (size_t)b.n);
	}
	BIO_free(bio);
	ERR_clear_error();
	if (rc == 0 && pem->nkeys + pem->ncertificates == before)
		return why_perm(why, NULL, "%s: neither a key nor a certificate in PEM form", path);
	return rc;
}

size_t
pem_nkeys(const struct pem *pem)
{
	return pem->nkeys;
}

/* --- sorting --- */

static time_t
expiry(X509 *certificate)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1 ? timegm(&tm) : 0;
}

static struct found *
key_of(struct pem *pem, X509 *certificate)
{
	for (size_t i = 0; i < pem->nkeys; i++)
		if (EVP_PKEY_eq(X509_get0_pubkey(certificate), pem->keys[i].key) == 1)
			return &pem->keys[i];
	return NULL;
}

/* The certificate at `at` and those behind it that no key is there for; `*next` is behind them. */
static int
take_chain(struct pem *pem, size_t at, size_t *next, char **chain, struct why *why)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const char *text;
	long n;
	int ok = bio != NULL;

	for (*next = at; ok && *next < pem->ncertificates; ++*next) {
		X509 *certificate = pem->certificates[*next].certificate;
		if (*next > at && key_of(pem, certificate) != NULL)
			break;
		ok = PEM_write_bio_X509(bio, certificate);
	}
	if (!ok)
		fatal("pem: no memory");
	n = BIO_get_mem_data(bio, &text);
	*chain = n <= MSG_VALUE_MAX ? xstrndup(text, (size_t)n) : NULL;
	BIO_free(bio);
	if (*chain == NULL)
		return why_perm(why, NULL, "%s: the chain of certificates is too long",
		    pem->certificates[at].path);
	return 0;
}

static bool
has_key(const struct pem_keys *keys, const EVP_PKEY *key)
{
	for (size_t i = 0; i < keys->n; i++)
		if (keys->items[i].key == key)
			return true;
	return false;
}

static int
sort(struct pem *pem, struct pem_keys *keys, struct why *why)
{
	for (size_t at = 0, next; at < pem->ncertificates; at = next) {
		X509 *certificate = pem->certificates[at].certificate;
		struct found *found = key_of(pem, certificate);
		char *chain;

		if (found == NULL)
			return why_perm(why, NULL, "%s: the certificate's private key is not there",
			    pem->certificates[at].path);
		if (take_chain(pem, at, &next, &chain, why) == -1)
			return -1;
		EVP_PKEY_up_ref(found->key);
		keys->items = xrealloc(keys->items, (keys->n + 1) * sizeof *keys->items);
		keys->items[keys->n++] = (struct pem_key){
		    found->key, tls_key_number(certificate), chain, expiry(certificate)};
	}
	for (size_t i = 0; i < pem->nkeys; i++)
		if (!has_key(keys, pem->keys[i].key))
			return why_perm(why, NULL,
			    "%s: the private key does not match any of the certificates",
			    pem->keys[i].path);
	return 0;
}

int
pem_sort(struct pem *pem, struct pem_keys *keys, struct why *why)
{
	int rc;

	*keys = (struct pem_keys){0};
	rc = sort(pem, keys, why);
	ERR_clear_error();
	if (rc == -1)
		pem_keys_clear(keys);
	return rc;
}

void
pem_keys_clear(struct pem_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		EVP_PKEY_free(keys->items[i].key);
		free(keys->items[i].chain);
	}
	free(keys->items);
	*keys = (struct pem_keys){0};
}

/* --- certificates alone --- */

size_t
pem_each_certificate(
    struct str text, int (*each)(void *arg, X509 *certificate), void *arg, enum pem_end *end)
{
	BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
	X509 *certificate;
	size_t n = 0;
	int rc = 0;

	if (bio == NULL)
		fatal("pem: no memory");
	ERR_clear_error();
	while (rc == 0 && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		rc = each(arg, certificate);
		n += rc == 0;
		X509_free(certificate);
	}
	bool all = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	*end = rc != 0 ? PEM_STOP : all ? PEM_ALL : PEM_BROKEN;
	ERR_clear_error();
	BIO_free(bio);
	return n;
}

static int
write_certificate(void *arg, X509 *certificate)
{
	struct buf *out = arg;
	BIO *bio = BIO_new(BIO_s_mem());
	const char *text;

	if (bio == NULL || PEM_write_bio_X509(bio, certificate) != 1)
		fatal("pem: no memory");
	long n = BIO_get_mem_data(bio, &text);
	int rc = buf_add(out, text, (size_t)n);
	BIO_free(bio);
	return rc;
}

int
pem_certificates(const char *path, struct str text, struct buf *out, struct why *why)
{
	enum pem_end end;
	size_t n = pem_each_certificate(text, write_certificate, out, &end);

	if (end == PEM_STOP)
		return why_perm(why, NULL, "%s: too many certificates", path);
	if (n == 0)
		return why_perm(why, NULL, "%s: no certificate in PEM form", path);
	return end == PEM_ALL
		   ? 0
		   : why_perm(why, NULL, "%s: certificate %zu cannot be read", path, n + 1);
}
