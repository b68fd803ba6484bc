/* SPDX-License-Identifier: ISC */
/*
 * What a client sends before there is a certificate: the hello, and the name in it. The first octet
 * says whether the handshake is then refused or given up.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/tls/server.h"
#include "lib/tls/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *protocol_words[] = {">=TLSv1.2"}, *group_words[] = {"X25519"};
static const struct setting_list protocols = {protocol_words, 1}, groups = {group_words, 1};

static struct tls_server *
make_server(void)
{
	struct tls_policy policy = {.protocols = &protocols,
	    .groups = &groups,
	    .service = "fuzz",
	    .session_ms = 3600000,
	    .ca = STR_EMPTY,
	    .digest = "sha256"};
	struct why why;
	tls_open();
	struct tls_server *server = tls_server_new(&policy, &why);
	static const char keys[TLS_TICKET_KEY_SIZE] = "fuzz";

	if (server == NULL || tls_server_ticket_keys(server, str_make(keys, sizeof keys)) == -1)
		panic("fuzz: no server");
	return server;
}

static void
check_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f || name.p[i] == '/')
			panic("a name that is none");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tls_server *server;
	struct why why;
	int fds[2];

	if (size < 1)
		return 0;
	if (server == NULL)
		server = make_server();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == -1)
		panic("fuzz: socketpair");
	struct tls *t = tls_accept(server, fds[0]);
	if (write(fds[1], data + 1, size - 1) >= 0 && tls_handshake(t, &why) == TLS_WANT_IDENTITY) {
		check_name(tls_server_name(t));
		if ((data[0] & 1) != 0) {
			tls_use(t, NULL);
			if (tls_handshake(t, &why) != TLS_FAILED)
				panic("a handshake without a certificate");
		}
	}
	tls_free(&t);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
