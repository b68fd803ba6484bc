/* SPDX-License-Identifier: ISC */
/*
 * The handshake runs as a job on a stack of its own, which stands still inside OpenSSL while its
 * signature is made elsewhere. A session that ends meanwhile lets the job run to its end without a
 * signature: that is the only way to have its stack back.
 */
#include "lib/tls/session.h"

#include <errno.h>
#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/tls/key.h"
#include "lib/tls/server.h"

enum { NAME_MAX_SIZE = 256, REQUEST_MAX = 2048 };

/* What only a handshake needs. */
struct handshake {
	ASYNC_JOB *job;
	ASYNC_WAIT_CTX *wait;
	char name[NAME_MAX_SIZE];
	bool named;   /* the client's hello was seen */
	bool refused; /* there is no certificate for it */
	bool asked;   /* `request` waits for its signature */
	struct tls_identity *identity;
	struct tls_request request;
	struct buf input, signature;
};

struct tls {
	struct tls_server *server;
	SSL *ssl;
	struct handshake *handshake; /* NULL: it is done */
	bool broken;                 /* nothing more may be said */
	bool wants_write;
};

/* --- the client's hello --- */

static bool
name_octet(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* A host name in lower case, or "". */
static void
set_name(struct handshake *h, struct str name)
{
	if (name.n == 0 || name.n >= sizeof h->name || name.p[0] == '.')
		return;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		c = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
		h->name[i] = c;
		if (!name_octet(c)) {
			h->name[0] = '\0';
			return;
		}
	}
	h->name[name.n] = '\0';
}

/* The list of RFC 6066 3: one name, of type host_name. */
static void
read_name(struct handshake *h, const unsigned char *p, size_t n)
{
	size_t list, length;

	if (n < 5)
		return;
	list = (size_t)p[0] << 8 | p[1];
	length = (size_t)p[3] << 8 | p[4];
	if (list != n - 2 || p[2] != 0 || length != n - 5)
		return;
	set_name(h, str_make((const char *)p + 5, length));
}

static int
on_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls *t = SSL_get_app_data(ssl);
	struct handshake *h = t->handshake;
	const unsigned char *p;
	size_t n;

	(void)arg;
	if (h == NULL || h->refused) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	if (h->identity != NULL) {
		SSL_set_SSL_CTX(ssl, tls_identity_ctx(h->identity));
		return SSL_CLIENT_HELLO_SUCCESS;
	}
	h->named = true;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) == 1)
		read_name(h, p, n);
	return SSL_CLIENT_HELLO_RETRY;
}

/* The name was heard (RFC 6066 3): the extension is confirmed. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

void
tls_session_callbacks(SSL_CTX *ctx)
{
	SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
}

struct str
tls_server_name(const struct tls *t)
{
	return str_from(t->handshake != NULL ? t->handshake->name : "");
}

void
tls_use(struct tls *t, struct tls_identity *identity)
{
	struct handshake *h = t->handshake;

	h->refused = identity == NULL;
	h->identity = identity != NULL ? tls_identity_hold(identity) : NULL;
}

/* --- signatures --- */

struct str
tls_session_sign(void *arg, uint64_t key, unsigned scheme, const unsigned char *input, size_t n)
{
	struct tls *t = arg;
	struct handshake *h = t->handshake;

	buf_reset(&h->input);
	buf_reset(&h->signature);
	if (t->broken || buf_add(&h->input, input, n) == -1)
		return STR_EMPTY;
	h->request = (struct tls_request){key, scheme, buf_view(&h->input)};
	h->asked = true;
	if (ASYNC_pause_job() != 1 || h->asked)
		return STR_EMPTY;
	return buf_view(&h->signature);
}

const struct tls_request *
tls_request(const struct tls *t)
{
	return &t->handshake->request;
}

void
tls_sign(struct tls *t, struct str signature)
{
	struct handshake *h = t->handshake;

	if (buf_str(&h->signature, signature) == -1)
		buf_reset(&h->signature);
	h->asked = false;
}

/* --- the handshake --- */

/* Only there for its argument, which finds the session from within a job. */
static int
on_wake(void *arg)
{
	(void)arg;
	return 0;
}

struct tls *
tls_accept(struct tls_server *server, int fd)
{
	struct tls *t = xcalloc(1, sizeof *t);
	struct handshake *h = xcalloc(1, sizeof *h);

	*t = (struct tls){.server = server, .ssl = SSL_new(server->ctx), .handshake = h};
	h->wait = ASYNC_WAIT_CTX_new();
	if (t->ssl == NULL || h->wait == NULL || SSL_set_fd(t->ssl, fd) != 1 ||
	    ASYNC_WAIT_CTX_set_callback(h->wait, on_wake, t) != 1)
		fatal("tls: no memory");
	buf_init(&h->input, REQUEST_MAX);
	buf_init(&h->signature, REQUEST_MAX);
	SSL_set_app_data(t->ssl, t);
	SSL_set_accept_state(t->ssl);
	if (server->nkeys == 0) {
		SSL_set_options(t->ssl, SSL_OP_NO_TICKET);
		SSL_set_num_tickets(t->ssl, 0);
	}
	return t;
}

