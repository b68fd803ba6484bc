/* SPDX-License-Identifier: ISC */
/*
 * One TLS session of a server, over a non-blocking socket. It asks nobody itself: the handshake
 * says what it wants, and goes on when it has got it.
 *
 *	tls_handshake() --> TLS_WANT_READ, TLS_WANT_WRITE: of the socket
 *	                --> TLS_WANT_IDENTITY: of tls_server_name(); then tls_use()
 *	                --> TLS_WANT_SIGNATURE: of tls_request(); then tls_sign()
 *	                --> TLS_WANT_ROOM: too many handshakes at once; again later
 *	                --> TLS_DONE or TLS_FAILED
 */
#ifndef KP_TLS_SESSION_H
#define KP_TLS_SESSION_H

#include <openssl/types.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct tls;
struct tls_identity;
struct tls_server;
struct why;

enum tls_want {
	TLS_DONE,
	TLS_WANT_READ,
	TLS_WANT_WRITE,
	TLS_WANT_IDENTITY,
	TLS_WANT_SIGNATURE,
	TLS_WANT_ROOM,
	TLS_FAILED,
};

/* What the private key `key` is to do with `input` (enum sign_scheme of lib/msg). */
struct tls_request {
	uint64_t key;
	unsigned scheme;
	struct str input;
};

/* Begins a session on the socket, which stays the caller's. */
struct tls *tls_accept(struct tls_server *server, int fd);

/* At any time; a handshake under way is given up. Clears the caller's pointer. */
void tls_free(struct tls **tp);

/* One step; `why` of TLS_FAILED is a line for the log. */
enum tls_want tls_handshake(struct tls *t, struct why *why);
bool tls_is_done(const struct tls *t);

/* The name that the client asked for, in lower case; "" for none, or one that cannot be a host's.
 */
struct str tls_server_name(const struct tls *t);

/* NULL: there is none, and the handshake will fail. */
void tls_use(struct tls *t, struct tls_identity *identity);

const struct tls_request *tls_request(const struct tls *t);

/* An empty signature makes the handshake fail. */
void tls_sign(struct tls *t, struct str signature);

/* As read() and write(): -1 with EAGAIN where the socket is not ready. Reading goes on until
 * EAGAIN, or what has been decrypted already is not noticed. */
ssize_t tls_read(struct tls *t, void *p, size_t n);
ssize_t tls_write(struct tls *t, const void *p, size_t n);

/* Reading waits for room in the socket. */
bool tls_wants_write(const struct tls *t);

/* Tells the peer, as far as the socket takes it, that no more comes. */
void tls_end(struct tls *t);

SSL *tls_ssl(const struct tls *t);

/* For server.c. */
const struct tls_server *tls_session_server(const struct tls *t);
void tls_session_callbacks(SSL_CTX *ctx);

#endif
