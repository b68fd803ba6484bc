/* SPDX-License-Identifier: ISC */
/*
 * Two questions to resolver: the address's name, then that name's addresses, of which one must be
 * the client's. A name is for the log and the trace header alone; nothing is granted by it, so
 * whatever fails is "unknown" and the greeting follows. Answers are kept for a while: most clients
 * come again.
 */
#include "smtpd/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"

enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28 };
enum { NAMES_MAX = 20000, KEEP_MIN_S = 60, KEEP_MAX_S = 600 };

struct name {
	int64_t until;
	char text[];
};

static const unsigned char *
octets(const struct session *s, size_t *n)
{
	if (s->addr->ss_family == AF_INET6) {
		*n = 16;
		return ((const struct sockaddr_in6 *)s->addr)->sin6_addr.s6_addr;
	}
	*n = 4;
	return (const unsigned char *)&((const struct sockaddr_in *)s->addr)->sin_addr;
}

/* "1.2.0.192.in-addr.arpa", or the nibbles of ip6.arpa. */
static void
reverse_name(const struct session *s, char *out, size_t size)
{
	size_t n, at = 0;
	const unsigned char *ip = octets(s, &n);

	for (size_t i = n; i-- > 0;)
		at += (size_t)(n == 4 ? snprintf(out + at, size - at, "%u.", ip[i])
				      : snprintf(out + at, size - at, "%x.%x.", ip[i] & 15u,
					    ip[i] >> 4));
	snprintf(out + at, size - at, "%s", n == 4 ? "in-addr.arpa" : "ip6.arpa");
}

static void
keep(struct session *s, uint64_t ttl)
{
	struct server *server = s->server;
	size_t n = strlen(s->client_name) + 1;
	struct name *name = xmalloc(sizeof *name + n);

	if (ttl < KEEP_MIN_S)
		ttl = KEEP_MIN_S;
	name->until = clock_ms() + (int64_t)(ttl < KEEP_MAX_S ? ttl : KEEP_MAX_S) * 1000;
	memcpy(name->text, s->client_name, n);
	if (map_count(server->names) >= NAMES_MAX)
		client_forget(server);
	free(map_put(server->names, str_from(s->client_addr), name));
}

void
client_forget(struct server *server)
{
	map_free(&server->names, free);
	server->names = map_new();
}

/* The name is found, or will not be. */
static void
finish(struct session *s, const char *name)
{
	chan_question_drop(s);
	s->client_name = xstrdup(name);
	if (s->name_ttl > 0)
		keep(s, s->name_ttl);
	session_greet(s);
}

static void
on_expired(struct session *s)
{
	s->name_ttl = 0;
	finish(s, "unknown");
}

static bool
ask(struct session *s, const char *name, unsigned type, chan_reply_fn *on_reply)
{
	struct server *server = s->server;
	struct chan *resolver = service_peer(server->service, PROGRAM_RESOLVER, s->serial);
	struct msg_dns_query msg = {.name = str_from(name), .type = type};

	s->question =
	    resolver != NULL ? chan_call(resolver, s->trace, MSG_DNS_QUERY, &msg, on_reply, s) : 0;
	s->asked = s->question != 0 ? resolver : NULL;
	return s->question != 0;
}

/* What becomes of a question that has no usable answer: its time to be kept, and "unknown". */
static void
finish_unknown(struct session *s, const struct chan_head *head, const union msg_any *msg)
{
	bool told =
	    msg != NULL && head->type == MSG_DNS_ANSWER && msg->dns_answer.status != DNS_FAILED;

	s->name_ttl = told ? KEEP_MIN_S : 0;
	finish(s, "unknown");
}

static void
on_address(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	size_t n;
	const unsigned char *ip = octets(s, &n);

	if (msg != NULL && head->type == MSG_DNS_RECORD) {
		struct str data = msg->dns_record.data;
		if (data.n == n && memcmp(data.p, ip, n) == 0)
			s->name_found = true;
		return;
	}
	if (msg == NULL || head->type != MSG_DNS_ANSWER || !s->name_found) {
		if (msg != NULL && head->type == MSG_DNS_ANSWER &&
		    msg->dns_answer.status != DNS_FAILED)
			log_warning("hostname %s does not resolve to address %s", s->asked_for,
			    s->client_addr);
		finish_unknown(s, head, msg);
		return;
	}
	if (msg->dns_answer.ttl < s->name_ttl)
		s->name_ttl = msg->dns_answer.ttl;
	if (s->name_ttl == 0)
		s->name_ttl = 1; /* keep() makes a minimum of it */
	finish(s, s->asked_for);
}

static void
on_name(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	char ascii[ADDR_DOMAIN_MAX + 1];

	if (msg != NULL && head->type == MSG_DNS_RECORD) {
		if (msg->dns_record.type == TYPE_PTR && s->asked_for == NULL &&
		    domain_to_ascii(msg->dns_record.data, ascii, NULL) == 0)
			s->asked_for = xstrdup(ascii);
		return;
	}
	if (msg == NULL || head->type != MSG_DNS_ANSWER || s->asked_for == NULL) {
		finish_unknown(s, head, msg);
		return;
	}
	s->name_ttl = msg->dns_answer.ttl;
	if (!ask(s, s->asked_for, s->addr->ss_family == AF_INET6 ? TYPE_AAAA : TYPE_A, on_address))
		on_expired(s);
}

void
client_lookup(struct session *s)
{
	char name[80];
	const struct name *kept;

	if (s->client_name != NULL) {
		session_greet(s);
		return;
	}
	kept = map_get(s->server->names, str_from(s->client_addr));
	if (kept != NULL && kept->until > clock_ms()) {
		finish(s, kept->text);
		return;
	}
	reverse_name(s, name, sizeof name);
	if (!s->server->conf->smtpd_peername_lookup || !ask(s, name, TYPE_PTR, on_name)) {
		finish(s, "unknown");
		return;
	}
	session_wait(s, s->server->conf->smtpd_peername_timeout, on_expired);
}
