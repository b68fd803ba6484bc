/* SPDX-License-Identifier: ISC */
/*
 * Policy and tickets are those of the context that every session begins with; a name's context
 * gives it certificates only. So one key of tickets serves all names, and what is allowed does not
 * depend on the name asked for.
 */
#include "lib/tls/server.h"

#include <assert.h>
#include <openssl/async.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/tls/key.h"
#include "lib/tls/pem.h"
#include "lib/tls/session.h"

/* Stacks of handshakes that wait for a signature; those beyond wait for one of them. */
enum { JOBS_MAX = 256 };

/* --- tickets (RFC 5077 4) --- */

static_assert(sizeof(struct tls_ticket_key) == TLS_TICKET_KEY_SIZE, "as it comes from keeper");

int
tls_server_ticket_keys(struct tls_server *server, struct str keys)
{
	if (keys.n % TLS_TICKET_KEY_SIZE != 0 || keys.n > sizeof server->keys)
		return -1;
	memcpy(server->keys, keys.p, keys.n);
	server->nkeys = keys.n / TLS_TICKET_KEY_SIZE;
	return 0;
}

/* The key to seal with is the first; to open with, the one of that name. */
static const struct tls_ticket_key *
find_key(const struct tls_server *server, const unsigned char *name, int seal)
{
	for (size_t i = 0; i < server->nkeys; i++)
		if (seal ||
		    CRYPTO_memcmp(server->keys[i].name, name, sizeof server->keys[i].name) == 0)
			return &server->keys[i];
	return NULL;
}

static int
set_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_octet_string(
		OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac, sizeof key->hmac),
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	    OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

/* 0: no key, go on with a full handshake; 2: opened, but seal a new one. */
static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int seal)
{
	const struct tls_server *server = tls_session_server(SSL_get_app_data(ssl));
	const struct tls_ticket_key *key = find_key(server, name, seal);

	if (key == NULL)
		return 0;
	if (set_mac(mac, key) != 1)
		return -1;
	if (!seal)
		return EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) != 1 ? -1
		       : key == server->keys                                                  ? 1
											      : 2;
	memcpy(name, key->name, sizeof key->name);
	if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1 ||
	    EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) != 1)
		return -1;
	return 1;
}

static void
set_sessions(SSL_CTX *ctx, const struct tls_server *server)
{
	const struct tls_policy *policy = &server->policy;

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ctx, server->context, sizeof server->context);
	if (policy->session_ms == 0) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ctx, 0);
		return;
	}
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_timeout(ctx, (long)(policy->session_ms / 1000));
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}

/* --- certificates of clients --- */

/* What is wrong with a certificate that is only asked for is told later, by its verdict. */
static int
accept_any(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

/* What is made of the authorities' file. */
struct authorities {
	X509_STORE *store;
	STACK_OF(X509_NAME) * names; /* as the client is told */
	unsigned char context[32];
};

static_assert(sizeof((struct authorities *)0)->context == SSL_MAX_SID_CTX_LENGTH, "fits");

static void
digest(const void *p, size_t n, unsigned char out[32])
{
	if (EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) != 1)
		fatal("tls: no digest");
}

static int
add_authority(void *arg, X509 *certificate)
{
	struct authorities *a = arg;
	unsigned char both[64];
	X509_NAME *name = X509_NAME_dup(X509_get_subject_name(certificate));

	memcpy(both, a->context, 32);
	if (name == NULL || X509_digest(certificate, EVP_sha256(), both + 32, NULL) != 1)
		fatal("tls: no memory");
	digest(both, sizeof both, a->context);
	if (sk_X509_NAME_push(a->names, name) == 0)
		fatal("tls: no memory");
	return X509_STORE_add_cert(a->store, certificate) == 1 ? 0 : -1;
}

static int
read_authorities(struct authorities *a, struct str pem, struct why *why)
{
	enum pem_end end;

	if (pem_each_certificate(pem, add_authority, a, &end) > 0 && end == PEM_ALL)
		return 0;
	return why_perm(why, NULL, "expected certificates in PEM form");
}

int
tls_server_authorities(struct tls_server *server, struct str pem, struct why *why)
{
	struct authorities a = {.store = X509_STORE_new(), .names = sk_X509_NAME_new_null()};

	if (a.store == NULL || a.names == NULL)
		fatal("tls: no memory");
	digest(server->policy.service, strlen(server->policy.service), a.context);
	if (pem.n > 0 && read_authorities(&a, pem, why) == -1) {
		X509_STORE_free(a.store);
		sk_X509_NAME_pop_free(a.names, X509_NAME_free);
		return -1;
	}
	X509_STORE_free(server->authorities);
	server->authorities = a.store;
	memcpy(server->context, a.context, sizeof server->context);
	SSL_CTX_set1_cert_store(server->ctx, a.store);
	SSL_CTX_set_client_CA_list(server->ctx, a.names);
	set_sessions(server->ctx, server);
	return 0;
}

