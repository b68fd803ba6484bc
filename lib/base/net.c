/* SPDX-License-Identifier: ISC */
/* Addresses as settings write them, and sockets that listen on them. */
#include "lib/base/net.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/io.h"
#include "lib/base/str.h"
#include "lib/base/why.h"

enum { BACKLOG = 4096 };

int
net_address(const char *text, struct addrinfo **info, struct why *why)
{
	struct str s = str_from(text);
	ptrdiff_t colon = str_rchr(s, ':');
	struct addrinfo hints = {
	    .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	char host[64];

	if (colon <= 0)
		return why_perm(
		    why, NULL, "%s: expected ADDRESS:PORT, [IPV6]:PORT or *:PORT", text);
	struct str name = str_sub(s, 0, (size_t)colon);
	if (str_starts(name, STR("[")) && str_ends(name, STR("]")))
		name = str_sub(name, 1, name.n - 2);
	if (str_is(name, "localhost"))
		name = STR("127.0.0.1");
	if (!str_copy(host, sizeof host, str_is(name, "*") ? STR("::") : name))
		return why_perm(why, NULL, "%s: the address is too long", text);
	int error = getaddrinfo(host, text + colon + 1, &hints, info);
	if (error != 0)
		return why_perm(
		    why, NULL, "%s: expected a literal address and a port number", text);
	return 0;
}

int
net_listen(const char *text, struct why *why)
{
	struct addrinfo *info = NULL;
	int on = 1, v6only = strncmp(text, "*:", 2) != 0, fd = -1;

	if (net_address(text, &info, why) == -1 || info == NULL)
		return -1;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1) {
		why_sys(why, NULL, "listen on %s", text);
		goto fail;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == -1 ||
	    (info->ai_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) == -1) ||
	    bind(fd, info->ai_addr, info->ai_addrlen) == -1 || listen(fd, BACKLOG) == -1) {
		why_sys(why, NULL, "listen on %s", text);
		goto fail;
	}
	freeaddrinfo(info);
	return fd;
fail:
	fd_close(&fd);
	freeaddrinfo(info);
	return -1;
}
