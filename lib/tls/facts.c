/* SPDX-License-Identifier: ISC */
/* Reads a session; the wording of keys and digests is Postfix's. */
#include "lib/tls/facts.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/tls/server.h"
#include "lib/tls/session.h"

enum { EXPORTER_SIZE = 32, FINISHED_MAX = 64 };

/* --- what was agreed on (TLS 1.3) --- */

static void
show_key(const EVP_PKEY *key, const char *name, char *out, size_t size)
{
	char group[32];
	size_t n;

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
	    EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1)
		snprintf(out, size, "%s (%s)", name, group);
	else
		snprintf(out, size, "%s (%d bits)", name, EVP_PKEY_get_bits(key));
}

static void
key_exchange(SSL *ssl, struct tls_facts *f)
{
	EVP_PKEY *key = NULL;

	if (SSL_get_peer_tmp_key(ssl, &key) != 1 || key == NULL)
		return;
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC)
		show_key(key, "ECDHE", f->key_exchange, sizeof f->key_exchange);
	else
		snprintf(
		    f->key_exchange, sizeof f->key_exchange, "%s", EVP_PKEY_get0_type_name(key));
	EVP_PKEY_free(key);
}

static void
server_signature(SSL *ssl, struct tls_facts *f)
{
	X509 *own = SSL_get_certificate(ssl);
	int type = NID_undef, digest = NID_undef;

	if (own == NULL || SSL_get_signature_type_nid(ssl, &type) != 1)
		return;
	show_key(X509_get0_pubkey(own), type == EVP_PKEY_RSA_PSS ? "RSA-PSS" : OBJ_nid2sn(type),
	    f->signature, sizeof f->signature);
	if (type == EVP_PKEY_EC)
		show_key(X509_get0_pubkey(own), "ECDSA", f->signature, sizeof f->signature);
	if (SSL_get_signature_nid(ssl, &digest) == 1 && digest != NID_undef)
		snprintf(f->digest, sizeof f->digest, "%s", OBJ_nid2sn(digest));
}

/* --- the client's certificate --- */

/* Text for a log line and for a comment in a header. */
static void
clean(char *text)
{
	for (char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		if (c < ' ' || c >= 0x7f || strchr("()\\\"<>;", c) != NULL)
			*p = '?';
	}
}

/* The last common name is the most specific one. One with a NUL inside is none. */
static void
common_name(const X509_NAME *name, char *out, size_t size)
{
	unsigned char *utf8 = NULL;
	int at = -1, next = -1, n;

	while ((next = X509_NAME_get_index_by_NID(name, NID_commonName, next)) >= 0)
		at = next;
	out[0] = '\0';
	if (at < 0)
		return;
	n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (n > 0 && memchr(utf8, '\0', (size_t)n) == NULL)
		(void)str_copy(out, size, str_make((const char *)utf8, (size_t)n)); /* or "" */
	OPENSSL_free(utf8);
	clean(out);
}

static void
show_digest(const unsigned char *digest, unsigned n, char *out, size_t size)
{
	out[0] = '\0';
	if ((size_t)n * 3 > size)
		return;
	for (unsigned i = 0; i < n; i++)
		snprintf(out + (size_t)i * 3, 4, "%02X%s", digest[i], i + 1 < n ? ":" : "");
}

/* Of the whole SubjectPublicKeyInfo, as Postfix does. */
static void
key_fingerprint(X509 *certificate, const EVP_MD *md, char *out, size_t size)
{
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	unsigned digest_n;

	if (n > 0 && EVP_Digest(der, (size_t)n, digest, &digest_n, md, NULL) == 1)
		show_digest(digest, digest_n, out, size);
	OPENSSL_free(der);
}

