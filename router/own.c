/* SPDX-License-Identifier: ISC */
/* Read once, before the sandbox, which has no sockets to ask the kernel with. */
#include "router/own.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/mail/address.h"

struct own {
	struct sockaddr_storage *items;
	size_t n;
};

static void
add(struct own *o, const void *sa, size_t size)
{
	o->items = xrealloc(o->items, size_mul(o->n + 1, sizeof *o->items));
	memset(&o->items[o->n], 0, sizeof *o->items);
	memcpy(&o->items[o->n++], sa, size);
}

static int
add_interfaces(struct own *o, struct why *why)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) == -1)
		return why_sys(why, NULL, "list the network interfaces");
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
		if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET)
			add(o, i->ifa_addr, sizeof(struct sockaddr_in));
		else if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET6)
			add(o, i->ifa_addr, sizeof(struct sockaddr_in6));
	}
	freeifaddrs(all);
	return 0;
}

static int
add_proxies(struct own *o, const struct setting_list *proxy, struct why *why)
{
	struct sockaddr_storage sa;

	for (size_t i = 0; i < proxy->n; i++) {
		struct str text = str_from(proxy->items[i]);
		if (text.n > 2 && text.p[0] == '[')
			text = str_sub(text, 1, text.n - 2);
		if (!literal_parse(text, true, &sa))
			return why_perm(why, NULL, "proxy_interfaces: \"%s\" is not an address",
			    proxy->items[i]);
		add(o, &sa, sizeof sa);
	}
	return 0;
}

struct own *
own_new(const struct setting_list *proxy, struct why *why)
{
	struct own *o = xcalloc(1, sizeof *o);

	if (add_interfaces(o, why) == -1 || add_proxies(o, proxy, why) == -1)
		own_free(&o);
	return o;
}

void
own_free(struct own **op)
{
	if (*op == NULL)
		return;
	free((*op)->items);
	free(*op);
	*op = NULL;
}

static bool
same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		   &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

bool
own_has(const struct own *o, struct str literal)
{
	struct sockaddr_storage sa;

	if (literal.n < 3 || literal.p[0] != '[' ||
	    !literal_parse(str_sub(literal, 1, literal.n - 2), false, &sa))
		return false;
	for (size_t i = 0; o != NULL && i < o->n; i++)
		if (same(&o->items[i], &sa))
			return true;
	return false;
}
