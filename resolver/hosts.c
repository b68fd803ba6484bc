/* SPDX-License-Identifier: ISC */
/* The hosts file in two maps: name to addresses, reverse name to name. Input: the operator's file,
 * read as leniently as libc does. */
#include "resolver/hosts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"

enum { NAME_MAX_BYTES = 255, PER_NAME_MAX = 64 };

struct hosts {
	struct map *names;   /* to struct host */
	struct map *reverse; /* to char * */
};

static void
host_free(void *value)
{
	struct host *h = value;

	free(h->addresses);
	free(h);
}

void
hosts_free(struct hosts **hp)
{
	struct hosts *h = *hp;

	if (h == NULL)
		return;
	map_free(&h->names, host_free);
	map_free(&h->reverse, free);
	free(h);
	*hp = NULL;
}

static bool
address_read(struct str text, struct host_address *a)
{
	char plain[INET6_ADDRSTRLEN];

	if (!str_copy(plain, sizeof plain, text))
		return false;
	memset(a, 0, sizeof *a);
	a->family = AF_INET;
	if (inet_pton(AF_INET, plain, a->bytes) == 1)
		return true;
	a->family = AF_INET6;
	return inet_pton(AF_INET6, plain, a->bytes) == 1;
}

bool
hosts_arpa(struct str address, char out[static HOSTS_ARPA_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	struct host_address a;
	size_t n = 0;

	if (!address_read(address, &a))
		return false;
	if (a.family == AF_INET) {
		snprintf(out, HOSTS_ARPA_SIZE, "%u.%u.%u.%u.in-addr.arpa", a.bytes[3], a.bytes[2],
		    a.bytes[1], a.bytes[0]);
		return true;
	}
	for (int i = 15; i >= 0; i--) {
		out[n++] = digits[a.bytes[i] & 0xf];
		out[n++] = '.';
		out[n++] = digits[a.bytes[i] >> 4];
		out[n++] = '.';
	}
	snprintf(out + n, HOSTS_ARPA_SIZE - n, "ip6.arpa");
	return true;
}

static size_t
name_read(struct str word, char out[static NAME_MAX_BYTES + 1])
{
	if (word.n > 0 && word.p[word.n - 1] == '.')
		word.n--;
	if (word.n > NAME_MAX_BYTES)
		return 0;
	for (size_t i = 0; i < word.n; i++)
		out[i] =
		    word.p[i] >= 'A' && word.p[i] <= 'Z' ? (char)(word.p[i] | 0x20) : word.p[i];
	out[word.n] = '\0';
	return word.n;
}

static void
name_add(struct hosts *h, struct str name, const struct host_address *a)
{
	struct host *host = map_get(h->names, name);

	if (host == NULL) {
		host = xcalloc(1, sizeof *host);
		map_put(h->names, name, host);
	}
	for (size_t i = 0; i < host->n; i++)
		if (memcmp(&host->addresses[i], a, sizeof *a) == 0)
			return;
	if (host->n == PER_NAME_MAX)
		return;
	host->addresses = xrealloc(host->addresses, size_mul(host->n + 1, sizeof *a));
	host->addresses[host->n++] = *a;
}

static void
line_read(struct hosts *h, struct str line)
{
	char arpa[HOSTS_ARPA_SIZE], name[NAME_MAX_BYTES + 1];
	struct host_address a;
	struct str word;
	ptrdiff_t hash = str_chr(line, '#');

	if (hash >= 0)
		line = str_sub(line, 0, (size_t)hash);
	if (!str_word(&line, " \t\r", &word) || !address_read(word, &a) || !hosts_arpa(word, arpa))
		return;
	for (bool first = true; str_word(&line, " \t\r", &word); first = false) {
		size_t n = name_read(word, name);
		if (n == 0)
			continue;
		name_add(h, str_make(name, n), &a);
		if (first && map_get(h->reverse, str_from(arpa)) == NULL)
			map_put(h->reverse, str_from(arpa), xstrdup(name));
	}
}

struct hosts *
hosts_new(struct str text)
{
	struct hosts *h = xcalloc(1, sizeof *h);
	struct str line;

	h->names = map_new();
	h->reverse = map_new();
	while (str_word(&text, "\n", &line))
		line_read(h, line);
	if (map_get(h->names, STR("localhost")) == NULL) {
		line_read(h, STR("127.0.0.1 localhost"));
		line_read(h, STR("::1 localhost"));
	}
	if (map_get(h->reverse, STR("1.0.0.127.in-addr.arpa")) == NULL)
		line_read(h, STR("127.0.0.1 localhost"));
	return h;
}

const struct host *
hosts_find(const struct hosts *h, struct str name)
{
	const struct host *host = map_get(h->names, name);

	if (host == NULL && str_ends(name, STR(".localhost")))
		host = map_get(h->names, STR("localhost"));
	return host;
}

const char *
hosts_reverse(const struct hosts *h, struct str arpa)
{
	return map_get(h->reverse, arpa);
}