static void
handshake_free(struct tls *t)
{
	struct handshake *h = t->handshake;

	t->handshake = NULL;
	if (h == NULL)
		return;
	ASYNC_WAIT_CTX_free(h->wait);
	tls_identity_drop(&h->identity);
	buf_free(&h->input);
	buf_free(&h->signature);
	free(h);
}

static int
run(void *arg)
{
	struct tls *t = *(struct tls **)arg;

	return SSL_do_handshake(t->ssl);
}

/* What OpenSSL found wrong, or the system; a client that went away is the most common. */
static enum tls_want
fail(struct tls *t, int error, struct why *why)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
	int system = errno;

	t->broken = true;
	if (reason != NULL)
		why_temp(why, "4.7.0", "%s", reason);
	else if (error == SSL_ERROR_SYSCALL && system != 0)
		why_temp(why, "4.7.0", "%s", strerror(system));
	else
		why_temp(why, "4.7.0", "lost connection");
	ERR_clear_error();
	return TLS_FAILED;
}

static enum tls_want
finished(struct tls *t, int rc, struct why *why)
{
	int error;

	t->handshake->job = NULL;
	if (rc == 1) {
		handshake_free(t);
		return TLS_DONE;
	}
	error = SSL_get_error(t->ssl, rc);
	switch (error) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_WANT_CLIENT_HELLO_CB:
		return TLS_WANT_IDENTITY;
	default:
		return fail(t, error, why);
	}
}

enum tls_want
tls_handshake(struct tls *t, struct why *why)
{
	struct handshake *h = t->handshake;
	int rc = 0;

	if (h == NULL)
		return TLS_DONE;
	if (t->broken)
		return fail(t, SSL_ERROR_SSL, why);
	if (h->asked)
		return TLS_WANT_SIGNATURE;
	if (h->named && h->identity == NULL && !h->refused)
		return TLS_WANT_IDENTITY;
	ERR_clear_error();
	errno = 0;
	switch (ASYNC_start_job(&h->job, h->wait, &rc, run, &t, sizeof t)) {
	case ASYNC_PAUSE:
		return TLS_WANT_SIGNATURE;
	case ASYNC_FINISH:
		return finished(t, rc, why);
	case ASYNC_NO_JOBS:
		return TLS_WANT_ROOM;
	default:
		return fail(t, SSL_ERROR_SSL, why);
	}
}

bool
tls_is_done(const struct tls *t)
{
	return t->handshake == NULL;
}

/* A job that stands still is let go, and finds that there is no signature. */
static void
give_up(struct tls *t)
{
	struct handshake *h = t->handshake;
	int rc;

	t->broken = true;
	h->asked = false;
	buf_reset(&h->signature);
	ERR_clear_error();
	if (ASYNC_start_job(&h->job, h->wait, &rc, run, &t, sizeof t) != ASYNC_FINISH)
		panic("tls: a handshake does not end");
	ERR_clear_error();
}

void
tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	if (t->handshake != NULL && t->handshake->job != NULL)
		give_up(t);
	handshake_free(t);
	SSL_free(t->ssl);
	free(t);
}

/* --- data --- */

/* For what SSL_read() and SSL_write() did not do. */
static ssize_t
not_done(struct tls *t, int rc)
{
	int error = SSL_get_error(t->ssl, rc);

	t->wants_write = error == SSL_ERROR_WANT_WRITE;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		errno = EAGAIN;
		return -1;
	}
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	t->broken = true;
	if (error != SSL_ERROR_SYSCALL || errno == 0 || errno == EAGAIN)
		errno = ECONNRESET;
	return -1;
}

static int
most(size_t n)
{
	return n < 1 << 30 ? (int)n : 1 << 30;
}

ssize_t
tls_read(struct tls *t, void *p, size_t n)
{
	int rc;

	if (t->broken) {
		errno = ECONNRESET;
		return -1;
	}
	ERR_clear_error();
	errno = 0;
	rc = SSL_read(t->ssl, p, most(n));
	t->wants_write = false;
	return rc > 0 ? rc : not_done(t, rc);
}

ssize_t
tls_write(struct tls *t, const void *p, size_t n)
{
	int rc;

	if (t->broken) {
		errno = ECONNRESET;
		return -1;
	}
	ERR_clear_error();
	errno = 0;
	rc = SSL_write(t->ssl, p, most(n));
	if (rc > 0)
		return rc;
	ssize_t answer = not_done(t, rc);
	if (answer == 0)
		errno = EPIPE;
	return -1;
}

bool
tls_wants_write(const struct tls *t)
{
	return t->wants_write;
}

void
tls_end(struct tls *t)
{
	if (t->broken || t->handshake != NULL)
		return;
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl); /* a peer that is gone need not know */
	ERR_clear_error();
}

SSL *
tls_ssl(const struct tls *t)
{
	return t->ssl;
}

const struct tls_server *
tls_session_server(const struct tls *t)
{
	return t->server;
}