static int
set_verification(struct tls_server *server, struct why *why)
{
	const struct tls_policy *policy = &server->policy;

	if (tls_server_authorities(server, policy->ca, why) == -1)
		return -1;
	SSL_CTX_set_verify_depth(server->ctx, (int)policy->depth);
	if (policy->need_certificate)
		SSL_CTX_set_verify(
		    server->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	else if (policy->ask_certificate)
		SSL_CTX_set_verify(server->ctx, SSL_VERIFY_PEER, accept_any);
	return 0;
}

/* --- the server --- */

static SSL_CTX *
context_new(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		fatal("tls: no context");
	return ctx;
}

/* Neither a configuration file nor anything else is opened later: the sandbox would not have it. */
void
tls_open(void)
{
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 ||
	    ASYNC_init_thread(JOBS_MAX, 0) != 1)
		fatal("tls: OpenSSL does not start");
}

void
tls_close(void)
{
	ASYNC_cleanup_thread();
}

struct tls_server *
tls_server_new(const struct tls_policy *policy, struct why *why)
{
	struct tls_server *server = xcalloc(1, sizeof *server);

	*server = (struct tls_server){
	    .ctx = context_new(), .methods = tls_methods_new(), .policy = *policy};
	server->digest = EVP_get_digestbyname(policy->digest);
	if (server->digest == NULL) {
		why_perm(why, NULL, "there is no digest %s", policy->digest);
		goto fail;
	}
	if (tls_policy_apply(server->ctx, policy, why) == -1 || set_verification(server, why) == -1)
		goto fail;
	tls_session_callbacks(server->ctx);
	return server;
fail:
	tls_server_free(&server);
	return NULL;
}

void
tls_server_free(struct tls_server **sp)
{
	struct tls_server *server = *sp;

	*sp = NULL;
	if (server == NULL)
		return;
	SSL_CTX_free(server->ctx);
	X509_STORE_free(server->authorities);
	tls_methods_free(&server->methods);
	explicit_bzero(server->keys, sizeof server->keys);
	free(server);
}

/* --- identities --- */

struct tls_identity {
	struct tls_server *server;
	SSL_CTX *ctx;
	unsigned holders;
};

struct tls_identity *
tls_identity_new(struct tls_server *server)
{
	struct tls_identity *identity = xcalloc(1, sizeof *identity);

	*identity = (struct tls_identity){.server = server, .ctx = context_new(), .holders = 1};
	/* In OpenSSL's eyes these go along with the certificates. */
	if (tls_policy_ciphers(identity->ctx, &server->policy, NULL) == -1)
		panic("tls: a policy that was fine is not any more");
	tls_identity_refresh(identity);
	tls_session_callbacks(identity->ctx);
	return identity;
}

void
tls_identity_refresh(struct tls_identity *identity)
{
	SSL_CTX_set1_cert_store(identity->ctx, identity->server->authorities);
	set_sessions(identity->ctx, identity->server);
}

static X509 *
read_chain(struct str pem, STACK_OF(X509) * others)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *leaf, *next;

	if (bio == NULL || others == NULL)
		fatal("tls: no memory");
	leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	while (leaf != NULL && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (sk_X509_push(others, next) == 0)
			fatal("tls: no memory");
	BIO_free(bio);
	ERR_clear_error();
	return leaf;
}

int
tls_identity_add(struct tls_identity *identity, uint64_t number, struct str chain, struct why *why)
{
	STACK_OF(X509) *others = sk_X509_new_null();
	X509 *leaf = read_chain(chain, others);
	EVP_PKEY *key = NULL;
	int rc = -1;

	if (leaf == NULL)
		why_perm(why, NULL, "expected certificates in PEM form");
	else
		key = tls_key_new(identity->server->methods, leaf, number, why);
	if (key != NULL && SSL_CTX_use_cert_and_key(identity->ctx, leaf, key, others, 1) == 1)
		rc = 0;
	else if (key != NULL)
		why_perm(why, NULL, "OpenSSL refuses the certificate: %s",
		    ERR_reason_error_string(ERR_peek_last_error()));
	ERR_clear_error();
	EVP_PKEY_free(key);
	X509_free(leaf);
	sk_X509_pop_free(others, X509_free);
	return rc;
}

struct tls_identity *
tls_identity_hold(struct tls_identity *identity)
{
	identity->holders++;
	return identity;
}

void
tls_identity_drop(struct tls_identity **ip)
{
	struct tls_identity *identity = *ip;

	*ip = NULL;
	if (identity == NULL || --identity->holders > 0)
		return;
	SSL_CTX_free(identity->ctx);
	free(identity);
}

SSL_CTX *
tls_identity_ctx(const struct tls_identity *identity)
{
	return identity->ctx;
}