static void
client(const struct tls *t, struct tls_facts *f)
{
	const EVP_MD *md = tls_session_server(t)->digest;
	X509 *certificate = SSL_get0_peer_certificate(tls_ssl(t));
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n;

	if (certificate == NULL)
		return;
	f->certificate = true;
	f->trusted = SSL_get_verify_result(tls_ssl(t)) == X509_V_OK;
	common_name(X509_get_subject_name(certificate), f->subject, sizeof f->subject);
	common_name(X509_get_issuer_name(certificate), f->issuer, sizeof f->issuer);
	if (X509_digest(certificate, md, digest, &n) == 1)
		show_digest(digest, n, f->fingerprint, sizeof f->fingerprint);
	key_fingerprint(certificate, md, f->key_fingerprint, sizeof f->key_fingerprint);
}

/* --- all --- */

void
tls_facts(const struct tls *t, struct tls_facts *f)
{
	SSL *ssl = tls_ssl(t);
	const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);

	*f = (struct tls_facts){
	    .protocol = SSL_get_version(ssl),
	    .cipher = SSL_CIPHER_get_name(cipher),
	    .resumed = SSL_session_reused(ssl) == 1,
	};
	f->bits = SSL_CIPHER_get_bits(cipher, &f->algorithm_bits);
	if (SSL_version(ssl) == TLS1_3_VERSION) {
		key_exchange(ssl, f);
		if (!f->resumed)
			server_signature(ssl, f);
	}
	client(t, f);
	ERR_clear_error();
}

const char *
tls_facts_trust(const struct tls_facts *f)
{
	return !f->certificate ? "Anonymous" : f->trusted ? "Trusted" : "Untrusted";
}

void
tls_facts_show(const struct tls_facts *f, const char *apart, char *out, size_t size)
{
	struct buf b;
	int rc;

	buf_init(&b, size - 1);
	rc = buf_printf(&b, "%s with cipher %s (%d/%d bits)", f->protocol, f->cipher, f->bits,
	    f->algorithm_bits);
	if (rc == 0 && f->key_exchange[0] != '\0')
		rc = buf_printf(&b, "%skey-exchange %s", apart, f->key_exchange);
	if (rc == 0 && f->signature[0] != '\0')
		rc = buf_printf(&b, " server-signature %s", f->signature);
	if (rc == 0 && f->digest[0] != '\0')
		rc = buf_printf(&b, " server-digest %s", f->digest);
	if (rc == -1)
		buf_reset(&b);
	(void)str_copy(out, size, buf_view(&b)); /* it fits, or there is nothing */
	buf_free(&b);
}

static int
exporter(SSL *ssl, struct buf *out)
{
	unsigned char octets[EXPORTER_SIZE];

	/* RFC 9266 4.2: with TLS 1.2 only where the extended master secret binds the session. */
	if (SSL_version(ssl) != TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
		return -1;
	if (SSL_export_keying_material(ssl, octets, sizeof octets, "EXPORTER-Channel-Binding",
		sizeof "EXPORTER-Channel-Binding" - 1, NULL, 0, 0) != 1)
		return -1;
	return buf_add(out, octets, sizeof octets);
}

/* The first Finished of the handshake: the client's, or the server's where it was resumed. */
static int
unique(SSL *ssl, struct buf *out)
{
	unsigned char octets[FINISHED_MAX];
	size_t n;

	if (SSL_version(ssl) != TLS1_2_VERSION)
		return -1;
	n = SSL_session_reused(ssl) == 1 ? SSL_get_finished(ssl, octets, sizeof octets)
					 : SSL_get_peer_finished(ssl, octets, sizeof octets);
	return n > 0 && n <= sizeof octets ? buf_add(out, octets, n) : -1;
}

int
tls_binding(const struct tls *t, const char *type, struct buf *out)
{
	if (!tls_is_done(t))
		return -1;
	if (strcmp(type, "tls-exporter") == 0)
		return exporter(tls_ssl(t), out);
	return strcmp(type, "tls-unique") == 0 ? unique(tls_ssl(t), out) : -1;
}
